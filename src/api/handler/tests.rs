//! Decisions about requests of draft 08, alone and beside the older protocols (MERCURE-1.0,
//! sections 12.3 and 13).

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::api::keyring::{Issuer, KeySource};
use crate::http::request::{QUERY, Version};
use crate::limits::{PATTERN_OPENERS_OF_REQUEST_MAX, PATTERN_STATES_OF_REQUEST_MAX};
use crate::mercure::dialect::Dialects;
use crate::mercure::names::{ACCESS_TOKEN_COOKIE_NAME, COOKIE_NAME, METADATA_PATH};
use crate::mercure::resume::Resume;
use crate::mercure::selector::MatcherType;
use crate::mercure::selector::Selector;
use crate::mercure::subscription::WrittenAs;
use crate::mercure::token::{Algorithm, VerificationKey, sign};

mod tokens;

const NOW: Now = Now { ms: 0, unix_ms: 1_700_000_000_000 };
const BOUNDS: SelectorBounds = SelectorBounds { count_max: 1_000, bytes_max: 48 << 10 };
const ONLY_07: Dialects = Dialects::legacy(Authorization::Selectors);
const ONLY_08: Dialects = Dialects::with_draft08(None);
const MIXED: Dialects = Dialects::with_draft08(Some(Authorization::Selectors));
const BARE: &str = "Bearer resource_metadata=\"https://hub.e.x/.well-known/oauth-protected-resource\
                    /.well-known/mercure\"";

fn handler(dialects: Dialects) -> RequestHandler {
    RequestHandler::new(ApiSettings {
        publish_origins: OriginList::parse("https://listed.example").expect("an origin"),
        selectors: BOUNDS,
        selectors_anonymous: BOUNDS,
        ..settings_for_tests(dialects, b"secret")
    })
}

fn token(mercure: &Value) -> String {
    sign(&json!({ "mercure": mercure }), b"secret", Algorithm::HS256).expect("a token")
}

struct Sent<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    fields: &'a [(&'a str, &'a str)],
}

fn decide(handler: &mut RequestHandler, sent: &Sent<'_>) -> Decision {
    let method = Method::from_bytes(sent.method.as_bytes()).expect("a token");
    let mut request = Request::new(method, Version::Http11, sent.path, Some(sent.query));
    for (name, value) in sent.fields {
        request.field(name, value.as_bytes()).expect("a field");
    }
    handler.decide(&request, NOW)
}

fn get(dialects: Dialects, query: &str, fields: &[(&str, &str)]) -> Decision {
    decide(&mut handler(dialects), &Sent { method: "GET", path: HUB_PATH, query, fields })
}

fn post(dialects: Dialects, fields: &[(&str, &str)]) -> Decision {
    decide(&mut handler(dialects), &Sent { method: "POST", path: HUB_PATH, query: "", fields })
}

fn subscribed(decision: Decision) -> GrantedSubscription {
    match decision {
        Decision::Subscribe(subscription) => *subscription,
        Decision::Respond(response) => panic!("{:?}", response.refusal),
        _ => panic!("no subscription"),
    }
}

fn response(decision: Decision) -> Response {
    match decision {
        Decision::Respond(response) => response.response,
        _ => panic!("no response"),
    }
}

/// The status, and the challenge.
fn refused(decision: Decision) -> (u16, Option<String>) {
    let response = response(decision);
    (response.status().as_u16(), field(&response, "WWW-Authenticate"))
}

fn status(decision: Decision) -> u16 {
    match decision {
        Decision::Respond(response) => response.response.status().as_u16(),
        _ => 200,
    }
}

fn field(response: &Response, name: &str) -> Option<String> {
    let value = response.fields().find(|(other, _)| other.as_str() == name)?.1;
    Some(value.to_str().expect("ASCII").to_owned())
}

fn texts(subscription: &GrantedSubscription) -> Vec<&str> {
    subscription.selectors.iter().map(Selector::as_str).collect()
}

