//! The store and its readers. A reader sees a snapshot: the commits before its transaction began.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use redb::{
    AccessGuard, Database, DatabaseError, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableTable as _,
};

use super::error::{failed, read_at};
use super::guard::{Panicked, close, guarded};
use super::index::{IDS, IdHasher, IdTables, NEW_IDS, UnindexedIds, new_id};
use super::meta::{META, Meta};
use super::record::{RECORDS, Record, RecordFields};
use super::sums::ID_SUMS;
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
    /// The newest acknowledged update: a snapshot that begins later must hold it. Written only by
    /// the sequencer, after the commit.
    newest: AtomicU64,
    hasher: IdHasher,
    /// Ids that the file's index does not have yet. Written only by the sequencer, after the
    /// commit.
    waiting: RwLock<UnindexedIds>,
}

impl RedbStore {
    pub(super) fn new(database: Database, open: Box<OpenStore>) -> Result<Self, HistoryError> {
        let meta = Meta::of(&database)?;
        let discarded = AtomicU64::new(meta.discarded.max(meta.trimmed));
        let waiting = RwLock::new(read_waiting(&database)?);
        let newest = AtomicU64::new(meta.newest);
        Ok(Self {
            database: RwLock::new(Some(database)),
            open,
            discarded,
            newest,
            hasher: meta.hasher,
            waiting,
        })
    }

    /// Call this after a commit: the newest update is this one.
    pub(super) fn ends_with(&self, newest: u64) {
        self.newest.store(newest, Ordering::Release);
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
        self.database.write().unwrap_or_else(PoisonError::into_inner).take().map(close);
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
        let corrupt = |panicked: Panicked| HistoryError::Corrupt(panicked.into());
        let database = guarded(|| (self.open)()).map_err(corrupt)?.map_err(failed)?;
        let restored =
            guarded(|| restore(&database).and_then(|restored| Ok((restored, read_waiting(&database)?))));
        match restored.unwrap_or_else(|panicked| Err(corrupt(panicked))) {
            Ok((restored, waiting)) => {
                self.change_waiting(|place| *place = waiting);
                *place = Some(database);
                Ok(Some(restored))
            }
            Err(error) => {
                close(database);
                Err(error)
            }
        }
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
            let (discarded, newest) = (self.discarded(), self.newest.load(Ordering::Acquire));
            let transaction = database.begin_read().map_err(failed)?;
            let meta = Meta::read(&transaction.open_table(META).map_err(failed)?)?;
            if meta.newest < newest {
                let (found, expected) = (Position::new(meta.newest), Position::new(newest));
                return Err(HistoryError::WrongEnd { found, expected });
            }
            look(&Moment { transaction, before_oldest: discarded.max(meta.trimmed), meta })
        })
    }
}

/// Reads and verifies the parts that a start reads, and that the records are exactly those that the
/// numbers name.
///
/// # Errors
/// A part of it cannot be read.
pub(super) fn check(database: &impl ReadableDatabase) -> Result<Meta, HistoryError> {
    let meta = Meta::of(database)?;
    read_waiting(database)?;
    let transaction = database.begin_read().map_err(failed)?;
    // Each table has to be there: a missing one would be made anew by the next commit.
    transaction.open_table(IDS).map_err(failed)?;
    transaction.open_table(ID_SUMS).map_err(failed)?;
    let moment = Moment { transaction, before_oldest: meta.trimmed, meta };
    let records = moment.records()?;
    let first = records.first().map_err(failed)?.map(|(position, _)| position.value());
    let last = records.last().map_err(failed)?.map(|(position, _)| position.value());
    let (found, expected) = (last.unwrap_or(meta.trimmed), meta.newest);
    if found != expected {
        let (found, expected) = (Position::new(found), Position::new(expected));
        return Err(HistoryError::WrongEnd { found, expected });
    }
    if first.is_some_and(|first| first != meta.trimmed + 1) {
        return Err(HistoryError::Absent { position: Position::new(meta.trimmed + 1) });
    }
    moment.oldest(1, usize::MAX, meta.trimmed)?;
    // The tails of the shards.
    moment.newest(TAIL_UPDATES_MAX, TAIL_BYTES_MAX)?;
    Ok(meta)
}

