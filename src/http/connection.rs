//! The HTTP/1.1 server machine of one connection (RFC 9112), without the socket.
//!
//! ```text
//!          first byte         head complete              accept_body           body complete
//!   Idle ─────────────▶ Head ───────────────▶ Deciding ─────────────▶ Body ─────────────────┐
//!    ▲                   │                       │                      │                   ▼
//!    │                   │ refused               │ begin_answer         │ refused       Answering
//!    │                   ▼                       ▼                      ▼                │  │
//!    │                   └──────────────▶ Answering ◀───────────────────┘                │  │
//!    └───────────────────────────────────────────┴─── answered, keep-alive ──────────────┘  │
//!                                        Closed ◀──── answered, not keep-alive ─────────────┘
//! ```
//!
//! The caller owns the socket, and does this: read at most [`Connection::room`] bytes and hand them to
//! [`Connection::receive`]; then call [`Connection::poll`] until it says [`Http1Event::NeedMore`], reacting to each event:
//!
//! - [`Http1Event::Head`]: either [`Connection::accept_body`], or answer at once;
//! - [`Http1Event::Body`], [`Http1Event::Refused`]: answer.
//!
//! A head that cannot be read still tells some of what its refusal needs: [`Connection::recovered_head`].
//!
//! To answer: [`Connection::begin_answer`] says whether the connection will go on, which the answer's head must tell;
//! when the answer is written, [`Connection::answered`]. A subscription never ends here: the caller drops the machine,
//! and with it every byte behind the request.
//!
//! Invariants: the next head is not looked at before the current answer is out; the buffer never exceeds
//! [`READ_BUFFER_BYTES_MAX`], and is freed while the connection idles; the events do not depend on how the bytes were
//! cut. Every call is legal in every state: one that makes no sense there changes nothing, or closes.

use std::fmt;

use crate::http::body::{BodyLength, BodyReader};
use crate::http::head::{Head, parse_complete};
use crate::http::recover_head::{RecoveredHead, recover_head};
use crate::http::request::Request;
use crate::http::request_error::RequestError;
use crate::http::scan::{Scanner, skip_empty_lines, starts_empty_line};
use crate::limits::{EMPTY_LINES_MAX, HEAD_BYTES_MAX, PIPELINED_BYTES_MAX, READ_BUFFER_BYTES_MAX};

/// The interim answer that asks for the body (RFC 9110, section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What is reserved for a body at once; a longer one grows with what really arrives.
const BODY_RESERVE_BYTES: u64 = 16 << 10;

/// What [`Connection::poll`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Http1Event<'a> {
    /// Nothing: it takes more bytes, a decision or an answer to go on.
    NeedMore,
    /// A request, once: decide what to do with it.
    Head(Box<Request<'a>>),
    /// The body of the request that was accepted.
    Body(Vec<u8>),
    /// The request cannot be read. Answer this, then close.
    Refused(RequestError),
}

/// Where the connection is, for the caller's timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Between requests, and no byte of the next one is here.
    Idle,
    /// A head is partly here: `HEADER_TIMEOUT` runs.
    Head,
    /// A body is partly here: `READ_TIMEOUT` runs.
    Body,
    /// A request is here, its answer is owed.
    Answering,
    /// Nothing will be read any more.
    Closed,
}

/// One HTTP/1 connection, from the server's side. `Debug` does not show the bytes: they hold tokens.
#[derive(Default)]
pub struct Connection {
    state: Http1State,
    /// Bytes received; those before `start` are done with.
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
    /// A head was refused. Its first lines, which were read before what is wrong, take so many bytes of the buffer.
    RefusedHead {
        sound_bytes: usize,
    },
    Answering {
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
    /// A connection that has received nothing. Allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes [`Connection::receive`] would take now. 0 means: do not read from the socket. That is so while an
    /// answer is owed and enough of later requests is here (so a flood of pipelined requests is held in the client's
    /// own kernel), and when the connection is closed. Ask after polling.
    pub fn room(&self) -> usize {
        let held = self.held().len();
        match &self.state {
            Http1State::Head { .. } | Http1State::Body { .. } => HEAD_BYTES_MAX.saturating_sub(held),
            Http1State::Deciding { head_bytes, .. } => PIPELINED_BYTES_MAX.saturating_sub(held - head_bytes),
            Http1State::Answering { keep_alive: true } => PIPELINED_BYTES_MAX.saturating_sub(held),
            Http1State::Answering { keep_alive: false }
            | Http1State::RefusedBody(_)
            | Http1State::RefusedHead { .. }
            | Http1State::Closed => 0,
        }
    }

    /// Whether the socket should be read.
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

    /// What was received and is not done with. Before the first poll, that is all.
    pub fn received(&self) -> &[u8] {
        self.held()
    }

    /// The same, when the connection turns out to speak something else.
    pub fn into_received(mut self) -> Vec<u8> {
        self.buffer.split_off(self.start)
    }

    /// Goes as far as the received bytes allow.
    pub fn poll(&mut self) -> Http1Event<'_> {
        match self.state {
            Http1State::Head { .. } => self.poll_head(),
            Http1State::Body { .. } => self.poll_body(),
            Http1State::RefusedBody(error) => self.refuse(error),
            Http1State::Deciding { .. }
            | Http1State::RefusedHead { .. }
            | Http1State::Answering { .. }
            | Http1State::Closed => Http1Event::NeedMore,
        }
    }

