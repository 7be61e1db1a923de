//! The keys that verify tokens, and the signing of tokens.
//!
//! A key is bound to one algorithm, which the configuration names. So a token cannot choose how it
//! is verified: neither `none` nor a public key used as a shared secret is possible (RFC 8725,
//! section 3.1).

use std::fmt;
use std::num::NonZeroU32;

use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey, Header};

pub use jsonwebtoken::Algorithm;

use crate::mercure::names::ACCESS_TOKEN_TYPE;

/// The first characters of every PEM document (RFC 7468, section 2).
const PEM_START: &str = "-----BEGIN ";
/// Bits of the smallest and the largest RSA modulus that the cryptographic library verifies with.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// A key together with the one algorithm that it verifies.
#[derive(Clone)]
pub struct VerificationKey {
    algorithm: Algorithm,
    key: DecodingKey,
    short: bool,
}

/// A number for a key while it is in force, and for no other key afterwards: what a token granted
/// is known to rest on it. One shard gives the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyNumber(NonZeroU32);

impl KeyNumber {
    /// The first number.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The number after it. There are more than keys: a new one comes with a reload.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Why a text is not a key for the algorithm that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It has no bytes.
    #[error("a key that is not empty")]
    Empty,
    /// The algorithm takes a shared secret, and this is a PEM document. Anyone who knows the public
    /// key could sign with it.
    #[error("a shared secret for {0:?}, not a PEM document: set the algorithm of that public key")]
    PemAsSecret(Algorithm),
    /// The algorithm takes a public key, and this is not one in PEM form.
    #[error("a public key in PEM form for {0:?}")]
    NotAPublicKey(Algorithm),
    /// A private key in place of a public one. The verifying side must not have it.
    #[error("the public key, not the private one")]
    Private,
    /// A public key of another family or curve than the algorithm takes.
    #[error("a public key of the kind and curve that {0:?} takes")]
    WrongKind(Algorithm),
    /// An RSA key with a modulus outside 2,048 to 8,192 bits.
    #[error("an RSA key of {start} to {end} bits, not {0}", start = RSA_BITS.start(), end = RSA_BITS.end())]
    RsaSize(usize),
}

impl VerificationKey {
    /// Reads a key in the form that the algorithm takes: a shared secret for HS256, HS384 and
    /// HS512, else a public key in PEM form.
    ///
    /// # Errors
    /// [`KeyError`] names what is wrong with the key; it never holds the key.
    pub fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self, KeyError> {
        match (algorithm.family(), std::str::from_utf8(key)) {
            (AlgorithmFamily::Hmac, _) => Self::from_secret(algorithm, key),
            (_, Ok(text)) => Self::from_pem(algorithm, text),
            (_, Err(_)) => Err(KeyError::NotAPublicKey(algorithm)),
        }
    }

    /// A shared secret for HS256, HS384 or HS512 (RFC 7518, section 3.2).
    ///
    /// # Errors
    /// The secret is empty, is a PEM document, or the algorithm takes no secret.
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::Empty);
        }
        let Some(digest_bytes) = digest_bytes(algorithm) else {
            return Err(KeyError::NotAPublicKey(algorithm));
        };
        if secret.trim_ascii_start().starts_with(PEM_START.as_bytes()) {
            return Err(KeyError::PemAsSecret(algorithm));
        }
        Ok(Self::checked(algorithm, DecodingKey::from_secret(secret), secret.len() < digest_bytes))
    }

    /// A public key in PEM form, `PUBLIC KEY` (RFC 7468, section 13) or `RSA PUBLIC KEY`, for RS*,
    /// PS*, ES256, ES384 and EdDSA with Ed25519.
    ///
    /// # Errors
    /// The text is not such a key, or its kind, curve or size is not what the algorithm takes.
    pub fn from_pem(algorithm: Algorithm, text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let label = text.strip_prefix(PEM_START).and_then(|rest| rest.split("-----").next());
        match label {
            Some("PUBLIC KEY" | "RSA PUBLIC KEY") => {}
            Some(label) if label.ends_with("PRIVATE KEY") => return Err(KeyError::Private),
            _ => return Err(KeyError::NotAPublicKey(algorithm)),
        }
        let pem = text.as_bytes();
        let key = match algorithm.family() {
            AlgorithmFamily::Hmac => return Err(KeyError::PemAsSecret(algorithm)),
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
        };
        let key = key.map_err(|_| KeyError::WrongKind(algorithm))?;
        check_public_key(algorithm, &key)?;
        Ok(Self::checked(algorithm, key, false))
    }

    /// A public key that was read from a form other than PEM.
    ///
    /// # Errors
    /// Its kind, curve or size is not what the algorithm takes. An algorithm with a shared secret
    /// takes none.
    pub(super) fn from_public(algorithm: Algorithm, key: DecodingKey) -> Result<Self, KeyError> {
        if algorithm.family() == AlgorithmFamily::Hmac || key.family() != algorithm.family() {
            return Err(KeyError::WrongKind(algorithm));
        }
        check_public_key(algorithm, &key)?;
        Ok(Self::checked(algorithm, key, false))
    }

    /// The only algorithm of tokens that this key accepts.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether a shared secret has fewer bytes than the output of its hash. RFC 7518, section 3.2
    /// forbids that.
    pub fn is_short(&self) -> bool {
        self.short
    }

    /// Whether `signature`, in base64url, is this key's signature of `message`. False if it is not
    /// valid base64url.
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.key, self.algorithm).unwrap_or(false)
    }

    /// Whether it verifies the same tokens as another one.
    pub fn is_same(&self, other: &Self) -> bool {
        use DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
        let is_same = match (self.key.kind(), other.key.kind()) {
            (SecretOrDer(one), SecretOrDer(other)) => one == other,
            (RsaModulusExponent { n, e }, RsaModulusExponent { n: other_n, e: other_e }) => {
                n == other_n && e == other_e
            }
            (SecretOrDer(_), RsaModulusExponent { .. }) | (RsaModulusExponent { .. }, SecretOrDer(_)) => {
                false
            }
        };
        is_same && self.algorithm == other.algorithm
    }

    fn checked(algorithm: Algorithm, key: DecodingKey, short: bool) -> Self {
        install_provider();
        Self { algorithm, key, short }
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerificationKey({:?})", self.algorithm)
    }
}

