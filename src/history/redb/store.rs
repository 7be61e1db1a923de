//! The store and its readers. A reader sees a snapshot: the commits before its transaction began.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable as _};

use super::error::failed;
use super::event_ids::EventIds;
use super::guard::{Panicked, close, guarded};
use super::index::{Candidates, IDS, IdHasher, IdTables, NEW_IDS, UnindexedIds, new_id};
use super::meta::{KindTotals, META, Meta};
use super::moment::Moment;
use super::record::{EVENTS, RECORDS, head_from};
use super::sums::ID_SUMS;
use crate::history::{HistoryError, HistoryRange, HistoryReader, HistorySlice, Position};
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
    /// The same for events of subscriptions; at least [`Self::discarded`].
    events_discarded: AtomicU64,
    /// The newest acknowledged update: a snapshot that begins later must hold it. Written only by
    /// the sequencer, after the commit.
    newest: AtomicU64,
    hasher: IdHasher,
    /// Ids that the file's index does not have yet. Written only by the sequencer, after the
    /// commit.
    waiting: RwLock<UnindexedIds>,
    /// The ids of the events of subscriptions. Written like the waiting ids.
    event_ids: RwLock<EventIds>,
}

impl RedbStore {
    pub(super) fn new(database: Database, open: Box<OpenStore>) -> Result<Self, HistoryError> {
        let meta = Meta::of(&database)?;
        let waiting = RwLock::new(read_waiting(&database)?);
        let event_ids = RwLock::new(EventIds::read(&database)?);
        Ok(Self {
            database: RwLock::new(Some(database)),
            open,
            discarded: AtomicU64::new(meta.updates.discarded.until),
            events_discarded: AtomicU64::new(meta.events.discarded.until),
            newest: AtomicU64::new(meta.newest),
            hasher: meta.hasher,
            waiting,
            event_ids,
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

    pub(super) fn event_ids(&self) -> RwLockReadGuard<'_, EventIds> {
        self.event_ids.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change_event_ids(&self, change: impl FnOnce(&mut EventIds)) {
        change(&mut self.event_ids.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Makes updates and events unreachable, up to these positions.
    pub(super) fn discard_until(&self, updates: u64, events: u64) {
        // Events first: readers read the other one first, so they never find it ahead.
        if self.events_discarded.swap(events, Ordering::AcqRel) != events {
            self.change_event_ids(|ids| ids.discard_until(events));
        }
        self.discarded.store(updates, Ordering::Release);
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
        if let Some(database) = database {
            close(database);
        }
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
        let restored = guarded(|| {
            let restored = restore(&database)?;
            Ok((restored, read_waiting(&database)?, EventIds::read(&database)?))
        });
        match restored.unwrap_or_else(|panicked| Err(corrupt(panicked))) {
            Ok((restored, waiting, event_ids)) => {
                self.change_waiting(|place| *place = waiting);
                self.change_event_ids(|place| *place = event_ids);
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
            let discarded = self.discarded.load(Ordering::Acquire);
            let events_discarded = self.events_discarded.load(Ordering::Acquire);
            let newest = self.newest.load(Ordering::Acquire);
            let transaction = database.begin_read().map_err(failed)?;
            let meta = Meta::read(&transaction.open_table(META).map_err(failed)?)?;
            if meta.newest < newest {
                let (found, expected) = (Position::new(meta.newest), Position::new(newest));
                return Err(HistoryError::WrongEnd { found, expected });
            }
            let before_oldest = discarded.max(meta.updates.trimmed);
            let events_after = events_discarded.max(meta.events.trimmed);
            look(&Moment { transaction, before_oldest, events_after, meta })
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
    EventIds::read(database)?;
    let transaction = database.begin_read().map_err(failed)?;
    // Each table has to be there: a missing one would be made anew by the next commit.
    transaction.open_table(IDS).map_err(failed)?;
    transaction.open_table(ID_SUMS).map_err(failed)?;
    let (before_oldest, events_after) = (meta.updates.trimmed, meta.events.discarded.until);
    let moment = Moment { transaction, before_oldest, events_after, meta };
    let updates = moment.table(RECORDS)?;
    let last = |table: &redb::ReadOnlyTable<_, _>, totals: KindTotals| {
        let last = table.last().map_err(failed)?.map(|(position, _)| position.value());
        let found = last.unwrap_or(totals.trimmed);
        let expected = totals.newest.max(totals.trimmed);
        if found != expected {
            let (found, expected) = (Position::new(found), Position::new(expected));
            return Err(HistoryError::WrongEnd { found, expected });
        }
        Ok(())
    };
    last(&updates, meta.updates)?;
    last(&moment.table(EVENTS)?, meta.events)?;
    if let Some((_, head)) = head_from(&updates, meta.updates.trimmed + 1)?
        && head.update_before > meta.updates.trimmed
    {
        return Err(HistoryError::Absent { position: Position::new(head.update_before) });
    }
    moment.oldest(1, usize::MAX, meta.updates.trimmed)?;
    // The tails of the shards.
    moment.newest(TAIL_UPDATES_MAX, TAIL_BYTES_MAX)?;
    Ok(meta)
}

/// The ids of the updates that the file's index may not have.
pub(super) fn read_waiting(database: &impl ReadableDatabase) -> Result<UnindexedIds, HistoryError> {
    let meta = Meta::of(database)?;
    let transaction = database.begin_read().map_err(failed)?;
    let new_ids = transaction.open_table(NEW_IDS).map_err(failed)?;
    let mut entries = Vec::new();
    let mut first = None;
    let mut last = meta.indexed;
    for entry in new_ids.range(meta.updates.trimmed + 1..).map_err(failed)? {
        let (position, value) = entry.map_err(failed)?;
        let (position, value) = (position.value(), value.value());
        let (hash, number, _) = value;
        if value != new_id(position, hash, number) || first.is_some() && number != last + 1 {
            return Err(HistoryError::AlteredIndex);
        }
        first.get_or_insert((position, number));
        last = number;
        if number > meta.indexed {
            entries.push((hash, position));
        }
    }
    // The first one follows the index, or is the oldest update.
    if let Some((position, _)) = first.filter(|(_, number)| *number > meta.indexed + 1) {
        let records = transaction.open_table(RECORDS).map_err(failed)?;
        let oldest = records.first().map_err(failed)?.map(|(position, _)| position.value());
        if oldest != Some(position) {
            return Err(HistoryError::AlteredIndex);
        }
    }
    let is_empty = meta.updates.newest <= meta.updates.trimmed;
    if last.max(meta.indexed) != meta.updates.count && !is_empty {
        return Err(HistoryError::AlteredIndex);
    }
    Ok(UnindexedIds::new(entries.into_iter(), meta.updates.count))
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        if let Some(database) = self.database.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            close(database);
        }
    }
}

impl HistoryReader for RedbStore {
    fn locate(&self, id: &str) -> Result<Option<Position>, HistoryError> {
        // Read this before the transaction begins: an id that no longer waits is in the file that
        // the transaction sees.
        let hash = self.hasher.hash(id);
        let candidates =
            Candidates { updates: self.waiting().positions(hash), events: self.event_ids().positions(hash) };
        self.look(|moment| {
            let ids = moment.transaction.open_table(IDS).map_err(failed)?;
            let sums = moment.transaction.open_table(ID_SUMS).map_err(failed)?;
            let (records, events) = (moment.table(RECORDS)?, moment.table(EVENTS)?);
            let tables = IdTables { ids: &ids, sums: &sums, records: &records, events: &events };
            let held = moment.before_oldest + 1..moment.meta.newest + 1;
            let first = tables.first_with_id((id, hash), candidates, held, moment.events_after)?;
            Ok(first.map(Position::new))
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