/// Tests 1, 3, 4, 22 and 35 of MERCURE-1.0, section 13.
#[test]
fn a_matcher_is_exact_whatever_it_holds() {
    let subscription =
        subscribed(get(ONLY_08, "match=https://e.x/%7Bid%7D&match_exact=a;b&match_urlpattern=*", &[]));
    assert_eq!(subscription.dialect, Dialect::Draft08);
    assert_eq!(texts(&subscription), ["https://e.x/{id}", "a;b", "*"]);
    assert!(!subscription.selectors[0].matches("https://e.x/1"));
    assert!(subscription.selectors[0].matches("https://e.x/{id}"));
    let kinds = [MatcherType::Exact, MatcherType::Exact, MatcherType::UrlPattern];
    let written: Vec<_> = subscription.announcements.iter().map(|it| it.written_as).collect();
    assert_eq!(written, kinds.map(WrittenAs::Matcher));
}

/// The time to read patterns grows with their states and groups (MERCURE-1.0, section 8.4).
#[test]
fn the_patterns_of_a_request_are_bounded_together() {
    let states = ("match_urlpattern=/(a{1000})", PATTERN_STATES_OF_REQUEST_MAX / 1_001);
    let wildcards = format!("match_urlpattern=/{}", "*/".repeat(32));
    let openers = (wildcards.as_str(), PATTERN_OPENERS_OF_REQUEST_MAX / 32);
    for (pattern, most) in [states, openers] {
        let query = |count: usize| vec![pattern; count].join("&");
        assert_eq!(texts(&subscribed(get(ONLY_08, &query(most), &[]))).len(), most);
        let response = response(get(ONLY_08, &query(most + 1), &[]));
        let body = String::from_utf8_lossy(response.body().expect("a body")).into_owned();
        assert_eq!(response.status(), 400);
        assert!(body.contains("together, the patterns of a request"), "{body}");
    }
}

/// Tests 24 to 29, 32, 33, 121 and 126 of MERCURE-1.0, section 13.
#[test]
fn a_subscription_that_breaks_a_rule_is_400_and_names_the_parameter() {
    for (dialects, query, expected) in [
        (ONLY_08, "match_regexp=a", "begins with \"match\""),
        (ONLY_08, "MATCH=a", "begins with \"match\""),
        (ONLY_08, "", "Missing \"match\""),
        (ONLY_08, "match=", "Invalid \"match\" parameter"),
        (ONLY_08, "match", "Invalid \"match\" parameter"),
        (ONLY_08, "topic=a", "Unsupported \"topic\" parameter"),
        (ONLY_08, "match=a%0A", "Invalid \"match\" parameter"),
        (ONLY_08, "match=%7F", "Invalid \"match\" parameter"),
        (ONLY_08, "match=%C2%85", "Invalid \"match\" parameter"),
        (ONLY_08, "match=%E2%80%8B", "Invalid \"match\" parameter"),
        (ONLY_08, "match=%C2%AD", "Invalid \"match\" parameter"),
        (ONLY_08, "match=%FF", "Invalid query"),
        (MIXED, "topic=a&match=b", "one protocol version"),
        (ONLY_07, "match=a", "PROTOCOL has no 08"),
        (ONLY_07, "topic=", "Invalid \"topic\" parameter"),
    ] {
        let response = response(get(dialects, query, &[]));
        let body = String::from_utf8_lossy(response.body().expect("a body")).into_owned();
        assert_eq!(response.status(), 400, "{query}");
        assert!(body.contains(expected), "{query}: {body}");
    }
    // As before without draft 08: these are characters like any other.
    assert_eq!(texts(&subscribed(get(ONLY_07, "topic=%E2%80%8B", &[]))), ["\u{200b}"]);
    assert_eq!(subscribed(get(MIXED, "topic=a", &[])).dialect, Dialect::Draft07);
}

/// Tests 39, 98 and 99 of MERCURE-1.0, section 13.
#[test]
fn an_empty_cursor_of_draft_08_is_the_newest_update() {
    for (query, fields, expected) in [
        ("match=a&last_event_id=x", &[][..], Some(Resume::parse("x"))),
        ("match=a&last_event_id=x", &[("Last-Event-ID", "z")], Some(Resume::parse("z"))),
        ("match=a&last_event_id=earliest", &[], Some(Resume::Earliest)),
        ("match=a&last_event_id=", &[], Some(Resume::Newest)),
        ("match=a", &[("Last-Event-ID", "")], Some(Resume::Newest)),
        ("match=a", &[], None),
        ("topic=a&lastEventID=", &[("Last-Event-ID", "")], None),
    ] {
        assert_eq!(subscribed(get(MIXED, query, fields)).resume, expected, "{query} {fields:?}");
    }
}

