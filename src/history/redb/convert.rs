//! Converts a file of format 2, whose records have no checksums, when it is opened.
//!
//! The caller has verified all pages. The first transaction makes the numbers and the tables of the
//! new format, the next ones move the records, a bounded number in each. After each, the next start
//! can go on: while the table `updates` exists, the conversion is not finished.
//!
//! | table of format 2 | key | value | becomes |
//! |---|---|---|---|
//! | `meta` | name | `format`, the hash key, the numbers | `meta` (`format` only), `numbers` |
//! | `updates` | position | a record without its checksum | `records` |
//! | `recent` | position | the hash of its event id | `new_ids` |
//! | `ids` | | | stays, and gets `id_sums` |

use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableHandle as _,
    WriteTransaction,
};

use super::error::failed;
use super::format::{FORMAT, VERSIONS};
use super::index::{IDS, IdHasher, NEW_IDS, new_id};
use super::meta::{Discarded, KindTotals, META, Meta};
use super::record::{EVENTS, RECORDS, insert_fields};
use super::sums::{ID_SUMS, SumChanges};
use super::write::transact;
use crate::history::HistoryError;
use crate::limits::CONVERT_UPDATES;

/// The version that is converted.
pub(super) const OLD_FORMAT: u64 = 2;

/// The fields of a record of the old format.
type OldFields<'a> = (u64, u64, u8, bool, Vec<&'a str>, Vec<&'a str>, &'a str, &'a [u8]);

/// The records of the old format.
pub(super) const UPDATES: TableDefinition<'_, u64, OldFields<'static>> = TableDefinition::new("updates");
/// The waiting ids of the old format.
pub(super) const RECENT: TableDefinition<'_, u64, u64> = TableDefinition::new("recent");
/// The names of the numbers of the old format.
pub(super) const NUMBERS: [&str; 7] =
    ["hash_key_0", "hash_key_1", "trimmed", "newest", "discarded", "indexed", "bytes"];

/// The newest update of a file of either format.
pub(super) fn newest(database: &Database) -> Result<u64, HistoryError> {
    let transaction = database.begin_read().map_err(failed)?;
    let versions = transaction.open_table(VERSIONS).map_err(failed)?;
    match versions.get("format").map_err(failed)?.is_some_and(|version| version.value() == OLD_FORMAT) {
        true => old_numbers(&versions).map(|meta| meta.newest),
        false => Meta::of(database).map(|meta| meta.newest),
    }
}

/// Converts the file, or finishes a conversion.
pub(super) fn convert(database: &Database) -> Result<(), HistoryError> {
    transact(database, Durability::Immediate, begin)?;
    while transact(database, Durability::Immediate, move_records)? {}
    Ok(())
}

/// The numbers of a file of the old format. Its events of subscriptions count as updates.
fn old_numbers(versions: &impl ReadableTable<&'static str, u64>) -> Result<Meta, HistoryError> {
    let mut numbers = [0; NUMBERS.len()];
    for (number, name) in numbers.iter_mut().zip(NUMBERS) {
        let value = versions.get(name).map_err(failed)?;
        // The counters of an empty history are absent.
        *number = match value {
            Some(value) => value.value(),
            None if name.starts_with("hash_key") => return Err(HistoryError::AlteredNumbers),
            None => 0,
        };
    }
    let [key_0, key_1, trimmed, newest, discarded, indexed, bytes] = numbers;
    let until = discarded.max(trimmed);
    let updates =
        KindTotals { count: newest, bytes, newest, trimmed, discarded: Discarded { until, count: until } };
    // There are no events yet, and none is looked for before the oldest update.
    let discarded = Discarded { until, count: 0 };
    let events = KindTotals { trimmed, discarded, ..KindTotals::default() };
    Ok(Meta { hasher: IdHasher([key_0, key_1]), newest, indexed, updates, events })
}

/// Makes the tables of the new format, if they are not there yet.
fn begin(transaction: &WriteTransaction) -> Result<(), HistoryError> {
    let mut versions = transaction.open_table(VERSIONS).map_err(failed)?;
    if versions.get("format").map_err(failed)?.is_none_or(|version| version.value() != OLD_FORMAT) {
        return Ok(());
    }
    if transaction.list_tables().map_err(failed)?.any(|table| table.name() == META.name()) {
        // The version was altered: the file has the new format.
        return Err(HistoryError::AlteredNumbers);
    }
    let meta = old_numbers(&versions)?;
    for name in NUMBERS {
        versions.remove(name).map_err(failed)?;
    }
    versions.insert("format", FORMAT).map_err(failed)?;
    meta.write(&mut transaction.open_table(META).map_err(failed)?)?;
    let mut changes = SumChanges::default();
    for entry in transaction.open_table(IDS).map_err(failed)?.iter().map_err(failed)? {
        changes.added(entry.map_err(failed)?.0.value());
    }
    changes.write(&mut transaction.open_table(ID_SUMS).map_err(failed)?)?;
    let recent = transaction.open_table(RECENT).map_err(failed)?;
    let mut new_ids = transaction.open_table(NEW_IDS).map_err(failed)?;
    for entry in recent.iter().map_err(failed)? {
        let (position, hash) = entry.map_err(failed)?;
        let position = position.value();
        new_ids.insert(position, new_id(position, hash.value(), position)).map_err(failed)?;
    }
    drop(recent);
    transaction.delete_table(RECENT).map_err(failed)?;
    transaction.open_table(RECORDS).map_err(failed)?;
    transaction.open_table(EVENTS).map_err(failed)?;
    Ok(())
}

/// Moves some records; returns whether some are left.
fn move_records(transaction: &WriteTransaction) -> Result<bool, HistoryError> {
    let mut old = transaction.open_table(UPDATES).map_err(failed)?;
    let mut records = transaction.open_table(RECORDS).map_err(failed)?;
    for _ in 0..CONVERT_UPDATES {
        let Some((position, value)) = old.pop_first().map_err(failed)? else {
            drop(old);
            transaction.delete_table(UPDATES).map_err(failed)?;
            return Ok(false);
        };
        let (unix_ms, bytes_before, kind, first_of_id, topics, targets, id, event) = value.value();
        let (position, before) = (position.value(), position.value().saturating_sub(1));
        let fields =
            (unix_ms, bytes_before, position, before, kind, first_of_id, topics, targets, id, event, 0);
        insert_fields(&mut records, position, fields)?;
    }
    Ok(true)
}

/// A conversion that ends after its first two transactions.
#[cfg(test)]
pub(super) fn interrupted(database: &Database) -> Result<(), HistoryError> {
    transact(database, Durability::Immediate, begin)?;
    transact(database, Durability::Immediate, move_records).map(|_| ())
}
