//! The time as an argument: pure modules read no clock.

/// The time, read once for a whole round of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the hub started, on a monotonic clock.
    pub ms: u64,
    /// Milliseconds since the Unix epoch, for tokens and dates.
    pub unix_ms: u64,
}

impl Now {
    /// Seconds since the Unix epoch, for dates of HTTP.
    pub fn unix_s(self) -> u64 {
        self.unix_ms / 1_000
    }
}
