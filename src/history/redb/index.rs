//! The index of the event ids: which update has an id, found with one look.
//!
//! Ids are random, so an index of them in a tree costs a page for each new one: far more than the update itself. New entries
//! therefore wait in memory, sorted by the hash of the id, and go to the file in slices: a sweep goes round the hashes, and
//! each slice is dense, so its entries share pages. Until then the file has them in the order of the updates, where they share
//! pages too, and from there they are read when it is opened.
//!
//! Invariants worth naming:
//! - every update after `Meta::indexed` is among the recent ones of the file, and waits or is in the index; every one up to it
//!   that is held is in the index;
//! - an entry is a hint: the record at its position is compared before it counts. So entries of updates that are gone do
//!   no harm, and a sweep takes them out as it passes.

use std::collections::BTreeSet;
use std::hash::Hasher as _;

use redb::{ReadableTable, Table, TableDefinition};
use siphasher::sip::SipHasher13;

use super::failed;
use super::record::{self, Fields};
use crate::history::HistoryError;
use crate::limits::{INDEX_SLICE, INDEX_WAITING_MAX};

/// The index in the file: nothing for each (hash of an id, position).
pub(super) const IDS: TableDefinition<'_, Entry, ()> = TableDefinition::new("ids");

/// The hashes of the ids that the index may not have yet, by position.
pub(super) const RECENT: TableDefinition<'_, u64, u64> = TableDefinition::new("recent");

/// The hash of an event id, and the position of an update that has it.
pub(super) type Entry = (u64, u64);

const LAST: Entry = (u64::MAX, u64::MAX);

/// Hashes ids. The key is the file's own, so nobody can choose ids that collide.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdHasher(pub(super) [u64; 2]);

impl IdHasher {
    pub(super) fn hash(self, id: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0[0], self.0[1]);
        hasher.write(id.as_bytes());
        hasher.finish()
    }
}

/// Entries that the file's index does not have yet.
pub(super) struct Waiting {
    entries: BTreeSet<Entry>,
    /// The sweep has passed every hash before this.
    swept_until: Entry,
    /// The newest update when the sweep began: when it ends, the file's index has everything up to there.
    sweep_began_at: u64,
}

/// What a commit moves to the file's index.
pub(super) struct Slice {
    entries: Vec<Entry>,
    from: Entry,
    to: Entry,
    /// The sweep ends with it: `Meta::indexed` from then on.
    pub(super) indexed: Option<u64>,
}

impl Waiting {
    /// These entries wait, up to that of update `newest`.
    pub(super) fn new(entries: impl Iterator<Item = Entry>, newest: u64) -> Self {
        Self { entries: entries.collect(), swept_until: (0, 0), sweep_began_at: newest }
    }

    /// Positions of updates whose id has this hash.
    pub(super) fn positions(&self, hash: u64) -> Vec<u64> {
        self.entries.range((hash, 0)..=(hash, u64::MAX)).map(|(_, position)| *position).collect()
    }

    /// What has to move when so many entries come; `None` when there is room.
    pub(super) fn next_slice(&self, incoming: usize) -> Option<Slice> {
        if self.entries.len() + incoming <= INDEX_WAITING_MAX {
            return None;
        }
        let slice = INDEX_SLICE.max(2 * incoming);
        let entries: Vec<Entry> = self.entries.range(self.swept_until..).take(slice).copied().collect();
        let ends = entries.len() < slice;
        let to = entries.last().copied().filter(|_| !ends).unwrap_or(LAST);
        Some(Slice { entries, from: self.swept_until, to, indexed: ends.then_some(self.sweep_began_at) })
    }

    /// The commit is done: the slice is in the file, and these entries wait; the newest update is `newest`.
    pub(super) fn committed(&mut self, slice: Option<Slice>, new: impl Iterator<Item = Entry>, newest: u64) {
        self.entries.extend(new);
        let Some(slice) = slice else { return };
        for entry in &slice.entries {
            self.entries.remove(entry);
        }
        if slice.indexed.is_some() {
            (self.swept_until, self.sweep_began_at) = ((0, 0), newest);
        } else {
            let (hash, position) = slice.to;
            self.swept_until = (hash, position.saturating_add(1));
        }
    }
}

impl Slice {
    /// Writes the entries of updates after `discarded`, and takes out those of updates that are gone.
    pub(super) fn write(&self, ids: &mut Table<'_, Entry, ()>, discarded: u64) -> Result<(), HistoryError> {
        if discarded > 0 {
            let is_held = |(_, position): Entry, ()| position > discarded;
            ids.retain_in(self.from..=self.to, is_held).map_err(failed)?;
        }
        for entry in self.entries.iter().filter(|(_, position)| *position > discarded) {
            ids.insert(*entry, ()).map_err(failed)?;
        }
        Ok(())
    }
}

/// The first update after `discarded` that has this id; `waiting` are the positions for its hash that wait.
pub(super) fn first_with_id(
    ids: &impl ReadableTable<Entry, ()>,
    updates: &impl ReadableTable<u64, Fields<'static>>,
    (id, hash): (&str, u64),
    waiting: Vec<u64>,
    discarded: u64,
) -> Result<Option<u64>, HistoryError> {
    let mut candidates = waiting;
    for entry in ids.range((hash, discarded.saturating_add(1))..=(hash, u64::MAX)).map_err(failed)? {
        let (key, _) = entry.map_err(failed)?;
        candidates.push(key.value().1);
    }
    candidates.sort_unstable();
    for position in candidates.into_iter().filter(|position| *position > discarded) {
        if updates.get(position).map_err(failed)?.is_some_and(|value| record::id(&value.value()) == id) {
            return Ok(Some(position));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_moves_everything_that_waited_when_it_began() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut waiting = Waiting::new(std::iter::empty(), 0);
        let (mut newest, mut indexed) = (0, 0);
        let mut moved = BTreeSet::new();
        let mut all = BTreeSet::new();
        while indexed < 3 * INDEX_WAITING_MAX as u64 {
            let new: Vec<Entry> = (1..=200).map(|nth| (random.u64(..), newest + nth)).collect();
            let slice = waiting.next_slice(new.len());
            if let Some(slice) = &slice {
                assert!(slice.entries.len() <= INDEX_SLICE.max(400));
                assert!(slice.entries.iter().all(|entry| (slice.from..=slice.to).contains(entry)));
                moved.extend(slice.entries.iter().copied());
                indexed = slice.indexed.unwrap_or(indexed);
            }
            newest += 200;
            all.extend(new.iter().copied());
            waiting.committed(slice, new.into_iter(), newest);
            assert!(waiting.entries.len() <= INDEX_WAITING_MAX);
            assert!(waiting.entries.is_disjoint(&moved), "moved twice");
        }
        assert_eq!(&moved | &waiting.entries, all, "nothing is forgotten");
        assert!(waiting.entries.iter().all(|(_, position)| *position > indexed), "indexed means indexed");
    }
}
