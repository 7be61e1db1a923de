//! Puts the value of each setting into the configuration.
//!
//! Every setting is read before an error ends it, so that all errors are listed.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::access::{AccessSettings, access};
use super::certificates::certificates;
use super::configuration::{Config, ListenAddress, Size};
use super::environment::Environment;
use super::error::ConfigError;
use super::keys::{KeyOrigins, Keys, keys};
use super::names::misspelled;
use super::options::Options;
use super::protocol::{dialects, has_no_keys};
use super::reader::Reader;
use super::settings::{authorization, cores, history, limits, listening, logs, metrics};
use super::written;
use crate::api::demo::{Demo, DemoHub};
use crate::api::handler::{ApiSettings, SelectorBounds};
use crate::history::Retention;
use crate::hub::shard::ShardSettings;
use crate::hub::tail::TailBounds;
use crate::limits::{MEMORY_PARTS, MEMORY_SHARE_MIN, REQUEST_TARGET_BYTES_MAX};
use crate::mercure::audience::Authorization;
use crate::ops::host::MemoryLimit;
use crate::ops::metrics::MetricsSettings;
use crate::server::permits::PerClient;
use crate::server::settings::Settings;
use crate::server::timeouts::Timeouts;
use crate::services::reload::IssuersFile;

/// `DEMO` and `DEBUG`, on which the defaults of other settings depend.
#[derive(Clone, Copy)]
struct Mode {
    /// Also set by `DEBUG`.
    demo: bool,
    debug: bool,
}

impl Config {
    /// Reads every setting.
    ///
    /// # Errors
    /// Every [`ConfigError`].
    pub fn read(options: &Options, environment: &Environment<'_>) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(&options.texts, environment);
        let config = config(&mut reader);
        let (config, mut warnings) = reader.finish(config)?;
        warnings.extend(misspelled(environment.variables));
        Ok(Self { warnings, ..config })
    }

    /// Reads only the settings of the size: checking a host needs no key.
    ///
    /// # Errors
    /// Every [`ConfigError`] in them.
    pub fn size(options: &Options, environment: &Environment<'_>) -> Result<Size, Vec<ConfigError>> {
        let mut reader = Reader::new(&options.texts, environment);
        let size = size(&mut reader);
        reader.finish(size).map(|(size, _)| size)
    }

    /// Reads only the address settings: a health check needs no key.
    ///
    /// # Errors
    /// Every [`ConfigError`] in these settings.
    pub fn listen_address(
        options: &Options,
        environment: &Environment<'_>,
    ) -> Result<ListenAddress, Vec<ConfigError>> {
        let mut reader = Reader::new(&options.texts, environment);
        let mode = mode(&mut reader);
        let is_tls = certificates(&mut reader).is_some();
        let address = address(&mut reader, mode, is_tls);
        reader.finish(Some(ListenAddress { address, is_tls })).map(|(address, _)| address)
    }
}

fn config(reader: &mut Reader<'_>) -> Option<Config> {
    let mode = mode(reader);
    if mode.demo {
        reader.warn("demo mode: never in production");
    }
    if mode.debug {
        reader.warn("the contents of updates are logged (DEBUG)");
    }
    let tls = certificates(reader);
    let listen = ListenAddress { address: address(reader, mode, tls.is_some()), is_tls: tls.is_some() };
    let (api, key_origins, of_issuers) = api(reader, mode, listen);
    let OfIssuers { issuers_private, issuers_file } = of_issuers;
    let cleanup_frequency = reader.value(&history::HISTORY_CLEANUP_FREQUENCY);
    let history_file = reader.value(&history::DB_PATH);
    let retention = retention(reader, cleanup_frequency, history_file.is_none());
    let settings = settings(reader, mode, api, key_origins);
    let settings =
        settings.map(|settings| Settings { address: listen.address, tls, issuers_file, ..settings });
    let default_level = if mode.debug { tracing::Level::DEBUG } else { tracing::Level::INFO };
    let log_level = reader.given(&logs::LOG_LEVEL).unwrap_or(default_level);
    let log_format = reader.value(&logs::LOG_FORMAT);
    let history_sync = reader.value(&history::HISTORY_SYNC);
    let history_accepts_loss = reader.value(&history::HISTORY_ACCEPT_LOSS);
    if history_accepts_loss {
        reader.warn(
            "a history that has lost updates is accepted (HISTORY_ACCEPT_LOSS): unset it after this start",
        );
    }
    let metrics = metrics(reader, history_file.clone());
    Some(Config {
        settings: Settings { metrics, history_file: history_file.clone(), ..settings? },
        history_file,
        history_sync,
        history_accepts_loss,
        retention,
        cleanup_frequency,
        memory_note: memory_note(reader),
        issuers_private,
        demo: mode.demo,
        log_level,
        log_format,
        warnings: Vec::new(),
    })
}

fn mode(reader: &mut Reader<'_>) -> Mode {
    let debug = reader.value(&listening::DEBUG);
    let demo = reader.value(&listening::DEMO) || debug;
    Mode { demo, debug }
}

