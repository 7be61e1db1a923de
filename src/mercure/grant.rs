//! Grants: what a verified token, or its absence, allows to publish and receive (PROTOCOL section
//! 4; MERCURE-1.0, section 5.3).
//!
//! A grant is read once from its claims, under the rule of the token's dialect. Checks against it
//! need no parsing. It fails closed: what is not granted is not allowed, a list that cannot be
//! parsed is no grant at all, and a grant of topics never covers an update for targets, nor the
//! reverse.

mod granted_topics;

use serde_json::Value;

use crate::limits::{
    GRANTS_MAX, LOGGED_TEXT_BYTES_MAX, PAYLOADS_MATCH_COST_MAX, PUBLISH_MATCH_COST_MAX,
    RECEIVE_MATCH_COST_MAX,
};
use crate::mercure::audience::{Audience, Authorization};
use crate::mercure::dialect::Dialect;
use crate::mercure::names::ANY;
use crate::mercure::selector::{ComparedTopic, Selector, SelectorError};
use crate::mercure::token::{AccessClaims, Claims, Detail, LegacyClaims};
use granted_topics::{BudgetSpent, ComparisonBudget, GrantedTopics};

/// What a client may publish and receive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant {
    dialect: Option<Dialect>,
    publish: Rule,
    subscribe: Rule,
    payloads: Payloads,
    expires_at_ms: Option<u64>,
}

/// The rights of one action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Rule {
    /// No claim: nothing.
    #[default]
    Nothing,
    /// `*`: everything that a list of this kind can grant.
    Everything(Authorization),
    Selectors(GrantedTopics),
    /// Sorted.
    Targets(Box<[Box<str>]>),
}

/// The payloads of subscriptions.
#[derive(Clone, Debug, Default, PartialEq)]
enum Payloads {
    #[default]
    None,
    /// Drafts 04 and 07: one for every subscription.
    Common(Value),
    /// Draft 08: those of the entries that grant receiving.
    ByDetail(DetailPayloads),
}

/// The entries of `authorization_details` that grant receiving, in the token's order, up to the
/// last one with a payload.
#[derive(Clone, Debug, PartialEq)]
struct DetailPayloads {
    /// The topics of all of them, each with the number of its entry.
    topics: GrantedTopics,
    payloads: Box<[Option<Value>]>,
}

/// Why claims are no grant. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// A list has more than [`GRANTS_MAX`] members.
    #[error("the claim \"{0}\" lists more than {GRANTS_MAX}")]
    TooMany(&'static str),
    /// A member is not a selector.
    #[error("the claim \"{0}\" lists an invalid selector: {1}")]
    Selector(&'static str, SelectorError),
}

/// Why a publication is not granted. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishDenial {
    /// The token has no `publish` claim, or one that grants nothing.
    #[error("no publish claim")]
    NoClaim,
    /// This topic matches no selector of the claim.
    #[error("topic not granted: {:?}", beginning(.0))]
    Topic(String),
    /// This target is not in the claim.
    #[error("target not granted: {:?}", beginning(.0))]
    Target(String),
    /// The token is of a dialect without such updates.
    #[error("a token of this dialect cannot publish to such an audience")]
    Audience,
    /// Comparing the topics with the claim costs more than [`PUBLISH_MATCH_COST_MAX`]. The client
    /// may read this text, too.
    #[error(
        "Comparing these topics with the templates and patterns of the token costs more than \
         {PUBLISH_MATCH_COST_MAX} units: expected fewer or shorter topics, or a token with fewer or simpler ones."
    )]
    TooCostly,
}

/// The payloads that a token gives the subscriptions of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenPayloads {
    /// For each selector the number of its payload, for [`Grant::payload_at`].
    pub numbers: Box<[Option<u16>]>,
    /// The bytes of all these payloads together, as JSON.
    pub bytes: usize,
}

impl Grant {
    /// The grant of a client without a token: it may receive public updates.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Reads the claims of a verified token. `authorization` is what a legacy token lists.
    ///
    /// # Errors
    /// [`GrantError`]: a list is too long, or one of its members is not a selector.
    pub fn from_claims(claims: &Claims, authorization: Authorization) -> Result<Self, GrantError> {
        match claims {
            Claims::Legacy(claims) => Self::from_legacy(claims, authorization),
            Claims::Access(claims) => Ok(Self::from_access(claims)),
        }
    }

    fn from_legacy(claims: &LegacyClaims, authorization: Authorization) -> Result<Self, GrantError> {
        let claim = &claims.mercure;
        let dialect = match authorization {
            Authorization::Selectors => Dialect::Draft07,
            Authorization::Targets => Dialect::Draft04,
        };
        Ok(Self {
            dialect: Some(dialect),
            publish: Rule::read("publish", claim.publish.as_deref(), authorization)?,
            subscribe: Rule::read("subscribe", claim.subscribe.as_deref(), authorization)?,
            payloads: claim.payload.clone().map_or(Payloads::None, Payloads::Common),
            expires_at_ms: claims.exp_ms,
        })
    }

