//! The ids of the events of subscriptions that are held.
//!
//! There are few of them (`Retention::events_max`), and they come and go often, so they are in
//! memory alone: a start reads them from the events, which it verifies all.

use std::collections::{BTreeSet, VecDeque};

use redb::ReadableDatabase;

use super::error::{failed, read_at};
use super::index::IndexEntry;
use super::meta::Meta;
use super::record::{EVENTS, Record};
use crate::history::{HistoryError, Position};

/// The ids of the events that are held.
#[derive(Debug, Default)]
pub(super) struct EventIds {
    by_hash: BTreeSet<IndexEntry>,
    /// The same entries, the oldest first.
    in_order: VecDeque<IndexEntry>,
}

impl EventIds {
    /// Reads the ids, and verifies the events.
    ///
    /// # Errors
    /// An event was altered, or is missing.
    pub(super) fn read(database: &impl ReadableDatabase) -> Result<Self, HistoryError> {
        let meta = Meta::of(database)?;
        let transaction = database.begin_read().map_err(failed)?;
        let events = transaction.open_table(EVENTS).map_err(failed)?;
        let mut this = Self::default();
        let discarded = meta.events.discarded;
        let mut number = None;
        let mut last = discarded.until;
        let mut entries = events.range(last + 1..).map_err(failed)?;
        while let Some((position, value)) = read_at(last + 1, || entries.next().transpose())? {
            let position = position.value();
            let record = Record::decode(position, &value)?;
            let head = record.head();
            if number.is_some_and(|number| head.number != number + 1) {
                return Err(HistoryError::Absent { position: Position::new(position - 1) });
            }
            this.append(std::iter::once((meta.hasher.hash(record.id()), position)));
            (number, last) = (Some(head.number), position);
        }
        let first = number.map_or(meta.events.count, |last| last - this.in_order.len() as u64);
        if first != discarded.count || number.is_some_and(|number| number != meta.events.count) {
            return Err(HistoryError::Absent { position: Position::new(last + 1) });
        }
        Ok(this)
    }

    /// Positions of events whose id has this hash.
    pub(super) fn positions(&self, hash: u64) -> Vec<u64> {
        self.by_hash.range((hash, 0)..=(hash, u64::MAX)).map(|(_, position)| *position).collect()
    }

    /// Adds the events of a commit.
    pub(super) fn append(&mut self, entries: impl Iterator<Item = IndexEntry>) {
        for entry in entries {
            self.by_hash.insert(entry);
            self.in_order.push_back(entry);
        }
    }

    /// Forgets the events up to this position.
    pub(super) fn discard_until(&mut self, until: u64) {
        let count = self.in_order.partition_point(|(_, position)| *position <= until);
        for oldest in self.in_order.drain(..count) {
            self.by_hash.remove(&oldest);
        }
    }
}
