//! What the service manager is told (sd_notify(3)): that the hub serves, that it stops, and that it is alive.
//!
//! Invariants worth naming:
//! - a heartbeat says that every shard made progress since the last one; one stalled shard ends the heartbeats, and the
//!   manager then ends the hub (`WatchdogSec=`), since half a hub is worse than none;
//! - the thread that waits for signals sends them, so that its own end ends them too.
//!
//! Without a manager (`NOTIFY_SOCKET`, `WATCHDOG_USEC`) nothing is sent and nobody is woken. During a stop the heartbeats go
//! on whatever the shards do, since they end one after the other: `DRAIN_TIMEOUT` and `TimeoutStopSec=` bound a stop.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use sd_notify::NotifyState;
use tracing::warn;

use super::pulse::Watch;
use crate::limits::{HEARTBEATS_PER_WATCHDOG, WATCHDOG_LOOK_MS_MIN};

/// The way to the service manager.
pub(super) struct Manager {
    watch: Watch,
    /// When the shards are looked at next, and how long after that again; `None` when nobody asked for heartbeats.
    looks: Option<(Instant, Duration)>,
    stopping: bool,
    /// The shard that is stalled, as it was logged.
    stalled: Option<usize>,
    /// That the manager cannot be reached was logged.
    unreachable: bool,
}

impl Manager {
    /// The manager of this process, if there is one.
    pub(super) fn new(watch: Watch) -> Self {
        let looks = sd_notify::watchdog_enabled().map(|period| {
            let between = look_every(period);
            (Instant::now() + between, between)
        });
        Self { watch, looks, stopping: false, stalled: None, unreachable: false }
    }

    /// Connections are accepted.
    pub(super) fn serves(&mut self) {
        self.tell(NotifyState::Ready);
    }

    /// The hub stops.
    pub(super) fn stops(&mut self) {
        self.stopping = true;
        self.tell(NotifyState::Stopping);
    }

    /// The next event, with the heartbeats that are due meanwhile; `None` when no event can come any more.
    pub(super) fn next<T>(&mut self, events: &Receiver<T>) -> Option<T> {
        loop {
            let Some((at, between)) = self.looks else { return events.recv().ok() };
            match events.recv_deadline(at) {
                Ok(event) => return Some(event),
                Err(RecvTimeoutError::Timeout) => {
                    self.looks = Some((Instant::now() + between, between));
                    self.look();
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn look(&mut self) {
        let stalled = self.watch.stalled().filter(|_| !self.stopping);
        if stalled.is_none() {
            self.tell(NotifyState::Watchdog);
        } else if stalled != self.stalled {
            warn!(shard = stalled, "a shard makes no progress; the service manager gets no heartbeat");
        }
        self.stalled = stalled;
    }

    fn tell(&mut self, state: NotifyState<'_>) {
        if let Err(error) = sd_notify::notify(&[state])
            && !std::mem::replace(&mut self.unreachable, true)
        {
            warn!(%error, "the service manager cannot be reached (NOTIFY_SOCKET)");
        }
    }
}

/// Often enough that a look which comes too early for one shard, or is late itself, is made up for in time.
fn look_every(watchdog: Duration) -> Duration {
    (watchdog / HEARTBEATS_PER_WATCHDOG).max(Duration::from_millis(WATCHDOG_LOOK_MS_MIN))
}
