//! `petasos check`: the running system against what the hub needs, and what to change.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::config::issuer_value;
use super::output::written;
use super::serve::with_environment;
use crate::config::{Config, Options, Size};
use crate::limits::CONNECTIONS_CHECKED_DEFAULT;
use crate::ops::host::{Finding, HostFacts, HostNeeds, Verdict, judge};

/// Checks this host and prints one line per check: `ok`, `warn` or `fail`, the value found, the
/// value expected, and what to change. Exits 1 when the hub cannot run as configured; warnings do
/// not count.
#[derive(Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    options: Options,
    /// Number of connections that the host should support [default: MAX_CONNECTIONS; without it,
    /// 10000, which is never a reason to fail]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    connections: Option<u64>,
    /// Print one JSON document instead of lines
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &CheckArgs) -> ExitCode {
    // The host is checked also where the keys of the hub are not at hand.
    let read = with_environment(&arguments.options, |options, environment| {
        Ok((Config::size(options, environment)?, Config::read(options, environment).ok()))
    });
    match read {
        Ok((size, config)) => {
            let wanted = wanted(&size, arguments.connections);
            let findings = judge(&HostFacts::read(), wanted);
            written(print(wanted, &findings, config.as_ref(), arguments.json))
        }
        Err(code) => code,
    }
}

fn wanted(size: &Size, connections: Option<u64>) -> HostNeeds {
    let configured = size.connections_max.and_then(|count| u64::try_from(count).ok());
    let asked = connections.or(configured);
    HostNeeds {
        shards: size.cpus.len() as u64,
        connections: asked.unwrap_or(CONNECTIONS_CHECKED_DEFAULT),
        is_asked_for: asked.is_some(),
        io: size.io,
    }
}

fn print(
    wanted: HostNeeds,
    findings: &[Finding],
    config: Option<&Config>,
    as_json: bool,
) -> io::Result<ExitCode> {
    let fails = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    let mut out = io::stdout().lock();
    if as_json {
        let mut document = json!({
            "shards": wanted.shards,
            "connections": wanted.connections,
            "allows_the_hub": !fails,
            "findings": findings.iter().map(as_value).collect::<Vec<_>>(),
        });
        if let Some(config) = config {
            document["dialects"] = config.protocol().split(',').collect();
            document["issuers"] = config.issuers().iter().map(issuer_value).collect();
        }
        writeln!(out, "{document:#}")?;
    } else {
        for finding in findings {
            writeln!(out, "{finding}")?;
        }
        if let Some(config) = config {
            writeln!(out, "note  dialects: {}", config.protocol())?;
            config.issuers().iter().try_for_each(|issuer| writeln!(out, "note  issuer: {issuer}"))?;
        }
    }
    out.flush()?;
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn as_value(finding: &Finding) -> serde_json::Value {
    let Finding { name, verdict, found, expected, change } = finding;
    json!({
        "name": name,
        "verdict": verdict.to_string(),
        "found": found,
        "expected": expected,
        "change": change,
    })
}
