//! The end of a stream: updates already begun are sent, then the end of the framing, then the
//! socket closes.

use super::{Ahead, Closed, Shard, SubscriberState};
use crate::limits::WHEEL_TICK_MS;
use crate::sse::framing::Framing;
use crate::time::Now;

/// A stop, spread over time so that clients do not all reconnect at once.
pub(super) struct Drain {
    began_ms: u64,
    duration_ms: u64,
    slots: Vec<u32>,
    ended: usize,
}

impl Drain {
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        let left = self.slots.len() - self.ended;
        (left > 0).then(|| {
            self.began_ms + self.duration_ms * self.ended as u64 / self.slots.len() as u64 + WHEEL_TICK_MS
        })
    }
}

impl Shard {
    /// Ends every stream, evenly over `duration_ms`, each after its pending updates are sent.
    pub fn begin_drain(&mut self, duration_ms: u64, now: Now) {
        let slots = self.subscribers.iter().map(|(slot, _)| slot as u32).collect();
        self.drain = Some(Drain { began_ms: now.ms, duration_ms, slots, ended: 0 });
        self.advance_drain(now);
    }

    /// Closes every stream at once, even with pending updates: the time for the stop is over.
    pub fn close_all(&mut self) {
        let slots: Vec<u32> = self.subscribers.iter().map(|(slot, _)| slot as u32).collect();
        for slot in slots {
            self.close(slot, Closed::Drained);
        }
    }

    pub(super) fn advance_drain(&mut self, now: Now) {
        let Some(drain) = &mut self.drain else { return };
        let elapsed_ms = now.ms.saturating_sub(drain.began_ms);
        let count = drain.slots.len();
        let target = match drain.duration_ms {
            0 => count,
            duration_ms => count.min((count as u64 * elapsed_ms).div_ceil(duration_ms) as usize),
        };
        let slots: Vec<u32> = drain.slots[drain.ended..target].to_vec();
        drain.ended = target;
        for slot in slots {
            self.end(slot, Closed::Drained);
        }
    }

    /// Ends a subscription: queues nothing more, and closes it when its pending bytes are sent.
    pub(super) fn end(&mut self, slot: u32, reason: Closed) {
        let Some(subscriber) = self.subscribers.get_mut(slot as usize) else { return };
        if subscriber.state == SubscriberState::Closed {
            return;
        }
        subscriber.state = SubscriberState::Ending(reason);
        // A blocked subscriber with nothing pending still has bytes before the socket: they go
        // first.
        if subscriber.pending.is_none() && subscriber.ahead.is_none() && !subscriber.blocked {
            self.finish(slot, reason);
        }
    }

    /// Ends a subscription whose token expired: only the update already begun is sent, and a full
    /// socket is closed at once.
    pub(super) fn expire(&mut self, slot: u32) {
        let subscriber = &mut self.subscribers[slot as usize];
        if subscriber.blocked {
            return self.close(slot, Closed::Expired);
        }
        subscriber.cut(&mut self.outboxes);
        self.end(slot, Closed::Expired);
    }

    /// Everything is sent: sends the end of the coding and the last chunk, or closes.
    pub(super) fn finish(&mut self, slot: u32, reason: Closed) {
        let subscriber = &mut self.subscribers[slot as usize];
        let ending = subscriber.framing.ending(subscriber.carried);
        if ending.is_empty() {
            return self.close(slot, reason);
        }
        // The ending has no end of its own: the socket closes after it.
        subscriber.framing = Framing::PLAIN;
        subscriber.ahead = Some(Ahead::new(ending));
        self.mark_dirty(slot);
    }
}
