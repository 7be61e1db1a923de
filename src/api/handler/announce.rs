//! What the hub will announce about a subscription (`SUBSCRIPTIONS`; PROTOCOL section 7;
//! MERCURE-1.0, section 6.2): for each selector, how it is written and its payload. It is chosen
//! here, once, so that neither an event nor a list has to search the token again.

use crate::limits::SUBSCRIPTION_EVENTS_BYTES_MAX;
use crate::mercure::dialect::Dialects;
use crate::mercure::grant::Grant;
use crate::mercure::selector::Selector;
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
    /// Its path would be that of a matcher.
    #[error("\"{0}\" is the name of a matcher type: use \"match\", or another topic")]
    Reserved(String),
}

/// The announcement of each of these selectors, in their order.
///
/// # Errors
/// [`AnnounceError`]; the text is for the client.
pub(super) fn announce<'s>(
    selectors: impl Iterator<Item = (&'s Selector, WrittenAs)>,
    grant: &Grant,
    dialects: Dialects,
) -> Result<Box<[Announcement]>, AnnounceError> {
    let mut events_bytes = 0;
    let announcements = selectors.map(|(selector, written_as)| {
        let text = selector.as_str();
        if written_as == WrittenAs::Topic && is_reserved_selector(text, dialects) {
            return Err(AnnounceError::Reserved(text.to_owned()));
        }
        let payload = grant.payload_number(selector);
        let payload_bytes = payload.and_then(|number| grant.payload_at(number));
        // A selector is in the topic, twice, and once as it is; percent-encoding makes three bytes
        // of one, and JSON up to six.
        events_bytes +=
            EVENT_BYTES + 3 * 4 * text.len() + payload_bytes.map_or(0, |payload| payload.to_string().len());
        match events_bytes <= SUBSCRIPTION_EVENTS_BYTES_MAX {
            true => Ok(Announcement { written_as, payload }),
            false => Err(AnnounceError::TooLarge),
        }
    });
    announcements.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::mercure::audience::Authorization;
    use crate::mercure::selector::MatcherType;
    use crate::mercure::token::{Claims, MercureClaim};

    fn grant(payload: Option<Value>) -> Grant {
        let mercure = MercureClaim { publish: None, subscribe: None, payload };
        Grant::from_claims(&Claims { mercure, exp: None }, Authorization::Selectors).expect("valid claims")
    }

    fn announce_all(
        texts: &[&str],
        written_as: WrittenAs,
        grant: &Grant,
        dialects: Dialects,
    ) -> Result<Box<[Announcement]>, AnnounceError> {
        let selectors: Vec<_> = texts.iter().map(|text| Selector::parse(text).expect("a selector")).collect();
        announce(selectors.iter().map(|selector| (selector, written_as)), grant, dialects)
    }

    #[test]
    fn every_selector_is_announced_as_it_was_written_and_with_its_payload() {
        let dialects = Dialects::with_draft08(Some(Authorization::Selectors));
        for payload in [None, Some(json!({"user": 1}))] {
            let grant = grant(payload.clone());
            for written_as in [WrittenAs::Topic, WrittenAs::Matcher(MatcherType::UrlPattern)] {
                let announced = announce_all(&["a", "*"], written_as, &grant, dialects).expect("announced");
                assert_eq!(announced.len(), 2);
                for announcement in announced {
                    assert_eq!(announcement.written_as, written_as);
                    let shown = announcement.payload.and_then(|number| grant.payload_at(number));
                    assert_eq!(shown, payload.as_ref());
                }
            }
        }
    }

    /// Trap 23 of MERCURE-1.0, section 9.
    #[test]
    fn a_topic_with_the_name_of_a_matcher_type_cannot_be_announced_beside_draft_08() {
        let exact = WrittenAs::Matcher(MatcherType::Exact);
        let mixed = Dialects::with_draft08(Some(Authorization::Selectors));
        let legacy = Dialects::legacy(Authorization::Selectors);
        for name in ["exact", "urlpattern"] {
            let refused = announce_all(&["a", name], WrittenAs::Topic, &grant(None), mixed);
            assert_eq!(refused, Err(AnnounceError::Reserved(name.to_owned())));
            assert!(announce_all(&[name], WrittenAs::Topic, &grant(None), legacy).is_ok());
            assert!(announce_all(&[name], exact, &grant(None), mixed).is_ok());
        }
    }

    #[test]
    fn the_events_of_one_subscriber_are_bounded_together() {
        let legacy = Dialects::legacy(Authorization::Selectors);
        let grant = grant(Some(Value::from("x".repeat(SUBSCRIPTION_EVENTS_BYTES_MAX / 2 - 1_000))));
        assert!(announce_all(&["a", "b"], WrittenAs::Topic, &grant, legacy).is_ok());
        let refused = announce_all(&["a", "b", "c"], WrittenAs::Topic, &grant, legacy);
        assert_eq!(refused, Err(AnnounceError::TooLarge));
    }
}
