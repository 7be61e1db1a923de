//! Active subscriptions: their topics, and their documents (draft-07, section "Active
//! Subscriptions", PROTOCOL section 7; MERCURE-1.0, section 6.2).
//!
//! Invariants: every variable of a path is percent-encoded as a whole, once, so every subscription
//! has one topic, whatever its selector holds. The topic of a document is the path of the document.
//! A subscription has one form, that of the dialect in which it was requested.

use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::Value;
use uritemplate::UriTemplate;
use uuid::Uuid;

use crate::mercure::dialect::{Dialect, Dialects};
use crate::mercure::names::{EARLIEST, EVENT_TYPE_HUB, SUBSCRIPTIONS_PATH};
use crate::mercure::selector::MatcherType;

/// The URI Templates of the paths below [`SUBSCRIPTIONS_PATH`]: one subscription, and the list of
/// those to one selector.
const SUBSCRIPTION: &str = "{/topic,subscriber}";
const SELECTOR: &str = "{/topic}";
/// The same in draft 08.
const SUBSCRIPTION_08: &str = "{/match_type,match,subscriber}";
const SELECTOR_08: &str = "{/match_type,match}";
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

/// How a selector was written, which decides the form of its events and documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WrittenAs {
    /// By `topic`, in drafts 04 and 07.
    Topic,
    /// As a matcher of this type, in draft 08.
    Matcher(MatcherType),
}

/// The form of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentForm {
    /// JSON-LD, of drafts 04 and 07. The cursor is a member.
    JsonLd,
    /// JSON, of draft 08. The cursor is in the header field `Link`.
    Json,
}

/// How the hub announces one selector of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Announcement {
    /// How the selector was written.
    pub written_as: WrittenAs,
    /// Its payload, by its number in the grant; see
    /// [`Grant::payload_at`](crate::mercure::grant::Grant::payload_at).
    pub payload: Option<u16>,
}

impl WrittenAs {
    /// The form of the documents about it.
    pub fn document_form(self) -> DocumentForm {
        match self {
            Self::Topic => DocumentForm::JsonLd,
            Self::Matcher(_) => DocumentForm::Json,
        }
    }

    /// The SSE event type of the events about it.
    pub fn event_type(self) -> Option<&'static str> {
        match self {
            Self::Topic => None,
            Self::Matcher(_) => Some(EVENT_TYPE_HUB),
        }
    }
}

/// Whether a hub of these dialects cannot announce a selector with this text that is written as
/// `topic`: its path would be that of draft 08 (MERCURE-1.0, section 12.3).
pub fn is_reserved_selector(text: &str, dialects: Dialects) -> bool {
    dialects.has_draft08() && MatcherType::from_name(text).is_some()
}

/// Which active subscriptions are requested: the path below the hub's, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListingQuery {
    /// All that have documents of this form.
    All(DocumentForm),
    /// Those to one selector.
    Selector {
        /// How it is written.
        written_as: WrittenAs,
        /// Its text.
        selector: String,
    },
    /// One.
    One {
        /// How its selector is written.
        written_as: WrittenAs,
        /// Its selector.
        selector: String,
        /// Its subscriber. It need not be an existing id.
        subscriber: String,
    },
}

impl ListingQuery {
    /// Reads the part of the path after that of the collection: nothing, `/{topic}`,
    /// `/{topic}/{subscriber}`; in draft 08 `/{match_type}/{match}`,
    /// `/{match_type}/{match}/{subscriber}`. `None` when no resource can have that path.
    ///
    /// A hub that speaks draft 08 reads a path that begins with the name of a matcher type as one
    /// of draft 08. The path of the collection is the same in all dialects; `collection` is the
    /// form that it is requested in.
    pub fn parse(rest: &str, dialects: Dialects, collection: DocumentForm) -> Option<Self> {
        if rest.is_empty() {
            return Some(Self::All(collection));
        }
        let variables: Option<Vec<String>> = rest.strip_prefix('/')?.splitn(3, '/').map(decode).collect();
        let mut variables = variables?.into_iter();
        let first = variables.next()?;
        let matcher = MatcherType::from_name(&first).filter(|_| dialects.has_draft08());
        let (written_as, selector) = match matcher {
            Some(matcher) => (WrittenAs::Matcher(matcher), variables.next()?),
            // Draft 04 has no active subscriptions.
            None if dialects.has(Dialect::Draft07) => (WrittenAs::Topic, first),
            None => return None,
        };
        match (variables.next(), variables.next()) {
            (None, _) => Some(Self::Selector { written_as, selector }),
            (Some(subscriber), None) => Some(Self::One { written_as, selector, subscriber }),
            (Some(_), Some(_)) => None,
        }
    }

