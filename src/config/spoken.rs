//! What a hub speaks and whose tokens it takes, for `petasos config` and `petasos check`.
//!
//! Invariant: no text contains a secret, or the query of a URL.

use std::fmt;
use std::sync::Arc;

use url::Position;

use super::configuration::Config;
use super::settings::issuers::names_of;
use super::written;
use crate::api::keyring::KeySource;
use crate::services::key_sets::KeySetLocation;

/// An issuer of tokens of draft 08, and the sources of its keys as text. `None` for a role that its
/// tokens do not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSummary {
    /// Its identifier.
    pub name: String,
    /// The source of the key for publishers' tokens.
    pub publisher: Option<String>,
    /// The same for subscribers' tokens.
    pub subscriber: Option<String>,
    /// Whether the resource metadata list it.
    pub is_advertised: bool,
}

impl Config {
    /// The dialects, as in `PROTOCOL`.
    pub fn protocol(&self) -> String {
        written::dialects(self.settings.api.dialects)
    }

    /// The issuers of tokens of draft 08.
    pub fn issuers(&self) -> Vec<IssuerSummary> {
        let source = |source: &Option<KeySource>| source.as_ref().map(|source| self.key_source(source));
        let issuers = self.settings.api.issuers.iter();
        issuers
            .map(|issuer| IssuerSummary {
                name: issuer.name.to_string(),
                publisher: source(&issuer.publisher),
                subscriber: source(&issuer.subscriber),
                is_advertised: issuer.is_advertised,
            })
            .collect()
    }

    fn key_source(&self, source: &KeySource) -> String {
        let keys = match source {
            KeySource::Fixed(key) => return format!("key, {:?}", key.algorithm()),
            KeySource::File(key) => return format!("key in a file, {:?}", key.algorithm()),
            KeySource::Fetched(keys) => keys,
        };
        match self.settings.key_sets.iter().find(|set| Arc::ptr_eq(&set.keys, keys)) {
            None => "key set".to_owned(),
            Some(set) => {
                let place = match &set.location {
                    KeySetLocation::Url(url) => &url[..Position::AfterPath],
                    KeySetLocation::Metadata(_) => "of its metadata",
                };
                format!("key set {place}, {}", names_of(&set.allowed))
            }
        }
    }
}

impl fmt::Display for IssuerSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [publisher, subscriber] =
            [&self.publisher, &self.subscriber].map(|source| source.as_deref().unwrap_or("none"));
        write!(f, "{} (publishers: {publisher}; subscribers: {subscriber})", self.name)
    }
}
