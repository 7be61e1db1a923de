//! Makes an access token of Mercure 1.0 that is valid for an hour, and prints it. Run it in
//! examples/, with `HUB`, `ISSUER` and `ISSUER_KEY` as README.md sets them:
//!
//! ```console
//! $ cargo run --manifest-path rust/Cargo.toml --bin access_token
//! ```

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

const TYPE: &str = "https://mercure.rocks/authorization-detail";

fn main() -> Result<(), Box<dyn Error>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let books = json!({ "match": "https://example.com/books/:id", "match_type": "urlpattern" });
    let claims = json!({
        "iss": std::env::var("ISSUER")?,
        // The hub's PUBLIC_URL.
        "aud": std::env::var("HUB")?,
        "iat": now,
        "exp": now + 3600,
        "authorization_details": [
            { "type": TYPE, "actions": ["publish"], "topics": [{ "match": "*" }] },
            { "type": TYPE, "actions": ["subscribe"], "topics": [books] },
        ],
    });
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    // Without this `typ`, the hub takes the token for one of Mercure 0.x.
    let signed = format!("{}.{}", encode(&json!({ "typ": "at+jwt", "alg": "HS256" })), encode(&claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, std::env::var("ISSUER_KEY")?.as_bytes());
    println!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())));
    Ok(())
}
