//! The writing end: appends, retention, and the recovery of a store that failed.

use std::sync::Arc;

use redb::{Database, Durability};

use super::end_note::EndNote;
use super::event_ids::EventIds;
use super::meta::Meta;
use super::retention::Unreachable;
use super::store::{OpenStore, RedbStore, read_waiting};
use super::write::{self, AppendedBatch, IdsInMemory, StampedFrame};
use crate::history::{Appended, HeldCounts, History, HistoryError, HistoryReader, Position, Retention};
use crate::limits::{TRIM_IDLE_UPDATES_MAX, TRIM_UPDATES_MAX, UNSYNCED_BYTES_MAX};
use crate::sse::frame::Frame;

/// When an acknowledged update is on the disk (`HISTORY_SYNC`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistorySync {
    /// Before it is acknowledged: neither a crash of the hub nor a power failure loses it.
    #[default]
    Always,
    /// At the next [`History::maintain`]: a crash of the hub or of the host loses only the updates
    /// since the last one.
    Interval,
    /// When the kernel writes it: a crash of the hub loses nothing, but a power failure may lose
    /// any number of updates, and the file with them.
    Never,
}

/// Updates that were acknowledged, and that a history file no longer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostUpdates {
    /// The first of them.
    pub first: Position,
    /// The last of them.
    pub last: Position,
}

/// The writing end.
pub struct RedbHistory {
    store: Arc<RedbStore>,
    retention: Retention,
    sync: HistorySync,
    /// The numbers of the file at the last acknowledged commit.
    pub(super) meta: Meta,
    /// What is beyond the retention, and the position up to which nothing is held.
    unreachable: Unreachable,
    before_oldest: Position,
    /// The newest acknowledged updates that may not be on the disk yet ([`HistorySync::Interval`]).
    /// A reopened store has lost them, and gets them again.
    unsynced: Vec<StampedFrame>,
    unsynced_bytes: usize,
    pub(super) note: EndNote,
    /// The acknowledged updates that were missing when the file was opened.
    pub(super) lost: Option<LostUpdates>,
}

impl RedbHistory {
    /// The writing end on an open store; `open` opens it again after a failure.
    pub(super) fn on(
        database: Database,
        open: Box<OpenStore>,
        retention: Retention,
        sync: HistorySync,
        note: EndNote,
    ) -> Result<Self, HistoryError> {
        let meta = Meta::of(&database)?;
        let store = Arc::new(RedbStore::new(database, open)?);
        let mut history = Self {
            store,
            retention,
            sync,
            meta,
            unreachable: Unreachable::of(&meta),
            before_oldest: Position::new(meta.updates.discarded.until),
            unsynced: Vec::new(),
            unsynced_bytes: 0,
            note,
            lost: None,
        };
        // The age limit applies at the first call that knows the time.
        history.discard(0)?;
        Ok(history)
    }

    /// The acknowledged updates that the file had lost when it was opened; only
    /// [`Self::open_accepting_loss`] opens such a file.
    pub fn lost(&self) -> Option<LostUpdates> {
        self.lost
    }

    /// After an error redb refuses everything, so the store is closed. It is reopened at once, for
    /// the readers; if that fails, the next call tries again.
    fn recover(&mut self) {
        self.store.close();
        // The error being reported is the relevant one.
        let _ = self.reopen_if_closed();
    }

    /// Opens a failed store with exactly the acknowledged updates. A failed commit may still have
    /// reached the file: its changes are removed before any reader can see them.
    fn reopen_if_closed(&mut self) -> Result<(), HistoryError> {
        let Self { store, meta, unsynced, unreachable, .. } = self;
        let synced = meta.newest - unsynced.len() as u64;
        let reopened = store.reopen_if_closed(|database| {
            let found = Meta::of(database)?;
            if found.newest < synced {
                let (found, expected) = (Position::new(found.newest), Position::new(synced));
                return Err(HistoryError::WrongEnd { found, expected });
            }
            if found.newest == synced && unsynced.is_empty() {
                return Ok((found, unreachable.recounted(database, &found)?));
            }
            let (waiting, events) = (read_waiting(database)?, EventIds::read(database)?);
            let in_memory = IdsInMemory { waiting: &waiting, events: &events };
            let found = write::transact(database, Durability::Immediate, |transaction| {
                write::truncate(transaction, synced)?;
                let trim = (*unreachable, 0);
                write::append(transaction, unsynced, &in_memory, None, trim).map(|written| written.meta)
            })?;
            Ok((found, unreachable.recounted(database, &found)?))
        })?;
        if let Some((found, unreachable)) = reopened {
            (self.meta, self.unreachable) = (found, unreachable);
            self.all_synced();
        }
        Ok(())
    }

