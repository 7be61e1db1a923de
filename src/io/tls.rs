//! TLS: the configuration that all shards share, its certificate, and the sessions. The certificate
//! is chosen in one place, from the server names and ALPN protocols of the client.
//!
//! Invariants:
//! - a certificate is checked completely before it is served; an invalid one never replaces a valid
//!   one;
//! - resumable sessions are stored by the client (tickets), so they use no memory here;
//! - a new certificate applies to new handshakes; open connections are not affected;
//! - a handshake for an authority's challenge (RFC 8737) ends its connection, and only such a
//!   handshake gets the challenge certificate.

pub(crate) mod certificate;
mod protocols;
pub(crate) mod session;
pub(crate) mod watch;

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use certificate::CertificateError;
use protocols::{CHALLENGE, HTTP2, HTTP11};
use session::{Session, TlsBuffers};

/// Tickets sent with a TLS 1.3 handshake: the next connection resumes with one, and gets another.
const TICKETS: usize = 1;

/// Makes sessions for the connections of one shard.
pub(crate) struct Acceptor {
    config: Arc<ServerConfig>,
    buffers: Rc<RefCell<TlsBuffers>>,
}

impl Acceptor {
    /// For the calling thread's shard.
    pub(crate) fn new(config: Arc<ServerConfig>) -> Self {
        Self { config, buffers: Rc::new(RefCell::new(TlsBuffers::new())) }
    }

    /// The session of a fresh connection.
    ///
    /// # Errors
    /// What rustls finds wrong with the configuration.
    pub(crate) fn session(&self) -> Result<Box<Session>, rustls::Error> {
        Session::new(Arc::clone(&self.config), Rc::clone(&self.buffers)).map(Box::new)
    }
}

/// The certificates for an authority's challenges.
pub(crate) trait ChallengeCertificates: Debug + Send + Sync {
    /// The certificate for this host, while its challenge is pending.
    fn challenge_certificate(&self, host: &str) -> Option<Arc<CertifiedKey>>;
}

/// The certificate for new handshakes.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// `None` until there is one: until then handshakes fail.
    current: RwLock<Option<Arc<CertifiedKey>>>,
    challenges: Option<Arc<dyn ChallengeCertificates>>,
}

impl Served {
    /// No certificate yet, only responses to challenges.
    pub(crate) fn with_challenges(challenges: Arc<dyn ChallengeCertificates>) -> Self {
        Self { current: RwLock::default(), challenges: Some(challenges) }
    }

    /// Uses this certificate for new handshakes.
    pub(crate) fn replace(&self, key: Arc<CertifiedKey>) {
        // No code panics while holding the lock, and the pointer would be intact even then.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_challenge = hello.alpn().is_some_and(|protocols| protocols.eq([CHALLENGE]));
        match &self.challenges {
            Some(challenges) if is_challenge => challenges.challenge_certificate(hello.server_name()?),
            _ => self.current.read().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// The TLS configuration of all shards.
pub(crate) fn configure(served: Arc<Served>) -> Result<ServerConfig, CertificateError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder =
        builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(CertificateError::Configuration)?;
    // In order of preference. The challenge is last, so that a client that offers another protocol
    // gets that one.
    let challenge = served.challenges.is_some().then_some(CHALLENGE);
    let mut config = builder.with_no_client_auth().with_cert_resolver(served);
    config.alpn_protocols = [HTTP2, HTTP11].into_iter().chain(challenge).map(<[u8]>::to_vec).collect();
    // All suites are secure; audits check that the server chooses, not the client.
    config.ignore_client_order = true;
    config.ticketer = Ticketer::new().map_err(CertificateError::Configuration)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = TICKETS;
    Ok(config)
}
