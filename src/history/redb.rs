//! The history on disk (`DB_PATH`): one redb file, written by the sequencer alone, one transaction for each batch.
//!
//! Invariants worth naming:
//! - what [`History::append`] answered is in the file as [`HistorySync`] promises, and nothing else of the batch is;
//! - one process has the file: it is locked for as long as the history lives, also while the store is reopened;
//! - a store that failed is opened afresh, with exactly what was acknowledged: a commit that failed halfway leaves nothing;
//! - retention is part of the transaction that appends, so the bounds hold after every batch.
//!
//! The file has three tables:
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | a number: `format`, `before_oldest`, `newest`, `updates`, `bytes` |
//! | `updates` | position | [`record`] |
//! | `ids` | event id, position | nothing: the first entry of an id is its first occurrence that is held |

mod file;
mod open;
mod record;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use redb::{
    Database, DatabaseError, Durability, ReadableDatabase as _, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};

use super::{Extent, History, HistoryError, HistoryReader, Placed, Position, Retention, Stretch};
use crate::limits::UNSYNCED_BYTES_MAX;
use crate::protocol::frame::Frame;
pub use open::OpenError;
use record::UPDATES;

/// The version of the file's format that this hub reads and writes.
pub const FORMAT: u64 = 1;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const IDS: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("ids");

/// When an update that was acknowledged is on the disk (`HISTORY_SYNC`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistorySync {
    /// Before it is acknowledged: neither a crash of the hub nor a power cut loses it.
    #[default]
    Always,
    /// When [`History::sync`] is called next: a crash of the hub or of the host loses what came since, and no more.
    Interval,
    /// When the kernel likes: a crash of the hub loses nothing, but a power cut may lose any number of updates, and
    /// the file with them.
    Never,
}

/// Opens the store on its file; called again after a failure.
type OpenStore = dyn Fn() -> Result<Database, DatabaseError> + Send + Sync;

/// The writing end.
pub struct RedbHistory {
    store: Arc<Store>,
    retention: Retention,
    sync: HistorySync,
    /// The newest update that was acknowledged.
    acknowledged: u64,
    /// The newest of them that the disk may not have yet ([`HistorySync::Interval`]): a store that is reopened has lost
    /// them, and gets them again.
    unsynced: Vec<Arc<Frame>>,
    unsynced_bytes: usize,
}

/// The store, shared with the readers. The lock is taken for writing only while a failed store is reopened.
struct Store {
    database: RwLock<Option<Database>>,
    open: Box<OpenStore>,
}

/// The numbers of the `meta` table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Meta {
    before_oldest: u64,
    newest: u64,
    updates: u64,
    bytes: u64,
}

/// Any of redb's errors, for the log.
fn failed(error: impl fmt::Display) -> HistoryError {
    HistoryError(error.to_string())
}

impl Meta {
    fn read(table: &impl ReadableTable<&'static str, u64>) -> Result<Self, HistoryError> {
        let number = |name: &str| {
            let value = table.get(name).map_err(failed)?;
            Ok::<_, HistoryError>(value.map_or(0, |value| value.value()))
        };
        Ok(Self {
            before_oldest: number("before_oldest")?,
            newest: number("newest")?,
            updates: number("updates")?,
            bytes: number("bytes")?,
        })
    }

    fn write(self, table: &mut Table<'_, &'static str, u64>) -> Result<(), HistoryError> {
        for (name, value) in [
            ("before_oldest", self.before_oldest),
            ("newest", self.newest),
            ("updates", self.updates),
            ("bytes", self.bytes),
        ] {
            table.insert(name, value).map_err(failed)?;
        }
        Ok(())
    }

    fn extent(self) -> Extent {
        Extent { before_oldest: Position::new(self.before_oldest), newest: Position::new(self.newest) }
    }

    fn exceeds(self, retention: Retention) -> bool {
        let Retention { updates_max, bytes_max } = retention;
        (updates_max > 0 && self.updates > updates_max) || (bytes_max > 0 && self.bytes > bytes_max)
    }
}

