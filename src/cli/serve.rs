//! `petasos serve`: reads the settings, starts the logs, runs the hub.

use std::net::SocketAddr;
use std::process::ExitCode;

use tracing::{error, info, warn};

use super::output::{USAGE, complain};
use crate::config::{Config, ConfigError, Environment, Options, misspelled};
use crate::error_text::chain;
use crate::io::allocator;
use crate::logging;
use crate::ops::host;
use crate::server;

/// Runs the hub until a signal ends it.
pub(crate) fn run(options: &Options) -> ExitCode {
    // The allocator asks for huge pages, and a few connections would then dirty megabytes. Old
    // kernels refuse this, which costs memory and nothing else.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    // Without it, shards give memory back themselves, which delays their subscribers.
    let _ = allocator::start_purger();
    match with_environment(options, Config::read) {
        Ok(config) => serve(&config),
        Err(code) => code,
    }
}

/// Reads settings in the environment of this process; reports what is wrong with either.
pub(super) fn with_environment<T>(
    options: &Options,
    read: impl FnOnce(&Options, &Environment<'_>) -> Result<T, Vec<ConfigError>>,
) -> Result<T, ExitCode> {
    let cpus = host::own_cpus().map_err(|error| {
        complain(format_args!("cannot tell which cores this process may run on: {error}"));
        ExitCode::FAILURE
    })?;
    let variables: Vec<_> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let memory = host::MemoryLimit::read();
    let environment = Environment {
        read_file: &host::read_key_file,
        cpus: &cpus,
        memory: memory.as_ref(),
        variables: &variables,
    };
    read(options, &environment).map_err(|errors| {
        complain(format_args!("{} in the settings:", count(errors.len(), "error")));
        errors.iter().for_each(|error| complain(format_args!("  {error}")));
        // What is missing may be there under another name.
        misspelled(&variables).iter().for_each(|warning| complain(format_args!("  {warning}")));
        ExitCode::from(USAGE)
    })
}

fn serve(config: &Config) -> ExitCode {
    let logs = logging::start(config.log_level, config.log_format, config.settings.access_log);
    let _guard = match logs {
        Ok(logs) => logs,
        Err(error) => {
            complain(format_args!("{error}"));
            return ExitCode::FAILURE;
        }
    };
    let shards = config.settings.cpus.len();
    let cpus = format!("{:?}", config.settings.cpus);
    let authorization = config.settings.api.authorization;
    let retention = config.retention;
    let warnings = &config.warnings;
    let place =
        config.history_file.as_ref().map_or_else(|| ":memory:".into(), |path| path.display().to_string());
    let memory_from = config.memory_note.as_deref().unwrap_or("MEMORY_MAX");
    let result = server::start::run(
        &config.settings,
        || config.open_history(),
        |address| {
            info!(
                version = env!("CARGO_PKG_VERSION"),
                %address,
                tls = if config.settings.tls.is_some() { "yes" } else { "no" },
                shards,
                cpus,
                ?authorization,
                history = place,
                history_sync = ?config.history_sync,
                history_size = retention.updates_max,
                history_max_bytes = retention.bytes_max,
                history_max_age_s = retention.age_max_ms / 1_000,
                memory_max = config.settings.memory_max,
                memory_max_from = memory_from,
                "petasos serves"
            );
            if config.demo {
                let scheme = if config.settings.tls.is_some() { "https" } else { "http" };
                info!("the debugger is at {scheme}://{}/", reachable(address));
            }
            warnings.iter().for_each(|warning| warn!("{warning}"));
        },
    );
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            error!("{}", chain(&cause));
            ExitCode::FAILURE
        }
    }
}

/// An address as a browser of this host asks for it.
fn reachable(address: SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true => format!("localhost:{}", address.port()),
        false => address.to_string(),
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
