//! Subscribers that catch up: after a reconnect, or because they read more slowly than updates arrive.
//!
//! Each is given a bounded stretch, filtered by its selectors and by the grant it holds now, and the next one when its
//! socket has taken that. Stretches come from the tail, or from reads of the history that the caller runs; the number
//! of those under way is bounded, whatever the number of subscribers.

use super::{Closed, Reading, Shard, State, Subscriber};
use crate::history::{HistoryError, Placed, Position, Stretch};
use crate::hub::outbox::Outboxes;
use crate::limits::{CATCH_UP_BYTES, CATCH_UP_UPDATES, HISTORY_READS_MAX};
use crate::protocol::trie::TopicIndex;

/// A read of the history that a shard asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// For whom; given back with the answer.
    pub slot: u32,
    /// Tells apart subscribers that had the same slot; given back with the answer.
    pub generation: u32,
    /// Read what comes after this.
    pub after: Position,
}

impl Shard {
    /// Goes on with up to `subscribers_max` subscribers that catch up.
    pub fn catch_up(&mut self, subscribers_max: usize) {
        for _ in 0..subscribers_max.min(self.catching_up.len()) {
            if let Some(slot) = self.catching_up.pop_front() {
                self.step(slot);
            }
        }
    }

    /// Tells the subscribers that are ahead of the shard that it has moved. To be called after entries were taken.
    pub fn moved(&mut self) {
        self.catching_up.extend(self.ahead_of_shard.drain(..));
    }

    /// The next read to run; the answer goes to [`Shard::history_read`].
    pub fn next_read(&mut self) -> Option<Read> {
        while self.reads_under_way < HISTORY_READS_MAX {
            let slot = self.reads_wanted.pop_front()?;
            // A slot is in the queue twice when it was reused: only who waits for its turn gets a read, and one.
            if let Some(subscriber) = self.subscribers.get_mut(slot as usize)
                && let State::CatchingUp { cursor, reading: Reading::Wanted, .. } = subscriber.state
            {
                subscriber.state = subscriber.state.reading(Reading::UnderWay);
                self.reads_under_way += 1;
                return Some(Read { slot, generation: subscriber.generation, after: cursor });
            }
        }
        None
    }

    /// The answer to a read. A subscriber that has left meanwhile is no error.
    pub fn history_read(&mut self, read: Read, answer: Result<Stretch, HistoryError>) {
        self.reads_under_way -= 1;
        let Some(subscriber) = self.subscribers.get_mut(read.slot as usize) else { return };
        let State::CatchingUp { cursor, from_oldest, reading: Reading::UnderWay } = subscriber.state else {
            return;
        };
        if subscriber.generation != read.generation {
            return;
        }
        let Ok(stretch) = answer else { return self.end(read.slot, Closed::HistoryUnreadable) };
        let first = stretch.updates.first().map(|placed| placed.position);
        let before_oldest = stretch.extent.before_oldest;
        if first.is_none() && from_oldest && before_oldest > cursor {
            // Everything that is held was promised, and nothing is held any more.
            subscriber.state = State::CatchingUp { cursor: before_oldest, from_oldest, reading: Reading::No };
            return self.after_offer(read.slot);
        }
        if first != Some(cursor.next()) && !(from_oldest && first.is_some()) {
            // Also when nothing came although the shard is further on: the history was discarded as a whole.
            return self.end(read.slot, Closed::HistoryGap);
        }
        let Self { subscribers, index, outboxes, counters, .. } = self;
        let subscriber = &mut subscribers[read.slot as usize];
        counters.deliveries += subscriber.offer(read.slot, index, outboxes, stretch.updates.iter());
        self.after_offer(read.slot);
    }

    fn step(&mut self, slot: u32) {
        let Self { subscribers, index, outboxes, tail, position, counters, .. } = self;
        let Some(subscriber) = subscribers.get_mut(slot as usize) else { return };
        let State::CatchingUp { cursor, reading: Reading::No, .. } = subscriber.state else { return };
        // Who is owed something comes here again when it is sent; a slot may be queued twice.
        if !subscriber.pending.is_none() || subscriber.ahead.is_some() {
            return;
        }
        if cursor > *position {
            self.ahead_of_shard.push(slot);
            return;
        }
        if cursor == *position {
            subscriber.state = State::Live;
            return;
        }
        let given = tail
            .after(cursor)
            .map(|updates| subscriber.offer(slot, index, outboxes, updates.take(CATCH_UP_UPDATES)));
        match given {
            Some(given) => {
                counters.deliveries += given;
                self.after_offer(slot);
            }
            None => {
                subscriber.state = subscriber.state.reading(Reading::Wanted);
                self.reads_wanted.push_back(slot);
            }
        }
    }

    fn after_offer(&mut self, slot: u32) {
        let subscriber = &mut self.subscribers[slot as usize];
        let State::CatchingUp { cursor, .. } = subscriber.state else { return };
        if cursor == self.position {
            subscriber.state = State::Live;
        }
        if !subscriber.pending.is_none() {
            self.mark_dirty(slot);
        } else if subscriber.state != State::Live {
            self.catching_up.push_back(slot);
        }
    }
}

impl Subscriber {
    /// Queues those of the updates that it selected and may receive now, and moves its cursor behind the last it was
    /// offered; answers how many it was given. Stops when enough is pending.
    fn offer<'u>(
        &mut self,
        slot: u32,
        index: &TopicIndex,
        outboxes: &mut Outboxes,
        updates: impl Iterator<Item = &'u Placed>,
    ) -> u64 {
        let mut given = 0;
        for placed in updates {
            self.state =
                State::CatchingUp { cursor: placed.position, from_oldest: false, reading: Reading::No };
            let frame = &*placed.frame;
            if index.slot_matches(slot, frame.topic_texts())
                && self.grant.may_receive(frame.topic_texts(), frame.audience())
            {
                outboxes.append(&mut self.pending, self.framing, placed);
                given += 1;
                if outboxes.bytes(&self.pending) >= CATCH_UP_BYTES {
                    break;
                }
            }
        }
        given
    }
}

impl State {
    fn reading(self, reading: Reading) -> Self {
        match self {
            Self::CatchingUp { cursor, from_oldest, .. } => Self::CatchingUp { cursor, from_oldest, reading },
            other => other,
        }
    }
}
