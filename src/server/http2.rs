//! HTTP/2 on one connection: the `h2` crate between a [`Transport`] and the streams of the hub.
//!
//! There is no task: the shard polls [`Http2Conn::poll`] after an event of the socket or a write to
//! a stream. Wakers put a stream's number on a list, which the shard reads after each poll.
//! Invariants:
//! - reading is bounded in each slice, and pauses while responses wait for the socket;
//! - queued bytes of all streams are bounded; beyond the bound, and while the socket is full, a
//!   stream takes nothing and its subscriber counts as slow;
//! - a stream never queues more than its window, so queued bytes leave when the socket takes them.

mod exchange;
mod h2_io;
#[cfg(feature = "internals")]
pub mod probe;
mod responder;
mod stream;

use std::cell::Ref;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream};
use hashbrown::HashMap;
use http::Request;
use tracing::{debug, error};

use crate::api::handler::AwaitedBody;
use crate::http::h2::flood_guard::FloodGuard;
use crate::io::socket::Socket;
use crate::io::transport::{Prepared, Transport};
use crate::limits::{
    BULK_BODY_BYTES, HEAD_BYTES_MAX, HTTP2_BODIES_MAX, HTTP2_BODY_BUFFER_BYTES, HTTP2_CONNECTION_BYTES,
    HTTP2_CONNECTION_WINDOW_BYTES, HTTP2_ERRORS_MAX, HTTP2_RESET_STREAMS_MAX, HTTP2_STREAM_BYTES,
    HTTP2_STREAM_QUEUE_BYTES_MAX, HTTP2_STREAM_WINDOW_BYTES, HTTP2_STREAMS_MAX, KEEP_ALIVE_IDLE_MS,
    LINGER_MS,
};
use crate::redact::Redacted;
use crate::server::http1::Http1Conn;
use crate::server::memory::MemoryPermit;
use crate::server::timeouts::{Timeouts, after};
use crate::server::waiting::Waiting;
use crate::sse::wire::Sent;

pub(crate) use exchange::{BodyProgress, Exchange, ExchangeStage, Progress, head_of};
use h2_io::{H2Io, H2IoHandle};
pub(crate) use responder::StreamResponder;
pub(crate) use stream::{Awake, SendBudget, StreamKey, SubscriberStream};
use stream::{StreamWaker, WakeList};

/// A connection with many streams.
pub(crate) struct Http2Conn {
    /// Its index among the shard's connections.
    pub(crate) number: u32,
    io: H2Io,
    state: Http2State,
    pub(crate) peer: Option<SocketAddr>,
    /// Requests without a complete response, by serial.
    pub(crate) exchanges: HashMap<u32, Exchange>,
    /// The slots of its subscribers.
    slots: Vec<u32>,
    pub(crate) send_budget: Rc<SendBudget>,
    wakes: Arc<WakeList>,
    /// Whether a request got its response or became a stream.
    served: bool,
    /// Since when it has neither exchanges nor subscribers.
    idle_since_ms: u64,
    /// Since when it is closing (GOAWAY).
    leaving_since_ms: Option<u64>,
    /// When the timer wheel fires for it.
    pub(crate) armed_ms: u64,
    /// Counts its memory.
    memory: MemoryPermit,
    /// Whether a body has arrived: then its buffers are larger.
    has_read_body: bool,
}

enum Http2State {
    Opening(Handshake<H2IoHandle, Bytes>),
    Open(Connection<H2IoHandle, Bytes>),
    Closed,
}

/// The result of a poll.
pub(crate) enum Polled {
    /// A request: its head, the reader of its body, and the sender of its response.
    Request(Box<(Request<RecvStream>, SendResponse<Bytes>)>),
    /// Nothing more for now.
    Pending,
    /// The connection is over. Remaining bytes are in the transport, or the peer is gone.
    Closed,
}

/// What to do about a deadline that has passed.
pub(crate) enum Http2Overdue {
    Nothing,
    /// Close the connection, even with bytes left to send.
    Close,
    /// Send GOAWAY.
    Leave,
    /// One exchange took too long.
    Exchange(u32),
}

