//! What time does to subscribers: heartbeats, expiry, the dispatch timeout.
//!
//! A subscriber has one entry in the wheel, at the earliest of its deadlines. A delivery does not touch the wheel: when the
//! entry fires, the deadline is computed anew from when the socket last took a byte.

use super::ending::Drain;
use super::{Ahead, Closed, Sent, Shard, Subscriber, SubscriberState, Wire};
use crate::hub::Now;
use crate::limits::TIMERS_MAX;

impl Shard {
    /// Does what is due: heartbeats, expiries, stalled sockets, the drain. Of what fires at once, as heartbeats after a
    /// broadcast do, up to [`TIMERS_MAX`]; the rest is work for the next call.
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

    /// When [`Shard::advance`] has to be called next, in [`Now::ms`].
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let drain = self.drain.as_ref().and_then(Drain::next_deadline_ms);
        match (self.wheel.next_deadline_ms(), drain) {
            (Some(timer), Some(drain)) => Some(timer.min(drain)),
            (timer, drain) => timer.or(drain),
        }
    }

    /// The socket of this slot took bytes that were held, not all of them: it is slow, not stalled.
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
    /// Nothing is owed, so a comment may go out.
    fn is_idle(&self) -> bool {
        self.pending.is_none() && self.ahead.is_none() && !matches!(self.state, SubscriberState::Ending(_))
    }

    /// Sends a heartbeat; false when the peer is gone.
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

    /// The earliest of what time can do to it; `u64::MAX` when nothing can.
    fn deadline_ms(&self, settings: &super::ShardSettings) -> u64 {
        let period_ms = if self.blocked { settings.dispatch_timeout_ms } else { settings.heartbeat_ms };
        let deadline_ms = if period_ms == 0 { u64::MAX } else { self.wrote_ms.saturating_add(period_ms) };
        deadline_ms.min(self.expires_ms)
    }
}
