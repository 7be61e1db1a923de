//! Tokens: JWTs in compact form (RFC 7519, RFC 7515 section 7.1), verified before any part of them
//! is trusted.
//!
//! A token is of one of two forms, and its signed `typ` says of which: an access token of draft 08
//! (`at+jwt`), or a legacy token of drafts 04 and 07. The two have separate keys, rules and claims,
//! and nothing reads one as the other.
//!
//! Invariants: the algorithm is the key's, never the token's; no claim is read before the signature
//! is verified, except `iss` to choose among the issuers; `exp` and `nbf` are enforced without
//! leeway against a time that is an argument; an error never holds a byte of the token. Of a legacy
//! token, `aud`, `iss`, `sub`, `jti` and every other claim are ignored on purpose. `kid` is used
//! only to choose among the keys of a [`KeySet`].

mod access;
mod cache;
mod details;
mod error;
mod json;
mod jwks;
mod key;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Header;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use access::{AccessClaims, AccessRules};
pub use cache::TokenCache;
pub use details::{Detail, DetailError, DetailFault, check_details};
pub use error::TokenError;
pub use jwks::{KeySet, KeySetError};
pub use key::{Algorithm, KeyError, KeyNumber, SignError, VerificationKey, sign, sign_access};

use crate::limits::TOKEN_BYTES_MAX;
use crate::mercure::names::{ACCESS_TOKEN_TYPE, CLAIM, CLAIM_NAMESPACED};
use json::{ObjectError, parse_object};

/// The member of a header that lists the extensions which must be understood.
const CRITICAL: &str = "crit";
/// The prefix of a media type that `typ` may leave out (RFC 7515, section 4.1.9).
const APPLICATION: &str = "application/";

/// The form of a token (MERCURE-1.0, section 12.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenForm {
    /// A token of draft 04 or 07.
    Legacy,
    /// An access token of draft 08.
    Access,
}

/// What a token must be and say.
#[derive(Clone, Debug)]
pub enum TokenRules {
    /// A legacy token.
    Legacy,
    /// An access token that says this.
    Access(AccessRules),
}

/// The content of a verified token.
#[derive(Clone, Debug, PartialEq)]
pub enum Claims {
    /// That of a legacy token.
    Legacy(LegacyClaims),
    /// That of an access token.
    Access(AccessClaims),
}

/// The content of a verified token of draft 04 or 07.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LegacyClaims {
    /// The rights to publish and receive. Empty when the token has no such claim: it is valid, and
    /// grants nothing.
    pub mercure: MercureClaim,
    /// The first millisecond of Unix time in which the token is no longer valid.
    pub exp_ms: Option<u64>,
}

/// The `mercure` claim (draft-07, section "Authorization"). A list that is `null` counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct MercureClaim {
    /// Selectors, or targets, that it may publish to. Absent and empty differ: see
    /// [`crate::mercure::grant`].
    pub publish: Option<Vec<String>>,
    /// Selectors, or targets, whose updates it may receive.
    pub subscribe: Option<Vec<String>>,
    /// Any JSON, shown in subscription documents.
    pub payload: Option<Value>,
}

impl From<LegacyClaims> for Claims {
    fn from(claims: LegacyClaims) -> Self {
        Self::Legacy(claims)
    }
}

impl Claims {
    /// Those of a legacy token.
    pub fn legacy(&self) -> Option<&LegacyClaims> {
        match self {
            Self::Legacy(claims) => Some(claims),
            Self::Access(_) => None,
        }
    }

    /// Those of an access token.
    pub fn access(&self) -> Option<&AccessClaims> {
        match self {
            Self::Access(claims) => Some(claims),
            Self::Legacy(_) => None,
        }
    }
}

impl TokenForm {
    /// The form that the header of `token` claims. It chooses the key; the key's signature then
    /// proves it.
    ///
    /// # Errors
    /// The text is not a token.
    pub fn of(token: &str) -> Result<Self, TokenError> {
        read_header(token).map(|header| Self::of_header(&header))
    }

    /// `typ` is compared without regard to case (RFC 9068, section 4).
    fn of_header(header: &Header) -> Self {
        let Some(name) = header.typ.as_deref() else { return Self::Legacy };
        let has_prefix =
            name.get(..APPLICATION.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(APPLICATION));
        let name = if has_prefix { &name[APPLICATION.len()..] } else { name };
        if name.eq_ignore_ascii_case(ACCESS_TOKEN_TYPE) { Self::Access } else { Self::Legacy }
    }
}

/// The `iss` of an access token, which is not verified: it only chooses the issuer whose key must
/// verify the token.
///
/// # Errors
/// The text is not a token, or has no `iss` that is a string.
pub fn claimed_issuer(token: &str) -> Result<String, TokenError> {
    read_header(token)?;
    let claims = token.split('.').nth(1).ok_or(TokenError::Malformed)?;
    match decode_object(claims, TokenError::Malformed)?.remove("iss") {
        None => Err(TokenError::Missing("iss")),
        Some(Value::String(issuer)) => Ok(issuer),
        Some(_) => Err(TokenError::WrongIssuer),
    }
}

/// The `kid` of a token, which is not verified: it chooses among the keys of a [`KeySet`].
///
/// # Errors
/// The text is not a token.
pub fn claimed_key_id(token: &str) -> Result<Option<String>, TokenError> {
    read_header(token).map(|header| header.kid)
}

