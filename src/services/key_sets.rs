//! Key sets (`JWKS_URL`, issuers): a thread fetches each at start, every few minutes, and when a
//! token names an unknown key.
//!
//! Invariants:
//! - the hub starts whether or not a set can be fetched; until then no token is valid;
//! - a failed fetch keeps the last set, and logs one warning;
//! - a response is bounded in bytes, time and redirects, and HTTPS never becomes HTTP.
//!
//! The host's trusted authorities are read again for each fetch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::{info, warn};
use url::{Position, Url};

use super::discovery::{Discovery, DiscoveryError};
use super::https::{NoAuthorities, Terms, Trust, http, https};
use crate::api::keyring::SharedKeys;
use crate::error_text::chain;
use crate::limits::{
    JWKS_BYTES_MAX, JWKS_FETCH_MS, JWKS_REDIRECTS_MAX, JWKS_REFRESH_MS, JWKS_RETRY_MS_MAX, JWKS_RETRY_MS_MIN,
};
use crate::mercure::token::{Algorithm, KeySet, KeySetError};
use crate::panics::caught;
use crate::redact::Redacted;

const TERMS: Terms = Terms {
    within_ms: JWKS_FETCH_MS,
    redirects_max: JWKS_REDIRECTS_MAX,
    no_is_error: true,
    by_proxy: true,
    public_only: false,
};

/// Where a key set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySetLocation {
    /// At this address: `http` or `https`, without user and password.
    Url(Url),
    /// Where the metadata of an issuer say.
    Metadata(Discovery),
}

/// A key set and its place.
#[derive(Clone)]
pub struct KeySetSource {
    /// The issuer (draft 08) that it belongs to; no two share one. `None`: it is of `JWKS_URL`.
    pub issuer: Option<Box<str>>,
    /// Its place.
    pub location: KeySetLocation,
    /// The accepted algorithms; an empty list leaves it to the keys.
    pub allowed: Vec<Algorithm>,
    /// The keys that the shards use.
    pub keys: Arc<SharedKeys>,
}

/// Why a key set could not be fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the response is larger than {JWKS_BYTES_MAX} bytes")]
    TooLarge,
    #[error(transparent)]
    Http(ureq::Error),
    #[error(transparent)]
    Untrusted(#[from] NoAuthorities),
    #[error(transparent)]
    Document(#[from] KeySetError),
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// ureq panics where no thread can be started for a name lookup.
    #[error("the request panicked: {0}")]
    Panicked(String),
    /// Reading the response panicked, which must not end the hub. The panic is in the log.
    #[error("reading the response panicked (a defect of the hub)")]
    Defect,
}

impl From<ureq::Error> for FetchError {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::BodyExceedsLimit(_) => Self::TooLarge,
            error => Self::Http(error),
        }
    }
}

/// The state of a key set's thread.
pub(crate) struct Fetcher {
    source: KeySetSource,
    /// The document that was fetched last.
    document: Vec<u8>,
    failures_in_a_row: u32,
}

impl Fetcher {
    pub(crate) fn new(source: KeySetSource) -> Self {
        Self { source, document: Vec::new(), failures_in_a_row: 0 }
    }

    /// Fetches until the hub has ended, or no issuer uses the set any more. Calls `on_new` after
    /// each new set.
    pub(crate) fn run(mut self, ended: &AtomicBool, on_new: impl Fn()) {
        let keys = Arc::clone(&self.source.keys);
        while !ended.load(Ordering::SeqCst) && !keys.is_retired() {
            keys.set_fetching(true);
            if self.update() {
                on_new();
            }
            keys.set_fetching(false);
            // Wait for a request or the next regular fetch; this thread holds a sender, so the
            // channel is never disconnected.
            let _ = keys.asks().recv_timeout(self.pause());
        }
    }

