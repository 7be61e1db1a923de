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

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use sd_notify::NotifyState;
use tracing::warn;

use super::liveness::Watch;
use super::wake::ShardWaker;
use crate::limits::{HEARTBEATS_PER_WATCHDOG, WATCHDOG_CHECK_MS_MIN};

/// Messages that wait for the manager.
const MESSAGES_MAX: usize = 8;

/// The way to the service manager.
pub(super) struct Manager {
    /// `None` when nobody asked for heartbeats.
    timer: Option<WatchdogTimer>,
    stopping: bool,
    /// To the thread that tells the manager: one that does not listen must not hold up the hub. `None` when there is none.
    messages: Option<Sender<NotifyState<'static>>>,
}

/// What [`Manager::next`] waited for.
pub(super) enum Next<T> {
    Event(T),
    /// The moment has come.
    Due,
    /// No event can come any more.
    End,
}

/// How the shards are looked at.
struct WatchdogTimer {
    watch: Watch,
    next: Instant,
    between: Duration,
    /// The shard that is stalled, as it was logged.
    stalled: Option<usize>,
}

impl Manager {
    /// The manager of this process, if there is one, and of the shards with these wakers.
    pub(super) fn new(wakers: &[Arc<ShardWaker>]) -> Self {
        let timer = sd_notify::watchdog_enabled().map(|watchdog| {
            let between = interval(watchdog);
            WatchdogTimer {
                watch: Watch::new(wakers),
                next: Instant::now() + between,
                between,
                stalled: None,
            }
        });
        Self { timer, stopping: false, messages: is_named().then(start_notifying).flatten() }
    }

    /// None: the process is not the hub's.
    pub(super) fn none() -> Self {
        Self { timer: None, stopping: false, messages: None }
    }

    /// Connections are accepted.
    pub(super) fn serves(&mut self) {
        self.notify(NotifyState::Ready);
    }

    /// The hub stops.
    pub(super) fn stops(&mut self) {
        self.stopping = true;
        self.notify(NotifyState::Stopping);
    }

    /// The next event, or that the moment has come, with the heartbeats that are due meanwhile.
    pub(super) fn next<T>(&mut self, events: &Receiver<T>, moment: Option<Instant>) -> Next<T> {
        loop {
            let deadline = self.timer.as_ref().map(|timer| timer.next).into_iter().chain(moment).min();
            let received = match deadline {
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(deadline) => events.recv_deadline(deadline),
            };
            match received {
                Ok(event) => return Next::Event(event),
                Err(RecvTimeoutError::Disconnected) => return Next::End,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if let Some(timer) = self.timer.as_mut().filter(|timer| now >= timer.next) {
                timer.next = now + timer.between;
                if self.stopping || timer.all_live() {
                    self.notify(NotifyState::Watchdog);
                }
            }
            if moment.is_some_and(|moment| now >= moment) {
                return Next::Due;
            }
        }
    }

    fn notify(&self, state: NotifyState<'static>) {
        if let Some(messages) = &self.messages {
            // Where some wait already, the manager does not listen.
            let _ = messages.try_send(state);
        }
    }
}

fn is_named() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Starts the thread that tells the manager; it ends with the process.
fn start_notifying() -> Option<Sender<NotifyState<'static>>> {
    let (sender, messages) = bounded::<NotifyState<'static>>(MESSAGES_MAX);
    let notify = move || {
        let mut unreachable = false;
        for state in &messages {
            if let Err(error) = sd_notify::notify(&[state])
                && !std::mem::replace(&mut unreachable, true)
            {
                warn!(%error, "the service manager cannot be reached (NOTIFY_SOCKET)");
            }
        }
    };
    let spawned = std::thread::Builder::new().name("notify".to_owned()).spawn(notify);
    match spawned {
        Ok(_) => Some(sender),
        Err(error) => {
            warn!(%error, "the service manager cannot be told (NOTIFY_SOCKET)");
            None
        }
    }
}

impl WatchdogTimer {
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
fn interval(watchdog: Duration) -> Duration {
    (watchdog / HEARTBEATS_PER_WATCHDOG).max(Duration::from_millis(WATCHDOG_CHECK_MS_MIN))
}
