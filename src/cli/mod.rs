//! The commands. Exit status: 0 done, 1 failed or nothing matched, 2 wrong call or settings.

mod check;
mod config;
mod health;
mod history;
mod matching;
mod output;
mod serve;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Options;

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
    Config(Box<config::ConfigArgs>),
    /// Check whether this host suits the hub, and what to change
    Check(Box<check::CheckArgs>),
    /// Check whether a hub is ready
    Health(Box<health::HealthArgs>),
    /// Print a signed token (JWT)
    Token(Box<token::TokenArgs>),
    /// Inspect, verify, export or compact a history file
    History(history::HistoryArgs),
    /// Print the topics that a selector matches
    Match(matching::MatchArgs),
}

/// Runs the command line of this process; returns its exit status.
pub fn run() -> ExitCode {
    let line = CommandLine::parse();
    match line.command {
        None => serve::run(&line.options),
        Some(Command::Serve(options)) => serve::run(&options),
        Some(Command::Config(arguments)) => config::run(&arguments),
        Some(Command::Check(arguments)) => check::run(&arguments),
        Some(Command::Health(arguments)) => health::run(&arguments),
        Some(Command::Token(arguments)) => token::run(&arguments),
        Some(Command::History(arguments)) => history::run(&arguments),
        Some(Command::Match(arguments)) => matching::run(&arguments),
    }
}
