//! Active subscriptions: their topics, and their documents (draft-07, section "Active
//! Subscriptions"; PROTOCOL section 7).
//!
//! Invariants: a selector and a subscriber's id are each percent-encoded as a whole, once, so every
//! subscription has one topic, whatever its selector holds. The topic of a document is the path of
//! the document.

use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::Value;
use uritemplate::UriTemplate;
use uuid::Uuid;

use crate::mercure::names::{EARLIEST, SUBSCRIPTIONS_PATH};

/// The URI Template of the topic of one subscription, below [`SUBSCRIPTIONS_PATH`].
const SUBSCRIPTION: &str = "{/topic,subscriber}";
/// The URI Template of the list of the subscriptions to one selector.
const SELECTOR: &str = "{/topic}";
const CONTEXT: &str = "https://mercure.rocks/";

/// The id of a subscriber, `urn:uuid:` and a UUID version 4. There is one for each stream; a client
/// that reconnects gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriberId(Uuid);

impl SubscriberId {
    /// The id made of the caller's random bytes (RFC 9562, section 5.4).
    pub fn from_random_bytes(random: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(random).into_uuid())
    }

    /// Reads an id as [`SubscriberId::to_urn`] writes it. No other spelling is accepted.
    pub fn parse(text: &str) -> Option<Self> {
        let id = Self(Uuid::try_parse(text.strip_prefix("urn:uuid:")?).ok()?);
        (id.to_urn() == text).then_some(id)
    }

    /// `urn:uuid:…`
    pub fn to_urn(self) -> String {
        self.0.urn().to_string()
    }
}

/// Which active subscriptions are requested: the path below the hub's, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListingQuery {
    /// All of them.
    All,
    /// Those to this selector.
    Selector(String),
    /// One.
    One {
        /// Its selector.
        selector: String,
        /// Its subscriber. It need not be an existing id.
        subscriber: String,
    },
}

impl ListingQuery {
    /// Reads the part of the path after that of the collection: nothing, `/{topic}`, or
    /// `/{topic}/{subscriber}`. `None` when no resource can have that path.
    pub fn parse(rest: &str) -> Option<Self> {
        if rest.is_empty() {
            return Some(Self::All);
        }
        let mut variables = rest.strip_prefix('/')?.splitn(2, '/').map(decode);
        let selector = variables.next()??;
        match variables.next() {
            None => Some(Self::Selector(selector)),
            Some(subscriber) => Some(Self::One { selector, subscriber: subscriber? }),
        }
    }

    /// The canonical path: what a token has to grant, and the `id` of the document.
    pub fn path(&self) -> String {
        match self {
            Self::All => SUBSCRIPTIONS_PATH.to_owned(),
            Self::Selector(selector) => expand(SELECTOR, &[("topic", selector)]),
            Self::One { selector, subscriber } => path_of(selector, subscriber),
        }
    }

    /// Whether a subscription of this subscriber to this selector is requested.
    pub fn includes(&self, selector: &str, subscriber: SubscriberId) -> bool {
        match self {
            Self::All => true,
            Self::Selector(wanted) => wanted == selector,
            Self::One { selector: wanted, subscriber: id } => {
                wanted == selector && SubscriberId::parse(id) == Some(subscriber)
            }
        }
    }
}

/// Expands a template of this module (RFC 6570): every character of a value but the unreserved ones
/// is percent-encoded. The values may be any text; a template never comes from a client. It has no
/// literal text: the crate would compile a regular expression for that, each time.
fn expand(template: &'static str, variables: &[(&str, &str)]) -> String {
    let mut template = UriTemplate::new(template);
    for (name, value) in variables {
        template.set(name, *value);
    }
    format!("{SUBSCRIPTIONS_PATH}{}", template.build())
}

/// A variable of the path. `None` when it is empty, is not UTF-8, holds a bare slash, or is not
/// percent-encoded correctly (RFC 3986, section 2.1).
fn decode(variable: &str) -> Option<String> {
    let is_triplet =
        |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|digit| digit.is_ascii_hexdigit());
    if variable.is_empty() || variable.contains('/') || !variable.split('%').skip(1).all(is_triplet) {
        return None;
    }
    percent_decode_str(variable).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn path_of(selector: &str, subscriber: &str) -> String {
    expand(SUBSCRIPTION, &[("topic", selector), ("subscriber", subscriber)])
}

/// One subscription: a selector of a subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Subscription<'a> {
    /// The selector as the client sent it.
    pub selector: &'a str,
    /// Its subscriber.
    pub subscriber: SubscriberId,
    /// Whether it still exists.
    pub active: bool,
    /// `mercure.payload` of the subscriber's token.
    pub payload: Option<&'a Value>,
}

