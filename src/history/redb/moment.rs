//! What one reader sees: a snapshot of the store, from which it reads updates and events in order.
//!
//! Invariant: a position that a slice leaves out had an event, which was discarded. Events are
//! discarded from the oldest on, so a later event that is missing is an error. An update that is
//! missing is an error, because the record after it names it, or the numbers of the file do.

use std::cell::Cell;
use std::sync::Arc;

use redb::{AccessGuard, ReadOnlyTable, ReadTransaction, TableDefinition};

use super::error::{failed, failed_at, read_at};
use super::guard::guarded;
use super::meta::Meta;
use super::record::{EVENTS, RECORDS, Record, RecordFields};
use crate::history::{HistoryError, HistoryRange, HistorySlice, Position, SequencedUpdate};

/// A reader's snapshot.
pub(super) struct Moment {
    pub(super) transaction: ReadTransaction,
    /// Updates up to this position are unreachable, and so are events.
    pub(super) before_oldest: u64,
    /// Events up to this position are unreachable; at least [`Self::before_oldest`].
    pub(super) events_after: u64,
    pub(super) meta: Meta,
}

/// A record of the file, not verified.
type Entry<'r> = (AccessGuard<'r, u64>, AccessGuard<'r, RecordFields<'static>>);

type Range<'r> = redb::Range<'r, u64, RecordFields<'static>>;

/// The records of both tables, in the order of their positions.
struct InOrder<'r> {
    tables: [ReadAhead<'r>; 2],
    is_backward: bool,
}

/// The records of one table; the next one is read ahead.
struct ReadAhead<'r> {
    entries: Option<Range<'r>>,
    next: Option<(u64, Entry<'r>)>,
}

/// Takes updates until there are enough of them.
struct Taken {
    updates: Vec<SequencedUpdate>,
    bytes: usize,
    updates_max: usize,
    bytes_max: usize,
}

impl Moment {
    pub(super) fn table(
        &self,
        table: TableDefinition<'static, u64, RecordFields<'static>>,
    ) -> Result<ReadOnlyTable<u64, RecordFields<'static>>, HistoryError> {
        self.transaction.open_table(table).map_err(failed)
    }

    pub(super) fn range(&self) -> HistoryRange {
        let before_oldest = Position::new(self.before_oldest);
        HistoryRange { before_oldest, newest: Position::new(self.meta.newest).max(before_oldest) }
    }

    /// What is held after this position, until it is enough.
    pub(super) fn oldest(
        &self,
        updates_max: usize,
        bytes_max: usize,
        after: u64,
    ) -> Result<HistorySlice, HistoryError> {
        // One guard for all: a guard for each update would cost as much as its checksum.
        let near = Cell::new(after + 1);
        let read = || self.read_oldest(updates_max, bytes_max, after.max(self.before_oldest), &near);
        guarded(read).unwrap_or_else(|panicked| {
            let position = Position::new(near.get());
            Err(HistoryError::Unreadable { position, cause: panicked.into() })
        })
    }

    /// The same; sets `near` to the position that it reads.
    fn read_oldest(
        &self,
        updates_max: usize,
        bytes_max: usize,
        after: u64,
        near: &Cell<u64>,
    ) -> Result<HistorySlice, HistoryError> {
        let (updates, events) = (self.table(RECORDS)?, self.table(EVENTS)?);
        let mut entries = InOrder::new(self, after, &updates, &events, false)?;
        let mut taken = Taken::new(updates_max, bytes_max);
        // The last position that was read or left out, and the last update of the reader.
        let (mut until, mut update) = (after, after);
        while !taken.is_enough() {
            near.set(until + 1);
            let Some((position, (_, value))) = entries.next(until + 1)? else {
                if until < self.meta.newest {
                    self.check_left_out(until, self.meta.newest + 1)?;
                    check_update_before(self.meta.updates.newest, update)?;
                    until = self.meta.newest;
                }
                break;
            };
            self.check_left_out(until, position)?;
            near.set(position);
            let record = Record::of(position, value.value())?;
            check_update_before(record.head().update_before, update)?;
            until = position;
            if !taken.push(position, record)? {
                update = position;
            }
        }
        Ok(taken.slice(after, until, self.range()))
    }

    /// Every position between these two must be that of an event that was discarded, or of an
    /// update that [`check_update_before`] finds.
    fn check_left_out(&self, until: u64, next: u64) -> Result<(), HistoryError> {
        if next == until + 1 || next > until && next - 1 <= self.events_after {
            return Ok(());
        }
        Err(HistoryError::Absent { position: Position::new((until + 1).max(self.events_after + 1)) })
    }

    /// The newest updates and events, without a gap, until there are enough of them.
    pub(super) fn newest(&self, updates_max: usize, bytes_max: usize) -> Result<HistorySlice, HistoryError> {
        let (updates, events) = (self.table(RECORDS)?, self.table(EVENTS)?);
        let mut entries = InOrder::new(self, self.before_oldest, &updates, &events, true)?;
        let mut taken = Taken::new(updates_max, bytes_max);
        let newest = self.meta.newest.max(self.before_oldest);
        let mut after = newest;
        while after > self.before_oldest && !taken.is_enough() {
            // Called at the start: redb's panics are caught there.
            match entries.next(after)? {
                Some((position, (_, value))) if position == after => {
                    taken.push(position, Record::decode(position, &value)?)?;
                }
                _ if after <= self.events_after => break,
                _ => return Err(HistoryError::Absent { position: Position::new(after) }),
            }
            after -= 1;
        }
        taken.updates.reverse();
        Ok(taken.slice(after, newest, self.range()))
    }
}

