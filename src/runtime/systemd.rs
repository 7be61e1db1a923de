//! What the service manager is told (sd_notify(3)): that the hub serves, that it stops, and that it is alive.
//!
//! Invariants worth naming:
//! - a heartbeat says that every shard made progress since the last one; one stalled shard ends the heartbeats, and the
//!   manager then ends the hub (`WatchdogSec=`), since half a hub is worse than none;
//! - the thread that waits for signals sends them, so that its own end ends them too.
//!
//! Without a manager (`NOTIFY_SOCKET`, `WATCHDOG_USEC`) nothing is sent and nobody is woken. During a stop the heartbeats go
//! on whatever the shards do, since they end one after the other: `DRAIN_TIMEOUT` and `TimeoutStopSec=` bound a stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use sd_notify::NotifyState;
use tracing::warn;

use super::pulse::Watch;
use super::wake::Bell;
use crate::limits::{HEARTBEATS_PER_WATCHDOG, WATCHDOG_LOOK_MS_MIN};

/// The way to the service manager.
pub(super) struct Manager {
    /// `None` when nobody asked for heartbeats.
    looks: Option<Looks>,
    stopping: bool,
    /// That the manager cannot be reached was logged.
    unreachable: bool,
}

/// How the shards are looked at.
struct Looks {
    watch: Watch,
    next: Instant,
    between: Duration,
    /// The shard that is stalled, as it was logged.
    stalled: Option<usize>,
}

impl Manager {
    /// The manager of this process, if there is one, and of the shards with these bells.
    pub(super) fn new(bells: &[Arc<Bell>]) -> Self {
        let looks = sd_notify::watchdog_enabled().map(|watchdog| {
            let between = look_every(watchdog);
            Looks { watch: Watch::new(bells), next: Instant::now() + between, between, stalled: None }
        });
        Self { looks, stopping: false, unreachable: false }
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
            let Some(looks) = &mut self.looks else { return events.recv().ok() };
            match events.recv_deadline(looks.next) {
                Ok(event) => return Some(event),
                Err(RecvTimeoutError::Timeout) => {
                    looks.next = Instant::now() + looks.between;
                    if self.stopping || looks.all_live() {
                        self.tell(NotifyState::Watchdog);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn tell(&mut self, state: NotifyState<'_>) {
        if let Err(error) = sd_notify::notify(&[state])
            && !std::mem::replace(&mut self.unreachable, true)
        {
            warn!(%error, "the service manager cannot be reached (NOTIFY_SOCKET)");
        }
    }
}

impl Looks {
    /// Whether every shard made progress since the last look. The first one that did not is logged, once.
    fn all_live(&mut self) -> bool {
        let stalled = self.watch.stalled();
        if stalled.is_some() && stalled != self.stalled {
            warn!(shard = stalled, "a shard makes no progress; the service manager gets no heartbeat");
        }
        self.stalled = stalled;
        stalled.is_none()
    }
}

/// Often enough that a look which comes too early for one shard, or is late itself, is made up for in time.
fn look_every(watchdog: Duration) -> Duration {
    (watchdog / HEARTBEATS_PER_WATCHDOG).max(Duration::from_millis(WATCHDOG_LOOK_MS_MIN))
}
