//! Subscribers that catch up: after a reconnect, or because they read more slowly than updates
//! arrive. `Subscribers::take` finds a slow one: something is pending, and with the next update it
//! would exceed `SUBSCRIBER_BUFFER`. `Subscriber::fall_behind` drops the updates that are not
//! begun, and the subscriber continues here after the last one that was begun or sent.
//!
//! Each gets a bounded slice, filtered by its selectors and its current grant, and the next one
//! when its socket has taken that. Slices come from the tail, or from reads of the history that the
//! caller runs; the number of reads under way is bounded, whatever the number of subscribers.

use std::collections::VecDeque;

use super::subscriber::{Reading, SubscriberState};
use super::subscribers::Subscribers;
use super::values::EndReason;
use crate::history::{HistoryError, HistorySlice, Position};
use crate::hub::tail::Tail;
use crate::limits::{CATCH_UP_UPDATES, HISTORY_READS_MAX, REPLAY_WORK_MAX};

/// A read of the history that a shard requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRead {
    /// The subscriber's slot; returned with the result.
    pub slot: u32,
    /// Distinguishes subscribers that used the same slot; returned with the result.
    pub generation: u32,
    /// Read the updates after this position.
    pub after: Position,
}

/// Where subscribers become live.
#[derive(Clone, Copy)]
pub(super) struct LivePoint {
    /// The position of the shard.
    pub(super) position: Position,
    /// Whether one can become live there now. While the next update is being taken, one could miss
    /// it.
    pub(super) is_open: bool,
}

/// The queues of the subscribers that catch up.
#[derive(Default)]
pub(super) struct CatchUp {
    /// Those that have nothing pending now.
    ready: VecDeque<u32>,
    /// Those that have read further than this shard, or as far while an update is being taken.
    ahead_of_shard: Vec<u32>,
    reads_wanted: VecDeque<u32>,
    reads_under_way: usize,
}

impl CatchUp {
    /// Whether a subscriber can go on.
    pub(super) fn has_work(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Queues a subscriber that has nothing pending.
    pub(super) fn push(&mut self, slot: u32) {
        self.ready.push_back(slot);
    }

    /// Queues the subscribers that were ahead of the shard.
    pub(super) fn moved(&mut self) {
        self.ready.extend(self.ahead_of_shard.drain(..));
    }

    /// Continues up to `subscribers_max` subscribers. Stops early once the work is enough:
    /// filtering a long history for few matches is as much work as delivering all of it.
    pub(super) fn advance(
        &mut self,
        subscribers_max: usize,
        subscribers: &mut Subscribers,
        tail: &Tail,
        live: LivePoint,
    ) {
        let until = subscribers.counters.work + REPLAY_WORK_MAX;
        for _ in 0..subscribers_max.min(self.ready.len()) {
            if subscribers.counters.work >= until {
                return;
            }
            if let Some(slot) = self.ready.pop_front() {
                self.step(slot, until, subscribers, tail, live);
            }
        }
    }

    fn step(&mut self, slot: u32, until: u64, subscribers: &mut Subscribers, tail: &Tail, live: LivePoint) {
        let Some(subscriber) = subscribers.get_mut(slot) else { return };
        let SubscriberState::CatchingUp { cursor, reading: Reading::No, .. } = subscriber.state else {
            return;
        };
        // A subscriber with pending bytes returns here when they are sent; a slot may be queued
        // twice.
        if !subscriber.pending.is_none() || subscriber.ahead.is_some() {
            return;
        }
        if cursor > live.position || (cursor == live.position && !live.is_open) {
            self.ahead_of_shard.push(slot);
            return;
        }
        if cursor == live.position {
            subscriber.state = SubscriberState::Live;
            return;
        }
        let Some(updates) = tail.after(cursor) else {
            subscriber.state = subscriber.state.reading(Reading::Wanted);
            self.reads_wanted.push_back(slot);
            return;
        };
        subscribers.offer(slot, updates.take(CATCH_UP_UPDATES), until);
        self.after_offer(slot, subscribers, live);
    }

    /// The next read to run; its result goes to [`Self::history_read`].
    pub(super) fn next_read(&mut self, subscribers: &mut Subscribers) -> Option<HistoryRead> {
        while self.reads_under_way < HISTORY_READS_MAX {
            let slot = self.reads_wanted.pop_front()?;
            // A reused slot is in the queue twice: only a subscriber that waits for a read gets
            // one, once.
            if let Some(subscriber) = subscribers.get_mut(slot)
                && let SubscriberState::CatchingUp { cursor, reading: Reading::Wanted, .. } = subscriber.state
            {
                subscriber.state = subscriber.state.reading(Reading::UnderWay);
                self.reads_under_way += 1;
                return Some(HistoryRead { slot, generation: subscriber.generation, after: cursor });
            }
        }
        None
    }

    /// Takes the result of a read; returns why the stream ends, if it must. It is not an error if
    /// the subscriber has left meanwhile.
    pub(super) fn history_read(
        &mut self,
        read: HistoryRead,
        result: Result<HistorySlice, HistoryError>,
        subscribers: &mut Subscribers,
        live: LivePoint,
    ) -> Option<EndReason> {
        self.reads_under_way -= 1;
        let subscriber = subscribers.get_mut(read.slot)?;
        let SubscriberState::CatchingUp { cursor, from_oldest, reading: Reading::UnderWay } =
            subscriber.state
        else {
            return None;
        };
        if subscriber.generation != read.generation {
            return None;
        }
        let Ok(slice) = result else { return Some(EndReason::HistoryUnreadable) };
        let HistorySlice { updates, after, until, .. } = slice;
        // The cursor is an update that is gone, or the shard is further than the history.
        if (after != cursor && !from_oldest) || (updates.is_empty() && until <= cursor) {
            return Some(EndReason::HistoryGap);
        }
        subscriber.state = SubscriberState::CatchingUp { cursor: after, from_oldest, reading: Reading::No };
        let work_until = subscribers.counters.work + REPLAY_WORK_MAX;
        subscribers.offer(read.slot, updates.iter(), work_until);
        // What follows the last update are events that are discarded.
        let last = updates.last().map_or(after, |last| last.position);
        if let Some(subscriber) = subscribers.get_mut(read.slot)
            && let SubscriberState::CatchingUp { cursor, from_oldest, reading } = subscriber.state
            && cursor == last
        {
            subscriber.state = SubscriberState::CatchingUp { cursor: until, from_oldest, reading };
        }
        self.after_offer(read.slot, subscribers, live);
        None
    }

    fn after_offer(&mut self, slot: u32, subscribers: &mut Subscribers, live: LivePoint) {
        let Some(subscriber) = subscribers.get_mut(slot) else { return };
        let SubscriberState::CatchingUp { cursor, .. } = subscriber.state else { return };
        if cursor == live.position && live.is_open {
            subscriber.state = SubscriberState::Live;
        }
        if !subscriber.pending.is_none() {
            subscribers.mark_dirty(slot);
        } else if subscriber.state != SubscriberState::Live {
            self.ready.push_back(slot);
        }
    }
}
