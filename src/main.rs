//! The `petasos` binary: command line → [`Config`] → [`petasos::runtime::run`].

mod cli;
mod logging;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use petasos::config::Options;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A hub for the Mercure protocol: publishers POST updates, subscribers receive them as
/// Server-Sent Events.
///
/// Every setting is available as a flag and as an environment variable.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 110)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Run the hub (the default)
    Serve(Box<Options>),
    /// Print the settings in force and the source of each
    Config(Box<cli::config::ConfigArgs>),
    /// Check whether this host suits the hub, and what to change
    Check(Box<cli::check::CheckArgs>),
    /// Check whether a hub is ready
    Health(Box<cli::health::HealthArgs>),
    /// Print a signed token (JWT)
    Token(cli::token::TokenArgs),
    /// Inspect, verify, export or compact a history file
    History(cli::history::HistoryArgs),
    /// Print the topics that a selector matches
    Match(cli::matching::MatchArgs),
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    match line.command {
        None => cli::serve::run(&line.options),
        Some(Command::Serve(options)) => cli::serve::run(&options),
        Some(Command::Config(arguments)) => cli::config::run(&arguments),
        Some(Command::Check(arguments)) => cli::check::run(&arguments),
        Some(Command::Health(arguments)) => cli::health::run(&arguments),
        Some(Command::Token(arguments)) => cli::token::run(&arguments),
        Some(Command::History(arguments)) => cli::history::run(&arguments),
        Some(Command::Match(arguments)) => cli::matching::run(&arguments),
    }
}
