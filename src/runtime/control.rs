//! How the thread that waits for the end of a hub is told: by signals, by the program that has the hub in it, by threads that end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tracing::info;

use super::RunError;
use crate::limits::{SIGNAL_ECHO_MS, SIGNAL_PATIENCE_MS};

/// What the waiting thread hears of.
pub(super) enum Happened {
    Signal(i32),
    /// The program that has the hub in it wants it to stop.
    Stop,
    Ended {
        name: String,
        panicked: bool,
    },
}

/// Reports the end of a thread, also when it ends by a panic.
pub(super) struct EndReport {
    pub(super) name: String,
    pub(super) reports: Sender<Happened>,
}

impl Drop for EndReport {
    fn drop(&mut self) {
        let happened =
            Happened::Ended { name: std::mem::take(&mut self.name), panicked: std::thread::panicking() };
        // Nobody listens any more when the hub ends at once.
        let _ = self.reports.send(happened);
    }
}

/// How the waiting thread is reached.
pub(super) struct Control {
    pub(super) reports: Sender<Happened>,
    pub(super) happened: Receiver<Happened>,
    /// Somebody reads what is reported.
    serves: Arc<AtomicBool>,
}

/// Stops a hub from another thread.
#[derive(Clone)]
pub(super) struct Stopper(Sender<Happened>);

impl Stopper {
    /// Streams end over `DRAIN_TIMEOUT`; a second time it changes nothing.
    pub(super) fn stop(&self) {
        // A hub that has ended has stopped.
        let _ = self.0.send(Happened::Stop);
    }
}

impl Control {
    pub(super) fn new() -> Self {
        let (reports, happened) = unbounded();
        Self { reports, happened, serves: Arc::default() }
    }

    pub(super) fn stopper(&self) -> Stopper {
        Stopper(self.reports.clone())
    }

    /// Connections are accepted, and what is reported is read.
    pub(super) fn serves(&self) {
        self.serves.store(true, Ordering::SeqCst);
    }

    /// Takes SIGTERM, SIGINT and SIGHUP from now on, before anything is opened: a SIGHUP would end the process else. A hub that does not
    /// serve yet ends at once, as one does that cannot be told a second time.
    pub(super) fn watch_signals(&self) -> Result<(), RunError> {
        let (reports, serves) = (self.reports.clone(), Arc::clone(&self.serves));
        let failed = |error: std::io::Error| RunError::Start("signals".to_owned(), error.to_string());
        let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(failed)?;
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
        std::thread::Builder::new().name("signals".to_owned()).spawn(watch).map(|_| ()).map_err(failed)
    }
}

/// Ends the process from a thread that cannot wait for others.
fn end_process(status: i32) -> ! {
    // The log is written by another thread.
    std::thread::sleep(Duration::from_millis(50));
    std::process::exit(status)
}
