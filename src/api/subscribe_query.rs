//! The parameters of a subscription: its selectors, as texts, and where it starts (PROTOCOL section
//! 2).
//!
//! To add a parameter: its name in [`crate::mercure::names`], a field of [`SubscribeQuery`], and
//! its use in `RequestHandler::admit_subscriber`, which makes the granted subscription of it.

use std::borrow::Cow;

use crate::limits::{PATTERN_BYTES_OF_REQUEST_MAX, PATTERNS_OF_REQUEST_MAX, SELECTOR_BYTES_MAX};
use crate::mercure::dialect::{Dialect, Dialects};
use crate::mercure::form::{self, Field, FormError};
use crate::mercure::names::{
    PARAM_LAST_EVENT_ID, PARAM_LAST_EVENT_ID_08, PARAM_LAST_EVENT_ID_2019, PARAM_LAST_EVENT_ID_OTHERS,
    PARAM_MATCH, PARAM_MATCH_EXACT, PARAM_MATCH_URLPATTERN, PARAM_TOPIC,
};
use crate::mercure::selector::MatcherType;

/// The bounds of the selectors of one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectorBounds {
    /// Selectors, repetitions included.
    pub count_max: usize,
    /// Their bytes together.
    pub bytes_max: usize,
}

/// The parts of a request that say what it subscribes to.
#[derive(Clone, Copy, Debug, Default)]
pub struct SubscribeParts<'a> {
    /// The query.
    pub query: Option<&'a str>,
    /// The body of a `QUERY`, a form; `None` for any other method.
    pub body: Option<&'a [u8]>,
    /// The header `Last-Event-ID`.
    pub last_event_id: Option<&'a str>,
}

/// What a request subscribes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeQuery<'a> {
    /// The dialect of the request, of which the names of its parameters are.
    pub dialect: Dialect,
    /// The texts of the selectors or matchers, at least one, in order, repetitions included.
    pub texts: Vec<Cow<'a, str>>,
    /// The type of each matcher; empty unless the dialect is draft 08.
    pub matcher_types: Vec<MatcherType>,
    /// The last event id. It may be longer than any valid id; it is then unknown. It is empty only
    /// in draft 08, whose response names the newest event then (MERCURE-1.0, section 6.1).
    pub last_event_id: Option<Cow<'a, str>>,
}

/// Why a subscription gets a 400. The texts are safe to show the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeQueryError {
    /// No `topic`, or no `match`.
    #[error("Missing \"{0}\" parameter.")]
    Missing(&'static str),
    /// More selectors than this maximum.
    #[error("More than {1} \"{0}\" parameters.")]
    TooMany(&'static str, usize),
    /// More bytes of selectors than this maximum.
    #[error("The \"{0}\" parameters have more than {1} bytes together.")]
    TooLongTogether(&'static str, usize),
    /// A selector longer than [`SELECTOR_BYTES_MAX`].
    #[error("A \"{0}\" parameter is longer than {SELECTOR_BYTES_MAX} bytes.")]
    TooLong(&'static str),
    /// More URL Patterns than may be read for one request.
    #[error(
        "More than {PATTERNS_OF_REQUEST_MAX} \"match_urlpattern\" parameters, or \
         {PATTERN_BYTES_OF_REQUEST_MAX} bytes of them: expected fewer patterns, or \"match\" for exact topics."
    )]
    TooManyPatterns,
    /// A name that is reserved for matchers (draft 08).
    #[error(
        "Unknown parameter: a name that begins with \"match\" must be match, match_exact or match_urlpattern."
    )]
    ReservedName,
    /// `topic` beside a matcher.
    #[error("\"topic\" and \"match\" parameters in one request: expected those of one protocol version.")]
    Mixed,
    /// A matcher on a hub without draft 08.
    #[error(
        "Unsupported \"match\" parameter: this hub does not speak Mercure 1.0 (PROTOCOL has no 08). \
         Expected \"topic\"."
    )]
    NoDraft08,
    /// `topic` on a hub that speaks draft 08 alone, or in a `QUERY`.
    #[error(
        "Unsupported \"topic\" parameter: expected \"match\" for an exact topic, or \"match_urlpattern\"."
    )]
    NoTopic,
    /// The query is not a form.
    #[error("Invalid query: {0}")]
    Form(#[source] FormError),
}

