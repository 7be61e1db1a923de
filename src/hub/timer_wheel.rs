//! The timer wheel: one for each shard, whatever the number of connections.
//!
//! Deadlines are rounded up to a tick, so nothing fires early. A deadline beyond the horizon fires
//! at the horizon, and the owner arms it again. Timers are never cancelled: the owner compares a
//! fired timer with its current deadline and ignores stale ones. An entry is the size of its key.

use crate::limits::{WHEEL_TICK_MS, WHEEL_TICKS};

/// Deadlines of keys `K`.
pub struct Wheel<K> {
    buckets: Box<[Vec<K>]>,
    /// The first tick that has not fired yet.
    next_tick: u64,
    armed: usize,
}

impl<K> Wheel<K> {
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
    pub fn arm(&mut self, deadline_ms: u64, armed_ms: u64, key: K) -> u64 {
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
    pub fn advance(&mut self, now_ms: u64, mut due: impl FnMut(K)) {
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

    fn bucket(&mut self, tick: u64) -> &mut Vec<K> {
        &mut self.buckets[Self::place(tick)]
    }

    fn place(tick: u64) -> usize {
        usize::try_from(tick % WHEEL_TICKS).expect("the wheel has fewer buckets than a usize can count")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel<u32>, now_ms: u64) -> Vec<u32> {
        let mut keys = Vec::new();
        wheel.advance(now_ms, |key| keys.push(key));
        keys
    }

    #[test]
    fn nothing_fires_early_and_everything_within_a_tick() {
        let mut wheel = Wheel::new(1_000);
        wheel.arm(1_001, u64::MAX, 1);
        wheel.arm(1_000 + 5 * WHEEL_TICK_MS, u64::MAX, 2);
        assert!(due(&mut wheel, 1_000).is_empty());
        assert_eq!(due(&mut wheel, 1_000 + WHEEL_TICK_MS), [1]);
        assert_eq!(wheel.next_deadline_ms(), Some(1_000 + 5 * WHEEL_TICK_MS));
        assert!(due(&mut wheel, 1_000 + 5 * WHEEL_TICK_MS - 1).is_empty());
        assert_eq!(due(&mut wheel, 1_000 + 5 * WHEEL_TICK_MS), [2]);
        assert_eq!(wheel.next_deadline_ms(), None);
    }

    #[test]
    fn a_deadline_beyond_the_horizon_comes_back_at_the_horizon() {
        let mut wheel = Wheel::new(0);
        wheel.arm(u64::MAX / 2, u64::MAX, 1);
        assert!(due(&mut wheel, (WHEEL_TICKS - 2) * WHEEL_TICK_MS).is_empty());
        assert_eq!(due(&mut wheel, (WHEEL_TICKS - 1) * WHEEL_TICK_MS), [1]);
    }

    #[test]
    fn a_deadline_that_is_asked_for_again_and_again_is_one_entry() {
        let mut wheel = Wheel::new(0);
        let mut armed_ms = u64::MAX;
        for _ in 0..1_000 {
            armed_ms = wheel.arm(WHEEL_TICK_MS + 1, armed_ms, 1);
        }
        assert_eq!(wheel.armed, 1);
        assert_eq!(wheel.arm(u64::MAX, armed_ms, 1), armed_ms, "a later one neither");
        assert_eq!(wheel.arm(1, armed_ms, 1), WHEEL_TICK_MS, "a sooner one does");
        assert_eq!(wheel.armed, 2);
        assert_eq!(wheel.arm(u64::MAX, u64::MAX, 1), u64::MAX);
        assert_eq!(wheel.armed, 2, "never is no deadline");
    }

    #[test]
    fn a_past_deadline_fires_at_the_next_advance_and_a_long_sleep_skips_nothing() {
        let mut wheel = Wheel::new(0);
        assert!(due(&mut wheel, 10 * WHEEL_TICK_MS).is_empty());
        wheel.arm(3, u64::MAX, 1);
        wheel.arm(11 * WHEEL_TICK_MS, u64::MAX, 2);
        assert_eq!(due(&mut wheel, 1_000 * WHEEL_TICKS * WHEEL_TICK_MS), [1, 2]);
    }
}
