//! The claims of an access token of draft 08 (RFC 9068; MERCURE-1.0, section 5.2).
//!
//! Invariants: every check is byte by byte, against the configuration alone; a claim that is
//! required and absent is an error; the `mercure` claim of older tokens is not read.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::details::{Detail, read_details};
use super::{TokenError, check_dates};
use crate::mercure::public_url::PublicUrl;

/// What an access token must say.
#[derive(Clone, Debug)]
pub struct AccessRules {
    /// The identifier of the issuer whose key verifies the token.
    pub issuer: Box<str>,
    /// The values of `aud` of which a token must contain one.
    pub audiences: Arc<[Box<str>]>,
    /// The base of relative URL patterns.
    pub public_url: PublicUrl,
}

/// The claims of a verified access token.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessClaims {
    /// The entries of `authorization_details` that are Mercure's, in their order. Empty if there is
    /// none: the token is valid, and grants nothing.
    pub details: Box<[Detail]>,
    /// The first millisecond of Unix time in which the token is no longer valid.
    pub exp_ms: u64,
}

impl AccessClaims {
    /// Reads claims whose signature is verified.
    pub(super) fn read(
        claims: &Map<String, Value>,
        now_ms: u64,
        rules: &AccessRules,
    ) -> Result<Self, TokenError> {
        let issuer = claims.get("iss").ok_or(TokenError::Missing("iss"))?;
        if issuer.as_str() != Some(&rules.issuer) {
            return Err(TokenError::WrongIssuer);
        }
        let exp_ms = check_dates(claims, now_ms)?.ok_or(TokenError::Missing("exp"))?;
        let audience = claims.get("aud").ok_or(TokenError::Missing("aud"))?;
        if !is_meant(audience, &rules.audiences) {
            return Err(TokenError::WrongAudience);
        }
        if claims.contains_key("cnf") {
            return Err(TokenError::SenderConstrained);
        }
        let details = read_details(claims.get("authorization_details"), &rules.public_url)?;
        Ok(Self { details, exp_ms })
    }
}

/// Whether `aud`, a string or a list of strings, contains an accepted value. A list with anything
/// else is no `aud` (RFC 7519, section 4.1.3).
fn is_meant(audience: &Value, accepted: &[Box<str>]) -> bool {
    let is_accepted = |text: &str| accepted.iter().any(|accepted| **accepted == *text);
    match audience {
        Value::String(text) => is_accepted(text),
        Value::Array(texts) => {
            texts.iter().all(Value::is_string) && texts.iter().filter_map(Value::as_str).any(is_accepted)
        }
        _ => false,
    }
}
