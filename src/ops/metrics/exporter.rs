//! The list of metrics. `docs/operations.md` documents each one; a test checks that the two agree.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tracing::debug;

use super::cause::{RefusalCause, end_label};
use super::count::Count;
use super::counts::{SequencerMetrics, ShardMetrics};
use super::histogram::{Histogram, Totals, seconds};
use super::memory::{MemoryKind, MemoryTotals};
use super::page::MetricsPage;
use super::process::Process;
use crate::api::history_health::HistoryHealth;
use crate::api::keyring::verifier::TokenCounts;
use crate::api::request_counts::RequestCounts;
use crate::hub::shard::EndReason;
use crate::limits::{MATCH_COST_SHARD_MAX, RING_ENTRIES};

/// The counters that the page reads.
#[derive(Debug)]
pub(crate) struct Exporter {
    pub(crate) shards: Vec<Arc<ShardMetrics>>,
    pub(crate) sequencer: Arc<SequencerMetrics>,
    pub(crate) facts: HubFacts,
}

/// Values beside the counters.
#[derive(Debug)]
pub(crate) struct HubFacts {
    pub(crate) is_tls: bool,
    pub(crate) connections_max: usize,
    pub(crate) queue_bytes: Arc<AtomicUsize>,
    pub(crate) history_file: Option<PathBuf>,
    pub(crate) history_health: HistoryHealth,
    pub(crate) memory: Arc<MemoryTotals>,
}

impl Collector for Exporter {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = MetricsPage(encoder);
        self.reference(&mut page)?;
        self.streams(&mut page)?;
        self.requests(&mut page)?;
        self.updates(&mut page)?;
        self.history(&mut page)?;
        self.memory(&mut page)?;
        match Process::read() {
            Ok(process) => customary(&process, &mut page),
            Err(error) => {
                debug!(%error, "process statistics cannot be read from /proc");
                Ok(())
            }
        }
    }
}

impl Exporter {
    fn sum(&self, count: impl Fn(&ShardMetrics) -> &Count) -> u64 {
        self.shards.iter().map(|shard| count(shard).get()).sum()
    }

    fn totals(&self, histogram: impl Fn(&ShardMetrics) -> &Histogram) -> Totals {
        let mut totals = Totals::default();
        self.shards.iter().for_each(|shard| totals.add(histogram(shard)));
        totals
    }

    /// The metrics of the reference hub, for existing dashboards.
    fn reference(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let subscribers = self.sum(|shard| &shard.subscribers);
        page.gauge("mercure_subscribers_connected", "Subscribers that are connected", subscribers)?;
        let joined = self.sum(|shard| &shard.joined);
        page.counter("mercure_subscribers", "Subscriptions that began", joined)?;
        let updates = self.sequencer.updates.get();
        page.counter("mercure_updates", "Updates that were stored and handed to every shard", updates)
    }

