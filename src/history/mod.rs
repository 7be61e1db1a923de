//! The history: every acknowledged update, in the one order, for clients that reconnect.
//!
//! It knows frames and event ids, not subscribers. One [`History`] belongs to the sequencer, which
//! alone appends. Any number of [`HistoryReader`]s look up ids and read ranges meanwhile, without
//! blocking it.
//!
//! Invariants:
//! - the history assigns positions, consecutively and without a gap; a position never identifies
//!   two updates;
//! - an append is all or nothing, and acknowledged updates are read in that order;
//! - the oldest updates are discarded first, so the history always holds all updates of one range;
//! - events of subscriptions have bounds of their own: of the range, old events may be missing.

mod error;
pub mod memory;
mod position;
pub mod redb;
mod reserved_type;

use std::sync::Arc;

use crate::limits::{SUBSCRIPTION_EVENTS_HELD_BYTES_MAX, SUBSCRIPTION_EVENTS_HELD_MAX};
use crate::mercure::event_id::EventId;
use crate::mercure::resume::Resume;
use crate::sse::frame::Frame;

pub use error::HistoryError;
pub use position::Position;
pub(crate) use reserved_type::WithoutReservedType;

/// One update with its position.
#[derive(Clone, Debug)]
pub struct SequencedUpdate {
    /// Its position.
    pub position: Position,
    /// The update.
    pub frame: Arc<Frame>,
    /// Whether the history held no update with this id when this one was appended: a lookup then
    /// finds this one.
    pub first_of_id: bool,
}

/// The retention of a history; zero is no bound (`HISTORY_SIZE`, `HISTORY_MAX_BYTES`,
/// `HISTORY_MAX_AGE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Updates, without events of subscriptions; the newest always stays.
    pub updates_max: u64,
    /// Bytes of these updates, as the store counts them; the newest always stays.
    pub bytes_max: u64,
    /// Milliseconds since an update or an event was appended; it applies to the newest, too.
    pub age_max_ms: u64,
    /// Events of subscriptions. An event older than the oldest update is discarded as well.
    pub events_max: u64,
    /// Bytes of these events.
    pub event_bytes_max: u64,
}

impl Default for Retention {
    /// All updates, and [`SUBSCRIPTION_EVENTS_HELD_MAX`] events.
    fn default() -> Self {
        Self {
            updates_max: 0,
            bytes_max: 0,
            age_max_ms: 0,
            events_max: SUBSCRIPTION_EVENTS_HELD_MAX,
            event_bytes_max: SUBSCRIPTION_EVENTS_HELD_BYTES_MAX,
        }
    }
}

impl Retention {
    /// Whether the updates of the history grow without bound.
    pub fn is_unbounded(self) -> bool {
        self.updates_max == 0 && self.bytes_max == 0 && self.age_max_ms == 0
    }
}

/// How much a history holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldCounts {
    /// Updates, without events of subscriptions.
    pub updates: u64,
    /// Events of subscriptions.
    pub events: u64,
}

/// The range that a history holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRange {
    /// The newest position of a discarded update: a reader at this position or later has missed no
    /// update that is gone.
    pub before_oldest: Position,
    /// The newest position that was given, or [`HistoryRange::before_oldest`].
    pub newest: Position,
}

/// The result of an append.
#[derive(Debug)]
pub struct Appended {
    /// The batch with its positions.
    pub updates: Vec<SequencedUpdate>,
    /// Neither an update nor an event is held up to this position.
    pub before_oldest: Position,
}

/// A slice of the history: everything that it holds after [`Self::after`] and up to
/// [`Self::until`].
#[derive(Debug)]
pub struct HistorySlice {
    /// The updates and the events, in order. A position between the two ends that is not among them
    /// had an event that was discarded.
    pub updates: Vec<SequencedUpdate>,
    /// The position before the slice.
    pub after: Position,
    /// The last position of the slice.
    pub until: Position,
    /// The range of the history when it was read.
    pub range: HistoryRange,
}

impl HistorySlice {
    /// The slice of a history that has never held an update.
    #[cfg(any(test, feature = "internals"))]
    pub fn empty() -> Self {
        let range = HistoryRange { before_oldest: Position::START, newest: Position::START };
        Self { updates: Vec::new(), after: Position::START, until: Position::START, range }
    }
}

/// The writing end; the sequencer owns it.
pub trait History: Send {
    /// Appends a batch at this time (Unix, in milliseconds), in one transaction, and discards the
    /// updates beyond the retention.
    ///
    /// # Errors
    /// The store refused: none of the batch is held, and the next call may succeed.
    fn append(&mut self, batch: &[Arc<Frame>], unix_ms: u64) -> Result<Appended, HistoryError>;

    /// Whether [`History::maintain`] has work now, or will have without another append.
    fn needs_upkeep(&self) -> bool;

    /// Makes acknowledged updates durable if an append did not; discards updates that are too old;
    /// frees a bounded number of discarded updates. Call it about once a second while
    /// [`History::needs_upkeep`]. Returns the same position as [`Appended::before_oldest`].
    ///
    /// # Errors
    /// The store refused: a crash may lose the updates since the last successful call.
    fn maintain(&mut self, unix_ms: u64) -> Result<Position, HistoryError>;

    /// How much is held after the last append or upkeep.
    fn held(&self) -> HeldCounts;

    /// A reading end for other threads.
    fn reader(&self) -> Arc<dyn HistoryReader>;
}

/// A reading end, shared by every shard.
pub trait HistoryReader: Send + Sync {
    /// The position of the first held update with this id; `None` if there is none.
    ///
    /// # Errors
    /// The store could not be read.
    fn locate(&self, id: &str) -> Result<Option<Position>, HistoryError>;

    /// What is held after `after`: at most `updates_max` updates and events, and none after
    /// `bytes_max` is reached.
    ///
    /// If an update after `after` is no longer held, the slice begins later:
    /// [`HistorySlice::after`] shows this.
    ///
    /// # Errors
    /// The store could not be read.
    fn read(
        &self,
        after: Position,
        updates_max: usize,
        bytes_max: usize,
    ) -> Result<HistorySlice, HistoryError>;

    /// The newest updates and events, without a gap: at most `updates_max`, and no older one after
    /// `bytes_max` is reached. None, if the newest event was discarded and nothing came after it.
    ///
    /// # Errors
    /// The store could not be read.
    fn newest(&self, updates_max: usize, bytes_max: usize) -> Result<HistorySlice, HistoryError>;

    /// The range that is held now.
    ///
    /// # Errors
    /// The store could not be read.
    fn range(&self) -> Result<HistoryRange, HistoryError>;
}

/// Where a resuming subscriber begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// The last position that it is assumed to have.
    pub cursor: Position,
    /// The id that it named, if it is held; otherwise the response says `earliest`.
    pub known: Option<EventId>,
}

/// Finds the position where a subscriber begins.
///
/// # Errors
/// The store could not be read.
pub fn resolve(reader: &dyn HistoryReader, resume: &Resume) -> Result<ResumePoint, HistoryError> {
    if let Resume::After(id) = resume
        && let Some(cursor) = reader.locate(id.as_str())?
    {
        return Ok(ResumePoint { cursor, known: Some(id.clone()) });
    }
    let range = reader.range()?;
    let cursor = if *resume == Resume::Newest { range.newest } else { range.before_oldest };
    Ok(ResumePoint { cursor, known: None })
}

#[cfg(test)]
mod tests;
