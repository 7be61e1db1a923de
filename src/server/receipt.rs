//! Publications of the program around an embedded hub, and their receipts.
//!
//! An embedded publication takes the same way as any other, except for its result: the sequencer's
//! thread sets it once the update is on the ring.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::hub::sequencer::{Publication, ReplyTo};
use crate::mercure::event_id::EventId;
use crate::server::queue::Queue;
use crate::sse::frame::Frame;

/// Why an update is not published. Nothing of it was dispatched, except with
/// [`CommitError::Unknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The publication queue is full: try again.
    #[error("the publication queue is full")]
    Full,
    /// The history refused it: the disk may be full. The log has details.
    #[error("the history refused the update")]
    Refused,
    /// The hub has stopped.
    #[error("the hub has stopped")]
    Stopped,
    /// The hub failed before the result was known: the update may be stored, or not.
    #[error("the hub has failed, and the update may be stored or not")]
    Unknown,
}

/// Ignores poisoning: the data under these locks is consistent after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Publishes from inside this program.
#[derive(Clone)]
pub(crate) struct EmbeddedPublisher(Arc<PublisherShared>);

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
    completed: Condvar,
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
        self.completed.notify_all();
        // The woken code is the program's: a panic in it must not end the sequencer.
        let _ = catch_unwind(AssertUnwindSafe(|| waker.into_iter().for_each(Waker::wake)));
    }
}

impl EmbeddedPublisher {
    pub(crate) fn new(queue: Queue) -> Self {
        Self(Arc::new(PublisherShared { queue: Mutex::new(Some(queue)), waiting: Mutex::default() }))
    }

    /// Accepts no further embedded publications.
    pub(crate) fn close(&self) {
        lock(&self.0.queue).take();
    }

    /// Reports that an update is on the ring, or was refused. Only embedded publications are
    /// handled here.
    pub(crate) fn settled(&self, reply_to: ReplyTo, is_stored: bool) {
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

    pub(crate) fn publish(&self, frame: Arc<Frame>) -> Result<Receipt, CommitError> {
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
            state = self.outcome.completed.wait(state).unwrap_or_else(PoisonError::into_inner);
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
pub(crate) struct ReceiptCloser(pub(crate) Option<EmbeddedPublisher>);

impl Drop for ReceiptCloser {
    fn drop(&mut self) {
        self.0.iter().for_each(EmbeddedPublisher::end);
    }
}
