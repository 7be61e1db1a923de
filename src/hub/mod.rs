//! The hub, pure: state, input and the time in, outputs out. No socket, no clock, no thread.
//!
//! [`sequencer::Sequencer`] gives every update its place; a [`shard::Shard`] owns the subscribers
//! of one core and turns ring entries into bytes for their sockets; [`gate::Gate`] decides what a
//! request may do. Invariants:
//! - history order, ring order and delivery order are the same;
//! - a subscriber is live, or it is catching up, never both: no gap, no duplicate between;
//! - the cost of one subscriber is bounded, and a slow one delays no other.

pub mod framing;
pub mod gate;
pub mod keys;
pub mod outbox;
pub mod refusal;
pub mod sequencer;
pub mod shard;
pub mod subscriptions;
pub mod tail;
pub mod wheel;

/// The time, read once for a whole round of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the hub started, on a monotonic clock.
    pub ms: u64,
    /// Milliseconds since the Unix epoch, for tokens and dates.
    pub unix_ms: u64,
}

impl Now {
    /// Seconds since the Unix epoch (RFC 7519, "NumericDate").
    pub fn unix_s(self) -> u64 {
        self.unix_ms / 1_000
    }
}
