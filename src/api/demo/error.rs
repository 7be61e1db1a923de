//! Why a request to a resource of demo mode is refused.

use http::StatusCode;

use crate::http::request::Request;
use crate::http::response::Response;
use crate::limits::{DEMO_COOKIE_BYTES_MAX, DEMO_TARGET_BYTES_MAX, MATCH_TOPICS_MAX, SELECTOR_BYTES_MAX};
use crate::mercure::form::FormError;
use crate::mercure::selector::SelectorError;
use crate::mercure::topic::TopicError;

/// Why a request to one of them is refused. The texts are safe to show the client and hold no part
/// of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DemoError {
    /// Neither `GET` nor `HEAD`.
    #[error("method not allowed")]
    Method,
    /// Path and query are longer than [`DEMO_TARGET_BYTES_MAX`]; the response repeats them in a
    /// header.
    #[error("Path and query must not be longer than {DEMO_TARGET_BYTES_MAX} bytes here.")]
    TargetTooLong,
    /// The query is not a form.
    #[error("Invalid query: {0}")]
    Form(#[source] FormError),
    /// `jwt` cannot be the value of a cookie (RFC 6265, section 4.1.1).
    #[error("Invalid \"jwt\" parameter: it holds what no token does.")]
    NoCookie,
    /// `jwt` is longer than [`DEMO_COOKIE_BYTES_MAX`].
    #[error(
        "Invalid \"jwt\" parameter: it is longer than {DEMO_COOKIE_BYTES_MAX} bytes, and browsers keep no such cookie."
    )]
    CookieTooLong,
    /// There is not exactly one `selector` or matcher of draft 08.
    #[error("Expected one \"selector\" parameter, or one \"match\" or \"match_urlpattern\".")]
    Selectors,
    /// A matcher of draft 08 is not valid.
    #[error("Invalid matcher: {0}")]
    Matcher(#[source] SelectorError),
    /// A matcher of draft 08, and the hub does not know its own URL.
    #[error("Unsupported matcher: this hub has no PUBLIC_URL, against which URL patterns are resolved.")]
    NoPublicUrl,
    /// `selector` is not valid.
    #[error("Invalid \"selector\" parameter: {0}")]
    Selector(#[source] SelectorError),
    /// There is no `topic`, or there are more than [`MATCH_TOPICS_MAX`].
    #[error("Expected 1 to {MATCH_TOPICS_MAX} \"topic\" parameters.")]
    Topics,
    /// A `topic` is not valid.
    #[error("Invalid \"topic\" parameter: {0}")]
    Topic(#[source] TopicError),
    /// A `topic` is longer than [`SELECTOR_BYTES_MAX`].
    #[error("A \"topic\" parameter must not be longer than {SELECTOR_BYTES_MAX} bytes here.")]
    TopicTooLong,
    /// Matching the topics would cost more than
    /// [`MATCH_COST_REQUEST_MAX`](crate::limits::MATCH_COST_REQUEST_MAX).
    #[error("Matching these topics costs too much: expected a simpler selector, or shorter topics.")]
    TooCostly,
}

/// Checks the length of path and query, for both resources that read a query.
pub(super) fn check_target(request: &Request<'_>) -> Result<(), DemoError> {
    let bytes = request.path.len() + request.query.map_or(0, |query| 1 + query.len());
    if bytes > DEMO_TARGET_BYTES_MAX { Err(DemoError::TargetTooLong) } else { Ok(()) }
}

impl DemoError {
    /// The response.
    pub fn to_response(&self) -> Response {
        match self {
            Self::Method => Response::method_not_allowed("GET, HEAD, OPTIONS"),
            Self::TargetTooLong => Response::text(StatusCode::URI_TOO_LONG, self.to_string()),
            _ => Response::bad_request(self),
        }
    }
}
