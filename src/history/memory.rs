//! The history in memory (`DB_PATH=:memory:`): lost at exit, never written to disk.
//!
//! Shards read while the sequencer appends, so both maps are lock-free skip lists. Frames are
//! shared with the ring and the tails, not copied. Readers see an update as soon as it is inserted,
//! which is before it is on the ring: a shard may read ahead of the ring and must expect that.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_skiplist::{SkipMap, SkipSet};

use super::{
    Appended, HeldCounts, History, HistoryError, HistoryRange, HistoryReader, HistorySlice, Position,
    Retention, SequencedUpdate,
};
use crate::sse::frame::Frame;

/// The writing end.
pub struct MemoryHistory {
    held: Arc<MemoryStore>,
    retention: Retention,
    newest: Position,
    updates: HeldKind,
    events: HeldKind,
}

/// The updates, or the events of subscriptions, that are held: their positions and their bytes.
#[derive(Default)]
struct HeldKind {
    positions: VecDeque<Position>,
    bytes: u64,
}

struct StampedUpdate {
    update: SequencedUpdate,
    unix_ms: u64,
}

struct MemoryStore {
    by_position: SkipMap<Position, StampedUpdate>,
    /// Every occurrence of every id, so that the first remaining one can be found when an older one
    /// is removed.
    by_id: SkipSet<(Box<str>, Position)>,
    /// The two ends of [`HistoryRange`], written only by the sequencer.
    before_oldest: AtomicU64,
    newest: AtomicU64,
}

impl HeldKind {
    fn exceeds(&self, count_max: u64, bytes_max: u64) -> bool {
        let count = self.positions.len() as u64;
        count > 1 && ((count_max > 0 && count > count_max) || (bytes_max > 0 && self.bytes > bytes_max))
    }
}

impl MemoryHistory {
    /// An empty history.
    pub fn new(retention: Retention) -> Self {
        let held = MemoryStore {
            by_position: SkipMap::new(),
            by_id: SkipSet::new(),
            before_oldest: AtomicU64::new(0),
            newest: AtomicU64::new(0),
        };
        let (updates, events) = (HeldKind::default(), HeldKind::default());
        Self { held: Arc::new(held), retention, newest: Position::START, updates, events }
    }

    fn insert(&mut self, frame: &Arc<Frame>, unix_ms: u64) -> SequencedUpdate {
        let position = self.newest.next();
        let id = frame.id().as_str();
        let first_of_id = frame.has_made_id() || self.held.first_with_id(id).is_none();
        let update = SequencedUpdate { position, frame: Arc::clone(frame), first_of_id };
        let stamped = StampedUpdate { update: update.clone(), unix_ms };
        self.held.by_position.insert(position, stamped);
        self.held.by_id.insert((id.into(), position));
        self.newest = position;
        let kind = if frame.is_subscription_event() { &mut self.events } else { &mut self.updates };
        kind.positions.push_back(position);
        kind.bytes += frame.bytes_held() as u64;
        update
    }

    /// Removes the oldest updates and events until the bounds hold. Returns the position up to
    /// which nothing is held.
    fn retain(&mut self, unix_ms: u64) -> Position {
        let Retention { updates_max, bytes_max, age_max_ms, events_max, event_bytes_max } = self.retention;
        while self.updates.exceeds(updates_max, bytes_max) {
            let Some(oldest) = self.updates.positions.front() else { break };
            self.remove_until(*oldest);
        }
        while self.events.exceeds(events_max, event_bytes_max) {
            let Some(oldest) = self.events.positions.pop_front() else { break };
            self.events.bytes -= self.held.remove(oldest);
        }
        let oldest_unix_ms = if age_max_ms == 0 { 0 } else { unix_ms.saturating_sub(age_max_ms) };
        while let Some(oldest) = self.held.by_position.front().map(|oldest| *oldest.key()) {
            if self.held.oldest_unix_ms(unix_ms) >= oldest_unix_ms {
                return oldest.previous();
            }
            self.remove_until(oldest);
        }
        self.newest
    }

    /// Removes the updates and the events up to this position.
    fn remove_until(&mut self, until: Position) {
        let oldest_held = |kind: &HeldKind| kind.positions.partition_point(|position| *position <= until);
        let updates = oldest_held(&self.updates);
        if updates > 0 {
            // The bound moves first, so that readers never mistake an update that is gone for an
            // event.
            let last = self.updates.positions[updates - 1];
            self.held.before_oldest.store(last.get(), Ordering::SeqCst);
        }
        let events = oldest_held(&self.events);
        for (kind, count) in [(&mut self.updates, updates), (&mut self.events, events)] {
            for position in kind.positions.drain(..count) {
                kind.bytes -= self.held.remove(position);
            }
        }
    }
}

impl History for MemoryHistory {
    fn append(&mut self, batch: &[Arc<Frame>], unix_ms: u64) -> Result<Appended, HistoryError> {
        let updates = batch.iter().map(|frame| self.insert(frame, unix_ms)).collect();
        let before_oldest = self.retain(unix_ms);
        self.held.newest.store(self.newest.get(), Ordering::Release);
        Ok(Appended { updates, before_oldest })
    }

