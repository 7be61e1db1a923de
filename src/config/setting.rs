//! What a setting is: a name, its texts, a parser, a default, and the place of its value in the
//! [`Config`].
//!
//! Each is declared once, as a [`Setting`], in the file of its heading in `settings/`. The flags,
//! the help, `docs/configuration.md`, the errors, `petasos config` and the search for misspelled
//! names use that declaration. A new setting is a declaration, which its [`Group`] lists, and a
//! line in `read.rs` that puts its value into the configuration.

use super::configuration::Config;
use super::texts::Texts;
use super::values::Expected;

/// The declaration of a setting with values of type `T`.
pub(crate) struct Setting<T> {
    /// The environment variable. The flag has the same name in lower case, with hyphens.
    pub(crate) name: &'static str,
    pub(crate) kind: ValueKind,
    /// The help, in sentences, without the default and without the last period.
    pub(crate) help: &'static str,
    pub(crate) default: DefaultText,
    /// Parses a text that is not empty. Only the settings of cores use the second argument, the
    /// cores that they choose from.
    pub(crate) parse: fn(&str, &[usize]) -> Result<T, Expected>,
    /// The value in force, in a form in which it could be given; `None` if there is none. The value
    /// of a secret may be any text: it is masked.
    pub(crate) in_force: fn(&Config, &Texts) -> Option<String>,
}

/// How a value is named in the help, and what of it may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// 0 or 1; the flag alone means 1.
    Switch,
    /// A secret.
    Key,
    /// A URL; a user, a password and a query in it may be secrets.
    Url,
    /// Any other text, which is no secret; its name in the help.
    Public(&'static str),
}

/// The value of a setting that is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultText {
    /// A text that the setting's parser accepts.
    Value(&'static str),
    /// Such a text, preceded by its name in the help.
    Named(&'static str, &'static str),
    /// The text of the help. The value depends on other settings or on the host, or there is none.
    Description(&'static str),
}

/// The settings under one heading of the help, in its order.
pub(crate) struct Group {
    pub(crate) heading: &'static str,
    pub(crate) settings: &'static [&'static dyn Declared],
}

/// A [`Setting`] whatever the type of its values.
pub(crate) trait Declared: Sync {
    fn name(&self) -> &'static str;
    fn kind(&self) -> ValueKind;
    fn help(&self) -> &'static str;
    fn default(&self) -> DefaultText;
    /// The text of the error for a text that is not valid; `None` for a valid one.
    #[cfg(test)]
    fn error(&self, text: &str, cores: &[usize]) -> Option<Expected>;
    /// [`Setting::in_force`]
    fn in_force(&self, config: &Config, texts: &Texts) -> Option<String>;

    /// The flag without its hyphens in front.
    fn flag(&self) -> String {
        self.name().to_lowercase().replace('_', "-")
    }
}

impl<T> Setting<T> {
    /// The text of this setting, if it is given.
    pub(crate) fn text<'t>(&self, texts: &'t Texts) -> Option<&'t str> {
        texts.text(self.name)
    }

    /// The default, for a setting that has one independent of other settings and of the host.
    pub(crate) fn default_value(&self, cores: &[usize]) -> Option<T> {
        // A test parses the default of every setting.
        (self.parse)(self.default.value()?, cores).ok()
    }
}

impl ValueKind {
    /// The name of the value in the help.
    pub(crate) fn value_name(self) -> &'static str {
        match self {
            Self::Switch => "0|1",
            Self::Key => "KEY",
            Self::Url => "URL",
            Self::Public(name) => name,
        }
    }

    /// Whether a value may contain a secret.
    pub(crate) fn may_hold_secret(self) -> bool {
        matches!(self, Self::Key | Self::Url)
    }
}

impl DefaultText {
    /// As in the help.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Value(text) | Self::Description(text) => text.to_owned(),
            Self::Named(name, value) => format!("{name}, {value}"),
        }
    }

    /// As the setting could be given.
    pub(crate) fn value(self) -> Option<&'static str> {
        match self {
            Self::Value(value) | Self::Named(_, value) => Some(value),
            Self::Description(_) => None,
        }
    }
}

impl<T> Declared for Setting<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn kind(&self) -> ValueKind {
        self.kind
    }

    fn help(&self) -> &'static str {
        self.help
    }

    fn default(&self) -> DefaultText {
        self.default
    }

    #[cfg(test)]
    fn error(&self, text: &str, cores: &[usize]) -> Option<Expected> {
        (self.parse)(text, cores).err()
    }

    fn in_force(&self, config: &Config, texts: &Texts) -> Option<String> {
        (self.in_force)(config, texts)
    }
}
