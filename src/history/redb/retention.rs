//! What the bounds leave of the updates and of the events of subscriptions.

use redb::{ReadableDatabase, ReadableTable};

use super::error::failed;
use super::meta::{Discarded, KindTotals, Meta};
use super::record::{EVENTS, RECORDS, RecordFields, RecordHead, head_from};
use crate::history::{HistoryError, Position, Retention};

/// What is unreachable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unreachable {
    /// Updates up to here, and events up to here at least.
    pub(super) updates: Discarded,
    /// Events of subscriptions up to here.
    pub(super) events: Discarded,
}

/// The bounds of one table; zero is no bound.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    count_max: u64,
    bytes_max: u64,
    age_max_ms: u64,
}

impl Unreachable {
    /// What a file that was closed has made unreachable.
    pub(super) fn of(meta: &Meta) -> Self {
        Self { updates: meta.updates.discarded, events: meta.events.discarded }
    }

    /// What is unreachable now, and the position up to which nothing is held.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn next(
        self,
        database: &impl ReadableDatabase,
        meta: &Meta,
        retention: Retention,
        unix_ms: u64,
    ) -> Result<(Self, Position), HistoryError> {
        let Retention { updates_max, bytes_max, age_max_ms, events_max, event_bytes_max } = retention;
        let has_events = self.events.until < meta.events.newest;
        if retention.is_unbounded() && !has_events {
            return Ok((self, Position::new(self.updates.until)));
        }
        let transaction = database.begin_read().map_err(failed)?;
        let records = transaction.open_table(RECORDS).map_err(failed)?;
        let events = transaction.open_table(EVENTS).map_err(failed)?;
        let bounds = Bounds { count_max: updates_max, bytes_max, age_max_ms };
        let until = before_oldest(&records, meta.updates, self.updates.until, bounds, unix_ms)?;
        let updates = self.updates.moved(&records, meta.updates, until)?;
        let bounds = Bounds { count_max: events_max, bytes_max: event_bytes_max, age_max_ms };
        let from = self.events.until.max(until);
        let events_until = before_oldest(&events, meta.events, from, bounds, unix_ms)?;
        let now = Self { updates, events: self.events.moved(&events, meta.events, events_until)? };
        let held_from = if events_until > until { head_from(&records, until + 1)? } else { None };
        let nothing_until = held_from.map_or(events_until, |(oldest, _)| events_until.min(oldest - 1));
        Ok((now, Position::new(nothing_until)))
    }

    /// The same, with the numbers counted anew: a store that was reopened may number differently.
    ///
    /// # Errors
    /// The same.
    pub(super) fn recounted(
        self,
        database: &impl ReadableDatabase,
        meta: &Meta,
    ) -> Result<Self, HistoryError> {
        let transaction = database.begin_read().map_err(failed)?;
        let records = transaction.open_table(RECORDS).map_err(failed)?;
        let events = transaction.open_table(EVENTS).map_err(failed)?;
        let updates = Discarded::counted(&records, meta.updates, self.updates.until)?;
        Ok(Self { updates, events: Discarded::counted(&events, meta.events, self.events.until)? })
    }
}

impl Discarded {
    fn moved(
        self,
        table: &impl ReadableTable<u64, RecordFields<'static>>,
        totals: KindTotals,
        until: u64,
    ) -> Result<Self, HistoryError> {
        if until == self.until { Ok(self) } else { Self::counted(table, totals, until) }
    }

    fn counted(
        table: &impl ReadableTable<u64, RecordFields<'static>>,
        totals: KindTotals,
        until: u64,
    ) -> Result<Self, HistoryError> {
        let oldest = if until < totals.newest { head_from(table, until + 1)? } else { None };
        let count = oldest.map_or(totals.count, |(_, head)| head.number.saturating_sub(1));
        Ok(Self { until, count })
    }
}

/// The position of the newest one beyond the bounds; at least `discarded`.
///
/// Times come from the system clock. If it was set back, updates with a future time count at least
/// as old as the first later update without one.
fn before_oldest(
    table: &impl ReadableTable<u64, RecordFields<'static>>,
    totals: KindTotals,
    discarded: u64,
    bounds: Bounds,
    unix_ms: u64,
) -> Result<u64, HistoryError> {
    let Bounds { count_max, bytes_max, age_max_ms } = bounds;
    if discarded >= totals.newest || count_max == 0 && bytes_max == 0 && age_max_ms == 0 {
        return Ok(discarded);
    }
    let oldest_unix_ms = if age_max_ms == 0 { 0 } else { unix_ms.saturating_sub(age_max_ms) };
    let holds = |position: u64, holds: &dyn Fn(RecordHead) -> bool| {
        Ok(head_from(table, position)?.is_some_and(|(_, head)| holds(head)))
    };
    let has_to_go = |position: u64| {
        holds(position, &|head| {
            let is_newest = head.number == totals.count;
            let is_too_many = count_max > 0 && totals.count - head.number >= count_max;
            let is_too_much = bytes_max > 0 && totals.bytes - head.bytes_before > bytes_max;
            !is_newest && (is_too_many || is_too_much) || head.unix_ms < oldest_unix_ms
        })
    };
    let of_future = |position: u64| holds(position, &|head| head.unix_ms > unix_ms);
    let is_old = |position: u64| holds(position, &|head| head.unix_ms < oldest_unix_ms);
    let mut gone = last_where(discarded, totals.newest, has_to_go)?;
    loop {
        let until = last_where(gone, totals.newest, of_future)?;
        if until == gone || !is_old(until + 1)? {
            return Ok(gone);
        }
        gone = last_where(until, totals.newest, has_to_go)?;
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
