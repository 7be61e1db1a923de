//! `petasos health`: asks a hub whether it is ready, for probes without a shell or curl.
//!
//! Prints one sentence. Exit status: 0 ready, 1 not ready, 2 wrong call or settings. The hub's
//! certificate is for the name of its host, not for the loopback address, where it is not checked.

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use url::Url;

use super::output::{USAGE, complain, written};
use super::serve::with_environment;
use crate::config::{Config, ListenAddress, Options};
use crate::error_text::chain;
use crate::mercure::names::READY_PATH;
use crate::services::health::{HealthError, ask};

/// Checks whether a hub is ready, and prints one sentence. Exits 0 when the response is a 200, 1
/// when it is another status or there is no response.
#[derive(Args)]
pub(crate) struct HealthArgs {
    /// URL to request, `http` or `https`; /readyz when it has no path [default: the hub with these
    /// settings (ADDR, CERT_FILE, ACME_HOSTS) on this host]
    #[arg(value_name = "URL", value_parser = parsed)]
    url: Option<Url>,
    /// Accept any certificate
    #[arg(long)]
    insecure: bool,
    /// Time limit for the response
    #[arg(long, value_name = "DURATION", default_value = "3s")]
    timeout: humantime::Duration,
    #[command(flatten)]
    options: Options,
}

fn parsed(text: &str) -> Result<Url, String> {
    let known = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let mut url = known.ok_or("expected a URL such as http://localhost:3000/readyz")?;
    if url.path() == "/" {
        url.set_path(READY_PATH);
    }
    Ok(url)
}

/// Runs the command.
pub(crate) fn run(arguments: &HealthArgs) -> ExitCode {
    let (url, is_own) = match &arguments.url {
        Some(url) => (url.clone(), false),
        None => match with_environment(&arguments.options, Config::listen_address).and_then(own) {
            Ok(url) => (url, true),
            Err(code) => return code,
        },
    };
    let began = Instant::now();
    match ask(&url, arguments.insecure || is_own, *arguments.timeout) {
        Ok(()) => {
            let took_ms = began.elapsed().as_millis();
            let said = writeln!(io::stdout().lock(), "{} returned 200 after {took_ms} ms", shown(&url));
            written(said.map(|()| ExitCode::SUCCESS))
        }
        Err(why) => {
            let colon = if matches!(why, HealthError::NoResponse(_)) { ":" } else { "" };
            complain(format_args!("{}{colon} {}", shown(&url), chain(&why)));
            ExitCode::FAILURE
        }
    }
}

/// The URL as it may be printed: a user, a password and a query may be secrets.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    // A URL without a host, which has no user, was refused.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(url.query().map(|_| "********"));
    shown.into()
}

/// The address under which a hub that listens there can be asked on its own host.
fn own(listen_address: ListenAddress) -> Result<Url, ExitCode> {
    let mut address = listen_address.address;
    if address.port() == 0 {
        complain("health: ADDR leaves the port to the system; expected a URL");
        return Err(ExitCode::from(USAGE));
    }
    if address.ip().is_unspecified() {
        // Where a hub listens on all addresses, those of IPv4 are always among them.
        address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    }
    let scheme = if listen_address.is_tls { "https" } else { "http" };
    Url::parse(&format!("{scheme}://{address}{READY_PATH}")).map_err(|error| {
        complain(error);
        ExitCode::FAILURE
    })
}
