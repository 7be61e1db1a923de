//! Writes to the file: the steps of the transactions, and the computation of the retention.

use std::sync::Arc;

use redb::{Database, Durability, ReadableTable, Table, WriteTransaction};

use super::error::{failed, read_at};
use super::index::{IDS, IdTables, IndexEntry, NEW_IDS, Slice, UnindexedIds, new_id};
use super::meta::{META, Meta, MetaFields};
use super::record::{self, RECORDS, RecordFields, head_at};
use super::sums::{ID_SUMS, Sum};
use crate::history::{HistoryError, Position, Retention, SequencedUpdate};
use crate::sse::frame::Frame;

/// An update and its time of publication (Unix, in milliseconds).
#[derive(Clone, Debug)]
pub(super) struct StampedFrame {
    pub(super) frame: Arc<Frame>,
    pub(super) unix_ms: u64,
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
    meta: Table<'t, (), MetaFields>,
    records: Table<'t, u64, RecordFields<'static>>,
    ids: Table<'t, IndexEntry, ()>,
    sums: Table<'t, u32, Sum>,
    new_ids: Table<'t, u64, (u64, u32)>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, HistoryError> {
        Ok(Self {
            meta: transaction.open_table(META).map_err(failed)?,
            records: transaction.open_table(RECORDS).map_err(failed)?,
            ids: transaction.open_table(IDS).map_err(failed)?,
            sums: transaction.open_table(ID_SUMS).map_err(failed)?,
            new_ids: transaction.open_table(NEW_IDS).map_err(failed)?,
        })
    }

    /// Removes one update.
    fn remove(&mut self, position: u64) -> Result<(), HistoryError> {
        self.new_ids.remove(position).map_err(failed)?;
        read_at(position, || self.records.remove(position).map(|_| ()))
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
    waiting: &UnindexedIds,
    slice: Option<&Slice>,
) -> Result<AppendedBatch, HistoryError> {
    let mut tables = Tables::open(transaction)?;
    let mut meta = Meta::read(&tables.meta)?;
    let mut written = AppendedBatch { updates: Vec::new(), entries: Vec::with_capacity(batch.len()), meta };
    for StampedFrame { frame, unix_ms } in batch {
        meta.newest += 1;
        let id = frame.id().as_str();
        let hash = meta.hasher.hash(id);
        let Tables { records, ids, sums, .. } = &tables;
        let first_of_id = frame.has_made_id() || {
            // Updates that are discarded but not trimmed count as held: the tail then does not know
            // the id, and asks the history.
            let mut others = waiting.positions(hash);
            let same = written.entries.iter().filter(|(other, _)| *other == hash);
            others.extend(same.map(|(_, position)| *position));
            let held = meta.trimmed + 1..meta.newest;
            IdTables { ids, sums, records }.first_with_id((id, hash), others, held)?.is_none()
        };
        let head = record::RecordHead { unix_ms: *unix_ms, bytes_before: meta.bytes, first_of_id };
        record::insert(&mut tables.records, meta.newest, head, frame)?;
        meta.bytes += record::bytes(frame);
        tables.new_ids.insert(meta.newest, new_id(meta.newest, hash)).map_err(failed)?;
        written.entries.push((hash, meta.newest));
        let position = Position::new(meta.newest);
        written.updates.push(SequencedUpdate { position, frame: Arc::clone(frame), first_of_id });
    }
    if let Some(slice) = slice {
        slice.write(&mut tables.ids, &mut tables.sums, meta.trimmed)?;
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
        let oldest = tables.new_ids.first().map_err(failed)?.map(|(position, _)| position.value());
        let Some(oldest) = oldest.filter(|oldest| *oldest <= meta.indexed) else { break };
        tables.new_ids.remove(oldest).map_err(failed)?;
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
        // The commit that is undone may have freed some of them.
        if meta.newest > meta.trimmed {
            meta.bytes = head_at(&tables.records, meta.newest)?.bytes_before;
        }
        tables.remove(meta.newest)?;
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
    records: &impl ReadableTable<u64, RecordFields<'static>>,
    meta: &Meta,
    discarded: u64,
    retention: Retention,
    unix_ms: u64,
) -> Result<u64, HistoryError> {
    let Retention { updates_max, bytes_max, age_max_ms } = retention;
    let oldest_unix_ms = if age_max_ms == 0 { 0 } else { unix_ms.saturating_sub(age_max_ms) };
    let head = |position: u64| head_at(records, position);
    let has_to_go = |position: u64| {
        let is_newest = position == meta.newest;
        if updates_max > 0 && !is_newest && meta.newest - position >= updates_max {
            return Ok(true);
        }
        let head = head(position)?;
        let is_too_much = bytes_max > 0 && !is_newest && meta.bytes - head.bytes_before > bytes_max;
        Ok(is_too_much || head.unix_ms < oldest_unix_ms)
    };
    let of_future = |position| Ok(head(position)?.unix_ms > unix_ms);
    let mut gone = last_where(discarded, meta.newest, has_to_go)?;
    loop {
        let until = last_where(gone, meta.newest, of_future)?;
        let is_old = until < meta.newest && head(until + 1)?.unix_ms < oldest_unix_ms;
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
