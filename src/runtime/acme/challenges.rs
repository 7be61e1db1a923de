//! What an authority asks for to see who answers at a host: a certificate in a handshake (tls-alpn-01; RFC 8737), or a text on
//! plain HTTP (http-01; RFC 8555, section 8.3).
//!
//! The thread that orders certificates writes, and the shards and the listener for plain HTTP read. There are answers only
//! while an order is under way, one for each host at most.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use crate::runtime::tls::AnswersChallenges;

/// Where the answer to an http-01 challenge is looked for, behind this.
pub(super) const HTTP_PATH: &str = "/.well-known/acme-challenge/";

/// The answers to challenges that are under way.
#[derive(Default)]
pub(super) struct Challenges(RwLock<Answers>);

#[derive(Default)]
struct Answers {
    /// By host.
    certificates: HashMap<String, Arc<CertifiedKey>>,
    /// By token.
    texts: HashMap<String, String>,
}

impl Challenges {
    /// Answers tls-alpn-01 for this host with the digest of a key authorization.
    ///
    /// # Errors
    /// Why the certificate cannot be made.
    pub(super) fn answer_tls(
        &self,
        host: &str,
        digest: &[u8],
        provider: &CryptoProvider,
    ) -> Result<(), ChallengeError> {
        let certificate = certificate(host, digest, provider)?;
        self.write().certificates.insert(host.to_owned(), Arc::new(certificate));
        Ok(())
    }

    /// Answers http-01 with this text.
    pub(super) fn answer_http(&self, token: &str, text: &str) {
        self.write().texts.insert(token.to_owned(), text.to_owned());
    }

    /// The answer to an http-01 challenge.
    pub(super) fn text(&self, token: &str) -> Option<String> {
        self.read().texts.get(token).cloned()
    }

    /// No challenge is under way.
    pub(super) fn clear(&self) {
        *self.write() = Answers::default();
    }

    // What a panic would leave behind is whole: each change is one insertion.
    fn read(&self) -> RwLockReadGuard<'_, Answers> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Answers> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AnswersChallenges for Challenges {
    fn answer(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        self.read().certificates.get(&host.to_ascii_lowercase()).cloned()
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").finish_non_exhaustive()
    }
}

/// Why a key or a certificate of our own cannot be made.
#[derive(Debug)]
pub(super) enum ChallengeError {
    Certificate(rcgen::Error),
    Key(rustls::Error),
}

impl fmt::Display for ChallengeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
        }
    }
}

impl From<rcgen::Error> for ChallengeError {
    fn from(error: rcgen::Error) -> Self {
        Self::Certificate(error)
    }
}

/// Signed by itself, with the digest in a critical extension, so that nobody but an authority takes it.
fn certificate(host: &str, digest: &[u8], provider: &CryptoProvider) -> Result<CertifiedKey, ChallengeError> {
    let mut parameters = CertificateParams::new([host.to_owned()])?;
    parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|error| ChallengeError::Key(rustls::Error::General(error.to_owned())))?;
    let key = provider.key_provider.load_private_key(key).map_err(ChallengeError::Key)?;
    // Not checked against the key as others are: the critical extension is one that rustls does not know.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}
