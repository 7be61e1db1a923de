//! `petasos health`: asks a hub whether it is ready, for the probes of containers that have neither a shell nor curl.
//!
//! Invariants: one request, to the very address, through no proxy and along no redirect; it ends within its time whatever
//! the other side does; one sentence, and 0 or 1 (2: the call or the settings are wrong). A hub's own certificate is for the
//! name of its host, not for the loopback address under which it asks itself: there it is not checked.

use std::fmt;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use petasos::config::{Config, Options, Place};
use petasos::limits::HEALTH_BODY_BYTES_MAX;
use petasos::protocol::names::READY_PATH;
use rustls::crypto::aws_lc_rs::default_provider;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use url::Url;

use super::serve::with_surroundings;
use super::{USAGE, complain, written};

/// Asks a hub whether it is ready. Says it in one sentence and exits 0 when the answer is a 200, 1 when it is another or none.
#[derive(Args)]
pub(crate) struct Arguments {
    /// What to ask, `http` or `https`; without a path, /readyz [default: the hub of these settings (ADDR, CERT_FILE, ACME_HOSTS), on this
    /// host]
    #[arg(value_name = "URL", value_parser = parsed)]
    url: Option<Url>,
    /// Take any certificate
    #[arg(long)]
    insecure: bool,
    /// How long the answer may take
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
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let (url, is_own) = match &arguments.url {
        Some(url) => (url.clone(), false),
        None => match with_surroundings(&arguments.options, Config::place).and_then(own) {
            Ok(url) => (url, true),
            Err(code) => return code,
        },
    };
    let began = Instant::now();
    match ask(&url, arguments, is_own) {
        Ok(()) => {
            let took_ms = began.elapsed().as_millis();
            let said = writeln!(io::stdout().lock(), "{} answers 200, after {took_ms} ms", shown(&url));
            written(said.map(|()| ExitCode::SUCCESS))
        }
        Err(why) => {
            complain(format_args!("{} {why}", shown(&url)));
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
fn own(place: Place) -> Result<Url, ExitCode> {
    let mut address = place.address;
    if address.port() == 0 {
        complain("health: ADDR leaves the port to the system; expected a URL");
        return Err(ExitCode::from(USAGE));
    }
    if address.ip().is_unspecified() {
        // Where a hub listens on all addresses, those of IPv4 are always among them.
        address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    }
    let scheme = if place.is_tls { "https" } else { "http" };
    Url::parse(&format!("{scheme}://{address}{READY_PATH}")).map_err(|error| {
        complain(error);
        ExitCode::FAILURE
    })
}

/// Why a hub is not ready, or cannot be asked; goes on where its URL ends.
enum Unwell {
    Answer(u16, String),
    NoAnswer(ureq::Error),
    NoAuthorities,
}

impl fmt::Display for Unwell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(status, text) if text.is_empty() => write!(f, "answers {status}"),
            Self::Answer(status, text) => write!(f, "answers {status}: {text}"),
            Self::NoAnswer(error) => write!(f, "does not answer: {error}"),
            Self::NoAuthorities => f.write_str(
                "cannot be trusted: this host has no certificates of authorities (the package ca-certificates, or \
                 SSL_CERT_FILE; or --insecure)",
            ),
        }
    }
}

fn ask(url: &Url, arguments: &Arguments, is_own: bool) -> Result<(), Unwell> {
    let mut config = Agent::config_builder()
        .timeout_global(Some(*arguments.timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("petasos/", env!("CARGO_PKG_VERSION")));
    if url.scheme() == "https" {
        config = config.tls_config(tls(arguments.insecure || is_own)?);
    }
    let agent = config.build().new_agent();
    let mut answer = agent.get(url.as_str()).call().map_err(Unwell::NoAnswer)?;
    match answer.status().as_u16() {
        200 => Ok(()),
        status => {
            // The status says enough where there is no text behind it.
            let text = answer.body_mut().with_config().limit(HEALTH_BODY_BYTES_MAX).read_to_string();
            let text = text.unwrap_or_default();
            let first_line = text.lines().next().unwrap_or_default().trim();
            // It goes to a terminal.
            Err(Unwell::Answer(status, first_line.chars().filter(|letter| !letter.is_control()).collect()))
        }
    }
}

fn tls(takes_any: bool) -> Result<TlsConfig, Unwell> {
    let config = TlsConfig::builder().unversioned_rustls_crypto_provider(Arc::new(default_provider()));
    if takes_any {
        return Ok(config.disable_verification(true).build());
    }
    // What cannot be read among them is as good as absent.
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return Err(Unwell::NoAuthorities);
    }
    let authorities = found.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    Ok(config.root_certs(RootCerts::from(authorities)).build())
}
