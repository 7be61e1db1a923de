//! The readiness check of another hub, for `petasos health`.
//!
//! Invariants: it sends one request, to the given address, with no proxy and no redirects. It ends
//! within its time limit whatever the other side does.

use std::io;
use std::time::Duration;

use url::Url;

use super::https::{NoAuthorities, Terms, Trust, http, https};
use crate::limits::HEALTH_BODY_BYTES_MAX;

/// Why a hub is not ready, or could not be asked. The text continues a sentence that begins with
/// the URL; that of [`HealthError::NoResponse`] follows a colon.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// Another status: the status, and the first line of the text, without control characters.
    #[error("returned {0}{text}", text = after_colon(.1))]
    Status(u16, String),
    /// No response.
    #[error("no response")]
    NoResponse(#[source] io::Error),
    /// There are no trusted authorities to check its certificate.
    #[error("cannot be trusted: {NoAuthorities} (or --insecure)")]
    NoAuthorities,
}

/// A text after a colon, if there is one.
fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// Sends a `GET`, with a time limit; with `takes_any`, accepts any certificate.
///
/// # Errors
/// [`HealthError`]: the response is not a 200, or there is none.
pub fn ask(url: &Url, takes_any: bool, within: Duration) -> Result<(), HealthError> {
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let terms =
        Terms { within_ms, redirects_max: 0, no_is_error: false, by_proxy: false, public_only: false };
    let agent = match url.scheme() {
        "https" => {
            let trust = if takes_any { Trust::Anybody } else { Trust::Host };
            https(&trust, terms).map_err(|NoAuthorities| HealthError::NoAuthorities)?
        }
        _ => http(terms),
    };
    let result = agent.get(url.as_str()).call();
    let mut response = result.map_err(|error| HealthError::NoResponse(error.into_io()))?;
    match response.status().as_u16() {
        200 => Ok(()),
        status => {
            // Without a text, the status is enough.
            let text = response.body_mut().with_config().limit(HEALTH_BODY_BYTES_MAX).read_to_string();
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
