//! Writes to the file: the steps of the transactions, and the computation of the retention.

use std::sync::Arc;

use redb::{Database, Durability, ReadableTable, Table, WriteTransaction};

use super::error::failed;
use super::format::META;
use super::index::{IDS, IdHasher, IndexEntry, RECENT, Slice, UnindexedIds, first_with_id};
use super::record::{self, RecordFields, UPDATES};
use crate::history::{HistoryError, Position, Retention, SequencedUpdate};
use crate::sse::frame::Frame;

/// An update and its time of publication (Unix, in milliseconds).
#[derive(Clone, Debug)]
pub(super) struct StampedFrame {
    pub(super) frame: Arc<Frame>,
    pub(super) unix_ms: u64,
}

/// The numbers of the `meta` table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    /// The file has no update up to this position.
    pub(super) trimmed: u64,
    /// The newest update; `trimmed` if the file has none.
    pub(super) newest: u64,
    /// Updates up to this one were unreachable when the file was last written.
    pub(super) discarded: u64,
    /// The file's index of ids has every update up to this one.
    pub(super) indexed: u64,
    /// Bytes of all updates ever appended, as counted by [`record::bytes`].
    pub(super) bytes: u64,
}

impl Meta {
    pub(super) fn read(table: &impl ReadableTable<&'static str, u64>) -> Result<Self, HistoryError> {
        let number = |name: &str| {
            let value = table.get(name).map_err(failed)?;
            Ok::<_, HistoryError>(value.map_or(0, |value| value.value()))
        };
        Ok(Self {
            trimmed: number("trimmed")?,
            newest: number("newest")?,
            discarded: number("discarded")?,
            indexed: number("indexed")?,
            bytes: number("bytes")?,
        })
    }

    fn write(self, table: &mut Table<'_, &'static str, u64>) -> Result<(), HistoryError> {
        for (name, value) in [
            ("trimmed", self.trimmed),
            ("newest", self.newest),
            ("discarded", self.discarded),
            ("indexed", self.indexed),
            ("bytes", self.bytes),
        ] {
            table.insert(name, value).map_err(failed)?;
        }
        Ok(())
    }
}

/// The result of an append.
pub(super) struct AppendedBatch {
    pub(super) updates: Vec<SequencedUpdate>,
    /// Entries for the index of ids.
    pub(super) entries: Vec<IndexEntry>,
    pub(super) meta: Meta,
}

/// The tables of one transaction.
struct Tables<'t> {
    meta: Table<'t, &'static str, u64>,
    updates: Table<'t, u64, RecordFields<'static>>,
    ids: Table<'t, IndexEntry, ()>,
    recent: Table<'t, u64, u64>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, HistoryError> {
        Ok(Self {
            meta: transaction.open_table(META).map_err(failed)?,
            updates: transaction.open_table(UPDATES).map_err(failed)?,
            ids: transaction.open_table(IDS).map_err(failed)?,
            recent: transaction.open_table(RECENT).map_err(failed)?,
        })
    }

    /// Removes one update; returns the bytes before it.
    fn remove(&mut self, position: u64) -> Result<Option<u64>, HistoryError> {
        self.recent.remove(position).map_err(failed)?;
        let Some(value) = self.updates.remove(position).map_err(failed)? else { return Ok(None) };
        Ok(Some(record::head(&value.value()).bytes_before))
    }
}