    fn from_access(claims: &AccessClaims) -> Self {
        Self {
            dialect: Some(Dialect::Draft08),
            publish: Rule::union(claims.details.iter().filter(|detail| detail.publishes)),
            subscribe: Rule::union(claims.details.iter().filter(|detail| detail.subscribes)),
            payloads: Payloads::of(&claims.details),
            expires_at_ms: Some(claims.exp_ms),
        }
    }

    /// The dialect of the token; `None` without one.
    pub fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    /// Whether it allows any publication. If not, the body need not be read.
    pub fn may_publish_anything(&self) -> bool {
        match &self.publish {
            Rule::Nothing => false,
            Rule::Selectors(selectors) => !selectors.is_empty(),
            // Draft-04: an empty list allows public updates.
            Rule::Everything(_) | Rule::Targets(_) => true,
        }
    }

    /// Whether an update with these topics may be published for this audience. With selectors,
    /// every topic has to match one; with targets, every target has to be listed.
    ///
    /// # Errors
    /// [`PublishDenial`] names what is not granted.
    pub fn may_publish<'t>(
        &self,
        mut topics: impl Iterator<Item = &'t str>,
        audience: &Audience,
    ) -> Result<(), PublishDenial> {
        match (&self.publish, audience) {
            (Rule::Nothing, _) => Err(PublishDenial::NoClaim),
            (Rule::Everything(_), Audience::Public)
            | (Rule::Everything(Authorization::Selectors), Audience::Private)
            | (Rule::Everything(Authorization::Targets), Audience::Targets(_))
            | (Rule::Targets(_), Audience::Public) => Ok(()),
            (Rule::Selectors(granted), Audience::Public | Audience::Private) => {
                let mut budget = ComparisonBudget::new(PUBLISH_MATCH_COST_MAX);
                topics.try_for_each(|topic| match granted.select(&ComparedTopic::new(topic), &mut budget) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(PublishDenial::Topic(topic.to_owned())),
                    Err(BudgetSpent) => Err(PublishDenial::TooCostly),
                })
            }
            (Rule::Targets(granted), Audience::Targets(targets)) => {
                let denied = targets.iter().find(|target| granted.binary_search(target).is_err());
                denied.map_or(Ok(()), |target| Err(PublishDenial::Target(target.to_string())))
            }
            // The request is refused before; it is refused here anyway.
            (Rule::Everything(_) | Rule::Selectors(_) | Rule::Targets(_), _) => Err(PublishDenial::Audience),
        }
    }

    /// Whether an update with these topics and this audience may be received. Public updates may be
    /// received by every client, private ones when one topic matches a selector, and targeted ones
    /// when one target is listed.
    ///
    /// Of an update with very many topics, only the first ones are compared with a list of very
    /// many templates and patterns, as far as [`RECEIVE_MATCH_COST_MAX`] goes: what is not compared
    /// is not granted (MERCURE-1.0, section 8.4).
    pub fn may_receive<'t>(&self, topics: impl Iterator<Item = &'t str>, audience: &Audience) -> bool {
        self.receives(&topics.map(ComparedTopic::new).collect::<Vec<_>>(), audience).0
    }

    /// The same, for topics that other grants are compared with, too; returns also what it cost,
    /// see [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE).
    pub fn receives(&self, topics: &[ComparedTopic<'_>], audience: &Audience) -> (bool, u64) {
        let is_granted = match (audience, &self.subscribe) {
            (Audience::Public, _)
            | (Audience::Private, Rule::Everything(Authorization::Selectors))
            | (Audience::Targets(_), Rule::Everything(Authorization::Targets)) => true,
            (Audience::Private, Rule::Selectors(granted)) => {
                let mut budget = ComparisonBudget::new(RECEIVE_MATCH_COST_MAX);
                let found = topics
                    .iter()
                    .map(|topic| granted.select(topic, &mut budget))
                    .find(|selected| *selected != Ok(false));
                return (found == Some(Ok(true)), budget.spent());
            }
            (Audience::Targets(targets), Rule::Targets(granted)) => {
                targets.iter().any(|target| granted.binary_search(target).is_ok())
            }
            (_, Rule::Nothing)
            | (Audience::Private, Rule::Targets(_) | Rule::Everything(_))
            | (Audience::Targets(_), Rule::Selectors(_) | Rule::Everything(_)) => false,
        };
        (is_granted, 0)
    }

    /// Which payloads the documents of subscriptions to these selectors show: of a legacy token
    /// `mercure.payload`, of one of draft 08 that of the first entry that matches the text of the
    /// selector, taken as a topic. If that entry has none, there is none.
    ///
    /// `None` if it would cost more than [`PAYLOADS_MATCH_COST_MAX`] to choose them.
    pub fn choose_payloads(&self, selectors: &[Selector]) -> Option<ChosenPayloads> {
        match &self.payloads {
            Payloads::None => Some(ChosenPayloads { numbers: vec![None; selectors.len()].into(), bytes: 0 }),
            Payloads::Common(payload) => {
                let bytes = payload.to_string().len() * selectors.len();
                Some(ChosenPayloads { numbers: vec![Some(0); selectors.len()].into(), bytes })
            }
            Payloads::ByDetail(entries) => {
                let mut budget = ComparisonBudget::new(PAYLOADS_MATCH_COST_MAX);
                entries.choose(selectors, &mut budget).ok()
            }
        }
    }

    /// The payload with this number.
    pub fn payload_at(&self, number: u16) -> Option<&Value> {
        match &self.payloads {
            Payloads::None => None,
            Payloads::Common(payload) => Some(payload).filter(|_| number == 0),
            Payloads::ByDetail(entries) => entries.payloads.get(usize::from(number))?.as_ref(),
        }
    }

    /// The first millisecond of Unix time in which it is no longer valid.
    pub fn expires_at_ms(&self) -> Option<u64> {
        self.expires_at_ms
    }
}