    fn needs_upkeep(&self) -> bool {
        self.retention.age_max_ms > 0 && !self.held.by_position.is_empty()
    }

    fn maintain(&mut self, unix_ms: u64) -> Result<Position, HistoryError> {
        Ok(self.retain(unix_ms))
    }

    fn held(&self) -> HeldCounts {
        let (updates, events) = (self.updates.positions.len(), self.events.positions.len());
        HeldCounts { updates: updates as u64, events: events as u64 }
    }

    fn reader(&self) -> Arc<dyn HistoryReader> {
        Arc::clone(&self.held) as Arc<dyn HistoryReader>
    }
}

impl MemoryStore {
    fn first_with_id(&self, id: &str) -> Option<Position> {
        let from = (Box::from(id), Position::START);
        let entry = self.by_id.lower_bound(Bound::Included(&from))?;
        let (found, position) = entry.value();
        (&**found == id).then_some(*position)
    }

    /// The latest time at which the oldest update can have been published. If the system clock was
    /// set back, an update with a future time counts as old as the first later update without one.
    fn oldest_unix_ms(&self, unix_ms: u64) -> u64 {
        let mut stamps = self.by_position.iter().map(|entry| entry.value().unix_ms);
        stamps.find(|stamp| *stamp <= unix_ms).unwrap_or(u64::MAX)
    }

    fn range_now(&self) -> HistoryRange {
        // `newest` first: in the other order the ends could cross.
        let newest = Position::new(self.newest.load(Ordering::Acquire));
        let before_oldest = Position::new(self.before_oldest.load(Ordering::SeqCst));
        HistoryRange { before_oldest, newest: newest.max(before_oldest) }
    }

    /// Removes one update or event; returns its bytes.
    fn remove(&self, position: Position) -> u64 {
        let Some(entry) = self.by_position.remove(&position) else { return 0 };
        let frame = &entry.value().update.frame;
        self.by_id.remove(&(frame.id().as_str().into(), position));
        frame.bytes_held() as u64
    }
}

impl HistoryReader for MemoryStore {
    fn locate(&self, id: &str) -> Result<Option<Position>, HistoryError> {
        Ok(self.first_with_id(id))
    }

    fn read(
        &self,
        after: Position,
        updates_max: usize,
        bytes_max: usize,
    ) -> Result<HistorySlice, HistoryError> {
        let newest = self.range_now().newest.max(after);
        let entries = self.by_position.range(after.next()..=newest.max(after.next()));
        let mut updates = Vec::new();
        let is_all =
            collect(entries.map(|entry| entry.value().update.clone()), updates_max, bytes_max, &mut updates);
        let last = updates.last().map_or(after, |last: &SequencedUpdate| last.position);
        let until = if is_all { newest.max(last) } else { last };
        // What the sequencer has discarded meanwhile may have been missing already.
        let range = self.range_now();
        let after = after.max(range.before_oldest);
        updates.retain(|update| update.position > after);
        Ok(HistorySlice { updates, after, until: until.max(after), range })
    }

    fn newest(&self, updates_max: usize, bytes_max: usize) -> Result<HistorySlice, HistoryError> {
        let newest = self.range_now().newest;
        let entries = self.by_position.range(..=newest).rev().map(|entry| entry.value().update.clone());
        let mut expected = newest.next();
        let without_gap = entries.take_while(|update| {
            expected = expected.previous();
            update.position == expected
        });
        let mut updates = Vec::new();
        collect(without_gap, updates_max, bytes_max, &mut updates);
        updates.reverse();
        let after = updates.first().map_or(newest, |first| first.position.previous());
        Ok(HistorySlice { updates, after, until: newest, range: self.range_now() })
    }

    fn range(&self) -> Result<HistoryRange, HistoryError> {
        Ok(self.range_now())
    }
}

