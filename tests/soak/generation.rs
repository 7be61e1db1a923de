//! The two versions of the protocol that the clients of the soak speak, side by side on one hub.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::Algorithm;
use petasos::mercure::token::sign_access;
use serde_json::{Value, json};

use crate::common::token;
use crate::oracle::{MARKS, Topics, topic};

/// The settings that make a hub speak draft 08 beside draft 07.
pub(crate) const ISSUER_SETTINGS: [(&str, &str); 4] = [
    ("PUBLIC_URL", "https://hub.e.x/.well-known/mercure"),
    ("ISSUER", "https://e.x"),
    ("ISSUER_PUBLISHER_KEY", "fedcba9876543210fedcba9876543210"),
    ("ISSUER_SUBSCRIBER_KEY", "fedcba9876543210fedcba9876543210"),
];

/// Selects and grants every topic of an update: a URI Template, and a URL Pattern.
const TEMPLATE: &str = "https://soak.example/topics/{id}";
pub(crate) const PATTERN: &str = "https://soak.example/topics/:id";

/// How long a token is valid, in seconds: longer than any soak.
const VALID_S: u64 = 30 * 86_400;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// Draft 07.
    Old,
    /// Draft 08.
    New,
}

impl Generation {
    /// Alternating.
    pub(crate) fn of(number: usize) -> Self {
        if number.is_multiple_of(2) { Self::Old } else { Self::New }
    }

    /// The query of a subscription to these topics, or to all by one selector, and to the marks.
    /// Returns the number of its selectors, too.
    pub(crate) fn query(self, selected: Topics, is_pattern: bool) -> (String, usize) {
        let (exact, all) = match self {
            Self::Old => ("topic", format!("topic={}", TEMPLATE.replace('{', "%7B").replace('}', "%7D"))),
            Self::New => ("match", format!("match_urlpattern={PATTERN}")),
        };
        let mut selectors: Vec<_> = match is_pattern {
            true => vec![all],
            false => selected.numbers().map(|number| format!("{exact}={}", topic(number))).collect(),
        };
        selectors.push(format!("{exact}={MARKS}"));
        (selectors.join("&"), selectors.len())
    }

    /// A token of a subscriber that grants these topics, or all by one entry.
    pub(crate) fn subscriber(self, granted: Topics, is_pattern: bool) -> String {
        let names: Vec<_> = granted.numbers().map(|number| (number, topic(number))).collect();
        match (self, is_pattern) {
            (Self::Old, true) => token(&json!({ "subscribe": [TEMPLATE], "payload": { "n": "all" } }), None),
            (Self::Old, false) => {
                let names: Vec<_> = names.into_iter().map(|(_, name)| name).collect();
                token(&json!({ "subscribe": names, "payload": { "n": "some" } }), None)
            }
            (Self::New, true) => {
                let all = json!({ "match": PATTERN, "match_type": "urlpattern" });
                access(&[detail("subscribe", &all, &json!({ "n": "all" }))])
            }
            // An entry for each topic, with a payload of its own.
            (Self::New, false) => {
                let entry = |(number, name): (usize, String)| {
                    detail("subscribe", &json!({ "match": name }), &json!({ "n": number }))
                };
                access(&names.into_iter().map(entry).collect::<Vec<_>>())
            }
        }
    }

    /// A token that allows everything.
    pub(crate) fn everything(self) -> String {
        match self {
            Self::Old => token(&json!({ "publish": ["*"], "subscribe": ["*"] }), None),
            Self::New => {
                let entry = |action| detail(action, &json!({ "match": "*" }), &Value::Null);
                access(&["publish", "subscribe"].map(entry))
            }
        }
    }

    /// The parameter of the last event id.
    pub(crate) fn cursor_parameter(self) -> &'static str {
        match self {
            Self::Old => "lastEventID",
            Self::New => "last_event_id",
        }
    }

    /// The field of the response that has the cursor.
    pub(crate) fn cursor_field(self) -> &'static str {
        match self {
            Self::Old => "last-event-id",
            Self::New => "mercure-last-event-id",
        }
    }

    /// The selector of the events of active subscriptions of this version.
    pub(crate) fn events(self) -> &'static str {
        match self {
            Self::Old => crate::common::subscriptions::EVENTS,
            Self::New => "match_urlpattern=/.well-known/mercure/subscriptions/:match_type/:match/:subscriber",
        }
    }

    /// Checks the document of a subscription: its form, and its payload, which follows from the
    /// selector where each entry of a token has one of its own.
    pub(crate) fn check_document(self, document: &Value) {
        match self {
            Self::Old => {
                assert!(document["topic"].is_string() && document["type"] == "Subscription", "{document}");
            }
            Self::New => {
                let payload = document.get("payload").map(|payload| &payload["n"]);
                let matched = document["match"].as_str().expect("a text");
                let of_topic = (0..crate::oracle::TOPICS).find(|number| topic(*number) == matched);
                let is_right = match (document["match_type"].as_str().expect("a text"), of_topic, payload) {
                    (_, _, None) => true,
                    ("exact", Some(number), Some(payload)) => *payload == number || payload == "all",
                    ("urlpattern", None, Some(payload)) => matched == PATTERN && payload == "all",
                    _ => false,
                };
                assert!(is_right && document["type"] == "subscription", "{document}");
                assert!(document.get("@context").is_none(), "{document}");
            }
        }
    }
}

fn detail(action: &str, topic: &Value, payload: &Value) -> Value {
    let mut detail = json!({
        "type": "https://mercure.rocks/authorization-detail",
        "actions": [action],
        "topics": [topic],
    });
    if !payload.is_null() {
        detail["payload"] = payload.clone();
    }
    detail
}

/// An access token with these details.
fn access(details: &[Value]) -> String {
    let [(_, audience), (_, issuer), (_, key), _] = ISSUER_SETTINGS;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = json!({
        "iss": issuer, "aud": audience, "exp": now_s + VALID_S, "authorization_details": details,
    });
    sign_access(&claims, key.as_bytes(), Algorithm::HS256).expect("signed")
}