    /// Every update of the last commit is on the disk.
    fn all_synced(&mut self) {
        self.unsynced = Vec::new();
        self.unsynced_bytes = 0;
        self.note.acknowledge(self.meta.newest);
    }

    fn durability(&self) -> Durability {
        match self.sync {
            HistorySync::Interval if self.unsynced_bytes < UNSYNCED_BYTES_MAX => Durability::None,
            // For `Never`, the file itself omits the system call.
            _ => Durability::Immediate,
        }
    }

    /// Makes what is beyond the retention unreachable; returns the position up to which nothing is
    /// held.
    fn discard(&mut self, unix_ms: u64) -> Result<Position, HistoryError> {
        let Self { store, meta, retention, unreachable, .. } = self;
        let next = store.with(|database| unreachable.next(database, meta, *retention, unix_ms));
        (self.unreachable, self.before_oldest) = next?;
        let Unreachable { updates, events } = self.unreachable;
        self.store.discard_until(updates.until, events.until);
        Ok(self.before_oldest)
    }

    /// Whether something is unreachable that is still in the file, or that the file does not call
    /// unreachable.
    fn has_to_trim(&self) -> bool {
        let Meta { updates, events, .. } = self.meta;
        let Unreachable { updates: gone, events: gone_events } = self.unreachable;
        updates.trimmed < gone.until
            || updates.discarded < gone
            || events.trimmed < gone_events.until
            || events.discarded < gone_events
    }

    /// Runs a transaction; reopens the store if it fails.
    fn commit<T>(
        &mut self,
        durability: Durability,
        write: impl FnOnce(&redb::WriteTransaction) -> Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        let result = self.store.with(|database| write::transact(database, durability, write));
        if result.is_err() {
            self.recover();
        }
        result
    }
}

impl History for RedbHistory {
    fn append(&mut self, batch: &[Arc<Frame>], unix_ms: u64) -> Result<Appended, HistoryError> {
        self.reopen_if_closed()?;
        let stamped: Vec<StampedFrame> =
            batch.iter().map(|frame| StampedFrame { frame: Arc::clone(frame), unix_ms }).collect();
        let durability = self.durability();
        // Only updates discarded earlier are freed in this transaction: if it fails halfway,
        // nothing else is missing.
        let trim = (self.unreachable, TRIM_UPDATES_MAX + 2 * batch.len());
        let store = Arc::clone(&self.store);
        let slice = store.waiting().next_slice(batch.len());
        let written = self.commit(durability, |transaction| {
            let (waiting, events) = (&*store.waiting(), &*store.event_ids());
            write::append(transaction, &stamped, &IdsInMemory { waiting, events }, slice.as_ref(), trim)
        })?;
        let AppendedBatch { updates, entries, event_ids, meta } = written;
        self.meta = meta;
        store.ends_with(meta.newest);
        store.change_waiting(|waiting| waiting.committed(slice, entries.into_iter(), meta.updates.count));
        if !event_ids.is_empty() {
            store.change_event_ids(|ids| ids.append(event_ids.into_iter()));
        }
        if matches!(durability, Durability::None) {
            self.unsynced_bytes += batch.iter().map(|frame| frame.bytes_held()).sum::<usize>();
            self.unsynced.extend(stamped);
        } else {
            self.all_synced();
        }
        // The batch is stored: an update that cannot be discarded now is discarded later.
        let before_oldest = self.discard(unix_ms).unwrap_or(self.before_oldest);
        Ok(Appended { updates, before_oldest })
    }

    fn needs_upkeep(&self) -> bool {
        let HeldCounts { updates, events } = self.held();
        !self.unsynced.is_empty()
            || self.note.needs_upkeep()
            || self.store.is_closed()
            || self.has_to_trim()
            || (self.retention.age_max_ms > 0 && updates + events > 0)
    }

    fn maintain(&mut self, unix_ms: u64) -> Result<Position, HistoryError> {
        self.reopen_if_closed()?;
        let before_oldest = self.discard(unix_ms)?;
        if !self.unsynced.is_empty() || self.has_to_trim() {
            let unreachable = self.unreachable;
            self.meta = self.commit(Durability::Immediate, |transaction| {
                write::trim(transaction, unreachable, TRIM_IDLE_UPDATES_MAX)
            })?;
            self.all_synced();
        }
        self.note.maintain()?;
        Ok(before_oldest)
    }

    fn held(&self) -> HeldCounts {
        let Unreachable { updates, events } = self.unreachable;
        HeldCounts { updates: self.meta.updates.held(updates), events: self.meta.events.held(events) }
    }

    fn reader(&self) -> Arc<dyn HistoryReader> {
        Arc::clone(&self.store) as Arc<dyn HistoryReader>
    }
}
