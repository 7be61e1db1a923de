//! What a thread of the hub has counted, for others to read.

use std::sync::atomic::{AtomicU64, Ordering};

use super::cause::RefusalCause;
use super::histogram::Histogram;
use crate::hub::sequencer::RingEntry;
use crate::hub::shard::Closed;

/// One number. It has one writer, so to add is to load and to store: no locked instruction.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Count(AtomicU64);

impl Count {
    pub(in crate::runtime) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(in crate::runtime) fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    pub(in crate::runtime) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one shard has counted; it alone writes. Off the cache lines of its neighbours.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(in crate::runtime) struct ShardMetrics {
    /// Subscribers that there are.
    pub(in crate::runtime) subscribers: Count,
    /// Subscriptions that began, and those among them that began with updates of the past.
    pub(super) joined: Count,
    pub(super) resumed: Count,
    /// Times a subscriber fell behind its buffer.
    pub(super) fell_behind: Count,
    pub(super) deliveries: Count,
    /// Bytes that the sockets of subscribers took.
    pub(super) sent_bytes: Count,
    /// Connections that there are, and those among them that speak HTTP/2.
    pub(super) connections: Count,
    pub(super) http2: Count,
    pub(super) accepted: Count,
    pub(super) pauses: Count,
    /// Entries taken from the ring.
    pub(super) entries: Count,
    pub(super) ended: [Count; Closed::ALL.len()],
    pub(super) refused: [Count; RefusalCause::ALL.len()],
    /// From a publication that was read to its answer.
    pub(super) publish: Histogram,
}

/// What the sequencer has counted; it alone writes.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(in crate::runtime) struct SequencerMetrics {
    /// Entries put on the ring.
    pub(in crate::runtime) entries: Count,
    /// Updates that are stored.
    pub(super) updates: Count,
    /// Updates that the history refused.
    pub(super) refused: Count,
    /// The ends of what the history holds, as numbers of [`crate::history::Position`].
    pub(in crate::runtime) before_oldest: Count,
    pub(in crate::runtime) newest: Count,
    /// Appends to the history that succeeded.
    pub(in crate::runtime) commit: Histogram,
}

impl SequencerMetrics {
    /// An entry is about to be put on the ring.
    pub(in crate::runtime) fn count(&self, entry: &RingEntry) {
        match entry {
            RingEntry::Published { update, .. } => {
                self.updates.add(1);
                self.newest.set(update.position.get());
            }
            RingEntry::Rejected { .. } => self.refused.add(1),
            RingEntry::Discarded { before_oldest } => self.before_oldest.set(before_oldest.get()),
            RingEntry::End => {}
        }
    }
}