    fn streams(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let version = [([("version", env!("CARGO_PKG_VERSION"))], 1)];
        page.gauges("petasos_build_info", "Which petasos this is; the value is 1", version)?;
        let deliveries = self.sum(|shard| &shard.deliveries);
        page.counter("petasos_deliveries", "Updates queued, counted once per subscriber", deliveries)?;
        let help = "Bytes of streams that sockets took, before TLS and the framing of HTTP/2";
        page.counter("petasos_sent_bytes", help, self.sum(|shard| &shard.sent_bytes))?;
        let help = "Subscriptions that began in the past, and subscribers that fell behind SUBSCRIBER_BUFFER";
        let causes = [
            ("resumed", self.sum(|shard| &shard.resumed)),
            ("fell_behind", self.sum(|shard| &shard.fell_behind)),
        ];
        page.counters("petasos_catch_ups", help, "cause", causes)?;
        let ended = EndReason::ALL.map(|it| (end_label(it), self.sum(|shard| &shard.ended[it as usize])));
        page.counters("petasos_subscriptions_ended", "Subscriptions that ended, by reason", "reason", ended)?;
        let help = "Events of active subscriptions that wait until their clients' budgets allow them";
        let waiting = self.sum(|shard| &shard.waiting_events);
        page.gauge("petasos_subscription_events_waiting", help, waiting)?;
        let by_shard = |value: fn(&ShardMetrics) -> u64| {
            let shards = self.shards.iter().enumerate();
            shards.map(move |(number, shard)| ([("shard", number.to_string())], value(shard)))
        };
        let subscribers = by_shard(|shard| shard.subscribers.get());
        page.gauges("petasos_shard_subscribers", "Subscribers of each shard", subscribers)?;
        let help = "What matching a topic of 1 KiB can cost at most in each shard, in units of about 30 ns";
        page.gauges("petasos_shard_match_cost", help, by_shard(|shard| shard.match_cost.get()))?;
        let help = "The bound of petasos_shard_match_cost";
        page.gauge("petasos_shard_match_cost_max", help, MATCH_COST_SHARD_MAX.into())?;
        let longest = by_shard(|shard| shard.round_us_max.get()).map(|(shard, us)| (shard, seconds(us)));
        let help = "Longest round of each shard since the start";
        page.gauges("petasos_shard_round_max_seconds", help, longest)?;
        let long = self.sum(|shard| &shard.long_rounds);
        page.counter("petasos_long_rounds", "Rounds of shards that took longer than 20 ms", long)
    }

    fn requests(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let numbered = TokenCounts::DIALECTS.into_iter().enumerate();
        let tokens = numbered.map(|(at, dialect)| (dialect, self.sum(|shard| &shard.tokens[at])));
        let what = "Requests with a token that was accepted, by the dialect of the token";
        page.counters("petasos_tokens", what, "dialect", tokens)?;
        let labels = RequestCounts::labels().into_iter().enumerate();
        let requests = labels.map(|(place, label)| (label, self.sum(|shard| &shard.requests[place])));
        let help = "Requests to publish, to subscribe or for subscriptions, by version of the protocol";
        page.counters("petasos_requests", help, "dialect", requests)?;
        let labels = RequestCounts::labels().into_iter().enumerate();
        let subscribers =
            labels.map(|(place, label)| ([("dialect", label)], self.sum(|shard| &shard.by_dialect[place])));
        let help = "Subscribers that are connected, by the older of the dialects of request and token";
        page.gauges("petasos_subscribers", help, subscribers)?;
        let refused = RefusalCause::ALL.map(|it| (it.label(), self.sum(|shard| &shard.refused[it as usize])));
        page.counters("petasos_refusals", "Requests that were refused, by reason", "reason", refused)?;
        let all = self.sum(|shard| &shard.connections);
        let http2 = self.sum(|shard| &shard.http2);
        let tls = if self.facts.is_tls { "true" } else { "false" };
        let labels = |protocol| [("protocol", protocol), ("tls", tls)];
        let connections = [(labels("http1"), all.saturating_sub(http2)), (labels("http2"), http2)];
        page.gauges("petasos_connections", "Connections that are open, streams included", connections)?;
        let most = self.facts.connections_max as u64;
        page.gauge("petasos_connections_max", "Connection limit; further connections are refused", most)?;
        let accepted = self.sum(|shard| &shard.accepted);
        page.counter("petasos_connections_accepted", "Connections that were accepted", accepted)?;
        let help = "Times that a shard left new connections waiting, for want of descriptors";
        page.counter("petasos_accept_pauses", help, self.sum(|shard| &shard.pauses))?;
        let help = "Sends to subscribers that an io_uring made";
        page.counter("petasos_io_uring_sends", help, self.sum(|shard| &shard.ring_sends))?;
        let help = "System calls for the sends of an io_uring";
        page.counter("petasos_io_uring_calls", help, self.sum(|shard| &shard.ring_calls))
    }

