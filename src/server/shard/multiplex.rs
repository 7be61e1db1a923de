//! HTTP/2 connections of a shard: their slices of work, and the events of their streams.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tracing::debug;

use super::{ConnState, Connected, ShardLoop, Stop, StreamTransport};
use crate::hub::shard::Closed;
use crate::io::transport::Transport;
use crate::limits::{
    HTTP2_READ_BYTES_MAX, HTTP2_READ_BYTES_MIN, SERVE_BYTES_MAX, SERVE_SLICE_US, SERVE_STEPS_MAX,
};
use crate::server::http1::Http1Conn;
use crate::server::http2::{Awake, Http2Conn, Http2Overdue, Polled, StreamKey, SubscriberStream};

/// What to do with a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Http2ConnAction {
    Waits,
    /// There is work left, but others go first.
    Yields,
    /// It is over: the last bytes are on their way, and get time to arrive.
    Ends,
    /// Close it, even with bytes left to send.
    Closes,
}

impl ShardLoop {
    /// Turns a connection into an HTTP/2 connection.
    pub(super) fn multiplex(&mut self, number: u32, http1: Http1Conn) -> ConnState {
        let mut conn = Http2Conn::new(number, http1, self.now.ms);
        if self.stop != Stop::No {
            conn.leave(self.now.ms);
        }
        self.deps.recorder.http2_opened();
        ConnState::Http2(Box::new(conn))
    }

    /// Lets an HTTP/2 connection do one slice of work.
    pub(super) fn drive_http2(&mut self, number: u32) {
        self.with_http2(number, |this, conn| this.serve_http2(number, conn, SERVE_BYTES_MAX));
    }

    /// Polls the connections whose streams were written to; returns whether there were any.
    pub(super) fn poll_written(&mut self) -> bool {
        let needs_poll = std::mem::take(&mut self.sockets.needs_poll);
        for number in &needs_poll {
            // It may have been polled since, in its own slice.
            self.spend_budget(|this| {
                this.with_http2(*number, |this, conn| match conn.send_budget.is_dirty() {
                    // Here it only writes; reading waits for its own slice.
                    true => this.serve_http2(*number, conn, 0),
                    false => Http2ConnAction::Waits,
                });
            });
        }
        !needs_poll.is_empty()
    }

    /// Handles a deadline of a connection.
    pub(super) fn on_http2_deadline(&mut self, number: u32) {
        self.with_http2(number, |this, conn| {
            if conn.armed_ms > this.now.ms {
                return Http2ConnAction::Waits;
            }
            conn.armed_ms = u64::MAX;
            loop {
                match conn.overdue(&this.deps.timeouts, this.now.ms) {
                    Http2Overdue::Nothing => break,
                    Http2Overdue::Close => return Http2ConnAction::Closes,
                    Http2Overdue::Leave => {
                        conn.leave(this.now.ms);
                        break;
                    }
                    // All streams of a connection may be overdue at once.
                    Http2Overdue::Exchange(serial) => this.exchange_overdue(conn, serial),
                }
            }
            this.serve_http2(number, conn, SERVE_BYTES_MAX)
        });
    }

    /// The hub stops: HTTP/2 connections accept no further request.
    pub(super) fn dismiss_http2(&mut self) {
        let is_http2 = |connected: &Connected| matches!(connected.state, ConnState::Http2(_));
        let numbers: Vec<u32> = self
            .connections
            .iter()
            .filter_map(|(number, connected)| is_http2(connected).then_some(number as u32))
            .collect();
        for number in numbers {
            self.with_http2(number, |this, conn| {
                conn.leave(this.now.ms);
                this.serve_http2(number, conn, SERVE_BYTES_MAX)
            });
        }
    }

    /// Works on the exchanges of an HTTP/2 connection, which is polled later in this round.
    pub(super) fn with_exchanges(&mut self, number: u32, work: impl FnOnce(&mut Self, &mut Http2Conn)) {
        self.with_http2(number, |this, conn| {
            work(this, conn);
            this.mark_for_poll(conn);
            Http2ConnAction::Waits
        });
    }

    /// Works on an HTTP/2 connection, and applies the resulting action.
    fn with_http2(&mut self, number: u32, work: impl FnOnce(&mut Self, &mut Http2Conn) -> Http2ConnAction) {
        let Some(connected) = self.connections.get_mut(number as usize) else { return };
        let serial = connected.serial;
        let mut conn = match std::mem::replace(&mut connected.state, ConnState::Taken) {
            ConnState::Http2(conn) => conn,
            other => {
                connected.state = other;
                return;
            }
        };
        let mut action = work(self, &mut conn);
        if conn.is_blocked() && !conn.with_fd(|socket| self.await_writable(number, socket)) {
            action = Http2ConnAction::Closes;
        }
        let state = match action {
            Http2ConnAction::Closes | Http2ConnAction::Ends => {
                self.deps.recorder.http2_closed();
                for slot in conn.slots() {
                    self.deps.shard.leave(*slot);
                }
                let peer = conn.peer;
                let is_over = action == Http2ConnAction::Ends;
                match conn.part().filter(|_| is_over) {
                    Some(transport) => self.linger(number, serial, transport, peer),
                    None => {
                        self.connections.remove(number as usize);
                        return;
                    }
                }
            }
            Http2ConnAction::Waits | Http2ConnAction::Yields => {
                if action == Http2ConnAction::Yields {
                    self.enqueue(number);
                }
                let deadline_ms = conn.deadline_ms(&self.deps.timeouts);
                conn.armed_ms = self.wheel.arm(deadline_ms, conn.armed_ms, (number, serial));
                ConnState::Http2(conn)
            }
        };
        self.connections[number as usize].state = state;
    }

