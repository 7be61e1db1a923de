//! The shell: the only module that touches sockets, clocks and threads, and that uses glommio.
//!
//! [`run`] starts one executor for each shard, pinned to its core, and the sequencer's thread. The
//! calling thread then waits for signals and for the end of any thread. Invariant: a hub never runs
//! without one of its threads. If a shard or the sequencer panics, [`run`] returns at once, and the
//! process ends.

mod access;
mod acme;
mod certificates;
mod clock;
mod connection;
mod control;
mod embedded;
pub mod health;
mod history_worker;
pub mod host;
mod http2;
mod https;
mod keys;
mod listener;
mod liveness;
mod mailbox;
mod metrics;
mod poller;
mod probe;
mod quota;
mod reload;
mod running;
mod sample;
mod sequencer;
mod shard;
mod side_server;
mod systemd;
mod tls;
mod transport;
mod wake;

use std::fmt;
use std::net::SocketAddr;

pub use access::ACCESS_TARGET;
pub use acme::{AcmeError, AcmeSettings, StoreError, TrustError};
pub use certificates::CertificateSource;
pub use connection::Timeouts;
pub use embedded::{CommitError, Embedded, Receipt};
pub use keys::KeySetSource;
pub use listener::ListenError;
pub use metrics::MetricsSettings;
pub use probe::HostError;
pub use quota::PerClient;
pub use reload::KeyFile;
pub use tls::certificate::{CertificateError, Files};

use crate::history::redb::OpenError;
use crate::history::{History, HistoryError};
use crate::hub::gate::GateSettings;
use crate::hub::shard::ShardSettings;

/// The settings of [`run`].
pub struct Settings {
    /// The address to listen on.
    pub address: SocketAddr,
    /// The certificate for TLS on every connection; `None` for no TLS.
    pub tls: Option<CertificateSource>,
    /// The core of each shard; not empty.
    pub cpus: Vec<usize>,
    /// Authentication and authorization.
    pub gate: GateSettings,
    /// Key sets for the gate, each fetched by its own thread.
    pub key_sets: Vec<KeySetSource>,
    /// Files with keys for the gate; SIGHUP reads them again.
    pub key_files: Vec<KeyFile>,
    /// How subscribers are served.
    pub shard: ShardSettings,
    /// How long requests may take.
    pub timeouts: Timeouts,
    /// `DRAIN_TIMEOUT`, in milliseconds.
    pub drain_ms: u64,
    /// `DEBUG`: logs the contents of updates.
    pub log_updates: bool,
    /// `USE_FORWARDED_HEADERS`: a proxy in front names the clients.
    pub trusts_proxy: bool,
    /// `ACCESS_LOG`: logs a line for each request.
    pub access_log: bool,
    /// `MAX_CONNECTIONS`; `None` for the limit of open files.
    pub connections_max: Option<usize>,
    /// Limits for each client.
    pub per_client: PerClient,
    /// The metrics listener; `None` for none.
    pub metrics: Option<MetricsSettings>,
}

/// Why the hub did not start, or ended before it was told to.
#[derive(Debug)]
pub enum RunError {
    /// The host lacks something.
    Host(HostError),
    /// The certificate cannot be served.
    Certificate(CertificateError),
    /// Certificates cannot be managed.
    Acme(AcmeError),
    /// The hub cannot listen.
    Listen(ListenError),
    /// The history file cannot be opened.
    Open(OpenError),
    /// The history cannot be used.
    History(HistoryError),
    /// A thread could not be started: its name, and the error.
    Start(String, String),
    /// A thread ended while the hub was running; its name. The panic is in the log.
    Ended(String),
    /// A second signal came while the hub was stopping.
    Interrupted,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(error) => error.fmt(f),
            Self::Certificate(error) => error.fmt(f),
            Self::Acme(error) => error.fmt(f),
            Self::Listen(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::History(error) => write!(f, "the history cannot be used: {error}"),
            Self::Start(name, error) => write!(f, "cannot start the thread {name}: {error}"),
            Self::Ended(name) => write!(f, "the thread {name} ended unexpectedly; the hub stops"),
            Self::Interrupted => f.write_str("stopped at once by a second signal"),
        }
    }
}

impl std::error::Error for RunError {}

/// Runs a hub until SIGTERM or SIGINT, and then until its streams have ended. `open` opens the
/// history, which may take long if it needs repair. `started` is called with the address once
/// connections are accepted.
///
/// The hub owns the process: SIGHUP reads keys and certificates again, and a service manager can
/// hand it sockets (`LISTEN_FDS`) and is notified (`NOTIFY_SOCKET`). To run a hub inside another
/// program, use [`Embedded`].
///
/// # Errors
/// [`RunError`]: the hub did not start, or one of its threads failed.
pub fn run(
    settings: &Settings,
    open: impl FnOnce() -> Result<Box<dyn History>, OpenError>,
    started: impl FnOnce(SocketAddr),
) -> Result<(), RunError> {
    let control = control::Control::new();
    control.watch_signals()?;
    let history = open().map_err(RunError::Open)?;
    running::run(settings, history, &control, running::ProcessRole::Service, |begun| started(begun.address))
}
