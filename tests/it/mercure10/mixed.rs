//! Group H of MERCURE-1.0, section 13: hubs of several protocol versions. `tokens.rs` tests their
//! tokens, `presence.rs` their documents. For test 116, the tests of the older versions run against
//! such a hub with `TEST_DRAFT08=1`.

use std::process::Stdio;

use serde_json::json;

use super::access::{
    ISSUER, ISSUER_KEY, PUBLIC_URL, bearer, detail, encoded, exact, field, mixed_hub, post, publish, token,
    token_with,
};
use crate::common::{self, Hub, KEY, command, eventually, get};

/// Test 121 of MERCURE-1.0, section 13.
#[test]
fn a_request_has_parameters_of_one_version() {
    let hub = mixed_hub();
    for (query, status) in [("topic=a&match=b", 400), ("x=y", 400), ("topic=a", 200), ("match=a", 200)] {
        assert_eq!(hub.subscribe(query).status, status, "{query}");
    }
}

/// Test 123 of MERCURE-1.0, section 13.
#[test]
fn an_expired_cookie_of_draft_08_does_not_give_way_to_one_of_draft_07() {
    let hub = mixed_hub();
    let details = [detail(&["subscribe"], &[exact("*")])];
    let (expired, good) = (token_with(&details, &json!({"exp": 1_000_000_000})), token(&details));
    let legacy = common::token(&json!({ "subscribe": ["*"] }), None);
    let cookies = |of_08: &str| {
        format!("Cookie: __Secure-mercure_access_token={of_08}; mercureAuthorization={legacy}\r\n")
    };
    for (query, of_08, status) in
        [("match=a", &expired, 401), ("match=a", &good, 200), ("topic=a", &expired, 200)]
    {
        assert_eq!(hub.subscribe_with(query, &cookies(of_08)).status, status, "{query}");
    }
}

/// Test 124 of MERCURE-1.0, section 13.
#[test]
fn equal_texts_of_two_kinds_are_two_selectors() {
    let hub = mixed_hub();
    let text = encoded("/a/{id}");
    let mut template = hub.subscribe(&format!("topic={text}"));
    let mut exact = hub.subscribe(&format!("match={text}"));
    for topic in ["/a/1", "/a/{id}"] {
        let body = format!("topic={}&data={topic}", encoded(topic));
        assert_eq!(publish(&hub, &body).status, 200);
    }
    let data = |stream: &mut common::Stream| {
        field(&stream.next().expect("an update"), "data").expect("data").to_owned()
    };
    assert_eq!([data(&mut template), data(&mut template)], ["/a/1", "/a/{id}"]);
    assert_eq!(data(&mut exact), "/a/{id}");
}

/// Test 126 of MERCURE-1.0, section 13; `tokens.rs` has the token.
#[test]
fn a_hub_of_draft_07_has_no_matchers_and_no_metadata() {
    let mut command = command();
    command.envs([("ADDR", "127.0.0.1:0"), ("JWT_KEY", KEY), ("DB_PATH", ":memory:")]);
    command.envs([("ALLOW_ANONYMOUS", "1"), ("PROTOCOL", "07")]);
    let hub = Hub::run(command);
    let answer = hub.request(&get("match=a", ""));
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("PROTOCOL"), "{}", answer.body);
    let metadata =
        "GET /.well-known/oauth-protected-resource/.well-known/mercure HTTP/1.1\r\nHost: hub\r\n\r\n";
    assert_eq!(hub.request(metadata).status, 404);
}

