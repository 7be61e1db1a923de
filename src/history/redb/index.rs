//! The index of event ids: finds the updates with an id in one lookup.
//!
//! Ids are random, so a new id in a tree costs a page. New entries therefore wait in memory, in
//! buckets by hash, and a sweep moves them to the file in dense slices. Until then the file has
//! them in update order (`new_ids`), from which they are read at start.
//!
//! Invariants: every update after `Meta::indexed` is in `new_ids`, and its id waits or is in the
//! index; the id of every held update up to it is in the index. An entry is a hint: the record at
//! its position is compared first, and a sweep removes stale ones. An id is unknown, or a later
//! update has it, only if no entry with its hash is lost, which `sums` shows. Ids of events of
//! subscriptions are not in here: see `event_ids`.

use std::hash::Hasher as _;
use std::ops::Range;

use redb::{ReadableTable, Table, TableDefinition};
use siphasher::sip::SipHasher13;

use super::error::failed;
use super::record::{Record, RecordFields, with_record};
pub(super) use super::sums::IndexEntry;
use super::sums::{IndexRange, SumChanges, Sums};
use crate::history::HistoryError;
use crate::limits::{INDEX_BUCKETS, INDEX_SLICE, INDEX_WAITING_MAX};

/// The index in the file, without values: keys are (hash of an id, position).
pub(super) const IDS: TableDefinition<'_, IndexEntry, ()> = TableDefinition::new("ids");

/// An id that the index may not have yet: its hash, the number of its update, and the checksum of
/// the entry.
pub(super) type NewId = (u64, u64, u32);

/// The ids that the index may not have yet, by position.
pub(super) const NEW_IDS: TableDefinition<'_, u64, NewId> = TableDefinition::new("new_ids");

/// Hashes ids. Each file has a random key, so clients cannot choose ids that collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdHasher(pub(super) [u64; 2]);

impl IdHasher {
    pub(super) fn hash(self, id: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0[0], self.0[1]);
        hasher.write(id.as_bytes());
        hasher.finish()
    }
}

/// The value in [`NEW_IDS`] of the update at this position.
pub(super) fn new_id(position: u64, hash: u64, number: u64) -> NewId {
    let mut crc = crc32fast::Hasher::new();
    [position, hash, number].iter().for_each(|number| crc.update(&number.to_le_bytes()));
    (hash, number, crc.finalize())
}

/// Entries that the file's index does not have yet.
pub(super) struct UnindexedIds {
    /// Indexed by the first bits of the hash, so in hash order. Entries of one bucket are in update
    /// order.
    buckets: Box<[Vec<IndexEntry>]>,
    count: usize,
    /// The sweep has passed every bucket before this one.
    swept_until: usize,
    /// The number of the newest update when the sweep began. When the sweep ends, the file's index
    /// is complete up to it.
    sweep_began_at: u64,
}

/// The entries that a commit moves to the file's index: whole buckets.
pub(super) struct Slice {
    entries: Vec<IndexEntry>,
    buckets: Range<usize>,
    /// The new `Meta::indexed`, if the sweep ends with this slice.
    pub(super) indexed: Option<u64>,
}

/// The bucket of a hash.
fn bucket_of(hash: u64) -> usize {
    (hash >> (u64::BITS - INDEX_BUCKETS.ilog2())) as usize
}

/// The smallest hash of a bucket.
fn first_hash(bucket: usize) -> u64 {
    (bucket as u64) << (u64::BITS - INDEX_BUCKETS.ilog2())
}

impl UnindexedIds {
    /// Creates the waiting entries; `newest` is the number of the newest update.
    pub(super) fn new(entries: impl Iterator<Item = IndexEntry>, newest: u64) -> Self {
        let buckets = vec![Vec::new(); INDEX_BUCKETS].into();
        let mut this = Self { buckets, count: 0, swept_until: 0, sweep_began_at: newest };
        this.extend(entries);
        this
    }

    /// Positions of updates whose id has this hash.
    pub(super) fn positions(&self, hash: u64) -> Vec<u64> {
        let same = self.buckets[bucket_of(hash)].iter().filter(|(other, _)| *other == hash);
        same.map(|(_, position)| *position).collect()
    }

    /// The slice to move before `incoming` more entries come; `None` if there is room.
    pub(super) fn next_slice(&self, incoming: usize) -> Option<Slice> {
        if self.count + incoming <= INDEX_WAITING_MAX {
            return None;
        }
        let slice = INDEX_SLICE.max(2 * incoming);
        let mut entries = Vec::with_capacity(slice);
        let mut end = self.swept_until;
        while let Some(bucket) = self.buckets.get(end)
            && (entries.is_empty() || entries.len() + bucket.len() <= slice)
        {
            entries.extend_from_slice(bucket);
            end += 1;
        }
        entries.sort_unstable();
        let indexed = (end == INDEX_BUCKETS).then_some(self.sweep_began_at);
        Some(Slice { entries, buckets: self.swept_until..end, indexed })
    }

