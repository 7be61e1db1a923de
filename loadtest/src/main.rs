//! `petasos-loadtest`: loads a Mercure hub and judges its deliveries, their speed, and their cost.
//!
//! One process, one thread, one epoll set. It shares no code with the hub, so it can judge any hub.
//!
//! `args` → `scenario` (the load) → `engine` (sockets) → `book` and `ledger` (deliveries and their
//! times) → `report`, `bars`.

mod about;
mod args;
mod bars;
mod binary;
mod book;
mod connection;
mod engine;
mod error_text;
mod ledger;
mod limit_ring;
mod limit_server;
mod load;
mod meter;
mod net;
mod options;
mod progress;
mod publisher;
mod record;
mod reference;
mod report;
mod rounds;
mod scenario;
mod server;
mod settings;
mod tls;
mod token;
mod wire;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
use bars::BarsError;
use error_text::chain;
use limit_server::LimitServerError;
use record::Record;
use report::ReportError;
use scenario::Scenario;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds of the canonical run.
const CANONICAL_ROUNDS: usize = 5;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {}", chain(&error));
            ExitCode::from(2)
        }
    }
}

/// Why the program cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
enum MainError {
    #[error(transparent)]
    LimitServer(#[from] LimitServerError),
    #[error(transparent)]
    Bars(#[from] BarsError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// True if everything was sound and every bar was met.
fn run(cli: Cli) -> Result<bool, MainError> {
    let mut common = cli.common;
    let record = || Record::begin(&common);
    match cli.command {
        Some(Command::LimitServer(args)) => {
            limit_server::run(args.listen, common.fault, common.ring)?;
            Ok(true)
        }
        Some(Command::Bars(args)) => Ok(bars::run(&common, &record(), args.only.as_deref())?),
        Some(Command::Scenario(scenario)) => Ok(report::run(&common, &record(), &scenario)?),
        None => {
            let record = record();
            common.limit = true;
            common.rounds = common.rounds.or(Some(CANONICAL_ROUNDS));
            Ok(report::run(&common, &record, &Scenario::canonical())?)
        }
    }
}
