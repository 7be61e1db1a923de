//! The history: every acknowledged update, in the one order, for those who come back.
//!
//! It knows the frame and the event id, nothing of subscribers. One [`History`] belongs to the sequencer, which alone
//! appends; any number of [`HistoryReader`]s look up ids and read ranges meanwhile, without stopping it.
//!
//! Invariants worth naming:
//! - positions are given out here, one after the other, without a hole; a position never names two updates;
//! - an append is all or nothing, and what it acknowledged is read in that order;
//! - the oldest updates go first, so what is held is always one unbroken range.

pub mod memory;
pub mod redb;

use std::fmt;
use std::sync::Arc;

use crate::protocol::event_id::EventId;
use crate::protocol::frame::Frame;

/// The place of an update in the hub's one order, from 1; [`Position::START`] is the place before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// Before every update.
    pub const START: Self = Self(0);

    /// The position with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The place after it.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The place before it; the start stays the start.
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// One update in its place.
#[derive(Clone, Debug)]
pub struct SequencedUpdate {
    /// Its place in the order.
    pub position: Position,
    /// The update.
    pub frame: Arc<Frame>,
    /// Whether no update that the history held when it was appended had this id: then a lookup finds this one.
    pub first_of_id: bool,
}

/// What a history keeps; zero is no bound (`HISTORY_SIZE`, `HISTORY_MAX_BYTES`, `HISTORY_MAX_AGE`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Updates; the newest always stays.
    pub updates_max: u64,
    /// Bytes of updates, as the store counts them; the newest always stays.
    pub bytes_max: u64,
    /// Milliseconds since an update was appended; the newest goes, too.
    pub age_max_ms: u64,
}

impl Retention {
    /// Whether the history grows for ever.
    pub fn is_unbounded(self) -> bool {
        self == Self::default()
    }
}

/// The range that a history holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRange {
    /// The place before the oldest update that is held: a reader that was here has missed nothing.
    pub before_oldest: Position,
    /// The newest update, or [`HistoryRange::before_oldest`] when none is held.
    pub newest: Position,
}

/// What an append did.
#[derive(Debug)]
pub struct Appended {
    /// The batch in its places.
    pub updates: Vec<SequencedUpdate>,
    /// The place before the oldest update that is still held.
    pub before_oldest: Position,
}

/// A slice of the history.
#[derive(Debug)]
pub struct HistorySlice {
    /// The updates, in order, without a hole.
    pub updates: Vec<SequencedUpdate>,
    /// What the history held when it was read.
    pub range: HistoryRange,
}

impl HistorySlice {
    /// That of a history that has never held anything.
    pub fn empty() -> Self {
        let range = HistoryRange { before_oldest: Position::START, newest: Position::START };
        Self { updates: Vec::new(), range }
    }
}

/// Why a store did not do as it was asked; the text is for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryError(pub String);

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HistoryError {}

/// The writing end; the sequencer owns it.
pub trait History: Send {
    /// Appends a batch at this time (Unix, in milliseconds), in one transaction, and discards what retention does not keep.
    ///
    /// # Errors
    /// The store refused: nothing of the batch is held, and the next call may succeed.
    fn append(&mut self, batch: &[Arc<Frame>], unix_ms: u64) -> Result<Appended, HistoryError>;

    /// Whether [`History::maintain`] has something to do, or will have without another append.
    fn needs_upkeep(&self) -> bool;

    /// Makes what was acknowledged durable, where an append did not; discards what has become too old; frees a bounded
    /// share of what was discarded. To be called about once a second while [`History::needs_upkeep`]. Returns the place
    /// before the oldest update that is still held.
    ///
    /// # Errors
    /// The store refused: a crash may lose what came since the last call that succeeded.
    fn maintain(&mut self, unix_ms: u64) -> Result<Position, HistoryError>;

    /// A reading end for other threads.
    fn reader(&self) -> Arc<dyn HistoryReader>;
}

/// A reading end, shared by every shard.
pub trait HistoryReader: Send + Sync {
    /// The place of the first update with this id that is held; `None` when there is none.
    ///
    /// # Errors
    /// The store could not be read.
    fn locate(&self, id: &str) -> Result<Option<Position>, HistoryError>;

    /// The updates after `after`: at most `updates_max`, and no further one once `bytes_max` is reached.
    ///
    /// When the next one is not held any more the slice begins at the oldest that is, and [`HistoryRange`] tells.
    ///
    /// # Errors
    /// The store could not be read.
    fn read(
        &self,
        after: Position,
        updates_max: usize,
        bytes_max: usize,
    ) -> Result<HistorySlice, HistoryError>;

    /// The newest updates: at most `updates_max`, and no older one once `bytes_max` is reached.
    ///
    /// # Errors
    /// The store could not be read.
    fn newest(&self, updates_max: usize, bytes_max: usize) -> Result<HistorySlice, HistoryError>;

    /// What is held now.
    ///
    /// # Errors
    /// The store could not be read.
    fn range(&self) -> Result<HistoryRange, HistoryError>;
}

/// Where a subscriber wants to resume (PROTOCOL section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// After everything that is discarded: `earliest`, or an id that cannot exist.
    Earliest,
    /// After this update, or as [`Resume::Earliest`] when it is not held.
    After(EventId),
}

impl Resume {
    /// Reads a last event id. Any text is one: what is not an event id is one that is not held.
    pub fn parse(text: &str) -> Self {
        EventId::parse(text).map_or(Self::Earliest, Self::After)
    }
}

/// Where a subscriber that resumes begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// The last position it is taken to have.
    pub cursor: Position,
    /// The id it named, when it is held; else it is told `earliest`.
    pub known: Option<EventId>,
}

/// Finds where a subscriber begins.
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
