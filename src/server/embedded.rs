//! A hub inside another program: its threads run beside the program's own, and the program
//! publishes without HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::bounded;

use crate::history::History;
use crate::io::ProcessRole;
use crate::ops::metrics::ShardMetrics;
use crate::server::control::{Control, Stopper};
use crate::server::error::RunError;
use crate::server::receipt::{CommitError, EmbeddedPublisher, Receipt, ReceiptCloser};
use crate::server::settings::Settings;
use crate::server::start;
use crate::sse::frame::Frame;

/// A hub that runs inside this program. Signals, and the sockets of a service manager, are left to
/// the program.
///
/// If dropped, the hub is told to stop, and is not waited for.
pub struct Embedded {
    address: SocketAddr,
    publisher: EmbeddedPublisher,
    shard_metrics: Vec<Arc<ShardMetrics>>,
    stopper: Stopper,
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl Embedded {
    /// Starts a hub; it accepts connections when this returns.
    ///
    /// # Errors
    /// [`RunError`]: the hub did not start.
    pub fn start(settings: Settings, history: Box<dyn History>) -> Result<Self, RunError> {
        let control = Control::new();
        let stopper = control.stopper();
        let (report, reported) = bounded(1);
        let run = move || {
            let mut closer = ReceiptCloser(None);
            let started = |begun: start::Begun| {
                closer.0 = Some(begun.publisher.clone());
                // The starting thread waits for this.
                let _ = report.send(begun);
            };
            start::run_as(&settings, history, &control, ProcessRole::Program, started)
        };
        let spawned = std::thread::Builder::new().name("petasos".to_owned()).spawn(run);
        let thread = spawned.map_err(RunError::start("petasos"))?;
        match reported.recv() {
            Ok(start::Begun { address, publisher, shard_metrics }) => {
                Ok(Self { address, publisher, shard_metrics, stopper, thread: Some(thread) })
            }
            // The hub ended instead of starting.
            Err(_) => Err(join(thread).err().unwrap_or_else(|| RunError::Ended("petasos".to_owned()))),
        }
    }

    /// The address it listens on; port 0 is replaced by the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of subscribers connected now.
    pub fn subscribers(&self) -> u64 {
        self.shard_metrics.iter().map(|metrics| metrics.subscribers.get()).sum()
    }

    /// Whether the hub runs. If it does not and was not stopped, one of its threads has failed;
    /// [`Embedded::stop`] returns which.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Hands an encoded update to the sequencer, without waiting for it.
    ///
    /// # Errors
    /// [`CommitError`]: the queue is full, or the hub has stopped.
    pub fn publish(&self, frame: Arc<Frame>) -> Result<Receipt, CommitError> {
        self.publisher.publish(frame)
    }

    /// Tells the hub to stop, without waiting.
    pub fn begin_stop(&self) {
        self.stopper.stop();
    }

    /// Stops the hub, and waits until the last stream has ended (at most `DRAIN_TIMEOUT`). Each
    /// stream first carries every acknowledged update.
    pub fn stop(mut self) -> Result<(), RunError> {
        self.stopper.stop();
        self.thread.take().map_or(Ok(()), join)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

fn join(thread: JoinHandle<Result<(), RunError>>) -> Result<(), RunError> {
    thread.join().unwrap_or_else(|_| Err(RunError::Ended("petasos".to_owned())))
}
