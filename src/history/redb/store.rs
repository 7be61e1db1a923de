//! The store and its readers. A reader sees a snapshot: the commits before its transaction began.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, DatabaseError, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable as _};

use super::error::failed;
use super::format::{HASH_KEY, META};
use super::guard::guarded;
use super::index::{IDS, IdHasher, RECENT, UnindexedIds, first_with_id};
use super::record::{self, RecordFields, UPDATES};
use super::write::Meta;
use crate::history::{HistoryError, HistoryRange, HistoryReader, HistorySlice, Position, SequencedUpdate};
use crate::limits::{TAIL_BYTES_MAX, TAIL_UPDATES_MAX};

/// Opens the store on its file; called again after a failure.
pub(super) type OpenStore = dyn Fn() -> Result<Database, DatabaseError> + Send + Sync;

/// The store, shared with the readers. The lock is taken for writing only while a failed store is
/// closed and reopened.
pub(super) struct RedbStore {
    database: RwLock<Option<Database>>,
    open: Box<OpenStore>,
    /// Updates up to this position are unreachable, even if they are still in the file. Written
    /// only by the sequencer, after the commit that made them exceed the retention.
    discarded: AtomicU64,
    pub(super) hasher: IdHasher,
    /// Ids that the file's index does not have yet. Written only by the sequencer, after the
    /// commit.
    waiting: RwLock<UnindexedIds>,
}

impl RedbStore {
    pub(super) fn new(database: Database, open: Box<OpenStore>) -> Result<Self, HistoryError> {
        let meta = read_meta(&database)?;
        let discarded = AtomicU64::new(meta.discarded.max(meta.trimmed));
        let hasher = read_hasher(&database)?;
        let waiting = RwLock::new(read_waiting(&database)?);
        Ok(Self { database: RwLock::new(Some(database)), open, discarded, hasher, waiting })
    }

