//! The history on disk (`DB_PATH`): one redb file, written by the sequencer alone, one transaction for each batch.
//!
//! Invariants worth naming:
//! - what [`History::append`] answered is in the file as [`HistorySync`] promises, and nothing else of the batch is;
//! - one process has the file: it is locked for as long as the history lives, also while the store is reopened;
//! - a store that failed is opened afresh, with exactly what was acknowledged: a commit that failed halfway leaves nothing;
//! - an update that retention does not keep is out of reach as soon as the commit that made it one too many is done; its
//!   pages are freed by later transactions, a bounded number in each, so no bound makes a commit much longer.
//!
//! The file has four tables:
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | a number: `format`, the two halves of the hash key, and those of `Meta` |
//! | `updates` | position | [`record`] |
//! | `ids` | hash of an event id, position | nothing: see [`index`] |
//! | `recent` | position | hash of its event id, until `ids` has it |

pub mod archive;
mod file;
mod guard;
mod index;
mod open;
mod record;
mod store;
mod write;

use std::fmt;
use std::sync::Arc;

use redb::{Database, DatabaseError, Durability, ReadableDatabase as _, TableDefinition};

use super::{Appended, History, HistoryError, HistoryReader, Position, Retention};
use crate::limits::{TRIM_IDLE_UPDATES_MAX, TRIM_UPDATES_MAX, UNSYNCED_BYTES_MAX};
use crate::protocol::frame::Frame;
use index::UnindexedIds;
pub use open::OpenError;
use store::{RedbStore, read_meta};
use write::{AppendedBatch, Meta, StampedFrame};

/// The version of the file's format that this hub reads and writes.
pub const FORMAT: u64 = 2;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The names of the two halves of the key with which ids are hashed.
const HASH_KEY: [&str; 2] = ["hash_key_0", "hash_key_1"];

/// When an update that was acknowledged is on the disk (`HISTORY_SYNC`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistorySync {
    /// Before it is acknowledged: neither a crash of the hub nor a power cut loses it.
    #[default]
    Always,
    /// When [`History::maintain`] is called next: a crash of the hub or of the host loses what came since, and no more.
    Interval,
    /// When the kernel likes: a crash of the hub loses nothing, but a power cut may lose any number of updates, and
    /// the file with them.
    Never,
}

/// Opens the store on its file; called again after a failure.
type OpenStore = dyn Fn() -> Result<Database, DatabaseError> + Send + Sync;

/// The writing end.
pub struct RedbHistory {
    store: Arc<RedbStore>,
    retention: Retention,
    sync: HistorySync,
    /// The file's numbers as of the last commit that was acknowledged.
    meta: Meta,
    /// The newest of the acknowledged updates, which the disk may not have yet ([`HistorySync::Interval`]): a store that
    /// is reopened has lost them, and gets them again.
    unsynced: Vec<StampedFrame>,
    unsynced_bytes: usize,
}

/// Any of redb's errors, for the log.
fn failed(error: impl fmt::Display) -> HistoryError {
    HistoryError(error.to_string())
}

impl RedbHistory {
    fn on(
        database: Database,
        open: Box<OpenStore>,
        retention: Retention,
        sync: HistorySync,
    ) -> Result<Self, HistoryError> {
        let meta = read_meta(&database)?;
        let store = Arc::new(RedbStore::new(database, open)?);
        let mut history = Self { store, retention, sync, meta, unsynced: Vec::new(), unsynced_bytes: 0 };
        // Age is for the first call that knows the time.
        history.discard(0)?;
        Ok(history)
    }

    /// After an error redb refuses everything, so the store is closed. It is opened again at once, for the readers; where
    /// that fails too, by the next call.
    fn recover(&mut self) {
        self.store.close();
        // The error that counts is the one that is being reported.
        let _ = self.reopen_if_closed();
    }

    /// Opens a store that has failed, with exactly what was acknowledged. A commit that failed may have reached the file
    /// all the same: what it left is removed before anyone can read it.
    fn reopen_if_closed(&mut self) -> Result<(), HistoryError> {
        let Self { store, meta, unsynced, .. } = self;
        let synced = meta.newest - unsynced.len() as u64;
        let reopened = store.reopen_if_closed(|database| {
            let found = read_meta(database)?;
            if found.newest < synced {
                let newest = found.newest;
                return Err(HistoryError(format!(
                    "the store has update {newest} as its newest, not {synced}"
                )));
            }
            if found.newest == synced && unsynced.is_empty() {
                return Ok(found);
            }
            transact(database, Durability::Immediate, |transaction| {
                write::truncate(transaction, synced)?;
                // What is read of the file next finds the ids again.
                let nothing = UnindexedIds::new(std::iter::empty(), 0);
                write::append(transaction, unsynced, store.hasher, &nothing, None).map(|written| written.meta)
            })
        })?;
        if let Some(found) = reopened {
            self.meta = found;
            self.all_synced();
        }
        Ok(())
    }

