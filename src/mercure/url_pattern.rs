//! URL Patterns (WHATWG URL Pattern): which topics does a matcher of draft 08 select?
//!
//! The `urlpattern` crate reads a pattern; what it says of each component is compiled into a
//! literal, or a program over bytes that the simulation of the templates runs (`compile`). So a
//! match takes one pass, without backtracking, at a price that is known before. A topic is read as
//! a URL once ([`TopicUrl`]). A pattern is no match for its own text (MERCURE-1.0, section 3).
//!
//! Not as in a browser: a regexp has no assertions (`^`, `\b`, `(?=…)`), no flags and no classes of
//! Unicode; it is refused. Letter case is never ignored.

use std::fmt;
use std::hash::{Hash, Hasher};

use url::Url;
use urlpattern::component::Component;
use urlpattern::matcher::InnerMatcher;
use urlpattern::{Error, UrlPatternInit, UrlPatternOptions};

use crate::limits::{
    MATCH_COST_NODE, MATCH_COST_RUN, MATCH_COST_URL, PATTERN_GROUPS_MAX, PATTERN_OPENERS_MAX,
    PATTERN_PROTOCOL_STATES_MAX, PATTERN_REGEXPS_MAX, PATTERN_STATES_MAX, SELECTOR_BYTES_MAX,
};
use crate::mercure::public_url::PublicUrl;
use crate::mercure::uri_template::Simulator;
use crate::panics::caught;
use component::{PatternComponent, PatternComponents};
pub use error::UrlPatternError;
use key::PatternKey;
use syntax::RegexpText;
pub use topic_url::TopicUrl;
use topic_url::UrlPart;

mod compile;
mod component;
mod error;
mod indexed;
mod key;
mod segments;
mod syntax;
mod topic_url;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wpt_tests;

/// A URL Pattern; equal and hashed by its text and the hub's URL.
pub struct UrlPattern {
    text: Box<str>,
    hub: PublicUrl,
    components: PatternComponents,
    key: PatternKey,
}

