//! The certificate and its key: two PEM files, read and checked before they are used.

use std::fmt;
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
#[derive(Debug)]
pub enum CertificateError {
    /// It cannot be opened or read.
    Unreadable(PathBuf, io::Error),
    /// It is larger than [`CERTIFICATE_FILE_BYTES_MAX`].
    TooLarge(PathBuf),
    /// It is not PEM.
    NotPem(PathBuf, PemError),
    /// It holds no certificate.
    NoCertificate(PathBuf),
    /// It holds no unencrypted key.
    NoKey(PathBuf),
    /// Its first certificate is not a valid X.509 certificate.
    Malformed(PathBuf, String),
    /// rustls cannot sign with the key.
    KeyUnusable(PathBuf, Error),
    /// The key belongs to another certificate.
    WrongPair(Files),
    /// The certificate has expired; when, in milliseconds since the Unix epoch.
    Expired(PathBuf, u64),
    /// The certificate is not valid yet; from when it is, in milliseconds since the Unix epoch.
    NotYet(PathBuf, u64),
    /// rustls refuses its own configuration.
    Configuration(Error),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "{} cannot be read: {error}", path.display()),
            Self::TooLarge(path) => {
                write!(f, "{} has more than {CERTIFICATE_FILE_BYTES_MAX} bytes", path.display())
            }
            Self::NotPem(path, error) => write!(f, "{} is not in PEM form: {error}", path.display()),
            Self::NoCertificate(path) => write!(f, "{} holds no certificate in PEM form", path.display()),
            Self::NoKey(path) => {
                write!(f, "{} holds no private key in PEM form without a passphrase", path.display())
            }
            Self::Malformed(path, error) => {
                write!(f, "{} holds a certificate that cannot be understood: {error}", path.display())
            }
            Self::KeyUnusable(path, error) => {
                write!(f, "{} holds a private key that cannot be used: {error}", path.display())
            }
            Self::WrongPair(files) => {
                let (key, certificate) = (files.key.display(), files.certificate.display());
                write!(f, "the private key in {key} is not that of the certificate in {certificate}")
            }
            Self::NotYet(path, at_ms) => {
                write!(f, "the certificate in {} is not valid before {}", path.display(), date(*at_ms))
            }
            Self::Expired(path, at_ms) => {
                write!(f, "the certificate in {} expired at {}", path.display(), date(*at_ms))
            }
            Self::Configuration(error) => write!(f, "TLS cannot be set up: {error}"),
        }
    }
}

impl std::error::Error for CertificateError {}

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
            Error::InvalidCertificate(error) => {
                CertificateError::Malformed(path.clone(), format!("{error:?}"))
            }
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

fn validity_ms(der: &CertificateDer<'_>) -> Result<(u64, u64), String> {
    let certificate = x509_cert::Certificate::from_der(der).map_err(|error| error.to_string())?;
    let validity = certificate.tbs_certificate.validity;
    let unix_ms = |time: x509_cert::time::Time| time.to_unix_duration().as_millis() as u64;
    Ok((unix_ms(validity.not_before), unix_ms(validity.not_after)))
}

/// A moment in the format of the log.
pub(crate) fn date(unix_ms: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(unix_ms)).to_string()
}
