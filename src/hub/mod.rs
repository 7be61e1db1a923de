//! The hub, pure: state, input and the time in, outputs out. No socket, no clock, no thread.
//!
//! [`sequencer::Sequencer`] gives every update its place; a [`shard::Shard`] owns the subscribers
//! of one core and turns ring entries into bytes for their sockets. Invariants:
//! - history order, ring order and delivery order are the same;
//! - a subscriber is live, or it is catching up, never both: no gap, no duplicate between;
//! - the cost of one subscriber is bounded, and a slow one delays no other.

pub mod client;
pub mod outbox;
pub mod presence;
pub mod sequencer;
pub mod shard;
pub mod tail;
pub mod timer_wheel;