    /// Decides to read the body of the request that [`Http1Event::Head`] told of, of at most `body_bytes_max` bytes; the next
    /// polls tell [`Http1Event::Body`], or [`Http1Event::Refused`] as soon as it is known to be larger. A request without a body
    /// has an empty one. Returns true when the client waits for [`CONTINUE`], which must be written now.
    #[must_use = "the client may be waiting for the interim answer"]
    pub fn accept_body(&mut self, body_bytes_max: u64) -> bool {
        let Http1State::Deciding { head_bytes, body_length, expect_continue, keep_alive } = self.state else {
            return false;
        };
        self.consume(head_bytes);
        match BodyReader::new(body_length, body_bytes_max) {
            Ok(body) => {
                let content = match body_length {
                    BodyLength::Fixed(bytes) => Vec::with_capacity(bytes.min(BODY_RESERVE_BYTES) as usize),
                    BodyLength::Empty | BodyLength::Chunked => Vec::new(),
                };
                self.state = Http1State::Body { body, content, keep_alive };
                // Bytes of the body that are here prove that the client does not wait (RFC 9110, section 10.1.1).
                expect_continue && body_length != BodyLength::Empty && self.held().is_empty()
            }
            Err(error) => {
                self.state = Http1State::RefusedBody(error);
                false
            }
        }
    }

    /// Starts the answer; returns whether the connection will serve another request, which the answer must tell the
    /// client. It will not when the client does not want it, when the request was refused, or when its body has not been
    /// read and is not here as a whole: nothing would tell where the next request starts. Asking again gives the same.
    pub fn begin_answer(&mut self) -> bool {
        let keep_alive = match self.state {
            Http1State::Deciding { head_bytes, body_length, keep_alive, .. } => {
                self.consume(head_bytes);
                keep_alive && self.skip_body(body_length)
            }
            Http1State::Answering { keep_alive } => keep_alive,
            Http1State::Closed => return false,
            Http1State::Head { .. }
            | Http1State::Body { .. }
            | Http1State::RefusedBody(_)
            | Http1State::RefusedHead { .. } => false,
        };
        self.state = Http1State::Answering { keep_alive };
        if !keep_alive {
            self.release();
        }
        keep_alive
    }

    /// The answer is written: the next request may be polled for, or the connection is closed.
    pub fn answered(&mut self) {
        let keep_alive = self.begin_answer();
        self.state = if keep_alive { Http1State::default() } else { Http1State::Closed };
        if self.held().is_empty() {
            self.release();
        }
    }

    /// Where the connection is.
    pub fn phase(&self) -> Phase {
        match self.state {
            Http1State::Head { .. } if self.held().is_empty() => Phase::Idle,
            Http1State::Head { .. } => Phase::Head,
            Http1State::Body { .. } => Phase::Body,
            Http1State::Deciding { .. }
            | Http1State::RefusedBody(_)
            | Http1State::RefusedHead { .. }
            | Http1State::Answering { .. } => Phase::Answering,
            Http1State::Closed => Phase::Closed,
        }
    }

    /// What can be had of the head that is being read, or that was refused, until its answer begins. It depends on the
    /// bytes before what is wrong and not on how they were cut.
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
                let Some((content, keep_alive)) = complete else { return Http1Event::NeedMore };
                self.state = Http1State::Answering { keep_alive };
                Http1Event::Body(content)
            }
            Err(error) => self.refuse(error),
        }
    }

    fn refuse(&mut self, error: RequestError) -> Http1Event<'_> {
        self.state = Http1State::Answering { keep_alive: false };
        self.release();
        Http1Event::Refused(error)
    }

    /// Reads past a body that nobody wants; false when it is not here as a whole.
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

    /// The bytes that are not done with.
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

    /// Makes room like a `Vec` does, but not beyond what may ever be held.
    fn reserve(&mut self, more_bytes: usize) {
        let needed = self.buffer.len() + more_bytes;
        if needed > self.buffer.capacity() {
            let capacity = needed.max((2 * self.buffer.capacity()).min(READ_BUFFER_BYTES_MAX));
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
    }

    /// Gives the buffer's memory back: an idle connection costs its struct and nothing more.
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
#[path = "connection_tests.rs"]
mod tests;
