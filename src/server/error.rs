//! Why a hub did not start, or ended.

use std::io;

use crate::history::HistoryError;
use crate::history::redb::OpenError;
use crate::io::listener::ListenError;
use crate::io::probe::HostError;
use crate::services::certificates::CertificateSourceError;

/// Why the hub did not start, or ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The host lacks something.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The cores that the process may run on are unknown.
    #[error("the cores that this process may run on cannot be read")]
    Cpus(#[source] io::Error),
    /// Signals cannot be handled.
    #[error("signals cannot be handled")]
    Signals(#[source] io::Error),
    /// The certificate cannot be served, or certificates cannot be managed.
    #[error(transparent)]
    Certificate(#[from] CertificateSourceError),
    /// The hub cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The history file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The history cannot be used.
    #[error("the history cannot be used")]
    History(#[source] HistoryError),
    /// The shards cannot be woken: no descriptor is left.
    #[error("the wakers of the shards cannot be made")]
    Wakers(#[source] io::Error),
    /// A thread could not be started.
    #[error("cannot start the thread {thread}")]
    Start {
        /// Its name.
        thread: String,
        /// The error of the system.
        source: io::Error,
    },
    /// A thread ended while the hub was running; its name. A panic is in the log.
    #[error("the thread {0} ended unexpectedly; the hub stops")]
    Ended(String),
    /// A second signal came while the hub was stopping.
    #[error("stopped at once by a second signal")]
    Interrupted,
}

impl RunError {
    /// For the error of a thread that cannot be started.
    pub(crate) fn start(thread: &str) -> impl FnOnce(io::Error) -> Self {
        let thread = thread.to_owned();
        move |source| Self::Start { thread, source }
    }
}
