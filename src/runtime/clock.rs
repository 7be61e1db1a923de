//! The clocks, read once for each round of work.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::pulse::Pulse;
use crate::hub::Now;

/// The hub's clocks, as one shard reads them: each reading is a sign of its life.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    started: Instant,
    pulse: Arc<Pulse>,
}

impl Clock {
    /// The clock of a shard with this pulse, in a hub that started at this moment.
    pub(crate) fn new(started: Instant, pulse: Arc<Pulse>) -> Self {
        Self { started, pulse }
    }

    /// The time. A system clock before 1970 counts as 1970: then no token has expired, but none with `nbf` is valid.
    pub(crate) fn now(&self) -> Now {
        self.pulse.beat();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { ms: self.started.elapsed().as_millis() as u64, unix_ms: unix.as_millis() as u64 }
    }
}