impl RedbHistory {
    fn on(
        database: Database,
        open: Box<OpenStore>,
        retention: Retention,
        sync: HistorySync,
    ) -> Result<Self, HistoryError> {
        let acknowledged = Store::meta(&database)?.newest;
        let store = Arc::new(Store { database: RwLock::new(Some(database)), open });
        Ok(Self { store, retention, sync, acknowledged, unsynced: Vec::new(), unsynced_bytes: 0 })
    }

    /// After an error redb refuses everything, so the store is closed. It is opened again at once, for the readers; where
    /// that fails too, by the next append.
    fn recover(&self) {
        self.store.close();
        // The error that counts is the one that is being reported.
        let _ = self.reopen_if_closed();
    }

    /// Opens a store that has failed, with exactly what was acknowledged. A commit that failed may have reached the file
    /// all the same: what it left is removed before anyone can read it.
    fn reopen_if_closed(&self) -> Result<(), HistoryError> {
        let mut place = self.store.database.write().unwrap_or_else(PoisonError::into_inner);
        if place.is_some() {
            return Ok(());
        }
        let database = (self.store.open)().map_err(failed)?;
        let synced = self.acknowledged - self.unsynced.len() as u64;
        let newest = Store::meta(&database)?.newest;
        if newest < synced {
            return Err(HistoryError(format!("the store has update {newest} as its newest, not {synced}")));
        }
        if newest > synced || !self.unsynced.is_empty() {
            transact(&database, Durability::Immediate, |transaction| {
                truncate(transaction, synced)?;
                write_batch(transaction, &self.unsynced, self.retention)
            })?;
        }
        *place = Some(database);
        Ok(())
    }

    fn all_synced(&mut self) {
        self.unsynced.clear();
        self.unsynced_bytes = 0;
    }

    fn durability(&self) -> Durability {
        match self.sync {
            HistorySync::Interval if self.unsynced_bytes < UNSYNCED_BYTES_MAX => Durability::None,
            // The file itself leaves out the system call for `Never`.
            _ => Durability::Immediate,
        }
    }
}

fn transact<T>(
    database: &Database,
    durability: Durability,
    write: impl FnOnce(&WriteTransaction) -> Result<T, HistoryError>,
) -> Result<T, HistoryError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    transaction.set_durability(durability).map_err(failed)?;
    let written = write(&transaction)?;
    transaction.commit().map_err(failed)?;
    Ok(written)
}

/// Removes every update after this one.
fn truncate(transaction: &WriteTransaction, newest: u64) -> Result<(), HistoryError> {
    let mut meta_table = transaction.open_table(META).map_err(failed)?;
    let mut updates = transaction.open_table(UPDATES).map_err(failed)?;
    let mut ids = transaction.open_table(IDS).map_err(failed)?;
    let mut meta = Meta::read(&meta_table)?;
    while meta.newest > newest {
        if let Some(frame) = record::take(&mut updates, meta.newest)? {
            ids.remove((frame.id().as_str(), meta.newest)).map_err(failed)?;
            meta.updates -= 1;
            meta.bytes = meta.bytes.saturating_sub(frame.bytes_held() as u64);
        }
        meta.newest -= 1;
    }
    meta.before_oldest = meta.before_oldest.min(newest);
    meta.write(&mut meta_table)
}

fn write_batch(
    transaction: &WriteTransaction,
    batch: &[Arc<Frame>],
    retention: Retention,
) -> Result<Vec<Placed>, HistoryError> {
    let mut meta_table = transaction.open_table(META).map_err(failed)?;
    let mut updates = transaction.open_table(UPDATES).map_err(failed)?;
    let mut ids = transaction.open_table(IDS).map_err(failed)?;
    let mut meta = Meta::read(&meta_table)?;
    let mut placed = Vec::with_capacity(batch.len());
    for frame in batch {
        meta.newest += 1;
        meta.updates += 1;
        meta.bytes += frame.bytes_held() as u64;
        let id = frame.id().as_str();
        let first_of_id = first_with_id(&ids, id)?.is_none();
        record::insert(&mut updates, meta.newest, frame)?;
        ids.insert((id, meta.newest), ()).map_err(failed)?;
        placed.push(Placed { position: Position::new(meta.newest), frame: Arc::clone(frame), first_of_id });
    }
    while meta.updates > 1 && meta.exceeds(retention) {
        let Some((position, frame)) = record::take_first(&mut updates)? else { break };
        ids.remove((frame.id().as_str(), position)).map_err(failed)?;
        meta.before_oldest = position;
        meta.updates -= 1;
        meta.bytes = meta.bytes.saturating_sub(frame.bytes_held() as u64);
    }
    meta.write(&mut meta_table)?;
    Ok(placed)
}