impl Http2Conn {
    /// Takes over a connection that turned out to speak HTTP/2.
    pub(crate) fn new(number: u32, conn: Http1Conn, memory: MemoryPermit, now_ms: u64) -> Self {
        let (peer, has_ended) = (conn.peer, conn.has_ended);
        let (transport, received) = conn.into_received();
        let io = H2Io::new(transport, received, has_ended, FloodGuard::new(now_ms), now_ms);
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(HTTP2_STREAMS_MAX)
            .initial_window_size(HTTP2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .max_send_buffer_size(HTTP2_STREAM_QUEUE_BYTES_MAX)
            .max_concurrent_reset_streams(HTTP2_RESET_STREAMS_MAX)
            .max_pending_accept_reset_streams(HTTP2_RESET_STREAMS_MAX)
            .max_local_error_reset_streams(Some(HTTP2_ERRORS_MAX));
        Self {
            number,
            state: Http2State::Opening(builder.handshake(io.handle())),
            io,
            peer,
            exchanges: HashMap::new(),
            slots: Vec::new(),
            send_budget: Rc::default(),
            wakes: Arc::default(),
            served: false,
            idle_since_ms: now_ms,
            leaving_since_ms: None,
            armed_ms: u64::MAX,
            memory,
            has_read_body: false,
        }
    }

    /// Counts its memory, after its streams have changed.
    pub(crate) fn count_memory(&mut self) {
        let streams = self.slots.len() + self.exchanges.len();
        let body_bytes = if self.has_read_body { HTTP2_BODY_BUFFER_BYTES } else { 0 };
        // `h2` keeps a head until its last frame, in a sixth more than its bytes (measured).
        let head_bytes = self.io.head_bytes().min(HEAD_BYTES_MAX) * 5 / 4;
        let own_bytes = HTTP2_CONNECTION_BYTES + body_bytes + head_bytes + self.send_budget.queued_bytes();
        self.memory.resize(own_bytes + streams * HTTP2_STREAM_BYTES);
    }

    /// The memory that would be free if it ended; `None` if it has a subscriber, or a request whose
    /// body has arrived.
    pub(crate) fn bytes_not_needed(&self) -> Option<usize> {
        let is_arriving = |exchange: &Exchange| {
            matches!(exchange.stage, ExchangeStage::Body { .. } | ExchangeStage::Linger { .. })
        };
        let is_needed = !self.slots.is_empty() || !self.exchanges.values().all(is_arriving);
        let bodies = self.exchanges.values().map(Exchange::body_bytes_held);
        (!is_needed).then(|| self.memory.bytes() + bodies.sum::<usize>())
    }

    /// Whether a long body is arriving.
    pub(crate) fn is_bulk(&self) -> bool {
        self.has_read_body && self.exchanges.values().any(|exchange| exchange.body_bytes() > BULK_BODY_BYTES)
    }

    /// Handles an event of the socket; `has_ended` if the client sends nothing more.
    pub(crate) fn event(&mut self, has_ended: bool, now_ms: u64) {
        self.io.event(has_ended, now_ms);
    }

    /// Begins a slice of work. Nothing is read until [`Self::allow`] is called.
    pub(crate) fn begin_slice(&mut self, now_ms: u64) {
        self.io.begin_slice(self.send_budget.take_sent_frames(), now_ms);
    }

    /// Allows reading this many bytes. All requests in them are decoded at once, so allow few bytes
    /// until it is known that they hold no request, and none while requests wait to be taken.
    pub(crate) fn allow(&mut self, bytes: usize) {
        self.io.allow(bytes);
    }

    /// Whether more may be readable than was allowed.
    pub(crate) fn has_more(&self) -> bool {
        self.io.has_more()
    }

    /// Advances as far as possible without waiting. A panic in here is a defect that one client
    /// triggered; it must not end the streams of all others.
    pub(crate) fn poll(&mut self) -> Polled {
        self.send_budget.begin_poll();
        let polled = catch_unwind(AssertUnwindSafe(|| self.advance())).unwrap_or_else(|_| {
            error!(peer = ?self.peer, "an HTTP/2 connection made the hub panic; it was closed");
            // The panic left locks poisoned: touching a stream would panic again, without a catch.
            self.send_budget.break_off();
            std::mem::forget(std::mem::take(&mut self.exchanges));
            Polled::Closed
        });
        if matches!(polled, Polled::Closed) {
            self.state = Http2State::Closed;
        }
        self.send_budget.end_poll(self.io.is_blocked());
        polled
    }

    fn advance(&mut self) -> Polled {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match &mut self.state {
                Http2State::Opening(handshake) => match Pin::new(handshake).poll(&mut context) {
                    Poll::Ready(Ok(connection)) => self.state = Http2State::Open(connection),
                    Poll::Ready(Err(error)) => return self.failed(&error),
                    Poll::Pending if self.io.is_flooded() => return Polled::Closed,
                    Poll::Pending => return Polled::Pending,
                },
                Http2State::Open(connection) => match connection.poll_accept(&mut context) {
                    Poll::Ready(Some(Ok(request))) => return Polled::Request(Box::new(request)),
                    Poll::Ready(Some(Err(error))) => return self.failed(&error),
                    Poll::Ready(None) => return Polled::Closed,
                    Poll::Pending if self.io.is_flooded() && self.leaving_since_ms.is_none() => {
                        debug!(peer = ?self.peer, "a flood of HTTP/2 frames; the connection is closed");
                        connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                        self.leaving_since_ms = Some(self.io.now_ms());
                    }
                    Poll::Pending => return Polled::Pending,
                },
                Http2State::Closed => return Polled::Closed,
            }
        }
    }

