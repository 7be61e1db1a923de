//! The transport of a connection, as `h2` reads and writes it.

use std::cell::{Ref, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::h2::flood_guard::FloodGuard;
use crate::io::transport::{Flushed, Gone, Prepared, ReadOutcome, Transport};
use crate::limits::HTTP2_SEND_BYTES;
use crate::sse::wire::Sent;

/// The shard's handle.
pub(super) struct H2Io(Rc<RefCell<H2IoState>>);

/// The handle of `h2`.
pub(super) struct H2IoHandle(Rc<RefCell<H2IoState>>);

struct H2IoState {
    transport: Transport,
    /// Bytes received before the connection was known to speak HTTP/2.
    received: Vec<u8>,
    received_read: usize,
    flood_guard: FloodGuard,
    flooded: bool,
    /// The socket may have bytes.
    readable: bool,
    /// The client sends nothing more; no further event will report that.
    has_ended: bool,
    /// Bytes that may be read now.
    bytes_left: usize,
    /// Reading stopped at the allowance, not for lack of bytes.
    has_more: bool,
    /// Accepted from `h2`, not yet sent.
    out: Vec<u8>,
    out_sent: usize,
    /// What is flushed now stays in `out`, to be sent together with that of other connections.
    collects: bool,
    /// The socket is full.
    blocked: bool,
    /// The socket was full and has taken no byte since. `blocked` may be false meanwhile, to retry.
    starved: bool,
    /// When the socket last took a byte, or was first found full.
    wrote_ms: u64,
    now_ms: u64,
}

impl H2Io {
    pub(super) fn new(
        transport: Transport,
        received: Vec<u8>,
        has_ended: bool,
        flood_guard: FloodGuard,
        now_ms: u64,
    ) -> Self {
        Self(Rc::new(RefCell::new(H2IoState {
            transport,
            received,
            received_read: 0,
            flood_guard,
            flooded: false,
            readable: true,
            has_ended,
            bytes_left: 0,
            has_more: false,
            out: Vec::new(),
            out_sent: 0,
            collects: false,
            blocked: false,
            starved: false,
            wrote_ms: now_ms,
            now_ms,
        })))
    }

    pub(super) fn handle(&self) -> H2IoHandle {
        H2IoHandle(Rc::clone(&self.0))
    }

    pub(super) fn event(&self, has_ended: bool, now_ms: u64) {
        let mut state = self.0.borrow_mut();
        state.readable = true;
        state.has_ended |= has_ended;
        if state.blocked {
            state.now_ms = now_ms;
            state.flush();
        }
    }

    pub(super) fn begin_slice(&self, sent_frames: u64, now_ms: u64) {
        let mut state = self.0.borrow_mut();
        state.bytes_left = 0;
        state.has_more = false;
        state.now_ms = now_ms;
        state.flood_guard.sent(sent_frames);
    }

    pub(super) fn allow(&self, bytes: usize) {
        let mut state = self.0.borrow_mut();
        state.bytes_left = bytes;
        state.has_more = false;
    }

    pub(super) fn has_more(&self) -> bool {
        self.0.borrow().has_more
    }

    /// Bytes of a request head that is still arriving.
    pub(super) fn head_bytes(&self) -> usize {
        self.0.borrow().flood_guard.head_bytes()
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.0.borrow().flooded
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.0.borrow().blocked
    }

    pub(super) fn wrote_ms(&self) -> u64 {
        self.0.borrow().wrote_ms
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.0.borrow().now_ms
    }

    pub(super) fn transport(&self) -> Ref<'_, Transport> {
        Ref::map(self.0.borrow(), |state| &state.transport)
    }

    /// See [`Http2Conn::collect`](super::Http2Conn::collect).
    pub(super) fn collect(&self, collects: bool) -> bool {
        std::mem::replace(&mut self.0.borrow_mut().collects, collects)
    }

    /// See [`Http2Conn::prepare`](super::Http2Conn::prepare).
    pub(super) fn prepare(&self, sealed: &mut Vec<u8>) -> Option<Prepared> {
        let H2IoState { transport, out, out_sent, collects, blocked, .. } = &mut *self.0.borrow_mut();
        *collects = false;
        let bytes = &out[*out_sent..];
        (!bytes.is_empty() && !*blocked).then(|| transport.prepare(bytes, sealed))
    }

    /// Handles the result of the send of collected bytes.
    ///
    /// # Errors
    /// The peer is gone.
    pub(super) fn sent_sealed(&self, sealed: &[u8], sent: Sent) -> Result<(), Gone> {
        let state = &mut *self.0.borrow_mut();
        let offered = state.out.len() - state.out_sent;
        let sent = state.transport.sent_sealed(offered, sealed, sent);
        state.sent(offered, sent)
    }

    /// As [`Self::sent_sealed`], where the transport has sent the bytes itself.
    ///
    /// # Errors
    /// The peer is gone.
    pub(super) fn sent(&self, sent: Sent) -> Result<(), Gone> {
        let state = &mut *self.0.borrow_mut();
        state.sent(state.out.len() - state.out_sent, sent)
    }

    /// Returns the transport, once `h2` has dropped its handle.
    pub(super) fn into_transport(self) -> Option<Transport> {
        Rc::into_inner(self.0).map(|state| state.into_inner().transport)
    }
}

