//! The parameters of a subscription: its selectors, as texts, and where it starts (PROTOCOL section
//! 2); and the bound of the events about it.
//!
//! To add a parameter: its name in [`crate::mercure::names`], a field of [`SubscribeQuery`], and
//! its use in `RequestHandler::admit_subscriber`, which makes the granted subscription of it.

use crate::http::request::Request;
use crate::limits::{SELECTOR_BYTES_MAX, SUBSCRIPTION_EVENTS_BYTES_MAX};
use crate::mercure::form::{self, FormError};
use crate::mercure::grant::Grant;
use crate::mercure::names::{
    PARAM_LAST_EVENT_ID, PARAM_LAST_EVENT_ID_2019, PARAM_LAST_EVENT_ID_OTHERS, PARAM_TOPIC,
};
use crate::mercure::selector::Selector;
use std::borrow::Cow;

/// Approximate size of an event besides the selector and the payload.
const EVENT_BYTES: usize = 400;

/// The bounds of the selectors of one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectorBounds {
    /// Selectors, repetitions included.
    pub count_max: usize,
    /// Their bytes together.
    pub bytes_max: usize,
}

/// The query and the `Last-Event-ID` header of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeQuery<'a> {
    /// The topic selectors, at least one, in order, repetitions included.
    pub topics: Vec<Cow<'a, str>>,
    /// The last event id, not empty. It may be longer than any valid id; it is then unknown.
    pub last_event_id: Option<Cow<'a, str>>,
}

/// Why a subscription gets a 400. The texts are safe to show the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeQueryError {
    /// No `topic`.
    #[error("Missing \"topic\" parameter.")]
    MissingTopic,
    /// More selectors than this maximum.
    #[error("More than {0} \"topic\" parameters.")]
    TooManyTopics(usize),
    /// More bytes of selectors than this maximum.
    #[error("The \"topic\" parameters have more than {0} bytes together.")]
    TopicsTooLong(usize),
    /// A selector longer than [`SELECTOR_BYTES_MAX`].
    #[error("A \"topic\" parameter is longer than {SELECTOR_BYTES_MAX} bytes.")]
    TopicTooLong,
    /// The query is not a form.
    #[error("Invalid query: {0}")]
    Form(#[source] FormError),
}

impl<'a> SubscribeQuery<'a> {
    /// Parses the request of a subscription whose selectors are within these bounds. The header
    /// `Last-Event-ID` takes precedence over the parameter `lastEventID`, then its 2019 name, then
    /// other spellings. The first non-empty value wins, also among repetitions.
    ///
    /// # Errors
    /// [`SubscribeQueryError`], a 400.
    pub fn parse(request: &Request<'a>, bounds: SelectorBounds) -> Result<Self, SubscribeQueryError> {
        let mut topics = Vec::new();
        let mut bytes = 0;
        let (mut by_parameter, mut by_parameter_2019, mut by_others) = (None, None, None);
        for field in form::fields(request.query.unwrap_or_default().as_bytes()) {
            let (name, value) = field.map_err(SubscribeQueryError::Form)?;
            match name.as_ref() {
                PARAM_TOPIC if value.len() > SELECTOR_BYTES_MAX => {
                    return Err(SubscribeQueryError::TopicTooLong);
                }
                PARAM_TOPIC if topics.len() == bounds.count_max => {
                    return Err(SubscribeQueryError::TooManyTopics(bounds.count_max));
                }
                PARAM_TOPIC if bytes + value.len() > bounds.bytes_max => {
                    return Err(SubscribeQueryError::TopicsTooLong(bounds.bytes_max));
                }
                PARAM_TOPIC => {
                    bytes += value.len();
                    topics.push(value);
                }
                PARAM_LAST_EVENT_ID => keep_first(&mut by_parameter, value),
                PARAM_LAST_EVENT_ID_2019 => keep_first(&mut by_parameter_2019, value),
                name if PARAM_LAST_EVENT_ID_OTHERS.contains(&name) => keep_first(&mut by_others, value),
                _ => {}
            }
        }
        if topics.is_empty() {
            return Err(SubscribeQueryError::MissingTopic);
        }
        let by_header = request.last_event_id.filter(|id| !id.is_empty()).map(Cow::Borrowed);
        let last_event_id = by_header.or(by_parameter).or(by_parameter_2019).or(by_others);
        Ok(Self { topics, last_event_id })
    }
}

fn keep_first<'a>(place: &mut Option<Cow<'a, str>>, value: Cow<'a, str>) {
    if place.is_none() && !value.is_empty() {
        *place = Some(value);
    }
}