    fn failed(&self, error: &h2::Error) -> Polled {
        // A client's GOAWAY can hold any text.
        debug!(peer = ?self.peer, error = %Redacted::of(error), "an HTTP/2 connection failed");
        Polled::Closed
    }

    /// Accepts no further request: sends GOAWAY; the connection ends with its last stream.
    pub(crate) fn leave(&mut self, now_ms: u64) {
        if self.leaving_since_ms.is_some() {
            return;
        }
        match &mut self.state {
            Http2State::Opening(_) => self.state = Http2State::Closed,
            Http2State::Open(connection) => connection.graceful_shutdown(),
            Http2State::Closed => {}
        }
        self.leaving_since_ms = Some(now_ms);
    }

    /// Sends GOAWAY, if the socket takes it, and returns the transport.
    pub(crate) fn part(mut self) -> Option<Transport> {
        if let Http2State::Open(connection) = &mut self.state {
            connection.abrupt_shutdown(Reason::NO_ERROR);
            let _ = self.poll();
        }
        // Streams share the connection's state, but not its `io`.
        drop(self.state);
        self.io.into_transport()
    }

    /// The waker of an exchange.
    pub(crate) fn exchange_waker(&self, serial: u32) -> Waker {
        StreamWaker::waker(&self.wakes, StreamKey::Exchange(serial))
    }

    /// Turns a response that has begun into a subscriber's stream.
    pub(crate) fn subscribe(&mut self, slot: u32, stream: h2::SendStream<Bytes>) -> SubscriberStream {
        self.slots.push(slot);
        self.served = true;
        let waker = StreamWaker::waker(&self.wakes, StreamKey::Subscriber(slot));
        SubscriberStream::new(stream, Rc::clone(&self.send_budget), waker)
    }

    /// Removes a subscriber.
    pub(crate) fn unsubscribe(&mut self, slot: u32, now_ms: u64) {
        if let Some(at) = self.slots.iter().position(|other| *other == slot) {
            self.slots.swap_remove(at);
            self.rest(now_ms);
        }
    }

    /// Notes that an exchange is over.
    pub(crate) fn finished(&mut self, now_ms: u64) {
        self.served = true;
        self.rest(now_ms);
    }

    fn rest(&mut self, now_ms: u64) {
        if self.is_unused() {
            self.idle_since_ms = now_ms;
        }
    }

    /// The slots of its subscribers.
    pub(crate) fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Takes the woken streams; a stream may appear more than once.
    pub(crate) fn take_wakes(&mut self) -> Vec<StreamKey> {
        self.wakes.take()
    }

    /// Takes the request with this serial, if it waits for another thread: its responder, and
    /// whether it is a `HEAD`.
    pub(crate) fn take_waiting(&mut self, serial: u32) -> Option<(StreamResponder, Waiting, bool)> {
        if !matches!(self.exchanges.get(&serial)?.stage, ExchangeStage::Waits { .. }) {
            return None;
        }
        match self.exchanges.remove(&serial)?.stage {
            ExchangeStage::Waits { responder, waiting, head_only } => Some((responder, waiting, head_only)),
            _ => None,
        }
    }

    /// Takes the request with this serial, if its body is arriving: its responder, and the body so
    /// far.
    pub(crate) fn take_body(
        &mut self,
        serial: u32,
    ) -> Option<(StreamResponder, AwaitedBody, RecvStream, Vec<u8>)> {
        if !matches!(self.exchanges.get(&serial)?.stage, ExchangeStage::Body { .. }) {
            return None;
        }
        match self.exchanges.remove(&serial)?.stage {
            ExchangeStage::Body { responder, awaited, body, content, .. } => {
                Some((responder, awaited, body, content))
            }
            _ => None,
        }
    }

    /// Keeps a permit until the response with this serial is sent.
    pub(crate) fn hold(&mut self, serial: u32, permit: Option<MemoryPermit>) {
        if let Some(Exchange { stage: ExchangeStage::Send { memory_permit, .. }, .. }) =
            self.exchanges.get_mut(&serial)
        {
            *memory_permit = permit;
        }
    }

