//! Topic selectors: the topics that a subscriber requests, or that a token grants (PROTOCOL section
//! 5).
//!
//! [`Selector::matches`] is the plain definition. The topic index gives the same result for a
//! million selectors.

use std::fmt;
use std::sync::Arc;

use crate::limits::{SELECTOR_BYTES_MAX, TEMPLATE_STATES_MAX};
use crate::mercure::characters::has_control_or_format;
use crate::mercure::names::ANY;
use crate::mercure::public_url::PublicUrl;
use crate::mercure::uri_template::{Template, TemplateError};

/// One topic selector. Two are equal when their texts are equal.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Selector {
    /// `*`: every topic.
    Any,
    /// The topic with exactly this text, byte by byte. An invalid template is one of these.
    Exact(Box<str>),
    /// The topics that the template can produce, and the template itself as a string.
    Template(Arc<Template>),
}

/// What the text of a matcher of draft 08 means (MERCURE-1.0, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatcherType {
    /// The topic with exactly this text.
    Exact,
    /// The topics that a URL Pattern matches.
    UrlPattern,
}

impl MatcherType {
    /// Its name, as in tokens and paths: `exact` or `urlpattern`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::UrlPattern => "urlpattern",
        }
    }

    /// The type with this name, byte by byte.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Exact, Self::UrlPattern].into_iter().find(|it| it.as_str() == name)
    }
}

/// Why a text is refused as a selector. The message may be shown to clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The empty string, which is not a topic.
    #[error("a topic selector must not be empty")]
    Empty,
    /// Longer than [`SELECTOR_BYTES_MAX`].
    #[error("a topic selector must not be longer than {SELECTOR_BYTES_MAX} bytes")]
    TooLong,
    /// A template whose compiled form exceeds [`TEMPLATE_STATES_MAX`].
    #[error("a topic selector must not be a URI Template of more than {TEMPLATE_STATES_MAX} states")]
    TooComplex,
    /// Holds a control or format character.
    #[error("a matcher must not hold a control or format character")]
    Character,
    /// No URL Pattern.
    #[error("a URL Pattern is invalid: {0}")]
    Pattern(String),
}

impl Selector {
    /// Reads a selector. A template that does not parse is a plain string, never an error.
    ///
    /// # Errors
    /// [`SelectorError`] names the bound that the text breaks.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.is_empty() {
            return Err(SelectorError::Empty);
        }
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(SelectorError::TooLong);
        }
        if text == ANY {
            return Ok(Self::Any);
        }
        match Template::parse(text) {
            Ok(template) => Ok(Self::Template(Arc::new(template))),
            Err(TemplateError::TooComplex) => Err(SelectorError::TooComplex),
            Err(TemplateError::Syntax { .. } | TemplateError::NoExpression) => Ok(Self::Exact(text.into())),
        }
    }

    /// Reads a matcher of draft 08. `*` is the wildcard whatever the type.
    ///
    /// # Errors
    /// [`SelectorError`] names the rule that the text breaks.
    pub fn parse_matcher(matcher: MatcherType, text: &str, hub: &PublicUrl) -> Result<Self, SelectorError> {
        if text.is_empty() {
            return Err(SelectorError::Empty);
        }
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(SelectorError::TooLong);
        }
        if has_control_or_format(text) {
            return Err(SelectorError::Character);
        }
        if text == ANY {
            return Ok(Self::Any);
        }
        match matcher {
            MatcherType::Exact => Ok(Self::Exact(text.into())),
            MatcherType::UrlPattern => Err(SelectorError::Pattern(hub.to_string())),
        }
    }

    /// Whether it selects `topic`: it is `*`, or the same text, or a template that can produce it.
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => **text == *topic,
            Self::Template(template) => template.as_str() == topic || template.matches(topic),
        }
    }

    /// The most that a comparison with a topic of 1 KiB costs, at least 1; see
    /// [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE).
    pub fn match_cost(&self) -> u32 {
        match self {
            Self::Any | Self::Exact(_) => 1,
            Self::Template(template) => template.match_cost(),
        }
    }

    /// Whether it is a template with a choice: a topic could match it in several ways, and is
    /// compared with all of them.
    pub fn has_choice(&self) -> bool {
        matches!(self, Self::Template(template) if !template.is_plain())
    }

    /// The selector as it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Any => ANY,
            Self::Exact(text) => text,
            Self::Template(template) => template.as_str(),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, topic: &str) -> bool {
        Selector::parse(selector).expect("a selector").matches(topic)
    }

    #[test]
    fn a_selector_matches_any_or_itself_or_what_its_template_produces() {
        assert!(matches("*", "anything"));
        assert!(matches("https://example.com/a", "https://example.com/a"));
        assert!(!matches("https://example.com/a", "https://example.com/A"));
        assert!(!matches("**", "anything"));
        assert!(matches("https://example.com/books/{id}", "https://example.com/books/1"));
        assert!(!matches("https://example.com/books/{id}", "https://example.com/books/1/2"));
        assert!(matches("https://example.com/books/{id}", "https://example.com/books/{id}"));
        assert!(!matches("https://example.com/books/{id}", "https://example.com/books/{ID}"));
    }

    #[test]
    fn an_invalid_template_is_a_plain_string() {
        for text in [
            "{",
            "}",
            "{é}",
            "{a b}",
            "{}",
            "{a",
            "a}b{c}",
            "{a:0}",
            "{a:10000}",
            "{=a}",
            "{a}\\{b}",
            "{a}%4",
        ] {
            assert!(matches!(Selector::parse(text), Ok(Selector::Exact(_))), "{text}");
            assert!(matches(text, text));
        }
        assert!(!matches("{a b}", "x"));
    }

    #[test]
    fn the_bounds_are_errors_that_say_the_limit() {
        assert_eq!(Selector::parse(""), Err(SelectorError::Empty));
        assert!(Selector::parse(&"a".repeat(SELECTOR_BYTES_MAX)).is_ok());
        let error = Selector::parse(&"a".repeat(SELECTOR_BYTES_MAX + 1)).expect_err("too long");
        assert!(error.to_string().contains("4096"), "{error}");
        let wide = format!("{{/{}a}}", "a,".repeat(2000));
        assert_eq!(Selector::parse(&wide), Err(SelectorError::TooComplex));
    }

    #[test]
    fn selectors_are_equal_by_their_text() {
        assert_eq!(Selector::parse("/{a}"), Selector::parse("/{a}"));
        assert_ne!(Selector::parse("/{a}"), Selector::parse("/{b}"));
    }
}