/// Takes updates until there are enough; returns whether it took all.
fn collect(
    entries: impl Iterator<Item = SequencedUpdate>,
    updates_max: usize,
    bytes_max: usize,
    into: &mut Vec<SequencedUpdate>,
) -> bool {
    let mut bytes = 0;
    for update in entries {
        if into.len() >= updates_max || bytes >= bytes_max {
            return false;
        }
        bytes += update.frame.bytes_held();
        into.push(update);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{ResumePoint, resolve};
    use crate::mercure::audience::Authorization;
    use crate::mercure::event_id::EventId;
    use crate::mercure::resume::Resume;
    use crate::mercure::update::Update;

    fn frame(id: &str) -> Arc<Frame> {
        let body = format!("topic=t&data=x&id={id}");
        let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("valid body");
        Arc::new(Frame::encode(update))
    }

    fn history(updates_max: u64, ids: &[&str]) -> MemoryHistory {
        let mut history = MemoryHistory::new(Retention { updates_max, ..Retention::default() });
        for id in ids {
            history.append(&[frame(id)], 0).expect("memory takes everything");
        }
        history
    }

    fn ids(slice: &HistorySlice) -> Vec<&str> {
        slice.updates.iter().map(|update| update.frame.id().as_str()).collect()
    }

    #[test]
    fn the_first_occurrence_of_an_id_counts_and_the_next_takes_over_when_it_is_removed() {
        let mut history = history(3, &["a", "b", "a"]);
        let reader = history.reader();
        assert_eq!(reader.locate("a").expect("readable"), Some(Position::new(1)));
        let written = history.append(&[frame("a")], 0).expect("room").updates;
        assert!(!written[0].first_of_id);
        assert_eq!(reader.locate("a").expect("readable"), Some(Position::new(3)));
        assert_eq!(reader.locate("ab").expect("readable"), None);
    }

    #[test]
    fn a_read_is_bounded_and_continues_where_it_ended() {
        let reader = history(0, &["a", "b", "c", "d"]).reader();
        let slice = reader.read(Position::new(1), 2, usize::MAX).expect("readable");
        assert_eq!(ids(&slice), ["b", "c"]);
        let slice = reader.read(Position::new(3), 10, 1).expect("readable");
        assert_eq!(ids(&slice), ["d"], "one update is always read, whatever the byte bound");
        assert!(reader.read(Position::new(4), 10, 10).expect("readable").updates.is_empty());
    }

    #[test]
    fn the_range_tells_what_was_discarded() {
        let reader = history(2, &["a", "b", "c"]).reader();
        let range = HistoryRange { before_oldest: Position::new(1), newest: Position::new(3) };
        assert_eq!(reader.range().expect("readable"), range);
        assert_eq!(ids(&reader.read(Position::START, 10, usize::MAX).expect("readable")), ["b", "c"]);
        let unknown = resolve(&*reader, &Resume::parse("a")).expect("readable");
        assert_eq!(unknown, ResumePoint { cursor: Position::new(1), known: None });
        let known = resolve(&*reader, &Resume::parse("b")).expect("readable");
        assert_eq!(known, ResumePoint { cursor: Position::new(2), known: EventId::parse("b").ok() });
        assert_eq!(resolve(&*reader, &Resume::Earliest).expect("readable").known, None);
    }

    #[test]
    fn bytes_bound_the_history_but_the_newest_stays() {
        let mut history = MemoryHistory::new(Retention { bytes_max: 1, ..Retention::default() });
        history.append(&[frame("a"), frame("b")], 0).expect("memory takes everything");
        assert_eq!(ids(&history.reader().read(Position::START, 9, usize::MAX).expect("readable")), ["b"]);
    }

    #[test]
    fn age_takes_the_newest_too_and_the_range_tells() {
        let retention = Retention { age_max_ms: 1_000, ..Retention::default() };
        let mut history = MemoryHistory::new(retention);
        let reader = history.reader();
        assert!(!history.needs_upkeep());
        history.append(&[frame("a")], 10_000).expect("memory takes everything");
        history.append(&[frame("b")], 10_500).expect("memory takes everything");
        assert!(history.needs_upkeep());
        assert_eq!(history.maintain(11_000).expect("memory takes everything"), Position::START);
        assert_eq!(history.maintain(11_001).expect("memory takes everything"), Position::new(1));
        assert_eq!(ids(&reader.read(Position::START, 9, usize::MAX).expect("readable")), ["b"]);
        assert_eq!(history.maintain(20_000).expect("memory takes everything"), Position::new(2));
        let empty = HistoryRange { before_oldest: Position::new(2), newest: Position::new(2) };
        assert_eq!(reader.range().expect("readable"), empty);
        assert_eq!(reader.locate("b").expect("readable"), None);
        assert!(!history.needs_upkeep());
        let appended = history.append(&[frame("c")], 20_000).expect("memory takes everything");
        assert_eq!(appended.updates[0].position, Position::new(3), "no position is given twice");
        assert_eq!(appended.before_oldest, Position::new(2));
    }

    #[test]
    fn a_clock_that_was_ahead_once_does_not_keep_updates_for_ever() {
        let retention = Retention { age_max_ms: 1_000, ..Retention::default() };
        let mut history = MemoryHistory::new(retention);
        history.append(&[frame("a"), frame("b")], 9_000_000).expect("memory takes everything");
        history.append(&[frame("c")], 10_000).expect("memory takes everything");
        assert_eq!(history.maintain(11_000).expect("memory takes everything"), Position::START);
        assert_eq!(history.maintain(11_001).expect("memory takes everything"), Position::new(3));
    }

    #[test]
    fn the_newest_updates_are_read_from_the_end() {
        let reader = history(0, &["a", "b", "c", "d"]).reader();
        assert_eq!(ids(&reader.newest(2, usize::MAX).expect("readable")), ["c", "d"]);
        assert_eq!(ids(&reader.newest(9, 1).expect("readable")), ["d"]);
        assert_eq!(ids(&reader.newest(9, usize::MAX).expect("readable")), ["a", "b", "c", "d"]);
    }
}
