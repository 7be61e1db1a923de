//! The streams of one connection: what a subscriber's stream accepts, and the wakers for `h2`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use h2::{Reason, SendStream};

use crate::limits::HTTP2_QUEUE_BYTES_MAX;
use crate::sse::wire::Sent;

/// State that the streams of a connection share while their shard writes to them.
#[derive(Default)]
pub(crate) struct SendBudget {
    /// The socket is full.
    blocked: Cell<bool>,
    /// Bytes queued since the connection was last polled.
    queued_bytes: Cell<usize>,
    /// A stream was written to or changed since the last poll.
    is_dirty: Cell<bool>,
    sent_frames: Cell<u64>,
    /// `h2` has panicked: the state it shares with the streams must not be touched again.
    is_broken: Cell<bool>,
    /// Slots that found the budget full and wait for it.
    waiting: RefCell<Vec<u32>>,
}

impl SendBudget {
    /// A stream was changed, so the connection must be polled. True if it was not marked already.
    pub(crate) fn mark_dirty(&self) -> bool {
        !self.is_dirty.replace(true)
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.is_dirty.get()
    }

    pub(super) fn begin_poll(&self) {
        self.is_dirty.set(false);
    }

    pub(super) fn end_poll(&self, is_blocked: bool) {
        self.blocked.set(is_blocked);
        if !is_blocked {
            self.queued_bytes.set(0);
        }
    }

    pub(super) fn break_off(&self) {
        self.is_broken.set(true);
    }

    #[cfg(feature = "internals")]
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    pub(super) fn take_sent_frames(&self) -> u64 {
        self.sent_frames.take()
    }

    /// Takes the subscribers that may write again; none while the socket is full.
    pub(crate) fn take_waiting(&self) -> Vec<u32> {
        if self.blocked.get() { Vec::new() } else { self.waiting.take() }
    }

    /// Bytes that wait for the socket.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes.get()
    }

    fn is_full(&self) -> bool {
        self.blocked.get() || self.queued_bytes.get() >= HTTP2_QUEUE_BYTES_MAX
    }

    /// Counts a response: a client may send a window update for it.
    pub(crate) fn count_response(&self) {
        self.sent_frames.set(self.sent_frames.get() + 1);
    }

    fn queued(&self, bytes: usize) {
        self.queued_bytes.set(self.queued_bytes.get() + bytes);
        self.sent_frames.set(self.sent_frames.get() + 1);
    }
}

/// The stream of a subscriber.
pub(crate) struct SubscriberStream {
    stream: SendStream<Bytes>,
    pub(crate) send_budget: Rc<SendBudget>,
    waker: Waker,
    /// It reported itself full, and takes nothing until it is woken.
    is_full: bool,
    /// The last send was cut short, so an end now would be inside an event.
    is_cut: bool,
}

/// The state of a woken stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awake {
    /// It takes bytes again.
    Writable,
    /// Nothing changed.
    Unchanged,
    /// The client reset it.
    Gone,
}

impl SubscriberStream {
    pub(super) fn new(stream: SendStream<Bytes>, send_budget: Rc<SendBudget>, waker: Waker) -> Self {
        Self { stream, send_budget, waker, is_full: false, is_cut: false }
    }

    /// Whether the connection accepts more; if not, the slot is reported when it does.
    pub(crate) fn has_room(&mut self, slot: u32) -> bool {
        let is_full = self.send_budget.is_full();
        if is_full {
            self.is_cut = true;
            self.send_budget.waiting.borrow_mut().push(slot);
        }
        !is_full
    }

    /// Queues as much as the stream's window and the connection allow.
    pub(crate) fn send(&mut self, slot: u32, bytes: &[u8]) -> Sent {
        if self.send_budget.is_broken.get() {
            return Sent::Gone;
        }
        if !self.has_room(slot) {
            return Sent::Full;
        }
        self.stream.reserve_capacity(bytes.len());
        let taken = self.stream.capacity().min(bytes.len());
        self.is_full = taken < bytes.len();
        self.is_cut = self.is_full;
        if taken == 0 {
            return Sent::Full;
        }
        match self.stream.send_data(Bytes::copy_from_slice(&bytes[..taken]), false) {
            Ok(()) => {
                self.send_budget.queued(taken);
                Sent::Bytes(taken)
            }
            Err(_) => Sent::Gone,
        }
    }

    /// The reason of a wake-up. Call it once at the beginning, too: it registers the waker.
    pub(crate) fn look(&mut self) -> Awake {
        if self.send_budget.is_broken.get() {
            return Awake::Gone;
        }
        match self.stream.poll_reset(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(_) => Awake::Gone,
            Poll::Pending if self.is_full && self.stream.capacity() > 0 => {
                self.is_full = false;
                Awake::Writable
            }
            Poll::Pending => Awake::Unchanged,
        }
    }

    /// Ends the stream after the queued bytes (RFC 9113, section 8.1); an incomplete stream is
    /// reset.
    pub(crate) fn end(mut self, is_whole: bool) {
        if self.send_budget.is_broken.get() {
            return std::mem::forget(self);
        }
        if !is_whole || self.is_cut || self.stream.send_data(Bytes::new(), true).is_err() {
            self.stream.send_reset(Reason::CANCEL);
        }
    }
}

/// The stream to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKey {
    /// The subscriber of this slot.
    Subscriber(u32),
    /// The request with this serial.
    Exchange(u32),
}

/// The streams of a connection that were woken.
#[derive(Default)]
pub(super) struct WakeList(Mutex<Vec<StreamKey>>);

impl WakeList {
    pub(super) fn take(&self) -> Vec<StreamKey> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The waker of one stream.
pub(super) struct StreamWaker {
    wakes: Arc<WakeList>,
    key: StreamKey,
}

impl StreamWaker {
    pub(super) fn waker(wakes: &Arc<WakeList>, key: StreamKey) -> Waker {
        Waker::from(Arc::new(Self { wakes: Arc::clone(wakes), key }))
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.key);
    }
}