    pub(super) fn waiting(&self) -> RwLockReadGuard<'_, UnindexedIds> {
        self.waiting.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change_waiting(&self, change: impl FnOnce(&mut UnindexedIds)) {
        change(&mut self.waiting.write().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn discarded(&self) -> u64 {
        self.discarded.load(Ordering::Acquire)
    }

    pub(super) fn discard_until(&self, position: u64) {
        self.discarded.store(position, Ordering::Release);
    }

    pub(super) fn with<T>(
        &self,
        use_it: impl FnOnce(&Database) -> Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        match &*self.database() {
            Some(database) => guarded(|| use_it(database))
                .unwrap_or_else(|panicked| Err(HistoryError::Corrupt(panicked.into()))),
            None => Err(HistoryError::Closed),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.database().is_none()
    }

    pub(super) fn close(&self) {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        // The store has already failed, so an error of its shutdown is ignored.
        let _ = guarded(|| drop(database));
    }

    /// Opens a closed store, and lets `restore` repair it before any reader can use it.
    pub(super) fn reopen_if_closed<T>(
        &self,
        restore: impl FnOnce(&Database) -> Result<T, HistoryError>,
    ) -> Result<Option<T>, HistoryError> {
        if !self.is_closed() {
            return Ok(None);
        }
        let mut place = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let database = (self.open)().map_err(failed)?;
        let restored = restore(&database)?;
        let waiting = read_waiting(&database)?;
        self.change_waiting(|place| *place = waiting);
        *place = Some(database);
        Ok(Some(restored))
    }

    fn database(&self) -> RwLockReadGuard<'_, Option<Database>> {
        // After a panic the value is still a whole database.
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `look` on a snapshot of the store.
    fn look<T>(&self, look: impl FnOnce(&Moment) -> Result<T, HistoryError>) -> Result<T, HistoryError> {
        self.with(|database| {
            // Read this before the transaction begins, so that no update is taken for discarded
            // that the transaction cannot see.
            let discarded = self.discarded();
            let transaction = database.begin_read().map_err(failed)?;
            let meta = Meta::read(&transaction.open_table(META).map_err(failed)?)?;
            look(&Moment { transaction, before_oldest: discarded.max(meta.trimmed), newest: meta.newest })
        })
    }
}

/// Reads the parts that a start reads.
///
/// # Errors
/// A part of it cannot be read.
pub(super) fn check(database: &impl ReadableDatabase) -> Result<(), HistoryError> {
    read_hasher(database)?;
    read_waiting(database)?;
    let transaction = database.begin_read().map_err(failed)?;
    let updates = transaction.open_table(UPDATES).map_err(failed)?;
    if let Some((position, value)) = updates.first().map_err(failed)? {
        record::read(position.value(), value.value())?;
    }
    // The tails of the shards.
    let mut bytes = 0;
    for entry in updates.range::<u64>(..).map_err(failed)?.rev().take(TAIL_UPDATES_MAX) {
        let (position, value) = entry.map_err(failed)?;
        bytes += record::read(position.value(), value.value())?.bytes_held();
        if bytes >= TAIL_BYTES_MAX {
            break;
        }
    }
    Ok(())
}

pub(super) fn read_meta(database: &impl ReadableDatabase) -> Result<Meta, HistoryError> {
    let transaction = database.begin_read().map_err(failed)?;
    Meta::read(&transaction.open_table(META).map_err(failed)?)
}

pub(super) fn read_hasher(database: &impl ReadableDatabase) -> Result<IdHasher, HistoryError> {
    let transaction = database.begin_read().map_err(failed)?;
    let meta = transaction.open_table(META).map_err(failed)?;
    let mut key = [0; 2];
    for (half, name) in key.iter_mut().zip(HASH_KEY) {
        *half = meta.get(name).map_err(failed)?.ok_or(HistoryError::Missing("hash key"))?.value();
    }
    Ok(IdHasher(key))
}

/// The ids of the updates that the file's index may not have.
fn read_waiting(database: &impl ReadableDatabase) -> Result<UnindexedIds, HistoryError> {
    let meta = read_meta(database)?;
    let transaction = database.begin_read().map_err(failed)?;
    let recent = transaction.open_table(RECENT).map_err(failed)?;
    let mut entries = Vec::new();
    for entry in recent.range(meta.indexed + 1..).map_err(failed)? {
        let (position, hash) = entry.map_err(failed)?;
        entries.push((hash.value(), position.value()));
    }
    Ok(UnindexedIds::new(entries.into_iter(), meta.newest))
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        let place = self.database.get_mut().unwrap_or_else(PoisonError::into_inner);
        // redb cleans up when it is closed, and reads for it. If that fails, the next start does
        // it.
        let _ = guarded(|| drop(place.take()));
    }
}

/// A reader's snapshot.
struct Moment {
    transaction: ReadTransaction,
    before_oldest: u64,
    newest: u64,
}

impl Moment {
    fn updates(&self) -> Result<ReadOnlyTable<u64, RecordFields<'static>>, HistoryError> {
        self.transaction.open_table(UPDATES).map_err(failed)
    }

    fn range(&self) -> HistoryRange {
        let before_oldest = Position::new(self.before_oldest);
        HistoryRange { before_oldest, newest: Position::new(self.newest).max(before_oldest) }
    }

    /// Takes updates until there are enough of them.
    fn slice(
        &self,
        entries: redb::Range<'_, u64, RecordFields<'static>>,
        from_the_end: bool,
        updates_max: usize,
        bytes_max: usize,
    ) -> Result<HistorySlice, HistoryError> {
        let mut entries = entries;
        let mut next = || if from_the_end { entries.next_back() } else { entries.next() };
        let mut bytes = 0;
        let mut updates = Vec::new();
        while updates.len() < updates_max && bytes < bytes_max {
            let Some(entry) = next() else { break };
            let (position, value) = entry.map_err(failed)?;
            let position = position.value();
            let fields = value.value();
            let first_of_id = record::head(&fields).first_of_id;
            let frame = record::read(position, fields)?;
            bytes += frame.bytes_held();
            updates.push(SequencedUpdate {
                position: Position::new(position),
                frame: Arc::new(frame),
                first_of_id,
            });
        }
        if from_the_end {
            updates.reverse();
        }
        Ok(HistorySlice { updates, range: self.range() })
    }
}

impl HistoryReader for RedbStore {
    fn locate(&self, id: &str) -> Result<Option<Position>, HistoryError> {
        let hash = self.hasher.hash(id);
        // Read this before the transaction begins: an id that no longer waits is in the file that
        // the transaction sees.
        let waiting = self.waiting().positions(hash);
        self.look(|moment| {
            let ids = moment.transaction.open_table(IDS).map_err(failed)?;
            let updates = moment.updates()?;
            let first = first_with_id(&ids, &updates, (id, hash), waiting, moment.before_oldest)?;
            Ok(first.map(Position::new))
        })
    }

    fn read(
        &self,
        after: Position,
        updates_max: usize,
        bytes_max: usize,
    ) -> Result<HistorySlice, HistoryError> {
        self.look(|moment| {
            let first = after.get().max(moment.before_oldest) + 1;
            let updates = moment.updates()?;
            moment.slice(updates.range(first..).map_err(failed)?, false, updates_max, bytes_max)
        })
    }

    fn newest(&self, updates_max: usize, bytes_max: usize) -> Result<HistorySlice, HistoryError> {
        self.look(|moment| {
            let updates = moment.updates()?;
            let held = updates.range(moment.before_oldest + 1..).map_err(failed)?;
            moment.slice(held, true, updates_max, bytes_max)
        })
    }

    fn range(&self) -> Result<HistoryRange, HistoryError> {
        self.look(|moment| Ok(moment.range()))
    }
}