/// Test 127 of MERCURE-1.0, section 13.
#[test]
fn a_contradiction_of_the_settings_prevents_the_start_and_is_named() {
    const PEM: &str = include_str!("../../data/keys/ec256-private.pem");
    let issuer = [("PUBLIC_URL", PUBLIC_URL), ("ISSUER", ISSUER), ("ISSUER_SUBSCRIBER_KEY", ISSUER_KEY)];
    let with = |others: &[(&'static str, &'static str)]| [&issuer, others].concat();
    let twice = std::env::temp_dir().join(format!("petasos-issuers-{}.json", std::process::id()));
    let entry = json!({ "issuer": ISSUER, "subscriber": { "key": ISSUER_KEY } });
    std::fs::write(&twice, json!([entry, entry]).to_string()).expect("a file");
    let file = twice.to_str().expect("UTF-8").to_owned().leak();
    for (settings, name) in [
        (vec![("JWT_KEY", KEY), ("PROTOCOL", "04,07")], "PROTOCOL"),
        (issuer[1..].to_vec(), "PUBLIC_URL"),
        (vec![("JWT_KEY", KEY), ("PROTOCOL", "07,08"), ("PUBLIC_URL", PUBLIC_URL)], "ISSUER"),
        (
            with(&[("ISSUER_PUBLISHER_KEY", PEM), ("ISSUER_PUBLISHER_ALGORITHMS", "HS256")]),
            "ISSUER_PUBLISHER_",
        ),
        (vec![("PUBLIC_URL", PUBLIC_URL), ("ISSUERS_FILE", &*file)], "ISSUERS_FILE"),
        (with(&[("JWT_KEY", KEY), ("COOKIE_NAME", "c"), ("ACCESS_TOKEN_COOKIE_NAME", "c")]), "COOKIE_NAME"),
    ] {
        let mut command = command();
        command.envs([("ADDR", "127.0.0.1:0"), ("DB_PATH", ":memory:")]).envs(settings);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut ended = false;
        eventually("the hub ends or serves", || {
            ended = child.try_wait().expect("a child").is_some();
            ended
        });
        let output = child.wait_with_output().expect("its output");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(name), "{name}: {said}");
        assert!(!said.contains(ISSUER_KEY) && !said.contains(KEY), "{name}: a key is in the text");
    }
    std::fs::remove_file(&twice).expect("a file");
}

/// Test 128 of MERCURE-1.0, section 13.
#[test]
fn targets_and_private_updates_stay_with_their_versions() {
    let hub = super::access::hub(&[("JWT_KEY", KEY), ("AUTHORIZATION", "targets"), ("SUBSCRIPTIONS", "0")]);
    let of_04 = bearer(&common::token(&json!({ "publish": ["*"], "subscribe": ["*"] }), None));
    let everything = bearer(&token(&[detail(&["subscribe"], &[exact("*")])]));
    let mut of_08 = hub.subscribe_with("match=*", &everything);
    let mut reader = hub.subscribe_with("topic=a", &of_04);
    assert_eq!((of_08.status, reader.status), (200, 200));
    assert_eq!(publish(&hub, "topic=a&data=x&target=t").status, 400);
    assert_eq!(hub.request(&post("topic=a&data=x&private=on", &of_04)).status, 400);
    assert_eq!(hub.request(&post("topic=a&data=targeted&target=t", &of_04)).status, 200);
    assert_eq!(publish(&hub, "topic=a&data=private&private=on").status, 200);
    assert_eq!(hub.request(&post("topic=a&data=public", &of_04)).status, 200);
    for (stream, restricted) in [(&mut of_08, "private"), (&mut reader, "targeted")] {
        for data in [restricted, "public"] {
            assert_eq!(field(&stream.next().expect("an update"), "data"), Some(data));
        }
    }
}

/// MERCURE-1.0, section 12.3: draft 08 counts the hub's own origin. For the cookie of draft 07
/// nothing changes beside it.
#[test]
fn the_cookie_of_draft_07_publishes_from_listed_origins_alone() {
    let hub = super::access::hub(&[("JWT_KEY", KEY), ("PUBLISH_ALLOWED_ORIGINS", "https://app.e.x")]);
    let legacy = common::token(&json!({ "publish": ["*"] }), None);
    let modern = token(&[detail(&["publish"], &[exact("*")])]);
    let of_07 = format!("Cookie: mercureAuthorization={legacy}\r\n");
    let of_08 = super::access::cookie(&modern);
    for (origin, by_07, by_08) in [
        ("Origin: https://app.e.x\r\n", 200, 200),
        ("Origin: https://hub.e.x\r\n", 403, 200),
        ("Referer: https://hub.e.x/page\r\n", 403, 200),
        ("Origin: https://evil.example\r\n", 403, 403),
        ("", 403, 403),
    ] {
        for (cookie, status) in [(&of_07, by_07), (&of_08, by_08)] {
            let request = post("topic=a&data=x", &format!("{cookie}{origin}"));
            assert_eq!(hub.request(&request).status, status, "{origin} {cookie}");
        }
    }
}
