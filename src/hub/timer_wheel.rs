//! The timer wheel: one for each shard, whatever the number of connections.
//!
//! Deadlines are rounded up to a tick, so nothing fires early. A deadline beyond the horizon fires
//! at the horizon, and the owner arms it again. Timers are never cancelled: the owner compares a
//! fired timer with its current deadline and ignores stale ones. An entry is 8 bytes.

use crate::limits::{WHEEL_TICK_MS, WHEEL_TICKS};

/// Whose timer it is: a subscriber's slot and generation, or a number and a serial of the caller.
/// The highest bit of the first distinguishes the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerKey(u32, u32);

/// A [`TimerKey`] taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerOwner {
    /// A slot and its generation.
    Subscriber(u32, u32),
    /// A number and its serial.
    Caller(u32, u32),
}

impl TimerKey {
    const CALLER: u32 = 1 << 31;

    /// The timer of a subscriber; slots are less than 2^31.
    pub fn subscriber(slot: u32, generation: u32) -> Self {
        debug_assert_eq!(slot & Self::CALLER, 0, "fewer slots than 2^31");
        Self(slot, generation)
    }

    /// A timer of the caller; its numbers are less than 2^31.
    pub fn caller(number: u32, serial: u32) -> Self {
        debug_assert_eq!(number & Self::CALLER, 0, "fewer numbers than 2^31");
        Self(number | Self::CALLER, serial)
    }

    /// Whose timer it is.
    pub fn owner(self) -> TimerOwner {
        let Self(first, second) = self;
        match first & Self::CALLER {
            0 => TimerOwner::Subscriber(first, second),
            _ => TimerOwner::Caller(first ^ Self::CALLER, second),
        }
    }
}

/// The deadlines of one core.
pub struct Wheel {
    buckets: Box<[Vec<TimerKey>]>,
    /// The first tick that has not fired yet.
    next_tick: u64,
    armed: usize,
}

