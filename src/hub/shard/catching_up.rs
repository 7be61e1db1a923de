//! Subscribers that catch up: after a reconnect, or because they read more slowly than updates
//! arrive.
//!
//! Each gets a bounded slice, filtered by its selectors and its current grant, and the next one
//! when its socket has taken that. Slices come from the tail, or from reads of the history that the
//! caller runs; the number of reads under way is bounded, whatever the number of subscribers.

use super::{Closed, Counters, Reading, Shard, Subscriber, SubscriberState};
use crate::history::{HistoryError, HistorySlice, Position, SequencedUpdate};
use crate::hub::outbox::Outboxes;
use crate::limits::{CATCH_UP_BYTES, CATCH_UP_UPDATES, HISTORY_READS_MAX, MATCHING_WORK_MAX};
use crate::mercure::index::TopicIndex;

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

impl Shard {
    /// Continues up to `subscribers_max` subscribers that catch up. Stops early once the work is
    /// enough: filtering a long history for few matches is as much work as delivering all of it.
    pub fn catch_up(&mut self, subscribers_max: usize) {
        let until = self.counters.work + MATCHING_WORK_MAX;
        for _ in 0..subscribers_max.min(self.catching_up.len()) {
            if self.counters.work >= until {
                return;
            }
            if let Some(slot) = self.catching_up.pop_front() {
                self.step(slot, until);
            }
        }
    }

    /// Call this after entries were taken. It queues the subscribers that were ahead of the shard,
    /// and records which must be written to before more are taken.
    pub fn moved(&mut self) {
        self.dirty_since_take = self.dirty.len();
        self.catching_up.extend(self.ahead_of_shard.drain(..));
    }

    /// The next read to run; pass the result to [`Shard::history_read`].
    pub fn next_read(&mut self) -> Option<HistoryRead> {
        while self.reads_under_way < HISTORY_READS_MAX {
            let slot = self.reads_wanted.pop_front()?;
            // A reused slot is in the queue twice: only a subscriber that waits for a read gets
            // one, once.
            if let Some(subscriber) = self.subscribers.get_mut(slot as usize)
                && let SubscriberState::CatchingUp { cursor, reading: Reading::Wanted, .. } = subscriber.state
            {
                subscriber.state = subscriber.state.reading(Reading::UnderWay);
                self.reads_under_way += 1;
                return Some(HistoryRead { slot, generation: subscriber.generation, after: cursor });
            }
        }
        None
    }

    /// Takes the result of a read. It is not an error if the subscriber has left meanwhile.
    pub fn history_read(&mut self, read: HistoryRead, answer: Result<HistorySlice, HistoryError>) {
        self.reads_under_way -= 1;
        let Some(subscriber) = self.subscribers.get_mut(read.slot as usize) else { return };
        let SubscriberState::CatchingUp { cursor, from_oldest, reading: Reading::UnderWay } =
            subscriber.state
        else {
            return;
        };
        if subscriber.generation != read.generation {
            return;
        }
        let Ok(slice) = answer else { return self.end(read.slot, Closed::HistoryUnreadable) };
        let first = slice.updates.first().map(|update| update.position);
        let before_oldest = slice.range.before_oldest;
        if first.is_none() && from_oldest && before_oldest > cursor {
            // Everything that is held was promised, and nothing is held now.
            subscriber.state =
                SubscriberState::CatchingUp { cursor: before_oldest, from_oldest, reading: Reading::No };
            return self.after_offer(read.slot);
        }
        if first != Some(cursor.next()) && !(from_oldest && first.is_some()) {
            // This includes an empty result although the shard is further on: the whole history was
            // discarded.
            return self.end(read.slot, Closed::HistoryGap);
        }
        let until = self.counters.work + MATCHING_WORK_MAX;
        let Self { subscribers, index, outboxes, counters, .. } = self;
        let subscriber = &mut subscribers[read.slot as usize];
        subscriber.offer(read.slot, index, outboxes, slice.updates.iter(), counters, until);
        self.after_offer(read.slot);
    }

    fn step(&mut self, slot: u32, until: u64) {
        let Self { subscribers, index, outboxes, tail, position, counters, .. } = self;
        let Some(subscriber) = subscribers.get_mut(slot as usize) else { return };
        let SubscriberState::CatchingUp { cursor, reading: Reading::No, .. } = subscriber.state else {
            return;
        };
        // A subscriber with pending bytes returns here when they are sent; a slot may be queued
        // twice.
        if !subscriber.pending.is_none() || subscriber.ahead.is_some() {
            return;
        }
        if cursor > *position {
            self.ahead_of_shard.push(slot);
            return;
        }
        if cursor == *position {
            subscriber.state = SubscriberState::Live;
            return;
        }
        let Some(updates) = tail.after(cursor) else {
            subscriber.state = subscriber.state.reading(Reading::Wanted);
            self.reads_wanted.push_back(slot);
            return;
        };
        let updates = updates.take(CATCH_UP_UPDATES);
        subscriber.offer(slot, index, outboxes, updates, counters, until);
        self.after_offer(slot);
    }

    fn after_offer(&mut self, slot: u32) {
        let subscriber = &mut self.subscribers[slot as usize];
        let SubscriberState::CatchingUp { cursor, .. } = subscriber.state else { return };
        if cursor == self.position {
            subscriber.state = SubscriberState::Live;
        }
        if !subscriber.pending.is_none() {
            self.mark_dirty(slot);
        } else if subscriber.state != SubscriberState::Live {
            self.catching_up.push_back(slot);
        }
    }
}

impl Subscriber {
    /// Queues the updates that it selected and may receive now, and moves its cursor to the last
    /// offered update. Stops when enough is pending, or when the work counter reaches `until`.
    fn offer<'u>(
        &mut self,
        slot: u32,
        index: &TopicIndex,
        outboxes: &mut Outboxes,
        updates: impl Iterator<Item = &'u SequencedUpdate>,
        counters: &mut Counters,
        until: u64,
    ) {
        for update in updates {
            self.state = SubscriberState::CatchingUp {
                cursor: update.position,
                from_oldest: false,
                reading: Reading::No,
            };
            let frame = &*update.frame;
            counters.work += frame.topics().len() as u64 * u64::from(self.match_cost);
            if index.slot_matches(slot, frame.topic_texts())
                && self.grant.may_receive(frame.topic_texts(), frame.audience())
            {
                counters.work += self.framing.work(frame);
                outboxes.append(&mut self.pending, self.framing, update);
                counters.deliveries += 1;
                if outboxes.bytes(&self.pending) >= CATCH_UP_BYTES {
                    return;
                }
            }
            if counters.work >= until {
                return;
            }
        }
    }
}

impl SubscriberState {
    fn reading(self, reading: Reading) -> Self {
        match self {
            Self::CatchingUp { cursor, from_oldest, .. } => Self::CatchingUp { cursor, from_oldest, reading },
            other => other,
        }
    }
}
