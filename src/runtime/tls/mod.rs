//! TLS: the configuration that all shards share, the certificate in it, and the sessions.
//!
//! Invariants worth naming:
//! - a certificate is checked as a whole before it is served, and one that is not fit never takes the place of one that is;
//! - sessions that can be resumed are with the client (tickets), never here: memory does not grow with them;
//! - a new certificate is for new handshakes; nobody who is connected notices;
//! - a handshake that answers an authority's challenge (RFC 8737) is the end of its connection, and nobody else gets one.
//!
//! The protocols offered (ALPN) are one list, and the certificate is chosen in one place, which sees the names and the
//! protocols that the client asks for.

pub(super) mod certificate;
pub(super) mod session;
pub(super) mod watch;

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
use session::{Session, TlsBuffers};

/// The application protocols that are spoken, the preferred one first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];
const HTTP2: &[u8] = b"h2";

/// The protocol of a handshake by which an authority checks who answers at a host, and nothing else (tls-alpn-01; RFC 8737).
const CHALLENGE_PROTOCOL: &[u8] = b"acme-tls/1";

/// Tickets given with a TLS 1.3 handshake: a browser's next connection resumes with it, and gets another.
const TICKETS: usize = 1;

/// Makes sessions for the connections of one shard.
pub(super) struct Acceptor {
    config: Arc<ServerConfig>,
    buffers: Rc<RefCell<TlsBuffers>>,
}

impl Acceptor {
    /// For the calling thread's shard.
    pub(super) fn new(config: Arc<ServerConfig>) -> Self {
        Self { config, buffers: Rc::new(RefCell::new(TlsBuffers::new())) }
    }

    /// The session of a fresh connection.
    ///
    /// # Errors
    /// What rustls finds wrong with the configuration.
    pub(super) fn session(&self) -> Result<Box<Session>, rustls::Error> {
        Session::new(Arc::clone(&self.config), Rc::clone(&self.buffers)).map(Box::new)
    }
}

/// The certificates that answer an authority's challenges.
pub(in crate::runtime) trait AnswersChallenges: Debug + Send + Sync {
    /// The one for this host, while an authority is expected there.
    fn answer(&self, host: &str) -> Option<Arc<CertifiedKey>>;
}

/// The certificate that new handshakes are answered with.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Served {
    /// `None` until there is one: handshakes then fail.
    current: RwLock<Option<Arc<CertifiedKey>>>,
    challenges: Option<Arc<dyn AnswersChallenges>>,
}

impl Served {
    /// Nothing yet, but answers to challenges.
    pub(in crate::runtime) fn with_challenges(challenges: Arc<dyn AnswersChallenges>) -> Self {
        Self { current: RwLock::default(), challenges: Some(challenges) }
    }

    /// New handshakes are answered with this one.
    pub(in crate::runtime) fn replace(&self, key: Arc<CertifiedKey>) {
        // Nobody panics with the lock in hand; and if so, what it guards is one pointer, which is whole.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_challenge = hello.alpn().is_some_and(|protocols| protocols.eq([CHALLENGE_PROTOCOL]));
        match &self.challenges {
            Some(challenges) if is_challenge => challenges.answer(hello.server_name()?),
            _ => self.current.read().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// What all shards serve with.
pub(in crate::runtime) fn configure(served: Arc<Served>) -> Result<ServerConfig, CertificateError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder =
        builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(CertificateError::Configuration)?;
    // Last, so that whoever offers anything else as well gets that.
    let challenge_protocol = served.challenges.is_some().then_some(CHALLENGE_PROTOCOL);
    let mut config = builder.with_no_client_auth().with_cert_resolver(served);
    config.alpn_protocols = PROTOCOLS.into_iter().chain(challenge_protocol).map(<[u8]>::to_vec).collect();
    // All suites are good; that one of them is chosen here, and not by who asks, is what audits look for.
    config.ignore_client_order = true;
    config.ticketer = Ticketer::new().map_err(CertificateError::Configuration)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = TICKETS;
    Ok(config)
}
