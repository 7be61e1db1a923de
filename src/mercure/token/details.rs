//! The claim `authorization_details` (RFC 9396; MERCURE-1.0, section 5.3).
//!
//! Invariant: one invalid Mercure entry makes the whole claim invalid, and so the token. Entries of
//! other types are not looked at.

use serde_json::{Map, Value};

use crate::limits::{DETAIL_TOPICS_MAX, DETAILS_MATCH_COST_MAX, DETAILS_MAX, DETAILS_PATTERNS_MAX};
use crate::mercure::names::{ACTION_PUBLISH, ACTION_SUBSCRIBE, DETAIL_TYPE};
use crate::mercure::public_url::PublicUrl;
use crate::mercure::selector::{MatcherType, Selector, SelectorError};

/// One Mercure entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// Whether it grants publishing.
    pub publishes: bool,
    /// Whether it grants receiving private updates.
    pub subscribes: bool,
    /// The matchers of the topics; never empty.
    pub topics: Box<[Selector]>,
    /// Any JSON, for the documents of subscriptions that it matches first. `null` counts as none.
    pub payload: Option<Value>,
}

/// Why the claim is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetailError {
    /// It is not a list.
    #[error("not a list")]
    NotAList,
    /// It has more than [`DETAILS_MAX`] Mercure entries.
    #[error("more than {DETAILS_MAX} entries of Mercure")]
    TooMany,
    /// All entries together have more than [`DETAILS_PATTERNS_MAX`] URL Patterns.
    #[error("more than {DETAILS_PATTERNS_MAX} URL Patterns")]
    TooManyPatterns,
    /// The matchers of all entries together cost more than [`DETAILS_MATCH_COST_MAX`].
    #[error("its matchers cost too much to match: expected fewer or simpler ones")]
    TooCostly,
    /// An entry is invalid; its number, from 1.
    #[error("entry {0}: {1}")]
    Entry(usize, DetailFault),
}

/// Why an entry is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetailFault {
    /// It is not an object with a `type` that is a string.
    #[error("not an object with a \"type\" that is a string")]
    NotTyped,
    /// `actions` is not a list of strings, or an empty one.
    #[error("\"actions\" is not a list of strings with one member or more")]
    Actions,
    /// `topics` is not a list of objects, or an empty one.
    #[error("\"topics\" is not a list of objects with one member or more")]
    Topics,
    /// `topics` has more than [`DETAIL_TOPICS_MAX`] members.
    #[error("\"topics\" has more than {DETAIL_TOPICS_MAX} members")]
    TooManyTopics,
    /// `match` is not a string.
    #[error("a topic's \"match\" is not a string")]
    Match,
    /// `match_type` is not the name of a matcher type, in lower case.
    #[error("a topic's \"match_type\" is not \"exact\" or \"urlpattern\"")]
    MatchType,
    /// `match` is not valid for its type.
    #[error("a topic's \"match\" is invalid: {0}")]
    Matcher(SelectorError),
}

/// The Mercure entries of the claim. An absent claim has none.
///
/// # Errors
/// [`DetailError`] names the entry and the rule that it breaks.
pub(super) fn read_details(claim: Option<&Value>, hub: &PublicUrl) -> Result<Box<[Detail]>, DetailError> {
    let Some(claim) = claim else { return Ok(Box::default()) };
    let entries = claim.as_array().ok_or(DetailError::NotAList)?;
    // Those of other types count nowhere: the length of the token bounds them.
    let mut own = Vec::new();
    for (number, entry) in (1..).zip(entries) {
        let members = entry.as_object().ok_or(DetailError::Entry(number, DetailFault::NotTyped))?;
        match members.get("type").and_then(Value::as_str) {
            Some(DETAIL_TYPE) => own.push((number, members)),
            Some(_) => {}
            None => return Err(DetailError::Entry(number, DetailFault::NotTyped)),
        }
    }
    if own.len() > DETAILS_MAX {
        return Err(DetailError::TooMany);
    }
    // Reading a pattern takes much longer than reading its text: they are counted first.
    if own.iter().map(|(_, members)| patterns_of(members)).sum::<usize>() > DETAILS_PATTERNS_MAX {
        return Err(DetailError::TooManyPatterns);
    }
    let mut details = Vec::new();
    let mut cost: u64 = 0;
    for (number, members) in own {
        let detail = Detail::read(members, hub).map_err(|fault| DetailError::Entry(number, fault))?;
        cost += detail.topics.iter().map(|topic| u64::from(topic.match_cost())).sum::<u64>();
        if cost > DETAILS_MATCH_COST_MAX {
            return Err(DetailError::TooCostly);
        }
        details.push(detail);
    }
    Ok(details.into())
}

/// Reads the claim only to check it, as the hub with this URL would.
///
/// # Errors
/// [`DetailError`] names the entry and the rule that it breaks.
pub fn check_details(claim: &Value, hub: &PublicUrl) -> Result<(), DetailError> {
    read_details(Some(claim), hub).map(drop)
}

/// How many topics of an entry say that they are URL Patterns.
fn patterns_of(entry: &Map<String, Value>) -> usize {
    let name = MatcherType::UrlPattern.as_str();
    let is_pattern = |topic: &&Value| topic.get("match_type").and_then(Value::as_str) == Some(name);
    let topics = entry.get("topics").and_then(Value::as_array);
    topics.map_or(0, |topics| topics.iter().filter(is_pattern).count())
}

impl Detail {
    fn read(members: &Map<String, Value>, hub: &PublicUrl) -> Result<Self, DetailFault> {
        let actions = list(members, "actions").ok_or(DetailFault::Actions)?;
        if !actions.iter().all(Value::is_string) {
            return Err(DetailFault::Actions);
        }
        // An unknown action grants nothing, and is no error.
        let has = |name: &str| actions.iter().any(|action| action.as_str() == Some(name));
        let topics = list(members, "topics").ok_or(DetailFault::Topics)?;
        if topics.len() > DETAIL_TOPICS_MAX {
            return Err(DetailFault::TooManyTopics);
        }
        let topics: Result<Box<[_]>, _> = topics.iter().map(|topic| read_topic(topic, hub)).collect();
        let payload = members.get("payload").filter(|payload| !payload.is_null());
        Ok(Self {
            publishes: has(ACTION_PUBLISH),
            subscribes: has(ACTION_SUBSCRIBE),
            topics: topics?,
            payload: payload.cloned(),
        })
    }
}

/// A list that is not empty.
fn list<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m [Value]> {
    members.get(name)?.as_array().map(Vec::as_slice).filter(|list| !list.is_empty())
}

fn read_topic(topic: &Value, hub: &PublicUrl) -> Result<Selector, DetailFault> {
    let topic = topic.as_object().ok_or(DetailFault::Topics)?;
    let text = topic.get("match").and_then(Value::as_str).ok_or(DetailFault::Match)?;
    // Also for `*`, which is the wildcard with every type that exists.
    let matcher_type = match topic.get("match_type") {
        None => MatcherType::Exact,
        Some(name) => name.as_str().and_then(MatcherType::from_name).ok_or(DetailFault::MatchType)?,
    };
    Selector::parse_matcher(matcher_type, text, hub).map_err(DetailFault::Matcher)
}
