//! Metrics for Prometheus (`METRICS_ADDR`): the hub's counters, and the pages that show them.
//!
//! Invariants:
//! - a counter has one writer, and a scrape only reads, so it costs a shard nothing;
//! - per-delivery counts are published once per round, so an update's path does not get longer;
//! - labels come from fixed sets: no client input is in a name or label.
//!
//! It deliberately does not serve `/metrics` on the hub's address: counts tell strangers about the
//! hub.

mod cause;
mod count;
mod counts;
mod exporter;
mod handler;
mod histogram;
mod memory;
mod page;
mod process;
mod recorder;

use std::net::SocketAddr;
use std::path::PathBuf;

pub(crate) use counts::{SequencerMetrics, ShardMetrics};
pub(crate) use exporter::{Exporter, HubFacts};
pub(crate) use handler::MetricsHandler;
pub(crate) use memory::{MemoryKind, MemoryTotals};
pub(crate) use recorder::Recorder;

/// What to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// `METRICS_ADDR`.
    pub address: SocketAddr,
    /// The history file, whose size is reported.
    pub history_file: Option<PathBuf>,
}
