//! The hub, pure: state, input and the time in, outputs out. No socket, no clock, no thread.
//!
//! [`sequencer::Sequencer`] gives every update its place; a [`shard::Shard`] owns the subscribers of one core and turns
//! ring entries into bytes for their sockets; [`gate::Gate`] decides who may do what. Invariants worth naming:
//! - history order, ring order and delivery order are the same;
//! - a subscriber is live, or it is catching up, never both: no gap, no duplicate between;
//! - what one subscriber costs is bounded, and nobody waits for a slow one.

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

/// The time, as the runtime read it once for a whole round of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never jumps, since the hub started.
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
