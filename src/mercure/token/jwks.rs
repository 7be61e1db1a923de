//! Key sets: the public keys of a token issuer, as one JSON document (RFC 7517, section 5).
//!
//! Invariants: each key verifies one algorithm, which the document or the kind of the key names,
//! never the token (RFC 8725, section 3.1). A shared secret in the document is never used, since
//! anyone who can read the document could sign with it. A key that cannot be used is skipped, as
//! section 5 requires, and does not affect the others.
//!
//! Certificates are ignored (`x5c`, `x5t`, `x5u`). The document is trusted because of its source.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::key::VerificationKey;
use super::{Claims, TokenError, TokenRules, read_header};
use crate::limits::JWKS_KEYS_MAX;

/// The usable keys of a document.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Named>,
    left_out: usize,
}

#[derive(Clone, Debug)]
struct Named {
    /// `kid`
    id: Option<Box<str>>,
    key: VerificationKey,
}

/// Why a document is not a key set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is not a JSON object with a list `keys`.
    #[error("the response is not a JSON object with a list \"keys\"")]
    NotAKeySet,
    /// It lists more than [`JWKS_KEYS_MAX`] keys; their number.
    #[error("the response lists {0} keys, more than {JWKS_KEYS_MAX}")]
    TooManyKeys(usize),
}

#[derive(Deserialize)]
struct KeySetDocument {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a document. Keys of algorithms that are not `allowed` are skipped; an empty list
    /// allows all.
    ///
    /// # Errors
    /// [`KeySetError`]. A document without usable keys is no error; then no token is valid.
    pub fn parse(document: &[u8], allowed: &[Algorithm]) -> Result<Self, KeySetError> {
        let KeySetDocument { keys } =
            serde_json::from_slice(document).map_err(|_| KeySetError::NotAKeySet)?;
        if keys.len() > JWKS_KEYS_MAX {
            return Err(KeySetError::TooManyKeys(keys.len()));
        }
        let listed = keys.len();
        let keys: Vec<_> = keys.into_iter().filter_map(|key| named(key, allowed)).collect();
        Ok(Self { left_out: listed - keys.len(), keys })
    }

    /// The number of usable keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no usable key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The number of keys in the document that cannot be used.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Verifies `token` at `now_ms`, in milliseconds of Unix time, with the key that its header
    /// names (`kid`), by these rules. A token that names no key is verified if exactly one key has
    /// its algorithm.
    ///
    /// # Errors
    /// [`TokenError`]. Only [`TokenError::UnknownKey`] may be resolved by a newer document.
    pub fn verify(&self, token: &str, now_ms: u64, rules: &TokenRules) -> Result<Claims, TokenError> {
        self.verify_by(token, now_ms, rules).map(|(claims, _)| claims)
    }

    /// The same; returns also the place of the key that verified it.
    ///
    /// # Errors
    /// Those of [`Self::verify`].
    pub fn verify_by(
        &self,
        token: &str,
        now_ms: u64,
        rules: &TokenRules,
    ) -> Result<(Claims, usize), TokenError> {
        let header = read_header(token)?;
        let mut keys = self.keys.iter().enumerate();
        let fits = |(_, named): &(usize, &Named)| named.key.algorithm() == header.alg;
        let key = match &header.kid {
            Some(id) => {
                if !self.has_id(id) {
                    return Err(TokenError::UnknownKey);
                }
                // Keys of several kinds may share an id (RFC 7517, section 4.5).
                keys.find(|key| key.1.id.as_deref() == Some(id) && fits(key))
            }
            None => {
                let mut fitting = keys.filter(fits);
                let first = fitting.next();
                if fitting.next().is_some() {
                    return Err(TokenError::NoKeyNamed);
                }
                first
            }
        };
        let (place, named) = key.ok_or(TokenError::WrongAlgorithm)?;
        named.key.verify(token, now_ms, rules).map(|claims| (claims, place))
    }

    /// Whether a key has this id (`kid`).
    pub fn has_id(&self, id: &str) -> bool {
        self.keys.iter().any(|named| named.id.as_deref() == Some(id))
    }

    /// The id of the key at this place, if it has one.
    pub fn id_at(&self, place: usize) -> Option<&str> {
        self.keys.get(place)?.id.as_deref()
    }

    /// The place in this set of the key at `place` of another one: the same key, with the same id.
    pub fn place_of(&self, other: &Self, place: usize) -> Option<usize> {
        let named = other.keys.get(place)?;
        self.keys.iter().position(|it| it.id == named.id && it.key.is_same(&named.key))
    }
}

/// A key that verifies signatures with a supported algorithm.
fn named(key: Value, allowed: &[Algorithm]) -> Option<Named> {
    let key: Jwk = serde_json::from_value(key).ok()?;
    let is_for_signatures =
        key.common.public_key_use.as_ref().is_none_or(|is| *is == PublicKeyUse::Signature);
    let verifies = |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
    if !is_for_signatures || !key.common.key_operations.as_ref().is_none_or(verifies) {
        return None;
    }
    let algorithm = algorithm_of(&key, allowed)?;
    if !allowed.is_empty() && !allowed.contains(&algorithm) {
        return None;
    }
    let decoding_key = DecodingKey::from_jwk(&key).ok()?;
    let key_of_algorithm = VerificationKey::from_public(algorithm, decoding_key).ok()?;
    Some(Named { id: key.common.key_id.map(Into::into), key: key_of_algorithm })
}

/// The one algorithm of a key: `alg`, if it fits the kind of the key; without `alg`, the one that
/// the kind allows. An RSA key allows six: the first allowed one is used, or RS256 if all are
/// allowed.
fn algorithm_of(key: &Jwk, allowed: &[Algorithm]) -> Option<Algorithm> {
    let named: Option<Algorithm> = match key.common.key_algorithm {
        Some(algorithm) => Some(algorithm.try_into().ok()?),
        None => None,
    };
    let kind = match &key.algorithm {
        AlgorithmParameters::RSA(_) => {
            let is_rsa = |algorithm: &Algorithm| algorithm.family() == AlgorithmFamily::Rsa;
            return match named {
                Some(named) => Some(named).filter(is_rsa),
                None => Some(allowed.iter().copied().find(is_rsa).unwrap_or(Algorithm::RS256)),
            };
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => Algorithm::ES384,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        // A shared secret, or an unknown kind.
        _ => return None,
    };
    named.is_none_or(|named| named == kind).then_some(kind)
}

#[cfg(test)]
mod tests;
