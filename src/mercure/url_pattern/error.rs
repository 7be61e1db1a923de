//! Why a text is no pattern.

use crate::limits::{
    PATTERN_GROUPS_MAX, PATTERN_OPENERS_OF_REQUEST_MAX, PATTERN_STATES_MAX, PATTERN_STATES_OF_REQUEST_MAX,
};

/// Why a text is refused as a URL Pattern. The message may be shown to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlPatternError {
    /// It breaks the grammar.
    #[error("it breaks the grammar of URL Patterns")]
    Syntax,
    /// A component is not one of a URL.
    #[error("a part of it is not valid in a URL")]
    Component,
    /// A regexp breaks the grammar, or has what this hub does not support.
    #[error("a regular expression in it is not valid, or has an assertion, a flag or a Unicode class")]
    Regexp,
    /// It breaks a bound of MERCURE-1.0, section 8.4.
    #[error(
        "it must not have more than {PATTERN_GROUPS_MAX} groups, {PATTERN_STATES_MAX} states, or large \
         regular expressions"
    )]
    TooComplex,
    /// So do the patterns of one request together.
    #[error(
        "together, the patterns of a request must not have more than {PATTERN_STATES_OF_REQUEST_MAX} \
         states, or {PATTERN_OPENERS_OF_REQUEST_MAX} of the bytes : ( {{ *"
    )]
    TooComplexTogether,
}
