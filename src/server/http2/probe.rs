//! An HTTP/2 connection without a shard: bytes in, bytes out. It is for the fuzz target of the
//! frames (`fuzz/`), and drives [`Http2Conn`] as the shard does.
//!
//! Each request gets a response by its path: a stream of events, a long body, or nothing but a
//! head. The socket is one of a pair in this process, since a [`Transport`] reads and writes one.

use std::io;
use std::os::fd::OwnedFd;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use hashbrown::HashMap;
use http::Response;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

use super::{Awake, Exchange, ExchangeStage, Http2Conn, Polled, Progress, StreamKey, SubscriberStream};
use crate::http::h2::request::read_request;
use crate::io::transport::Transport;
use crate::limits::{HTTP2_READ_BYTES_MAX, HTTP2_READ_BYTES_MIN};
use crate::ops::access_log::Caller;
use crate::ops::metrics::MemoryKind;
use crate::server::http1::Http1Conn;
use crate::server::http2::StreamResponder;
use crate::server::memory::{MemoryAccount, ShardMemory};
use crate::sse::wire::Sent;

/// The body of a long response: several frames.
pub const LONG_BODY: &[u8] = &[b'x'; 40_000];
/// What a stream of events sends, each time that it can.
pub const EVENT: &[u8] = &[b'e'; 500];
/// Events of one stream.
pub const EVENTS_MAX: usize = 8;
/// Bytes given to the connection at once; its socket takes as many.
const PIECE_BYTES_MAX: usize = 16 << 10;

/// The connection, and the other end of its socket.
pub struct Http2Probe {
    conn: Http2Conn,
    client: OwnedFd,
    streams: HashMap<u32, Events>,
    serial: u32,
    now_ms: u64,
    outcome: ProbeOutcome,
}

/// A stream of events, and how many it has sent.
struct Events {
    stream: SubscriberStream,
    sent: usize,
}

/// What has happened so far.
#[derive(Debug, Default)]
pub struct ProbeOutcome {
    /// Everything that the hub sent.
    pub sent: Vec<u8>,
    /// Requests that were read.
    pub requests: usize,
    /// Requests that were refused.
    pub refused: usize,
    /// Calls of [`Http2Conn::poll`].
    pub polls: usize,
    /// Open exchanges and streams at most.
    pub open_max: usize,
    /// The connection is over.
    pub is_closed: bool,
}

