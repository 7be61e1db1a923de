//! The HTTP/1.1 server machine of one connection (RFC 9112), without the socket.
//!
//! ```text
//!          first byte         head complete              accept_body           body complete
//!   Idle ─────────────▶ Head ───────────────▶ Deciding ─────────────▶ Body ─────────────────┐
//!    ▲                   │                       │                      │                   ▼
//!    │                   │ refused               │ begin_response       │ refused       Responding
//!    │                   ▼                       ▼                      ▼                │  │
//!    │                   └─────────────▶ Responding ◀───────────────────┘                │  │
//!    └───────────────────────────────────────────┴─── response_sent, keep-alive ─────────┘  │
//!                                        Closed ◀──── response_sent, not keep-alive ────────┘
//! ```
//!
//! The caller owns the socket. It reads at most [`Connection::room`] bytes, passes them to
//! [`Connection::receive`], and calls [`Connection::poll`] until that returns
//! [`Http1Event::NeedMore`]:
//!
//! - [`Http1Event::Head`]: call [`Connection::accept_body`], or respond at once;
//! - [`Http1Event::Body`], [`Http1Event::Refused`]: respond.
//!
//! [`Connection::recovered_head`] returns the usable parts of a head that cannot be read.
//!
//! To respond, call [`Connection::begin_response`]; it returns whether the connection stays open,
//! which the response head must state. Call [`Connection::response_sent`] when the response is
//! written.
//! A subscription never ends here: the caller drops the machine and all bytes after the request.
//!
//! Invariants: the next head is not read before the current response is written; the buffer never
//! exceeds [`READ_BUFFER_BYTES_MAX`], and is freed while the connection idles; the events do not
//! depend on how the bytes were split. Every call is legal in every state; a call that does not
//! apply changes nothing or closes the connection.

use std::fmt;

use crate::http::h1::body::{BodyLength, BodyReader};
use crate::http::h1::head::{Head, parse_complete};
use crate::http::h1::recover_head::{RecoveredHead, recover_head};
use crate::http::h1::scan::{Scanner, skip_empty_lines, starts_empty_line};
use crate::http::request::Request;
use crate::http::request_error::RequestError;
use crate::limits::{EMPTY_LINES_MAX, HEAD_BYTES_MAX, PIPELINED_BYTES_MAX, READ_BUFFER_BYTES_MAX};

/// The interim response that asks for the body (RFC 9110, section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The result of [`Connection::poll`].
#[derive(Debug, PartialEq, Eq)]
pub enum Http1Event<'a> {
    /// Nothing yet: more bytes, a decision or a response is needed.
    NeedMore,
    /// A request, reported once: decide what to do with it.
    Head(Box<Request<'a>>),
    /// The body of the accepted request.
    Body(Vec<u8>),
    /// The request cannot be read. Send this error, then close.
    Refused(RequestError),
}

/// The state of the connection, for the caller's timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Between requests; no byte of the next one has arrived.
    Idle,
    /// Part of a head has arrived: `HEADER_TIMEOUT` runs.
    Head,
    /// Part of a body has arrived: `READ_TIMEOUT` runs.
    Body,
    /// A request has arrived; its response is pending.
    Responding,
    /// Nothing more will be read.
    Closed,
}

/// One HTTP/1 connection, from the server's side. `Debug` does not show the bytes: they hold
/// tokens.
#[derive(Default)]
pub struct Connection {
    state: Http1State,
    /// Received bytes; those before `start` are consumed.
    buffer: Vec<u8>,
    start: usize,
}

#[derive(Debug)]
enum Http1State {
    Head {
        scanner: Scanner,
        empty_lines_left: usize,
    },
    Deciding {
        head_bytes: usize,
        body_length: BodyLength,
        expect_continue: bool,
        keep_alive: bool,
    },
    Body {
        body: BodyReader,
        content: Vec<u8>,
        keep_alive: bool,
    },
    RefusedBody(RequestError),
    /// A head was refused. Its complete lines take `sound_bytes` of the buffer.
    RefusedHead {
        sound_bytes: usize,
    },
    Responding {
        keep_alive: bool,
    },
    Closed,
}

impl Default for Http1State {
    fn default() -> Self {
        Self::Head { scanner: Scanner::default(), empty_lines_left: EMPTY_LINES_MAX }
    }
}

