//! Why a request to a resource of demo mode is refused.

use std::fmt;

use http::StatusCode;

use crate::http::request::Request;
use crate::http::response::Response;
use crate::limits::{
    DEMO_COOKIE_BYTES_MAX, DEMO_TARGET_BYTES_MAX, MATCH_STEPS_MAX, MATCH_TOPICS_MAX, SELECTOR_BYTES_MAX,
};
use crate::mercure::form::FormError;
use crate::mercure::selector::SelectorError;
use crate::mercure::topic::TopicError;

/// Why a request to one of them is refused. The texts are safe to show the client and hold no part
/// of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemoError {
    /// Neither `GET` nor `HEAD`.
    Method,
    /// Path and query are longer than [`DEMO_TARGET_BYTES_MAX`]; the response repeats them in a
    /// header.
    TargetTooLong,
    /// The query is not a form.
    Form(FormError),
    /// `jwt` cannot be the value of a cookie (RFC 6265, section 4.1.1).
    NoCookie,
    /// `jwt` is longer than [`DEMO_COOKIE_BYTES_MAX`].
    CookieTooLong,
    /// There is not exactly one `selector`.
    Selectors,
    /// `selector` is not valid.
    Selector(SelectorError),
    /// There is no `topic`, or there are more than [`MATCH_TOPICS_MAX`].
    Topics,
    /// A `topic` is not valid.
    Topic(TopicError),
    /// A `topic` is longer than [`SELECTOR_BYTES_MAX`].
    TopicTooLong,
    /// Selector and topics together would take more than [`MATCH_STEPS_MAX`] steps.
    TooManySteps,
}

/// Checks the length of path and query, for both resources that read a query.
pub(super) fn check_target(request: &Request<'_>) -> Result<(), DemoError> {
    let bytes = request.path.len() + request.query.map_or(0, |query| 1 + query.len());
    if bytes > DEMO_TARGET_BYTES_MAX { Err(DemoError::TargetTooLong) } else { Ok(()) }
}

impl DemoError {
    /// The response.
    pub fn to_response(self) -> Response {
        match self {
            Self::Method => Response::method_not_allowed("GET, HEAD, OPTIONS"),
            Self::TargetTooLong => Response::text(StatusCode::URI_TOO_LONG, self.to_string()),
            _ => Response::bad_request(&self),
        }
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("method not allowed"),
            Self::TargetTooLong => {
                write!(f, "Path and query must not be longer than {DEMO_TARGET_BYTES_MAX} bytes here.")
            }
            Self::Form(error) => write!(f, "Invalid query: {error}"),
            Self::NoCookie => f.write_str("Invalid \"jwt\" parameter: it holds what no token does."),
            Self::CookieTooLong => write!(
                f,
                "Invalid \"jwt\" parameter: it is longer than {DEMO_COOKIE_BYTES_MAX} bytes, and browsers keep no such cookie."
            ),
            Self::Selectors => f.write_str("Expected one \"selector\" parameter."),
            Self::Selector(error) => write!(f, "Invalid \"selector\" parameter: {error}"),
            Self::Topics => write!(f, "Expected 1 to {MATCH_TOPICS_MAX} \"topic\" parameters."),
            Self::Topic(error) => write!(f, "Invalid \"topic\" parameter: {error}"),
            Self::TopicTooLong => {
                write!(f, "A \"topic\" parameter must not be longer than {SELECTOR_BYTES_MAX} bytes here.")
            }
            Self::TooManySteps => {
                write!(f, "Selector and topics are too long together: more than {MATCH_STEPS_MAX} steps.")
            }
        }
    }
}

impl std::error::Error for DemoError {}
