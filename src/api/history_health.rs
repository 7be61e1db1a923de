//! Whether the history takes updates: a flag from the sequencer to `/readyz` and to the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The flag. The sequencer writes it, every other thread reads it.
#[derive(Clone, Debug, Default)]
pub struct HistoryHealth {
    fails: Arc<AtomicBool>,
}

impl HistoryHealth {
    /// Whether the last commit failed.
    pub fn fails(&self) -> bool {
        self.fails.load(Ordering::Relaxed)
    }

    /// Notes whether the last commit failed; returns whether that is news.
    pub fn set(&self, fails: bool) -> bool {
        self.fails.swap(fails, Ordering::Relaxed) != fails
    }
}