/// Why a token could not be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key is empty.
    #[error("the key is empty")]
    Empty,
    /// The algorithm signs with a private key in PEM form (PKCS #8), and this is not one of its
    /// kind.
    #[error("{0:?} signs with a private key in PEM form (PKCS #8), which this key is not")]
    NotAPrivateKey(Algorithm),
    /// The library refused.
    #[error("the token could not be signed")]
    Refused(#[source] jsonwebtoken::errors::Error),
}

/// Signs `claims` as a compact JWT (RFC 7519): with a shared secret for HS*, else with a private
/// key in PEM form.
///
/// # Errors
/// The key is not one that the algorithm signs with.
pub fn sign(claims: &serde_json::Value, key: &[u8], algorithm: Algorithm) -> Result<String, SignError> {
    sign_with(&Header::new(algorithm), claims, key)
}

/// Signs `claims` as an access token of draft 08, like [`sign`].
///
/// # Errors
/// The key is not one that the algorithm signs with.
pub fn sign_access(
    claims: &serde_json::Value,
    key: &[u8],
    algorithm: Algorithm,
) -> Result<String, SignError> {
    let header = Header { typ: Some(ACCESS_TOKEN_TYPE.to_owned()), ..Header::new(algorithm) };
    sign_with(&header, claims, key)
}

fn sign_with(header: &Header, claims: &serde_json::Value, key: &[u8]) -> Result<String, SignError> {
    let algorithm = header.alg;
    if key.is_empty() {
        return Err(SignError::Empty);
    }
    install_provider();
    let key = match algorithm.family() {
        AlgorithmFamily::Hmac => Ok(EncodingKey::from_secret(key)),
        AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(key),
        AlgorithmFamily::Ec => EncodingKey::from_ec_pem(key),
        AlgorithmFamily::Ed => EncodingKey::from_ed_pem(key),
    };
    let key = key.map_err(|_| SignError::NotAPrivateKey(algorithm))?;
    jsonwebtoken::encode(header, claims, &key).map_err(|error| match error.kind() {
        ErrorKind::InvalidEcdsaKey | ErrorKind::InvalidEddsaKey | ErrorKind::Provider(_) => {
            SignError::NotAPrivateKey(algorithm)
        }
        _ => SignError::Refused(error),
    })
}

/// The output size of an HMAC algorithm's hash, in bytes; `None` for other algorithms.
fn digest_bytes(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::HS256 => Some(32),
        Algorithm::HS384 => Some(48),
        Algorithm::HS512 => Some(64),
        _ => None,
    }
}

/// Refuses a key that could never verify a token, so that the hub does not start with it. The
/// length of the point shows the curve; the modulus shows the size of an RSA key.
fn check_public_key(algorithm: Algorithm, key: &DecodingKey) -> Result<(), KeyError> {
    let bytes = match key.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => bytes,
        DecodingKeyKind::RsaModulusExponent { n, .. } => return check_modulus(n),
    };
    let length_expected = match algorithm {
        Algorithm::ES256 => 65,
        Algorithm::ES384 => 97,
        Algorithm::EdDSA => 32,
        _ => {
            let components = aws_lc::DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key;
            let (modulus, _) = components(bytes).map_err(|_| KeyError::WrongKind(algorithm))?;
            return check_modulus(&modulus);
        }
    };
    if bytes.len() == length_expected { Ok(()) } else { Err(KeyError::WrongKind(algorithm)) }
}

fn check_modulus(modulus: &[u8]) -> Result<(), KeyError> {
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let bits = (modulus.len() - zeros) * 8;
    if RSA_BITS.contains(&bits) { Ok(()) } else { Err(KeyError::RsaSize(bits)) }
}

/// jsonwebtoken picks its cryptography from its own features, and panics on first use when another
/// crate of the build enabled a second one. Naming the provider avoids that. Only the first call
/// has an effect, so the result is ignored.
fn install_provider() {
    let _ = aws_lc::DEFAULT_PROVIDER.install_default();
}
