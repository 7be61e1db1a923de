//! The shell: the only module that touches sockets, clocks and threads, and the only one that knows glommio.
//!
//! [`run`] starts one executor for each shard, pinned to its core, and the sequencer's thread; the calling thread then
//! waits for signals and for the end of either. Invariant: half a hub is worse than none. When a shard or the sequencer
//! panics, [`run`] returns at once, and the process ends.

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

/// Everything that [`run`] needs to know.
pub struct Settings {
    /// Where to listen.
    pub address: SocketAddr,
    /// The certificate, with which every connection is TLS; `None` for none.
    pub tls: Option<CertificateSource>,
    /// The core of each shard; not empty.
    pub cpus: Vec<usize>,
    /// Who may do what.
    pub gate: GateSettings,
    /// Key sets that the gate's keys are fetched from, by a thread each.
    pub key_sets: Vec<KeySetSource>,
    /// Files that the gate's keys are in, which SIGHUP reads again.
    pub key_files: Vec<KeyFile>,
    /// How subscribers are served.
    pub shard: ShardSettings,
    /// How long requests may take.
    pub timeouts: Timeouts,
    /// `DRAIN_TIMEOUT`, in milliseconds.
    pub drain_ms: u64,
    /// `DEBUG`: the contents of updates are logged.
    pub log_updates: bool,
    /// `USE_FORWARDED_HEADERS`: a proxy in front says who the clients are.
    pub trusts_proxy: bool,
    /// `ACCESS_LOG`: a line for each request.
    pub access_log: bool,
    /// `MAX_CONNECTIONS`; `None` leaves it to the limit of open files.
    pub connections_max: Option<usize>,
    /// What each client may have of them.
    pub per_client: PerClient,
    /// Where metrics are served, if they are.
    pub metrics: Option<MetricsSettings>,
}

/// Why the hub did not start, or ended before it was told to.
#[derive(Debug)]
pub enum RunError {
    /// The host lacks something.
    Host(HostError),
    /// The certificate cannot be served with.
    Certificate(CertificateError),
    /// Certificates cannot be kept.
    Acme(AcmeError),
    /// There is nothing to listen on.
    Listen(ListenError),
    /// The file of the history cannot be used.
    Open(OpenError),
    /// The history cannot be used.
    History(HistoryError),
    /// A thread could not be started; its name.
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

/// Runs a hub until SIGTERM or SIGINT, and then until its streams have ended. `open` opens the history, which may take long when it has
/// to be repaired; `started` is called with the address once connections are accepted.
///
/// The process is the hub's: SIGHUP reads keys and certificates again, a service manager hands it sockets (`LISTEN_FDS`) and hears of
/// it (`NOTIFY_SOCKET`). A program that has a hub in it takes [`Embedded`].
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
