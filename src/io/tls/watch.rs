//! Certificate files: read at start, again when they change or on SIGHUP, with a warning before
//! expiry.
//!
//! Two files are not replaced at once, so a change counts only when two consecutive checks find the
//! same. Invalid files leave the served certificate as it is, and are logged once; the next change
//! is checked again.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use tracing::{info, warn};

use super::certificate::{Certificate, CertificateError, Files};
use super::{Served, configure};
use crate::error_text::chain;
use crate::io::clock;
use crate::limits::{CERTIFICATE_LOOK_MS, CERTIFICATE_WARNING_EVERY_MS};

/// The files, and the certificate served from them.
pub(crate) struct Keeper {
    files: Files,
    certificate: Certificate,
    served: Arc<Served>,
    config: Arc<ServerConfig>,
    /// The stamps of the files when they were last read.
    read: Stamps,
    /// The stamps of the files at the last check.
    seen: Stamps,
    next_look: Instant,
    warned_ms: Option<u64>,
}

/// Identifies a version of a file: its place, its length and its time of change; `None` if it is
/// absent.
type Stamp = Option<(u64, u64, u64, i64, i64)>;
type Stamps = [Stamp; 2];

impl Keeper {
    /// Reads the files.
    ///
    /// # Errors
    /// [`CertificateError`]
    pub(crate) fn open(files: Files) -> Result<Self, CertificateError> {
        let read = stamps(&files);
        let certificate = Certificate::read(&files, &default_provider(), clock::unix_ms())?;
        let served = Arc::new(Served::default());
        served.replace(Arc::clone(&certificate.key));
        let config = Arc::new(configure(Arc::clone(&served))?);
        let next_look = Instant::now() + Duration::from_millis(CERTIFICATE_LOOK_MS);
        Ok(Self { files, certificate, served, config, read, seen: read, next_look, warned_ms: None })
    }

    /// The TLS configuration of the shards.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// When to call [`Self::look`] next.
    pub(crate) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Checks whether the files have changed, and when the certificate expires.
    pub(crate) fn look(&mut self) {
        self.next_look = Instant::now() + Duration::from_millis(CERTIFICATE_LOOK_MS);
        let found = stamps(&self.files);
        if std::mem::replace(&mut self.seen, found) == found && found != self.read {
            self.reload();
        }
        self.warn();
    }

    /// Reads the files again, even if they are unchanged.
    pub(crate) fn reload(&mut self) {
        self.read = stamps(&self.files);
        self.seen = self.read;
        let path = self.files.certificate.display();
        match Certificate::read(&self.files, &default_provider(), clock::unix_ms()) {
            Ok(certificate) => {
                self.served.replace(Arc::clone(&certificate.key));
                self.certificate = certificate;
                self.warned_ms = None;
                info!(file = %path, "new connections get the certificate as it is now");
            }
            Err(error) => warn!("{}; the certificate stays as it was", chain(&error)),
        }
    }

    /// Warns of a certificate that expires soon, at most once per interval.
    pub(crate) fn warn(&mut self) {
        let now_ms = clock::unix_ms();
        let is_time = self.warned_ms.is_none_or(|at_ms| now_ms >= at_ms + CERTIFICATE_WARNING_EVERY_MS);
        if let Some(warning) = self.certificate.warning(&self.files, now_ms).filter(|_| is_time) {
            self.warned_ms = Some(now_ms);
            warn!("{warning}");
        }
    }
}

fn stamps(files: &Files) -> Stamps {
    [stamp(&files.certificate), stamp(&files.key)]
}

fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}