impl Http2Probe {
    /// A connection that has received nothing.
    ///
    /// # Errors
    /// The system has no more sockets.
    pub fn new() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, client) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let now_ms = 1_000;
        let memory = ShardMemory::new(MemoryAccount::new(u64::MAX)).hold(MemoryKind::Http2, 0);
        let conn =
            Http2Conn::new(0, Http1Conn::new(Transport::new(ours, None), None, now_ms), memory, now_ms);
        Ok(Self {
            conn,
            client,
            streams: HashMap::new(),
            serial: 0,
            now_ms,
            outcome: ProbeOutcome::default(),
        })
    }

    /// What has happened so far.
    pub fn outcome(&self) -> &ProbeOutcome {
        &self.outcome
    }

    /// Gives bytes to the connection, and handles them until it waits for more.
    ///
    /// # Panics
    /// The connection panicked, or does not come to rest.
    pub fn receive(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE_BYTES_MAX) {
            if self.outcome.is_closed {
                return;
            }
            let sent = send(&self.client, piece, SendFlags::NOSIGNAL);
            assert_eq!(sent.ok(), Some(piece.len()), "the socket is empty and takes a piece");
            self.now_ms += 1;
            self.conn.event(false, self.now_ms);
            self.serve();
        }
    }

    fn serve(&mut self) {
        self.conn.begin_slice(self.now_ms);
        let mut slice = HTTP2_READ_BYTES_MIN;
        // Each poll takes a byte, a request or what a stream has queued.
        for _ in 0..4 * PIECE_BYTES_MAX {
            self.outcome.polls += 1;
            let polled = self.conn.poll();
            assert!(!self.conn.send_budget.is_broken(), "a panic in h2 was caught");
            match polled {
                Polled::Request(request) => {
                    self.begin(*request);
                    slice = HTTP2_READ_BYTES_MIN;
                    continue;
                }
                Polled::Pending => {}
                Polled::Closed => {
                    self.drain();
                    self.outcome.is_closed = true;
                    return;
                }
            }
            if self.drain() && self.conn.is_blocked() {
                self.conn.event(false, self.now_ms);
                continue;
            }
            for key in self.conn.take_wakes() {
                self.on_wake(key);
            }
            for slot in self.conn.send_budget.take_waiting() {
                self.send_events(slot);
            }
            let open = self.conn.exchanges.len() + self.streams.len();
            self.outcome.open_max = self.outcome.open_max.max(open);
            if !self.conn.send_budget.is_dirty() {
                if !self.conn.has_more() {
                    return;
                }
                self.conn.allow(slice);
                slice = HTTP2_READ_BYTES_MAX;
            }
        }
        panic!("the connection does not come to rest");
    }

    /// Responds to a request.
    fn begin(&mut self, (request, respond): (http::Request<RecvStream>, SendResponse<Bytes>)) {
        self.serial += 1;
        let (parts, body) = request.into_parts();
        let read = read_request(&parts).map(|request| request.path);
        let (requests, refused) = (usize::from(read.is_ok()), usize::from(read.is_err()));
        self.outcome.requests += requests;
        self.outcome.refused += refused;
        let (is_stream, has_body) = match read {
            Ok("/.well-known/mercure") => (parts.method == http::Method::GET, false),
            Ok(_) => (false, parts.method == http::Method::GET),
            Err(_) => (false, false),
        };
        let mut responder = StreamResponder::new(respond, Caller::peer(None));
        self.conn.send_budget.mark_dirty();
        self.conn.send_budget.count_response();
        let sender = responder.send_head(Response::new(()), !is_stream && !has_body);
        match sender {
            Some(stream) if is_stream => {
                let slot = self.serial;
                let mut stream = self.conn.subscribe(slot, stream);
                if stream.look() == Awake::Gone {
                    return self.conn.unsubscribe(slot, self.now_ms);
                }
                self.streams.insert(slot, Events { stream, sent: 0 });
                self.send_events(slot);
            }
            Some(stream) if has_body => {
                let rest = Bytes::from_static(LONG_BODY);
                let stage = ExchangeStage::Send { stream, rest, memory_permit: None };
                let waker = self.conn.exchange_waker(self.serial);
                self.keep(Exchange::new(stage, waker, self.now_ms));
            }
            _ if !body.is_end_stream() => {
                let waker = self.conn.exchange_waker(self.serial);
                self.keep(Exchange::linger(body, waker, self.now_ms));
            }
            _ => self.conn.finished(self.now_ms),
        }
    }

    fn keep(&mut self, exchange: Exchange) {
        self.conn.exchanges.insert(self.serial, exchange);
        self.on_wake(StreamKey::Exchange(self.serial));
    }

    fn on_wake(&mut self, key: StreamKey) {
        self.conn.send_budget.mark_dirty();
        match key {
            StreamKey::Exchange(serial) => {
                let Some(exchange) = self.conn.exchanges.get_mut(&serial) else { return };
                let progress = match exchange.stage {
                    ExchangeStage::Send { .. } => exchange.send(self.now_ms),
                    _ => exchange.discard(),
                };
                if progress == Progress::Done {
                    self.conn.exchanges.remove(&serial);
                    self.conn.finished(self.now_ms);
                }
            }
            StreamKey::Subscriber(slot) => {
                let awake = self.streams.get_mut(&slot).map(|events| events.stream.look());
                match awake {
                    Some(Awake::Gone) => self.end_stream(slot),
                    Some(Awake::Writable) => self.send_events(slot),
                    Some(Awake::Unchanged) | None => {}
                }
            }
        }
    }

    /// Sends what is left of a stream, as far as it takes that.
    fn send_events(&mut self, slot: u32) {
        let Some(events) = self.streams.get_mut(&slot) else { return };
        while events.sent < EVENTS_MAX * EVENT.len() {
            let rest = &EVENT[events.sent % EVENT.len()..];
            match events.stream.send(slot, rest) {
                Sent::Bytes(taken) | Sent::Held(taken) => {
                    events.sent += taken;
                    self.conn.send_budget.mark_dirty();
                    if taken < rest.len() {
                        return;
                    }
                }
                Sent::Full => return,
                Sent::Gone => break,
            }
        }
        self.end_stream(slot);
    }

    fn end_stream(&mut self, slot: u32) {
        if let Some(events) = self.streams.remove(&slot) {
            events.stream.end(events.sent == EVENTS_MAX * EVENT.len());
            self.conn.send_budget.mark_dirty();
            self.conn.unsubscribe(slot, self.now_ms);
        }
    }

    /// Reads what the hub has sent; whether there was anything.
    fn drain(&mut self) -> bool {
        let before = self.outcome.sent.len();
        let mut buffer = [0; 16 << 10];
        while let Ok((count @ 1.., _)) = recv(&self.client, &mut buffer, RecvFlags::empty()) {
            self.outcome.sent.extend_from_slice(&buffer[..count]);
        }
        self.outcome.sent.len() > before
    }
}