/// Test 43 and trap 29 of MERCURE-1.0.
#[test]
fn a_request_of_draft_08_that_does_not_accept_a_stream_is_406() {
    for (accept, expected) in
        [("application/json", 406), ("text/event-stream;q=0", 406), ("*/*", 200), ("text/*", 200)]
    {
        let fields = [("Accept", accept)];
        assert_eq!(status(get(ONLY_08, "match=a", &fields)), expected, "{accept}");
        assert_eq!(status(get(MIXED, "topic=a", &fields)), 200, "{accept}");
    }
    assert_eq!(status(get(ONLY_08, "match=a", &[])), 200);
}

fn query_method<'a>(query: &'a str, fields: &'a [(&'a str, &'a str)]) -> Sent<'a> {
    Sent { method: QUERY, path: HUB_PATH, query, fields }
}

/// What a `QUERY` with this body leads to.
fn query(dialects: Dialects, url: &str, fields: &[(&str, &str)], body: &str) -> Decision {
    let mut handler = handler(dialects);
    match decide(&mut handler, &query_method(url, fields)) {
        Decision::ReadBody(AwaitedBody::Query(subscriber)) => {
            handler.query(*subscriber, body.as_bytes(), NOW)
        }
        other => other,
    }
}

const FORM_TYPE: [(&str, &str); 1] = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")];

/// Tests 37 to 39 of MERCURE-1.0, section 13, and trap 28.
#[test]
fn a_query_subscribes_to_what_its_url_and_its_body_name() {
    assert_eq!(texts(&subscribed(query(MIXED, "", &FORM_TYPE, "match=a"))), ["a"]);
    let both = subscribed(query(MIXED, "match=a&last_event_id=X", &FORM_TYPE, "match=b&last_event_id=Y"));
    assert_eq!((texts(&both), both.resume.clone()), (vec!["a", "b"], Some(Resume::parse("X"))));
    let headed = [FORM_TYPE[0], ("Last-Event-ID", "Z")];
    let both = subscribed(query(MIXED, "match=a&last_event_id=X", &headed, "last_event_id=Y"));
    assert_eq!(both.resume, Some(Resume::parse("Z")));
    assert_eq!(texts(&subscribed(query(MIXED, "match=a", &[], ""))), ["a"], "no body needs no type");
}

/// Tests 40 and 41 of MERCURE-1.0, section 13.
#[test]
fn the_body_of_a_query_is_a_form_of_draft_08() {
    for (fields, body, expected) in [
        (&[][..], "match=a", 400),
        (&[("Content-Type", "application/json")], "match=a", 415),
        (&[("Content-Type", "application/json")], "", 415),
        (&[("Content-Type", "")], "match=a", 400),
        (&[("Content-Type", "form")], "match=a", 400),
        (&[("Content-Type", "a/b/c")], "match=a", 400),
        (&FORM_TYPE, "Match=a", 400),
        (&FORM_TYPE, "topic=a", 400),
        (&FORM_TYPE, "", 400),
        (&[FORM_TYPE[0], ("Accept", "application/json")], "match=a", 406),
        (&[FORM_TYPE[0], ("Authorization", "Bearer x.y.z")], "match=a", 401),
    ] {
        assert_eq!(status(query(MIXED, "", fields, body)), expected, "{fields:?} {body}");
    }
    assert_eq!(status(query(ONLY_07, "topic=a", &FORM_TYPE, "")), 405);
}

#[test]
fn a_resource_tells_that_it_takes_queries() {
    for (method, dialects, expected) in [
        ("DELETE", MIXED, Some("application/x-www-form-urlencoded")),
        ("OPTIONS", ONLY_08, Some("application/x-www-form-urlencoded")),
        ("DELETE", ONLY_07, None),
        ("OPTIONS", ONLY_07, None),
    ] {
        let sent = Sent { method, path: HUB_PATH, query: "", fields: &[] };
        let response = response(decide(&mut handler(dialects), &sent));
        assert_eq!(field(&response, "Accept-Query").as_deref(), expected, "{method} {dialects:?}");
    }
}