impl Connection {
    /// A connection that has received nothing. It allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes [`Connection::receive`] would take now. At 0, do not read from the socket. It
    /// is 0 while a response is pending and enough bytes of later requests are buffered, so a flood
    /// of pipelined requests stays in the client's kernel. It is also 0 when the connection is
    /// closed. Ask after polling.
    pub fn room(&self) -> usize {
        let held = self.held().len();
        match &self.state {
            Http1State::Head { .. } | Http1State::Body { .. } => HEAD_BYTES_MAX.saturating_sub(held),
            Http1State::Deciding { head_bytes, .. } => PIPELINED_BYTES_MAX.saturating_sub(held - head_bytes),
            Http1State::Responding { keep_alive: true } => PIPELINED_BYTES_MAX.saturating_sub(held),
            Http1State::Responding { keep_alive: false }
            | Http1State::RefusedBody(_)
            | Http1State::RefusedHead { .. }
            | Http1State::Closed => 0,
        }
    }

    /// Whether the socket should be read.
    #[cfg(any(test, feature = "internals"))]
    pub fn wants_read(&self) -> bool {
        self.room() > 0
    }

    /// Takes bytes from the socket, at most [`Connection::room`]; returns how many it took.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        if taken > 0 {
            if self.start > 0 {
                self.buffer.drain(..self.start);
                self.start = 0;
            }
            self.reserve(taken);
            self.buffer.extend_from_slice(&bytes[..taken]);
            debug_assert!(self.buffer.len() <= READ_BUFFER_BYTES_MAX);
        }
        taken
    }

    /// The received bytes that are not consumed; before the first poll, all of them.
    pub fn received(&self) -> &[u8] {
        self.held()
    }

    /// Like [`Connection::received`], by value, for a connection that uses another protocol.
    pub fn into_received(mut self) -> Vec<u8> {
        self.buffer.split_off(self.start)
    }

    /// Bytes of memory that the request holds that is arriving.
    pub fn bytes_held(&self) -> usize {
        let body = match &self.state {
            Http1State::Body { content, .. } => content.capacity(),
            _ => 0,
        };
        self.buffer.capacity() + body
    }

    /// Bytes of the body that have arrived.
    pub fn body_bytes(&self) -> usize {
        match &self.state {
            Http1State::Body { content, .. } => content.len(),
            _ => 0,
        }
    }

    /// Processes the received bytes as far as possible.
    pub fn poll(&mut self) -> Http1Event<'_> {
        match self.state {
            Http1State::Head { .. } => self.poll_head(),
            Http1State::Body { .. } => self.poll_body(),
            Http1State::RefusedBody(error) => self.refuse(error),
            Http1State::Deciding { .. }
            | Http1State::RefusedHead { .. }
            | Http1State::Responding { .. }
            | Http1State::Closed => Http1Event::NeedMore,
        }
    }

    /// Accepts the body of the request from [`Http1Event::Head`], of at most `body_bytes_max`
    /// bytes. The next polls return [`Http1Event::Body`], or [`Http1Event::Refused`] as soon as the
    /// body is known to be larger. A request without a body has an empty one. Returns true when the
    /// client waits for [`CONTINUE`], which must be written now.
    #[must_use = "the client may be waiting for the interim response"]
    pub fn accept_body(&mut self, body_bytes_max: u64) -> bool {
        let Http1State::Deciding { head_bytes, body_length, expect_continue, keep_alive } = self.state else {
            return false;
        };
        self.consume(head_bytes);
        if self.held().is_empty() {
            self.release();
        }
        match BodyReader::new(body_length, body_bytes_max) {
            Ok(body) => {
                // It grows with what arrives, whatever the client has announced.
                self.state = Http1State::Body { body, content: Vec::new(), keep_alive };
                // If bytes of the body have arrived, the client does not wait (RFC 9110, section
                // 10.1.1).
                expect_continue && body_length != BodyLength::Empty && self.held().is_empty()
            }
            Err(error) => {
                self.state = Http1State::RefusedBody(error);
                false
            }
        }
    }

    /// Starts the response. Returns whether the connection will serve another request, which the
    /// response must state. It will not if the client asked to close, if the request was refused,
    /// or if its body was not read and has not arrived completely: the start of the next request is
    /// then unknown. Calling it again returns the same.
    pub fn begin_response(&mut self) -> bool {
        let keep_alive = match self.state {
            Http1State::Deciding { head_bytes, body_length, keep_alive, .. } => {
                self.consume(head_bytes);
                keep_alive && self.skip_body(body_length)
            }
            Http1State::Responding { keep_alive } => keep_alive,
            Http1State::Closed => return false,
            Http1State::Head { .. }
            | Http1State::Body { .. }
            | Http1State::RefusedBody(_)
            | Http1State::RefusedHead { .. } => false,
        };
        self.state = Http1State::Responding { keep_alive };
        if !keep_alive {
            self.release();
        }
        keep_alive
    }

    /// Call this when the response is written: the next request may be polled for, or the
    /// connection is closed.
    pub fn response_sent(&mut self) {
        let keep_alive = self.begin_response();
        self.state = if keep_alive { Http1State::default() } else { Http1State::Closed };
        if self.held().is_empty() {
            self.release();
        }
    }

    /// The phase of the connection.
    pub fn phase(&self) -> Phase {
        match self.state {
            Http1State::Head { .. } if self.held().is_empty() => Phase::Idle,
            Http1State::Head { .. } => Phase::Head,
            Http1State::Body { .. } => Phase::Body,
            Http1State::Deciding { .. }
            | Http1State::RefusedBody(_)
            | Http1State::RefusedHead { .. }
            | Http1State::Responding { .. } => Phase::Responding,
            Http1State::Closed => Phase::Closed,
        }
    }

    /// The usable parts of the head that is being read or was refused, until its response begins.
    /// They depend on the bytes before the error, not on how the bytes were split.
    pub fn recovered_head(&self) -> RecoveredHead<'_> {
        match &self.state {
            Http1State::Head { scanner, .. } => recover_head(self.held(), scanner.complete_lines_bytes()),
            Http1State::RefusedHead { sound_bytes } => recover_head(self.held(), *sound_bytes),
            _ => RecoveredHead::default(),
        }
    }

    fn poll_head(&mut self) -> Http1Event<'_> {
        let Http1State::Head { mut scanner, mut empty_lines_left } = self.state else {
            return Http1Event::NeedMore;
        };
        let skipped = skip_empty_lines(self.held(), &mut empty_lines_left);
        self.consume(skipped);
        let found = if self.held().is_empty() || starts_empty_line(self.held(), empty_lines_left) {
            Ok(None)
        } else {
            scanner.find_end(self.held())
        };
        let head_bytes = match found {
            Ok(Some(head_bytes)) => head_bytes,
            Ok(None) => {
                self.state = Http1State::Head { scanner, empty_lines_left };
                return Http1Event::NeedMore;
            }
            Err(error) => {
                self.state = Http1State::RefusedHead { sound_bytes: scanner.complete_lines_bytes() };
                return Http1Event::Refused(error);
            }
        };
        match parse_complete(&self.buffer[self.start..self.start + head_bytes]) {
            Ok(Head { request, body_length, keep_alive }) => {
                let expect_continue = request.expect_continue;
                self.state = Http1State::Deciding { head_bytes, body_length, expect_continue, keep_alive };
                Http1Event::Head(Box::new(request))
            }
            Err(error) => {
                self.state = Http1State::RefusedHead { sound_bytes: head_bytes };
                Http1Event::Refused(error)
            }
        }
    }

    fn poll_body(&mut self) -> Http1Event<'_> {
        let Http1State::Body { body, content, keep_alive } = &mut self.state else {
            return Http1Event::NeedMore;
        };
        match body.feed(&self.buffer[self.start..], content) {
            Ok((taken, is_complete)) => {
                let complete = is_complete.then(|| (std::mem::take(content), *keep_alive));
                self.consume(taken);
                let Some((content, keep_alive)) = complete else {
                    // The next bytes may be long in coming.
                    self.release();
                    return Http1Event::NeedMore;
                };
                self.state = Http1State::Responding { keep_alive };
                Http1Event::Body(content)
            }
            Err(error) => self.refuse(error),
        }
    }

    fn refuse(&mut self, error: RequestError) -> Http1Event<'_> {
        self.state = Http1State::Responding { keep_alive: false };
        self.release();
        Http1Event::Refused(error)
    }

    /// Skips an unwanted body; false if it has not arrived completely.
    fn skip_body(&mut self, length: BodyLength) -> bool {
        let Ok(mut body) = BodyReader::new(length, READ_BUFFER_BYTES_MAX as u64) else { return false };
        match body.feed(&self.buffer[self.start..], &mut Vec::new()) {
            Ok((taken, true)) => {
                self.consume(taken);
                true
            }
            Ok((_, false)) | Err(_) => false,
        }
    }

    /// The bytes that are not consumed.
    fn held(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
    }

    /// Grows as a `Vec` does, but never beyond the bound of the buffer.
    fn reserve(&mut self, more_bytes: usize) {
        let needed = self.buffer.len() + more_bytes;
        if needed > self.buffer.capacity() {
            let capacity = needed.max((2 * self.buffer.capacity()).min(READ_BUFFER_BYTES_MAX));
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
    }

    /// Frees the buffer: an idle connection costs only its struct.
    fn release(&mut self) {
        self.buffer = Vec::new();
        self.start = 0;
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Connection");
        shown.field("phase", &self.phase()).field("held_bytes", &self.held().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
