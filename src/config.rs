//! Parses flags and environment variables into a [`Config`] that is valid as a whole.
//!
//! All errors are found before anything starts, and all are listed. Invariants: units are converted
//! here, once; a secret is never part of a message; a setting that this version does not have is
//! refused, not ignored.

mod certificates;
mod effective;
mod keys;
mod names;
mod options;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use effective::shown;
pub use effective::{Effective, SettingSource};
pub use names::misspelled;
pub use options::Options;

use crate::api::demo::Demo;
use crate::api::handler::GateSettings;
use crate::history::memory::MemoryHistory;
use crate::history::redb::{HistorySync, OpenError, RedbHistory};
use crate::history::{History, Retention};
use crate::http::headers::cors::{Cors, OriginList};
use crate::hub::shard::ShardSettings;
use crate::hub::tail::TailBounds;
use crate::limits::{BODY_BYTES_MAX_DEFAULT, SELECTORS_MAX_DEFAULT, SUBSCRIBER_BUFFER_DEFAULT};
use crate::mercure::audience::Authorization;
use crate::mercure::names::COOKIE_NAME;
use crate::ops::metrics::MetricsSettings;
use crate::server::permits::PerClient;
use crate::server::settings::Settings;
use crate::server::timeouts::Timeouts;
use keys::{KeyOrigins, Keys};

/// The well-known key of demo mode.
pub const DEMO_KEY: &str = "!ChangeThisMercureHubJWTSecretKey!";
/// The value of `DB_PATH` that keeps the history in memory.
pub const MEMORY: &str = ":memory:";
/// The default file of the history.
pub const DB_PATH_DEFAULT: &str = "updates.db";
/// The largest `MAX_BODY_SIZE`; the counters of frame bytes rely on it.
const BODY_BYTES_LIMIT: u64 = 256 << 20;
const SUBSCRIBER_BUFFER_RANGE: (u64, u64) = (4 << 10, 1 << 30);
/// In the reference hub a probability; here all values except 0 have the same effect.
const CLEANUP_FREQUENCY_DEFAULT: f64 = 0.3;
const SELECTORS_LIMIT: u64 = crate::limits::FORM_FIELDS_MAX as u64;

/// The environment in which the settings are read.
pub struct Environment<'w> {
    /// Reads the file of a `*_FILE` setting.
    pub read_file: &'w dyn Fn(&str) -> std::io::Result<String>,
    /// The cores this process may run on.
    pub cpus: &'w [usize],
    /// The environment variables, to find misspelled names.
    pub variables: &'w [(String, String)],
}

/// A valid configuration.
pub struct Config {
    /// The settings of the hub.
    pub settings: Settings,
    /// The file of the history; `None` keeps it in memory (`DB_PATH=:memory:`).
    pub history_file: Option<PathBuf>,
    /// `HISTORY_SYNC`.
    pub history_sync: HistorySync,
    /// The retention of the history.
    pub retention: Retention,
    /// `HISTORY_CLEANUP_FREQUENCY`. Only 0 makes a difference, and [`Self::retention`] already
    /// includes it.
    pub cleanup_frequency: f64,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per line.
    Json,
    /// JSON with the fields that Fluentd expects.
    Fluentd,
}

/// One error in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The name of the variable.
    pub name: &'static str,
    /// Its value; `None` if it may be a secret.
    pub value: Option<String>,
    /// The expected form.
    pub expected: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} is {value:?}; expected {}", self.name, self.expected),
            None => write!(f, "{}: expected {}", self.name, self.expected),
        }
    }
}

impl Config {
    /// Reads every setting.
    ///
    /// # Errors
    /// Every [`ConfigError`].
    pub fn read(options: &Options, environment: &Environment<'_>) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader { environment, errors: Vec::new(), warnings: Vec::new() };
        let config = reader.read(options);
        let Reader { errors, mut warnings, .. } = reader;
        warnings.extend(misspelled(environment.variables));
        match config {
            Some(config) if errors.is_empty() => Ok(Self { warnings, ..config }),
            _ => Err(errors),
        }
    }

    /// Opens the history that the settings name.
    ///
    /// # Errors
    /// The file cannot be used; the text names it.
    pub fn open_history(&self) -> Result<Box<dyn History>, OpenError> {
        Ok(match &self.history_file {
            None => Box::new(MemoryHistory::new(self.retention)),
            Some(path) => Box::new(RedbHistory::open(path, self.retention, self.history_sync)?),
        })
    }

