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
    /// Draft 08: the entries that grant receiving, in the token's order, up to the last one with a
    /// payload.
    ByDetail(Box<[PayloadEntry]>),
}

/// One entry of `authorization_details`.
#[derive(Clone, Debug, PartialEq)]
struct PayloadEntry {
    topics: GrantedTopics,
    payload: Option<Value>,
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
        let entries = match &self.payloads {
            Payloads::None => {
                return Some(ChosenPayloads { numbers: vec![None; selectors.len()].into(), bytes: 0 });
            }
            Payloads::Common(payload) => {
                let bytes = payload.to_string().len() * selectors.len();
                return Some(ChosenPayloads { numbers: vec![Some(0); selectors.len()].into(), bytes });
            }
            Payloads::ByDetail(entries) => entries,
        };
        let bytes_of =
            |entry: &PayloadEntry| entry.payload.as_ref().map_or(0, |payload| payload.to_string().len());
        let entry_bytes: Vec<usize> = entries.iter().map(bytes_of).collect();
        let mut budget = ComparisonBudget::new(PAYLOADS_MATCH_COST_MAX);
        let (mut numbers, mut bytes) = (Vec::with_capacity(selectors.len()), 0);
        for selector in selectors {
            let text = ComparedTopic::new(selector.as_str());
            let mut chosen = None;
            for (place, entry) in entries.iter().enumerate() {
                if entry.topics.select(&text, &mut budget).ok()? {
                    bytes += entry_bytes[place];
                    chosen = entry.payload.as_ref().and_then(|_| u16::try_from(place).ok());
                    break;
                }
            }
            numbers.push(chosen);
        }
        Some(ChosenPayloads { numbers: numbers.into(), bytes })
    }

    /// The payload with this number.
    pub fn payload_at(&self, number: u16) -> Option<&Value> {
        match &self.payloads {
            Payloads::None => None,
            Payloads::Common(payload) => Some(payload).filter(|_| number == 0),
            Payloads::ByDetail(entries) => entries.get(usize::from(number))?.payload.as_ref(),
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
        let mut entries: Vec<_> = details
            .iter()
            .filter(|detail| detail.subscribes)
            .map(|detail| PayloadEntry {
                topics: GrantedTopics::new(detail.topics.iter().cloned()),
                payload: detail.payload.clone(),
            })
            .collect();
        // An entry without a payload hides those after it, and none if there are none.
        let last = entries.iter().rposition(|entry| entry.payload.is_some());
        entries.truncate(last.map_or(0, |last| last + 1));
        if entries.is_empty() { Self::None } else { Self::ByDetail(entries.into()) }
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
mod tests {
    use super::*;
    use serde_json::json;

    use crate::limits::{TOKEN_BYTES_MAX, TOPICS_MAX};
    use crate::mercure::public_url::PublicUrl;
    use crate::mercure::selector::MatcherType;
    use crate::mercure::token::MercureClaim;

    fn list(members: Option<&[&str]>) -> Option<Vec<String>> {
        members.map(|members| members.iter().map(ToString::to_string).collect())
    }

    fn publisher(authorization: Authorization, members: Option<&[&str]>) -> Grant {
        let mercure = MercureClaim { publish: list(members), ..MercureClaim::default() };
        Grant::from_claims(&LegacyClaims { mercure, exp_ms: None }.into(), authorization).expect("valid claims")
    }

    fn subscriber(authorization: Authorization, members: Option<&[&str]>) -> Grant {
        let mercure = MercureClaim { subscribe: list(members), ..MercureClaim::default() };
        Grant::from_claims(&LegacyClaims { mercure, exp_ms: None }.into(), authorization).expect("valid claims")
    }

    /// A grant of draft 08: for each entry whether it grants publishing and receiving, its exact
    /// matchers, and its payload.
    fn detailed(entries: &[(bool, bool, &[&str], Option<Value>)]) -> Grant {
        let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a URL");
        let matcher = |text: &&str| Selector::parse_matcher(MatcherType::Exact, text, &hub);
        let detail =
            |(publishes, subscribes, topics, payload): &(bool, bool, &[&str], Option<Value>)| Detail {
                publishes: *publishes,
                subscribes: *subscribes,
                topics: topics.iter().map(matcher).collect::<Result<_, _>>().expect("matchers"),
                payload: payload.clone(),
            };
        let claims = AccessClaims { details: entries.iter().map(detail).collect(), exp_ms: 7 };
        Grant::from_claims(&Claims::Access(claims), Authorization::Targets).expect("a grant")
    }

    fn targets(targets: &[&str]) -> Audience {
        Audience::Targets(targets.iter().map(|target| Box::from(*target)).collect())
    }

    /// The rows of PROTOCOL section 4 for `AUTHORIZATION=selectors`.
    #[test]
    fn with_selectors_every_topic_has_to_be_granted() {
        for (members, topics, allowed) in [
            (None, &["a"][..], false),
            (Some(&[][..]), &["a"], false),
            (Some(&["*"]), &["a", "b"], true),
            (Some(&["a"]), &["a"], true),
            (Some(&["a"]), &["a", "b"], false),
            (Some(&["/x/{id}", "b"]), &["/x/1", "b"], true),
        ] {
            let grant = publisher(Authorization::Selectors, members);
            for audience in [Audience::Public, Audience::Private] {
                let result = grant.may_publish(topics.iter().copied(), &audience);
                assert_eq!(result.is_ok(), allowed, "{members:?} {topics:?}");
            }
            assert_eq!(grant.may_publish_anything(), members.is_some_and(|members| !members.is_empty()));
        }
    }

    /// The same for `AUTHORIZATION=targets`. `[]` allows public updates only.
    #[test]
    fn with_targets_every_target_has_to_be_granted_and_topics_do_not_count() {
        for (members, audience, allowed) in [
            (None, Audience::Public, false),
            (Some(&[][..]), Audience::Public, true),
            (Some(&[]), targets(&["x"]), false),
            (Some(&["*"]), targets(&["x", "y"]), true),
            (Some(&["x"]), targets(&["x"]), true),
            (Some(&["x"]), targets(&["x", "y"]), false),
            (Some(&["x"]), Audience::Public, true),
            (Some(&["x"]), Audience::Private, false),
            (Some(&["{x}"]), targets(&["x"]), false),
        ] {
            let grant = publisher(Authorization::Targets, members);
            let result = grant.may_publish(["t"].into_iter(), &audience);
            assert_eq!(result.is_ok(), allowed, "{members:?} {audience:?}");
        }
    }

    #[test]
    fn private_updates_reach_those_whose_selectors_match_one_topic() {
        for (members, allowed) in [
            (None, false),
            (Some(&[][..]), false),
            (Some(&["b"]), true),
            (Some(&["*"]), true),
            (Some(&["c"]), false),
        ] {
            let grant = subscriber(Authorization::Selectors, members);
            assert_eq!(grant.may_receive(["a", "b"].into_iter(), &Audience::Private), allowed, "{members:?}");
            assert!(grant.may_receive(["a"].into_iter(), &Audience::Public), "{members:?}");
            assert!(!grant.may_receive(["a"].into_iter(), &targets(&["b"])), "{members:?}");
        }
        assert!(!Grant::anonymous().may_receive(["a"].into_iter(), &Audience::Private));
    }

    #[test]
    fn targeted_updates_reach_those_with_one_of_the_targets() {
        for (members, allowed) in [
            (None, false),
            (Some(&[][..]), false),
            (Some(&["y"]), true),
            (Some(&["*"]), true),
            (Some(&["z"]), false),
        ] {
            let grant = subscriber(Authorization::Targets, members);
            assert_eq!(grant.may_receive(["t"].into_iter(), &targets(&["x", "y"])), allowed, "{members:?}");
        }
    }

    #[test]
    fn a_long_topic_that_is_not_granted_does_not_fill_the_log() {
        let grant = publisher(Authorization::Selectors, Some(&["x"]));
        for length in [LOGGED_TEXT_BYTES_MAX / 2, 1 << 20] {
            let topic = "\u{e9}".repeat(length);
            let denial =
                grant.may_publish([&*topic].into_iter(), &Audience::Public).expect_err("not granted");
            let text = denial.to_string();
            assert!(text.contains('\u{e9}') && text.len() <= LOGGED_TEXT_BYTES_MAX + 32, "{}", text.len());
        }
    }

    #[test]
    fn a_list_that_cannot_be_understood_is_no_grant() {
        let claims = |members: Vec<String>| {
            let mercure = MercureClaim { publish: Some(members), ..MercureClaim::default() };
            Claims::from(LegacyClaims { mercure, exp_ms: None })
        };
        let too_many = claims(vec!["a".to_owned(); GRANTS_MAX + 1]);
        assert_eq!(
            Grant::from_claims(&too_many, Authorization::Selectors),
            Err(GrantError::TooMany("publish"))
        );
        let too_long = claims(vec!["a".repeat(crate::limits::SELECTOR_BYTES_MAX + 1)]);
        assert!(matches!(
            Grant::from_claims(&too_long, Authorization::Selectors),
            Err(GrantError::Selector("publish", _))
        ));
    }

    #[test]
    fn the_entries_of_an_access_token_add_up_and_every_topic_of_a_publication_counts() {
        let grant = detailed(&[
            (true, false, &["a"], None),
            (true, true, &["b", "c"], None),
            (false, true, &["d"], None),
            (false, false, &["*"], None),
        ]);
        assert_eq!((grant.dialect(), grant.expires_at_ms()), (Some(Dialect::Draft08), Some(7)));
        for (topics, allowed) in
            [(&["a"][..], true), (&["a", "b", "c"], true), (&["a", "d"], false), (&["e"], false)]
        {
            for audience in [Audience::Public, Audience::Private] {
                let result = grant.may_publish(topics.iter().copied(), &audience);
                assert_eq!(result.is_ok(), allowed, "{topics:?}");
            }
        }
        for (topics, allowed) in [(&["b"][..], true), (&["x", "d"], true), (&["a"], false), (&["{d}"], false)]
        {
            let result = grant.may_receive(topics.iter().copied(), &Audience::Private);
            assert_eq!(result, allowed, "{topics:?}");
        }
        let nothing = detailed(&[(false, false, &["*"], None)]);
        assert!(!nothing.may_publish_anything());
        assert!(!nothing.may_receive(["a"].into_iter(), &Audience::Private));
        assert!(nothing.may_receive(["a"].into_iter(), &Audience::Public));
    }

    /// The grants of test 128 of MERCURE-1.0, section 13: topics and targets are kept apart, `*`
    /// included.
    #[test]
    fn no_grant_reaches_updates_of_another_kind() {
        let modern = detailed(&[(true, true, &["*"], None)]);
        let selectors =
            |read: fn(Authorization, Option<&[&str]>) -> Grant| read(Authorization::Selectors, Some(&["*"]));
        let of_targets = publisher(Authorization::Targets, Some(&["*"]));
        for grant in [&modern, &selectors(publisher)] {
            assert!(grant.may_publish(["a"].into_iter(), &Audience::Private).is_ok());
            let refused = grant.may_publish(["a"].into_iter(), &targets(&["x"]));
            assert_eq!(refused, Err(PublishDenial::Audience));
        }
        let refused = of_targets.may_publish(["a"].into_iter(), &Audience::Private);
        assert_eq!(refused, Err(PublishDenial::Audience));
        for grant in [&modern, &selectors(subscriber)] {
            assert!(grant.may_receive(["a"].into_iter(), &Audience::Private));
            assert!(!grant.may_receive(["a"].into_iter(), &targets(&["x"])));
        }
        let of_targets = subscriber(Authorization::Targets, Some(&["*"]));
        assert!(!of_targets.may_receive(["a"].into_iter(), &Audience::Private));
        assert!(of_targets.may_receive(["a"].into_iter(), &targets(&["x"])));
    }

    /// The choice of tests 109 and 110 of MERCURE-1.0, section 13.
    #[test]
    fn the_first_entry_that_matches_the_selector_has_the_payload() {
        let payload = |grant: &Grant, text: &str| {
            let chosen = grant.choose_payloads(&[Selector::Exact(text.into())]).expect("not costly");
            chosen.numbers[0].and_then(|number| grant.payload_at(number)).map(ToString::to_string)
        };
        let bytes = |grant: &Grant, selectors: &[Selector]| {
            grant.choose_payloads(selectors).map(|chosen| chosen.bytes)
        };
        let entries = [
            (false, true, &["a"][..], Some(json!({"n": 1}))),
            (true, false, &["b"], Some(json!(2))),
            (false, true, &["c"], None),
            (false, true, &["*"], Some(json!([3]))),
            (false, true, &["d"], Some(json!(4))),
        ];
        let grant = detailed(&entries);
        for (text, expected) in [
            ("a", Some("{\"n\":1}")),
            ("b", Some("[3]")),
            ("c", None),
            ("d", Some("[3]")),
            ("*", Some("[3]")),
        ] {
            assert_eq!(payload(&grant, text).as_deref(), expected, "{text}");
        }
        let selectors = ["a", "c", "d"].map(|text| Selector::Exact(text.into()));
        assert_eq!(bytes(&grant, &selectors), Some(7 + 3));
        let many = vec![Selector::Any; PAYLOADS_MATCH_COST_MAX as usize];
        assert_eq!(bytes(&grant, &many), None, "too costly");
        assert_eq!(payload(&detailed(&entries[1..3]), "c"), None);
        let mercure = MercureClaim { payload: Some(json!({"n": 1})), ..MercureClaim::default() };
        let legacy = Claims::from(LegacyClaims { mercure, exp_ms: None });
        let legacy = Grant::from_claims(&legacy, Authorization::Selectors).expect("a grant");
        assert_eq!(payload(&legacy, "anything").as_deref(), Some("{\"n\":1}"));
        assert_eq!(bytes(&legacy, &selectors), Some(3 * 7));
    }

    /// Templates that each cost much to compare with a topic of these letters.
    fn costly_templates(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{{a{number},b,c}}b{}", "{d,e}b".repeat(40))).collect()
    }

    /// The dearest publication: as many topics as a body has, and a token full of templates.
    #[test]
    fn a_publication_whose_topics_cost_too_much_to_compare_is_refused() {
        let templates = costly_templates(100);
        assert!(templates.iter().map(String::len).sum::<usize>() < TOKEN_BYTES_MAX * 3 / 4);
        let members: Vec<&str> = templates.iter().map(String::as_str).collect();
        let grant = publisher(Authorization::Selectors, Some(&members));
        let topic = "/".repeat(1_000);
        let denied = grant.may_publish([&*topic].into_iter(), &Audience::Public);
        assert_eq!(denied, Err(PublishDenial::Topic(topic.clone())), "compared");
        // Each is granted, by the last template.
        let granted = |count: usize| vec![members[99]; count].into_iter();
        assert_eq!(grant.may_publish(granted(1), &Audience::Public), Ok(()));
        assert_eq!(grant.may_publish(granted(TOPICS_MAX), &Audience::Public), Err(PublishDenial::TooCostly));
        let text = PublishDenial::TooCostly.to_string();
        assert!(text.contains(&PUBLISH_MATCH_COST_MAX.to_string()), "{text}");
        // Exact topics are found, and templates that begin otherwise are passed over.
        let exact: Vec<String> = (0..GRANTS_MAX).map(|number| format!("t{number}")).collect();
        let members: Vec<&str> = exact.iter().map(String::as_str).collect();
        let grant = publisher(Authorization::Selectors, Some(&members));
        let published = members.iter().copied().take(TOPICS_MAX);
        assert_eq!(grant.may_publish(published, &Audience::Public), Ok(()));
        let apart: Vec<String> = (0..1_000).map(|number| format!("https://e.x/{number}/{{id}}")).collect();
        let members: Vec<&str> = apart.iter().map(String::as_str).collect();
        let grant = publisher(Authorization::Selectors, Some(&members));
        let published = vec!["https://e.x/999/a"; 100];
        assert_eq!(grant.may_publish(published.into_iter(), &Audience::Public), Ok(()));
    }

    /// The same for receiving, where nothing can be refused: the first topics are compared.
    #[test]
    fn topics_beyond_the_cost_of_a_comparison_are_not_granted() {
        let mut templates = costly_templates(50);
        templates.push("granted".to_owned());
        let members: Vec<&str> = templates.iter().map(String::as_str).collect();
        let grant = subscriber(Authorization::Selectors, Some(&members));
        let other = "/".repeat(1_000);
        let receives = |others: usize| {
            let topics = std::iter::repeat_n(&*other, others).chain(["granted"]);
            grant.receives(&topics.map(ComparedTopic::new).collect::<Vec<_>>(), &Audience::Private)
        };
        let (is_granted, cost) = receives(1);
        assert!(is_granted && (10_000..RECEIVE_MATCH_COST_MAX).contains(&cost), "{cost}");
        assert_eq!(receives(999), (false, RECEIVE_MATCH_COST_MAX));
        let mine = ["granted"].into_iter().chain(std::iter::repeat_n(&*other, 999));
        assert!(grant.may_receive(mine, &Audience::Private), "the first topics are compared");
        assert_eq!(grant.receives(&[ComparedTopic::new("a")], &Audience::Public), (true, 0));
    }
}