/// Why the events of a subscriber are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EventsError {
    /// They would be too large for the history.
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
}

/// Checks that the events of a subscriber with these selectors are small enough for the history: a
/// client chooses the selectors and the payload, and each event repeats the payload.
///
/// # Errors
/// [`EventsError`]; the text is for the client.
pub(super) fn check_events(selectors: &[Selector], grant: &Grant) -> Result<(), EventsError> {
    // A selector is in the topic, twice, and once as it is; percent-encoding makes three bytes of
    // one, and JSON up to six.
    let events: usize = selectors.iter().map(|selector| EVENT_BYTES + 3 * 4 * selector.as_str().len()).sum();
    let payloads = grant.payload_bytes(selectors).ok_or(EventsError::TooCostly)?;
    if events + payloads <= SUBSCRIPTION_EVENTS_BYTES_MAX { Ok(()) } else { Err(EventsError::TooLarge) }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::http::request::Version;

    fn parse<'a>(
        query: Option<&'a str>,
        header: Option<&'a str>,
    ) -> Result<SubscribeQuery<'a>, SubscribeQueryError> {
        let mut request = Request::new(Method::GET, Version::Http11, "/hub", query);
        request.last_event_id = header;
        SubscribeQuery::parse(&request, SelectorBounds { count_max: 3, bytes_max: 2 * SELECTOR_BYTES_MAX })
    }

    #[test]
    fn topics_keep_their_order_and_unknown_parameters_are_ignored() {
        let query =
            parse(Some("topic=https://e.x/%7Bid%7D&x=y&topic=a+b&topic=*&Topic=no"), None).expect("a query");
        assert_eq!(query.topics, ["https://e.x/{id}", "a b", "*"]);
        assert_eq!(query.last_event_id, None);
    }

    #[test]
    fn a_subscription_without_a_topic_is_told_so() {
        for query in [None, Some(""), Some("topics=a"), Some("lastEventID=a")] {
            let error = parse(query, None).expect_err("no topic");
            assert_eq!(error.to_string(), "Missing \"topic\" parameter.");
        }
    }

    #[test]
    fn bounds_are_named() {
        assert_eq!(
            parse(Some("topic=a&topic=b&topic=c&topic=d"), None),
            Err(SubscribeQueryError::TooManyTopics(3))
        );
        let long = format!("topic={}", "a".repeat(SELECTOR_BYTES_MAX + 1));
        assert_eq!(parse(Some(&long), None), Err(SubscribeQueryError::TopicTooLong));
        let longest = &long[..long.len() - 1];
        assert!(parse(Some(&format!("{longest}&{longest}")), None).is_ok());
        assert_eq!(
            parse(Some(&format!("{longest}&{longest}&topic=a")), None),
            Err(SubscribeQueryError::TopicsTooLong(2 * SELECTOR_BYTES_MAX))
        );
        assert_eq!(parse(Some("topic=%ff"), None), Err(SubscribeQueryError::Form(FormError::Utf8)));
        assert_eq!(parse(Some("topic=a&x=%"), None), Err(SubscribeQueryError::Form(FormError::Escape)));
    }

    #[test]
    fn the_first_last_event_id_that_is_not_empty_wins() {
        let both = "topic=a&Last-Event-ID=old&lastEventID=new";
        for (query, header, expected) in [
            (both, Some("header"), Some("header")),
            (both, Some(""), Some("new")),
            (both, None, Some("new")),
            ("topic=a&Last-Event-ID=old&lastEventID=", None, Some("old")),
            ("topic=a&Last-Event-ID=old", None, Some("old")),
            ("topic=a&lastEventID=&lastEventID=b&lastEventID=c", None, Some("b")),
            ("topic=a&lasteventid=x", None, None),
            ("topic=a", Some(""), None),
            ("topic=a&lastEventID=a%20b", None, Some("a b")),
            ("topic=a&lastEventId=a", None, Some("a")),
            ("topic=a&last_event_id=a&Last-Event-ID=old", None, Some("old")),
        ] {
            let parsed = parse(Some(query), header).expect("a query");
            assert_eq!(parsed.last_event_id.as_deref(), expected, "{query} {header:?}");
        }
    }

    #[test]
    fn a_last_event_id_that_no_event_can_have_is_not_an_error() {
        let long = "x".repeat(crate::limits::EVENT_ID_BYTES_MAX + 1);
        let query = format!("topic=a&lastEventID={long}");
        assert_eq!(parse(Some(&query), None).expect("a query").last_event_id.as_deref(), Some(&*long));
    }
}
