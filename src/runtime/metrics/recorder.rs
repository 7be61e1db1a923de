//! What a shard counts, written to its [`ShardMetrics`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::cause::RefusalCause;
use super::counts::ShardMetrics;
use crate::http::status::Status;
use crate::hub::refusal::Unavailable;
use crate::hub::shard::{Closed, Counters, Shard};

/// What one shard counts with.
pub(in crate::runtime) struct Recorder {
    metrics: Arc<ShardMetrics>,
    /// When the publications under way were handed over. They come back in that order: the queue, the sequencer and the ring
    /// keep it. As many as wait for the ring, which is bounded.
    offered: VecDeque<Option<Instant>>,
}

impl Recorder {
    pub(in crate::runtime) fn new(metrics: Arc<ShardMetrics>) -> Self {
        Self { metrics, offered: VecDeque::new() }
    }

    /// A round is over.
    pub(in crate::runtime) fn round(&self, shard: &Shard, connections: usize, pauses: u64) {
        let Counters { deliveries, bytes, fell_behind, joined, resumed, work: _ } = shard.counters();
        let metrics = &self.metrics;
        metrics.subscribers.set(shard.len() as u64);
        metrics.joined.set(joined);
        metrics.resumed.set(resumed);
        metrics.fell_behind.set(fell_behind);
        metrics.deliveries.set(deliveries);
        metrics.sent_bytes.set(bytes);
        metrics.connections.set(connections as u64);
        metrics.pauses.set(pauses);
    }

    /// Entries were taken from the ring.
    pub(in crate::runtime) fn took(&self, entries: usize) {
        if entries > 0 {
            self.metrics.entries.add(entries as u64);
        }
    }

    /// A connection was accepted.
    pub(in crate::runtime) fn accepted(&self) {
        self.metrics.accepted.add(1);
    }

    /// A connection speaks HTTP/2 from here on.
    pub(in crate::runtime) fn http2_opened(&self) {
        self.metrics.http2.add(1);
    }

    /// One that did is over.
    pub(in crate::runtime) fn http2_closed(&self) {
        let http2 = &self.metrics.http2;
        http2.set(http2.get().saturating_sub(1));
    }

    /// A request is refused.
    pub(in crate::runtime) fn refused(&self, status: Status, unavailable: Option<Unavailable>) {
        self.metrics.refused[RefusalCause::of(status, unavailable) as usize].add(1);
    }

    /// A subscription has ended.
    pub(in crate::runtime) fn ended(&self, reason: Closed) {
        self.metrics.ended[reason as usize].add(1);
    }

    /// A publication was handed to the sequencer.
    pub(in crate::runtime) fn offered(&mut self) {
        self.offered.push_back(Some(Instant::now()));
    }

    /// An update of the hub's own was: nobody waits for it.
    pub(in crate::runtime) fn offered_by_hub(&mut self) {
        self.offered.push_back(None);
    }

    /// The oldest of those that are under way came back.
    pub(in crate::runtime) fn settled(&mut self, is_stored: bool) {
        if let Some(Some(offered)) = self.offered.pop_front()
            && is_stored
        {
            self.metrics.publish.observe(offered.elapsed());
        }
    }
}
