//! The command line: a scenario, the bars or the limit server, and the options of all.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand};

use crate::options::Common;
use crate::scenario::Scenario;

/// Load generator and judge for Mercure hubs and other SSE servers.
///
/// Without a scenario: the canonical run, which starts the hub and compares a closed fan-out to
/// 1,000 subscribers with the limit of this machine.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Exit status: 0 sound, 1 lost, duplicated, disordered, corrupted or misdelivered updates or a \
    missed bar, 2 the run could not be made or says nothing."
)]
pub(crate) struct Cli {
    /// The scenario, or the bars.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The options of every scenario.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// A scenario, or the bars.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One scenario.
    #[command(flatten)]
    Scenario(Scenario),
    /// Every figure that the hub promises, against its bar.
    Bars(BarsArgs),
    /// The limit server.
    #[command(hide = true)]
    LimitServer(LimitArgs),
}

/// The bars to run.
#[derive(Debug, Args)]
pub(crate) struct BarsArgs {
    /// Only the figures whose name contains this.
    #[arg(long)]
    pub(crate) only: Option<String>,
}

/// The limit server's own arguments.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Address to listen on.
    #[arg(long)]
    pub(crate) listen: SocketAddr,
}
