//! The valid configuration of a hub, and the parts of it that some commands need alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use tracing::warn;

use crate::history::memory::MemoryHistory;
use crate::history::redb::{HistorySync, LostUpdates, OpenError, RedbHistory};
use crate::history::{History, Retention};
use crate::io::IoMode;
use crate::server::settings::Settings;

/// The well-known key of demo mode.
pub const DEMO_KEY: &str = "!ChangeThisMercureHubJWTSecretKey!";
/// The value of `DB_PATH` that keeps the history in memory.
pub const MEMORY: &str = ":memory:";
/// The default file of the history.
pub const DB_PATH_DEFAULT: &str = "updates.db";

/// A valid configuration.
pub struct Config {
    /// The settings of the hub.
    pub settings: Settings,
    /// The file of the history; `None` keeps it in memory (`DB_PATH=:memory:`).
    pub history_file: Option<PathBuf>,
    /// `HISTORY_SYNC`.
    pub history_sync: HistorySync,
    /// `HISTORY_ACCEPT_LOSS`.
    pub history_accepts_loss: bool,
    /// The retention of the history.
    pub retention: Retention,
    /// `HISTORY_CLEANUP_FREQUENCY`. Only 0 makes a difference, and [`Self::retention`] already
    /// includes it.
    pub cleanup_frequency: f64,
    /// What the value of `MEMORY_MAX` comes from; `None` if it is given, or nothing bounds it.
    pub memory_note: Option<String>,
    /// `ISSUER_PRIVATE_ADDRESSES`.
    pub issuers_private: bool,
    /// `DEMO`, also set by `DEBUG`.
    pub demo: bool,
    /// `LOG_LEVEL`.
    pub log_level: tracing::Level,
    /// `LOG_FORMAT`.
    pub log_format: LogFormat,
    /// Warnings for the operator, for the log.
    pub warnings: Vec<String>,
}

/// The size of a hub, for which its host must provide resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// The core of each shard; not empty.
    pub cpus: Vec<usize>,
    /// `MAX_CONNECTIONS`, if given.
    pub connections_max: Option<usize>,
    /// `IO`.
    pub io: IoMode,
}

/// The address on which a hub listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// `ADDR`, or its default.
    pub address: SocketAddr,
    /// Whether every connection is TLS.
    pub is_tls: bool,
}

/// `LOG_FORMAT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
    /// JSON with the fields that Fluentd expects.
    Fluentd,
}

impl Config {
    /// Opens the history that the settings name, and logs the updates that it has lost.
    ///
    /// # Errors
    /// The file cannot be used; the text names it.
    pub fn open_history(&self) -> Result<Box<dyn History>, OpenError> {
        let Some(path) = &self.history_file else {
            return Ok(Box::new(MemoryHistory::new(self.retention)));
        };
        let history = match self.history_accepts_loss {
            true => RedbHistory::open_accepting_loss(path, self.retention, self.history_sync)?,
            false => RedbHistory::open(path, self.retention, self.history_sync)?,
        };
        if let Some(LostUpdates { first, last }) = history.lost() {
            let (first, last) = (first.get(), last.get());
            warn!(first, last, "acknowledged updates are lost (HISTORY_ACCEPT_LOSS)");
        }
        Ok(Box::new(history))
    }
}
