//! The timers of subscribers: heartbeats, expiry, the dispatch timeout. The caller's timers, for
//! its connections, are in the same wheel.
//!
//! A subscriber has one entry in the wheel, at the earliest of its deadlines. A delivery does not
//! touch the wheel: when the entry fires, the deadline is computed again from the time the socket
//! last took a byte.

use std::collections::VecDeque;

use super::ending::Drain;
use super::{Ahead, Closed, Sent, Shard, Subscriber, SubscriberState, Wire};
use crate::hub::timer_wheel::Wheel;
use crate::limits::TIMERS_MAX;
use crate::time::Now;

/// The timers of one core.
pub(super) struct Timers {
    wheel: Wheel<TimerKey>,
    /// Timers of subscribers that have fired and are not handled yet.
    due: VecDeque<(u32, u32)>,
    /// Timers of the caller that have fired and are not taken yet.
    caller_due: VecDeque<(u32, u32)>,
}

/// Whose timer it is: a subscriber's slot and generation, or a number and a serial of the caller.
/// The highest bit of the first distinguishes the two, so that an entry of the wheel is 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TimerKey(u32, u32);

impl TimerKey {
    const CALLER: u32 = 1 << 31;

    fn subscriber(slot: u32, generation: u32) -> Self {
        Self(slot, generation)
    }

    fn caller(number: u32, serial: u32) -> Self {
        Self(number | Self::CALLER, serial)
    }
}

impl Timers {
    pub(super) fn new(now_ms: u64) -> Self {
        Self { wheel: Wheel::new(now_ms), due: VecDeque::new(), caller_due: VecDeque::new() }
    }

    /// Whether timers have fired that are not handled yet.
    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty() || !self.caller_due.is_empty()
    }

    fn advance(&mut self, now_ms: u64) {
        let Self { wheel, due, caller_due } = self;
        wheel.advance(now_ms, |TimerKey(first, second)| match first & TimerKey::CALLER {
            0 => due.push_back((first, second)),
            _ => caller_due.push_back((first ^ TimerKey::CALLER, second)),
        });
    }
}

impl Shard {
    /// Handles due timers: heartbeats, expiries, stalled sockets, the drain. If many fire at once,
    /// as heartbeats after a broadcast do, it handles up to [`TIMERS_MAX`] per call.
    pub fn advance(&mut self, now: Now, wire: &mut impl Wire) {
        self.timers.advance(now.ms);
        for _ in 0..TIMERS_MAX {
            let Some((slot, generation)) = self.timers.due.pop_front() else { break };
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
        match (self.timers.wheel.next_deadline_ms(), drain) {
            (Some(timer), Some(drain)) => Some(timer.min(drain)),
            (timer, drain) => timer.or(drain),
        }
    }

    /// Sets a timer of the caller, whose key [`Shard::next_caller_timer`] returns when it has fired;
    /// the first number is below 2^31. See [`Wheel::arm`] for the rest.
    pub fn arm_caller_timer(&mut self, deadline_ms: u64, armed_ms: u64, (number, serial): (u32, u32)) -> u64 {
        self.timers.wheel.arm(deadline_ms, armed_ms, TimerKey::caller(number, serial))
    }

    /// The next timer of the caller that has fired.
    pub fn next_caller_timer(&mut self) -> Option<(u32, u32)> {
        self.timers.caller_due.pop_front()
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
        let key = TimerKey::subscriber(slot, subscriber.generation);
        subscriber.armed_ms = self.timers.wheel.arm(deadline_ms, subscriber.armed_ms, key);
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
