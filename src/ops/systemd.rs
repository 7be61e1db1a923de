//! Notifications to the service manager (sd_notify(3)): ready, stopping, and watchdog heartbeats.
//!
//! - A heartbeat means that every shard made progress since the last one. If one shard stalls,
//!   heartbeats stop and the manager ends the hub (`WatchdogSec=`): it must not run without one of
//!   its shards.
//! - The thread that waits for the end of the hub sends heartbeats, so if it ends, they end too.
//!
//! Without a manager (`NOTIFY_SOCKET`, `WATCHDOG_USEC`) nothing is sent and no shard is woken.
//! During a stop, heartbeats continue, since shards end one by one: `DRAIN_TIMEOUT` and
//! `TimeoutStopSec=` bound it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use sd_notify::NotifyState;
use tracing::warn;

use super::watchdog::Watch;
use crate::io::waker::ShardWaker;
use crate::limits::{HEARTBEATS_PER_WATCHDOG, NOTIFY_AT_END_MS, WATCHDOG_CHECK_MS_MIN};

/// Bound of the queue of messages to the manager.
const MESSAGES_MAX: usize = 8;

/// The connection to the service manager.
pub(crate) struct Manager {
    /// `None` if no watchdog is configured.
    timer: Option<WatchdogTimer>,
    stopping: bool,
    /// `None` without a manager.
    notifier: Option<Notifier>,
}

/// The thread that sends messages: a manager that does not read must not block the hub.
struct Notifier {
    /// `None` once nothing more is sent.
    messages: Option<Sender<NotifyState<'static>>>,
    thread: JoinHandle<()>,
}

/// The result of [`Manager::next`].
pub(crate) enum Next<T> {
    Event(T),
    /// The given moment has come.
    Due,
    /// No event can come any more.
    End,
}

/// Checks the shards at intervals.
struct WatchdogTimer {
    watch: Watch,
    next: Instant,
    between: Duration,
    /// The stalled shard that was logged last.
    stalled: Option<usize>,
}

impl Manager {
    /// The manager of this process, if there is one, for the shards of these wakers.
    pub(crate) fn new(wakers: &[Arc<ShardWaker>]) -> Self {
        let timer = sd_notify::watchdog_enabled().map(|watchdog| {
            let between = interval(watchdog);
            WatchdogTimer {
                watch: Watch::new(wakers),
                next: Instant::now() + between,
                between,
                stalled: None,
            }
        });
        Self { timer, stopping: false, notifier: is_named().then(Notifier::start).flatten() }
    }

    /// No manager: another program owns the process.
    pub(crate) fn none() -> Self {
        Self { timer: None, stopping: false, notifier: None }
    }

    /// Reports that connections are accepted.
    pub(crate) fn serves(&mut self) {
        self.notify(NotifyState::Ready);
    }

    /// Reports that the hub stops.
    pub(crate) fn stops(&mut self) {
        self.stopping = true;
        self.notify(NotifyState::Stopping);
    }

    /// Waits for the next event or the given moment, and sends heartbeats that are due meanwhile.
    pub(crate) fn next<T>(&mut self, events: &Receiver<T>, moment: Option<Instant>) -> Next<T> {
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
        if let Some(messages) = self.notifier.as_ref().and_then(|notifier| notifier.messages.as_ref()) {
            // If the queue is full, the manager does not read: drop the message.
            let _ = messages.try_send(state);
        }
    }
}

fn is_named() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

impl Notifier {
    fn start() -> Option<Self> {
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
        match std::thread::Builder::new().name("notify".to_owned()).spawn(notify) {
            Ok(thread) => Some(Self { messages: Some(sender), thread }),
            Err(error) => {
                warn!(%error, "the service manager cannot be notified (NOTIFY_SOCKET)");
                None
            }
        }
    }
}

impl Drop for Notifier {
    /// Lets the thread send what waits: without streams, a stop is over before the thread runs.
    fn drop(&mut self) {
        self.messages = None;
        let until = Instant::now() + Duration::from_millis(NOTIFY_AT_END_MS);
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl WatchdogTimer {
    /// Whether every shard made progress since the last check. The first stalled shard is logged
    /// once.
    fn all_live(&mut self) -> bool {
        let stalled = self.watch.stalled();
        if stalled.is_some() && stalled != self.stalled {
            warn!(shard = stalled, "a shard makes no progress; the service manager gets no heartbeat");
        }
        self.stalled = stalled;
        stalled.is_none()
    }
}

/// Several checks per watchdog period, so that one early or late check does no harm.
fn interval(watchdog: Duration) -> Duration {
    (watchdog / HEARTBEATS_PER_WATCHDOG).max(Duration::from_millis(WATCHDOG_CHECK_MS_MIN))
}