impl UrlPattern {
    /// Reads a pattern. A relative one is resolved against the hub's URL; an absolute one is not,
    /// since a base gives an opaque path the directory of the base (MERCURE-1.0, trap 41).
    ///
    /// # Errors
    /// [`UrlPatternError`] names the reason.
    pub fn parse(text: &str, hub: &PublicUrl) -> Result<Self, UrlPatternError> {
        let components = match components(text, None) {
            Err(ComponentsError::Relative) => components(text, Some(hub.url())),
            absolute => absolute,
        };
        let components = components.map_err(|error| match error {
            ComponentsError::Relative => UrlPatternError::Syntax,
            ComponentsError::Invalid(error) => error,
        })?;
        let key = PatternKey::new(&components);
        Ok(Self { text: text.into(), hub: hub.clone(), components, key })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL against which relative patterns and topics are resolved.
    pub fn hub(&self) -> &PublicUrl {
        &self.hub
    }

    /// Whether it matches a topic, which is read as a URL first.
    pub fn matches(&self, topic: &str) -> bool {
        TopicUrl::parse(topic, &self.hub).is_some_and(|url| self.matches_url(&url))
    }

    /// Whether it matches a topic that was read already, with the same hub's URL.
    pub fn matches_url(&self, topic: &TopicUrl) -> bool {
        self.components.match_all(topic, &mut Simulator::default())
    }

    /// The states of its programs, on which the time to read it depends.
    pub(crate) fn states(&self) -> usize {
        self.components.states()
    }

    /// The most that a comparison with a topic of 1 KiB costs, see
    /// [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE).
    pub(crate) fn match_cost(&self) -> u32 {
        let cost = match self.is_plain() {
            true => MATCH_COST_NODE * (self.tail().parts.len() as u32 + 2) + MATCH_COST_RUN,
            false => self.tail_cost(),
        };
        cost.saturating_add(MATCH_COST_URL)
    }
}

/// Why a text has no components.
#[derive(Debug, PartialEq, Eq)]
enum ComponentsError {
    /// It needs a base.
    Relative,
    Invalid(UrlPatternError),
}

impl From<UrlPatternError> for ComponentsError {
    fn from(error: UrlPatternError) -> Self {
        Self::Invalid(error)
    }
}

/// The bytes of a pattern that may begin a group, on which the time to read it depends.
pub(crate) fn openers(text: &str) -> usize {
    text.bytes().filter(|byte| matches!(byte, b':' | b'(' | b'{' | b'*')).count()
}

fn components(text: &str, base: Option<&Url>) -> Result<PatternComponents, ComponentsError> {
    if text.len() > SELECTOR_BYTES_MAX || openers(text) > PATTERN_OPENERS_MAX {
        return Err(UrlPatternError::TooComplex.into());
    }
    components_of(|| UrlPatternInit::parse_constructor_string::<RegexpText>(text, base.cloned()))
}

fn components_of(
    init: impl FnOnce() -> Result<UrlPatternInit, Error>,
) -> Result<PatternComponents, ComponentsError> {
    // The parser has assertions of its own. A text that reaches one is refused, and not logged:
    // else each request could write a line.
    let pattern =
        caught(|| urlpattern::UrlPattern::<RegexpText>::parse(init()?, UrlPatternOptions::default()));
    let pattern = pattern.map_err(|_| UrlPatternError::Syntax)?.map_err(|error| error_of(&error))?;
    let parts = [
        (UrlPart::Protocol, &pattern.protocol),
        (UrlPart::Username, &pattern.username),
        (UrlPart::Password, &pattern.password),
        (UrlPart::Hostname, &pattern.hostname),
        (UrlPart::Port, &pattern.port),
        (UrlPart::Pathname, &pattern.pathname),
        (UrlPart::Search, &pattern.search),
        (UrlPart::Hash, &pattern.hash),
    ];
    let parts = parts.into_iter().filter(|(_, part)| !is_any(part));
    let mut regexps = 0;
    let mut groups = 0;
    for (_, part) in parts.clone() {
        groups += part.group_name_list.len();
        if part.has_regexp_group {
            regexps += syntax::count_regexps(&part.pattern_string)?;
        }
    }
    if groups > PATTERN_GROUPS_MAX || regexps > PATTERN_REGEXPS_MAX {
        return Err(UrlPatternError::TooComplex.into());
    }
    let components = parts.map(|(of, part)| {
        let is_protocol = of == UrlPart::Protocol;
        let states_max = if is_protocol { PATTERN_PROTOCOL_STATES_MAX } else { PATTERN_STATES_MAX };
        component_of(part, states_max).map(|component| (of, component))
    });
    let components = PatternComponents(components.collect::<Result<_, _>>()?);
    if components.states() > PATTERN_STATES_MAX {
        return Err(UrlPatternError::TooComplex.into());
    }
    Ok(components)
}

fn error_of(error: &Error) -> ComponentsError {
    match error {
        Error::BaseUrlRequired => ComponentsError::Relative,
        Error::Url(_) => UrlPatternError::Component.into(),
        Error::RegExp(()) => UrlPatternError::Regexp.into(),
        Error::Tokenizer(..) | Error::Parser(_) | Error::BaseUrlWithInit => UrlPatternError::Syntax.into(),
    }
}

fn is_any(component: &Component<RegexpText>) -> bool {
    let matcher = &component.matcher;
    matcher.prefix.is_empty()
        && matcher.suffix.is_empty()
        && matches!(matcher.inner, InnerMatcher::SingleCapture { filter: None, allow_empty: true })
}

fn component_of(
    component: &Component<RegexpText>,
    states_max: usize,
) -> Result<PatternComponent, UrlPatternError> {
    if let InnerMatcher::Literal { literal } = &component.matcher.inner {
        return Ok(PatternComponent::Literal(literal.as_str().into()));
    }
    let Ok(regexp) = &component.regexp else { return Err(UrlPatternError::Regexp) };
    let regexp = syntax::parse(urlpattern::regexp::RegExp::pattern_string(regexp))?;
    Ok(PatternComponent::Program(Box::new(compile::compile(&regexp, states_max)?)))
}

impl PartialEq for UrlPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.hub == other.hub
    }
}

impl Eq for UrlPattern {}

impl Hash for UrlPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UrlPattern({})", self.text)
    }
}
