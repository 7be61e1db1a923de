//! Group E of MERCURE-1.0, section 13: how a token is presented, and what a refusal says.

use serde_json::{Value, json};

use super::access::{
    PUBLIC_URL, bearer, cookie, detail, exact, field, hub, post, publish, publisher, token, token_with,
};
use crate::common::get;

const APP: &str = "https://app.e.x";
const METADATA: &str = "/.well-known/oauth-protected-resource/.well-known/mercure";

/// The challenge with this error, or with none.
fn challenge(error: Option<&str>) -> String {
    let error = error.map_or(String::new(), |error| format!("error=\"{error}\", "));
    format!("Bearer {error}resource_metadata=\"https://hub.e.x{METADATA}\"")
}

/// Tests 85 to 92 and 95 of MERCURE-1.0, section 13.
#[test]
fn the_place_of_a_token_and_its_faults_decide_about_the_response() {
    let hub = hub(&[("PUBLISH_ALLOWED_ORIGINS", APP)]);
    let good = token(&[detail(&["publish", "subscribe"], &[exact("a")])]);
    let expired = token_with(&[], &json!({"exp": 1_000_000_000}));
    let from_app = format!("Origin: {APP}\r\n");
    let p = |headers: String| post("topic=a&data=x", &headers);
    let s = |headers: String| get("match=a", &headers);
    let old_cookie = format!("Cookie: mercureAuthorization={good}\r\n{from_app}");
    let by_query = |name: &str| {
        let target = format!("/.well-known/mercure?{name}={good}");
        p(String::new()).replacen("/.well-known/mercure", &target, 1)
    };
    let raw = |value: &str| format!("Authorization: {value}\r\n");
    let (invalid, malformed) = (Some("invalid_token"), Some("invalid_request"));
    for (number, request, status, error) in [
        (85, p(String::new()), 401, None),
        (86, s(bearer(&expired)), 401, invalid),
        (86, s(bearer("x")), 401, invalid),
        (86, p(bearer(&expired)), 401, invalid),
        (87, s(bearer(&expired) + &cookie(&good)), 401, invalid),
        (87, p(bearer(&expired) + &cookie(&good) + &from_app), 401, invalid),
        (89, s(raw("Bearer")), 400, malformed),
        (89, p(raw("Bearer")), 400, malformed),
        (89, s(bearer(&good) + &bearer(&good)), 400, malformed),
        (89, s(raw("Bearer a b")), 400, malformed),
        (91, by_query("access_token"), 401, None),
        (91, by_query("authorization"), 401, None),
        (92, p(old_cookie), 401, None),
        (95, post("topic=b&data=x", &bearer(&good)), 403, Some("insufficient_scope")),
    ] {
        let answer = hub.request(&request);
        let found = (answer.status, answer.header("WWW-Authenticate"));
        assert_eq!(found, (status, Some(&*challenge(error))), "test {number}: {request}");
        let body = answer.body.to_ascii_lowercase();
        for word in
            [&*good.to_ascii_lowercase(), &expired.to_ascii_lowercase(), "expired", "signature", "exp "]
        {
            assert!(!body.contains(word), "test 95, of {number}: {}", answer.body);
        }
        let code = error.filter(|code| body.contains(code));
        assert_eq!(code, None, "test 95: the error code is not repeated in the body");
    }
    for (number, request) in [
        (88, p(bearer(&good) + &cookie(&expired))),
        (90, p(raw(&format!("bearer {good}")))),
        (90, p(raw(&format!("BEARER {good}")))),
    ] {
        assert_eq!(hub.request(&request).status, 200, "test {number}");
    }
    assert_eq!(hub.subscribe_with("match=a", &(bearer(&good) + &cookie(&expired))).status, 200, "test 88");
}

/// Test 91 of MERCURE-1.0, section 13: for a subscriber.
#[test]
fn a_token_in_the_url_of_a_subscriber_grants_nothing() {
    let hub = hub(&[]);
    let good = token(&[detail(&["subscribe"], &[exact("*")])]);
    let mut streams =
        ["access_token", "authorization"].map(|name| hub.subscribe(&format!("match=a&{name}={good}")));
    publish(&hub, "topic=a&data=private&private=on");
    publish(&hub, "topic=a&data=public");
    for stream in &mut streams {
        assert_eq!(stream.status, 200);
        assert_eq!(field(&stream.next().expect("an update"), "data"), Some("public"));
    }
}

/// Test 93 of MERCURE-1.0, section 13.
#[test]
fn a_publication_by_cookie_comes_from_an_origin_that_may_publish() {
    let hub = hub(&[("PUBLISH_ALLOWED_ORIGINS", APP)]);
    for (origin, status) in [
        ("Origin: https://hub.e.x\r\n", 200),
        ("Origin: https://app.e.x\r\n", 200),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: http://hub.e.x\r\n", 403),
        ("", 403),
        ("Origin: null\r\n", 403),
        ("Referer: https://hub.e.x/page\r\n", 200),
        ("Referer: https://app.e.x/page\r\n", 200),
        ("Referer: https://evil.example/https://app.e.x/\r\n", 403),
        ("Origin: https://evil.example\r\nReferer: https://app.e.x/page\r\n", 403),
    ] {
        let request = post("topic=a&data=x", &(cookie(&publisher()) + origin));
        assert_eq!(hub.request(&request).status, status, "{origin}");
    }
}

/// Test 94 of MERCURE-1.0, section 13; `mixed.rs` has the hub without draft 08.
#[test]
fn the_metadata_name_the_resource() {
    let answer = hub(&[]).request(&format!("GET {METADATA} HTTP/1.1\r\nHost: hub\r\n\r\n"));
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/json")));
    let members: Value = serde_json::from_str(&answer.body).expect("JSON");
    let expected = json!({
        "resource": PUBLIC_URL,
        "authorization_details_types_supported": ["https://mercure.rocks/authorization-detail"],
        "bearer_methods_supported": ["header"],
        "mercure_cookie": "__Secure-mercure_access_token",
        "mercure_subscriptions": true,
    });
    assert_eq!(members, expected);
}
