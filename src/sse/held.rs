//! The memory of all encoded updates of this process, counted where they are made and dropped.
//!
//! Queues, the ring, tails, outboxes and a history in memory share frames, so each of them alone
//! would count too much. An update is counted once, which is one addition for all its deliveries.

use std::sync::atomic::{AtomicUsize, Ordering};

static HELD: AtomicUsize = AtomicUsize::new(0);

/// Bytes of memory, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldBytes(usize);

impl HeldBytes {
    /// Counts these bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        HELD.fetch_add(bytes, Ordering::Relaxed);
        Self(bytes)
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        HELD.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Bytes of all updates in memory now, with their compressed copies.
pub(crate) fn held_bytes() -> usize {
    HELD.load(Ordering::Relaxed)
}
