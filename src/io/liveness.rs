//! The progress of one shard, for the watchdog.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counter of one shard, its only writer. It is written in every round, so it shares no cache
/// line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Liveness(AtomicU64);

impl Liveness {
    /// Records progress.
    pub(crate) fn mark_alive(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// How often progress was recorded.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