/// The ids of the updates that the file's index may not have.
pub(super) fn read_waiting(database: &impl ReadableDatabase) -> Result<UnindexedIds, HistoryError> {
    let meta = Meta::of(database)?;
    let transaction = database.begin_read().map_err(failed)?;
    let new_ids = transaction.open_table(NEW_IDS).map_err(failed)?;
    let first = meta.indexed.max(meta.trimmed) + 1;
    let mut entries = Vec::new();
    let mut expected = first;
    for entry in new_ids.range(first..=meta.newest).map_err(failed)? {
        let (position, value) = entry.map_err(failed)?;
        let (position, value) = (position.value(), value.value());
        if position != expected || value != new_id(position, value.0) {
            return Err(HistoryError::AlteredIndex);
        }
        entries.push((value.0, position));
        expected += 1;
    }
    if expected != first.max(meta.newest + 1) {
        return Err(HistoryError::AlteredIndex);
    }
    Ok(UnindexedIds::new(entries.into_iter(), meta.newest))
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.database.get_mut().unwrap_or_else(PoisonError::into_inner).take().map(close);
    }
}

/// A reader's snapshot.
struct Moment {
    transaction: ReadTransaction,
    before_oldest: u64,
    meta: Meta,
}

impl Moment {
    fn records(&self) -> Result<ReadOnlyTable<u64, RecordFields<'static>>, HistoryError> {
        self.transaction.open_table(RECORDS).map_err(failed)
    }

    fn range(&self) -> HistoryRange {
        let before_oldest = Position::new(self.before_oldest);
        HistoryRange { before_oldest, newest: Position::new(self.meta.newest).max(before_oldest) }
    }

    /// The updates after this one, until there are enough of them.
    fn oldest(&self, updates_max: usize, bytes_max: usize, after: u64) -> Result<HistorySlice, HistoryError> {
        let positions = after.max(self.before_oldest) + 1..=self.meta.newest;
        let records = self.records()?;
        let mut entries = records.range(positions.clone()).map_err(failed)?;
        self.slice(positions, || entries.next(), updates_max, bytes_max)
    }

    /// The newest updates, until there are enough of them.
    fn newest(&self, updates_max: usize, bytes_max: usize) -> Result<HistorySlice, HistoryError> {
        let positions = self.before_oldest + 1..=self.meta.newest;
        let records = self.records()?;
        let mut entries = records.range(positions.clone()).map_err(failed)?;
        let mut slice = self.slice(positions.rev(), || entries.next_back(), updates_max, bytes_max)?;
        slice.updates.reverse();
        Ok(slice)
    }

    /// Takes updates until there are enough of them. They have to be those of these positions: the
    /// history has no gap.
    fn slice<'r>(
        &self,
        positions: impl Iterator<Item = u64>,
        mut next: impl FnMut() -> Option<redb::Result<Entry<'r>>>,
        updates_max: usize,
        bytes_max: usize,
    ) -> Result<HistorySlice, HistoryError> {
        let mut bytes = 0;
        let mut updates = Vec::new();
        for position in positions {
            if updates.len() >= updates_max || bytes >= bytes_max {
                break;
            }
            let absent = HistoryError::Absent { position: Position::new(position) };
            let Some((found, value)) = read_at(position, || next().transpose())? else { return Err(absent) };
            if found.value() != position {
                return Err(absent);
            }
            let record = Record::decode(position, &value)?;
            let first_of_id = record.head().first_of_id;
            let frame = record.into_frame()?;
            bytes += frame.bytes_held();
            updates.push(SequencedUpdate {
                position: Position::new(position),
                frame: Arc::new(frame),
                first_of_id,
            });
        }
        Ok(HistorySlice { updates, range: self.range() })
    }
}

/// A record of the file, not verified.
type Entry<'r> = (AccessGuard<'r, u64>, AccessGuard<'r, RecordFields<'static>>);

impl HistoryReader for RedbStore {
    fn locate(&self, id: &str) -> Result<Option<Position>, HistoryError> {
        // Read this before the transaction begins: an id that no longer waits is in the file that
        // the transaction sees.
        let hash = self.hasher.hash(id);
        let waiting = self.waiting().positions(hash);
        self.look(|moment| {
            let ids = moment.transaction.open_table(IDS).map_err(failed)?;
            let sums = moment.transaction.open_table(ID_SUMS).map_err(failed)?;
            let records = moment.records()?;
            let tables = IdTables { ids: &ids, sums: &sums, records: &records };
            let held = moment.before_oldest + 1..moment.meta.newest + 1;
            tables.first_with_id((id, hash), waiting, held).map(|first| first.map(Position::new))
        })
    }

    fn read(
        &self,
        after: Position,
        updates_max: usize,
        bytes_max: usize,
    ) -> Result<HistorySlice, HistoryError> {
        self.look(|moment| moment.oldest(updates_max, bytes_max, after.get()))
    }

    fn newest(&self, updates_max: usize, bytes_max: usize) -> Result<HistorySlice, HistoryError> {
        self.look(|moment| moment.newest(updates_max, bytes_max))
    }

    fn range(&self) -> Result<HistoryRange, HistoryError> {
        self.look(|moment| Ok(moment.range()))
    }
}
