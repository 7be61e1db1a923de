//! The clocks, read once for each round of work.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::io::liveness::Liveness;
use crate::time::Now;

/// The hub's clocks for one shard. Each reading also marks the shard as alive.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    started: Instant,
    liveness: Arc<Liveness>,
}

impl Clock {
    /// The clock of a shard with this liveness counter, in a hub that started at `started`.
    pub(crate) fn new(started: Instant, liveness: Arc<Liveness>) -> Self {
        Self { started, liveness }
    }

    /// Reads the clocks.
    pub(crate) fn now(&self) -> Now {
        self.liveness.mark_alive();
        Now { ms: self.started.elapsed().as_millis() as u64, unix_ms: unix_ms() }
    }
}

/// Milliseconds since the Unix epoch. A system clock before 1970 counts as 1970: then no token has
/// expired, but none with `nbf` is valid.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
