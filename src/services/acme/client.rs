//! The HTTPS client for an authority, as instant-acme needs it.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio::sync::oneshot;
use ureq::Agent;
use ureq::tls::Certificate;

use crate::limits::{ACME_REQUEST_MS, ACME_RESPONSE_BYTES_MAX};
use crate::panics::caught;
use crate::services::https::{NoAuthorities, Terms, Trust, https};

const TERMS: Terms = Terms {
    within_ms: ACME_REQUEST_MS,
    redirects_max: 0,
    no_is_error: false,
    by_proxy: true,
    public_only: false,
};

/// Why the trusted authorities cannot be used. The text names the file.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// `ACME_CA_FILE` cannot be read, or is not PEM.
    #[error("{path} (ACME_CA_FILE) cannot be read", path = .0.display())]
    Unusable(PathBuf, #[source] PemError),
    /// `ACME_CA_FILE` holds no usable certificate.
    #[error("{path} (ACME_CA_FILE) holds no certificate of an authority", path = .0.display())]
    NoCertificate(PathBuf),
}

/// Reads `ACME_CA_FILE`, if configured.
///
/// # Errors
/// [`TrustError`]
pub(super) fn read_trust(file: Option<&Path>) -> Result<Trust, TrustError> {
    let Some(path) = file else { return Ok(Trust::Host) };
    let unusable = |error| TrustError::Unusable(path.to_owned(), error);
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(unusable)?.collect();
    let certificates = certificates.map_err(unusable)?;
    if RootCertStore::empty().add_parsable_certificates(certificates.iter().cloned()).0 == 0 {
        return Err(TrustError::NoCertificate(path.to_owned()));
    }
    let owned = |der: &CertificateDer<'_>| Certificate::from_der(der).to_owned();
    Ok(Trust::Given(certificates.iter().map(owned).collect()))
}

/// The HTTP client for instant-acme. A request blocks a thread of its own; a stop does not wait for
/// it.
pub(super) struct HttpsClient(Agent);

impl HttpsClient {
    /// A client without a connection.
    ///
    /// # Errors
    /// There are no trusted authorities.
    pub(super) fn new(trust: &Trust) -> Result<Self, NoAuthorities> {
        https(trust, TERMS).map(Self)
    }
}

impl HttpClient for HttpsClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let agent = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // The body is complete in memory.
            let body = body.collect().await.map_err(|error| Error::Other(error.into()))?.to_bytes();
            let (reply, replied) = oneshot::channel();
            // tokio's `spawn_blocking` and ureq's name lookup panic where no thread can be started.
            let run = move || {
                let asked = caught(|| ask(&agent, Request::from_parts(parts, body)));
                // An error means that the hub stops.
                let _ = reply.send(asked.unwrap_or_else(|panic| Err(Unspoken::Panicked(panic))));
            };
            let spawned = std::thread::Builder::new().name("acme-request".to_owned()).spawn(run);
            spawned.map_err(|error| Error::Other(Unspoken::NoThread(error).into()))?;
            let asked = replied.await.map_err(|error| Error::Other(error.into()))?;
            asked.map_err(|error| Error::Other(error.into()))
        })
    }
}

fn ask(agent: &Agent, request: Request<Bytes>) -> Result<BytesResponse, Unspoken> {
    let response = match request.body().is_empty() {
        true => agent.run(request.map(|_| ())),
        false => agent.run(request.map(Vec::from)),
    };
    let (parts, mut body) = response?.into_parts();
    let body = body.with_config().limit(ACME_RESPONSE_BYTES_MAX).read_to_vec()?;
    let is_json = parts
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|media_type| media_type.to_str().is_ok_and(|media_type| media_type.contains("json")));
    match parts.status {
        status if status.is_success() || is_json => {
            Ok(BytesResponse { parts, body: Box::new(Bytes::from(body)) })
        }
        status => Err(Unspoken::Status(status)),
    }
}

/// Why there is no ACME response.
#[derive(Debug, thiserror::Error)]
enum Unspoken {
    #[error("it did not answer within {} s", ACME_REQUEST_MS / 1_000)]
    Slow,
    #[error("its response is larger than {ACME_RESPONSE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("it cannot be reached")]
    Broken(#[source] ureq::Error),
    #[error("it returned {0} without an ACME error document")]
    Status(StatusCode),
    #[error("no thread for the request can be started")]
    NoThread(#[source] io::Error),
    #[error("the request panicked: {0}")]
    Panicked(String),
}

impl From<ureq::Error> for Unspoken {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(_) => Self::Slow,
            ureq::Error::BodyExceedsLimit(_) => Self::TooLarge,
            error => Self::Broken(error),
        }
    }
}
