//! The source of the certificate: files that another program writes, or an ACME authority.

use std::sync::Arc;
use std::time::Instant;

use rustls::ServerConfig;

use super::RunError;
use super::acme::{Acme, AcmeSettings, Renewer};
use super::tls::certificate::Files;
use super::tls::watch::Keeper;

/// The source of the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// `CERT_FILE` and `KEY_FILE`.
    Files(Files),
    /// `ACME_HOSTS`.
    Acme(AcmeSettings),
}

/// The certificate source, as the signal thread holds it.
pub(super) enum Certificates {
    Files(Box<Keeper>),
    Acme(Box<Acme>),
}

impl Certificates {
    /// Reads the certificate, or the ACME state.
    ///
    /// # Errors
    /// [`RunError::Certificate`] or [`RunError::Acme`].
    pub(super) fn open(source: &CertificateSource) -> Result<Self, RunError> {
        match source {
            CertificateSource::Files(files) => {
                let keeper = Keeper::open(files.clone()).map_err(RunError::Certificate)?;
                Ok(Self::Files(Box::new(keeper)))
            }
            CertificateSource::Acme(settings) => {
                Acme::open(settings).map(Box::new).map(Self::Acme).map_err(RunError::Acme)
            }
        }
    }

    /// The TLS configuration of the shards.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        match self {
            Self::Files(keeper) => keeper.config(),
            Self::Acme(acme) => acme.config(),
        }
    }

    /// The renewer for its thread; `Some` once, and only with ACME.
    pub(super) fn take_renewer(&mut self) -> Option<Renewer> {
        match self {
            Self::Files(_) => None,
            Self::Acme(acme) => acme.take_renewer(),
        }
    }

    /// When to call [`Self::look`] next.
    pub(super) fn next_look(&self) -> Option<Instant> {
        match self {
            Self::Files(keeper) => Some(keeper.next_look()),
            Self::Acme(_) => None,
        }
    }

    /// Checks whether the files have changed.
    pub(super) fn look(&mut self) {
        if let Self::Files(keeper) = self {
            keeper.look();
        }
    }

    /// Handles SIGHUP: reads the files again, or retries a pending order now.
    pub(super) fn reload(&mut self) {
        match self {
            Self::Files(keeper) => keeper.reload(),
            Self::Acme(acme) => acme.retry_now(),
        }
    }

    /// Warns of a certificate that expires soon, at most once per interval.
    pub(super) fn warn(&mut self) {
        if let Self::Files(keeper) = self {
            keeper.warn();
        }
    }

    /// Stops the renewer.
    pub(super) fn stop(&self) {
        if let Self::Acme(acme) = self {
            acme.stop();
        }
    }
}