/// Runs one transaction; nothing of it is written if it fails.
pub(super) fn transact<T>(
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

/// Appends a batch after the newest update, and moves a slice of the waiting ids to the index.
/// Returns the batch with its positions, the entries of its ids, which wait from now on, and the
/// file's new numbers.
pub(super) fn append(
    transaction: &WriteTransaction,
    batch: &[StampedFrame],
    hasher: IdHasher,
    waiting: &UnindexedIds,
    slice: Option<&Slice>,
) -> Result<AppendedBatch, HistoryError> {
    let mut tables = Tables::open(transaction)?;
    let mut meta = Meta::read(&tables.meta)?;
    let mut written = AppendedBatch { updates: Vec::new(), entries: Vec::with_capacity(batch.len()), meta };
    for StampedFrame { frame, unix_ms } in batch {
        meta.newest += 1;
        let id = frame.id().as_str();
        let hash = hasher.hash(id);
        let Tables { updates, ids, .. } = &mut tables;
        let first_of_id = frame.has_made_id() || {
            // Updates that are discarded but not trimmed count as held: the tail then does not know
            // the id, and asks the history.
            let mut others = waiting.positions(hash);
            let same = written.entries.iter().filter(|(other, _)| *other == hash);
            others.extend(same.map(|(_, position)| *position));
            first_with_id(ids, updates, (id, hash), others, meta.trimmed)?.is_none()
        };
        let head = record::RecordHead { unix_ms: *unix_ms, bytes_before: meta.bytes, first_of_id };
        record::insert(updates, meta.newest, head, frame)?;
        meta.bytes += record::bytes(frame);
        tables.recent.insert(meta.newest, hash).map_err(failed)?;
        written.entries.push((hash, meta.newest));
        let position = Position::new(meta.newest);
        written.updates.push(SequencedUpdate { position, frame: Arc::clone(frame), first_of_id });
    }
    if let Some(slice) = slice {
        slice.write(&mut tables.ids, meta.trimmed)?;
        meta.indexed = slice.indexed.unwrap_or(meta.indexed);
    }
    meta.write(&mut tables.meta)?;
    Ok(AppendedBatch { meta, ..written })
}

/// Frees the oldest updates up to `discarded`, but at most `updates_max`.
pub(super) fn trim(
    transaction: &WriteTransaction,
    discarded: u64,
    updates_max: usize,
) -> Result<Meta, HistoryError> {
    let mut tables = Tables::open(transaction)?;
    let mut meta = Meta::read(&tables.meta)?;
    let until = discarded.min(meta.newest).min(meta.trimmed.saturating_add(updates_max as u64));
    for position in meta.trimmed + 1..=until {
        tables.remove(position)?;
    }
    // Those that the index now has.
    for _ in 0..updates_max {
        let oldest = tables.recent.first().map_err(failed)?.map(|(position, _)| position.value());
        let Some(oldest) = oldest.filter(|oldest| *oldest <= meta.indexed) else { break };
        tables.recent.remove(oldest).map_err(failed)?;
    }
    meta.trimmed = meta.trimmed.max(until);
    meta.discarded = meta.discarded.max(discarded);
    meta.write(&mut tables.meta)?;
    Ok(meta)
}

/// Removes every update after this one.
pub(super) fn truncate(transaction: &WriteTransaction, newest: u64) -> Result<(), HistoryError> {
    let mut tables = Tables::open(transaction)?;
    let mut meta = Meta::read(&tables.meta)?;
    while meta.newest > newest {
        if let Some(bytes_before) = tables.remove(meta.newest)? {
            meta.bytes = bytes_before;
        }
        meta.newest -= 1;
    }
    meta.trimmed = meta.trimmed.min(newest);
    meta.discarded = meta.discarded.min(newest);
    meta.indexed = meta.indexed.min(newest);
    meta.write(&mut tables.meta)
}

/// The position before the oldest update within the retention; at least `discarded`.
///
/// Times come from the system clock. If it was set back, updates with a future time count at least
/// as old as the first later update without one.
pub(super) fn before_oldest(
    updates: &impl ReadableTable<u64, RecordFields<'static>>,
    meta: &Meta,
    discarded: u64,
    retention: Retention,
    unix_ms: u64,
) -> Result<u64, HistoryError> {
    let Retention { updates_max, bytes_max, age_max_ms } = retention;
    let oldest_unix_ms = if age_max_ms == 0 { 0 } else { unix_ms.saturating_sub(age_max_ms) };
    let head = |position: u64| {
        let value = updates.get(position).map_err(failed)?;
        Ok::<_, HistoryError>(value.map(|value| record::head(&value.value())))
    };
    let has_to_go = |position: u64| {
        let is_newest = position == meta.newest;
        if updates_max > 0 && !is_newest && meta.newest - position >= updates_max {
            return Ok(true);
        }
        let Some(head) = head(position)? else { return Ok(true) };
        let is_too_much = bytes_max > 0 && !is_newest && meta.bytes - head.bytes_before > bytes_max;
        Ok(is_too_much || head.unix_ms < oldest_unix_ms)
    };
    let of_future = |position| Ok(head(position)?.is_some_and(|head| head.unix_ms > unix_ms));
    let mut gone = last_where(discarded, meta.newest, has_to_go)?;
    loop {
        let until = last_where(gone, meta.newest, of_future)?;
        let is_old = head(until + 1)?.is_some_and(|head| head.unix_ms < oldest_unix_ms);
        if until == gone || !is_old {
            return Ok(gone);
        }
        gone = last_where(until, meta.newest, has_to_go)?;
    }
}

/// The last position after `from`, up to `newest`, for which `holds` is true; `from` if there is
/// none. `holds` must be true for a prefix only; the search uses growing steps, then halves.
fn last_where(
    from: u64,
    newest: u64,
    holds: impl Fn(u64) -> Result<bool, HistoryError>,
) -> Result<u64, HistoryError> {
    let (mut is, mut is_not) = (from, newest + 1);
    let mut step = 1;
    while is + step < is_not {
        if !holds(is + step)? {
            is_not = is + step;
            break;
        }
        is += step;
        step *= 2;
    }
    while is_not - is > 1 {
        let middle = is + (is_not - is) / 2;
        if holds(middle)? { is = middle } else { is_not = middle }
    }
    Ok(is)
}
