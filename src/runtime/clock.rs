//! The clocks, read once for each round of work.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::hub::Now;

/// The hub's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// The time. A system clock before 1970 counts as 1970: then no token has expired, but none with `nbf` is valid.
    pub(crate) fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { ms: self.started.elapsed().as_millis() as u64, unix_ms: unix.as_millis() as u64 }
    }
}