/// All settings of the hub except those of the listener, of the metrics and of the history.
fn settings(
    reader: &mut Reader<'_>,
    mode: Mode,
    api: ApiSettings,
    key_origins: KeyOrigins,
) -> Option<Settings> {
    let heartbeat_ms = reader.value(&limits::HEARTBEAT_INTERVAL);
    let timeouts = Timeouts {
        header_ms: reader.value(&limits::HEADER_TIMEOUT),
        read_ms: reader.value(&limits::READ_TIMEOUT),
        write_ms: reader.value(&limits::DISPATCH_TIMEOUT),
        response_ms: reader.value(&limits::WRITE_TIMEOUT),
    };
    let drain_ms = reader.value(&limits::DRAIN_TIMEOUT);
    let subscriber_buffer_bytes = reader.value(&limits::SUBSCRIBER_BUFFER);
    let trusts_proxy = reader.value(&listening::USE_FORWARDED_HEADERS);
    let access_log = reader.value(&logs::ACCESS_LOG);
    let size = size(reader);
    let per_client = PerClient {
        connections_per_address: reader.value(&limits::MAX_CONNECTIONS_PER_ADDRESS),
        subscriptions_per_token: reader.value(&limits::MAX_SUBSCRIPTIONS_PER_TOKEN),
    };
    let memory_max = memory_max(reader);
    let Size { cpus, connections_max, io } = size?;
    if api.body_bytes_max > memory_max / MEMORY_PARTS {
        reader.warn(format!(
            "MAX_BODY_SIZE is more than an eighth of MEMORY_MAX ({}): such bodies are refused with 503",
            written::size(memory_max)
        ));
    }
    Some(Settings {
        address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        tls: None,
        cpus,
        io,
        key_sets: key_origins.sets,
        key_files: key_origins.files,
        issuers_file: None,
        shard: ShardSettings {
            heartbeat_ms,
            dispatch_timeout_ms: timeouts.write_ms,
            subscriber_buffer_bytes,
            tail: TailBounds::default(),
            tracks_subscriptions: api.subscriptions,
        },
        api,
        timeouts,
        drain_ms,
        log_updates: mode.debug,
        access_log,
        trusts_proxy,
        connections_max,
        memory_max,
        per_client,
        metrics: None,
        history_file: None,
    })
}

fn address(reader: &mut Reader<'_>, mode: Mode, is_tls: bool) -> SocketAddr {
    let default_port = match is_tls {
        _ if mode.demo => 3_000,
        true => 443,
        false => 80,
    };
    let default = SocketAddr::from((Ipv6Addr::UNSPECIFIED, default_port));
    reader.given(&listening::ADDR).unwrap_or(default)
}

fn size(reader: &mut Reader<'_>) -> Option<Size> {
    let connections_max = reader.given(&limits::MAX_CONNECTIONS);
    let available = reader.environment.cpus;
    let mut cpus = reader.given(&cores::CPUS).unwrap_or_else(|| available.to_vec());
    if let Some(shards) = reader.given_with(&cores::SHARDS, &cpus) {
        cpus.truncate(shards);
    }
    let io = reader.value(&cores::IO);
    (!cpus.is_empty()).then_some(Size { cpus, connections_max, io })
}

/// `MEMORY_MAX`; by default what limits the process, less a share for the kernel.
fn memory_max(reader: &mut Reader<'_>) -> u64 {
    let limit = reader.environment.memory;
    let given = reader.given(&limits::MEMORY_MAX);
    if let (Some(given), Some(MemoryLimit { bytes, source })) = (given, limit)
        && given > *bytes
    {
        let bytes = written::size(*bytes);
        reader.warn(format!("MEMORY_MAX is more than the memory of {source}, {bytes}"));
    }
    given.or_else(|| limit.map(|limit| memory_of(limit.bytes))).unwrap_or(u64::MAX)
}

/// What the default of `MEMORY_MAX` comes from, if that is its value.
fn memory_note(reader: &Reader<'_>) -> Option<String> {
    let MemoryLimit { bytes, source } =
        reader.environment.memory.filter(|_| reader.text(&limits::MEMORY_MAX).is_none())?;
    Some(format!("from the {} of {source}", written::size(*bytes)))
}

/// The memory of a hub whose process may have `bytes`, in whole MiB. The share that is left out is
/// for what the hub does not count: code, page tables, the cache of files, received bytes.
fn memory_of(bytes: u64) -> u64 {
    let share = (bytes / MEMORY_PARTS).max(MEMORY_SHARE_MIN).min(bytes / 2);
    ((bytes - share) >> 20).max(1) << 20
}

/// What is needed of the issuers besides the settings of the handler.
struct OfIssuers {
    /// `ISSUER_PRIVATE_ADDRESSES`.
    issuers_private: bool,
    issuers_file: Option<IssuersFile>,
}