impl<'a> SubscribeQuery<'a> {
    /// Parses a subscription whose selectors are within these bounds. The names of its parameters
    /// decide about its dialect, which must be one of the hub's (MERCURE-1.0, section 12.3).
    ///
    /// The header `Last-Event-ID` takes precedence over the dialect's own parameter, then over
    /// other spellings. The first non-empty value wins, also among repetitions; of a `QUERY`, the
    /// query comes before the body.
    ///
    /// # Errors
    /// [`SubscribeQueryError`], a 400.
    pub fn parse(
        parts: &SubscribeParts<'a>,
        bounds: SelectorBounds,
        dialects: Dialects,
    ) -> Result<Self, SubscribeQueryError> {
        let mut collected = Collected::new(bounds, dialects);
        let forms = [parts.query.map(str::as_bytes), parts.body];
        for field in forms.into_iter().flatten().flat_map(form::fields) {
            collected.take(field.map_err(SubscribeQueryError::Form)?)?;
        }
        let legacy = dialects.legacy_dialect().filter(|_| parts.body.is_none());
        let Collected { texts, matcher_types, cursors, has_topic, .. } = collected;
        let dialect = match (legacy, dialects.has_draft08()) {
            (Some(_), true) if has_topic && !matcher_types.is_empty() => {
                return Err(SubscribeQueryError::Mixed);
            }
            (Some(legacy), false) => legacy,
            (Some(legacy), true) if has_topic => legacy,
            _ if has_topic => return Err(SubscribeQueryError::NoTopic),
            _ => Dialect::Draft08,
        };
        if dialect != Dialect::Draft08 && !matcher_types.is_empty() {
            return Err(SubscribeQueryError::NoDraft08);
        }
        if texts.is_empty() {
            return Err(SubscribeQueryError::Missing(name_of(dialect)));
        }
        let last_event_id = cursors.first(parts.last_event_id, dialect);
        Ok(Self { dialect, texts, matcher_types, last_event_id })
    }
}

/// Whether a query selects by `topic`, which makes a request one of draft 04 or 07 on a hub that
/// speaks draft 08, too. A query that cannot be read does not.
pub(super) fn has_topic(query: &str) -> bool {
    form::fields(query.as_bytes()).any(|field| field.is_ok_and(|(name, _)| name == PARAM_TOPIC))
}

fn name_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Draft04 | Dialect::Draft07 => PARAM_TOPIC,
        Dialect::Draft08 => PARAM_MATCH,
    }
}

/// The parameters of a subscription, before its dialect is known.
struct Collected<'a> {
    bounds: SelectorBounds,
    dialects: Dialects,
    has_topic: bool,
    texts: Vec<Cow<'a, str>>,
    matcher_types: Vec<MatcherType>,
    bytes: usize,
    patterns: usize,
    pattern_bytes: usize,
    cursors: Cursors<'a>,
}

/// The last event ids by the names of their parameters, the first that is not empty of each.
#[derive(Default)]
struct Cursors<'a> {
    of_08: Option<Cow<'a, str>>,
    of_07: Option<Cow<'a, str>>,
    of_2019: Option<Cow<'a, str>>,
    of_others: Option<Cow<'a, str>>,
}

impl<'a> Collected<'a> {
    fn new(bounds: SelectorBounds, dialects: Dialects) -> Self {
        Self {
            bounds,
            dialects,
            has_topic: false,
            texts: Vec::new(),
            matcher_types: Vec::new(),
            bytes: 0,
            patterns: 0,
            pattern_bytes: 0,
            cursors: Cursors::default(),
        }
    }

