//! Grants: what a verified token, or its absence, allows to publish and receive (PROTOCOL section
//! 4).
//!
//! A grant is read once from its claims, under the one rule that the hub follows
//! ([`Authorization`]). Checks against it need no parsing. It fails closed: what is not granted is
//! not allowed, and a list that cannot be parsed is no grant at all.

use serde_json::Value;

use crate::limits::{GRANTS_MAX, LOGGED_TEXT_BYTES_MAX};
use crate::mercure::audience::{Audience, Authorization};
use crate::mercure::names::ANY;
use crate::mercure::selector::{Selector, SelectorError};
use crate::mercure::token::Claims;

/// What a client may publish and receive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant {
    publish: Rule,
    subscribe: Rule,
    payload: Option<Value>,
    expires_at: Option<u64>,
}

/// One list of a claim, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Rule {
    /// No claim: nothing.
    #[default]
    Nothing,
    /// `*`: everything.
    Everything,
    Selectors(Box<[Selector]>),
    Targets(Box<[Box<str>]>),
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
}

impl Grant {
    /// The grant of a client without a token: it may receive public updates.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Reads the claims of a verified token.
    ///
    /// # Errors
    /// [`GrantError`]: a list is too long, or one of its members is not a selector.
    pub fn from_claims(claims: &Claims, authorization: Authorization) -> Result<Self, GrantError> {
        let claim = &claims.mercure;
        Ok(Self {
            publish: Rule::read("publish", claim.publish.as_deref(), authorization)?,
            subscribe: Rule::read("subscribe", claim.subscribe.as_deref(), authorization)?,
            payload: claim.payload.clone(),
            expires_at: claims.exp,
        })
    }

    /// Whether it allows any publication. If not, the body need not be read.
    pub fn may_publish_anything(&self) -> bool {
        match &self.publish {
            Rule::Nothing => false,
            Rule::Selectors(selectors) => !selectors.is_empty(),
            // Draft-04: an empty list allows public updates.
            Rule::Everything | Rule::Targets(_) => true,
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
            (Rule::Everything, _) => Ok(()),
            (Rule::Nothing, _) => Err(PublishDenial::NoClaim),
            (Rule::Selectors(selectors), _) => {
                let is_denied = |topic: &&str| !selectors.iter().any(|selector| selector.matches(topic));
                topics.find(is_denied).map_or(Ok(()), |topic| Err(PublishDenial::Topic(topic.to_owned())))
            }
            (Rule::Targets(granted), Audience::Targets(targets)) => {
                let denied = targets.iter().find(|target| !granted.contains(target));
                denied.map_or(Ok(()), |target| Err(PublishDenial::Target(target.to_string())))
            }
            (Rule::Targets(_), Audience::Public) => Ok(()),
            // A hub that authorizes by targets never gets a private update; it is refused here
            // anyway.
            (Rule::Targets(_), Audience::Private) => Err(PublishDenial::NoClaim),
        }
    }

    /// Whether an update with these topics and this audience may be received. Public updates may be
    /// received by every client, private ones when one topic matches a selector, and targeted ones
    /// when one target is listed.
    pub fn may_receive<'t>(&self, mut topics: impl Iterator<Item = &'t str>, audience: &Audience) -> bool {
        match (audience, &self.subscribe) {
            (Audience::Public, _) | (_, Rule::Everything) => true,
            (Audience::Private, Rule::Selectors(selectors)) => {
                topics.any(|topic| selectors.iter().any(|selector| selector.matches(topic)))
            }
            (Audience::Targets(targets), Rule::Targets(granted)) => {
                targets.iter().any(|target| granted.contains(target))
            }
            (_, Rule::Nothing)
            | (Audience::Private, Rule::Targets(_))
            | (Audience::Targets(_), Rule::Selectors(_)) => false,
        }
    }

    /// Which payload a subscription to this selector has, for [`Self::payload_at`]:
    /// `mercure.payload` is the only one. It is shown in events and lists.
    pub fn payload_number(&self, _selector: &str) -> Option<u16> {
        self.payload.is_some().then_some(0)
    }

    /// The payload with this number.
    pub fn payload_at(&self, number: u16) -> Option<&Value> {
        self.payload.as_ref().filter(|_| number == 0)
    }

    /// The bytes of the payloads of these subscriptions together, as JSON; `None` if it would cost
    /// too much to choose them.
    pub fn payload_bytes(&self, selectors: &[Selector]) -> Option<usize> {
        Some(self.payload.as_ref().map_or(0, |payload| payload.to_string().len() * selectors.len()))
    }

    /// The first second, in Unix time, in which it is no longer valid.
    pub fn expires_at(&self) -> Option<u64> {
        self.expires_at
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
            return Ok(Self::Everything);
        }
        match authorization {
            Authorization::Targets => {
                Ok(Self::Targets(list.iter().map(|target| target.as_str().into()).collect()))
            }
            Authorization::Selectors => {
                let selectors: Result<Box<[_]>, _> =
                    list.iter().map(|member| Selector::parse(member)).collect();
                selectors.map(Self::Selectors).map_err(|error| GrantError::Selector(name, error))
            }
        }
    }
}

/// The beginning of a text that a client chose, as long as a line of the log may hold. A topic can
/// be as long as a body.
fn beginning(text: &str) -> &str {
    let longest = text.len().min(LOGGED_TEXT_BYTES_MAX);
    let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mercure::token::MercureClaim;

    fn list(members: Option<&[&str]>) -> Option<Vec<String>> {
        members.map(|members| members.iter().map(ToString::to_string).collect())
    }

    fn publisher(authorization: Authorization, members: Option<&[&str]>) -> Grant {
        let mercure = MercureClaim { publish: list(members), subscribe: None, payload: None };
        Grant::from_claims(&Claims { mercure, exp: None }, authorization).expect("valid claims")
    }

    fn subscriber(authorization: Authorization, members: Option<&[&str]>) -> Grant {
        let mercure = MercureClaim { publish: None, subscribe: list(members), payload: None };
        Grant::from_claims(&Claims { mercure, exp: None }, authorization).expect("valid claims")
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
            assert_eq!(grant.may_receive(["a"].into_iter(), &targets(&["b"])), members == Some(&["*"]));
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
        let claims = |members: Vec<String>| Claims {
            mercure: MercureClaim { publish: Some(members), subscribe: None, payload: None },
            exp: None,
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
}