impl H2IoState {
    /// Reads into `into`; `None` if nothing is available now.
    fn read(&mut self, into: &mut [u8]) -> Option<io::Result<usize>> {
        // Bytes after a flood are ignored: the flood guard has lost its position in the input.
        if self.flooded {
            return None;
        }
        if self.received_read < self.received.len() {
            let left = &self.received[self.received_read..];
            let count = left.len().min(into.len()).min(self.bytes_left);
            if count == 0 {
                self.has_more = true;
                return None;
            }
            into[..count].copy_from_slice(&left[..count]);
            self.received_read += count;
            if self.received_read == self.received.len() {
                self.received = Vec::new();
                self.received_read = 0;
            }
            return Some(Ok(count));
        }
        while self.readable {
            let room = into.len().min(self.bytes_left);
            if room == 0 {
                self.has_more = true;
                return None;
            }
            match self.transport.receive(&mut into[..room]) {
                ReadOutcome::Bytes(0) => {}
                ReadOutcome::Bytes(count) => return Some(Ok(count)),
                ReadOutcome::Last(count) => {
                    // If the end was reported already, it follows these bytes.
                    self.readable = self.has_ended;
                    return Some(Ok(count));
                }
                ReadOutcome::Nothing => self.readable = false,
                ReadOutcome::End => return Some(Ok(0)),
                ReadOutcome::Broken => return Some(Err(io::ErrorKind::InvalidData.into())),
            }
        }
        None
    }

    /// Buffers bytes, to be sent together with the following ones: `h2` writes the head and the
    /// data of each frame separately.
    fn write(&mut self, bytes: &[u8]) -> Option<io::Result<usize>> {
        if self.out.len() + bytes.len() > HTTP2_SEND_BYTES
            && let Err(error) = self.send()?
        {
            return Some(Err(error));
        }
        self.out.extend_from_slice(bytes);
        Some(Ok(bytes.len()))
    }

    /// Sends the buffered bytes; `None` if the socket is full.
    fn send(&mut self) -> Option<io::Result<()>> {
        while self.out_sent < self.out.len() {
            if self.blocked {
                return None;
            }
            let bytes = &self.out[self.out_sent..];
            let (offered, sent) = (bytes.len(), self.transport.send(bytes));
            if let Err(Gone) = self.sent(offered, sent) {
                return Some(Err(io::ErrorKind::BrokenPipe.into()));
            }
        }
        Some(Ok(()))
    }

    /// As [`Self::send`]; pending also while the transport holds bytes.
    fn poll_send(&mut self) -> Poll<io::Result<()>> {
        match self.send() {
            Some(Ok(())) if self.transport.is_held() => Poll::Pending,
            sent => sent.map_or(Poll::Pending, Poll::Ready),
        }
    }

    /// Handles the result of a send of the buffered bytes, of which `offered` were left.
    fn sent(&mut self, offered: usize, sent: Sent) -> Result<(), Gone> {
        let (taken, is_full) = match sent {
            Sent::Bytes(taken) => (taken, taken < offered),
            Sent::Held(taken) => (taken, true),
            Sent::Full => (0, true),
            Sent::Gone => return Err(Gone),
        };
        self.blocked = is_full;
        self.out_sent += taken;
        if taken > 0 {
            self.took();
        } else if !self.starved {
            self.starved = true;
            self.wrote_ms = self.now_ms;
        }
        if taken == offered {
            // An idle connection keeps no buffer.
            self.out = Vec::new();
            self.out_sent = 0;
        }
        Ok(())
    }

    /// Writes what the transport holds, and checks whether the socket takes bytes again.
    fn flush(&mut self) {
        let was_held = self.transport.is_held();
        match self.transport.flush() {
            // Without TLS nothing was tried: the next write finds out. Any event leads here, even a
            // read.
            Ok(Flushed::All) => {
                self.blocked = false;
                if was_held {
                    self.took();
                }
            }
            Ok(Flushed::Some) => self.took(),
            Ok(Flushed::Nothing) => {}
            // The next write reports it.
            Err(Gone) => self.blocked = false,
        }
    }

    /// The socket took bytes.
    fn took(&mut self) {
        self.starved = false;
        self.wrote_ms = self.now_ms;
    }
}

impl AsyncRead for H2IoHandle {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        let unfilled = into.initialize_unfilled();
        let count = match state.read(unfilled) {
            Some(Ok(count)) => count,
            Some(Err(error)) => return Poll::Ready(Err(error)),
            None => return Poll::Pending,
        };
        let now_ms = state.now_ms;
        state.bytes_left = state.bytes_left.saturating_sub(count);
        state.flooded = state.flood_guard.received(&unfilled[..count], now_ms).is_err();
        if state.flooded {
            // Bytes that arrive with a flood are part of it.
            return Poll::Pending;
        }
        into.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for H2IoHandle {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().write(bytes).map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        if state.collects && !state.blocked && state.transport.may_prepare() {
            return Poll::Ready(Ok(()));
        }
        state.poll_send()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        // Not together with others: nothing can be sent after the end.
        std::task::ready!(state.poll_send())?;
        state.transport.end();
        Poll::Ready(Ok(()))
    }
}
