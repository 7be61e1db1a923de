//! Metrics for Prometheus (`METRICS_ADDR`): what the threads of the hub count, and the thread that tells it.
//!
//! Invariants worth naming:
//! - a count has one writer, and whoever scrapes only reads: a scrape costs a shard nothing, however many connections it has;
//! - what is counted for each delivery reaches its board once in a round, so the way of an update does not get longer;
//! - labels come from fixed sets: nothing that a client sends is in a name or a label.
//!
//! It deliberately does not serve `/metrics` where the hub listens: counts tell strangers what a hub does.

mod board;
mod cause;
mod exporter;
mod histogram;
mod meters;
mod page;
mod process;
mod site;

use std::net::SocketAddr;
use std::path::PathBuf;

pub(super) use board::{SequencerBoard, ShardBoard};
pub(super) use exporter::{Exporter, Facts};
pub(super) use meters::Meters;
pub(super) use site::{listen, serve};

/// What is to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// `METRICS_ADDR`.
    pub address: SocketAddr,
    /// The file of the history, whose size is told.
    pub history_file: Option<PathBuf>,
}
