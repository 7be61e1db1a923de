//! A hub for Mercure 1.0, and tokens made as an application would make them: by a signer that is
//! not the hub's.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::common::{HttpResponse, Hub, KEY, command};

pub(crate) const PUBLIC_URL: &str = "https://hub.e.x/.well-known/mercure";
pub(crate) const ISSUER: &str = "https://e.x";
pub(crate) const ISSUER_KEY: &str = "fedcba9876543210fedcba9876543210";
const DETAIL: &str = "https://mercure.rocks/authorization-detail";
/// All characters but the unreserved ones, as `rawurlencode` of PHP encodes them.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The settings of a hub that trusts one issuer.
const SETTINGS: [(&str, &str); 8] = [
    ("ADDR", "127.0.0.1:0"),
    ("DB_PATH", ":memory:"),
    ("ALLOW_ANONYMOUS", "1"),
    ("SUBSCRIPTIONS", "1"),
    ("PUBLIC_URL", PUBLIC_URL),
    ("ISSUER", ISSUER),
    ("ISSUER_PUBLISHER_KEY", ISSUER_KEY),
    ("ISSUER_SUBSCRIBER_KEY", ISSUER_KEY),
];

/// A hub that speaks draft 08 alone, with these additional settings.
pub(crate) fn hub(settings: &[(&str, &str)]) -> Hub {
    let mut command = command();
    command.envs(SETTINGS).envs(settings.iter().copied());
    Hub::run(command)
}

/// A hub that speaks draft 07 as well.
pub(crate) fn mixed_hub() -> Hub {
    hub(&[("JWT_KEY", KEY)])
}

/// A token with these details and no other claim than the required ones.
pub(crate) fn token(details: &[Value]) -> String {
    token_with(details, &json!({}))
}

/// The same with other claims, or other values of the required ones.
pub(crate) fn token_with(details: &[Value], others: &Value) -> String {
    let mut claims = json!({
        "iss": ISSUER, "aud": PUBLIC_URL, "exp": 4_102_444_800_u64, "authorization_details": details,
    });
    for (name, value) in others.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&json!({ "typ": "at+jwt", "alg": "HS256" })), encode(&claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, ISSUER_KEY.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token that may publish to every topic.
pub(crate) fn publisher() -> String {
    token(&[detail(&["publish"], &[exact("*")])])
}

/// Publishes with such a token.
pub(crate) fn publish(hub: &Hub, body: &str) -> HttpResponse {
    hub.request(&post(body, &bearer(&publisher())))
}

/// An entry of `authorization_details`.
pub(crate) fn detail(actions: &[&str], topics: &[Value]) -> Value {
    json!({ "type": DETAIL, "actions": actions, "topics": topics })
}

/// The same with a payload.
pub(crate) fn with_payload(mut detail: Value, payload: Value) -> Value {
    detail["payload"] = payload;
    detail
}

/// An exact matcher of a token.
pub(crate) fn exact(topic: &str) -> Value {
    json!({ "match": topic })
}

/// A URL Pattern of a token.
pub(crate) fn pattern(text: &str) -> Value {
    json!({ "match": text, "match_type": "urlpattern" })
}

/// A variable of a path, or a value of a form.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The header line of a token, with its line end.
pub(crate) fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// The header line of the cookie, with its line end.
pub(crate) fn cookie(token: &str) -> String {
    format!("Cookie: __Secure-mercure_access_token={token}\r\n")
}

/// The request of a publication, with these header lines.
pub(crate) fn post(body: &str, headers: &str) -> String {
    format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: hub\r\n{headers}Content-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The field of an event, as `id` or `event`.
pub(crate) fn field<'e>(event: &'e str, name: &str) -> Option<&'e str> {
    event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The document of an event about a subscription.
pub(crate) fn document(event: &str) -> Value {
    assert_eq!(field(event, "event"), Some("mercure"), "{event}");
    serde_json::from_str(field(event, "data").expect("data")).expect("JSON")
}