/// The settings of the handler, and the sources of its keys.
fn api(reader: &mut Reader<'_>, mode: Mode, listen: ListenAddress) -> (ApiSettings, KeyOrigins, OfIssuers) {
    let dialects = dialects(reader, mode.demo);
    let authorization = dialects.legacy_authorization().unwrap_or_default();
    let allow_anonymous = reader.given(&authorization::ALLOW_ANONYMOUS).unwrap_or(mode.demo);
    if mode.demo && allow_anonymous {
        reader.warn("subscribers without a token are allowed (demo mode)");
    }
    let cors = reader.value(&listening::CORS_ALLOWED_ORIGINS);
    let publish_origins = reader.value(&authorization::PUBLISH_ALLOWED_ORIGINS);
    let cookie_name = reader.value(&authorization::COOKIE_NAME);
    let body_bytes_max = reader.value(&limits::MAX_BODY_SIZE);
    let selectors = SelectorBounds {
        count_max: reader.value(&limits::MAX_SELECTORS),
        bytes_max: REQUEST_TARGET_BYTES_MAX,
    };
    let selectors_anonymous = SelectorBounds {
        count_max: selectors.count_max.min(reader.value(&limits::MAX_SELECTORS_ANONYMOUS)),
        bytes_max: reader.value(&limits::MAX_SELECTOR_BYTES_ANONYMOUS),
    };
    let compress = reader.value(&listening::COMPRESS);
    let subscriptions = reader.value(&listening::SUBSCRIPTIONS);
    if subscriptions && authorization == Authorization::Targets && !dialects.has_draft08() {
        let expected = "nothing or 0 with AUTHORIZATION=targets, whose tokens cannot name subscriptions. \
                        Beside draft 08 (PROTOCOL=04,08), those of draft 08 can";
        reader.error(&listening::SUBSCRIPTIONS, reader.text(&listening::SUBSCRIPTIONS), expected);
    }
    let Keys { publisher, subscriber, mut origins } = match dialects.legacy_authorization() {
        Some(_) => {
            let has_demo_key = mode.demo && has_no_keys(reader);
            keys(reader, has_demo_key)
        }
        None => Keys::default(),
    };
    let access = access(reader, dialects, mode.demo.then_some(listen), &cookie_name, &mut origins);
    let demo = mode.demo.then(|| {
        Arc::new(Demo::new(DemoHub {
            dialects,
            cookie_name: cookie_name.as_str().into(),
            access_token_cookie_name: access.cookie_name.as_str().into(),
            public_url: access.public_url.clone(),
            audience: access.resource_identifier.clone(),
            issuer: access.issuers.first().map(|issuer| issuer.name.clone()),
        }))
    });
    // A key that is missing is an error already.
    let api = ApiSettings {
        authorization,
        dialects,
        public_url: access.public_url,
        resource_identifier: access.resource_identifier,
        audiences: access.audiences,
        issuers: access.issuers,
        issuers_of_file: access.issuers_file.as_ref().map(|file| Arc::clone(&file.issuers)),
        allow_anonymous,
        publisher_key: publisher,
        subscriber_key: subscriber,
        cors,
        publish_origins,
        cookie_name,
        access_token_cookie_name: access.cookie_name,
        selectors,
        selectors_anonymous,
        body_bytes_max,
        compress,
        demo,
        subscriptions,
    };
    let AccessSettings { issuers_private, issuers_file, .. } = access;
    (api, origins, OfIssuers { issuers_private, issuers_file })
}

fn retention(reader: &mut Reader<'_>, cleanup_frequency: f64, in_memory: bool) -> Retention {
    let retention = Retention {
        updates_max: reader.value(&history::HISTORY_SIZE),
        bytes_max: reader.value(&history::HISTORY_MAX_BYTES),
        age_max_ms: reader.value(&history::HISTORY_MAX_AGE),
        ..Retention::default()
    };
    if in_memory {
        reader.warn("the history is kept in memory: it does not survive a restart");
    }
    let place = if in_memory { "memory" } else { "the disk" };
    if retention.is_unbounded() {
        reader.warn(format!(
            "nothing bounds the history, it grows until {place} is full: set HISTORY_SIZE, HISTORY_MAX_BYTES or \
             HISTORY_MAX_AGE"
        ));
    } else if cleanup_frequency == 0.0 {
        reader.warn(format!(
            "the history is never cleaned up (HISTORY_CLEANUP_FREQUENCY=0), it grows until {place} is full"
        ));
        return Retention::default();
    }
    retention
}

/// The metrics need no token: on an unspecified address, any host that reaches it can read them.
fn metrics(reader: &mut Reader<'_>, history_file: Option<PathBuf>) -> Option<MetricsSettings> {
    let address = reader.given(&metrics::METRICS_ADDR)?;
    if address.ip().is_unspecified() {
        reader.warn(format!(
            "METRICS_ADDR={address} listens on all addresses of this host. Anyone who can reach it can read the \
             metrics: restrict it with a firewall, or set one address"
        ));
    }
    Some(MetricsSettings { address, history_file })
}