impl Wheel {
    /// A wheel whose time starts at `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Self {
            buckets: (0..WHEEL_TICKS).map(|_| Vec::new()).collect(),
            next_tick: now_ms / WHEEL_TICK_MS,
            armed: 0,
        }
    }

    /// Fires `key` at `deadline_ms` or up to one tick later, at the latest at the horizon. Returns
    /// that time. `armed_ms` is the result of the last call until that has fired, else `u64::MAX`.
    /// A key that already fires early enough is not inserted again, so repeated calls for one
    /// deadline cost one entry.
    pub fn arm(&mut self, deadline_ms: u64, armed_ms: u64, key: TimerKey) -> u64 {
        if deadline_ms >= armed_ms {
            return armed_ms;
        }
        let horizon = self.next_tick + WHEEL_TICKS - 1;
        let tick = deadline_ms.div_ceil(WHEEL_TICK_MS).clamp(self.next_tick, horizon);
        let fires_ms = tick * WHEEL_TICK_MS;
        if fires_ms >= armed_ms {
            return armed_ms;
        }
        self.bucket(tick).push(key);
        self.armed += 1;
        fires_ms
    }

    /// Passes every key whose tick has come to `due`.
    pub fn advance(&mut self, now_ms: u64, mut due: impl FnMut(TimerKey)) {
        let now_tick = now_ms / WHEEL_TICK_MS;
        while self.next_tick <= now_tick {
            if self.armed == 0 {
                self.next_tick = now_tick + 1;
                return;
            }
            let keys = std::mem::take(self.bucket(self.next_tick));
            self.next_tick += 1;
            self.armed -= keys.len();
            keys.into_iter().for_each(&mut due);
        }
    }

    /// When [`Wheel::advance`] must be called next, in the time of `now_ms`; `None` if nothing is
    /// armed.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        if self.armed == 0 {
            return None;
        }
        (self.next_tick..self.next_tick + WHEEL_TICKS)
            .find(|tick| !self.buckets[Self::place(*tick)].is_empty())
            .map(|tick| tick * WHEEL_TICK_MS)
    }

    fn bucket(&mut self, tick: u64) -> &mut Vec<TimerKey> {
        &mut self.buckets[Self::place(tick)]
    }

    fn place(tick: u64) -> usize {
        usize::try_from(tick % WHEEL_TICKS).expect("the wheel has fewer buckets than a usize can count")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: TimerKey = TimerKey(1, 0);
    const SECOND: TimerKey = TimerKey(2, 0);

    fn due(wheel: &mut Wheel, now_ms: u64) -> Vec<TimerKey> {
        let mut keys = Vec::new();
        wheel.advance(now_ms, |key| keys.push(key));
        keys
    }

    #[test]
    fn a_subscriber_and_a_caller_with_the_same_numbers_have_different_timers() {
        assert_eq!(TimerKey::subscriber(7, 9).owner(), TimerOwner::Subscriber(7, 9));
        assert_eq!(TimerKey::caller(7, 9).owner(), TimerOwner::Caller(7, 9));
    }

    #[test]
    fn nothing_fires_early_and_everything_within_a_tick() {
        let mut wheel = Wheel::new(1_000);
        wheel.arm(1_001, u64::MAX, FIRST);
        wheel.arm(1_000 + 5 * WHEEL_TICK_MS, u64::MAX, SECOND);
        assert!(due(&mut wheel, 1_000).is_empty());
        assert_eq!(due(&mut wheel, 1_000 + WHEEL_TICK_MS), [FIRST]);
        assert_eq!(wheel.next_deadline_ms(), Some(1_000 + 5 * WHEEL_TICK_MS));
        assert!(due(&mut wheel, 1_000 + 5 * WHEEL_TICK_MS - 1).is_empty());
        assert_eq!(due(&mut wheel, 1_000 + 5 * WHEEL_TICK_MS), [SECOND]);
        assert_eq!(wheel.next_deadline_ms(), None);
    }

    #[test]
    fn a_deadline_beyond_the_horizon_comes_back_at_the_horizon() {
        let mut wheel = Wheel::new(0);
        wheel.arm(u64::MAX / 2, u64::MAX, FIRST);
        assert!(due(&mut wheel, (WHEEL_TICKS - 2) * WHEEL_TICK_MS).is_empty());
        assert_eq!(due(&mut wheel, (WHEEL_TICKS - 1) * WHEEL_TICK_MS), [FIRST]);
    }

    #[test]
    fn a_deadline_that_is_asked_for_again_and_again_is_one_entry() {
        let mut wheel = Wheel::new(0);
        let mut armed_ms = u64::MAX;
        for _ in 0..1_000 {
            armed_ms = wheel.arm(WHEEL_TICK_MS + 1, armed_ms, FIRST);
        }
        assert_eq!(wheel.armed, 1);
        assert_eq!(wheel.arm(u64::MAX, armed_ms, FIRST), armed_ms, "a later one neither");
        assert_eq!(wheel.arm(1, armed_ms, FIRST), WHEEL_TICK_MS, "a sooner one does");
        assert_eq!(wheel.armed, 2);
        assert_eq!(wheel.arm(u64::MAX, u64::MAX, FIRST), u64::MAX);
        assert_eq!(wheel.armed, 2, "never is no deadline");
    }

    #[test]
    fn a_past_deadline_fires_at_the_next_advance_and_a_long_sleep_skips_nothing() {
        let mut wheel = Wheel::new(0);
        assert!(due(&mut wheel, 10 * WHEEL_TICK_MS).is_empty());
        wheel.arm(3, u64::MAX, FIRST);
        wheel.arm(11 * WHEEL_TICK_MS, u64::MAX, SECOND);
        assert_eq!(due(&mut wheel, 1_000 * WHEEL_TICKS * WHEEL_TICK_MS), [FIRST, SECOND]);
    }
}