impl VerificationKey {
    /// Verifies `token` at `now_ms`, in milliseconds of Unix time, by these rules, and reads its
    /// claims.
    ///
    /// # Errors
    /// [`TokenError`] names the check that failed.
    pub fn verify(&self, token: &str, now_ms: u64, rules: &TokenRules) -> Result<Claims, TokenError> {
        let header = read_header(token)?;
        match (rules, TokenForm::of_header(&header)) {
            (TokenRules::Legacy, TokenForm::Legacy) | (TokenRules::Access(_), TokenForm::Access) => {}
            (TokenRules::Legacy, TokenForm::Access) => return Err(TokenError::IsAccessToken),
            (TokenRules::Access(_), TokenForm::Legacy) => return Err(TokenError::NotAccessToken),
        }
        self.check_header(&header)?;
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        if !self.verifies(message.as_bytes(), signature) {
            return Err(TokenError::BadSignature);
        }
        let (_, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let mut claims = decode_object(claims, TokenError::Malformed)?;
        match rules {
            TokenRules::Access(rules) => AccessClaims::read(&claims, now_ms, rules).map(Claims::Access),
            TokenRules::Legacy => {
                let exp_ms = check_dates(&claims, now_ms)?;
                Ok(Claims::Legacy(LegacyClaims { mercure: mercure_claim(&mut claims)?, exp_ms }))
            }
        }
    }

    fn check_header(&self, header: &Header) -> Result<(), TokenError> {
        if header.alg != self.algorithm() {
            return Err(TokenError::WrongAlgorithm);
        }
        let forbidden =
            [("jwk", header.jwk.is_some()), ("jku", header.jku.is_some()), ("x5u", header.x5u.is_some())];
        match forbidden.iter().find(|(_, present)| *present) {
            Some((name, _)) => Err(TokenError::ForbiddenHeader(name)),
            None => Ok(()),
        }
    }
}

/// The header of a token of three parts (RFC 7515, section 7.1). It is not verified.
///
/// A header with `crit` is refused here, whatever its value is (RFC 7515, section 4.1.11): no
/// extension is supported, and a list that is empty or no list is invalid.
fn read_header(token: &str) -> Result<Header, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::TooLong);
    }
    if token.matches('.').count() != 2 {
        return Err(TokenError::Malformed);
    }
    let (header, _) = token.split_once('.').ok_or(TokenError::Malformed)?;
    let members = decode_object(header, TokenError::Header)?;
    if members.contains_key(CRITICAL) {
        return Err(TokenError::ForbiddenHeader(CRITICAL));
    }
    serde_json::from_value(Value::Object(members)).map_err(|_| TokenError::Header)
}

/// A JSON object in base64url.
fn decode_object(part: &str, malformed: TokenError) -> Result<Map<String, Value>, TokenError> {
    let Ok(text) = URL_SAFE_NO_PAD.decode(part) else { return Err(malformed) };
    parse_object(&text).map_err(|error| match error {
        ObjectError::Malformed => malformed,
        ObjectError::Repeated => TokenError::Repeated,
    })
}

/// Removes the claim from the others; the namespaced one wins. A claim that is `null` grants
/// nothing.
fn mercure_claim(claims: &mut Map<String, Value>) -> Result<MercureClaim, TokenError> {
    for name in [CLAIM_NAMESPACED, CLAIM] {
        match claims.remove(name) {
            None => {}
            Some(Value::Null) => break,
            // Only an object is accepted: serde would read a list into the fields in their order.
            Some(claim @ Value::Object(_)) => {
                return serde_json::from_value(claim).map_err(|_| TokenError::WrongShape(name));
            }
            Some(_) => return Err(TokenError::WrongShape(name)),
        }
    }
    Ok(MercureClaim::default())
}

/// Checks `exp` and `nbf`; returns `exp`.
///
/// A NumericDate may have a fraction. `exp` is rounded down to a millisecond and `nbf` up, so that
/// no token is valid too long or too early; at most a millisecond of its time is lost.
fn check_dates(claims: &Map<String, Value>, now_ms: u64) -> Result<Option<u64>, TokenError> {
    let exp_ms = numeric_date(claims, "exp", f64::floor)?;
    let nbf_ms = numeric_date(claims, "nbf", f64::ceil)?;
    if exp_ms.is_some_and(|exp_ms| now_ms >= exp_ms) {
        return Err(TokenError::Expired);
    }
    if nbf_ms.is_some_and(|nbf_ms| now_ms < nbf_ms) {
        return Err(TokenError::NotYetValid);
    }
    Ok(exp_ms)
}

/// Reads a NumericDate, in milliseconds. A negative one is before every time of the clock.
fn numeric_date(
    claims: &Map<String, Value>,
    name: &'static str,
    round: fn(f64) -> f64,
) -> Result<Option<u64>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let ms = match value.as_u64() {
        Some(seconds) => seconds.saturating_mul(1_000),
        // The cast saturates: a date beyond the range of u64 becomes the end of that range.
        None => round(value.as_f64().ok_or(TokenError::NotADate(name))? * 1_000.0) as u64,
    };
    Ok(Some(ms))
}

#[cfg(test)]
mod tests;
