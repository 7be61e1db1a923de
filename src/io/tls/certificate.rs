//! The certificate and its key: two PEM files, read and checked before they are used.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use memchr::memmem;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_cert::der::Decode as _;

use crate::limits::{CERTIFICATE_CLOCK_MS, CERTIFICATE_FILE_BYTES_MAX, CERTIFICATE_WARNING_MS};

/// The paths of the certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// `CERT_FILE`: the certificate, followed by its chain to an authority.
    pub certificate: PathBuf,
    /// `KEY_FILE`.
    pub key: PathBuf,
}

/// Why the two files cannot be used. The text names the file.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be opened or read.
    #[error("{path} cannot be read", path = .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// It is larger than [`CERTIFICATE_FILE_BYTES_MAX`].
    #[error("{path} has more than {CERTIFICATE_FILE_BYTES_MAX} bytes", path = .0.display())]
    TooLarge(PathBuf),
    /// It is not PEM.
    #[error("{path} is not in PEM form", path = .0.display())]
    NotPem(PathBuf, #[source] PemError),
    /// It holds no certificate.
    #[error("{path} holds no certificate in PEM form", path = .0.display())]
    NoCertificate(PathBuf),
    /// It holds no unencrypted key.
    #[error("{path} holds no private key in PEM form without a passphrase", path = .0.display())]
    NoKey(PathBuf),
    /// Its first certificate is not a valid X.509 certificate.
    #[error("{path} holds a certificate that cannot be understood", path = .0.display())]
    Malformed(PathBuf, #[source] x509_cert::der::Error),
    /// rustls does not accept the form of its first certificate.
    #[error("{path} holds a certificate that cannot be understood: {1:?}", path = .0.display())]
    Unsupported(PathBuf, rustls::CertificateError),
    /// rustls cannot sign with the key.
    #[error("{path} holds a private key that cannot be used", path = .0.display())]
    KeyUnusable(PathBuf, #[source] Error),
    /// The key belongs to another certificate.
    #[error(
        "the private key in {key} is not that of the certificate in {certificate}",
        key = .0.key.display(),
        certificate = .0.certificate.display()
    )]
    WrongPair(Files),
    /// The certificate has expired; when, in milliseconds since the Unix epoch.
    #[error("the certificate in {path} expired at {at}", path = .0.display(), at = date(*.1))]
    Expired(PathBuf, u64),
    /// The certificate is not valid yet; from when it is, in milliseconds since the Unix epoch.
    #[error("the certificate in {path} is not valid before {at}", path = .0.display(), at = date(*.1))]
    NotYet(PathBuf, u64),
    /// rustls refuses its own configuration.
    #[error("TLS cannot be set up")]
    Configuration(#[source] Error),
}

/// A certificate with its key, ready to be served.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    /// When it becomes valid, in milliseconds since the Unix epoch.
    pub(crate) begins_ms: u64,
    /// When it expires, in milliseconds since the Unix epoch.
    pub(crate) expires_ms: u64,
}

impl Certificate {
    /// Reads and checks both files.
    ///
    /// # Errors
    /// [`CertificateError`]
    pub(crate) fn read(
        files: &Files,
        provider: &CryptoProvider,
        unix_ms: u64,
    ) -> Result<Self, CertificateError> {
        let path = &files.certificate;
        let pem = read_file(path)?;
        Self::parse(files, &pem, &read_file(&files.key)?, provider, unix_ms)
    }

    /// Checks the contents of the two files; they need not be written yet.
    ///
    /// # Errors
    /// [`CertificateError`]
    pub(crate) fn parse(
        files: &Files,
        chain_pem: &[u8],
        key_pem: &[u8],
        provider: &CryptoProvider,
        unix_ms: u64,
    ) -> Result<Self, CertificateError> {
        let path = &files.certificate;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem).collect();
        let chain = chain.map_err(|error| CertificateError::NotPem(path.clone(), error))?;
        let first = chain.first().ok_or_else(|| CertificateError::NoCertificate(path.clone()))?;
        let (begins_ms, expires_ms) =
            validity_ms(first).map_err(|error| CertificateError::Malformed(path.clone(), error))?;
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| match error {
            PemError::NoItemsFound => CertificateError::NoKey(files.key.clone()),
            // The old encrypted form: its header lines are not base64 (RFC 1421, section 4.6.1.1).
            _ if memmem::find(key_pem, b"ENCRYPTED").is_some() => CertificateError::NoKey(files.key.clone()),
            error => CertificateError::NotPem(files.key.clone(), error),
        })?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                CertificateError::WrongPair(files.clone())
            }
            Error::InvalidCertificate(error) => CertificateError::Unsupported(path.clone(), error),
            error => CertificateError::KeyUnusable(files.key.clone(), error),
        })?;
        if expires_ms <= unix_ms {
            return Err(CertificateError::Expired(path.clone(), expires_ms));
        }
        if begins_ms > unix_ms + CERTIFICATE_CLOCK_MS {
            return Err(CertificateError::NotYet(path.clone(), begins_ms));
        }
        Ok(Self { key: Arc::new(key), begins_ms, expires_ms })
    }

    /// A warning for the operator if the certificate has expired or expires soon.
    pub(super) fn warning(&self, files: &Files, unix_ms: u64) -> Option<String> {
        let path = files.certificate.display();
        let at = date(self.expires_ms);
        if self.expires_ms <= unix_ms {
            return Some(format!("the certificate in {path} expired at {at}: clients refuse it; replace it"));
        }
        let is_near = self.expires_ms - unix_ms <= CERTIFICATE_WARNING_MS;
        is_near.then(|| format!("the certificate in {path} expires at {at}: replace it before"))
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(CERTIFICATE_FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| CertificateError::Unreadable(path.to_owned(), error))?;
    if bytes.len() as u64 > CERTIFICATE_FILE_BYTES_MAX {
        return Err(CertificateError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

fn validity_ms(der: &CertificateDer<'_>) -> Result<(u64, u64), x509_cert::der::Error> {
    let certificate = x509_cert::Certificate::from_der(der)?;
    let validity = certificate.tbs_certificate.validity;
    let unix_ms = |time: x509_cert::time::Time| time.to_unix_duration().as_millis() as u64;
    Ok((unix_ms(validity.not_before), unix_ms(validity.not_after)))
}

/// A moment in the format of the log.
pub(crate) fn date(unix_ms: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(unix_ms)).to_string()
}
