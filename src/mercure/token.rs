//! Tokens: JWTs in compact form (RFC 7519, RFC 7515 section 7.1), verified before any part of them
//! is trusted.
//!
//! Invariants: the algorithm is the key's, never the token's; no claim is read before the signature
//! is verified; `exp` and `nbf` are enforced without leeway against a time that is an argument; an
//! error never holds a byte of the token. Ignored on purpose: `aud`, `iss`, `sub`, `jti` and every
//! other claim or header. `kid` is used only to choose among the keys of a [`KeySet`].

mod cache;
mod json;
mod jwks;
mod key;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Header;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use cache::TokenCache;
pub use jwks::{KeySet, KeySetError};
pub use key::{Algorithm, KeyError, SignError, VerificationKey, sign};

use crate::limits::TOKEN_BYTES_MAX;
use crate::mercure::names::{CLAIM, CLAIM_NAMESPACED};
use json::{ObjectError, parse_object};

/// The member of a header that lists the extensions which must be understood.
const CRITICAL: &str = "crit";

/// The content of a verified token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// The rights to publish and receive. Empty when the token has no such claim: it is valid, and
    /// grants nothing.
    pub mercure: MercureClaim,
    /// The first second, in Unix time, in which the token is no longer valid.
    pub exp: Option<u64>,
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

/// Why a token is refused: the text for the log. The client gets only a 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not three parts in base64url, or its claims are not a JSON object.
    #[error("the token is malformed")]
    Malformed,
    /// The header cannot be read. An algorithm that does not exist, such as `none`, is one reason.
    #[error("the token's header is malformed or names no known algorithm")]
    Header,
    /// The header names an algorithm other than the configured one.
    #[error("wrong algorithm")]
    WrongAlgorithm,
    /// The header names a key (`kid`) that is not in the key set. A newer key set may have it.
    #[error("the token names a key (\"kid\") that is not in the key set")]
    UnknownKey,
    /// The header names no key, and several keys of the set have its algorithm.
    #[error("the token names no key (\"kid\"), and several of the key set are of its algorithm")]
    NoKeyNamed,
    /// The header or the claims have a member twice, which two readers can understand differently
    /// (RFC 7515, section 4; RFC 7519, section 4).
    #[error("the token has a member twice in its header or in its claims")]
    Repeated,
    /// The header asks to fetch or trust another key, or to support an extension (RFC 7515, section
    /// 4.1).
    #[error("the token's header has \"{0}\", which is refused")]
    ForbiddenHeader(&'static str),
    /// The signature is not the key's.
    #[error("bad signature")]
    BadSignature,
    /// `exp` or `nbf` is not a number (RFC 7519, section 2, NumericDate).
    #[error("the claim \"{0}\" is not a number")]
    NotADate(&'static str),
    /// `exp` has passed.
    #[error("expired")]
    Expired,
    /// `nbf` is in the future.
    #[error("not valid yet")]
    NotYetValid,
    /// The claim of that name is not an object whose `publish` and `subscribe` are lists of
    /// strings.
    #[error("the claim \"{0}\" is not an object with lists of strings")]
    WrongShape(&'static str),
}

impl VerificationKey {
    /// Verifies `token` at `now`, in seconds of Unix time, and reads its claims.
    ///
    /// # Errors
    /// [`TokenError`] names the check that failed.
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, TokenError> {
        self.check_header(&read_header(token)?)?;
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        if !self.verifies(message.as_bytes(), signature) {
            return Err(TokenError::BadSignature);
        }
        let (_, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let mut claims = decode_object(claims, TokenError::Malformed)?;
        let exp = numeric_date(&claims, "exp")?;
        let nbf = numeric_date(&claims, "nbf")?;
        if exp.is_some_and(|exp| now >= exp) {
            return Err(TokenError::Expired);
        }
        if nbf.is_some_and(|nbf| now < nbf) {
            return Err(TokenError::NotYetValid);
        }
        Ok(Claims { mercure: mercure_claim(&mut claims)?, exp })
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
    let text = URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed)?;
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

/// Reads a NumericDate, which may have a fraction, and rounds it up. For a clock of whole seconds,
/// `now < exp` and `now >= nbf` then have the same result as for the exact value. A negative date
/// is before every `now`.
fn numeric_date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = match value.as_u64() {
        Some(seconds) => seconds,
        // The cast saturates: a date beyond the range of u64 becomes the end of that range.
        None => value.as_f64().ok_or(TokenError::NotADate(name))?.ceil() as u64,
    };
    Ok(Some(seconds))
}

#[cfg(test)]
mod tests;