    fn updates(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let help = "Time from reading a publication to its response, for stored publications";
        page.histogram("petasos_publish_duration_seconds", help, &self.totals(|shard| &shard.publish))?;
        let mut commits = Totals::default();
        commits.add(&self.sequencer.commit);
        let help = "Appends to the history, each of all publications that waited";
        page.histogram("petasos_commit_duration_seconds", help, &commits)?;
        let refused = self.sequencer.refused.get();
        page.counter("petasos_updates_refused", "Updates that the history refused", refused)?;
        let help = "Bytes of publications between their shard and the last reader of the ring";
        let bytes = self.facts.queue_bytes.load(Ordering::Relaxed) as u64;
        page.gauge("petasos_publish_queue_bytes", help, bytes)?;
        // Read the readers' positions first: a lag may then look longer than it is, but never
        // negative.
        let read: Vec<u64> = self.shards.iter().map(|shard| shard.entries.get()).collect();
        let pushed = self.sequencer.entries.get();
        let lags = read.iter().map(|read| pushed.saturating_sub(*read));
        let depth = lags.clone().max().unwrap_or(0);
        let help = "Entries of the ring that the slowest shard has not read";
        page.gauge("petasos_ring_entries", help, depth)?;
        page.gauge("petasos_ring_entries_max", "Entries that the ring holds", RING_ENTRIES as u64)?;
        let lags = lags.enumerate().map(|(number, lag)| ([("shard", number.to_string())], lag));
        page.gauges("petasos_shard_lag_entries", "Entries of the ring that a shard has not read", lags)
    }

    fn history(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let SequencerMetrics { held_updates, held_events, .. } = &*self.sequencer;
        page.gauge("petasos_history_updates", "Updates that the history holds", held_updates.get())?;
        let help = "Events of subscriptions that the history holds, counted apart from updates";
        page.gauge("petasos_history_subscription_events", help, held_events.get())?;
        let help = "1 if the last commit of the history succeeded, 0 if it failed: /readyz is then 503";
        page.gauge("petasos_history_writable", help, u64::from(!self.facts.history_health.fails()))?;
        let unreadable = self.sum(|shard| &shard.unreadable);
        page.counter("petasos_history_unreadable", "Reads that failed at a damaged update", unreadable)?;
        let positions = self.shards.iter().map(|shard| shard.unreadable_position.get());
        let help = "Highest position of the damaged updates that the shards met last; 0 is none";
        page.gauge("petasos_history_unreadable_position", help, positions.max().unwrap_or(0))?;
        let file = self.facts.history_file.as_ref().and_then(|path| fs::metadata(path).ok());
        match file {
            Some(file) => page.gauge("petasos_history_file_bytes", "Size of the history's file", file.len()),
            None => Ok(()),
        }
    }
}

impl Exporter {
    fn memory(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let totals = &self.facts.memory;
        let held = MemoryKind::ALL.map(|kind| ([("kind", kind.label())], totals.held(kind) as u64));
        let help = "Memory of the account that MEMORY_MAX bounds, by what holds it";
        page.gauges("petasos_memory_accounted_bytes", help, held)?;
        page.gauge("petasos_memory_max_bytes", "MEMORY_MAX", totals.max)?;
        let shed = MemoryKind::ALL.map(|kind| (kind.label(), totals.shed_so_far(kind)));
        let help = "What was ended or dropped to free memory at MEMORY_MAX, by what held it";
        page.counters("petasos_memory_shed", help, "kind", shed)
    }
}

/// The process metrics of every standard Prometheus client library.
fn customary(process: &Process, page: &mut MetricsPage<'_>) -> fmt::Result {
    let cpu = ConstCounter::new(process.cpu_seconds);
    page.one("process_cpu_seconds", "CPU time of the process, in user and system mode", &cpu)?;
    page.gauge("process_resident_memory_bytes", "Resident memory", process.resident_bytes)?;
    page.gauge("process_virtual_memory_bytes", "Virtual memory", process.virtual_bytes)?;
    let start = ConstGauge::new(process.start_unix_seconds);
    page.one("process_start_time_seconds", "When the process began, in Unix time", &start)?;
    page.gauge("process_threads", "Threads of the process", process.threads)?;
    page.gauge("process_open_fds", "Descriptors that are open", process.open_fds)?;
    match process.max_fds {
        Some(max_fds) => page.gauge("process_max_fds", "Descriptors that may be open", max_fds),
        None => Ok(()),
    }
}
