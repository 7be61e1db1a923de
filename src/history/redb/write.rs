//! Writes to the file: the steps of the transactions.

use std::sync::Arc;

use redb::{Database, Durability, ReadableTable, Table, WriteTransaction};

use super::error::{failed, read_at};
use super::event_ids::EventIds;
use super::index::{Candidates, IDS, IdTables, IndexEntry, NEW_IDS, NewId, Slice, UnindexedIds, new_id};
use super::meta::{Discarded, KindTotals, META, Meta, MetaFields};
use super::record::{self, EVENTS, RECORDS, RecordFields, head_at};
use super::retention::Unreachable;
use super::sums::{ID_SUMS, Sums};
use crate::history::{HistoryError, Position, SequencedUpdate};
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
    /// The ids of the events of subscriptions.
    pub(super) event_ids: Vec<IndexEntry>,
    pub(super) meta: Meta,
}

/// The tables of one transaction.
struct Tables<'t> {
    meta: Table<'t, (), MetaFields>,
    records: Table<'t, u64, RecordFields<'static>>,
    events: Table<'t, u64, RecordFields<'static>>,
    ids: Table<'t, IndexEntry, ()>,
    sums: Table<'t, u32, Sums>,
    new_ids: Table<'t, u64, NewId>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, HistoryError> {
        Ok(Self {
            meta: transaction.open_table(META).map_err(failed)?,
            records: transaction.open_table(RECORDS).map_err(failed)?,
            events: transaction.open_table(EVENTS).map_err(failed)?,
            ids: transaction.open_table(IDS).map_err(failed)?,
            sums: transaction.open_table(ID_SUMS).map_err(failed)?,
            new_ids: transaction.open_table(NEW_IDS).map_err(failed)?,
        })
    }

    fn trim(
        &mut self,
        meta: &mut Meta,
        unreachable: Unreachable,
        count_max: usize,
    ) -> Result<(), HistoryError> {
        let Unreachable { updates, events } = unreachable;
        for position in trim_table(&mut self.records, &mut meta.updates, updates, count_max)? {
            self.new_ids.remove(position).map_err(failed)?;
        }
        trim_table(&mut self.events, &mut meta.events, events, count_max)?;
        // Those that the index now has.
        for _ in 0..count_max {
            let oldest = self.new_ids.first().map_err(failed)?;
            let oldest = oldest.map(|(position, value)| (position.value(), value.value().1));
            let Some((oldest, _)) = oldest.filter(|(_, number)| *number <= meta.indexed) else { break };
            self.new_ids.remove(oldest).map_err(failed)?;
        }
        Ok(())
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

/// What waits in memory: ids that are not in the file's index.
pub(super) struct IdsInMemory<'w> {
    pub(super) waiting: &'w UnindexedIds,
    pub(super) events: &'w EventIds,
}

/// Appends a batch after the newest update, and moves a slice of the waiting ids to the index.
/// Returns the batch with its positions, the entries of its ids, which wait from now on, and the
/// file's new numbers.
///
/// It also frees the oldest updates and events that are discarded, but at most `trim_max` of each.
pub(super) fn append(
    transaction: &WriteTransaction,
    batch: &[StampedFrame],
    in_memory: &IdsInMemory<'_>,
    slice: Option<&Slice>,
    (unreachable, trim_max): (Unreachable, usize),
) -> Result<AppendedBatch, HistoryError> {
    let mut tables = Tables::open(transaction)?;
    let mut meta = Meta::read(&tables.meta)?;
    tables.trim(&mut meta, unreachable, trim_max)?;
    let entries = Vec::with_capacity(batch.len());
    let mut written = AppendedBatch { updates: Vec::new(), entries, event_ids: Vec::new(), meta };
    for StampedFrame { frame, unix_ms } in batch {
        let meta = &mut written.meta;
        meta.newest += 1;
        let (position, id) = (meta.newest, frame.id().as_str());
        let hash = meta.hasher.hash(id);
        let first_of_id = frame.has_made_id() || is_new_id(&tables, (id, hash), in_memory, &written)?;
        let meta = &mut written.meta;
        let update_before = meta.updates.newest;
        let is_event = frame.is_subscription_event();
        let totals = if is_event { &mut meta.events } else { &mut meta.updates };
        totals.count += 1;
        totals.newest = position;
        let (bytes_before, number) = (totals.bytes, totals.count);
        totals.bytes += record::bytes(frame);
        let head = record::RecordHead { unix_ms: *unix_ms, bytes_before, number, update_before, first_of_id };
        if is_event {
            record::insert(&mut tables.events, position, head, frame)?;
            written.event_ids.push((hash, position));
        } else {
            record::insert(&mut tables.records, position, head, frame)?;
            tables.new_ids.insert(position, new_id(position, hash, number)).map_err(failed)?;
            written.entries.push((hash, position));
        }
        let position = Position::new(position);
        written.updates.push(SequencedUpdate { position, frame: Arc::clone(frame), first_of_id });
    }
    let meta = &mut written.meta;
    if let Some(slice) = slice {
        slice.write(&mut tables.ids, &mut tables.sums, meta.updates.trimmed)?;
        meta.indexed = slice.indexed.unwrap_or(meta.indexed);
    }
    meta.write(&mut tables.meta)?;
    Ok(written)
}