#[test]
fn a_query_that_arrives_while_the_hub_stops_is_hung_up() {
    let mut handler = handler(MIXED);
    let decision = decide(&mut handler, &query_method("match=a", &FORM_TYPE));
    let Decision::ReadBody(AwaitedBody::Query(subscriber)) = decision else { panic!("no body") };
    assert!(subscriber_bytes(&AwaitedBody::Query(subscriber)) >= "match=a".len());
    handler.refuse_new_work();
    assert!(matches!(decide(&mut handler, &query_method("match=a", &FORM_TYPE)), Decision::HangUp));
}

fn subscriber_bytes(awaited: &AwaitedBody) -> usize {
    awaited.bytes_held()
}

/// Tests 80 and 85 to 89 of MERCURE-1.0, section 13, and traps 16 to 18.
#[test]
fn challenges_are_those_of_the_dialect() {
    let with = |error: &str| Some(BARE.replace("Bearer ", &format!("Bearer error=\"{error}\", ")));
    let none = token(&json!({}));
    let none = format!("Bearer {none}");
    for (fields, expected) in [
        (&[][..], (401, Some(BARE.to_owned()))),
        (&[("Authorization", "Bearer x.y.z")], (401, with("invalid_token"))),
        (&[("Authorization", "Bearer")], (400, with("invalid_request"))),
        (&[("Authorization", "Bearer a b")], (400, with("invalid_request"))),
        (&[("Authorization", "Bearer a"), ("Authorization", "Bearer a")], (400, with("invalid_request"))),
        (&[("Authorization", "Basic YTpi")], (401, Some(BARE.to_owned()))),
        (&[("Authorization", &none)], (403, with("insufficient_scope"))),
    ] {
        assert_eq!(refused(post(MIXED, fields)), expected, "{fields:?}");
    }
    for (fields, expected) in [
        (&[][..], (401, Some("Bearer"))),
        (&[("Authorization", "Bearer")], (401, Some("Bearer error=\"invalid_token\""))),
        (&[("Authorization", "Basic YTpi")], (401, Some("Bearer error=\"invalid_token\""))),
        (&[("Authorization", &none)], (403, None)),
    ] {
        let (status, challenge) = refused(post(ONLY_07, fields));
        assert_eq!((status, challenge.as_deref()), expected, "{fields:?}");
    }
    // A subscription says which dialect it is of; anonymous subscribers are allowed.
    let bad = [("Authorization", "Bearer x.y.z")];
    assert_eq!(refused(get(MIXED, "match=a", &bad)), (401, with("invalid_token")));
    let legacy = (401, Some("Bearer error=\"invalid_token\"".to_owned()));
    assert_eq!(refused(get(MIXED, "topic=a", &bad)), legacy);
    assert_eq!(refused(get(MIXED, "topic=a", &[("Authorization", "Bearer")])), legacy);
}

/// Tests 87, 88, 92 and 123 of MERCURE-1.0, section 13, and traps 17 and 34.
#[test]
fn cookies_are_read_by_dialect_and_never_after_a_bad_one() {
    let good = token(&json!({ "subscribe": ["*"] }));
    let of_07 = format!("{COOKIE_NAME}={good}");
    let of_08 = format!("{ACCESS_TOKEN_COOKIE_NAME}={good}");
    let bad_08 = format!("{of_07}; {ACCESS_TOKEN_COOKIE_NAME}=x.y.z");
    let bad_07 = format!("{of_08}; {COOKIE_NAME}=x.y.z");
    for (dialects, query, cookie, expected) in [
        (MIXED, "match=a", &bad_08, 401),
        (MIXED, "topic=a", &bad_08, 200),
        (MIXED, "match=a", &bad_07, 200),
        (MIXED, "topic=a", &bad_07, 401),
        (MIXED, "match=a", &of_07, 200),
        (MIXED, "topic=a", &of_08, 200),
        (ONLY_07, "topic=a", &bad_08, 200),
    ] {
        let fields = [("Cookie", cookie.as_str())];
        assert_eq!(status(get(dialects, query, &fields)), expected, "{query} {cookie}");
    }
    let ignored = subscribed(get(ONLY_08, "match=a", &[("Cookie", &of_07)]));
    assert_eq!(ignored.token, None, "08 alone does not know the old cookie");
    let header = format!("Bearer {good}");
    let fields = [("Cookie", bad_08.as_str()), ("Authorization", &header)];
    assert_eq!(status(get(MIXED, "match=a", &fields)), 200);
    let fields = [("Cookie", of_08.as_str()), ("Authorization", "Bearer x.y.z")];
    assert_eq!(status(get(MIXED, "match=a", &fields)), 401);
}

