//! Why a token grants nothing.

use std::fmt;

/// Why a token grants nothing. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuthError {
    /// The token is not valid.
    Invalid(String),
    /// The token cannot be verified yet: the keys are being fetched.
    NotYet(&'static str),
}

pub(super) fn invalid(error: impl fmt::Display) -> AuthError {
    AuthError::Invalid(error.to_string())
}