    fn take(&mut self, (name, value): Field<'a>) -> Result<(), SubscribeQueryError> {
        match name.as_ref() {
            PARAM_TOPIC => {
                self.has_topic = true;
                self.push(PARAM_TOPIC, value)
            }
            PARAM_MATCH | PARAM_MATCH_EXACT => self.push_matcher(MatcherType::Exact, value),
            PARAM_MATCH_URLPATTERN => self.push_matcher(MatcherType::UrlPattern, value),
            name if self.dialects.has_draft08() && is_reserved(name) => {
                Err(SubscribeQueryError::ReservedName)
            }
            name => {
                self.cursors.take(name, value);
                Ok(())
            }
        }
    }

    fn push_matcher(&mut self, kind: MatcherType, value: Cow<'a, str>) -> Result<(), SubscribeQueryError> {
        self.matcher_types.push(kind);
        let bytes = value.len();
        self.push(PARAM_MATCH, value)?;
        if kind == MatcherType::UrlPattern {
            self.patterns += 1;
            self.pattern_bytes += bytes;
        }
        match self.patterns > PATTERNS_OF_REQUEST_MAX || self.pattern_bytes > PATTERN_BYTES_OF_REQUEST_MAX {
            true => Err(SubscribeQueryError::TooManyPatterns),
            false => Ok(()),
        }
    }

    fn push(&mut self, name: &'static str, value: Cow<'a, str>) -> Result<(), SubscribeQueryError> {
        let SelectorBounds { count_max, bytes_max } = self.bounds;
        match () {
            () if value.len() > SELECTOR_BYTES_MAX => Err(SubscribeQueryError::TooLong(name)),
            () if self.texts.len() == count_max => Err(SubscribeQueryError::TooMany(name, count_max)),
            () if self.bytes + value.len() > bytes_max => {
                Err(SubscribeQueryError::TooLongTogether(name, bytes_max))
            }
            () => {
                self.bytes += value.len();
                self.texts.push(value);
                Ok(())
            }
        }
    }
}

/// Whether a name begins with `match` in any case: draft 08 reserves these for matchers.
fn is_reserved(name: &str) -> bool {
    name.get(..PARAM_MATCH.len()).is_some_and(|start| start.eq_ignore_ascii_case(PARAM_MATCH))
}

impl<'a> Cursors<'a> {
    fn take(&mut self, name: &str, value: Cow<'a, str>) {
        let place = match name {
            PARAM_LAST_EVENT_ID_08 => &mut self.of_08,
            PARAM_LAST_EVENT_ID => &mut self.of_07,
            PARAM_LAST_EVENT_ID_2019 => &mut self.of_2019,
            name if PARAM_LAST_EVENT_ID_OTHERS.contains(&name) => &mut self.of_others,
            _ => return,
        };
        if place.as_ref().is_none_or(|first| first.is_empty()) {
            *place = Some(value);
        }
    }

    /// The first that is not empty. An empty one counts in draft 08 alone, and only in the places
    /// that draft 08 names: the header and `last_event_id` (MERCURE-1.0, section 6.1). The other
    /// names are those of older clients, for which an empty one is none.
    fn first(self, header: Option<&'a str>, dialect: Dialect) -> Option<Cow<'a, str>> {
        let Self { of_08, of_07, of_2019, of_others } = self;
        let header = header.map(Cow::Borrowed);
        let is_draft08 = dialect == Dialect::Draft08;
        let has_empty = is_draft08 && (header.is_some() || of_08.is_some());
        let given = match is_draft08 {
            true => [header, of_08, of_07, of_2019, of_others],
            false => [header, of_07, of_2019, of_08, of_others],
        };
        let first = given.into_iter().flatten().find(|it| !it.is_empty());
        first.or_else(|| has_empty.then_some(Cow::Borrowed("")))
    }
}

#[cfg(test)]
mod tests;
