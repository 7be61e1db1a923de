//! Goal: a token whose header has what the hub does not know is refused, however it is written.
//!
//! Method: tokens with a valid signature over headers that a library would not make.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::common::{Hub, KEY, get, post};

/// A token with this header and these claims, signed with the hub's key.
fn signed(header: &str, claims: &str) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes())))
}

/// RFC 7515, section 4.1.11, and RFC 7519, section 4.
#[test]
fn critical_headers_and_repeated_members_are_refused() {
    let hub = Hub::start(&[]);
    let plain = r#"{"alg":"HS256","typ":"JWT"}"#;
    let all = r#"{"mercure":{"publish":["*"],"subscribe":["*"]}}"#;
    let publishes = |token: &str| hub.request(&post("topic=t", Some(token))).status;
    assert_eq!(publishes(&signed(plain, all)), 200, "the signature is right");
    for (header, claims) in [
        (r#"{"alg":"HS256","crit":null}"#, all),
        (r#"{"alg":"HS256","crit":[]}"#, all),
        (r#"{"alg":"HS256","crit":["exp"]}"#, all),
        (r#"{"alg":"HS256","\u0063rit":null}"#, all),
        (r#"{"alg":"none","alg":"HS256"}"#, all),
        (r#"{"alg":"HS256","alg":"HS256"}"#, all),
        (plain, r#"{"mercure":{"publish":[]},"mercure":{"publish":["*"]}}"#),
        (plain, r#"{"mercure":{"publish":[],"publish":["*"]}}"#),
        (plain, r#"{"exp":1,"exp":9999999999,"mercure":{"publish":["*"]}}"#),
    ] {
        let token = signed(header, claims);
        assert_eq!(publishes(&token), 401, "{header} {claims}");
        let authorization = format!("Authorization: Bearer {token}\r\n");
        let subscribed = hub.request(&get("topic=t", &authorization));
        assert_eq!(subscribed.status, 401, "{header} {claims}");
    }
}
