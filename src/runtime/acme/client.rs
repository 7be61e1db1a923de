//! HTTPS to an authority. Invariant: no answer is longer than [`ACME_ANSWER_BYTES_MAX`], and none is waited for longer than
//! [`ACME_REQUEST_MS`].

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::{ClientConfig, RootCertStore};

use crate::limits::{ACME_ANSWER_BYTES_MAX, ACME_REQUEST_MS};

/// Whose certificates an authority's own server may have.
#[derive(Clone)]
pub(super) enum Trust {
    /// Those that the host trusts, as it does when they are needed.
    Host,
    /// `ACME_CA_FILE`, and nobody else.
    Given(Arc<RootCertStore>),
}

/// Why nobody can be trusted. The text names the file, or what to install.
#[derive(Debug)]
pub enum TrustError {
    /// `ACME_CA_FILE` cannot be read, or holds something else.
    Unusable(PathBuf, PemError),
    /// `ACME_CA_FILE` holds no certificate that can be trusted.
    NoCertificate(PathBuf),
    /// The host trusts nobody.
    NoneOnHost,
    /// rustls refuses its own configuration.
    Configuration(rustls::Error),
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(path, error) => write!(f, "{} (ACME_CA_FILE) cannot be read: {error}", path.display()),
            Self::NoCertificate(path) => {
                write!(f, "{} (ACME_CA_FILE) holds no certificate of an authority", path.display())
            }
            Self::NoneOnHost => f.write_str(
                "this host trusts no authority: install its list (Debian: ca-certificates), or set ACME_CA_FILE",
            ),
            Self::Configuration(error) => write!(f, "HTTPS cannot be set up: {error}"),
        }
    }
}

impl StdError for TrustError {}

impl Trust {
    /// Reads `ACME_CA_FILE`, when there is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(file: Option<&Path>) -> Result<Self, TrustError> {
        let Some(path) = file else { return Ok(Self::Host) };
        let unusable = |error| TrustError::Unusable(path.to_owned(), error);
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(path).map_err(unusable)?.collect();
        let roots = usable(certificates.map_err(unusable)?);
        roots
            .map(|roots| Self::Given(Arc::new(roots)))
            .ok_or_else(|| TrustError::NoCertificate(path.to_owned()))
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, TrustError> {
        match self {
            Self::Given(roots) => Ok(Arc::clone(roots)),
            // What it cannot read of them is missing, and the handshake then tells whom it does not trust.
            Self::Host => usable(rustls_native_certs::load_native_certs().certs)
                .map(Arc::new)
                .ok_or(TrustError::NoneOnHost),
        }
    }
}

fn usable(certificates: Vec<CertificateDer<'static>>) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    (!roots.is_empty()).then_some(roots)
}

/// The client that instant-acme speaks through.
pub(super) struct HttpsClient(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl HttpsClient {
    /// A client without a connection.
    ///
    /// # Errors
    /// Nobody can be trusted.
    pub(super) fn new(trust: &Trust) -> Result<Self, TrustError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(TrustError::Configuration)?;
        let tls = builder.with_root_certificates(trust.roots()?).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }
}

impl HttpClient for HttpsClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = self.0.request(request);
        let read = async move {
            let (parts, body) =
                answer.await.map_err(|error| Error::Other(Unspoken::Broken(error).into()))?.into_parts();
            let body = Limited::new(body, ACME_ANSWER_BYTES_MAX).collect().await.map_err(Error::Other)?;
            let is_json = parts.headers.get(CONTENT_TYPE).is_some_and(|media_type| {
                media_type.to_str().is_ok_and(|media_type| media_type.contains("json"))
            });
            if parts.status.is_success() || is_json {
                Ok(BytesResponse { parts, body: Box::new(body.to_bytes()) })
            } else {
                Err(Error::Other(Unspoken::Status(parts.status).into()))
            }
        };
        let limit = Duration::from_millis(ACME_REQUEST_MS);
        Box::pin(async move {
            let timed_out = |_| Err(Error::Other(Unspoken::Silence.into()));
            tokio::time::timeout(limit, read).await.unwrap_or_else(timed_out)
        })
    }
}

/// What came was no answer of the protocol.
#[derive(Debug)]
enum Unspoken {
    Broken(hyper_util::client::legacy::Error),
    Status(StatusCode),
    Silence,
}

impl fmt::Display for Unspoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) if error.is_connect() => f.write_str("it cannot be reached"),
            Self::Broken(_) => f.write_str("the connection to it broke"),
            Self::Status(status) => write!(f, "it answers {status}, and not in its protocol"),
            Self::Silence => write!(f, "it did not answer within {} s", ACME_REQUEST_MS / 1_000),
        }
    }
}

impl StdError for Unspoken {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Broken(error) => error.source(),
            Self::Status(_) | Self::Silence => None,
        }
    }
}
