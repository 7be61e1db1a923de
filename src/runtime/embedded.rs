//! A hub inside another program: its threads run beside the program's own, and the program
//! publishes without HTTP.
//!
//! An embedded publication takes the same way as any other, except for its result: the sequencer's
//! thread sets it once the update is on the ring.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use crossbeam_channel::bounded;

use super::control::{Control, Stopper};
use super::metrics::ShardMetrics;
use super::running::{self, ProcessRole};
use super::sequencer::Queue;
use super::{RunError, Settings};
use crate::history::History;
use crate::hub::sequencer::{Publication, ReplyTo};
use crate::protocol::event_id::EventId;
use crate::protocol::frame::Frame;

/// Why an update is not published. Nothing of it was dispatched, except with
/// [`CommitError::Unknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// The publication queue is full: try again.
    Full,
    /// The history refused it: the disk may be full. The log has details.
    Refused,
    /// The hub has stopped.
    Stopped,
    /// The hub failed before the result was known: the update may be stored, or not.
    Unknown,
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the publication queue is full",
            Self::Refused => "the history refused the update",
            Self::Stopped => "the hub has stopped",
            Self::Unknown => "the hub has failed, and the update may be stored or not",
        })
    }
}

impl std::error::Error for CommitError {}

/// Ignores poisoning: the data under these locks is consistent after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Publishes from inside this program.
#[derive(Clone)]
pub(super) struct EmbeddedPublisher(Arc<PublisherShared>);

struct PublisherShared {
    /// `None` once the hub stops.
    queue: Mutex<Option<Queue>>,
    waiting: Mutex<WaitingReceipts>,
}

#[derive(Default)]
struct WaitingReceipts {
    next_serial: u32,
    /// Bounded by the capacity of the queue and the sequencer's batch.
    by_serial: HashMap<u32, Arc<CommitOutcome>>,
}

/// The result of one publication.
#[derive(Default)]
struct CommitOutcome {
    state: Mutex<OutcomeState>,
    told: Condvar,
}

#[derive(Default)]
struct OutcomeState {
    result: Option<Result<(), CommitError>>,
    /// The waker of the task that awaits it.
    waker: Option<Waker>,
}

impl CommitOutcome {
    fn set(&self, result: Result<(), CommitError>) {
        let waker = {
            let mut state = lock(&self.state);
            state.result = Some(result);
            state.waker.take()
        };
        self.told.notify_all();
        // The woken code is the program's: a panic in it must not end the sequencer.
        let _ = catch_unwind(AssertUnwindSafe(|| waker.into_iter().for_each(Waker::wake)));
    }
}

impl EmbeddedPublisher {
    pub(super) fn new(queue: Queue) -> Self {
        Self(Arc::new(PublisherShared { queue: Mutex::new(Some(queue)), waiting: Mutex::default() }))
    }

    /// Accepts no further embedded publications.
    pub(super) fn close(&self) {
        lock(&self.0.queue).take();
    }

    /// Reports that an update is on the ring, or was refused. Only embedded publications are
    /// handled here.
    pub(super) fn settled(&self, reply_to: ReplyTo, is_stored: bool) {
        let ReplyTo::Embedded { serial } = reply_to else { return };
        // Hold no lock while the program is woken: it may publish again at once.
        let outcome = lock(&self.0.waiting).by_serial.remove(&serial);
        if let Some(outcome) = outcome {
            outcome.set(if is_stored { Ok(()) } else { Err(CommitError::Refused) });
        }
    }

    /// The sequencer has ended: the results of all pending publications are unknown.
    fn end(&self) {
        self.close();
        let waiting = std::mem::take(&mut lock(&self.0.waiting).by_serial);
        for outcome in waiting.into_values() {
            outcome.set(Err(CommitError::Unknown));
        }
    }

    fn publish(&self, frame: Arc<Frame>) -> Result<Receipt, CommitError> {
        let queue = lock(&self.0.queue);
        let Some(queue) = &*queue else { return Err(CommitError::Stopped) };
        let (id, outcome) = (frame.id().clone(), Arc::<CommitOutcome>::default());
        let serial = {
            let mut waiting = lock(&self.0.waiting);
            waiting.next_serial = waiting.next_serial.wrapping_add(1);
            let serial = waiting.next_serial;
            waiting.by_serial.insert(serial, Arc::clone(&outcome));
            serial
        };
        let reply_to = ReplyTo::Embedded { serial };
        if queue.offer(Publication { frame, reply_to }) {
            return Ok(Receipt { outcome, id });
        }
        lock(&self.0.waiting).by_serial.remove(&serial);
        Err(CommitError::Full)
    }
}

/// A publication in progress. It continues if the receipt is dropped.
#[must_use = "whether the update was stored is known when this was waited for, or awaited"]
pub struct Receipt {
    outcome: Arc<CommitOutcome>,
    id: EventId,
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Receipt {
    /// The update's event id.
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// Blocks the thread until the update is stored, as `HISTORY_SYNC` promises, and has its place
    /// in the order. An async program awaits the receipt instead.
    pub fn wait(self) -> Result<EventId, CommitError> {
        let mut state = lock(&self.outcome.state);
        loop {
            if let Some(result) = state.result {
                drop(state);
                return result.map(|()| self.id);
            }
            state = self.outcome.told.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Waits without blocking, in any async runtime.
impl Future for Receipt {
    type Output = Result<EventId, CommitError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.outcome.state);
        match state.result {
            Some(result) => Poll::Ready(result.map(|()| self.id.clone())),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Completes every receipt when the hub ends, even by a panic.
struct ReceiptCloser(Option<EmbeddedPublisher>);

impl Drop for ReceiptCloser {
    fn drop(&mut self) {
        self.0.iter().for_each(EmbeddedPublisher::end);
    }
}

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
            let started = |begun: running::Begun| {
                closer.0 = Some(begun.publisher.clone());
                // The starting thread waits for this.
                let _ = report.send(begun);
            };
            running::run(&settings, history, &control, ProcessRole::Program, started)
        };
        let failed = |error: std::io::Error| RunError::Start("petasos".to_owned(), error.to_string());
        let thread = std::thread::Builder::new().name("petasos".to_owned()).spawn(run).map_err(failed)?;
        match reported.recv() {
            Ok(running::Begun { address, publisher, shard_metrics }) => {
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
