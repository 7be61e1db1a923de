//! What the hub will announce about a subscription (`SUBSCRIPTIONS`; PROTOCOL section 7;
//! MERCURE-1.0, section 6.2): for each selector, how it is written and its payload. It is chosen
//! here, once, so that neither an event nor a list has to search the token again.

use crate::limits::SUBSCRIPTION_EVENTS_BYTES_MAX;
use crate::mercure::dialect::{Dialect, Dialects};
use crate::mercure::grant::{ChosenPayloads, Grant};
use crate::mercure::selector::{MatcherType, Selector};
use crate::mercure::subscription::{Announcement, WrittenAs, is_reserved_selector};

/// Approximate size of an event besides the selector and the payload.
const EVENT_BYTES: usize = 400;

/// Why a subscription cannot be announced. The text is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnnounceError {
    /// A client chooses the selectors and the payloads, and each event repeats its payload: they
    /// would be too large for the history.
    #[error(
        "the subscription events of this request, each with the token's payload, must not exceed \
         {SUBSCRIPTION_EVENTS_BYTES_MAX} bytes together"
    )]
    TooLarge,
    /// Choosing their payloads would cost too much.
    #[error(
        "the payloads of the subscription events of this request cost too much to choose: expected \
         fewer of them, or a token with fewer topics"
    )]
    TooCostly,
    /// Its path would be that of a matcher.
    #[error("\"{0}\" is the name of a matcher type: expected \"match\", or another topic")]
    Reserved(String),
    /// Its path would be another one for every client that reads it as a URL.
    #[error(
        "\"{0}\" cannot be announced: no URL has it as a segment of its path (SUBSCRIPTIONS). Expected \
         another topic"
    )]
    DotSegment(String),
}

/// The announcement of each of these selectors, in their order. `matcher_types` has the type of
/// each; it is empty if they are no matchers. Draft 04 has no such announcements: then there is
/// none.
///
/// # Errors
/// [`AnnounceError`]; the text is for the client.
pub(super) fn announce(
    selectors: &[Selector],
    matcher_types: &[MatcherType],
    grant: &Grant,
    dialects: Dialects,
) -> Result<Box<[Announcement]>, AnnounceError> {
    if matcher_types.is_empty() && dialects.has(Dialect::Draft04) {
        return Ok(Box::default());
    }
    // A selector is in the topic, twice, and once as it is; percent-encoding makes three bytes of
    // one, and JSON up to six.
    let events: usize = selectors.iter().map(|selector| EVENT_BYTES + 3 * 4 * selector.as_str().len()).sum();
    let ChosenPayloads { numbers, bytes } =
        grant.choose_payloads(selectors).ok_or(AnnounceError::TooCostly)?;
    if events + bytes > SUBSCRIPTION_EVENTS_BYTES_MAX {
        return Err(AnnounceError::TooLarge);
    }
    let announcement = |(place, (selector, payload)): (usize, (&Selector, Option<u16>))| {
        let text = selector.as_str();
        let written_as = matcher_types.get(place).copied().map_or(WrittenAs::Topic, WrittenAs::Matcher);
        match written_as {
            WrittenAs::Topic if is_reserved_selector(text, dialects) => {
                Err(AnnounceError::Reserved(text.to_owned()))
            }
            WrittenAs::Matcher(_) if is_dot_segment(text) => Err(AnnounceError::DotSegment(text.to_owned())),
            WrittenAs::Topic | WrittenAs::Matcher(_) => Ok(Announcement { written_as, payload }),
        }
    };
    selectors.iter().zip(numbers).enumerate().map(announcement).collect()
}

