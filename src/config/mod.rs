//! Parses flags and environment variables into a [`Config`] that is valid as a whole.
//!
//! All errors are found before anything starts, and all are listed. Invariants: a setting is
//! declared once, in `settings/`, and everything else about it comes from there; units are
//! converted here, once; a secret is never part of a message; a setting that this version does not
//! have is refused, not ignored.

mod access;
mod certificates;
mod configuration;
mod effective;
mod environment;
mod error;
mod hosts;
mod issuers;
mod keys;
mod names;
mod options;
mod protocol;
mod read;
mod reader;
mod setting;
mod settings;
mod signing;
mod spoken;
mod texts;
mod urls;
mod values;
mod written;

pub use configuration::{Config, DB_PATH_DEFAULT, DEMO_KEY, ListenAddress, LogFormat, MEMORY, Size};
pub use effective::Effective;
pub(crate) use effective::shown;
pub use environment::Environment;
pub use error::ConfigError;
#[cfg(any(test, feature = "internals"))]
pub use error::UnknownSetting;
pub use names::misspelled;
pub use options::Options;
pub(crate) use signing::{SigningError, SigningKey, SigningRole, SigningSettings};
pub use spoken::IssuerSummary;
#[cfg(any(test, feature = "internals"))]
pub use texts::SettingSource;

#[cfg(test)]
mod tests;
