//! The timers of one core: those of its subscribers, and those of the caller's connections, in one
//! wheel.

use std::collections::VecDeque;

use crate::hub::timer_wheel::Wheel;

/// The timers of one core.
pub(super) struct Timers {
    pub(super) wheel: Wheel<TimerKey>,
    /// Timers of subscribers that have fired and are not handled yet.
    pub(super) due: VecDeque<(u32, u32)>,
    /// Timers of the caller that have fired and are not taken yet.
    pub(super) caller_due: VecDeque<(u32, u32)>,
}

/// Whose timer it is: a subscriber's slot and generation, or a number and a serial of the caller.
/// The highest bit of the first distinguishes the two, so that an entry of the wheel is 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimerKey(u32, u32);

impl TimerKey {
    const CALLER: u32 = 1 << 31;

    pub(super) fn subscriber(slot: u32, generation: u32) -> Self {
        debug_assert_eq!(slot & Self::CALLER, 0, "fewer slots than 2^31");
        Self(slot, generation)
    }

    pub(super) fn caller(number: u32, serial: u32) -> Self {
        debug_assert_eq!(number & Self::CALLER, 0, "fewer numbers than 2^31");
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

    /// Fires what is due.
    pub(super) fn advance(&mut self, now_ms: u64) {
        let Self { wheel, due, caller_due } = self;
        wheel.advance(now_ms, |TimerKey(first, second)| match first & TimerKey::CALLER {
            0 => due.push_back((first, second)),
            _ => caller_due.push_back((first ^ TimerKey::CALLER, second)),
        });
    }
}