impl Rule {
    fn read(
        name: &'static str,
        list: Option<&[String]>,
        authorization: Authorization,
    ) -> Result<Self, GrantError> {
        let Some(list) = list else { return Ok(Self::Nothing) };
        if list.len() > GRANTS_MAX {
            return Err(GrantError::TooMany(name));
        }
        if list.iter().any(|member| member == ANY) {
            return Ok(Self::Everything(authorization));
        }
        match authorization {
            Authorization::Targets => {
                let mut targets: Vec<Box<str>> = list.iter().map(|target| target.as_str().into()).collect();
                targets.sort_unstable();
                Ok(Self::Targets(targets.into()))
            }
            Authorization::Selectors => {
                let selectors: Result<Vec<_>, _> =
                    list.iter().map(|member| Selector::parse(member)).collect();
                let selectors = selectors.map_err(|error| GrantError::Selector(name, error))?;
                Ok(Self::Selectors(GrantedTopics::new(selectors)))
            }
        }
    }

    /// What these entries of draft 08 grant together.
    fn union<'d>(details: impl Iterator<Item = &'d Detail>) -> Self {
        let topics = GrantedTopics::new(details.flat_map(|detail| &detail.topics).cloned());
        match () {
            () if topics.is_empty() => Self::Nothing,
            () if topics.has_any() => Self::Everything(Authorization::Selectors),
            () => Self::Selectors(topics),
        }
    }
}

impl Payloads {
    fn of(details: &[Detail]) -> Self {
        let mut entries: Vec<_> = details.iter().filter(|detail| detail.subscribes).collect();
        // An entry without a payload hides those after it, and none if there are none.
        let last = entries.iter().rposition(|entry| entry.payload.is_some());
        entries.truncate(last.map_or(0, |last| last + 1));
        if entries.is_empty() {
            return Self::None;
        }
        let payloads = entries.iter().map(|entry| entry.payload.clone()).collect();
        let numbered = (0..).zip(entries);
        let topics =
            numbered.flat_map(|(number, entry)| entry.topics.iter().map(move |it| (number, it.clone())));
        Self::ByDetail(DetailPayloads { topics: GrantedTopics::of_entries(topics), payloads })
    }
}

impl DetailPayloads {
    fn choose(
        &self,
        selectors: &[Selector],
        budget: &mut ComparisonBudget,
    ) -> Result<ChosenPayloads, BudgetSpent> {
        let bytes_of = |payload: &Option<Value>| payload.as_ref().map_or(0, |it| it.to_string().len());
        let payload_bytes: Vec<usize> = self.payloads.iter().map(bytes_of).collect();
        let (mut numbers, mut bytes) = (Vec::with_capacity(selectors.len()), 0);
        for selector in selectors {
            let entry = self.topics.first(&ComparedTopic::new(selector.as_str()), budget)?;
            bytes += entry.map_or(0, |entry| payload_bytes[usize::from(entry)]);
            numbers.push(entry.filter(|entry| self.payloads[usize::from(*entry)].is_some()));
        }
        Ok(ChosenPayloads { numbers: numbers.into(), bytes })
    }
}

/// The beginning of a text that a client chose, as long as a line of the log may hold. A topic can
/// be as long as a body.
pub(crate) fn beginning(text: &str) -> &str {
    let longest = text.len().min(LOGGED_TEXT_BYTES_MAX);
    let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests;
