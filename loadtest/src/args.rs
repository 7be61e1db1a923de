//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::scenario::Scenario;
use crate::server::Subject;
use crate::wire::coding::Coding;
use crate::wire::request::Templates;

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

/// The options of every scenario.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Measurement")]
pub(crate) struct Common {
    /// Measure the hub at this URL instead of starting one.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The process of the server at --url: without it, no processor time and no memory.
    #[arg(long, global = true)]
    pub(crate) pid: Option<u32>,
    /// Measure these running hubs in turn with the first one; PID as for --pid.
    #[arg(long, global = true, num_args = 1.., value_name = "URL[,PID]")]
    pub(crate) compare: Vec<String>,
    /// The hub's binary [default: `petasos` beside this program, in target/dist, in target/release,
    /// or in PATH].
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) server: Option<PathBuf>,
    /// A further environment variable of the hub.
    #[arg(long, global = true, value_name = "NAME=VALUE")]
    pub(crate) server_env: Vec<String>,
    /// Folder in which a started hub keeps its history, for the scenarios that need a file; on a
    /// disk, if the disk is to be measured [default: the system's folder for temporary files].
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) scratch: Option<PathBuf>,
    /// The processor the server runs on.
    #[arg(long, global = true, default_value_t = 0, value_name = "CPU")]
    pub(crate) server_cpu: usize,
    /// The processor the generator runs on.
    #[arg(long, global = true, default_value_t = 1, value_name = "CPU")]
    pub(crate) client_cpu: usize,
    /// Subscribers ask for this coding; a server may send the stream without it.
    #[arg(long, global = true, value_enum, value_name = "CODING")]
    pub(crate) compress: Option<Coding>,
    /// The HS256 key of the tokens.
    #[arg(
        long,
        global = true,
        default_value = "!ChangeThisMercureHubJWTSecretKey!",
        hide_default_value = true
    )]
    pub(crate) key: String,
    /// Measure the limit server in turn with the hub and print ratios.
    #[arg(long, global = true)]
    pub(crate) limit: bool,
    /// Start the hub with a certificate and measure it over TLS; --limit then compares it with a
    /// hub without TLS.
    #[arg(long, global = true, conflicts_with_all = ["url", "subscribe_url", "publish_url"])]
    pub(crate) tls: bool,
    /// Speak HTTP/2, in clear text with prior knowledge, and with --tls by ALPN; --limit then
    /// compares the hub with the same hub over HTTP/1.1.
    #[arg(long, global = true)]
    pub(crate) http2: bool,
    /// How many subscribers share a connection over HTTP/2; as many publishers share another.
    #[arg(
        long,
        global = true,
        default_value_t = 100,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) streams_per_connection: u32,
    /// Rounds of each server in turn; the figures are medians.
    #[arg(long, global = true, value_name = "N")]
    pub(crate) rounds: Option<usize>,
    /// Measure this server.
    #[arg(long, global = true, value_enum, default_value_t = Subject::Hub)]
    pub(crate) subject: Subject,
    /// Write the report to this file as JSON.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report, with plots, to this file as one HTML page.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// The requests for another server.
    #[command(flatten)]
    pub(crate) templates: Templates,
    /// A fault of the limit server.
    #[arg(long, global = true, value_enum, default_value_t = Fault::None, hide = true)]
    pub(crate) fault: Fault,
}

/// A fault of the limit server, to test the judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// None.
    None,
    /// One update in ten does not reach the first subscriber.
    Lose,
    /// One in ten reaches it twice.
    Duplicate,
    /// One in ten reaches it after the next.
    Reorder,
    /// One in ten reaches it with another byte in its data.
    Corrupt,
}

impl Fault {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lose => "lose",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Corrupt => "corrupt",
        }
    }
}
