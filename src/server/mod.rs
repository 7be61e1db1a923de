//! A running hub: one thread for each shard, pinned to its core, and the sequencer's thread.
//!
//! [`run`](start::run) starts them. The calling thread then waits for signals and for the end of
//! any thread. Invariant: a hub never runs without one of its threads. If a shard or the sequencer
//! panics, [`run`](start::run) returns at once, and the process ends.

mod client_totals;
mod control;
pub mod embedded;
pub mod error;
mod history_worker;
mod http1;
#[cfg(not(feature = "internals"))]
mod http2;
#[cfg(feature = "internals")]
pub mod http2;
mod mailbox;
mod memory;
pub mod permits;
mod queue;
pub mod receipt;
mod sequencer;
pub mod settings;
mod shard;
#[cfg(feature = "internals")]
pub mod simulated;
mod spawn;
pub mod start;
mod stop;
mod store_watch;
pub mod timeouts;
mod waiting;
