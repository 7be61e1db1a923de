//! The counters of a hub's threads, for others to read.

use super::cause::RefusalCause;
use super::count::Count;
use super::histogram::Histogram;
use crate::api::keyring::verifier::TokenCounts;
use crate::api::request_counts::RequestCounts;
use crate::history::HeldCounts;
use crate::hub::sequencer::RingEntry;
use crate::hub::shard::EndReason;

/// The counters of one shard, which is their only writer. Aligned so that it shares no cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ShardMetrics {
    /// Current subscribers.
    pub(crate) subscribers: Count,
    /// Current subscribers of each dialect.
    pub(super) by_dialect: [Count; RequestCounts::KINDS],
    /// The price of matching.
    pub(crate) match_cost: Count,
    /// Subscriptions that began; `resumed` counts those among them that began with past updates.
    pub(super) joined: Count,
    pub(super) resumed: Count,
    /// Number of times a subscriber fell behind its buffer.
    pub(super) fell_behind: Count,
    pub(super) deliveries: Count,
    /// Bytes that the sockets of subscribers took.
    pub(super) sent_bytes: Count,
    /// Current connections; `http2` counts those among them that speak HTTP/2.
    pub(super) connections: Count,
    pub(super) http2: Count,
    pub(super) accepted: Count,
    pub(super) pauses: Count,
    /// Sends that were made together, and the system calls for them.
    pub(super) ring_sends: Count,
    pub(super) ring_calls: Count,
    /// Entries taken from the ring.
    pub(super) entries: Count,
    /// Events of subscriptions that wait to be published.
    pub(super) waiting_events: Count,
    /// Reads of the history that failed at an update, and the position of the last such update.
    pub(super) unreadable: Count,
    pub(super) unreadable_position: Count,
    /// Tokens that were accepted, in the order of [`TokenCounts::DIALECTS`].
    pub(super) tokens: [Count; TokenCounts::DIALECTS.len()],
    pub(super) ended: [Count; EndReason::ALL.len()],
    pub(super) refused: [Count; RefusalCause::ALL.len()],
    /// Requests for the hub's resources.
    pub(super) requests: [Count; RequestCounts::KINDS],
    /// The time from a received publication to its response.
    pub(super) publish: Histogram,
    /// The longest round so far, in microseconds, and the number of long rounds.
    pub(super) round_us_max: Count,
    pub(super) long_rounds: Count,
}

/// The counters of the sequencer, which is their only writer.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct SequencerMetrics {
    /// Entries put on the ring.
    pub(crate) entries: Count,
    /// Updates stored.
    pub(super) updates: Count,
    /// Updates that the history refused.
    pub(super) refused: Count,
    /// Updates that the history holds.
    pub(super) held_updates: Count,
    /// Events of subscriptions that the history holds.
    pub(super) held_events: Count,
    /// Appends to the history that succeeded.
    pub(crate) commit: Histogram,
}

impl SequencerMetrics {
    /// Counts an entry that is about to be pushed to the ring.
    pub(crate) fn count(&self, entry: &RingEntry) {
        match entry {
            RingEntry::Published { .. } => self.updates.add(1),
            RingEntry::Rejected { .. } => self.refused.add(1),
            RingEntry::Discarded { .. } | RingEntry::End => {}
        }
    }

    /// Notes how much the history holds.
    pub(crate) fn holds(&self, held: HeldCounts) {
        self.held_updates.set(held.updates);
        self.held_events.set(held.events);
    }
}
