//! Orders a certificate whenever one is due, on a thread of its own.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::challenges::Challenges;
use super::order::{Orders, TryError};
use super::plain::Handler;
use super::schedule::{next_renewal_ms, pause_ms, renewal_ms};
use super::settings::AcmeSettings;
use super::store::{CertificateStore, StoreError};
use crate::error_text::chain;
use crate::io::clock;
use crate::io::tls::Served;
use crate::io::tls::certificate::{Certificate, Files, date};
use crate::limits::{ACME_LOOK_MS, ACME_TRY_MS};
use crate::redact::Redacted;
use crate::services::https::Trust;
use crate::services::side_server::SideServer;

/// Signals from other threads to the renewer.
#[derive(Default)]
pub(super) struct Signals {
    /// Ends a pause.
    pub(super) retry_now: Notify,
    pub(super) stop: Notify,
}

/// Orders and renews certificates.
pub(crate) struct Renewer {
    settings: AcmeSettings,
    store: CertificateStore,
    trust: Trust,
    challenges: Arc<Challenges>,
    provider: CryptoProvider,
    served: Arc<Served>,
    signals: Arc<Signals>,
    /// The certificate being served.
    certificate: Option<Certificate>,
    /// Whether it names every host.
    is_for_all: bool,
    /// Whether a listener for http-01 runs.
    has_http: bool,
    by_http: HashSet<String>,
}

impl Renewer {
    /// The renewer for this store; it serves what is stored there.
    ///
    /// # Errors
    /// The stored certificate cannot be read.
    pub(super) fn open(
        settings: AcmeSettings,
        store: CertificateStore,
        trust: Trust,
        challenges: Arc<Challenges>,
        served: Arc<Served>,
        signals: Arc<Signals>,
    ) -> Result<Self, StoreError> {
        let mut renewer = Self {
            settings,
            store,
            trust,
            challenges,
            provider: default_provider(),
            served,
            signals,
            certificate: None,
            is_for_all: false,
            has_http: false,
            by_http: HashSet::new(),
        };
        renewer.read_stored()?;
        Ok(renewer)
    }

