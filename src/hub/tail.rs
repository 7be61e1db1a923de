//! The tail: the newest updates, kept in the memory of each shard, so that most reconnects never
//! read the history.
//!
//! It is filled from the ring, so it ends at the shard's position, and a subscriber that has read
//! it to its end is live. The frames are shared with the other shards; the tail holds pointers, and
//! counts the bytes as if it owned them. It forgets updates that the history discards when the ring
//! reports it.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::history::{Position, SequencedUpdate};
use crate::limits::{TAIL_BYTES_MAX, TAIL_UPDATES_MAX};
use crate::mercure::event_id::EventId;

/// The bounds of a tail; the newest update always stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailBounds {
    /// Updates.
    pub updates_max: usize,
    /// Bytes of updates in memory; the frames are shared with the other shards.
    pub bytes_max: usize,
}

impl Default for TailBounds {
    /// [`TAIL_UPDATES_MAX`] and [`TAIL_BYTES_MAX`].
    fn default() -> Self {
        Self { updates_max: TAIL_UPDATES_MAX, bytes_max: TAIL_BYTES_MAX }
    }
}

/// The newest updates of one shard, in order and without a gap.
pub struct Tail {
    updates: VecDeque<CountedUpdate>,
    bytes: usize,
    bounds: TailBounds,
    /// Positions of the updates whose id no older one has, by the hash of the id.
    by_id: HashTable<Position>,
    hasher: DefaultHashBuilder,
}

/// An update with its counted bytes: its own, and those of the encoded frames that existed when it
/// came here, which are those for live subscribers.
struct CountedUpdate {
    update: SequencedUpdate,
    bytes: u32,
}

impl Tail {
    /// A tail that begins with these updates, the newest of the history.
    pub fn new(bounds: TailBounds, updates: &[SequencedUpdate]) -> Self {
        let mut tail = Self {
            updates: VecDeque::new(),
            bytes: 0,
            bounds,
            by_id: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        };
        updates.iter().for_each(|update| tail.push(update.clone()));
        tail
    }

    /// Appends the next update, and drops the oldest beyond the bounds. The newest always stays.
    pub fn push(&mut self, update: SequencedUpdate) {
        debug_assert!(self.updates.back().is_none_or(|last| last.update.position.next() == update.position));
        let bytes = update.frame.bytes_held() + update.frame.encoded_bytes_held();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.bytes += bytes as usize;
        let (position, first_of_id) = (update.position, update.first_of_id);
        let hash = self.hasher.hash_one(update.frame.id().as_str());
        self.updates.push_back(CountedUpdate { update, bytes });
        if first_of_id {
            let Self { updates, by_id, hasher, .. } = self;
            by_id.insert_unique(hash, position, |position| {
                let update = find(updates, *position).expect("the index holds positions of the tail only");
                hasher.hash_one(update.frame.id().as_str())
            });
        }
        let TailBounds { updates_max, bytes_max } = self.bounds;
        while self.updates.len() > 1 && (self.bytes > bytes_max || self.updates.len() > updates_max) {
            self.forget_oldest();
        }
    }

    /// Drops the updates that the history has discarded.
    pub fn forget_until(&mut self, before_oldest: Position) {
        while self.updates.front().is_some_and(|oldest| oldest.update.position <= before_oldest) {
            self.forget_oldest();
        }
    }

    /// The position of the first update with this id, if the tail is certain; `None` means: ask the
    /// history.
    pub fn locate(&self, id: &str) -> Option<Position> {
        let is_it = |position: &Position| {
            find(&self.updates, *position).is_some_and(|update| update.frame.id().as_str() == id)
        };
        self.by_id.find(self.hasher.hash_one(id), is_it).copied()
    }

    /// The id of the newest update, if there is one.
    pub fn newest_id(&self) -> Option<&EventId> {
        self.updates.back().map(|newest| newest.update.frame.id())
    }

    /// The updates after `cursor`, if the tail reaches back that far.
    pub fn after(&self, cursor: Position) -> Option<impl Iterator<Item = &SequencedUpdate>> {
        let first = self.updates.front()?.update.position;
        let skip = cursor.next().get().checked_sub(first.get())?;
        let skip = usize::try_from(skip).ok().filter(|skip| *skip <= self.updates.len())?;
        Some(self.updates.range(skip..).map(|counted| &counted.update))
    }

    fn forget_oldest(&mut self) {
        let Some(CountedUpdate { update: oldest, bytes }) = self.updates.front() else { return };
        self.bytes -= *bytes as usize;
        if oldest.first_of_id {
            let hash = self.hasher.hash_one(oldest.frame.id().as_str());
            let position = oldest.position;
            if let Ok(entry) = self.by_id.find_entry(hash, |other| *other == position) {
                entry.remove();
            }
        }
        self.updates.pop_front();
    }
}

fn find(updates: &VecDeque<CountedUpdate>, position: Position) -> Option<&SequencedUpdate> {
    let first = updates.front()?.update.position;
    let counted = updates.get(usize::try_from(position.get().checked_sub(first.get())?).ok()?)?;
    Some(&counted.update)
}
