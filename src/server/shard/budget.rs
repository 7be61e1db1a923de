//! The bound of a round: work on connections is charged in slices and in time, so that no client
//! and no crowd of clients delays the ring and the timers.

use std::time::Instant;

use crate::io::clock::Clock;
use crate::limits::{SERVE_BULK_US_MAX, SERVE_SLICES_MAX, SERVE_US_MAX};

/// What is left of this round.
pub(super) struct Budget {
    clock: Clock,
    slices_left: usize,
    us_left: u64,
}

impl Budget {
    /// Nothing is left before the first round.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, slices_left: 0, us_left: 0 }
    }

    /// The moment at which a slice of work begins.
    pub(super) fn moment(&self) -> Instant {
        self.clock.instant()
    }

    /// Begins a round.
    pub(super) fn renew(&mut self) {
        self.slices_left = SERVE_SLICES_MAX;
        self.us_left = SERVE_US_MAX;
    }

    /// The same for long bodies, which come last in a round.
    pub(super) fn renew_for_bulk(&mut self) {
        self.slices_left = SERVE_SLICES_MAX;
        self.us_left = SERVE_BULK_US_MAX;
    }

    /// Whether nothing is left.
    pub(super) fn is_spent(&self) -> bool {
        self.slices_left == 0 || self.us_left == 0
    }

    /// Charges a slice of work that began at this moment.
    pub(super) fn charge_since(&mut self, began: Instant) {
        self.slices_left = self.slices_left.saturating_sub(1);
        self.us_left = self.us_left.saturating_sub((self.moment() - began).as_micros() as u64);
    }
}
