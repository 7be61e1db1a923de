//! The source of the certificate: files that another program writes, or an ACME authority.

use std::sync::Arc;
use std::time::Instant;

use rustls::ServerConfig;

use super::acme::{Acme, AcmeError, AcmeSettings, Renewer};
use crate::io::tls::certificate::{CertificateError, Files};
use crate::io::tls::watch::Keeper;

/// The source of the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// `CERT_FILE` and `KEY_FILE`.
    Files(Files),
    /// `ACME_HOSTS`.
    Acme(AcmeSettings),
}

/// Why there is no certificate to serve.
#[derive(Debug, thiserror::Error)]
pub enum CertificateSourceError {
    /// The files cannot be used.
    #[error(transparent)]
    Files(#[from] CertificateError),
    /// Certificates cannot be managed.
    #[error(transparent)]
    Acme(#[from] AcmeError),
}

/// The certificate source, as the signal thread holds it.
pub(crate) enum Certificates {
    Files(Box<Keeper>),
    Acme(Box<Acme>),
}

impl Certificates {
    /// Reads the certificate, or the ACME state.
    ///
    /// # Errors
    /// [`CertificateSourceError`]
    pub(crate) fn open(source: &CertificateSource) -> Result<Self, CertificateSourceError> {
        Ok(match source {
            CertificateSource::Files(files) => Self::Files(Box::new(Keeper::open(files.clone())?)),
            CertificateSource::Acme(settings) => Self::Acme(Box::new(Acme::open(settings)?)),
        })
    }

    /// The TLS configuration of the shards.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        match self {
            Self::Files(keeper) => keeper.config(),
            Self::Acme(acme) => acme.config(),
        }
    }

    /// The renewer for its thread; `Some` once, and only with ACME.
    pub(crate) fn take_renewer(&mut self) -> Option<Renewer> {
        match self {
            Self::Files(_) => None,
            Self::Acme(acme) => acme.take_renewer(),
        }
    }

    /// When to call [`Self::look`] next.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        match self {
            Self::Files(keeper) => Some(keeper.next_look()),
            Self::Acme(_) => None,
        }
    }

    /// Checks whether the files have changed.
    pub(crate) fn look(&mut self) {
        if let Self::Files(keeper) = self {
            keeper.look();
        }
    }

    /// Handles SIGHUP: reads the files again, or retries a pending order now.
    pub(crate) fn reload(&mut self) {
        match self {
            Self::Files(keeper) => keeper.reload(),
            Self::Acme(acme) => acme.retry_now(),
        }
    }

    /// Warns of a certificate that expires soon, at most once per interval.
    pub(crate) fn warn(&mut self) {
        if let Self::Files(keeper) = self {
            keeper.warn();
        }
    }

    /// Stops the renewer.
    pub(crate) fn stop(&self) {
        if let Self::Acme(acme) = self {
            acme.stop();
        }
    }
}