    /// Keeps the certificate valid until told to stop. It needs a thread of its own: the ACME crate
    /// needs a runtime of tokio, which blocks it.
    pub(crate) fn run(mut self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                error!(%error, "the runtime for certificates cannot be started; the hub stops");
                return;
            }
        };
        let signals = Arc::clone(&self.signals);
        runtime.block_on(async {
            tokio::select! {
                () = signals.stop.notified() => {}
                () = self.keep() => {}
            }
        });
        // A request that is under way has its own thread; do not wait for it.
        runtime.shutdown_background();
    }

    /// Opens the plain HTTP listener, which another thread serves. Without it, only tls-alpn-01 is
    /// possible.
    pub(crate) fn listen(&mut self) -> Option<(SideServer, Handler)> {
        let address = self.settings.http_address?;
        match SideServer::open(address) {
            Ok((address, side_server)) => {
                info!(%address, "plain HTTP is redirected to HTTPS");
                self.has_http = true;
                let (hosts, challenges) = (self.settings.hosts.clone(), Arc::clone(&self.challenges));
                Some((side_server, Handler { hosts, challenges }))
            }
            Err(error) => {
                warn!(
                    "cannot listen on {address} for plain HTTP (ACME_HTTP_ADDR): {error}; it is not redirected to HTTPS, and \
                     certificates are obtained by tls-alpn-01 alone"
                );
                None
            }
        }
    }

    /// Orders a certificate whenever one is due, forever.
    async fn keep(&mut self) {
        if self.certificate.is_none() {
            warn!(
                hosts = self.settings.hosts.join(","),
                "there is no certificate yet: until there is, handshakes fail"
            );
        }
        let held = self.certificate.as_ref().filter(|_| self.is_for_all);
        let mut due_ms = held.map_or(0, |held| renewal_ms(held.begins_ms, held.expires_ms, self.chance()));
        let mut failures = 0;
        loop {
            self.wait_until(due_ms, failures > 0).await;
            match self.renew().await {
                Ok(expires_ms) => {
                    failures = 0;
                    due_ms = self.next_due_ms();
                    info!(
                        hosts = self.settings.hosts.join(","),
                        expires = date(expires_ms),
                        renewal = date(due_ms),
                        "new connections get a new certificate"
                    );
                }
                Err(error) => {
                    failures += 1;
                    let pause_ms = pause_ms(failures, error.failure(), self.chance());
                    due_ms = clock::unix_ms().saturating_add(pause_ms);
                    self.warn(&error, pause_ms);
                }
            }
        }
    }

    /// Makes one attempt; returns when the new certificate expires, in milliseconds since the Unix
    /// epoch.
    async fn renew(&mut self) -> Result<u64, TryError> {
        let mut orders = Orders {
            settings: &self.settings,
            store: &self.store,
            trust: &self.trust,
            challenges: &self.challenges,
            provider: &self.provider,
            has_http: self.has_http,
            by_http: &mut self.by_http,
        };
        let obtained = timeout(Duration::from_millis(ACME_TRY_MS), orders.obtain()).await;
        let pem = obtained.unwrap_or(Err(TryError::TimedOut))?;
        let files = self.files();
        let parsed =
            Certificate::parse(&files, pem.as_bytes(), pem.as_bytes(), &self.provider, clock::unix_ms());
        let certificate = parsed.map_err(TryError::Unfit)?;
        if let Some(host) = self.unnamed(&certificate) {
            return Err(TryError::WrongName(host.to_owned()));
        }
        // Serve it even if it cannot be stored: the disk may have space again before a restart.
        if let Err(error) = self.store.write(self.store.certificate(), pem.as_bytes()) {
            error!("the new certificate is served, but not stored: {}", chain(&error));
        }
        let expires_ms = certificate.expires_ms;
        self.is_for_all = true;
        self.serve(certificate);
        Ok(expires_ms)
    }

    fn read_stored(&mut self) -> Result<(), StoreError> {
        let path = self.store.certificate();
        let Some(pem) = self.store.read(path)? else { return Ok(()) };
        match Certificate::parse(&self.files(), &pem, &pem, &self.provider, clock::unix_ms()) {
            Ok(certificate) => {
                let unnamed = self.unnamed(&certificate);
                if let Some(host) = unnamed {
                    info!(host, "the stored certificate is not for every host; a new one is ordered");
                }
                self.is_for_all = unnamed.is_none();
                // Serve it for the other hosts until there is a new one.
                self.serve(certificate);
            }
            Err(error) => warn!("{}; a new certificate is ordered", chain(&error)),
        }
        Ok(())
    }

    fn serve(&mut self, certificate: Certificate) {
        self.served.replace(Arc::clone(&certificate.key));
        self.certificate = Some(certificate);
    }

    /// The certificate and its key are in one file.
    fn files(&self) -> Files {
        let path = self.store.certificate().to_owned();
        Files { certificate: path.clone(), key: path }
    }

    /// A host that the certificate does not name.
    fn unnamed(&self, certificate: &Certificate) -> Option<&str> {
        let first = certificate.key.cert.first();
        let parsed = first.and_then(|der| ParsedCertificate::try_from(der).ok());
        let names = |host: &str| {
            let name = ServerName::try_from(host).ok();
            name.zip(parsed.as_ref()).is_some_and(|(name, parsed)| verify_server_name(parsed, &name).is_ok())
        };
        self.settings.hosts.iter().map(String::as_str).find(|host| !names(host))
    }

    /// When a certificate issued now is due for renewal, in milliseconds since the Unix epoch.
    fn next_due_ms(&self) -> u64 {
        let now_ms = clock::unix_ms();
        let held = self.certificate.as_ref();
        held.map_or(now_ms, |held| next_renewal_ms(held.begins_ms, held.expires_ms, now_ms, self.chance()))
    }

    /// A random number from 0 to 1, so that hubs do not renew together.
    fn chance(&self) -> f64 {
        let mut bytes = [0; 4];
        // Without randomness the renewal is on time.
        let _ = self.provider.secure_random.fill(&mut bytes);
        f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
    }

    /// Waits until a moment, in milliseconds since the Unix epoch. With `may_retry`, a `retry_now`
    /// signal ends the wait early.
    async fn wait_until(&self, due_ms: u64, may_retry: bool) {
        loop {
            let left_ms = due_ms.saturating_sub(clock::unix_ms());
            if left_ms == 0 {
                return;
            }
            let slice = Duration::from_millis(left_ms.min(ACME_LOOK_MS));
            if timeout(slice, self.signals.retry_now.notified()).await.is_ok() {
                if may_retry {
                    return;
                }
                info!(renewal = date(due_ms), "the certificate is not due yet");
            }
        }
    }

    /// Logs the one warning of a failed attempt.
    fn warn(&self, error: &TryError, pause_ms: u64) {
        let now_ms = clock::unix_ms();
        let state = match &self.certificate {
            Some(_) if !self.is_for_all => "the certificate stays, which is not for every host".to_owned(),
            Some(held) if held.expires_ms > now_ms => {
                format!("the certificate stays, which expires at {}", date(held.expires_ms))
            }
            Some(held) => format!("the certificate expired at {}: clients refuse it", date(held.expires_ms)),
            None => "there is none yet, and handshakes fail".to_owned(),
        };
        let pause = humantime::format_duration(Duration::from_secs(pause_ms / 1_000));
        warn!(
            "no certificate for {} from {}: {}; {state}; next try in {pause}",
            self.settings.hosts.join(", "),
            Redacted::whole(self.settings.directory_url.as_str()),
            Redacted::whole(&chain(error).to_string()),
        );
    }
}
