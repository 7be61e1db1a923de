//! The tail: the newest updates, kept by each shard beside its ring, so that most reconnects never touch the history.
//!
//! It is filled as the ring is drained, so it ends where the shard is, and a subscriber that has read it to its end is
//! live. The frames are shared with everyone else; the tail holds pointers. It forgets under the same bounds as the
//! history, so that it never knows an update which the history has discarded.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::history::{Placed, Position, Retention};
use crate::limits::{TAIL_BYTES_MAX, TAIL_UPDATES_MAX};

/// The newest updates of one shard, in order and without a hole.
pub struct Tail {
    updates: VecDeque<Placed>,
    bytes: usize,
    bytes_max: usize,
    updates_max: usize,
    /// Positions of the updates whose id no older one has, by the hash of the id.
    by_id: HashTable<Position>,
    hasher: DefaultHashBuilder,
}

impl Tail {
    /// An empty tail, bounded by [`TAIL_BYTES_MAX`], [`TAIL_UPDATES_MAX`] and what the history keeps.
    pub fn new(retention: Retention) -> Self {
        let bound = |max: u64, own: usize| match usize::try_from(max) {
            Ok(max) if max > 0 => own.min(max),
            _ => own,
        };
        Self {
            updates: VecDeque::new(),
            bytes: 0,
            bytes_max: bound(retention.bytes_max, TAIL_BYTES_MAX),
            updates_max: bound(retention.updates_max, TAIL_UPDATES_MAX),
            by_id: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Appends the next update, and forgets the oldest beyond the bounds. The newest always stays.
    pub fn push(&mut self, placed: Placed) {
        debug_assert!(self.updates.back().is_none_or(|last| last.position.next() == placed.position));
        self.bytes += placed.frame.bytes_held();
        let (position, first_of_id) = (placed.position, placed.first_of_id);
        let hash = self.hasher.hash_one(placed.frame.id().as_str());
        self.updates.push_back(placed);
        if first_of_id {
            let Self { updates, by_id, hasher, .. } = self;
            by_id.insert_unique(hash, position, |position| {
                let placed = find(updates, *position).expect("the index holds positions of the tail only");
                hasher.hash_one(placed.frame.id().as_str())
            });
        }
        while self.updates.len() > 1 && (self.bytes > self.bytes_max || self.updates.len() > self.updates_max)
        {
            self.forget_oldest();
        }
    }

    /// The place of the first update with this id, when the tail knows for sure; `None` means: ask the history.
    pub fn locate(&self, id: &str) -> Option<Position> {
        let is_it = |position: &Position| {
            find(&self.updates, *position).is_some_and(|placed| placed.frame.id().as_str() == id)
        };
        self.by_id.find(self.hasher.hash_one(id), is_it).copied()
    }

    /// The updates after `cursor`, when the tail reaches back that far.
    pub fn after(&self, cursor: Position) -> Option<impl Iterator<Item = &Placed>> {
        let first = self.updates.front()?.position;
        let skip = cursor.next().get().checked_sub(first.get())?;
        Some(self.updates.range(usize::try_from(skip).ok().filter(|skip| *skip <= self.updates.len())?..))
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.updates.front() else { return };
        self.bytes -= oldest.frame.bytes_held();
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

fn find(updates: &VecDeque<Placed>, position: Position) -> Option<&Placed> {
    let first = updates.front()?.position;
    updates.get(usize::try_from(position.get().checked_sub(first.get())?).ok()?)
}
