//! `petasos config`: the settings as the hub would run with them, and where each comes from.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use super::output::written;
use super::serve::with_environment;
use crate::config::{Config, Effective, IssuerSummary, Options};

/// Prints every setting with the value in force and its source: a flag, the environment, a file, or
/// the default; then the issuers of 1.0 tokens. Secrets are masked. Errors are listed as at a
/// start; the exit status is then 2.
#[derive(Args)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    options: Options,
    /// Print one JSON document instead of lines
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &ConfigArgs) -> ExitCode {
    match with_environment(&arguments.options, Config::read) {
        Ok(config) => {
            let settings = config.effective(&arguments.options);
            written(match arguments.json {
                true => print_json(&settings, &config),
                false => print(&settings, &config),
            })
        }
        Err(code) => code,
    }
}

fn print(settings: &[Effective], config: &Config) -> io::Result<ExitCode> {
    let name_width = settings.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut out = io::stdout().lock();
    for Effective { name, value, source, note } in settings {
        let source = source.to_string();
        let note = note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
        writeln!(out, "{name:name_width$}  {source:11}  {}{note}", value.as_deref().unwrap_or("-"))?;
    }
    for issuer in config.issuers() {
        writeln!(out, "issuer: {issuer}")?;
    }
    for warning in &config.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn print_json(settings: &[Effective], config: &Config) -> io::Result<ExitCode> {
    let setting = |row: &Effective| {
        let mut value = json!({ "value": row.value, "source": row.source.to_string() });
        if let Some(note) = &row.note {
            value["note"] = json!(note);
        }
        (row.name.to_owned(), value)
    };
    let settings: Map<String, Value> = settings.iter().map(setting).collect();
    let issuers: Vec<Value> = config.issuers().iter().map(issuer_value).collect();
    let protocol = config.protocol();
    let document = json!({
        "settings": settings,
        "dialects": protocol.split(',').collect::<Vec<_>>(),
        "issuers": issuers,
        "warnings": config.warnings,
    });
    let mut out = io::stdout().lock();
    writeln!(out, "{document:#}")?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// An issuer as JSON.
pub(super) fn issuer_value(issuer: &IssuerSummary) -> Value {
    let IssuerSummary { name, publisher, subscriber, is_advertised } = issuer;
    json!({ "issuer": name, "publisher": publisher, "subscriber": subscriber, "advertised": is_advertised })
}
