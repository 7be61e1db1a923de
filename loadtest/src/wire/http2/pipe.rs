//! Two buffers in memory, which `h2` reads and writes in place of a socket.
//!
//! A write is always accepted, so `h2` never waits for room and always reads all of its input.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The buffers, shared by the session and `h2`.
#[derive(Debug, Clone, Default)]
pub(super) struct Pipe(Rc<RefCell<Buffers>>);

#[derive(Debug, Default)]
struct Buffers {
    /// Bytes of the server: those from `read` to `filled` have not been read.
    input: Vec<u8>,
    filled: usize,
    read: usize,
    /// The server sends nothing more.
    has_ended: bool,
    /// Bytes for the server.
    output: Vec<u8>,
}

impl Pipe {
    /// Lends the first `filled` bytes of `input` to `h2`; `input` has the previous buffer
    /// meanwhile.
    pub(super) fn lend(&self, input: &mut Vec<u8>, filled: usize) {
        let mut buffers = self.0.borrow_mut();
        std::mem::swap(&mut buffers.input, input);
        buffers.filled = filled;
        buffers.read = 0;
    }

    /// Returns the buffer that was lent to `input`, and the number of its bytes that were not read.
    pub(super) fn take_back(&self, input: &mut Vec<u8>) -> usize {
        let mut buffers = self.0.borrow_mut();
        std::mem::swap(&mut buffers.input, input);
        let unread = buffers.filled - buffers.read;
        (buffers.filled, buffers.read) = (0, 0);
        unread
    }

    /// The server sends nothing more.
    pub(super) fn end(&self) {
        self.0.borrow_mut().has_ended = true;
    }

    /// Moves the output to `out`, which must be empty.
    pub(super) fn take_output(&self, out: &mut Vec<u8>) {
        std::mem::swap(&mut self.0.borrow_mut().output, out);
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut buffers = self.0.borrow_mut();
        let unread = &buffers.input[buffers.read..buffers.filled];
        if unread.is_empty() && !buffers.has_ended {
            return Poll::Pending;
        }
        let taken = unread.len().min(into.remaining());
        into.put_slice(&unread[..taken]);
        buffers.read += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().output.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
