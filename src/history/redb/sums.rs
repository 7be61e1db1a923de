//! Sums over the index of event ids: they show that no entry of it is lost or altered.
//!
//! An index that has lost an entry would call a known id unknown, or lead to a later update with
//! the same id. The entries are divided by their hashes into [`INDEX_SUMS`] ranges, and each has
//! the number of its entries and the sum of their hashes. A commit adds and subtracts what it
//! changes. A lookup reads the range of its hash if the records do not prove its result.

use std::collections::BTreeMap;

use redb::{ReadableTable, Table, TableDefinition};

use super::error::failed;
use crate::history::HistoryError;
use crate::limits::INDEX_SUMS;

/// An entry of the index: the hash of an event id, and the position of an update that has it.
pub(super) type IndexEntry = (u64, u64);

/// The number of entries of a range, and the sum of their hashes; both wrap around.
pub(super) type Sum = (u64, u64);

/// The sums by the number of the range. A range without an entry may be absent.
pub(super) const ID_SUMS: TableDefinition<'_, u32, Sum> = TableDefinition::new("id_sums");

/// The range of a hash.
fn range_of(hash: u64) -> u32 {
    // The shift leaves the bits that number a range.
    (hash >> (u64::BITS - INDEX_SUMS.ilog2())) as u32
}

/// The first hash of a range, and the last one.
fn hashes(range: u32) -> (u64, u64) {
    let shift = u64::BITS - INDEX_SUMS.ilog2();
    let first = u64::from(range) << shift;
    (first, first | ((1 << shift) - 1))
}

/// One number for an entry: the finalizer of SplitMix64 over both parts, so that a change of any
/// bit changes about half of the bits.
fn mixed((hash, position): IndexEntry) -> u64 {
    let mut bits = hash ^ position.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// What a commit changes.
#[derive(Debug, Default)]
pub(super) struct SumChanges(BTreeMap<u32, Sum>);

impl SumChanges {
    /// An entry is new.
    pub(super) fn added(&mut self, entry: IndexEntry) {
        let (count, sum) = self.0.entry(range_of(entry.0)).or_default();
        (*count, *sum) = (count.wrapping_add(1), sum.wrapping_add(mixed(entry)));
    }

    /// An entry is gone.
    pub(super) fn removed(&mut self, entry: IndexEntry) {
        let (count, sum) = self.0.entry(range_of(entry.0)).or_default();
        (*count, *sum) = (count.wrapping_sub(1), sum.wrapping_sub(mixed(entry)));
    }

    /// Adds the changes to the sums of the file.
    pub(super) fn write(self, sums: &mut Table<'_, u32, Sum>) -> Result<(), HistoryError> {
        for (range, (count, sum)) in self.0 {
            let (counted, summed) =
                sums.get(range).map_err(failed)?.map(|value| value.value()).unwrap_or_default();
            let changed = (counted.wrapping_add(count), summed.wrapping_add(sum));
            sums.insert(range, changed).map_err(failed)?;
        }
        Ok(())
    }
}

/// Verifies the part of the index where entries with this hash belong; returns their positions. It
/// reads the whole range, so it finds them also where a search is led astray.
///
/// # Errors
/// [`HistoryError::AlteredIndex`]: its entries are not those that were stored.
pub(super) fn verified_positions(
    ids: &impl ReadableTable<IndexEntry, ()>,
    sums: &impl ReadableTable<u32, Sum>,
    hash: u64,
) -> Result<Vec<u64>, HistoryError> {
    let mut positions = Vec::new();
    let take = |entry: IndexEntry| {
        if entry.0 == hash {
            positions.push(entry.1);
        }
    };
    verify(ids, sums, range_of(hash), take)?;
    Ok(positions)
}

/// Verifies the whole index.
///
/// # Errors
/// The same.
pub(super) fn verify_all(
    ids: &impl ReadableTable<IndexEntry, ()>,
    sums: &impl ReadableTable<u32, Sum>,
) -> Result<(), HistoryError> {
    (0..INDEX_SUMS).try_for_each(|range| verify(ids, sums, range, |_| {}))
}

fn verify(
    ids: &impl ReadableTable<IndexEntry, ()>,
    sums: &impl ReadableTable<u32, Sum>,
    range: u32,
    mut take: impl FnMut(IndexEntry),
) -> Result<(), HistoryError> {
    let (first, last) = hashes(range);
    let (mut count, mut sum) = (0_u64, 0_u64);
    for entry in ids.range((first, 0)..=(last, u64::MAX)).map_err(failed)? {
        let entry = entry.map_err(failed)?.0.value();
        (count, sum) = (count + 1, sum.wrapping_add(mixed(entry)));
        take(entry);
    }
    let stored = sums.get(range).map_err(failed)?.map(|value| value.value()).unwrap_or_default();
    if stored != (count, sum) {
        return Err(HistoryError::AlteredIndex);
    }
    Ok(())
}
