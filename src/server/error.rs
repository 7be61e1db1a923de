//! Why a hub did not start, or ended.

use std::fmt;

use crate::history::HistoryError;
use crate::history::redb::OpenError;
use crate::io::listener::ListenError;
use crate::io::probe::HostError;
use crate::io::tls::certificate::CertificateError;
use crate::services::acme::AcmeError;

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