#[derive(Serialize)]
struct SubscriptionDocument<'a> {
    #[serde(rename = "@context", skip_serializing_if = "Option::is_none")]
    context: Option<&'static str>,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    topic: &'a str,
    subscriber: &'a str,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a Value>,
}

impl Subscription<'_> {
    /// The topic of its events. It is also the path of its document.
    pub fn topic(&self) -> String {
        path_of(self.selector, &self.subscriber.to_urn())
    }

    /// The data of an event about it.
    pub fn event_data(&self) -> String {
        let mut data = Vec::with_capacity(256);
        self.write(&mut data, Some(CONTEXT));
        // Serde writes UTF-8.
        String::from_utf8(data).unwrap_or_default()
    }

    /// Appends it as a member of a collection.
    pub fn write_member(&self, out: &mut Vec<u8>) {
        if !out.is_empty() {
            out.push(b',');
        }
        self.write(out, None);
    }

    fn write(&self, out: &mut Vec<u8>, context: Option<&'static str>) {
        let Self { selector: topic, subscriber, active, payload } = *self;
        let (id, subscriber) = (self.topic(), subscriber.to_urn());
        let (id, subscriber, kind) = (&*id, &*subscriber, "Subscription");
        let document = SubscriptionDocument { context, id, kind, topic, subscriber, active, payload };
        write_json(out, &document);
    }
}

/// Appends members that were written elsewhere.
pub fn join_members(members: &mut Vec<u8>, others: &[u8]) {
    if !members.is_empty() && !others.is_empty() {
        members.push(b',');
    }
    members.extend_from_slice(others);
}

/// The document of one subscription, from the output of [`Subscription::write_member`]. `newest` is
/// the id of the newest update, if there is any. `None` when that output is empty.
pub fn single(newest: Option<&str>, member: &[u8]) -> Option<Vec<u8>> {
    let fields = member.strip_prefix(b"{")?;
    let mut document = Vec::with_capacity(member.len() + 128);
    write_field(&mut document, "{\"@context\":", CONTEXT);
    write_field(&mut document, ",\"lastEventID\":", newest.unwrap_or(EARLIEST));
    document.push(b',');
    document.extend_from_slice(fields);
    Some(document)
}

/// The document of a collection. `path` is the requested path, `newest` the id of the newest
/// update, if there is any, and `members` the output of [`Subscription::write_member`], separated
/// by commas.
pub fn collection(path: &str, newest: Option<&str>, members: &[u8]) -> Vec<u8> {
    let mut document = Vec::with_capacity(members.len() + path.len() + 256);
    write_field(&mut document, "{\"@context\":", CONTEXT);
    write_field(&mut document, ",\"id\":", path);
    write_field(&mut document, ",\"type\":", "Subscriptions");
    write_field(&mut document, ",\"lastEventID\":", newest.unwrap_or(EARLIEST));
    document.extend_from_slice(b",\"subscriptions\":[");
    document.extend_from_slice(members);
    document.extend_from_slice(b"]}");
    document
}

fn write_field(document: &mut Vec<u8>, name: &str, value: &str) {
    document.extend_from_slice(name.as_bytes());
    write_json(document, value);
}

fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // A `Vec` takes everything, and every key of a document is a string.
    serde_json::to_writer(out, value).expect("texts and JSON values can be written as JSON");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "urn:uuid:00000000-0000-4000-8000-000000000000";

    fn subscriber() -> SubscriberId {
        SubscriberId::from_random_bytes([0; 16])
    }

    #[test]
    fn both_variables_of_the_topic_are_encoded_once_and_as_a_whole() {
        for (selector, encoded) in [
            ("a", "a"),
            ("*", "%2A"),
            ("https://example.com/{id}?x=1&y#z", "https%3A%2F%2Fexample.com%2F%7Bid%7D%3Fx%3D1%26y%23z"),
            ("100%", "100%25"),
            ("%2F", "%252F"),
            ("a b+c", "a%20b%2Bc"),
            ("é", "%C3%A9"),
            ("-._~", "-._~"),
        ] {
            let subscription =
                Subscription { selector, subscriber: subscriber(), active: true, payload: None };
            let topic = subscription.topic();
            let expected = format!(
                "/.well-known/mercure/subscriptions/{encoded}/urn%3Auuid%3A00000000-0000-4000-8000-000000000000"
            );
            assert_eq!(topic, expected);
            let rest = topic.strip_prefix(SUBSCRIPTIONS_PATH).expect("below the collection");
            let wanted = ListingQuery::parse(rest).expect("a path");
            assert_eq!(
                wanted,
                ListingQuery::One { selector: selector.to_owned(), subscriber: ID.to_owned() }
            );
            assert_eq!(wanted.path(), topic);
            assert!(wanted.includes(selector, subscriber()));
        }
    }

    #[test]
    fn every_text_is_a_value_of_the_template() {
        use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
        const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        proptest::proptest!(|(selector in ".*")| {
            let expected = format!("{SUBSCRIPTIONS_PATH}/{}", utf8_percent_encode(&selector, RESERVED));
            proptest::prop_assert_eq!(ListingQuery::Selector(selector).path(), expected);
        });
    }

    /// A proxy or a library may leave characters as they are when they need no encoding. The
    /// resource is the same, and so is what a token has to grant.
    #[test]
    fn every_spelling_of_a_path_is_the_same_resource() {
        for path in ["/a%3Ab/urn:uuid:x", "/a:b/urn%3auuid%3ax", "/%61:b/urn:uuid%3A%78"] {
            let wanted = ListingQuery::parse(path).expect("a path");
            assert_eq!(wanted.path(), "/.well-known/mercure/subscriptions/a%3Ab/urn%3Auuid%3Ax", "{path}");
        }
        assert_eq!(ListingQuery::parse("").map(|all| all.path()).as_deref(), Some(SUBSCRIPTIONS_PATH));
        assert_eq!(ListingQuery::parse("/*"), Some(ListingQuery::Selector("*".to_owned())));
        for nothing in
            ["/", "//", "/a/", "//b", "/a/b/c", "/%FF", "/a/%C3", "/%", "/a%2", "/%zz/b", "/a/%2g", "a"]
        {
            assert_eq!(ListingQuery::parse(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_collection_is_all_or_those_to_one_selector() {
        assert!(ListingQuery::All.includes("a", subscriber()));
        assert!(ListingQuery::Selector("a".to_owned()).includes("a", subscriber()));
        assert!(!ListingQuery::Selector("b".to_owned()).includes("a", subscriber()));
        for (selector, id) in [("b", ID), ("a", "urn:uuid:x"), ("a", &*ID.to_uppercase()), ("a", &ID[9..])] {
            let wanted = ListingQuery::One { selector: selector.to_owned(), subscriber: id.to_owned() };
            assert!(!wanted.includes("a", subscriber()), "{selector} {id}");
        }
    }

    #[test]
    fn documents_are_those_of_the_protocol() {
        let payload = json!({"user": "ä\"\n", "n": [1, null]});
        let subscription = Subscription {
            selector: "a/{b}",
            subscriber: subscriber(),
            active: true,
            payload: Some(&payload),
        };
        let id = format!("{SUBSCRIPTIONS_PATH}/a%2F%7Bb%7D/urn%3Auuid%3A{}", &ID[9..]);
        let mut expected = json!({
            "@context": "https://mercure.rocks/", "id": id, "type": "Subscription", "topic": "a/{b}",
            "subscriber": ID, "active": true, "payload": payload,
        });
        let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
        assert_eq!(read(subscription.event_data().as_bytes()), expected);
        let ended = Subscription { active: false, payload: None, ..subscription };
        let data = read(ended.event_data().as_bytes());
        assert_eq!((&data["active"], data.get("payload")), (&json!(false), None));

        let mut members = Vec::new();
        subscription.write_member(&mut members);
        ended.write_member(&mut members);
        let all = read(&collection(SUBSCRIPTIONS_PATH, Some("id \"1\""), &members));
        assert_eq!(all["lastEventID"], json!("id \"1\""));
        assert_eq!((&all["@context"], &all["type"]), (&json!(CONTEXT), &json!("Subscriptions")));
        assert_eq!(all["id"], json!(SUBSCRIPTIONS_PATH));
        assert_eq!(all["subscriptions"].as_array().map(Vec::len), Some(2));
        assert_eq!(all["subscriptions"][0]["payload"], payload);
        assert_eq!(all["subscriptions"][1]["topic"], json!("a/{b}"));
        let none = read(&collection(SUBSCRIPTIONS_PATH, None, &[]));
        assert_eq!((&none["lastEventID"], &none["subscriptions"]), (&json!("earliest"), &json!([])));

        expected["lastEventID"] = json!("earliest");
        let mut member = Vec::new();
        subscription.write_member(&mut member);
        assert_eq!(read(&single(None, &member).expect("a document")), expected);
        assert_eq!(single(None, &[]), None);
        let mut joined = Vec::new();
        for others in [&[][..], &member, &[], &member] {
            join_members(&mut joined, others);
        }
        assert_eq!(read(&collection("/", None, &joined))["subscriptions"].as_array().map(Vec::len), Some(2));
    }
}