    /// Reads only the settings of the size: checking a host needs no key.
    ///
    /// # Errors
    /// Every [`ConfigError`] in them.
    pub fn size(options: &Options, environment: &Environment<'_>) -> Result<Size, Vec<ConfigError>> {
        let mut reader = Reader { environment, errors: Vec::new(), warnings: Vec::new() };
        let size = reader.size(options);
        size.filter(|_| reader.errors.is_empty()).ok_or(reader.errors)
    }

    /// Reads only the address settings: a health check needs no key.
    ///
    /// # Errors
    /// Every [`ConfigError`] in these settings.
    pub fn listen_address(
        options: &Options,
        environment: &Environment<'_>,
    ) -> Result<ListenAddress, Vec<ConfigError>> {
        let mut reader = Reader { environment, errors: Vec::new(), warnings: Vec::new() };
        let mut switch = |name, given| reader.value(name, given, values::switch).unwrap_or(false);
        let demo = switch("DEBUG", &options.debug) | switch("DEMO", &options.demo);
        let is_tls = reader.certificates(options).is_some();
        let address = reader.address(options, demo, is_tls);
        if reader.errors.is_empty() { Ok(ListenAddress { address, is_tls }) } else { Err(reader.errors) }
    }
}

struct Reader<'w> {
    environment: &'w Environment<'w>,
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn read(&mut self, options: &Options) -> Option<Config> {
        let o = options;
        let debug = self.value("DEBUG", &o.debug, values::switch).unwrap_or(false);
        let demo = self.value("DEMO", &o.demo, values::switch).unwrap_or(false) || debug;
        if demo {
            self.warnings.push("demo mode: never in production".to_owned());
        }
        if debug {
            self.warnings.push("the contents of updates are logged (DEBUG)".to_owned());
        }
        let (gate, origins) = self.gate(o, demo);
        let cleanup_frequency =
            self.value("HISTORY_CLEANUP_FREQUENCY", &o.history_cleanup_frequency, values::frequency);
        let cleanup_frequency = cleanup_frequency.unwrap_or(CLEANUP_FREQUENCY_DEFAULT);
        let retention = self.retention(o, cleanup_frequency);
        let settings = self.settings(o, demo, debug);
        let log_level = self.value("LOG_LEVEL", &o.log_level, |text| {
            let known = ["error", "warn", "info", "debug", "trace"].contains(&text);
            text.parse().ok().filter(|_| known).ok_or("error, warn, info, debug or trace".to_owned())
        });
        let log_format = self.value("LOG_FORMAT", &o.log_format, |text| match text {
            "TEXT" => Ok(LogFormat::Text),
            "JSON" => Ok(LogFormat::Json),
            "FLUENTD" => Ok(LogFormat::Fluentd),
            _ => Err("TEXT, JSON or FLUENTD".to_owned()),
        });
        let history_sync = self.value("HISTORY_SYNC", &o.history_sync, |text| match text {
            "always" => Ok(HistorySync::Always),
            "interval" => Ok(HistorySync::Interval),
            "never" => Ok(HistorySync::Never),
            _ => Err("always, interval or never".to_owned()),
        });
        let default_level = if debug { tracing::Level::DEBUG } else { tracing::Level::INFO };
        let path = o.db_path.as_deref().filter(|path| !path.is_empty()).unwrap_or(DB_PATH_DEFAULT);
        let history_file: Option<PathBuf> = (path != MEMORY).then(|| path.into());
        let metrics = self.metrics(o, history_file.clone());
        let settings = Settings { metrics, ..settings(gate?, origins)? };
        Some(Config {
            history_file,
            history_sync: history_sync.unwrap_or_default(),
            retention,
            cleanup_frequency,
            demo,
            settings,
            log_level: log_level.unwrap_or(default_level),
            log_format: log_format.unwrap_or(LogFormat::Text),
            warnings: Vec::new(),
        })
    }

    /// All settings except the gate; the returned function takes the gate.
    fn settings(
        &mut self,
        o: &Options,
        demo: bool,
        debug: bool,
    ) -> impl FnOnce(GateSettings, KeyOrigins) -> Option<Settings> + use<> {
        let tls = self.certificates(o);
        let address = self.address(o, demo, tls.is_some());
        let mut duration_ms = |name, given: &Option<String>, default_ms| {
            self.value(name, given, values::duration_ms).unwrap_or(default_ms)
        };
        let heartbeat_ms = duration_ms("HEARTBEAT_INTERVAL", &o.heartbeat_interval, 15_000);
        let header_ms = duration_ms("HEADER_TIMEOUT", &o.header_timeout, 10_000);
        let read_ms = duration_ms("READ_TIMEOUT", &o.read_timeout, 0);
        let write_ms = duration_ms("DISPATCH_TIMEOUT", &o.dispatch_timeout, 30_000);
        let response_ms = duration_ms("WRITE_TIMEOUT", &o.write_timeout, 0);
        let drain_ms = duration_ms("DRAIN_TIMEOUT", &o.drain_timeout, 10_000);
        let (buffer_min, buffer_max) = SUBSCRIBER_BUFFER_RANGE;
        let buffer = self.value("SUBSCRIBER_BUFFER", &o.subscriber_buffer, |text| {
            values::bytes(text, buffer_min, buffer_max)
        });
        let trusts_proxy =
            self.value("USE_FORWARDED_HEADERS", &o.use_forwarded_headers, values::switch).unwrap_or(false);
        let access_log = self.value("ACCESS_LOG", &o.access_log, values::switch).unwrap_or(false);
        let size = self.size(o);
        let per_client = self.per_client(o);
        move |gate: GateSettings, origins| {
            let Size { cpus, connections_max } = size?;
            Some(Settings {
                address,
                tls,
                cpus,
                key_sets: origins.sets,
                key_files: origins.files,
                shard: ShardSettings {
                    heartbeat_ms,
                    dispatch_timeout_ms: write_ms,
                    subscriber_buffer_bytes: buffer.map_or(SUBSCRIBER_BUFFER_DEFAULT, |bytes| bytes as usize),
                    tail: TailBounds::default(),
                    tracks_subscriptions: gate.subscriptions,
                },
                gate,
                timeouts: Timeouts { header_ms, read_ms, write_ms, response_ms },
                drain_ms,
                log_updates: debug,
                access_log,
                trusts_proxy,
                connections_max,
                per_client,
                metrics: None,
            })
        }
    }

    fn address(&mut self, o: &Options, demo: bool, is_tls: bool) -> SocketAddr {
        let default_port = match is_tls {
            _ if demo => 3_000,
            true => 443,
            false => 80,
        };
        let default = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, default_port));
        self.value("ADDR", &o.addr, values::address).unwrap_or(default)
    }

    fn per_client(&mut self, o: &Options) -> PerClient {
        let mut count = |name, given: &Option<String>| {
            let count = self.value(name, given, |text| values::number(text, 0, u64::from(u32::MAX)));
            count.map_or(0, |count| count as u32)
        };
        PerClient {
            connections_per_address: count("MAX_CONNECTIONS_PER_ADDRESS", &o.max_connections_per_address),
            subscriptions_per_token: count("MAX_SUBSCRIPTIONS_PER_TOKEN", &o.max_subscriptions_per_token),
        }
    }

    /// The metrics need no token: on an unspecified address, any host that reaches it can read
    /// them.
    fn metrics(&mut self, o: &Options, history_file: Option<PathBuf>) -> Option<MetricsSettings> {
        let address = self.value("METRICS_ADDR", &o.metrics_addr, values::address)?;
        if address.ip().is_unspecified() {
            self.warnings.push(format!(
                "METRICS_ADDR={address} is every address of this host, and whoever reaches it can read the metrics: let a firewall \
                 keep strangers out, or name one address"
            ));
        }
        Some(MetricsSettings { address, history_file })
    }

    fn size(&mut self, o: &Options) -> Option<Size> {
        let connections_max =
            self.value("MAX_CONNECTIONS", &o.max_connections, |text| values::number(text, 1, u64::MAX));
        let connections_max = connections_max.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        Some(Size { cpus: self.cpus(o)?, connections_max })
    }

    fn gate(&mut self, o: &Options, demo: bool) -> (Option<GateSettings>, KeyOrigins) {
        let authorization = self.value("AUTHORIZATION", &o.authorization, |text| match text {
            "selectors" => Ok(Authorization::Selectors),
            "targets" => Ok(Authorization::Targets),
            _ => Err("selectors or targets".to_owned()),
        });
        let anonymous = self.value("ALLOW_ANONYMOUS", &o.allow_anonymous, values::switch);
        let allow_anonymous = anonymous.unwrap_or(demo);
        if demo && allow_anonymous {
            self.warnings.push("subscribers without a token are allowed (demo mode)".to_owned());
        }
        let cors = self.value("CORS_ALLOWED_ORIGINS", &o.cors_allowed_origins, |text| {
            Cors::parse(text).map_err(|error| error.to_string())
        });
        let publish_origins = self.value("PUBLISH_ALLOWED_ORIGINS", &o.publish_allowed_origins, |text| {
            OriginList::parse(text).map_err(|error| error.to_string())
        });
        let cookie_name = self.value("COOKIE_NAME", &o.cookie_name, values::cookie_name);
        let body_bytes_max =
            self.value("MAX_BODY_SIZE", &o.max_body_size, |text| values::bytes(text, 1, BODY_BYTES_LIMIT));
        let selectors_max =
            self.value("MAX_SELECTORS", &o.max_selectors, |text| values::number(text, 1, SELECTORS_LIMIT));
        let compress = self.value("COMPRESS", &o.compress, values::switch);
        let subscriptions = self.value("SUBSCRIPTIONS", &o.subscriptions, values::switch).unwrap_or(false);
        if subscriptions && authorization == Some(Authorization::Targets) {
            let expected = "nothing or 0 with AUTHORIZATION=targets, whose tokens cannot name subscriptions";
            self.error("SUBSCRIPTIONS", o.subscriptions.clone(), expected.to_owned());
        }
        let Keys { publisher, subscriber, origins } = self.keys(o, demo);
        let authorization = authorization.unwrap_or_default();
        let cookie_name = cookie_name.unwrap_or_else(|| COOKIE_NAME.to_owned());
        let demo = demo.then(|| Arc::new(Demo::new(authorization, &cookie_name)));
        let gate = publisher.zip(subscriber).map(|(publisher_key, subscriber_key)| GateSettings {
            authorization,
            allow_anonymous,
            publisher_key,
            subscriber_key,
            cors: cors.unwrap_or_default(),
            publish_origins: publish_origins.unwrap_or_default(),
            cookie_name,
            selectors_max: selectors_max.map_or(SELECTORS_MAX_DEFAULT, |count| count as usize),
            body_bytes_max: body_bytes_max.unwrap_or(BODY_BYTES_MAX_DEFAULT as u64),
            compress: compress.unwrap_or(true),
            demo,
            subscriptions,
        });
        (gate, origins)
    }

    fn retention(&mut self, o: &Options, cleanup_frequency: f64) -> Retention {
        let unbounded = |text: &str| values::number(text, 0, u64::MAX);
        let retention = Retention {
            updates_max: self.value("HISTORY_SIZE", &o.history_size, unbounded).unwrap_or(0),
            bytes_max: self
                .value("HISTORY_MAX_BYTES", &o.history_max_bytes, |text| values::bytes(text, 0, u64::MAX))
                .unwrap_or(0),
            age_max_ms: self.value("HISTORY_MAX_AGE", &o.history_max_age, values::age_ms).unwrap_or(0),
        };
        let in_memory = o.db_path.as_deref() == Some(MEMORY);
        if in_memory {
            self.warnings.push("the history is kept in memory: it does not survive a restart".to_owned());
        }
        let place = if in_memory { "memory" } else { "the disk" };
        if retention.is_unbounded() {
            self.warnings.push(format!(
                "nothing bounds the history, it grows until {place} is full: set HISTORY_SIZE, HISTORY_MAX_BYTES or \
                 HISTORY_MAX_AGE"
            ));
        } else if cleanup_frequency == 0.0 {
            self.warnings.push(format!(
                "the history is never cleaned up (HISTORY_CLEANUP_FREQUENCY=0), it grows until {place} is full"
            ));
            return Retention::default();
        }
        retention
    }

    fn cpus(&mut self, o: &Options) -> Option<Vec<usize>> {
        let available = self.environment.cpus;
        let listed = self.value("CPUS", &o.cpus, |text| values::cpus(text, available));
        let mut cpus = listed.unwrap_or_else(|| available.to_vec());
        let most = cpus.len() as u64;
        if let Some(shards) = self.value("SHARDS", &o.shards, |text| values::number(text, 1, most)) {
            cpus.truncate(shards as usize);
        }
        (!cpus.is_empty()).then_some(cpus)
    }

    /// Parses one value; `None` if it is not given or not valid. An empty value counts as not
    /// given.
    fn value<T>(
        &mut self,
        name: &'static str,
        given: &Option<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = given.as_deref().filter(|text| !text.is_empty())?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.error(name, Some(text.to_owned()), expected);
                None
            }
        }
    }

    fn error(&mut self, name: &'static str, value: Option<String>, expected: String) {
        // An invalid URL may still contain a secret.
        let value = value.filter(|text| !(name.ends_with("_URL") && text.contains(['@', '?', '#'])));
        self.errors.push(ConfigError { name, value, expected });
    }
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
