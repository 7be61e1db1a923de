//! The wakers that `h2` gets: each puts the number of its stream on a list, which the session reads
//! after each poll. There is no task to wake.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// The streams of one connection that have something to read.
#[derive(Debug, Default)]
pub(super) struct WakeList {
    streams: Mutex<Vec<usize>>,
    /// The connection has something to write.
    connection: AtomicBool,
}

struct StreamWaker {
    list: Arc<WakeList>,
    stream: usize,
}

impl WakeList {
    /// The waker of a stream.
    pub(super) fn stream_waker(list: &Arc<Self>, stream: usize) -> Waker {
        Waker::from(Arc::new(StreamWaker { list: Arc::clone(list), stream }))
    }

    /// The waker of the connection.
    pub(super) fn connection_waker(list: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(list))
    }

    /// Moves the streams to `streams`, which must be empty.
    pub(super) fn take_streams(&self, streams: &mut Vec<usize>) {
        std::mem::swap(&mut *self.streams.lock().unwrap_or_else(PoisonError::into_inner), streams);
    }

    /// Whether the connection was woken since the last call.
    pub(super) fn take_connection(&self) -> bool {
        self.connection.swap(false, Ordering::Relaxed)
    }
}

/// Wakes the connection.
impl Wake for WakeList {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.connection.store(true, Ordering::Relaxed);
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.list.streams.lock().unwrap_or_else(PoisonError::into_inner).push(self.stream);
    }
}
