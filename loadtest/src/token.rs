//! Tokens for publishers and subscribers.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

#[derive(Serialize)]
struct Claims<'a> {
    mercure: Mercure<'a>,
}

#[derive(Serialize)]
struct Mercure<'a> {
    publish: &'a [&'a str],
    subscribe: &'a [&'a str],
}

/// An HS256 token without expiry that grants these selectors.
pub(crate) fn sign(key: &str, publish: &[&str], subscribe: &[&str]) -> Result<String, String> {
    let claims = Claims { mercure: Mercure { publish, subscribe } };
    let key = EncodingKey::from_secret(key.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|error| format!("token: {error}"))
}