/// The update before a record must be one that the reader has.
fn check_update_before(before: u64, update: u64) -> Result<(), HistoryError> {
    match before <= update {
        true => Ok(()),
        false => Err(HistoryError::Absent { position: Position::new(before) }),
    }
}

impl<'r> InOrder<'r> {
    /// Everything after `after` that a reader may get, from the oldest on, or from the newest back.
    fn new(
        moment: &Moment,
        after: u64,
        updates: &'r ReadOnlyTable<u64, RecordFields<'static>>,
        events: &'r ReadOnlyTable<u64, RecordFields<'static>>,
        is_backward: bool,
    ) -> Result<Self, HistoryError> {
        let ahead = |table: &'r ReadOnlyTable<_, _>, after: u64, newest: u64| {
            let entries = match after < newest {
                true => Some(read_at(after + 1, || table.range(after + 1..=newest))?),
                false => None,
            };
            Ok::<_, HistoryError>(ReadAhead { entries, next: None })
        };
        let Meta { newest, updates: update_totals, events: event_totals, .. } = moment.meta;
        // The end of a table is where the numbers say, unless it was altered.
        let end = |totals_newest: u64| if totals_newest > after { newest } else { after };
        let updates = ahead(updates, after, end(update_totals.newest))?;
        let events = ahead(events, after.max(moment.events_after), end(event_totals.newest))?;
        Ok(Self { tables: [updates, events], is_backward })
    }

    /// The next record; `near` is the position where it should be. redb may panic.
    fn next(&mut self, near: u64) -> Result<Option<(u64, Entry<'r>)>, HistoryError> {
        let [updates, events] = &mut self.tables;
        if events.entries.is_none() && events.next.is_none() && updates.next.is_none() {
            return updates.read(near, self.is_backward);
        }
        updates.look(near, self.is_backward)?;
        events.look(near, self.is_backward)?;
        let is_event = match (&updates.next, &events.next) {
            (Some((update, _)), Some((event, _))) => (event < update) != self.is_backward,
            (update, _) => update.is_none(),
        };
        Ok(if is_event { events.next.take() } else { updates.next.take() })
    }
}

impl<'r> ReadAhead<'r> {
    fn look(&mut self, near: u64, is_backward: bool) -> Result<(), HistoryError> {
        if self.next.is_none() {
            self.next = self.read(near, is_backward)?;
        }
        Ok(())
    }

    fn read(&mut self, near: u64, is_backward: bool) -> Result<Option<(u64, Entry<'r>)>, HistoryError> {
        let Some(entries) = &mut self.entries else { return Ok(None) };
        let next = if is_backward { entries.next_back() } else { entries.next() };
        let read = next.transpose().map_err(|error| failed_at(near, error))?;
        if read.is_none() {
            self.entries = None;
        }
        Ok(read.map(|entry| (entry.0.value(), entry)))
    }
}

impl Taken {
    fn new(updates_max: usize, bytes_max: usize) -> Self {
        Self { updates: Vec::new(), bytes: 0, updates_max, bytes_max }
    }

    fn is_enough(&self) -> bool {
        self.updates.len() >= self.updates_max || self.bytes >= self.bytes_max
    }

    /// Returns whether it is an event of a subscription.
    fn push(&mut self, position: u64, record: Record<'_>) -> Result<bool, HistoryError> {
        let first_of_id = record.head().first_of_id;
        let frame = record.into_frame()?;
        self.bytes += frame.bytes_held();
        let is_event = frame.is_subscription_event();
        let (position, frame) = (Position::new(position), Arc::new(frame));
        self.updates.push(SequencedUpdate { position, frame, first_of_id });
        Ok(is_event)
    }

    fn slice(self, after: u64, until: u64, range: HistoryRange) -> HistorySlice {
        let (after, until) = (Position::new(after), Position::new(until));
        HistorySlice { updates: self.updates, after, until, range }
    }
}
