//! Certificates made when the test runs, and clients that trust them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::Hub;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::until(SystemTime::now() + 90 * DAY)
    }

    pub(crate) fn until(expires: SystemTime) -> Self {
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        parameters.not_after = expires.into();
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        Self { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }
}

/// The two files of a hub, in a separate folder.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn new(name: &str, pair: &Pair) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{name}"));
        fs::create_dir_all(&folder).expect("a folder");
        let files = Self(folder);
        files.write(pair);
        files
    }

    pub(crate) fn write(&self, pair: &Pair) {
        self.put("cert.pem", &pair.certificate);
        self.put("key.pem", &pair.key);
    }

    /// Replaces a file atomically: it writes another name first.
    pub(crate) fn put(&self, name: &str, content: &str) {
        let next = self.0.join("next");
        fs::write(&next, content).expect("written");
        fs::rename(next, self.0.join(name)).expect("renamed");
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn start(&self, settings: &[(&str, &str)], clients: &Arc<ClientConfig>) -> Hub {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        let mut all = vec![("CERT_FILE", cert.as_str()), ("KEY_FILE", key.as_str())];
        all.extend(settings);
        let mut hub = Hub::start(&all);
        hub.tls = Some(Arc::clone(clients));
        hub
    }
}

/// A client that trusts these certificates.
pub(crate) fn trusting(
    pairs: &[&Pair],
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for pair in pairs {
        roots.add(pair.der.clone()).expect("a root");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(versions).expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

pub(crate) fn any(pair: &Pair) -> Arc<ClientConfig> {
    trusting(&[pair], &[&TLS13, &TLS12], &["http/1.1"])
}
