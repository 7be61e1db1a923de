//! Whether the store of the history works, for `/readyz`: what its last commits have shown.
//!
//! It fails from a failed commit to the next one that succeeds. Without publications, for instance
//! because a load balancer follows `/readyz`, that commit is a trial: one without an update, made
//! when the disk has room for the refused updates. Publications can still fail after a trial. Each
//! time this happens, the next trial waits twice as long, so the state does not alternate.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::api::history_health::HistoryHealth;
use crate::io::room::has_room;

/// Time between the last commit that failed and a trial.
const TRIAL_AFTER: Duration = Duration::from_secs(2);
const TRIAL_AFTER_MAX: Duration = Duration::from_secs(64);
/// Room that a commit needs beside its updates: copies of the pages that it changes.
const COMMIT_BYTES: u64 = 64 << 10;

/// The state; the sequencer's thread owns it.
pub(super) struct StoreWatch {
    health: HistoryHealth,
    file: Option<PathBuf>,
    /// Bytes of the last updates that were refused.
    refused_bytes: usize,
    append_failed: bool,
    maintenance_failed: bool,
    /// When the store was last asked to append.
    tried: Instant,
    trial_after: Duration,
    /// Whether the last append that succeeded was a trial.
    by_trial: bool,
}

impl StoreWatch {
    /// A store that works, in this file or in memory.
    pub(super) fn new(file: Option<PathBuf>, now: Instant) -> Self {
        Self {
            health: HistoryHealth::default(),
            file,
            refused_bytes: 0,
            append_failed: false,
            maintenance_failed: false,
            tried: now,
            trial_after: TRIAL_AFTER,
            by_trial: false,
        }
    }

    /// The result, for other threads.
    pub(super) fn health(&self) -> HistoryHealth {
        self.health.clone()
    }

    /// Notes the result of publications of this many bytes.
    pub(super) fn appended(&mut self, is_stored: bool, bytes: usize, now: Instant) {
        if is_stored {
            self.trial_after = TRIAL_AFTER;
        } else {
            self.refused_bytes = bytes;
            if self.by_trial {
                self.trial_after = (self.trial_after * 2).min(TRIAL_AFTER_MAX);
            }
        }
        self.note(is_stored, false, now);
    }

    /// Whether the disk has room for what was refused. The store takes up to twice the bytes, since
    /// it rounds up.
    pub(super) fn has_room(&self) -> bool {
        let bytes = COMMIT_BYTES.saturating_add(self.refused_bytes as u64 * 2);
        self.file.as_ref().is_none_or(|file| has_room(file, bytes))
    }

    /// Notes that old updates were discarded: new ones may have room within the file.
    pub(super) fn made_room(&mut self) {
        self.refused_bytes = 0;
    }

    /// Notes the result of a trial.
    pub(super) fn tried(&mut self, is_stored: bool, now: Instant) {
        self.note(is_stored, is_stored, now);
    }

    /// Notes the result of maintenance, which makes earlier updates durable.
    pub(super) fn maintained(&mut self, is_done: bool) {
        self.maintenance_failed = !is_done;
        self.tell();
    }

    /// The time until a trial is due; `None` if none is needed. Failed maintenance is repeated
    /// anyway.
    pub(super) fn trial_in(&self, now: Instant) -> Option<Duration> {
        self.append_failed.then(|| (self.tried + self.trial_after).saturating_duration_since(now))
    }

    fn note(&mut self, is_stored: bool, by_trial: bool, now: Instant) {
        (self.append_failed, self.by_trial, self.tried) = (!is_stored, by_trial, now);
        self.tell();
    }

    fn tell(&self) {
        let fails = self.append_failed || self.maintenance_failed;
        if self.health.set(fails) {
            match fails {
                true => warn!("the history cannot be written: /readyz is 503 until a commit succeeds"),
                false => info!("the history can be written again: /readyz is no longer 503 because of it"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_fails_until_a_commit_succeeds_and_trials_become_rare_where_they_mislead() {
        let mut now = Instant::now();
        let mut watch = StoreWatch::new(None, now);
        let health = watch.health();
        assert!(!health.fails() && watch.trial_in(now).is_none());
        watch.appended(false, 1, now);
        assert!(health.fails());
        assert_eq!(watch.trial_in(now), Some(TRIAL_AFTER));
        now += TRIAL_AFTER / 2;
        watch.appended(false, 1, now);
        assert_eq!(watch.trial_in(now), Some(TRIAL_AFTER), "publications are trials enough");
        watch.appended(true, 1, now);
        assert!(!health.fails() && watch.trial_in(now).is_none());
        for factor in [1, 2, 4, 8, 16, 32, 32] {
            watch.appended(false, 1, now);
            assert_eq!(watch.trial_in(now), Some(TRIAL_AFTER * factor));
            now += TRIAL_AFTER * factor;
            assert_eq!(watch.trial_in(now), Some(Duration::ZERO));
            watch.tried(false, now);
            assert!(health.fails());
            watch.tried(true, now);
            assert!(!health.fails());
        }
        watch.appended(true, 1, now);
        watch.appended(false, 1, now);
        assert_eq!(watch.trial_in(now), Some(TRIAL_AFTER));
    }

    #[test]
    fn failed_maintenance_counts_until_it_succeeds() {
        let now = Instant::now();
        let mut watch = StoreWatch::new(None, now);
        watch.maintained(false);
        watch.appended(true, 1, now);
        assert!(watch.health().fails() && watch.trial_in(now).is_none());
        watch.maintained(true);
        assert!(!watch.health().fails());
    }
}