/// Test 91 of MERCURE-1.0, section 13.
#[test]
fn a_token_in_the_query_is_ignored_without_draft_07() {
    let good = token(&json!({ "subscribe": ["*"] }));
    for (dialects, is_read) in
        [(ONLY_08, false), (MIXED, true), (Dialects::with_draft08(Some(Authorization::Targets)), false)]
    {
        let query = format!("match=a&access_token={good}&authorization={good}");
        assert_eq!(subscribed(get(dialects, &query, &[])).token.is_some(), is_read, "{dialects:?}");
    }
}

/// Test 93 of MERCURE-1.0, section 13: the hub's own origin counts for the cookie of draft 08. That
/// of draft 07 is protected as it is on a hub without draft 08.
#[test]
fn a_cookie_publishes_from_listed_origins_and_that_of_draft_08_from_the_hubs_own() {
    let token = token(&json!({ "publish": ["*"] }));
    let [of_07, of_08] = [COOKIE_NAME, ACCESS_TOKEN_COOKIE_NAME].map(|name| format!("{name}={token}"));
    let both = format!("{of_07}; {of_08}");
    for (place, by_07, by_08) in [
        (Some(("Origin", "https://hub.e.x")), false, true),
        (Some(("Origin", "https://listed.example")), true, true),
        (Some(("Referer", "https://hub.e.x/page")), false, true),
        (Some(("Referer", "https://listed.example/page")), true, true),
        (Some(("Origin", "https://foreign.example")), false, false),
        (Some(("Origin", "http://hub.e.x")), false, false),
        (Some(("Origin", "null")), false, false),
        (Some(("Referer", "https://foreign.example/https://hub.e.x")), false, false),
        (None, false, false),
    ] {
        for (dialects, cookie, expected) in
            [(ONLY_07, &of_07, by_07), (MIXED, &of_07, by_07), (MIXED, &of_08, by_08), (MIXED, &both, by_08)]
        {
            let fields: Vec<_> = [FORM_TYPE[0], ("Cookie", &**cookie)].into_iter().chain(place).collect();
            let decision = post(dialects, &fields);
            assert_eq!(matches!(decision, Decision::ReadBody(_)), expected, "{place:?} {cookie}");
            if !expected {
                assert_eq!(refused(decision), (403, None), "{place:?} {cookie}");
            }
        }
    }
}

/// Test 94 of MERCURE-1.0, section 13.
#[test]
fn the_metadata_describe_the_hub_and_are_absent_without_draft_08() {
    let sent = Sent { method: "GET", path: METADATA_PATH, query: "", fields: &[] };
    assert_eq!(status(decide(&mut handler(ONLY_07), &sent)), 404);
    let mut hub = handler(MIXED);
    let issuer = |name: &str, is_advertised| Issuer {
        name: name.into(),
        publisher: None,
        subscriber: None,
        is_advertised,
    };
    hub.settings.issuers = [issuer("https://as.example", true), issuer("https://e.x", false)].into();
    let response = response(decide(&mut hub, &sent));
    let document: Value = serde_json::from_slice(response.body().expect("a body")).expect("JSON");
    assert_eq!(
        document,
        json!({
            "resource": "https://hub.e.x/.well-known/mercure",
            "authorization_servers": ["https://as.example"],
            "authorization_details_types_supported": ["https://mercure.rocks/authorization-detail"],
            "bearer_methods_supported": ["header"],
            "mercure_cookie": "__Secure-mercure_access_token",
            "mercure_subscriptions": true,
        })
    );
    assert_eq!(field(&response, "Content-Type").as_deref(), Some("application/json"));
    assert_eq!(field(&response, "Cache-Control").as_deref(), Some("public, max-age=3600"));
    assert_eq!(field(&response, "Access-Control-Allow-Origin").as_deref(), Some("*"));
}

