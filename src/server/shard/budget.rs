//! The bound of a round: work on connections is charged in slices of time, so that no client and no
//! crowd of clients delays the ring and the timers.

use std::time::Instant;

use crate::limits::{SERVE_SLICE_US, SERVE_SLICES_MAX};

/// The slices that are left in this round.
#[derive(Default)]
pub(super) struct Budget {
    slices_left: usize,
}

impl Budget {
    /// Begins a round.
    pub(super) fn renew(&mut self) {
        self.slices_left = SERVE_SLICES_MAX;
    }

    /// Whether nothing is left.
    pub(super) fn is_spent(&self) -> bool {
        self.slices_left == 0
    }

    /// Charges work that began at this moment: its duration in slices, at least one.
    pub(super) fn charge_since(&mut self, began: Instant) {
        let slices = 1 + began.elapsed().as_micros() as usize / SERVE_SLICE_US as usize;
        self.slices_left = self.slices_left.saturating_sub(slices);
    }
}
