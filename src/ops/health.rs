//! The readiness check of another hub, for `petasos health`.
//!
//! Invariants: it sends one request, to the given address, with no proxy and no redirects. It ends
//! within its time limit whatever the other side does.

use std::fmt;
use std::time::Duration;

use url::Url;

use crate::limits::HEALTH_BODY_BYTES_MAX;
use crate::services::https::{NoAuthorities, Terms, Trust, http, https};

/// Why a hub is not ready, or could not be asked. The text continues a sentence that begins with
/// the URL.
#[derive(Debug)]
pub enum HealthError {
    /// Another status: the status, and the first line of the text, without control characters.
    Status(u16, String),
    /// No response; the cause.
    NoAnswer(String),
    /// There are no trusted authorities to check its certificate.
    NoAuthorities,
}

impl fmt::Display for HealthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status, text) if text.is_empty() => write!(f, "answers {status}"),
            Self::Status(status, text) => write!(f, "answers {status}: {text}"),
            Self::NoAnswer(error) => write!(f, "does not answer: {error}"),
            Self::NoAuthorities => write!(f, "cannot be trusted: {NoAuthorities} (or --insecure)"),
        }
    }
}

impl std::error::Error for HealthError {}

/// Sends a `GET`, with a time limit; with `takes_any`, accepts any certificate.
///
/// # Errors
/// [`HealthError`]: the response is not a 200, or there is none.
pub fn ask(url: &Url, takes_any: bool, within: Duration) -> Result<(), HealthError> {
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let terms = Terms { within_ms, redirects_max: 0, no_is_error: false, by_proxy: false };
    let agent = match url.scheme() {
        "https" => {
            let trust = if takes_any { Trust::Anybody } else { Trust::Host };
            https(&trust, terms).map_err(|NoAuthorities| HealthError::NoAuthorities)?
        }
        _ => http(terms),
    };
    let mut answer =
        agent.get(url.as_str()).call().map_err(|error| HealthError::NoAnswer(error.to_string()))?;
    match answer.status().as_u16() {
        200 => Ok(()),
        status => {
            // Without a text, the status is enough.
            let text = answer.body_mut().with_config().limit(HEALTH_BODY_BYTES_MAX).read_to_string();
            let text = text.unwrap_or_default();
            let first_line = text.lines().next().unwrap_or_default().trim();
            // Control characters must not reach the terminal.
            Err(HealthError::Status(
                status,
                first_line.chars().filter(|letter| !letter.is_control()).collect(),
            ))
        }
    }
}
