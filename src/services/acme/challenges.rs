//! Responses to ACME challenges: a certificate in a handshake (tls-alpn-01; RFC 8737), or a text on
//! plain HTTP (http-01; RFC 8555, section 8.3).
//!
//! The renewer's thread writes them; the shards and the plain HTTP listener read them. They exist
//! only while an order is in progress, at most one per host.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use crate::io::tls::ChallengeCertificates;

/// The path prefix of http-01 responses; a token follows.
pub(super) const HTTP_PATH: &str = "/.well-known/acme-challenge/";

/// The responses to the pending challenges.
#[derive(Default)]
pub(super) struct Challenges(RwLock<Responses>);

#[derive(Default)]
struct Responses {
    /// By host.
    certificates: HashMap<String, Arc<CertifiedKey>>,
    /// By token.
    texts: HashMap<String, String>,
}

impl Challenges {
    /// Sets the tls-alpn-01 response for this host: the digest of a key authorization.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub(super) fn respond_tls(
        &self,
        host: &str,
        digest: &[u8],
        provider: &CryptoProvider,
    ) -> Result<(), ChallengeError> {
        let certificate = certificate(host, digest, provider)?;
        self.write().certificates.insert(host.to_owned(), Arc::new(certificate));
        Ok(())
    }

    /// Sets the http-01 response for this token.
    pub(super) fn respond_http(&self, token: &str, text: &str) {
        self.write().texts.insert(token.to_owned(), text.to_owned());
    }

    /// The http-01 response for this token.
    pub(super) fn text(&self, token: &str) -> Option<String> {
        self.read().texts.get(token).cloned()
    }

    /// Removes all responses.
    pub(super) fn clear(&self) {
        *self.write() = Responses::default();
    }

    // Poisoning is ignored: each change is one insertion, so the maps are always consistent.
    fn read(&self) -> RwLockReadGuard<'_, Responses> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Responses> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChallengeCertificates for Challenges {
    fn challenge_certificate(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        self.read().certificates.get(&host.to_ascii_lowercase()).cloned()
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").finish_non_exhaustive()
    }
}

/// Why a key or certificate of our own cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChallengeError {
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Key(rustls::Error),
}

/// A self-signed certificate with the digest in a critical extension, so that only an authority
/// accepts it.
fn certificate(host: &str, digest: &[u8], provider: &CryptoProvider) -> Result<CertifiedKey, ChallengeError> {
    let mut parameters = CertificateParams::new([host.to_owned()])?;
    parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|error| ChallengeError::Key(rustls::Error::General(error.to_owned())))?;
    let key = provider.key_provider.load_private_key(key).map_err(ChallengeError::Key)?;
    // The key is not checked against it: rustls does not know the critical extension.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}
