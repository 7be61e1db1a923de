//! The settings of a running hub.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::api::handler::ApiSettings;
use crate::hub::shard::ShardSettings;
use crate::io::IoMode;
use crate::ops::access_log;
use crate::ops::metrics::MetricsSettings;
use crate::server::permits::PerClient;
use crate::server::timeouts::Timeouts;
use crate::services::certificates::CertificateSource;
use crate::services::key_sets::KeySetSource;
use crate::services::reload::{IssuersFile, KeyFile};

/// The settings of a running hub.
pub struct Settings {
    /// The address to listen on.
    pub address: SocketAddr,
    /// The certificate for TLS on every connection; `None` for no TLS.
    pub tls: Option<CertificateSource>,
    /// The core of each shard; not empty.
    pub cpus: Vec<usize>,
    /// `IO`: the driver of the shards.
    pub io: IoMode,
    /// Authentication and authorization.
    pub api: ApiSettings,
    /// Key sets for the handler, each fetched by its own thread.
    pub key_sets: Vec<KeySetSource>,
    /// Files with keys for the handler; SIGHUP reads them again.
    pub key_files: Vec<KeyFile>,
    /// `ISSUERS_FILE`; SIGHUP reads it again.
    pub issuers_file: Option<IssuersFile>,
    /// How subscribers are served.
    pub shard: ShardSettings,
    /// How long requests may take.
    pub timeouts: Timeouts,
    /// `DRAIN_TIMEOUT`, in milliseconds.
    pub drain_ms: u64,
    /// The file of the history (`DB_PATH`); `None` for a history in memory.
    pub history_file: Option<PathBuf>,
    /// `DEBUG`: logs the contents of updates.
    pub log_updates: bool,
    /// `USE_FORWARDED_HEADERS`: a proxy in front names the clients.
    pub trusts_proxy: bool,
    /// `ACCESS_LOG`: logs a line for each request.
    pub access_log: bool,
    /// `MAX_CONNECTIONS`; `None` for the limit of open files.
    pub connections_max: Option<usize>,
    /// `MEMORY_MAX`, in bytes; `u64::MAX` if nothing bounds the memory.
    pub memory_max: u64,
    /// Limits for each client.
    pub per_client: PerClient,
    /// The metrics listener; `None` for none.
    pub metrics: Option<MetricsSettings>,
}

impl Settings {
    /// What applies to the log of requests.
    pub(crate) fn access_rules(&self) -> access_log::Rules {
        access_log::Rules { is_logged: self.access_log, trusts_proxy: self.trusts_proxy }
    }
}
