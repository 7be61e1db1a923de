//! The numbers of the file, in one row with a checksum.

use redb::{ReadableDatabase, ReadableTable, Table, TableDefinition};

use super::error::failed;
use super::format::FORMAT;
use super::index::IdHasher;
use crate::history::HistoryError;

/// The numbers of the file, in the order of [`Meta::numbers`]; the CRC-32 of the format's version
/// and of all of them.
pub(super) type MetaFields = ([u64; NUMBERS], u32);

const NUMBERS: usize = 16;

/// The numbers of the file: one row.
pub(super) const META: TableDefinition<'_, (), MetaFields> = TableDefinition::new("numbers");

/// The numbers of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    /// Hashes event ids with the file's key.
    pub(super) hasher: IdHasher,
    /// The newest position that was given; 0 if none was.
    pub(super) newest: u64,
    /// The file's index of ids has every update up to the one with this number.
    pub(super) indexed: u64,
    /// The updates, without events of subscriptions.
    pub(super) updates: KindTotals,
    /// The events of subscriptions.
    pub(super) events: KindTotals,
}

/// The numbers of the updates, or of the events of subscriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KindTotals {
    /// How many were ever appended: the number of the newest.
    pub(super) count: u64,
    /// The bytes of these, as counted by [`super::record::bytes`].
    pub(super) bytes: u64,
    /// The position of the newest; 0 if there never was one.
    pub(super) newest: u64,
    /// The file has none up to this position.
    pub(super) trimmed: u64,
    /// Those up to this position were unreachable when the file was last written.
    pub(super) discarded: Discarded,
}

/// What is unreachable of the updates, or of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Discarded {
    /// Everything up to this position.
    pub(super) until: u64,
    /// The number of the last one.
    pub(super) count: u64,
}

impl Meta {
    /// The numbers of an empty history.
    pub(super) fn new(hasher: IdHasher) -> Self {
        let (updates, events) = (KindTotals::default(), KindTotals::default());
        Self { hasher, newest: 0, indexed: 0, updates, events }
    }

    /// Reads and verifies the numbers.
    ///
    /// # Errors
    /// The store failed, or they are not what was stored.
    pub(super) fn read(table: &impl ReadableTable<(), MetaFields>) -> Result<Self, HistoryError> {
        let row = table.get(()).map_err(failed)?.ok_or(HistoryError::AlteredNumbers)?;
        let (numbers, stored) = row.value();
        let [key_0, key_1, newest, indexed, u0, u1, u2, u3, u4, u5, events @ ..] = numbers;
        let (updates, events) = (KindTotals::of([u0, u1, u2, u3, u4, u5]), KindTotals::of(events));
        let this = Self { hasher: IdHasher([key_0, key_1]), newest, indexed, updates, events };
        if checksum(&numbers) != stored || updates.newest.max(events.newest) > newest {
            return Err(HistoryError::AlteredNumbers);
        }
        Ok(this)
    }

    /// The numbers of the last commit.
    ///
    /// # Errors
    /// The same.
    pub(super) fn of(database: &impl ReadableDatabase) -> Result<Self, HistoryError> {
        let transaction = database.begin_read().map_err(failed)?;
        Self::read(&transaction.open_table(META).map_err(failed)?)
    }

    /// Writes the numbers.
    pub(super) fn write(self, table: &mut Table<'_, (), MetaFields>) -> Result<(), HistoryError> {
        let numbers = self.numbers();
        table.insert((), (numbers, checksum(&numbers))).map(|_| ()).map_err(failed)
    }

    fn numbers(self) -> [u64; NUMBERS] {
        let [key_0, key_1] = self.hasher.0;
        let Self { newest, indexed, updates, events, .. } = self;
        let [u0, u1, u2, u3, u4, u5] = updates.numbers();
        let [e0, e1, e2, e3, e4, e5] = events.numbers();
        [key_0, key_1, newest, indexed, u0, u1, u2, u3, u4, u5, e0, e1, e2, e3, e4, e5]
    }
}

impl KindTotals {
    fn of([count, bytes, newest, trimmed, until, discarded]: [u64; 6]) -> Self {
        Self { count, bytes, newest, trimmed, discarded: Discarded { until, count: discarded } }
    }

    fn numbers(self) -> [u64; 6] {
        let Self { count, bytes, newest, trimmed, discarded } = self;
        [count, bytes, newest, trimmed, discarded.until, discarded.count]
    }

    /// How many are reachable.
    pub(super) fn held(&self, discarded: Discarded) -> u64 {
        self.count.saturating_sub(discarded.count)
    }
}

fn checksum(numbers: &[u64; NUMBERS]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&FORMAT.to_le_bytes());
    numbers.iter().for_each(|number| crc.update(&number.to_le_bytes()));
    crc.finalize()
}
