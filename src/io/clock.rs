//! The clocks, read once for each round of work.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::io::liveness::Liveness;
#[cfg(feature = "internals")]
use crate::io::sim::SimTime;
use crate::time::Now;

/// The hub's clocks for one thread. Each reading also marks the thread as alive.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    source: ClockSource,
    liveness: Arc<Liveness>,
}

#[derive(Clone, Debug)]
enum ClockSource {
    /// The host's clocks, since the hub started.
    Host(Instant),
    #[cfg(feature = "internals")]
    Simulated(SimTime),
}

impl Clock {
    /// The clock of a thread with this liveness counter, in a hub that started at `started`.
    pub(crate) fn new(started: Instant, liveness: Arc<Liveness>) -> Self {
        Self { source: ClockSource::Host(started), liveness }
    }

    /// The same clocks for a thread with this liveness counter.
    pub(crate) fn for_thread(&self, liveness: &Arc<Liveness>) -> Self {
        Self { source: self.source.clone(), liveness: Arc::clone(liveness) }
    }

    /// The clock of a simulated hub.
    #[cfg(feature = "internals")]
    pub(crate) fn simulated(time: SimTime, liveness: Arc<Liveness>) -> Self {
        Self { source: ClockSource::Simulated(time), liveness }
    }

    /// Reads the clocks.
    pub(crate) fn now(&self) -> Now {
        self.read().1
    }

    /// Reads the clocks; also returns the moment.
    pub(crate) fn read(&self) -> (Instant, Now) {
        self.liveness.mark_alive();
        let moment = self.instant();
        let now = match &self.source {
            ClockSource::Host(_) => Now { ms: self.ms_at(moment), unix_ms: unix_ms() },
            #[cfg(feature = "internals")]
            ClockSource::Simulated(time) => time.read(),
        };
        (moment, now)
    }

    /// [`Now::ms`] at this moment.
    pub(crate) fn ms_at(&self, moment: Instant) -> u64 {
        match &self.source {
            ClockSource::Host(started) => (moment - *started).as_millis() as u64,
            #[cfg(feature = "internals")]
            ClockSource::Simulated(time) => time.ms_at(moment),
        }
    }

    /// The moment, to measure how long work takes.
    pub(crate) fn instant(&self) -> Instant {
        match &self.source {
            ClockSource::Host(_) => Instant::now(),
            #[cfg(feature = "internals")]
            ClockSource::Simulated(time) => time.instant(),
        }
    }
}

/// Milliseconds since the Unix epoch. A system clock before 1970 counts as 1970: then no token has
/// expired, but none with `nbf` is valid.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