    /// Returns whether the set is new.
    fn update(&mut self) -> bool {
        let url = shown(&self.source.location).to_owned();
        let fetched = catch_unwind(AssertUnwindSafe(|| self.fetch()));
        match fetched.unwrap_or(Err(FetchError::Defect)) {
            Ok((document, set)) => {
                self.failures_in_a_row = 0;
                let is_new = set.is_some();
                if let Some(set) = set {
                    let (keys, left_out) = (set.len(), set.left_out());
                    if keys == 0 {
                        warn!(url, left_out, "the key set has no key that can be used: no token is valid");
                    } else {
                        info!(url, keys, left_out, "the key set is new");
                    }
                    self.document = document;
                    self.source.keys.replace(set);
                }
                is_new
            }
            Err(error) => {
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                let so_far = match self.document.is_empty() {
                    true => "until it can, no token is valid",
                    false => "the last one stays in force",
                };
                let retry_s = self.pause().as_secs();
                // The error can quote the address, or what the server sent.
                let error = chain(&error).to_string();
                let error = Redacted::whole(&error);
                warn!(url, %error, retry_s, "the key set cannot be fetched; {so_far}");
                false
            }
        }
    }

    /// The document, and its key set unless the document is unchanged: then verified tokens stay
    /// verified.
    fn fetch(&self) -> Result<(Vec<u8>, Option<KeySet>), FetchError> {
        let document = match &self.source.location {
            KeySetLocation::Url(url) => get(url, TERMS)?,
            KeySetLocation::Metadata(discovery) => {
                let (allows_private, public_only) = (discovery.allows_private, !discovery.allows_private);
                let terms = Terms { by_proxy: allows_private, public_only, ..TERMS };
                let metadata = get(&discovery.metadata_url()?, terms)?;
                get(&discovery.key_set_url(&metadata)?, terms)?
            }
        };
        if document == self.document {
            return Ok((document, None));
        }
        let set = KeySet::parse(&document, &self.source.allowed)?;
        Ok((document, Some(set)))
    }

    /// The time until the next regular fetch.
    fn pause(&self) -> Duration {
        let ms = match self.failures_in_a_row {
            0 => JWKS_REFRESH_MS,
            failures => {
                let doublings = (failures - 1).min(u64::BITS / 2);
                JWKS_RETRY_MS_MIN.saturating_mul(1 << doublings).min(JWKS_RETRY_MS_MAX)
            }
        };
        Duration::from_millis(ms)
    }
}

fn get(url: &Url, terms: Terms) -> Result<Vec<u8>, FetchError> {
    let agent = match url.scheme() {
        "https" => https(&Trust::Host, terms)?,
        _ => http(terms),
    };
    let request = agent.get(url.as_str()).header("Accept", "application/jwk-set+json, application/json");
    let mut response = caught(|| request.call()).map_err(FetchError::Panicked)??;
    Ok(response.body_mut().with_config().limit(JWKS_BYTES_MAX).read_to_vec()?)
}

/// The address without its query, which may hold a secret; or the issuer, which holds none.
fn shown(location: &KeySetLocation) -> &str {
    match location {
        KeySetLocation::Url(url) => &url[..Position::AfterPath],
        KeySetLocation::Metadata(discovery) => &discovery.issuer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_that_fails_again_is_repeated_ever_more_rarely() {
        let url = Url::parse("http://localhost/").expect("a URL");
        let location = KeySetLocation::Url(url);
        let mut fetcher = Fetcher::new(KeySetSource {
            issuer: None,
            location,
            allowed: Vec::new(),
            keys: SharedKeys::new(),
        });
        let mut pause_s = |failures| {
            fetcher.failures_in_a_row = failures;
            fetcher.pause().as_secs()
        };
        assert_eq!([0, 1, 2, 3, 6, 7, u32::MAX].map(&mut pause_s), [300, 1, 2, 4, 32, 60, 60]);
    }

    #[test]
    fn a_secret_in_the_query_is_not_shown() {
        let url = Url::parse("https://a.example:8443/keys?key=s3cret").expect("a URL");
        assert_eq!(shown(&KeySetLocation::Url(url)), "https://a.example:8443/keys");
    }
}
