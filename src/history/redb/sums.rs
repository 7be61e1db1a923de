//! Sums over the index of event ids: they show that no entry of it is lost or altered.
//!
//! An index that has lost an entry would call a known id unknown, or lead to a later update with
//! the same id. The entries are divided by their hashes into [`INDEX_SUMS`] ranges, and each has
//! the sum of its entries. A commit adds and subtracts what it changes. A lookup reads the range of
//! its hash if the records do not prove its result; so ranges are small. A commit moves entries
//! with hashes that follow each other; so the sums of some ranges share a row.

use std::collections::BTreeMap;

use redb::{ReadableTable, Table, TableDefinition};

use super::error::failed;
use crate::history::HistoryError;
use crate::limits::{INDEX_SUMS, INDEX_SUMS_IN_ROW};

/// An entry of the index: the hash of an event id, and the position of an update that has it.
pub(super) type IndexEntry = (u64, u64);

/// The sums of the ranges of a row; they wrap around.
pub(super) type Sums = [u32; INDEX_SUMS_IN_ROW];

/// The sums by the number of the row. A row without an entry may be absent.
pub(super) const ID_SUMS: TableDefinition<'_, u32, Sums> = TableDefinition::new("id_sums");

/// The range of a hash.
fn range_of(hash: u64) -> u32 {
    // The shift leaves the bits that number a range.
    (hash >> (u64::BITS - INDEX_SUMS.ilog2())) as u32
}

/// The row of a range, and its place there.
fn place_of(range: u32) -> (u32, usize) {
    let in_row = INDEX_SUMS_IN_ROW as u32;
    (range / in_row, (range % in_row) as usize)
}

/// The first hash of a range, and the last one.
fn hashes(range: u32) -> (u64, u64) {
    let shift = u64::BITS - INDEX_SUMS.ilog2();
    let first = u64::from(range) << shift;
    (first, first | ((1 << shift) - 1))
}

/// One number for an entry: a half of the finalizer of SplitMix64 over both parts, so that a change
/// of any bit changes about half of the bits.
fn mixed((hash, position): IndexEntry) -> u32 {
    let mut bits = hash ^ position.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (bits >> 32) as u32
}

/// What a commit changes: what is added to the sums of a row.
#[derive(Debug, Default)]
pub(super) struct SumChanges(BTreeMap<u32, Sums>);

impl SumChanges {
    /// An entry is new.
    pub(super) fn added(&mut self, entry: IndexEntry) {
        let sum = self.sum_of(entry);
        *sum = sum.wrapping_add(mixed(entry));
    }

    /// An entry is gone.
    pub(super) fn removed(&mut self, entry: IndexEntry) {
        let sum = self.sum_of(entry);
        *sum = sum.wrapping_sub(mixed(entry));
    }

    fn sum_of(&mut self, entry: IndexEntry) -> &mut u32 {
        let (row, place) = place_of(range_of(entry.0));
        &mut self.0.entry(row).or_default()[place]
    }

    /// Adds the changes to the sums of the file.
    pub(super) fn write(self, table: &mut Table<'_, u32, Sums>) -> Result<(), HistoryError> {
        for (row, changes) in self.0 {
            let mut sums = table.get(row).map_err(failed)?.map(|value| value.value()).unwrap_or_default();
            for (sum, change) in sums.iter_mut().zip(changes) {
                *sum = sum.wrapping_add(change);
            }
            table.insert(row, sums).map_err(failed)?;
        }
        Ok(())
    }
}

/// The part of the index where entries with a hash belong. All of it is read, so entries are found
/// also where a search is led astray.
pub(super) struct IndexRange {
    /// The positions of the entries with the hash.
    pub(super) positions: Vec<u64>,
    number: u32,
    sum: u32,
}

impl IndexRange {
    /// Reads the range of a hash.
    pub(super) fn read(ids: &impl ReadableTable<IndexEntry, ()>, hash: u64) -> Result<Self, HistoryError> {
        let mut this = Self { positions: Vec::new(), number: range_of(hash), sum: 0 };
        let (first, last) = hashes(this.number);
        for entry in ids.range((first, 0)..=(last, u64::MAX)).map_err(failed)? {
            let entry = entry.map_err(failed)?.0.value();
            this.sum = this.sum.wrapping_add(mixed(entry));
            if entry.0 == hash {
                this.positions.push(entry.1);
            }
        }
        Ok(this)
    }

    /// Verifies that its entries are those that were stored.
    ///
    /// # Errors
    /// [`HistoryError::AlteredIndex`]: they are not.
    pub(super) fn verify(&self, sums: &impl ReadableTable<u32, Sums>) -> Result<(), HistoryError> {
        let (row, place) = place_of(self.number);
        let stored = sums.get(row).map_err(failed)?.map(|value| value.value()).unwrap_or_default();
        if stored[place] == self.sum { Ok(()) } else { Err(HistoryError::AlteredIndex) }
    }
}

/// Verifies the whole index.
///
/// # Errors
/// The same.
pub(super) fn verify_all(
    ids: &impl ReadableTable<IndexEntry, ()>,
    sums: &impl ReadableTable<u32, Sums>,
) -> Result<(), HistoryError> {
    let mut found = SumChanges::default();
    for entry in ids.iter().map_err(failed)? {
        found.added(entry.map_err(failed)?.0.value());
    }
    for row in sums.iter().map_err(failed)? {
        let (row, stored) = row.map_err(failed)?;
        if found.0.remove(&row.value()).unwrap_or_default() != stored.value() {
            return Err(HistoryError::AlteredIndex);
        }
    }
    let is_left = found.0.into_values().any(|sums| sums != Sums::default());
    if is_left { Err(HistoryError::AlteredIndex) } else { Ok(()) }
}
