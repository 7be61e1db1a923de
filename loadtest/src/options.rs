//! The options that every scenario has: what is measured, on which processors, and where the report
//! goes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::wire::coding::Coding;
use crate::wire::request::Templates;

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
    /// Measure this other binary of the hub, such as one of before a change, in turn with the hub,
    /// and print ratios.
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        conflicts_with_all = ["url", "subscribe_url", "publish_url", "limit"]
    )]
    pub(crate) before: Option<PathBuf>,
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
    /// The limit server makes its sends in batches on an io_uring, instead of one by one.
    #[arg(long, global = true)]
    pub(crate) ring: bool,
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

/// The values of `--subject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// The hub.
    Hub,
    /// The limit: a loop of sends and nothing else.
    Limit,
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

#[cfg(test)]
impl Common {
    /// The options of a command line that has only options.
    pub(crate) fn given(arguments: &[&str]) -> Self {
        #[derive(clap::Parser)]
        struct Options {
            #[command(flatten)]
            common: Common,
        }
        let arguments = ["petasos-loadtest"].into_iter().chain(arguments.iter().copied());
        clap::Parser::try_parse_from(arguments).map(|options: Options| options.common).expect("valid")
    }
}
