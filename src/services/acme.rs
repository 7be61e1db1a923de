//! Automatic certificates (`ACME_HOSTS`): ordered from an authority (RFC 8555), stored, served,
//! renewed. Invariants:
//! - the served certificate stays until a new one is checked, and stored if the disk allows;
//! - after a failed attempt there is one warning and a growing pause: no authority is asked in a
//!   loop;
//! - without a certificate only handshakes fail: the hub is ready, and serves the first that
//!   arrives.
//!
//! Deliberately absent: wildcards (they need dns-01), hubs that share a folder, revocation.

mod challenges;
mod client;
mod order;
mod plain;
mod renewer;
mod schedule;
mod settings;
mod store;

use std::sync::Arc;

use rustls::ServerConfig;

pub use client::TrustError;
pub(crate) use renewer::Renewer;
pub use settings::AcmeSettings;
pub use store::StoreError;

use crate::io::tls::certificate::CertificateError;
use crate::io::tls::{Served, configure};
use challenges::Challenges;
use client::read_trust;
use renewer::Signals;
use store::CertificateStore;

/// Why certificates cannot be managed.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `ACME_CA_FILE` cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// rustls refuses its own configuration.
    #[error(transparent)]
    Configuration(#[from] CertificateError),
}

/// The hub's certificates, as its other threads see them.
pub(crate) struct Acme {
    config: Arc<ServerConfig>,
    signals: Arc<Signals>,
    /// `Some` until its thread takes it.
    renewer: Option<Renewer>,
}

impl Acme {
    /// Reads what is stored, so a restart serves at once. A stored certificate that cannot be
    /// served is ignored.
    ///
    /// # Errors
    /// [`AcmeError`]: the folder, or the trusted authorities, cannot be used.
    pub(crate) fn open(settings: &AcmeSettings) -> Result<Self, AcmeError> {
        let store = CertificateStore::open(&settings.folder, &settings.directory_url)?;
        let trust = read_trust(settings.ca_file.as_deref())?;
        let challenges = Arc::new(Challenges::default());
        let served = Arc::new(Served::with_challenges(Arc::clone(&challenges) as _));
        let config = Arc::new(configure(Arc::clone(&served))?);
        let signals = Arc::new(Signals::default());
        let renewer =
            Renewer::open(settings.clone(), store, trust, challenges, served, Arc::clone(&signals))?;
        Ok(Self { config, signals, renewer: Some(renewer) })
    }

    /// The TLS configuration for the shards.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The renewer for its thread; `Some` once.
    pub(crate) fn take_renewer(&mut self) -> Option<Renewer> {
        self.renewer.take()
    }

    /// If an attempt is pending after a failure, makes it now.
    pub(crate) fn retry_now(&self) {
        self.signals.retry_now.notify_one();
    }

    /// Ends the renewer's thread.
    pub(crate) fn stop(&self) {
        self.signals.stop.notify_one();
    }
}