/// Whether a segment of a path with this text is removed when the path is read as a URL, also
/// percent-encoded (WHATWG URL, "path state"). In draft 08, topics are URLs to patterns.
fn is_dot_segment(text: &str) -> bool {
    matches!(text, "." | "..")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::mercure::audience::Authorization;
    use crate::mercure::token::{LegacyClaims, MercureClaim};

    fn grant(payload: Option<Value>) -> Grant {
        let mercure = MercureClaim { publish: None, subscribe: None, payload };
        Grant::from_claims(&LegacyClaims { mercure, exp_ms: None }.into(), Authorization::Selectors)
            .expect("valid claims")
    }

    fn announce_all(
        texts: &[&str],
        matcher_types: &[MatcherType],
        grant: &Grant,
        dialects: Dialects,
    ) -> Result<Box<[Announcement]>, AnnounceError> {
        let parse = |text: &&str| Selector::parse(text).expect("a selector");
        let selectors: Vec<_> = texts.iter().map(parse).collect();
        announce(&selectors, matcher_types, grant, dialects)
    }

    #[test]
    fn every_selector_is_announced_as_it_was_written_and_with_its_payload() {
        let dialects = Dialects::with_draft08(Some(Authorization::Selectors));
        for payload in [None, Some(json!({"user": 1}))] {
            let grant = grant(payload.clone());
            let types = [MatcherType::Exact, MatcherType::UrlPattern];
            for (types, expected) in
                [(&types[..0], [WrittenAs::Topic; 2]), (&types[..], types.map(WrittenAs::Matcher))]
            {
                let announced = announce_all(&["a", "*"], types, &grant, dialects).expect("announced");
                for (announcement, written_as) in announced.iter().zip(expected) {
                    assert_eq!(announcement.written_as, written_as);
                    let shown = announcement.payload.and_then(|number| grant.payload_at(number));
                    assert_eq!(shown, payload.as_ref());
                }
                assert_eq!(announced.len(), 2);
            }
        }
    }

    /// Trap 23 of MERCURE-1.0, section 9.
    #[test]
    fn a_topic_with_the_name_of_a_matcher_type_cannot_be_announced_beside_draft_08() {
        let mixed = Dialects::with_draft08(Some(Authorization::Selectors));
        let legacy = Dialects::legacy(Authorization::Selectors);
        for name in ["exact", "urlpattern"] {
            let refused = announce_all(&["a", name], &[], &grant(None), mixed);
            assert_eq!(refused, Err(AnnounceError::Reserved(name.to_owned())));
            assert!(announce_all(&[name], &[], &grant(None), legacy).is_ok());
            assert!(announce_all(&[name], &[MatcherType::Exact], &grant(None), mixed).is_ok());
        }
    }

    /// What is announced is the topic that a client reads as a URL.
    #[test]
    fn the_topic_of_an_announced_matcher_is_the_same_url() {
        use crate::mercure::subscription::{SubscriberId, Subscription};
        let only = Dialects::with_draft08(None);
        for dot in [".", ".."] {
            for matcher in [MatcherType::Exact, MatcherType::UrlPattern] {
                let refused = announce_all(&["a", dot], &[MatcherType::Exact, matcher], &grant(None), only);
                assert_eq!(refused, Err(AnnounceError::DotSegment(dot.to_owned())));
            }
            let mixed = Dialects::with_draft08(Some(Authorization::Selectors));
            assert!(announce_all(&[dot], &[], &grant(None), mixed).is_ok(), "as before draft 08");
        }
        let hub = url::Url::parse("https://hub.e.x/.well-known/mercure").expect("a URL");
        for text in ["...", "%2e%2e", "%2E", ". ", "a/../b", "/", "\\..", "..%2f", "é", "?", "#", "..;"] {
            let announced = announce_all(&[text], &[MatcherType::Exact], &grant(None), only);
            let written_as = announced.expect("announced")[0].written_as;
            let subscriber = SubscriberId::from_random_bytes([0; 16]);
            let topic =
                Subscription { written_as, selector: text, subscriber, active: true, payload: None }.topic();
            let read = hub.join(&topic).expect("a URL");
            assert_eq!(read.as_str(), format!("https://hub.e.x{topic}"), "{text}");
        }
    }

    #[test]
    fn draft_04_beside_draft_08_has_no_announcements() {
        let dialects = Dialects::with_draft08(Some(Authorization::Targets));
        assert!(announce_all(&["a", "exact"], &[], &grant(None), dialects).expect("none").is_empty());
        let of_08 = announce_all(&["a"], &[MatcherType::Exact], &grant(None), dialects).expect("announced");
        assert_eq!(of_08.len(), 1);
    }

    #[test]
    fn the_events_of_one_subscriber_are_bounded_together() {
        let legacy = Dialects::legacy(Authorization::Selectors);
        let grant = grant(Some(Value::from("x".repeat(SUBSCRIPTION_EVENTS_BYTES_MAX / 2 - 1_000))));
        assert!(announce_all(&["a", "b"], &[], &grant, legacy).is_ok());
        let refused = announce_all(&["a", "b", "c"], &[], &grant, legacy);
        assert_eq!(refused, Err(AnnounceError::TooLarge));
    }
}
