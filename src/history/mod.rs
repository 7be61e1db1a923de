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
//! - the oldest updates are discarded first, so the history always holds one contiguous range.

mod error;
pub mod memory;
mod position;
pub mod redb;

use std::sync::Arc;

use crate::mercure::event_id::EventId;
use crate::mercure::resume::Resume;
use crate::sse::frame::Frame;

pub use error::HistoryError;
pub use position::Position;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Updates; the newest always stays.
    pub updates_max: u64,
    /// Bytes of updates, as the store counts them; the newest always stays.
    pub bytes_max: u64,
    /// Milliseconds since an update was appended; it applies to the newest, too.
    pub age_max_ms: u64,
}

impl Retention {
    /// Whether the history grows without bound.
    pub fn is_unbounded(self) -> bool {
        self == Self::default()
    }
}

/// The range that a history holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRange {
    /// The position before the oldest update that is held: a reader at this position has missed
    /// nothing.
    pub before_oldest: Position,
    /// The newest update, or [`HistoryRange::before_oldest`] if none is held.
    pub newest: Position,
}

/// The result of an append.
#[derive(Debug)]
pub struct Appended {
    /// The batch with its positions.
    pub updates: Vec<SequencedUpdate>,
    /// The position before the oldest update that is still held.
    pub before_oldest: Position,
}

/// A slice of the history.
#[derive(Debug)]
pub struct HistorySlice {
    /// The updates, in order and without a gap.
    pub updates: Vec<SequencedUpdate>,
    /// The range of the history when it was read.
    pub range: HistoryRange,
}

impl HistorySlice {
    /// The slice of a history that has never held an update.
    #[cfg(any(test, feature = "internals"))]
    pub fn empty() -> Self {
        let range = HistoryRange { before_oldest: Position::START, newest: Position::START };
        Self { updates: Vec::new(), range }
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
    /// [`History::needs_upkeep`]. Returns the position before the oldest update that is still held.
    ///
    /// # Errors
    /// The store refused: a crash may lose the updates since the last successful call.
    fn maintain(&mut self, unix_ms: u64) -> Result<Position, HistoryError>;

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

    /// The updates after `after`: at most `updates_max`, and none after `bytes_max` is reached.
    ///
    /// If the next update is no longer held, the slice begins at the oldest that is; its
    /// [`HistoryRange`] shows this.
    ///
    /// # Errors
    /// The store could not be read.
    fn read(
        &self,
        after: Position,
        updates_max: usize,
        bytes_max: usize,
    ) -> Result<HistorySlice, HistoryError>;

    /// The newest updates: at most `updates_max`, and no older one after `bytes_max` is reached.
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
    Ok(ResumePoint { cursor: reader.range()?.before_oldest, known: None })
}
