//! The numbers of the file, in one row with a checksum.

use redb::{ReadableDatabase, ReadableTable, Table, TableDefinition};

use super::error::failed;
use super::format::FORMAT;
use super::index::IdHasher;
use crate::history::HistoryError;

/// The two halves of the key for hashing ids; the numbers of [`Meta`], in its order; the CRC-32 of
/// the format's version and of all of them.
pub(super) type MetaFields = (u64, u64, u64, u64, u64, u64, u64, u32);

/// The numbers of the file: one row.
pub(super) const META: TableDefinition<'_, (), MetaFields> = TableDefinition::new("numbers");

/// The numbers of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    /// Hashes event ids with the file's key.
    pub(super) hasher: IdHasher,
    /// The file has no update up to this position.
    pub(super) trimmed: u64,
    /// The newest update; `trimmed` if the file has none.
    pub(super) newest: u64,
    /// Updates up to this one were unreachable when the file was last written.
    pub(super) discarded: u64,
    /// The file's index of ids has every update up to this one.
    pub(super) indexed: u64,
    /// Bytes of all updates ever appended, as counted by [`super::record::bytes`].
    pub(super) bytes: u64,
}

impl Meta {
    /// The numbers of an empty history.
    pub(super) fn new(hasher: IdHasher) -> Self {
        Self { hasher, trimmed: 0, newest: 0, discarded: 0, indexed: 0, bytes: 0 }
    }

    /// Reads and verifies the numbers.
    ///
    /// # Errors
    /// The store failed, or they are not what was stored.
    pub(super) fn read(table: &impl ReadableTable<(), MetaFields>) -> Result<Self, HistoryError> {
        let row = table.get(()).map_err(failed)?.ok_or(HistoryError::AlteredNumbers)?;
        let (key_0, key_1, trimmed, newest, discarded, indexed, bytes, checksum) = row.value();
        let hasher = IdHasher([key_0, key_1]);
        let this = Self { hasher, trimmed, newest, discarded, indexed, bytes };
        if this.checksum() != checksum || trimmed > newest {
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
        let [key_0, key_1] = self.hasher.0;
        let Self { trimmed, newest, discarded, indexed, bytes, .. } = self;
        let row = (key_0, key_1, trimmed, newest, discarded, indexed, bytes, self.checksum());
        table.insert((), row).map(|_| ()).map_err(failed)
    }

    fn checksum(self) -> u32 {
        let [key_0, key_1] = self.hasher.0;
        let Self { trimmed, newest, discarded, indexed, bytes, .. } = self;
        let mut crc = crc32fast::Hasher::new();
        for number in [FORMAT, key_0, key_1, trimmed, newest, discarded, indexed, bytes] {
            crc.update(&number.to_le_bytes());
        }
        crc.finalize()
    }
}