    /// If the socket were closed now with unread bytes, the kernel would reset the connection and
    /// the last frames could be lost.
    fn linger(
        &mut self,
        number: u32,
        serial: u32,
        transport: Transport,
        peer: Option<std::net::SocketAddr>,
    ) -> ConnState {
        let mut conn = Http1Conn::new(transport, peer, self.now.ms);
        conn.end(self.now.ms);
        conn.armed_ms = self.wheel.arm(conn.deadline_ms(&self.deps.timeouts), u64::MAX, (number, serial));
        self.enqueue(number);
        ConnState::Http1(Box::new(conn))
    }

    /// Ends the stream of a subscriber that is gone: after its queued bytes, or by a reset if it
    /// did not get everything.
    pub(super) fn end_shared(&mut self, slot: u32, number: u32, stream: SubscriberStream, reason: Closed) {
        let is_whole = matches!(reason, Closed::Expired | Closed::Drained | Closed::HistoryGap);
        let send_budget = Rc::clone(&stream.send_budget);
        stream.end(is_whole);
        let now_ms = self.now.ms;
        // The number may have been reused by another connection.
        if let Some(Connected { state: ConnState::Http2(conn), .. }) =
            self.connections.get_mut(number as usize)
            && Rc::ptr_eq(&conn.send_budget, &send_budget)
        {
            conn.unsubscribe(slot, now_ms);
            self.sockets.mark_for_poll(&send_budget, number);
        }
    }

    /// Works on the available bytes, reading at most `bytes_max` of them, so that a client that
    /// never stops sending cannot hold the shard. The slice is also bounded in time: heads are
    /// compressed, so the client chooses what a byte costs.
    fn serve_http2(&mut self, number: u32, conn: &mut Http2Conn, bytes_max: usize) -> Http2ConnAction {
        let until = Instant::now() + Duration::from_micros(SERVE_SLICE_US);
        conn.begin_slice(self.now.ms);
        let mut bytes_left = bytes_max;
        let mut slice = HTTP2_READ_BYTES_MIN;
        for _ in 0..SERVE_STEPS_MAX {
            match conn.poll() {
                Polled::Request(request) => {
                    slice = HTTP2_READ_BYTES_MIN;
                    self.begin_exchange(number, conn, *request);
                    if Instant::now() >= until {
                        return Http2ConnAction::Yields;
                    }
                    continue;
                }
                Polled::Pending => {}
                Polled::Closed => return Http2ConnAction::Ends,
            }
            for key in conn.take_wakes() {
                match key {
                    StreamKey::Subscriber(slot) => self.subscriber_woken(number, slot),
                    StreamKey::Exchange(serial) => self.exchange_woken(number, conn, serial),
                }
            }
            for slot in conn.send_budget.take_waiting() {
                self.deps.shard.writable(slot);
            }
            if !conn.send_budget.is_dirty() {
                if self.stop != Stop::No && conn.is_idle() {
                    return Http2ConnAction::Ends;
                }
                if !conn.has_more() {
                    return Http2ConnAction::Waits;
                }
                if bytes_left == 0 || Instant::now() >= until {
                    return Http2ConnAction::Yields;
                }
                let allowed = slice.min(bytes_left);
                conn.allow(allowed);
                bytes_left -= allowed;
                slice = HTTP2_READ_BYTES_MAX;
            }
        }
        Http2ConnAction::Yields
    }

    /// A stream was changed: poll the connection in this round.
    pub(super) fn mark_for_poll(&mut self, conn: &Http2Conn) {
        self.sockets.mark_for_poll(&conn.send_budget, conn.number);
    }

    /// Handles a wake-up of a subscriber's stream. The slot may have been reused; ignore a stale
    /// wake-up.
    fn subscriber_woken(&mut self, number: u32, slot: u32) {
        let Some(Some(socket)) = self.sockets.by_slot.get_mut(slot as usize) else { return };
        let StreamTransport::Shared(stream) = &mut socket.transport else { return };
        if socket.connection != number {
            return;
        }
        match stream.look() {
            Awake::Writable => self.deps.shard.writable(slot),
            Awake::Unchanged => {}
            Awake::Gone => {
                debug!(slot, "a stream was reset by its client");
                self.deps.shard.leave(slot);
            }
        }
    }
}
