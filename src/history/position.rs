//! Positions in the hub's one order.

/// The place of an update in the hub's one order, from 1; [`Position::START`] is the place before
/// the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// The position before every update.
    pub const START: Self = Self(0);

    /// The position with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next position.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The previous position; that of the start is the start.
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}