fn first_with_id(
    ids: &impl ReadableTable<(&'static str, u64), ()>,
    id: &str,
) -> Result<Option<u64>, HistoryError> {
    let mut occurrences = ids.range((id, 0)..=(id, u64::MAX)).map_err(failed)?;
    let Some(first) = occurrences.next() else { return Ok(None) };
    let (key, ()) = first.map(|(key, _)| (key, ())).map_err(failed)?;
    Ok(Some(key.value().1))
}

impl History for RedbHistory {
    fn append(&mut self, batch: &[Arc<Frame>]) -> Result<Vec<Placed>, HistoryError> {
        self.reopen_if_closed()?;
        let durability = self.durability();
        let result = self.store.with(|database| {
            transact(database, durability, |transaction| write_batch(transaction, batch, self.retention))
        });
        match &result {
            Ok(_) => {
                self.acknowledged += batch.len() as u64;
                if matches!(durability, Durability::None) {
                    self.unsynced.extend_from_slice(batch);
                    self.unsynced_bytes += batch.iter().map(|frame| frame.bytes_held()).sum::<usize>();
                } else {
                    self.all_synced();
                }
            }
            Err(_) => self.recover(),
        }
        result
    }

    fn sync(&mut self) -> Result<(), HistoryError> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        let result = self.store.with(|database| transact(database, Durability::Immediate, |_| Ok(())));
        match result {
            Ok(()) => self.all_synced(),
            Err(_) => self.recover(),
        }
        result
    }

    fn reader(&self) -> Arc<dyn HistoryReader> {
        Arc::clone(&self.store) as Arc<dyn HistoryReader>
    }
}

impl Store {
    fn database(&self) -> RwLockReadGuard<'_, Option<Database>> {
        // Whoever panicked held a database, not half of one.
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, use_it: impl FnOnce(&Database) -> Result<T, HistoryError>) -> Result<T, HistoryError> {
        match &*self.database() {
            Some(database) => use_it(database),
            None => Err(HistoryError("the store is closed after a failure".to_owned())),
        }
    }

    fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn meta(database: &Database) -> Result<Meta, HistoryError> {
        let transaction = database.begin_read().map_err(failed)?;
        Meta::read(&transaction.open_table(META).map_err(failed)?)
    }
}

impl HistoryReader for Store {
    fn locate(&self, id: &str) -> Result<Option<Position>, HistoryError> {
        self.with(|database| {
            let transaction = database.begin_read().map_err(failed)?;
            let ids = transaction.open_table(IDS).map_err(failed)?;
            Ok(first_with_id(&ids, id)?.map(Position::new))
        })
    }

    fn read(&self, after: Position, updates_max: usize, bytes_max: usize) -> Result<Stretch, HistoryError> {
        self.with(|database| {
            // One transaction: the updates and the extent are of one moment.
            let transaction = database.begin_read().map_err(failed)?;
            let meta = Meta::read(&transaction.open_table(META).map_err(failed)?)?;
            let table = transaction.open_table(UPDATES).map_err(failed)?;
            let ids = transaction.open_table(IDS).map_err(failed)?;
            let mut bytes = 0;
            let mut updates = Vec::new();
            for entry in table.range(after.next().get()..).map_err(failed)? {
                if updates.len() >= updates_max || bytes >= bytes_max {
                    break;
                }
                let (position, value) = entry.map_err(failed)?;
                let position = position.value();
                let frame = record::read(position, value.value())?;
                bytes += frame.bytes_held();
                let first_of_id = first_with_id(&ids, frame.id().as_str())? == Some(position);
                let position = Position::new(position);
                updates.push(Placed { position, frame: Arc::new(frame), first_of_id });
            }
            Ok(Stretch { updates, extent: meta.extent() })
        })
    }

    fn extent(&self) -> Result<Extent, HistoryError> {
        self.with(Self::meta).map(Meta::extent)
    }
}

#[cfg(test)]
mod tests;
