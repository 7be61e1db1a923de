//! The timers of one core: those of its subscribers, and those of the caller's connections, in one
//! wheel.

use std::collections::VecDeque;

use crate::hub::timer_wheel::{TimerOwner, Wheel};

/// The timers of one core.
pub(super) struct Timers {
    pub(super) wheel: Wheel,
    /// Timers of subscribers that have fired and are not handled yet.
    pub(super) due: VecDeque<(u32, u32)>,
    /// Timers of the caller that have fired and are not taken yet.
    pub(super) caller_due: VecDeque<(u32, u32)>,
}

impl Timers {
    pub(super) fn new(now_ms: u64) -> Self {
        Self { wheel: Wheel::new(now_ms), due: VecDeque::new(), caller_due: VecDeque::new() }
    }

    /// Whether timers have fired that are not handled yet.
    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty() || !self.caller_due.is_empty()
    }

    /// Fires what is due.
    pub(super) fn advance(&mut self, now_ms: u64) {
        let Self { wheel, due, caller_due } = self;
        wheel.advance(now_ms, |key| match key.owner() {
            TimerOwner::Subscriber(slot, generation) => due.push_back((slot, generation)),
            TimerOwner::Caller(number, serial) => caller_due.push_back((number, serial)),
        });
    }
}