    /// The canonical path: what a token has to grant, and the `id` of the document.
    pub fn path(&self) -> String {
        match self {
            Self::All(_) => SUBSCRIPTIONS_PATH.to_owned(),
            Self::Selector { written_as: WrittenAs::Topic, selector } => {
                expand(SELECTOR, &[("topic", selector)])
            }
            Self::Selector { written_as: WrittenAs::Matcher(matcher), selector } => {
                expand(SELECTOR_08, &[("match_type", matcher.as_str()), ("match", selector)])
            }
            Self::One { written_as, selector, subscriber } => path_of(*written_as, selector, subscriber),
        }
    }

    /// The form of the response.
    pub fn document_form(&self) -> DocumentForm {
        match self {
            Self::All(form) => *form,
            Self::Selector { written_as, .. } | Self::One { written_as, .. } => written_as.document_form(),
        }
    }

    /// Whether this subscription is requested.
    pub fn includes(&self, subscription: &Subscription<'_>) -> bool {
        match self {
            Self::All(form) => subscription.written_as.document_form() == *form,
            Self::Selector { written_as, selector } => subscription.is_to(*written_as, selector),
            Self::One { written_as, selector, subscriber } => {
                subscription.is_to(*written_as, selector)
                    && SubscriberId::parse(subscriber) == Some(subscription.subscriber)
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

fn path_of(written_as: WrittenAs, selector: &str, subscriber: &str) -> String {
    let subscriber = ("subscriber", subscriber);
    match written_as {
        WrittenAs::Topic => expand(SUBSCRIPTION, &[("topic", selector), subscriber]),
        WrittenAs::Matcher(matcher) => {
            let matcher = ("match_type", matcher.as_str());
            expand(SUBSCRIPTION_08, &[matcher, ("match", selector), subscriber])
        }
    }
}

/// One subscription: a selector of a subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Subscription<'a> {
    /// How the selector was written.
    pub written_as: WrittenAs,
    /// The selector as the client sent it.
    pub selector: &'a str,
    /// Its subscriber.
    pub subscriber: SubscriberId,
    /// Whether it still exists.
    pub active: bool,
    /// What the subscriber's token says about it.
    pub payload: Option<&'a Value>,
}

#[derive(Serialize)]
struct SubscriptionDocument<'a> {
    #[serde(rename = "@context", skip_serializing_if = "Option::is_none")]
    context: Option<&'static str>,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    match_type: Option<&'static str>,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    matcher: Option<&'a str>,
    subscriber: &'a str,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a Value>,
}

impl Subscription<'_> {
    /// The topic of its events. It is also the path of its document.
    pub fn topic(&self) -> String {
        path_of(self.written_as, self.selector, &self.subscriber.to_urn())
    }

    /// The data of an event about it.
    pub fn event_data(&self) -> String {
        let context = match self.written_as.document_form() {
            DocumentForm::JsonLd => Some(CONTEXT),
            DocumentForm::Json => None,
        };
        let mut data = Vec::with_capacity(256);
        self.write(&mut data, context);
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

    fn is_to(&self, written_as: WrittenAs, selector: &str) -> bool {
        self.written_as == written_as && self.selector == selector
    }

    fn write(&self, out: &mut Vec<u8>, context: Option<&'static str>) {
        let Self { written_as, selector, subscriber, active, payload } = *self;
        let (id, subscriber) = (self.topic(), subscriber.to_urn());
        let (id, subscriber) = (&*id, &*subscriber);
        let (kind, topic, match_type, matcher) = match written_as {
            WrittenAs::Topic => ("Subscription", Some(selector), None, None),
            WrittenAs::Matcher(matcher) => ("subscription", None, Some(matcher.as_str()), Some(selector)),
        };
        let document = SubscriptionDocument {
            context,
            id,
            kind,
            topic,
            match_type,
            matcher,
            subscriber,
            active,
            payload,
        };
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
/// the id of the newest update, if there is any; draft 08 does not show it. `None` when that output
/// is empty.
pub fn single(form: DocumentForm, newest: Option<&str>, member: &[u8]) -> Option<Vec<u8>> {
    let fields = member.strip_prefix(b"{")?;
    if form == DocumentForm::Json {
        return Some(member.to_vec());
    }
    let mut document = Vec::with_capacity(member.len() + 128);
    write_field(&mut document, "{\"@context\":", CONTEXT);
    write_field(&mut document, ",\"lastEventID\":", newest.unwrap_or(EARLIEST));
    document.push(b',');
    document.extend_from_slice(fields);
    Some(document)
}

/// The document of a collection. `path` is the requested path, `newest` the id of the newest
/// update, if there is any, which draft 08 does not show, and `members` the output of
/// [`Subscription::write_member`], separated by commas.
pub fn collection(form: DocumentForm, path: &str, newest: Option<&str>, members: &[u8]) -> Vec<u8> {
    let mut document = Vec::with_capacity(members.len() + path.len() + 256);
    match form {
        DocumentForm::JsonLd => {
            write_field(&mut document, "{\"@context\":", CONTEXT);
            write_field(&mut document, ",\"id\":", path);
            write_field(&mut document, ",\"type\":", "Subscriptions");
            write_field(&mut document, ",\"lastEventID\":", newest.unwrap_or(EARLIEST));
        }
        DocumentForm::Json => {
            write_field(&mut document, "{\"id\":", path);
            write_field(&mut document, ",\"type\":", "subscriptions");
        }
    }
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
    use crate::mercure::audience::Authorization;

    const ID: &str = "urn:uuid:00000000-0000-4000-8000-000000000000";

    const EXACT: WrittenAs = WrittenAs::Matcher(MatcherType::Exact);
    const PATTERN: WrittenAs = WrittenAs::Matcher(MatcherType::UrlPattern);
    const FORMS: [DocumentForm; 2] = [DocumentForm::JsonLd, DocumentForm::Json];

    fn legacy() -> Dialects {
        Dialects::legacy(Authorization::Selectors)
    }

    fn only_08() -> Dialects {
        Dialects::with_draft08(None)
    }

    fn mixed() -> Dialects {
        Dialects::with_draft08(Some(Authorization::Selectors))
    }

    fn subscriber() -> SubscriberId {
        SubscriberId::from_random_bytes([0; 16])
    }

    fn subscription(written_as: WrittenAs, selector: &str) -> Subscription<'_> {
        Subscription { written_as, selector, subscriber: subscriber(), active: true, payload: None }
    }

    fn to(written_as: WrittenAs, selector: &str) -> ListingQuery {
        ListingQuery::Selector { written_as, selector: selector.to_owned() }
    }

    fn one(written_as: WrittenAs, selector: &str, subscriber: &str) -> ListingQuery {
        let (selector, subscriber) = (selector.to_owned(), subscriber.to_owned());
        ListingQuery::One { written_as, selector, subscriber }
    }

    fn parse(rest: &str, dialects: Dialects) -> Option<ListingQuery> {
        ListingQuery::parse(rest, dialects, DocumentForm::JsonLd)
    }

    fn read(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).expect("JSON")
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
            for (written_as, dialects, prefix) in [
                (WrittenAs::Topic, legacy(), ""),
                (WrittenAs::Topic, mixed(), ""),
                (EXACT, mixed(), "exact/"),
                (EXACT, only_08(), "exact/"),
                (PATTERN, only_08(), "urlpattern/"),
            ] {
                let topic = subscription(written_as, selector).topic();
                let expected = format!(
                    "/.well-known/mercure/subscriptions/{prefix}{encoded}/urn%3Auuid%3A00000000-0000-4000-8000-000000000000"
                );
                assert_eq!(topic, expected);
                let rest = topic.strip_prefix(SUBSCRIPTIONS_PATH).expect("below the collection");
                let wanted = parse(rest, dialects).expect("a path");
                assert_eq!(wanted, one(written_as, selector, ID));
                assert_eq!(wanted.path(), topic);
                assert!(wanted.includes(&subscription(written_as, selector)));
            }
        }
    }

    #[test]
    fn every_text_is_a_value_of_the_template() {
        use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
        const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        proptest::proptest!(|(selector in ".*")| {
            let encoded = utf8_percent_encode(&selector, RESERVED);
            let expected = format!("{SUBSCRIPTIONS_PATH}/{encoded}");
            proptest::prop_assert_eq!(to(WrittenAs::Topic, &selector).path(), expected);
            let expected = format!("{SUBSCRIPTIONS_PATH}/urlpattern/{encoded}");
            proptest::prop_assert_eq!(to(PATTERN, &selector).path(), expected);
        });
    }

    /// A proxy or a library may leave characters as they are when they need no encoding. The
    /// resource is the same, and so is what a token has to grant.
    #[test]
    fn every_spelling_of_a_path_is_the_same_resource() {
        for path in ["/a%3Ab/urn:uuid:x", "/a:b/urn%3auuid%3ax", "/%61:b/urn:uuid%3A%78"] {
            let wanted = parse(path, legacy()).expect("a path");
            assert_eq!(wanted.path(), "/.well-known/mercure/subscriptions/a%3Ab/urn%3Auuid%3Ax", "{path}");
        }
        for path in ["/exact/a:b", "/%65xact/a%3Ab", "/exact/%61%3ab"] {
            let wanted = parse(path, only_08()).expect("a path");
            assert_eq!(wanted.path(), "/.well-known/mercure/subscriptions/exact/a%3Ab", "{path}");
        }
        for form in FORMS {
            let all = ListingQuery::parse("", mixed(), form).expect("a path");
            assert_eq!((all.path().as_str(), all.document_form()), (SUBSCRIPTIONS_PATH, form));
        }
        assert_eq!(parse("/*", legacy()), Some(to(WrittenAs::Topic, "*")));
        for nothing in
            ["/", "//", "/a/", "//b", "/a/b/c", "/%FF", "/a/%C3", "/%", "/a%2", "/%zz/b", "/a/%2g", "a"]
        {
            for dialects in [legacy(), mixed(), only_08()] {
                assert_eq!(parse(nothing, dialects), None, "{nothing}");
            }
        }
        for nothing in ["/exact", "/exact/", "/exact//b", "/exact/a/", "/exact/a/b/c", "/urlpattern/%FF"] {
            for dialects in [mixed(), only_08()] {
                assert_eq!(parse(nothing, dialects), None, "{nothing}");
            }
        }
    }

    /// Trap 23 of MERCURE-1.0, section 9.
    #[test]
    fn a_path_that_begins_with_a_matcher_type_is_of_draft_08_where_the_hub_speaks_it() {
        for (path, in_07, in_08, in_both) in [
            ("/exact/x", Some(one(WrittenAs::Topic, "exact", "x")), Some(to(EXACT, "x")), to(EXACT, "x")),
            ("/urlpattern/x/y", None, Some(one(PATTERN, "x", "y")), one(PATTERN, "x", "y")),
            (
                "/Exact/x",
                Some(one(WrittenAs::Topic, "Exact", "x")),
                None,
                one(WrittenAs::Topic, "Exact", "x"),
            ),
            ("/x", Some(to(WrittenAs::Topic, "x")), None, to(WrittenAs::Topic, "x")),
        ] {
            assert_eq!(parse(path, legacy()), in_07, "{path}");
            assert_eq!(parse(path, only_08()), in_08, "{path}");
            assert_eq!(parse(path, mixed()), Some(in_both), "{path}");
        }
        for (text, dialects, reserved) in [
            ("exact", mixed(), true),
            ("urlpattern", mixed(), true),
            ("Exact", mixed(), false),
            ("exact/", mixed(), false),
            ("exact", legacy(), false),
        ] {
            assert_eq!(is_reserved_selector(text, dialects), reserved, "{text}");
        }
    }

    #[test]
    fn a_collection_is_all_or_those_to_one_selector() {
        let topic = subscription(WrittenAs::Topic, "a");
        assert!(ListingQuery::All(DocumentForm::JsonLd).includes(&topic));
        assert!(to(WrittenAs::Topic, "a").includes(&topic));
        assert!(!to(WrittenAs::Topic, "b").includes(&topic));
        for (selector, id) in [("b", ID), ("a", "urn:uuid:x"), ("a", &*ID.to_uppercase()), ("a", &ID[9..])] {
            assert!(!one(WrittenAs::Topic, selector, id).includes(&topic), "{selector} {id}");
        }
    }

    /// Trap 24 of MERCURE-1.0, section 9.
    #[test]
    fn a_subscription_is_listed_in_its_own_form_only() {
        let forms = [WrittenAs::Topic, EXACT, PATTERN];
        for listed in forms {
            for asked in forms {
                let listed_of = |wanted: &ListingQuery| wanted.includes(&subscription(listed, "*"));
                assert_eq!(listed_of(&to(asked, "*")), listed == asked, "{listed:?} {asked:?}");
                assert_eq!(listed_of(&one(asked, "*", ID)), listed == asked, "{listed:?} {asked:?}");
                let form = asked.document_form();
                assert_eq!(listed_of(&ListingQuery::All(form)), listed.document_form() == form);
            }
        }
    }

    #[test]
    fn documents_are_those_of_the_protocol() {
        let payload = json!({"user": "ä\"\n", "n": [1, null]});
        let subscription =
            Subscription { payload: Some(&payload), ..subscription(WrittenAs::Topic, "a/{b}") };
        let id = format!("{SUBSCRIPTIONS_PATH}/a%2F%7Bb%7D/urn%3Auuid%3A{}", &ID[9..]);
        let mut expected = json!({
            "@context": "https://mercure.rocks/", "id": id, "type": "Subscription", "topic": "a/{b}",
            "subscriber": ID, "active": true, "payload": payload,
        });
        assert_eq!(read(subscription.event_data().as_bytes()), expected);
        let ended = Subscription { active: false, payload: None, ..subscription };
        let data = read(ended.event_data().as_bytes());
        assert_eq!((&data["active"], data.get("payload")), (&json!(false), None));

        let mut members = Vec::new();
        subscription.write_member(&mut members);
        ended.write_member(&mut members);
        let list = |newest, members: &[u8]| {
            read(&collection(DocumentForm::JsonLd, SUBSCRIPTIONS_PATH, newest, members))
        };
        let all = list(Some("id \"1\""), &members);
        assert_eq!(all["lastEventID"], json!("id \"1\""));
        assert_eq!((&all["@context"], &all["type"]), (&json!(CONTEXT), &json!("Subscriptions")));
        assert_eq!(all["id"], json!(SUBSCRIPTIONS_PATH));
        assert_eq!(all["subscriptions"].as_array().map(Vec::len), Some(2));
        assert_eq!(all["subscriptions"][0]["payload"], payload);
        assert_eq!(all["subscriptions"][1]["topic"], json!("a/{b}"));
        let none = list(None, &[]);
        assert_eq!((&none["lastEventID"], &none["subscriptions"]), (&json!("earliest"), &json!([])));

        expected["lastEventID"] = json!("earliest");
        let mut member = Vec::new();
        subscription.write_member(&mut member);
        assert_eq!(read(&single(DocumentForm::JsonLd, None, &member).expect("a document")), expected);
        assert_eq!(single(DocumentForm::JsonLd, None, &[]), None);
        let mut joined = Vec::new();
        for others in [&[][..], &member, &[], &member] {
            join_members(&mut joined, others);
        }
        assert_eq!(list(None, &joined)["subscriptions"].as_array().map(Vec::len), Some(2));
    }

    /// Tests 104, 105 and 111 of MERCURE-1.0, section 13, without a hub.
    #[test]
    fn documents_of_draft_08_are_plain_json_without_a_cursor() {
        let payload = json!(["any", {"json": null}]);
        for (written_as, match_type) in [(EXACT, "exact"), (PATTERN, "urlpattern")] {
            let subscription = Subscription { payload: Some(&payload), ..subscription(written_as, "a%b:*") };
            let id = format!("{SUBSCRIPTIONS_PATH}/{match_type}/a%25b%3A%2A/urn%3Auuid%3A{}", &ID[9..]);
            let expected = json!({
                "id": id, "type": "subscription", "match_type": match_type, "match": "a%b:*",
                "subscriber": ID, "active": true, "payload": payload,
            });
            assert_eq!(subscription.topic(), id);
            assert_eq!(read(subscription.event_data().as_bytes()), expected);
            assert_eq!(written_as.event_type(), Some("mercure"));
            let mut member = Vec::new();
            subscription.write_member(&mut member);
            let document = single(DocumentForm::Json, Some("newest"), &member).expect("a document");
            assert_eq!(document, subscription.event_data().as_bytes(), "that of the event");
            let all = read(&collection(DocumentForm::Json, SUBSCRIPTIONS_PATH, Some("newest"), &member));
            assert_eq!(
                all,
                json!({ "id": SUBSCRIPTIONS_PATH, "type": "subscriptions", "subscriptions": [expected] })
            );
            let ended = Subscription { active: false, payload: None, ..subscription };
            let data = read(ended.event_data().as_bytes());
            assert_eq!((&data["active"], data.get("payload")), (&json!(false), None));
        }
        assert_eq!(single(DocumentForm::Json, None, &[]), None);
        let none = read(&collection(DocumentForm::Json, "/", None, &[]));
        assert_eq!(none, json!({ "id": "/", "type": "subscriptions", "subscriptions": [] }));
    }

    /// The longest selector, all of it percent-encoded, fits into a topic.
    #[test]
    fn the_longest_selector_has_a_topic() {
        use crate::limits::{SELECTOR_BYTES_MAX, TOPIC_BYTES_MAX};
        let longest = " ".repeat(SELECTOR_BYTES_MAX);
        assert!(subscription(PATTERN, &longest).topic().len() <= TOPIC_BYTES_MAX);
    }
}
