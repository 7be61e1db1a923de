//! Programs over single bytes: what the components of a URL Pattern are compiled to. The simulation
//! of templates runs them, too (`simulator`).
//!
//! States lie in a row. A state leads to the next one, or to another at a distance, so that the end
//! of a row is a program as well. After the last state the program is complete.

use super::program::words;
use crate::limits::{
    MATCH_COST_BRANCH, MATCH_COST_CLASS, MATCH_COST_READ, MATCH_COST_SETUP, MATCH_COST_WORD,
};

/// A set of ASCII bytes, a bit each. All texts that are matched are ASCII.
pub(in crate::mercure) type AsciiSet = u128;

/// One state of a [`ByteProgram`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::mercure) enum ByteState {
    /// Takes this byte.
    Byte(u8),
    /// Takes one byte of the set with this number.
    One(u16),
    /// Takes any number of bytes of the set with this number.
    Any(u16),
    /// Takes nothing: continues at the next state, or at this distance.
    Or(i16),
    /// Takes nothing: continues at this distance.
    Goto(i16),
}

/// A program over bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::mercure) struct ByteProgram {
    pub(in crate::mercure) states: Box<[ByteState]>,
    pub(in crate::mercure) sets: Box<[AsciiSet]>,
}

impl ByteProgram {
    /// The most that a run over 1 KiB from this state on costs, see
    /// [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE).
    pub(in crate::mercure) fn match_cost(&self, from: usize) -> u32 {
        let states = &self.states[from..];
        let count = |is: fn(&ByteState) -> bool| states.iter().filter(|state| is(state)).count() as u32;
        let branches = count(|state| matches!(state, ByteState::Or(_) | ByteState::Goto(_)));
        let leads_back =
            |state: &ByteState| matches!(state, ByteState::Or(by) | ByteState::Goto(by) if *by < 0);
        let words = words(states.len() + 1) as u32;
        // With several words, a repetition can lead back to the word before.
        let passes = if words > 1 && states.iter().any(leads_back) { 3 } else { 1 };
        let classes = count(|state| matches!(state, ByteState::One(_) | ByteState::Any(_)));
        MATCH_COST_SETUP
            + MATCH_COST_READ
            + passes * words * MATCH_COST_WORD
            + branches * MATCH_COST_BRANCH
            + classes * MATCH_COST_CLASS
    }
}
