//! Parses single settings and collects what is wrong with them.

use super::environment::Environment;
use super::error::ConfigError;
use super::setting::{Declared, Setting, ValueKind};
use super::settings;
use super::texts::Texts;

/// The settings that are being read, with the errors and warnings so far.
pub(super) struct Reader<'r> {
    pub(super) environment: &'r Environment<'r>,
    texts: &'r Texts,
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl<'r> Reader<'r> {
    pub(super) fn new(texts: &'r Texts, environment: &'r Environment<'r>) -> Self {
        Self { environment, texts, errors: Vec::new(), warnings: Vec::new() }
    }

    /// The given value, else the default: that of the setting, or of the type if the declaration
    /// only describes it. A given value that is not valid is an error, and is read as the default.
    pub(super) fn value<T: Default>(&mut self, setting: &Setting<T>) -> T {
        let given = self.given(setting);
        given.or_else(|| setting.default_value(self.environment.cpus)).unwrap_or_default()
    }

    /// The given value; `None` if it is not given or not valid.
    pub(super) fn given<T>(&mut self, setting: &Setting<T>) -> Option<T> {
        self.given_with(setting, self.environment.cpus)
    }

    /// The given value of a setting that chooses among these cores.
    pub(super) fn given_with<T>(&mut self, setting: &Setting<T>, cores: &[usize]) -> Option<T> {
        debug_assert!(settings::find(setting.name).is_some(), "{} is in no group", setting.name);
        let text = self.text(setting)?;
        match (setting.parse)(text, cores) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.error(setting, Some(text), expected);
                None
            }
        }
    }

    /// The given text, not parsed.
    pub(super) fn text(&self, setting: &dyn Declared) -> Option<&'r str> {
        self.texts.text(setting.name())
    }

    /// Adds an error about a setting; `text` is left out if it may contain a secret.
    pub(super) fn error(&mut self, setting: &dyn Declared, text: Option<&str>, expected: impl Into<String>) {
        let is_shown = |text: &&str| match setting.kind() {
            ValueKind::Key => false,
            // A URL that is not valid may still contain a secret.
            ValueKind::Url => !text.contains(['@', '?', '#']),
            ValueKind::Switch | ValueKind::Public(_) => true,
        };
        let value = text.filter(is_shown).map(str::to_owned);
        self.errors.push(ConfigError { name: setting.name(), value, expected: expected.into() });
    }

    /// Adds an error unless there is the same one.
    pub(super) fn error_once(&mut self, setting: &dyn Declared, expected: String) {
        let mut others = self.errors.iter();
        if !others.any(|error| error.name == setting.name() && error.expected == expected) {
            self.error(setting, None, expected);
        }
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Adds a warning unless there is the same one.
    pub(super) fn warn_once(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// What was read, and the warnings. With `None`, nothing could be read because of an error.
    ///
    /// # Errors
    /// Every [`ConfigError`].
    pub(super) fn finish<T>(self, read: Option<T>) -> Result<(T, Vec<String>), Vec<ConfigError>> {
        match read {
            Some(read) if self.errors.is_empty() => Ok((read, self.warnings)),
            _ => Err(self.errors),
        }
    }
}
