//! The sequencer: gives every update its place in the one order.
//!
//! It takes the waiting updates, appends them to the history in one transaction, and only then
//! makes ring entries of them. So no update is delivered that a crash could lose, and the order of
//! the history, of the ring and of every stream is the same. The ring also carries the result back
//! to the publisher: its shard finds the [`ReplyTo`] there.

use std::sync::Arc;

use crate::history::{Appended, HeldCounts, History, HistoryError, Position, SequencedUpdate};
use crate::sse::frame::Frame;

/// The recipient of the result: the update is stored, or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplyTo {
    /// A request of one connection of the shard that took the `POST`.
    Request {
        /// The shard.
        shard: u16,
        /// Its connection.
        connection: u32,
        /// Distinguishes connections that had the same number, and requests of one connection.
        serial: u32,
    },
    /// A shard that announces a subscription; its events come back in order.
    Event {
        /// The shard.
        shard: u16,
    },
    /// The program that embeds the hub.
    Embedded {
        /// Its publication.
        serial: u32,
    },
}

impl ReplyTo {
    /// The shard that handles it; `None` for the embedding program.
    pub fn shard(self) -> Option<u16> {
        match self {
            Self::Request { shard, .. } | Self::Event { shard } => Some(shard),
            Self::Embedded { .. } => None,
        }
    }
}

/// An update on its way to the history.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The update, encoded.
    pub frame: Arc<Frame>,
    /// The recipient of the result.
    pub reply_to: ReplyTo,
}

/// An entry of the ring.
#[derive(Debug)]
pub enum RingEntry {
    /// Stored and in its place: deliver it, and respond to the publisher.
    Published {
        /// The update in its place.
        update: SequencedUpdate,
        /// The recipient of the result.
        reply_to: ReplyTo,
    },
    /// Not stored: only the publisher is notified.
    Rejected {
        /// The recipient of the result.
        reply_to: ReplyTo,
    },
    /// The history holds nothing up to this position any longer: tails drop it, too.
    Discarded {
        /// The position before the oldest update or event that is held.
        before_oldest: Position,
    },
    /// No entry follows: the hub stops.
    End,
}

/// The sequencer; it owns the writing end of the history.
pub struct Sequencer {
    history: Box<dyn History>,
    /// The last value sent to the ring.
    before_oldest: Position,
}

impl Sequencer {
    /// A sequencer that appends to this history, which holds nothing up to `before_oldest`.
    pub fn new(history: Box<dyn History>, before_oldest: Position) -> Self {
        Self { history, before_oldest }
    }

    /// Commits a batch, and returns its ring entries in order, plus one if the history discarded
    /// something. If the store refused, the whole batch is rejected and the error is returned.
    pub fn commit(&mut self, batch: &[Publication], unix_ms: u64) -> (Vec<RingEntry>, Option<HistoryError>) {
        let frames: Vec<_> = batch.iter().map(|publication| Arc::clone(&publication.frame)).collect();
        match self.history.append(&frames, unix_ms) {
            Ok(Appended { updates, before_oldest }) => {
                debug_assert_eq!(updates.len(), batch.len());
                let entries = updates.into_iter().zip(batch).map(|(update, publication)| {
                    RingEntry::Published { update, reply_to: publication.reply_to }
                });
                (entries.chain(self.discarded(before_oldest)).collect(), None)
            }
            Err(error) => (Self::reject(batch), Some(error)),
        }
    }

    /// The ring entries of a batch that is not stored.
    pub fn reject(batch: &[Publication]) -> Vec<RingEntry> {
        batch.iter().map(|publication| RingEntry::Rejected { reply_to: publication.reply_to }).collect()
    }

    /// Whether [`Sequencer::maintain`] should be called in a second.
    pub fn needs_upkeep(&self) -> bool {
        self.history.needs_upkeep()
    }

    /// Maintains the history: see [`History::maintain`]. Returns a ring entry if the history
    /// discarded something.
    pub fn maintain(&mut self, unix_ms: u64) -> Result<Option<RingEntry>, HistoryError> {
        let before_oldest = self.history.maintain(unix_ms)?;
        Ok(self.discarded(before_oldest))
    }

    /// How much the history holds.
    pub fn held(&self) -> HeldCounts {
        self.history.held()
    }

    fn discarded(&mut self, before_oldest: Position) -> Option<RingEntry> {
        let is_news = before_oldest > self.before_oldest;
        self.before_oldest = self.before_oldest.max(before_oldest);
        is_news.then_some(RingEntry::Discarded { before_oldest })
    }
}