    fn all_synced(&mut self) {
        self.unsynced = Vec::new();
        self.unsynced_bytes = 0;
    }

    fn durability(&self) -> Durability {
        match self.sync {
            HistorySync::Interval if self.unsynced_bytes < UNSYNCED_BYTES_MAX => Durability::None,
            // The file itself leaves out the system call for `Never`.
            _ => Durability::Immediate,
        }
    }

    /// Puts out of reach what retention does not keep; returns the place before the oldest update that is held.
    fn discard(&mut self, unix_ms: u64) -> Result<Position, HistoryError> {
        let (meta, retention, discarded) = (self.meta, self.retention, self.store.discarded());
        if retention.is_unbounded() {
            return Ok(Position::new(discarded));
        }
        let discarded = self.store.with(|database| {
            let transaction = database.begin_read().map_err(failed)?;
            let updates = transaction.open_table(record::UPDATES).map_err(failed)?;
            write::before_oldest(&updates, &meta, discarded, retention, unix_ms)
        })?;
        self.store.discard_until(discarded);
        Ok(Position::new(discarded))
    }

    /// Runs a transaction; the store is opened afresh when it fails.
    fn commit<T>(
        &mut self,
        durability: Durability,
        write: impl FnOnce(&redb::WriteTransaction) -> Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        let result = self.store.with(|database| transact(database, durability, write));
        if result.is_err() {
            self.recover();
        }
        result
    }
}

fn transact<T>(
    database: &Database,
    durability: Durability,
    write: impl FnOnce(&redb::WriteTransaction) -> Result<T, HistoryError>,
) -> Result<T, HistoryError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    transaction.set_durability(durability).map_err(failed)?;
    let written = write(&transaction)?;
    transaction.commit().map_err(failed)?;
    Ok(written)
}

impl History for RedbHistory {
    fn append(&mut self, batch: &[Arc<Frame>], unix_ms: u64) -> Result<Appended, HistoryError> {
        self.reopen_if_closed()?;
        let stamped: Vec<StampedFrame> =
            batch.iter().map(|frame| StampedFrame { frame: Arc::clone(frame), unix_ms }).collect();
        let durability = self.durability();
        // Only what was discarded before goes with this transaction: should it fail halfway, nothing else is missing.
        let discarded = self.store.discarded();
        let trim_max = TRIM_UPDATES_MAX + 2 * batch.len();
        let store = Arc::clone(&self.store);
        let slice = store.waiting().next_slice(batch.len());
        let AppendedBatch { updates, entries, meta } = self.commit(durability, |transaction| {
            write::trim(transaction, discarded, trim_max)?;
            write::append(transaction, &stamped, store.hasher, &store.waiting(), slice.as_ref())
        })?;
        self.meta = meta;
        store.change_waiting(|waiting| waiting.committed(slice, entries.into_iter(), meta.newest));
        if matches!(durability, Durability::None) {
            self.unsynced_bytes += batch.iter().map(|frame| frame.bytes_held()).sum::<usize>();
            self.unsynced.extend(stamped);
        } else {
            self.all_synced();
        }
        // It is stored: what cannot be discarded now is discarded later.
        let before_oldest = self.discard(unix_ms).unwrap_or_else(|_| Position::new(self.store.discarded()));
        Ok(Appended { updates, before_oldest })
    }

    fn needs_upkeep(&self) -> bool {
        let discarded = self.store.discarded();
        !self.unsynced.is_empty()
            || self.store.is_closed()
            || self.meta.trimmed < discarded
            || self.meta.discarded < discarded
            || (self.retention.age_max_ms > 0 && discarded < self.meta.newest)
    }

    fn maintain(&mut self, unix_ms: u64) -> Result<Position, HistoryError> {
        self.reopen_if_closed()?;
        let before_oldest = self.discard(unix_ms)?;
        let discarded = before_oldest.get();
        if !self.unsynced.is_empty() || self.meta.trimmed < discarded || self.meta.discarded < discarded {
            self.meta = self.commit(Durability::Immediate, |transaction| {
                write::trim(transaction, discarded, TRIM_IDLE_UPDATES_MAX)
            })?;
            self.all_synced();
        }
        Ok(before_oldest)
    }

    fn reader(&self) -> Arc<dyn HistoryReader> {
        Arc::clone(&self.store) as Arc<dyn HistoryReader>
    }
}

#[cfg(test)]
mod tests;