/// Tests 53, 54 and 58 of MERCURE-1.0, section 13, and traps 10 and 11.
#[test]
fn statuses_of_publications_are_those_of_draft_08_as_soon_as_it_is_on() {
    let bearer = format!("Bearer {}", token(&json!({ "publish": ["*"] })));
    let many = "topic=a&".repeat(crate::limits::TOPICS_MAX + 1);
    for (body, on_07, on_both) in [
        ("topic=/.well-known/mercure/x", 403, 400),
        ("topic=mercure/x", 200, 400),
        ("topic=/hub", 200, 200),
        ("topic=https://x/hub", 200, 200),
        (many.as_str(), 400, 413),
        ("topic=a&type=mercure", 200, 400),
        ("topic=a&id=x%E2%80%8D", 200, 400),
        ("topic=a&target=x", 400, 400),
        ("topic=*", 400, 400),
    ] {
        for (dialects, expected) in [(ONLY_07, on_07), (MIXED, on_both)] {
            let mut handler = handler(dialects);
            let fields = [FORM_TYPE[0], ("Authorization", bearer.as_str())];
            let sent = Sent { method: "POST", path: HUB_PATH, query: "", fields: &fields };
            let Decision::ReadBody(AwaitedBody::Publication(publisher)) = decide(&mut handler, &sent) else {
                panic!("no body");
            };
            let status = match handler.publish(&publisher, body.as_bytes(), [0; 16]) {
                Ok(_) => 200,
                Err(refused) => refused.response.status().as_u16(),
            };
            assert_eq!(status, expected, "{body:.40} {dialects:?}");
        }
    }
}

/// Tests 44 to 46 of MERCURE-1.0, section 13.
#[test]
fn pages_of_listed_origins_may_send_a_query_and_read_the_cursor() {
    let fields = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "QUERY")];
    let sent = Sent { method: "OPTIONS", path: HUB_PATH, query: "", fields: &fields };
    let preflight = response(decide(&mut handler(ONLY_08), &sent));
    assert_eq!(field(&preflight, "Access-Control-Allow-Methods").as_deref(), Some("GET, HEAD, POST, QUERY"));
    assert_eq!(
        field(&preflight, "Access-Control-Allow-Headers").as_deref(),
        Some("authorization, cache-control, last-event-id, content-type")
    );
    let exposed = field(&preflight, "Access-Control-Expose-Headers").expect("exposed");
    for name in ["Link", "Mercure-Last-Event-ID", "WWW-Authenticate", "Retry-After"] {
        assert!(exposed.split(", ").any(|other| other == name), "{name}");
    }
    let foreign = [("Origin", "https://other.example"), ("Accept", "application/json")];
    let refused = response(get(ONLY_08, "match=a", &foreign));
    assert_eq!(field(&refused, "Access-Control-Allow-Origin"), None);
}

/// Section 12.6 of MERCURE-1.0: the operator sees when the last old client is gone.
#[test]
fn requests_are_counted_by_dialect() {
    let mut hub = handler(MIXED);
    let bearer = format!("Bearer {}", token(&json!({ "publish": ["*"] })));
    for (method, path, query, fields) in [
        ("GET", HUB_PATH, "topic=a", &[][..]),
        ("POST", HUB_PATH, "", &[FORM_TYPE[0], ("Authorization", &*bearer)]),
        ("GET", HUB_PATH, "match=a", &[]),
        ("POST", HUB_PATH, "", &[]),
        (QUERY, HUB_PATH, "match=a", &[]),
        ("GET", "/.well-known/mercure/subscriptions/exact/a", "", &[]),
        ("GET", "/.well-known/mercure/subscriptions/a", "", &[]),
        ("GET", "/healthz", "", &[]),
        ("OPTIONS", HUB_PATH, "", &[]),
    ] {
        decide(&mut hub, &Sent { method, path, query, fields });
    }
    assert_eq!(hub.request_counts().values(), [0, 3, 4]);
}