/// Whether no update and no event that the file has, or that this batch has appended, has this id.
fn is_new_id(
    tables: &Tables<'_>,
    (id, hash): (&str, u64),
    in_memory: &IdsInMemory<'_>,
    written: &AppendedBatch,
) -> Result<bool, HistoryError> {
    // Updates that are discarded but not trimmed count as held: the tail then does not know the id,
    // and asks the history.
    let with = |mut positions: Vec<u64>, entries: &[IndexEntry]| {
        let same = entries.iter().filter(|(other, _)| *other == hash);
        positions.extend(same.map(|(_, position)| *position));
        positions
    };
    let candidates = Candidates {
        updates: with(in_memory.waiting.positions(hash), &written.entries),
        events: with(in_memory.events.positions(hash), &written.event_ids),
    };
    let Tables { records, events, ids, sums, .. } = tables;
    let Meta { newest, updates, events: event_totals, .. } = written.meta;
    let found = IdTables { ids, sums, records, events }.first_with_id(
        (id, hash),
        candidates,
        updates.trimmed + 1..newest,
        event_totals.trimmed,
    )?;
    Ok(found.is_none())
}

/// Frees the oldest updates and events that are discarded, but at most `count_max` of each.
pub(super) fn trim(
    transaction: &WriteTransaction,
    unreachable: Unreachable,
    count_max: usize,
) -> Result<Meta, HistoryError> {
    let mut tables = Tables::open(transaction)?;
    let mut meta = Meta::read(&tables.meta)?;
    tables.trim(&mut meta, unreachable, count_max)?;
    meta.write(&mut tables.meta)?;
    Ok(meta)
}

/// Returns the positions that were freed.
fn trim_table(
    table: &mut Table<'_, u64, RecordFields<'static>>,
    totals: &mut KindTotals,
    discarded: Discarded,
    count_max: usize,
) -> Result<Vec<u64>, HistoryError> {
    let from = totals.trimmed + 1;
    let mut freed = Vec::new();
    if totals.trimmed < discarded.until.min(totals.newest) {
        let mut entries = read_at(from, || table.range(from..=discarded.until))?;
        while freed.len() < count_max
            && let Some((position, _)) = read_at(from, || entries.next().transpose())?
        {
            freed.push(position.value());
        }
    }
    for position in &freed {
        read_at(*position, || table.remove(*position).map(|_| ()))?;
    }
    let is_all = freed.len() < count_max;
    let until = if is_all { Some(discarded.until) } else { freed.last().copied() };
    totals.trimmed = until.unwrap_or(0).max(totals.trimmed);
    totals.discarded = totals.discarded.max(discarded);
    Ok(freed)
}

/// Removes every update and event after this position.
pub(super) fn truncate(transaction: &WriteTransaction, newest: u64) -> Result<(), HistoryError> {
    let mut tables = Tables::open(transaction)?;
    let mut meta = Meta::read(&tables.meta)?;
    let Tables { records, events, new_ids, .. } = &mut tables;
    for position in truncate_table(records, &mut meta.updates, newest)? {
        new_ids.remove(position).map_err(failed)?;
    }
    truncate_table(events, &mut meta.events, newest)?;
    meta.newest = newest;
    meta.indexed = meta.indexed.min(meta.updates.count);
    meta.write(&mut tables.meta)
}

/// Returns the positions that were removed.
fn truncate_table(
    table: &mut Table<'_, u64, RecordFields<'static>>,
    totals: &mut KindTotals,
    newest: u64,
) -> Result<Vec<u64>, HistoryError> {
    let mut removed = Vec::new();
    let mut entries = read_at(newest, || table.range(newest + 1..))?;
    while let Some((position, _)) = read_at(newest, || entries.next().transpose())? {
        removed.push(position.value());
    }
    drop(entries);
    if let Some(first) = removed.first() {
        let head = head_at(table, *first)?;
        (totals.bytes, totals.count) = (head.bytes_before, head.number - 1);
    }
    for position in &removed {
        read_at(*position, || table.remove(*position).map(|_| ()))?;
    }
    totals.trimmed = totals.trimmed.min(newest);
    // If none is left, all that is known of the newest is that it was freed.
    totals.newest = table.last().map_err(failed)?.map_or(totals.trimmed, |(position, _)| position.value());
    totals.discarded.until = totals.discarded.until.min(newest);
    totals.discarded.count = totals.discarded.count.min(totals.count);
    Ok(removed)
}
