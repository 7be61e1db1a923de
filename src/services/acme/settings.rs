//! The settings of certificates from an authority.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What to order, and from which authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeSettings {
    /// `ACME_HOSTS`: names in lower-case ASCII; not empty.
    pub hosts: Vec<String>,
    /// `ACME_CERT_DIR`.
    pub folder: PathBuf,
    /// `ACME_DIRECTORY_URL`.
    pub directory_url: String,
    /// `ACME_EMAIL`.
    pub email: Option<String>,
    /// `ACME_CA_FILE`.
    pub ca_file: Option<PathBuf>,
    /// `ACME_HTTP_ADDR`; `None` for no listener.
    pub http_address: Option<SocketAddr>,
}
