//! `petasos check`: the running system against what the hub needs, and what to change.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

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
    match with_environment(&arguments.options, Config::size) {
        Ok(size) => {
            let wanted = wanted(&size, arguments.connections);
            let findings = judge(&HostFacts::read(), wanted);
            written(print(wanted, &findings, arguments.json))
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
    }
}

fn print(wanted: HostNeeds, findings: &[Finding], as_json: bool) -> io::Result<ExitCode> {
    let fails = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    let mut out = io::stdout().lock();
    if as_json {
        let document = json!({
            "shards": wanted.shards,
            "connections": wanted.connections,
            "allows_the_hub": !fails,
            "findings": findings.iter().map(as_value).collect::<Vec<_>>(),
        });
        writeln!(out, "{document:#}")?;
    } else {
        for finding in findings {
            writeln!(out, "{finding}")?;
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
