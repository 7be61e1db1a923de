//! Topic selectors: the topics that a subscriber requests, or that a token grants (PROTOCOL section
//! 5).
//!
//! [`Selector::matches`] is the plain definition. The topic index gives the same result for a
//! million selectors.

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use crate::limits::{SELECTOR_BYTES_MAX, SELECTOR_HELD_BYTES, TEMPLATE_STATES_MAX};
use crate::mercure::characters::has_control_or_format;
use crate::mercure::names::ANY;
use crate::mercure::public_url::PublicUrl;
use crate::mercure::uri_template::{Template, TemplateError};
use crate::mercure::url_pattern::{TopicUrl, UrlPattern, UrlPatternError};

/// One topic selector. Two are equal when they are of one kind and their texts are equal.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Selector {
    /// `*`: every topic.
    Any,
    /// The topic with exactly this text, byte by byte. An invalid template is one of these.
    Exact(Box<str>),
    /// The topics that the template can produce, and the template itself as a string.
    Template(Arc<Template>),
    /// The topics that the URL Pattern matches; its own text is none of them by itself.
    Pattern(Arc<UrlPattern>),
}

/// A topic that is compared with several selectors: it is read as a URL at most once, when the
/// first pattern needs that. All patterns must have the URL of one hub.
pub struct ComparedTopic<'t> {
    text: &'t str,
    read: ReadTopic,
}

/// Whether a topic was read as a URL, and that URL, without its text.
#[derive(Default)]
pub struct ReadTopic(OnceCell<Option<TopicUrl>>);

impl<'t> ComparedTopic<'t> {
    /// A topic that is not read as a URL yet.
    pub fn new(text: &'t str) -> Self {
        Self::resumed(text, ReadTopic::default())
    }

    /// The topic of which [`Self::into_read`] was kept.
    pub fn resumed(text: &'t str, read: ReadTopic) -> Self {
        Self { text, read }
    }

    /// What was read of it, to be kept without its text.
    pub fn into_read(self) -> ReadTopic {
        self.read
    }

    /// The topic as text.
    pub fn as_str(&self) -> &'t str {
        self.text
    }

    /// Whether it was read as a URL.
    pub(super) fn is_read(&self) -> bool {
        self.read.0.get().is_some()
    }

    /// The topic as a URL, if it is one.
    pub fn url(&self, hub: &PublicUrl) -> Option<&TopicUrl> {
        self.read.0.get_or_init(|| TopicUrl::parse(self.text, hub)).as_ref()
    }
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
    /// No URL Pattern, or one that costs too much.
    #[error("a matcher is refused as a URL Pattern: {0}")]
    Pattern(#[from] UrlPatternError),
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
            MatcherType::UrlPattern => Ok(Self::Pattern(Arc::new(UrlPattern::parse(text, hub)?))),
        }
    }

    /// Whether it selects `topic`: it is `*`, or the same text, or a template that can produce it,
    /// or a pattern that matches it.
    pub fn matches(&self, topic: &str) -> bool {
        self.matches_compared(&ComparedTopic::new(topic))
    }

    /// The same for a topic that is compared with several selectors.
    pub fn matches_compared(&self, topic: &ComparedTopic<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => **text == *topic.text,
            Self::Template(template) => template.as_str() == topic.text || template.matches(topic.text),
            Self::Pattern(pattern) => topic.url(pattern.hub()).is_some_and(|url| pattern.matches_url(url)),
        }
    }

    /// The most that a comparison with a topic of 1 KiB costs, at least 1; see
    /// [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE).
    pub fn match_cost(&self) -> u32 {
        match self {
            Self::Any | Self::Exact(_) => 1,
            Self::Template(template) => template.match_cost(),
            Self::Pattern(pattern) => pattern.match_cost(),
        }
    }

    /// The bytes that an index needs for it if no other selector has its text, its head or its
    /// tail: an estimate.
    pub fn held_bytes(&self) -> usize {
        let compiled = match self {
            Self::Any | Self::Exact(_) => 0,
            Self::Template(template) => template.held_bytes(),
            Self::Pattern(pattern) => pattern.held_bytes(),
        };
        SELECTOR_HELD_BYTES + self.as_str().len() + compiled
    }

    /// Whether it is a template or a pattern with a choice: a topic could match it in several
    /// ways, and is compared with all of them.
    pub fn has_choice(&self) -> bool {
        match self {
            Self::Any | Self::Exact(_) => false,
            Self::Template(template) => !template.is_plain(),
            Self::Pattern(pattern) => !pattern.is_plain(),
        }
    }

    /// The selector as it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Any => ANY,
            Self::Exact(text) => text,
            Self::Template(template) => template.as_str(),
            Self::Pattern(pattern) => pattern.as_str(),
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

    fn hub() -> PublicUrl {
        PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a hub's URL")
    }

    #[test]
    fn a_matcher_is_the_wildcard_or_of_its_type() {
        let parse = |matcher, text: &str| Selector::parse_matcher(matcher, text, &hub());
        for matcher in [MatcherType::Exact, MatcherType::UrlPattern] {
            assert_eq!(parse(matcher, "*"), Ok(Selector::Any));
            assert_eq!(parse(matcher, ""), Err(SelectorError::Empty));
            assert_eq!(parse(matcher, "a\u{200b}"), Err(SelectorError::Character));
            assert_eq!(parse(matcher, &"a".repeat(SELECTOR_BYTES_MAX + 1)), Err(SelectorError::TooLong));
        }
        let exact = parse(MatcherType::Exact, "https://e.x/{id}").expect("a matcher");
        assert!(exact.matches("https://e.x/{id}") && !exact.matches("https://e.x/1"));
        let pattern = parse(MatcherType::UrlPattern, "/books/:id").expect("a matcher");
        assert!(pattern.matches("/books/1") && pattern.matches("https://hub.e.x/books/1?q"));
        assert!(!pattern.matches("/books") && !pattern.matches("https://e.x/books/1"));
    }

    /// Test 21 of MERCURE-1.0, section 13.
    #[test]
    fn the_text_of_a_pattern_is_no_match_by_itself() {
        let text = "https://e.x/(a)";
        let pattern = Selector::parse_matcher(MatcherType::UrlPattern, text, &hub()).expect("a matcher");
        assert!(!pattern.matches(text) && pattern.matches("https://e.x/a"));
    }

    /// Test 30 of MERCURE-1.0, section 13.
    #[test]
    fn a_malformed_pattern_is_an_error_without_internals() {
        let error = Selector::parse_matcher(MatcherType::UrlPattern, "https://e.x/(", &hub());
        let text = error.expect_err("an error").to_string();
        assert!(text.contains("URL Pattern") && !text.contains("token"), "{text}");
    }

    /// Test 124 of MERCURE-1.0, section 13.
    #[test]
    fn selectors_of_different_kinds_are_different() {
        let template = Selector::parse("/a/{id}").expect("a selector");
        let exact = Selector::parse_matcher(MatcherType::Exact, "/a/{id}", &hub()).expect("a matcher");
        let pattern = Selector::parse_matcher(MatcherType::UrlPattern, "/a/{id}", &hub()).expect("a matcher");
        assert!(template != exact && template != pattern && exact != pattern);
        assert!(template.matches("/a/1") && !exact.matches("/a/1") && !pattern.matches("/a/1"));
    }

    #[test]
    fn selectors_are_equal_by_their_text() {
        assert_eq!(Selector::parse("/{a}"), Selector::parse("/{a}"));
        assert_ne!(Selector::parse("/{a}"), Selector::parse("/{b}"));
    }
}
