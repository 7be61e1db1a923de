//! The settings as given: for each, a text and where it was given.

use std::collections::BTreeMap;
use std::fmt;

/// The source of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingSource {
    /// A flag of the command line, or a call of the program that embeds the hub.
    Flag,
    /// An environment variable.
    Environment,
    /// The file named by a setting ending in `_FILE`.
    File,
    /// The setting is not given: its default.
    Default,
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        })
    }
}

/// The text of each setting that is given, by name. No text is empty: an empty one counts as not
/// given. It holds secrets, so it is not `Debug`.
#[derive(Clone, Default)]
pub(crate) struct Texts {
    given: BTreeMap<&'static str, (String, SettingSource)>,
}

impl Texts {
    /// Replaces the text of a setting; an empty one removes it.
    pub(crate) fn set(&mut self, name: &'static str, text: &str, source: SettingSource) {
        if text.is_empty() {
            self.given.remove(name);
        } else {
            self.given.insert(name, (text.to_owned(), source));
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(|(text, _)| text.as_str())
    }

    pub(crate) fn source(&self, name: &str) -> Option<SettingSource> {
        self.given.get(name).map(|(_, source)| *source)
    }
}
