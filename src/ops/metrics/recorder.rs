//! The counting functions of a shard; they write its [`ShardMetrics`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::cause::RefusalCause;
use super::counts::ShardMetrics;
use crate::api::keyring::verifier::TokenCounts;
use crate::api::refusal::Unavailable;
use crate::api::request_counts::RequestCounts;
use crate::history::Position;
use crate::hub::shard::{Counters, EndReason, Shard};
use crate::io::driver::RingCounts;
use crate::limits::ROUND_US_LONG;

/// Counts for one shard.
pub(crate) struct Recorder {
    metrics: Arc<ShardMetrics>,
    /// When the publications in progress were handed over. They return in that order, which the
    /// queue, the sequencer and the ring keep. Bounded by the publications that wait for the ring.
    offered: VecDeque<Option<Instant>>,
}

impl Recorder {
    pub(crate) fn new(metrics: Arc<ShardMetrics>) -> Self {
        Self { metrics, offered: VecDeque::new() }
    }

    /// Updates the totals at the end of a round.
    pub(crate) fn round(&self, shard: &Shard, tokens: TokenCounts, connections: usize, pauses: u64) {
        let Counters { deliveries, bytes, fell_behind, joined, resumed, work: _ } = shard.counters();
        let metrics = &self.metrics;
        metrics.subscribers.set(shard.len() as u64);
        metrics.match_cost.set(shard.price().into());
        metrics.joined.set(joined);
        metrics.resumed.set(resumed);
        metrics.fell_behind.set(fell_behind);
        metrics.deliveries.set(deliveries);
        metrics.sent_bytes.set(bytes);
        metrics.waiting_events.set(shard.waiting_events() as u64);
        metrics.connections.set(connections as u64);
        metrics.pauses.set(pauses);
        metrics.tokens.iter().zip(tokens.by_dialect()).for_each(|(count, tokens)| count.set(tokens));
    }

    /// Updates the subscribers of each dialect.
    pub(crate) fn subscribers(&self, by_dialect: [u64; RequestCounts::KINDS]) {
        for (count, subscribers) in self.metrics.by_dialect.iter().zip(by_dialect) {
            count.set(subscribers);
        }
    }

    /// Updates what the shard's ring has done.
    pub(crate) fn ring(&self, RingCounts { sends, calls }: RingCounts) {
        self.metrics.ring_sends.set(sends);
        self.metrics.ring_calls.set(calls);
    }

    /// Updates the numbers of requests.
    pub(crate) fn requests(&self, counts: RequestCounts) {
        for (count, requests) in self.metrics.requests.iter().zip(counts.values()) {
            count.set(requests);
        }
    }

    /// Notes how long a round took.
    pub(crate) fn round_took(&self, took: Duration) {
        let (us, metrics) = (u64::try_from(took.as_micros()).unwrap_or(u64::MAX), &self.metrics);
        if us > metrics.round_us_max.get() {
            metrics.round_us_max.set(us);
        }
        if us > ROUND_US_LONG {
            metrics.long_rounds.add(1);
        }
    }

    /// Counts entries taken from the ring.
    pub(crate) fn took(&self, entries: usize) {
        if entries > 0 {
            self.metrics.entries.add(entries as u64);
        }
    }

    /// Counts an accepted connection.
    pub(crate) fn accepted(&self) {
        self.metrics.accepted.add(1);
    }

    /// Counts a connection that begins to speak HTTP/2.
    pub(crate) fn http2_opened(&self) {
        self.metrics.http2.add(1);
    }

    /// Counts an HTTP/2 connection that ended.
    pub(crate) fn http2_closed(&self) {
        let http2 = &self.metrics.http2;
        http2.set(http2.get().saturating_sub(1));
    }

    /// Counts a refused request.
    pub(crate) fn refused(&self, status: StatusCode, unavailable: Option<Unavailable>) {
        self.metrics.refused[RefusalCause::of(status, unavailable) as usize].add(1);
    }

    /// Counts a read of the history that failed at the update with this position.
    pub(crate) fn unreadable(&self, position: Position) {
        self.metrics.unreadable.add(1);
        self.metrics.unreadable_position.set(position.get());
    }

    /// Counts an ended subscription.
    pub(crate) fn ended(&self, reason: EndReason) {
        self.metrics.ended[reason as usize].add(1);
    }

    /// Notes that a publication was handed to the sequencer.
    pub(crate) fn offered(&mut self) {
        self.offered.push_back(Some(Instant::now()));
    }

    /// Notes the same for an update of the hub itself, whose duration is not measured.
    pub(crate) fn offered_by_hub(&mut self) {
        self.offered.push_back(None);
    }

    /// The oldest publication in progress came back.
    pub(crate) fn settled(&mut self, is_stored: bool) {
        if let Some(Some(offered)) = self.offered.pop_front()
            && is_stored
        {
            self.metrics.publish.observe(offered.elapsed());
        }
    }
}