    /// Call this after the commit: the slice is in the file, and the new entries wait. `newest` is
    /// the number of the newest update.
    pub(super) fn committed(
        &mut self,
        slice: Option<Slice>,
        new: impl Iterator<Item = IndexEntry>,
        newest: u64,
    ) {
        if let Some(Slice { buckets, indexed, .. }) = slice {
            self.swept_until = buckets.end;
            for bucket in &mut self.buckets[buckets] {
                self.count -= bucket.len();
                bucket.clear();
            }
            if indexed.is_some() {
                (self.swept_until, self.sweep_began_at) = (0, newest);
            }
        }
        self.extend(new);
    }

    fn extend(&mut self, entries: impl Iterator<Item = IndexEntry>) {
        for entry in entries {
            self.buckets[bucket_of(entry.0)].push(entry);
            self.count += 1;
        }
    }
}

impl Slice {
    /// Writes the entries of updates after `discarded`, and removes those of updates that are gone.
    pub(super) fn write(
        &self,
        ids: &mut Table<'_, IndexEntry, ()>,
        sums: &mut Table<'_, u32, Sums>,
        discarded: u64,
    ) -> Result<(), HistoryError> {
        let mut changes = SumChanges::default();
        if discarded > 0 {
            let is_held = |entry: IndexEntry, ()| {
                let is_held = entry.1 > discarded;
                if !is_held {
                    changes.removed(entry);
                }
                is_held
            };
            let from = (first_hash(self.buckets.start), 0);
            let retained = match self.buckets.end {
                INDEX_BUCKETS => ids.retain_in(from.., is_held),
                end => ids.retain_in(from..(first_hash(end), 0), is_held),
            };
            retained.map_err(failed)?;
        }
        for entry in self.entries.iter().filter(|(_, position)| *position > discarded) {
            // After a restart, a sweep meets entries that the one before has written.
            if ids.insert(*entry, ()).map_err(failed)?.is_none() {
                changes.added(*entry);
            }
        }
        changes.write(sums)
    }
}

/// The tables that find an id.
pub(super) struct IdTables<'t, I, S, R> {
    pub(super) ids: &'t I,
    pub(super) sums: &'t S,
    pub(super) records: &'t R,
    pub(super) events: &'t R,
}

/// Entries with the hash of an id that the file's index does not have.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Positions of updates.
    pub(super) updates: Vec<u64>,
    /// Positions of events of subscriptions.
    pub(super) events: Vec<u64>,
}

impl<I, S, R> IdTables<'_, I, S, R>
where
    I: ReadableTable<IndexEntry, ()>,
    S: ReadableTable<u32, Sums>,
    R: ReadableTable<u64, RecordFields<'static>>,
{
    /// The first update or event of these positions that has this id; `held` are the positions of
    /// updates, and events of it count after `events_after`.
    pub(super) fn first_with_id(
        &self,
        (id, hash): (&str, u64),
        candidates: Candidates,
        held: Range<u64>,
        events_after: u64,
    ) -> Result<Option<u64>, HistoryError> {
        let indexed = IndexRange::read(self.ids, hash)?;
        let Candidates { updates, events } = candidates;
        let updates = updates.into_iter().chain(indexed.positions.iter().copied());
        let events = events.into_iter().filter(|position| *position > events_after);
        let mut places: Vec<(u64, bool)> = updates
            .map(|position| (position, false))
            .chain(events.map(|position| (position, true)))
            .collect();
        places.sort_unstable();
        let mut found = None;
        for (position, is_event) in places.into_iter().filter(|(position, _)| held.contains(position)) {
            let has_it = |record: &Record<'_>| (record.id() == id).then_some(record.head().first_of_id);
            let table = if is_event { self.events } else { self.records };
            match with_record(table, position, has_it)? {
                None => {}
                // Its record says that no older one has the id.
                Some(true) => return Ok(Some(position)),
                Some(false) => {
                    found = Some(position);
                    break;
                }
            }
        }
        indexed.verify(self.sums)?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_sweep_moves_everything_that_waited_when_it_began() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut waiting = UnindexedIds::new(std::iter::empty(), 0);
        let (mut newest, mut indexed) = (0, 0);
        let mut moved = BTreeSet::new();
        let mut all = BTreeSet::new();
        while indexed < 3 * INDEX_WAITING_MAX as u64 {
            let new: Vec<IndexEntry> = (1..=200).map(|nth| (random.u64(..), newest + nth)).collect();
            let slice = waiting.next_slice(new.len());
            if let Some(slice) = &slice {
                assert!(slice.entries.len() <= INDEX_SLICE.max(400));
                assert!(slice.entries.is_sorted());
                assert!(slice.entries.iter().all(|(hash, _)| slice.buckets.contains(&bucket_of(*hash))));
                moved.extend(slice.entries.iter().copied());
                indexed = slice.indexed.unwrap_or(indexed);
            }
            newest += 200;
            all.extend(new.iter().copied());
            waiting.committed(slice, new.iter().copied(), newest);
            assert_eq!(waiting.count, waiting.buckets.iter().map(Vec::len).sum::<usize>());
            assert!(waiting.count <= INDEX_WAITING_MAX);
            let (hash, position) = new[0];
            assert_eq!(waiting.positions(hash), [position]);
        }
        let left: BTreeSet<IndexEntry> = waiting.buckets.iter().flatten().copied().collect();
        assert!(left.is_disjoint(&moved), "moved twice");
        assert_eq!(&moved | &left, all, "nothing is forgotten");
        assert!(left.iter().all(|(_, position)| *position > indexed), "indexed means indexed");
    }
}
