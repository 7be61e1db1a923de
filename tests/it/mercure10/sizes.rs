//! Goal: a token is accepted up to its bound and refused beyond it, wherever it is and whatever
//! carries it; no other bound comes first (trap 33 of MERCURE-1.0, section 9).
//! Method: tokens of an exact length, by header, cookie and URL, with HTTP/1.1 and HTTP/2.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use petasos::limits::{HEAD_BYTES_MAX, REQUEST_TARGET_BYTES_MAX, TOKEN_BYTES_MAX};
use serde_json::{Value, json};

use super::access::{ISSUER, ISSUER_KEY, PUBLIC_URL, detail, exact, mixed_hub, post};
use crate::common::http2::{Http2, request};
use crate::common::{Hub, KEY};

const FORM: &str = "application/x-www-form-urlencoded";
const HUB_PATH: &str = "/.well-known/mercure";

/// A token of exactly this length.
fn token_of(length: usize, header: &Value, claims: &Value, key: &str) -> String {
    // Base64 has no length of 4n + 1: a longer header makes up for it.
    (0..4).find_map(|more| padded(length, more, header, claims, key)).expect("a token of this length")
}

fn padded(length: usize, more: usize, header: &Value, claims: &Value, key: &str) -> Option<String> {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let (mut header, mut claims) = (header.clone(), claims.clone());
    header["kid"] = json!("k".repeat(more));
    claims["more"] = json!("");
    let header = encode(&header.to_string());
    let signature_bytes = 43;
    let claims_bytes = length - header.len() - signature_bytes - 2;
    let padding = (claims_bytes * 3 / 4).checked_sub(claims.to_string().len())?;
    claims["more"] = json!("x".repeat(padding));
    let signed = format!("{header}.{}", encode(&claims.to_string()));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), signed.as_bytes());
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))).filter(|token| token.len() == length)
}

fn access(length: usize) -> String {
    let details = [detail(&["publish", "subscribe"], &[exact("*")])];
    let claims = json!({
        "iss": ISSUER, "aud": PUBLIC_URL, "exp": 4_102_444_800_u64, "authorization_details": details,
    });
    token_of(length, &json!({"typ": "at+jwt", "alg": "HS256"}), &claims, ISSUER_KEY)
}

/// Publishes with these fields; the status, the challenge and the body, with HTTP/1.1 and HTTP/2.
fn published(hub: &Hub, fields: &[(&str, String)]) -> [(u16, Option<String>, String); 2] {
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let first = hub.request(&post("topic=a", &lines));
    let challenge = first.header("WWW-Authenticate").map(str::to_owned);
    let asked = request("POST", HUB_PATH).header("content-type", FORM);
    let asked = fields.iter().fold(asked, |asked, (name, value)| asked.header(*name, value));
    let second = Http2::connect(hub).ask(asked, "topic=a");
    let of_second =
        second.headers.get("www-authenticate").map(|value| value.to_str().expect("ASCII").to_owned());
    [(first.status, challenge, first.body), (second.status, of_second, second.body)]
}

fn ways(token: &str) -> [Vec<(&'static str, String)>; 2] {
    let cookie = format!("__Secure-mercure_access_token={token}");
    [
        vec![("authorization", format!("Bearer {token}"))],
        vec![("cookie", cookie), ("origin", "https://hub.e.x".to_owned())],
    ]
}

#[test]
fn a_token_is_accepted_up_to_its_bound_by_header_and_cookie() {
    let mut hub = mixed_hub();
    // The lengths between 34 and 48 KiB are those of the trap.
    for length in [34 << 10, 40 << 10, 48 << 10, (48 << 10) + 1, TOKEN_BYTES_MAX - 1, TOKEN_BYTES_MAX] {
        for fields in ways(&access(length)) {
            for (status, _, body) in published(&hub, &fields) {
                assert_eq!(status, 200, "{length} bytes by {}: {body}", fields[0].0);
            }
        }
    }
    for fields in ways(&access(TOKEN_BYTES_MAX + 1)) {
        for (status, challenge, body) in published(&hub, &fields) {
            assert_eq!((status, &*body), (401, "Unauthorized"), "by {}", fields[0].0);
            assert!(challenge.is_some_and(|it| it.starts_with("Bearer error=\"invalid_token\"")));
            let line = hub.wait_for_log("\"status\":401");
            assert!(line.contains(&format!("longer than {TOKEN_BYTES_MAX} bytes")), "{line}");
        }
    }
}

#[test]
fn a_token_that_no_head_can_hold_is_431() {
    let hub = mixed_hub();
    for fields in ways(&access(HEAD_BYTES_MAX + 1)) {
        let [first, second] = published(&hub, &fields);
        assert_eq!((first.0, second.0), (431, 431), "by {}", fields[0].0);
        assert!(first.2.contains(&format!("longer than {HEAD_BYTES_MAX} bytes")), "{}", first.2);
    }
}

/// The longest target and the longest token fit into one head.
#[test]
fn the_longest_token_fits_beside_the_longest_target() {
    let hub = mixed_hub();
    let token = access(TOKEN_BYTES_MAX);
    let target = |bytes: usize| {
        let start = format!("{HUB_PATH}?match=a&x=");
        let more = "y".repeat(bytes - start.len());
        format!("{start}{more}")
    };
    for fields in ways(&token) {
        for (bytes, status) in [(REQUEST_TARGET_BYTES_MAX, 200), (REQUEST_TARGET_BYTES_MAX + 1, 414)] {
            let target = target(bytes);
            let (name, value) = &fields[0];
            let head = format!("GET {target} HTTP/1.1\r\nHost: hub\r\n{name}: {value}\r\n\r\n");
            let mut client = hub.connect();
            client.send(&head);
            let first = match status {
                200 => crate::common::Stream::open(client).status,
                _ => client.answer().status,
            };
            let asked = request("GET", &target).header(*name, value);
            let second = Http2::connect(&hub).open(asked).status;
            assert_eq!((first, second.as_u16()), (status, status), "{bytes} bytes and a token by {name}");
        }
    }
}

/// Tokens of 0.x may be in the URL, whose bound is smaller.
#[test]
fn a_token_in_the_url_is_accepted_up_to_the_bound_of_the_target() {
    let hub = mixed_hub();
    let start = format!("{HUB_PATH}?topic=a&authorization=");
    for (target, status) in [
        (48 << 10, 200),
        (REQUEST_TARGET_BYTES_MAX, 200),
        (REQUEST_TARGET_BYTES_MAX + 1, 414),
        (TOKEN_BYTES_MAX, 414),
    ] {
        let claims = json!({"mercure": {"subscribe": ["*"]}});
        let header = json!({"typ": "JWT", "alg": "HS256"});
        let token = token_of(target - start.len(), &header, &claims, KEY);
        let mut client = hub.connect();
        client.send(&format!("GET {start}{token} HTTP/1.1\r\nHost: hub\r\n\r\n"));
        let first = match status {
            200 => crate::common::Stream::open(client).status,
            _ => client.answer().status,
        };
        assert_eq!(first, status, "{target} bytes");
        // The client's library has no longer URLs.
        if target < u16::MAX.into() {
            let second = Http2::connect(&hub).open(request("GET", &format!("{start}{token}"))).status;
            assert_eq!(second.as_u16(), status, "{target} bytes");
        }
    }
}
