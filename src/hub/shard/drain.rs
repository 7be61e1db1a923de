//! The end of all streams at a stop.

use crate::limits::WHEEL_TICK_MS;

/// A stop, spread over time so that clients do not all reconnect at once.
pub(super) struct Drain {
    began_ms: u64,
    duration_ms: u64,
    slots: Vec<u32>,
    ended: usize,
}

impl Drain {
    /// Ends the streams of these slots evenly over `duration_ms`.
    pub(super) fn new(slots: Vec<u32>, duration_ms: u64, now_ms: u64) -> Self {
        Self { began_ms: now_ms, duration_ms, slots, ended: 0 }
    }

    /// The slots whose streams end now.
    pub(super) fn next(&mut self, now_ms: u64) -> Vec<u32> {
        let elapsed_ms = now_ms.saturating_sub(self.began_ms);
        let count = self.slots.len();
        let target = match self.duration_ms {
            0 => count,
            duration_ms => count.min((count as u64 * elapsed_ms).div_ceil(duration_ms) as usize),
        };
        let slots = self.slots[self.ended..target].to_vec();
        self.ended = target;
        slots
    }

    /// When the next one ends.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        let left = self.slots.len() - self.ended;
        (left > 0).then(|| {
            self.began_ms + self.duration_ms * self.ended as u64 / self.slots.len() as u64 + WHEEL_TICK_MS
        })
    }
}
