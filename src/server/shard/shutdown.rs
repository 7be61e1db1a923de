//! The stages of a shard's stop, and their times.

use crate::limits::{DRAIN_GRACE_MS, HANDOVER_MS, UNFINISHED_AT_STOP_MS};

/// The stage of a shard's stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Serving.
    No,
    /// Accepts no connection, since another process holds the socket. Open connections are served
    /// until this moment, and each ends with its next response.
    HandingOver { until_ms: u64 },
    /// Nothing new begins; publications in progress are finished. Until this moment at the latest.
    Finishing { until_ms: u64 },
    /// No further updates arrive; streams end. Until this moment at the latest.
    Draining { until_ms: u64 },
}

/// How far a shard's stop is.
pub(super) struct Shutdown {
    stop: Stop,
    /// `DRAIN_TIMEOUT`.
    drain_ms: u64,
}

impl Shutdown {
    pub(super) fn new(drain_ms: u64) -> Self {
        Self { stop: Stop::No, drain_ms }
    }

    /// The stage.
    pub(super) fn stop(&self) -> Stop {
        self.stop
    }

    /// `DRAIN_TIMEOUT`, in milliseconds.
    pub(super) fn drain_ms(&self) -> u64 {
        self.drain_ms
    }

    /// Whether the shard serves as usual.
    pub(super) fn is_serving(&self) -> bool {
        self.stop == Stop::No
    }

    /// Whether nothing new may begin.
    pub(super) fn dismisses(&self) -> bool {
        matches!(self.stop, Stop::Finishing { .. } | Stop::Draining { .. })
    }

    /// When the stage ends at the latest.
    pub(super) fn until_ms(&self) -> Option<u64> {
        match self.stop {
            Stop::No => None,
            Stop::HandingOver { until_ms } | Stop::Finishing { until_ms } | Stop::Draining { until_ms } => {
                Some(until_ms)
            }
        }
    }

    /// Serves open connections a little longer; new ones go to the next process.
    pub(super) fn hand_over(&mut self, now_ms: u64) {
        self.stop = Stop::HandingOver { until_ms: now_ms + HANDOVER_MS };
    }

    /// Finishes what has begun.
    pub(super) fn finish(&mut self, now_ms: u64) {
        self.stop = Stop::Finishing { until_ms: now_ms + self.drain_ms + DRAIN_GRACE_MS };
    }

    /// Ends the streams.
    pub(super) fn drain(&mut self, now_ms: u64) {
        self.stop = Stop::Draining { until_ms: now_ms + self.drain_ms + DRAIN_GRACE_MS };
    }

    /// Whether work in progress still has time to finish: `DRAIN_TIMEOUT`, but at least
    /// `UNFINISHED_AT_STOP_MS`.
    pub(super) fn is_patient(&self, now_ms: u64) -> bool {
        let Stop::Finishing { until_ms } = self.stop else { return false };
        let since_ms = until_ms - self.drain_ms - DRAIN_GRACE_MS;
        now_ms < since_ms + UNFINISHED_AT_STOP_MS.max(self.drain_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_in_progress_gets_its_least_time_and_the_drain_begins_anew() {
        let mut shutdown = Shutdown::new(0);
        assert!(shutdown.is_serving() && !shutdown.dismisses());
        shutdown.finish(1_000);
        assert!(shutdown.is_patient(1_000 + UNFINISHED_AT_STOP_MS - 1));
        assert!(!shutdown.is_patient(1_000 + UNFINISHED_AT_STOP_MS));
        shutdown.drain(5_000);
        assert!(!shutdown.is_patient(5_000), "nothing new is waited for");
        assert_eq!(shutdown.until_ms(), Some(5_000 + DRAIN_GRACE_MS));
    }
}
