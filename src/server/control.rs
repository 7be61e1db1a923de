//! Events for the thread that waits for the end of a hub: signals, a stop by the embedding program,
//! threads that end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tracing::info;

use crate::limits::{SIGNAL_ECHO_MS, SIGNAL_PATIENCE_MS};
use crate::server::error::RunError;

/// An event for the waiting thread.
pub(crate) enum Happened {
    Signal(i32),
    /// The embedding program stops the hub.
    Stop,
    Ended {
        name: String,
        panicked: bool,
    },
}

/// Reports the end of a thread, even by a panic.
pub(crate) struct EndReport {
    pub(crate) name: String,
    pub(crate) reports: Sender<Happened>,
}

impl Drop for EndReport {
    fn drop(&mut self) {
        let happened =
            Happened::Ended { name: std::mem::take(&mut self.name), panicked: std::thread::panicking() };
        // When the hub ends at once, there is no receiver any more.
        let _ = self.reports.send(happened);
    }
}

/// The channel to the waiting thread.
pub(crate) struct Control {
    pub(crate) reports: Sender<Happened>,
    pub(crate) happened: Receiver<Happened>,
    /// Set once the reports are being read.
    serves: Arc<AtomicBool>,
}

/// Stops a hub from another thread.
#[derive(Clone)]
pub(crate) struct Stopper(Sender<Happened>);

impl Stopper {
    /// Ends streams over `DRAIN_TIMEOUT`; a second call has no effect.
    pub(crate) fn stop(&self) {
        // An error means that the hub has ended already.
        let _ = self.0.send(Happened::Stop);
    }
}

impl Control {
    pub(crate) fn new() -> Self {
        let (reports, happened) = unbounded();
        Self { reports, happened, serves: Arc::default() }
    }

    pub(crate) fn stopper(&self) -> Stopper {
        Stopper(self.reports.clone())
    }

    /// Notes that connections are accepted and reports are read.
    pub(crate) fn serves(&self) {
        self.serves.store(true, Ordering::SeqCst);
    }

    /// Handles SIGTERM, SIGINT and SIGHUP from now on. Call it before anything is opened: by
    /// default, SIGHUP ends the process. Before the hub serves, SIGTERM and SIGINT end the process
    /// at once. A second one while the hub stops ends it, too, if the waiting thread does not.
    pub(crate) fn watch_signals(&self) -> Result<(), RunError> {
        let (reports, serves) = (self.reports.clone(), Arc::clone(&self.serves));
        let signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP]);
        let mut signals = signals.map_err(RunError::Signals)?;
        let watch = move || {
            let mut first: Option<Instant> = None;
            for signal in &mut signals {
                let ends = signal != SIGHUP;
                if ends && first.is_some_and(|first| first.elapsed() < Duration::from_millis(SIGNAL_ECHO_MS))
                {
                    continue;
                }
                if ends && !serves.load(Ordering::SeqCst) {
                    info!(signal, "stopped before it served");
                    end_process(0);
                }
                if reports.send(Happened::Signal(signal)).is_err() {
                    return;
                }
                if ends && first.replace(Instant::now()).is_some() {
                    std::thread::sleep(Duration::from_millis(SIGNAL_PATIENCE_MS));
                    end_process(1);
                }
            }
        };
        let spawned = std::thread::Builder::new().name("signals".to_owned()).spawn(watch);
        spawned.map(|_| ()).map_err(RunError::start("signals"))
    }
}

/// Ends the process from a thread that cannot join others.
fn end_process(status: i32) -> ! {
    // Let the log thread write its lines.
    std::thread::sleep(Duration::from_millis(50));
    std::process::exit(status)
}
