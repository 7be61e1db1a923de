//! Tokens for publishers and subscribers.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

/// The token cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("token")]
pub(crate) struct SignError(#[from] jsonwebtoken::errors::Error);

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
pub(crate) fn sign(key: &str, publish: &[&str], subscribe: &[&str]) -> Result<String, SignError> {
    let claims = Claims { mercure: Mercure { publish, subscribe } };
    let key = EncodingKey::from_secret(key.as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}
