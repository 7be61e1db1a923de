//! Programs over single bytes: what the components of a URL Pattern are compiled to. The simulation
//! of templates runs them, too (`simulator`).
//!
//! States lie in a row. A state leads to the next one, or to another at a distance, so that the end
//! of a row is a program as well. After the last state the program is complete.

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
