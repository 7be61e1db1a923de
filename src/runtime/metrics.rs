//! Metrics for Prometheus (`METRICS_ADDR`): what the threads of the hub count, and the thread that tells it.
//!
//! Invariants worth naming:
//! - a count has one writer, and whoever scrapes only reads: a scrape costs a shard nothing, however many connections it has;
//! - what is counted for each delivery is written once in a round, so the path of an update does not get longer;
//! - labels come from fixed sets: nothing that a client sends is in a name or a label.
//!
//! It deliberately does not serve `/metrics` where the hub listens: counts tell strangers what a hub does.

mod cause;
mod counts;
mod exporter;
mod handler;
mod histogram;
mod page;
mod process;
mod recorder;

use std::net::SocketAddr;
use std::path::PathBuf;

pub(super) use counts::{SequencerMetrics, ShardMetrics};
pub(super) use exporter::{Exporter, HubFacts};
pub(super) use handler::{listen, serve};
pub(super) use recorder::Recorder;

/// What is to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// `METRICS_ADDR`.
    pub address: SocketAddr,
    /// The file of the history, whose size is told.
    pub history_file: Option<PathBuf>,
}
