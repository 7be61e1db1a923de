//! Pebble, the test authority of Let's Encrypt, with its DNS server, and a setup for both and a
//! hub.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;

use super::tls::{Pair, any};
use super::{Client, Hub, eventually};

/// A free port, below the range from which the kernel chooses ports itself.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 10_000).expect("below ten thousand");
    loop {
        let port = 20_000 + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A program; killed when dropped.
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn start(command: &mut Command, port: u16) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs what it needs"));
        let program = Self(child);
        eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        program
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A setup for an authority and a hub: a folder, and ports.
pub(crate) struct AcmeSetup {
    pub(crate) folder: PathBuf,
    /// The certificate of the authority's own server.
    pub(crate) pair: Pair,
    pub(crate) authority: u16,
    pub(crate) management: u16,
    pub(crate) dns: u16,
    pub(crate) hub: u16,
    pub(crate) plain: u16,
    _dns: Program,
}

impl AcmeSetup {
    pub(crate) fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("acme-{name}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let pair = Pair::new();
        fs::write(folder.join("authority.pem"), &pair.certificate).expect("written");
        fs::write(folder.join("authority-key.pem"), &pair.key).expect("written");
        let (dns, management) = (free_port(), free_port());
        let mut server = Command::new("pebble-challtestsrv");
        server.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
        server.args(["-dns01", &local(dns), "-management", &local(management)]);
        let program = Program::start(&mut server, management);
        let [authority, management, hub, plain] = [(); 4].map(|()| free_port());
        Self { folder, pair, authority, management, dns, hub, plain, _dns: program }
    }

    /// An authority that checks these ports, and whose certificates are valid for `good_for_s`
    /// seconds.
    pub(crate) fn authority(&self, tls_port: u16, http_port: u16, good_for_s: u64) -> Program {
        self.authority_that_looks(tls_port, http_port, good_for_s, true)
    }

    /// An authority that checks the host at every order, or only at the first order of a host.
    pub(crate) fn authority_that_looks(
        &self,
        tls_port: u16,
        http_port: u16,
        good_for_s: u64,
        always: bool,
    ) -> Program {
        let settings = json!({ "pebble": {
            "listenAddress": local(self.authority),
            "managementListenAddress": local(self.management),
            "certificate": self.path("authority.pem"),
            "privateKey": self.path("authority-key.pem"),
            "tlsPort": tls_port,
            "httpPort": http_port,
            "certificateValidityPeriod": good_for_s,
        }});
        fs::write(self.folder.join("pebble.json"), settings.to_string()).expect("written");
        let mut pebble = Command::new("pebble");
        pebble.args(["-config", &self.path("pebble.json"), "-dnsserver", &local(self.dns)]);
        // No pauses and no random errors.
        pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "0");
        pebble.env("PEBBLE_AUTHZREUSE", if always { "0" } else { "100" });
        Program::start(&mut pebble, self.authority)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join(format!("acme/certificate-localhost-{}-dir.pem", self.authority))
    }

    pub(crate) fn account(&self) -> PathBuf {
        self.folder.join(format!("acme/account-localhost-{}-dir.json", self.authority))
    }

    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("ADDR", local(self.hub)),
            ("SHARDS", "1".to_owned()),
            ("ACME_HOSTS", "localhost".to_owned()),
            ("ACME_CERT_DIR", self.path("acme")),
            ("ACME_DIRECTORY_URL", format!("https://localhost:{}/dir", self.authority)),
            ("ACME_CA_FILE", self.path("authority.pem")),
            ("ACME_HTTP_ADDR", "off".to_owned()),
        ]
    }

    pub(crate) fn hub(&self, settings: &[(&'static str, &str)]) -> Hub {
        let mut all = self.settings();
        all.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let all: Vec<_> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Hub::start(&all)
    }

    /// A client that trusts the authority's certificates. It never resumes a session, which would
    /// not show the certificate.
    pub(crate) fn clients(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let socket = TcpStream::connect(("127.0.0.1", self.management)).expect("the authority runs");
        let mut client = Client::tls(socket, &any(&self.pair));
        client.send("GET /roots/0 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let pem = client.answer().body;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

pub(crate) fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
