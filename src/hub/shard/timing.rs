//! The timers of subscribers: heartbeats, expiry, the dispatch timeout.
//!
//! A subscriber has one entry in the wheel, at the earliest of its deadlines. A delivery does not
//! touch the wheel: when the entry fires, the deadline is computed again from the time the socket
//! last took a byte.

use super::ending::Drain;
use super::{Ahead, Closed, Shard, Subscriber, SubscriberState};
use crate::limits::TIMERS_MAX;
use crate::sse::wire::{Sent, Wire};
use crate::time::Now;

impl Shard {
    /// Handles due timers: heartbeats, expiries, stalled sockets, the drain. If many fire at once,
    /// as heartbeats after a broadcast do, it handles up to [`TIMERS_MAX`] per call.
    pub fn advance(&mut self, now: Now, wire: &mut impl Wire) {
        let Self { wheel, due, .. } = self;
        wheel.advance(now.ms, |key| due.push_back(key));
        for _ in 0..TIMERS_MAX {
            let Some((slot, generation)) = self.due.pop_front() else { break };
            let is_it = |subscriber: &&mut Subscriber| {
                subscriber.generation == generation && subscriber.armed_ms <= now.ms
            };
            if let Some(subscriber) = self.subscribers.get_mut(slot as usize).filter(is_it) {
                subscriber.armed_ms = u64::MAX;
                self.on_deadline(slot, now, wire);
            }
        }
        self.advance_drain(now);
    }

    /// When [`Shard::advance`] must be called next, in [`Now::ms`].
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let drain = self.drain.as_ref().and_then(Drain::next_deadline_ms);
        match (self.wheel.next_deadline_ms(), drain) {
            (Some(timer), Some(drain)) => Some(timer.min(drain)),
            (timer, drain) => timer.or(drain),
        }
    }

    /// Notes that the socket of this slot took some of the held bytes: it is slow, not stalled.
    pub fn progressed(&mut self, slot: u32, now: Now) {
        if let Some(subscriber) = self.subscribers.get_mut(slot as usize) {
            subscriber.wrote_ms = now.ms;
        }
    }

    pub(super) fn arm(&mut self, slot: u32) {
        let Some(subscriber) = self.subscribers.get_mut(slot as usize) else { return };
        let deadline_ms = subscriber.deadline_ms(&self.settings);
        subscriber.armed_ms = self.wheel.arm(deadline_ms, subscriber.armed_ms, (slot, subscriber.generation));
    }

    fn on_deadline(&mut self, slot: u32, now: Now, wire: &mut impl Wire) {
        let subscriber = &mut self.subscribers[slot as usize];
        if subscriber.state == SubscriberState::Closed {
            return;
        }
        if subscriber.expires_ms <= now.ms {
            return self.expire(slot);
        }
        if subscriber.deadline_ms(&self.settings) <= now.ms {
            if subscriber.blocked {
                return self.close(slot, Closed::Stalled);
            }
            if subscriber.is_idle() && !subscriber.send_heartbeat(slot, now, wire) {
                return self.close(slot, Closed::Gone);
            }
        }
        self.arm(slot);
    }
}

impl Subscriber {
    /// Whether nothing is pending, so that a comment may be sent.
    fn is_idle(&self) -> bool {
        self.pending.is_none() && self.ahead.is_none() && !matches!(self.state, SubscriberState::Ending(_))
    }

    /// Sends a heartbeat; false if the peer is gone.
    fn send_heartbeat(&mut self, slot: u32, now: Now, wire: &mut impl Wire) -> bool {
        let comment = self.framing.comment();
        let (taken, is_held) = match wire.send(slot, comment) {
            Sent::Bytes(taken) => (taken, false),
            Sent::Held(taken) => (taken, true),
            Sent::Full => (0, true),
            Sent::Gone => return false,
        };
        self.wrote_ms = now.ms;
        self.carry(self.framing.comment_crc());
        if taken < comment.len() {
            self.ahead = Some(Ahead::new(&comment[taken..]));
        }
        self.blocked = is_held || taken < comment.len();
        true
    }

    /// The earliest deadline; `u64::MAX` if there is none.
    fn deadline_ms(&self, settings: &super::ShardSettings) -> u64 {
        let period_ms = if self.blocked { settings.dispatch_timeout_ms } else { settings.heartbeat_ms };
        let deadline_ms = if period_ms == 0 { u64::MAX } else { self.wrote_ms.saturating_add(period_ms) };
        deadline_ms.min(self.expires_ms)
    }
}