    /// Notes that a body arrives.
    pub(crate) fn reads_body(&mut self) {
        self.has_read_body = true;
    }

    /// Whether request bodies are arriving.
    pub(crate) fn awaits_bodies(&self) -> bool {
        self.exchanges.values().any(|exchange| matches!(exchange.stage, ExchangeStage::Body { .. }))
    }

    /// Whether the incomplete bodies together have reached their bound; `body_bytes_max` is the
    /// bound of one body, in bytes.
    pub(crate) fn is_crowded(&self, body_bytes_max: u64) -> bool {
        let bytes: u64 = self.exchanges.values().map(|exchange| exchange.body_bytes() as u64).sum();
        bytes >= body_bytes_max.saturating_mul(HTTP2_BODIES_MAX)
    }

    /// Whether the bytes that the next polls write are collected until [`Self::prepare`], to be
    /// sent together with those of other connections. Returns whether they were collected already.
    pub(crate) fn collect(&mut self, collects: bool) -> bool {
        self.io.collect(collects)
    }

    /// Ends the collecting, and prepares what was collected, see [`Transport::prepare`]; `None` if
    /// that is nothing.
    pub(crate) fn prepare(&mut self, sealed: &mut Vec<u8>) -> Option<Prepared> {
        self.io.prepare(sealed)
    }

    /// Handles the result of the send of collected bytes; returns whether the connection goes on.
    pub(crate) fn sent(&mut self, prepared: Prepared, sealed: &[u8], sent: Sent) -> bool {
        let sent = match prepared {
            Prepared::Sealed(part) => self.io.sent_sealed(&sealed[part], sent),
            Prepared::Sent(sent) => self.io.sent(sent),
        };
        self.send_budget.end_poll(self.io.is_blocked());
        sent.is_ok()
    }

    /// Its transport.
    pub(crate) fn transport(&self) -> Ref<'_, Transport> {
        self.io.transport()
    }

    /// Whether `h2` has ended the connection.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, Http2State::Closed)
    }

    /// Whether the socket has not taken all the bytes queued for it.
    pub(crate) fn is_blocked(&self) -> bool {
        self.io.is_blocked()
    }

    fn is_unused(&self) -> bool {
        self.exchanges.is_empty() && self.slots.is_empty()
    }

    /// Whether no request or response is in progress, so the connection can be closed unnoticed.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_unused() && !self.is_blocked()
    }

    /// The next moment when a timeout may pass; `u64::MAX` for none.
    pub(crate) fn deadline_ms(&self, timeouts: &Timeouts) -> u64 {
        let exchanges = self.exchanges.values().map(|exchange| exchange.deadline_ms(timeouts));
        exchanges.min().unwrap_or(u64::MAX).min(self.own_deadline_ms(timeouts))
    }

    fn own_deadline_ms(&self, timeouts: &Timeouts) -> u64 {
        let blocked_ms =
            if self.is_blocked() { after(self.io.wrote_ms(), timeouts.write_ms) } else { u64::MAX };
        if !self.is_unused() {
            return blocked_ms;
        }
        let idle_ms = match self.leaving_since_ms {
            Some(since_ms) => after(since_ms.max(self.idle_since_ms), LINGER_MS),
            None if self.served => after(self.idle_since_ms, KEEP_ALIVE_IDLE_MS),
            None => after(self.idle_since_ms, timeouts.header_ms),
        };
        idle_ms.min(blocked_ms)
    }

    /// What to do about a deadline that may have passed.
    pub(crate) fn overdue(&self, timeouts: &Timeouts, now_ms: u64) -> Http2Overdue {
        if self.own_deadline_ms(timeouts) <= now_ms {
            let is_over = self.is_blocked() || self.leaving_since_ms.is_some();
            return if is_over { Http2Overdue::Close } else { Http2Overdue::Leave };
        }
        let mut exchanges = self.exchanges.iter();
        match exchanges.find(|(_, exchange)| exchange.deadline_ms(timeouts) <= now_ms) {
            Some((serial, _)) => Http2Overdue::Exchange(*serial),
            None => Http2Overdue::Nothing,
        }
    }

    /// Whether the connection uses TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.io.transport().is_tls()
    }

    /// Calls `use_it` with the socket.
    pub(crate) fn with_socket<T>(&self, use_it: impl FnOnce(&Socket) -> T) -> T {
        use_it(self.io.transport().socket())
    }
}
