//! Where the certificate comes from: files that somebody else writes, or an authority that gives it by itself.

use std::sync::Arc;
use std::time::Instant;

use rustls::ServerConfig;

use super::RunError;
use super::acme::{Acme, AcmeSettings, Renewer};
use super::tls::certificate::Files;
use super::tls::watch::Keeper;

/// The source that the settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// `CERT_FILE` and `KEY_FILE`.
    Files(Files),
    /// `ACME_HOSTS`.
    Acme(AcmeSettings),
}

/// The source, as the thread that waits for signals has it.
pub(super) enum Certificates {
    Files(Box<Keeper>),
    Acme(Box<Acme>),
}

impl Certificates {
    /// Reads what there is.
    ///
    /// # Errors
    /// What is wrong with it.
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

    /// What the shards serve with.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        match self {
            Self::Files(keeper) => keeper.config(),
            Self::Acme(acme) => acme.config(),
        }
    }

    /// What a thread of its own has to run, once.
    pub(super) fn take_renewer(&mut self) -> Option<Renewer> {
        match self {
            Self::Files(_) => None,
            Self::Acme(acme) => acme.take_renewer(),
        }
    }

    /// When [`Self::look`] has to be called next.
    pub(super) fn next_look(&self) -> Option<Instant> {
        match self {
            Self::Files(keeper) => Some(keeper.next_look()),
            Self::Acme(_) => None,
        }
    }

    /// Looks whether anything has changed.
    pub(super) fn look(&mut self) {
        if let Self::Files(keeper) = self {
            keeper.look();
        }
    }

    /// SIGHUP: the operator has changed something.
    pub(super) fn reload(&mut self) {
        match self {
            Self::Files(keeper) => keeper.reload(),
            Self::Acme(acme) => acme.retry_now(),
        }
    }

    /// Warns of a certificate that expires soon, when it is time to.
    pub(super) fn warn(&mut self) {
        if let Self::Files(keeper) = self {
            keeper.warn();
        }
    }

    /// The hub stops.
    pub(super) fn stop(&self) {
        if let Self::Acme(acme) = self {
            acme.stop();
        }
    }
}
