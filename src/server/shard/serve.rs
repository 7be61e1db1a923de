//! HTTP/1 requests: from bytes to a decision, and from a result to a response.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tracing::debug;

use super::common::Located;
use super::subscriptions::MemoryPermit;
use super::{ConnState, Connected, ShardLoop, Socket, Stop, StreamTransport, key_of};
use crate::api::handler::{Decision, GateResponse, GrantedSubscription, Publisher, ResponseContext};
use crate::api::refusal::{Refusal, Unavailable};
use crate::history::{HistoryError, ResumePoint};
use crate::http::h1::machine::{CONTINUE, Http1Event};
use crate::http::h2::request::Prior;
use crate::http::headers::date::HttpDate;
use crate::http::redact;
use crate::http::request::Version;
use crate::http::request_error::RequestError;
use crate::http::response::{Http1, Response};
use crate::hub::sequencer::ReplyTo;
use crate::io::listener::leave_to_dispatch_timeout;
use crate::limits::{SERVE_BYTES_MAX, SERVE_SLICE_US, SERVE_SLICES_MAX, SERVE_STEPS_MAX};
use crate::ops::access_log::Caller;
use crate::server::http1::{FlushOutcome, Http1Conn, Http1Overdue, Received, Waiting};
use crate::server::permits::SubscriptionPermit;

/// What to do with a connection now.
enum ConnAction {
    /// Wait for the client, the ring or the history.
    Waits,
    /// There is work left, but others go first.
    Yields,
    /// It becomes a stream: the subscriber of this slot, with its permit.
    Streams(u32, Option<Box<SubscriptionPermit>>),
    /// It speaks HTTP/2.
    SpeaksHttp2,
    Closes,
}

/// One step of a request.
enum Step {
    NeedMore,
    Decided(Decision),
    Body(Vec<u8>),
    Refused(RequestError),
    Panicked,
}

impl ShardLoop {
    /// Lets a connection do one slice of work; queues it when this round's budget is spent.
    pub(super) fn drive(&mut self, number: u32) {
        match self.budget_left {
            0 => self.enqueue(number),
            _ => self.spend_budget(|this| this.go_on(number)),
        }
    }

    fn go_on(&mut self, number: u32) {
        match self.connections.get(number as usize).map(|connected| &connected.state) {
            Some(ConnState::Http2(_)) => self.drive_http2(number),
            _ => self.with(number, |this, conn| this.serve(number, conn)),
        }
    }

    /// Does work and charges its duration to this round's budget, in slices, at least one.
    pub(super) fn spend_budget(&mut self, work: impl FnOnce(&mut Self)) {
        let began = Instant::now();
        work(self);
        let slices = 1 + began.elapsed().as_micros() as usize / SERVE_SLICE_US as usize;
        self.budget_left = self.budget_left.saturating_sub(slices);
    }

    /// Queues a connection for a slice of work.
    pub(super) fn enqueue(&mut self, number: u32) {
        let connected = &mut self.connections[number as usize];
        if !std::mem::replace(&mut connected.is_queued, true) {
            self.ready_queue.push_back((number, connected.serial));
        }
    }

    /// A serial number for a connection, or for a request that waits for another thread.
    pub(super) fn serial(&mut self) -> u32 {
        self.next_serial = self.next_serial.wrapping_add(1);
        self.next_serial
    }

    /// Serves the queued connections at the beginning of a round; returns whether there were any.
    pub(super) fn drive_queued(&mut self) -> bool {
        let count = self.ready_queue.len();
        self.budget_left = SERVE_SLICES_MAX;
        for _ in 0..count {
            if self.budget_left == 0 {
                break;
            }
            let Some((number, serial)) = self.ready_queue.pop_front() else { break };
            if let Some(connected) = self.connections.get_mut(number as usize)
                && connected.serial == serial
            {
                connected.is_queued = false;
                self.spend_budget(|this| this.go_on(number));
            }
        }
        count > 0
    }

    /// A deadline of a connection fired.
    pub(super) fn on_deadline(&mut self, number: u32, serial: u32) {
        let now_ms = self.now.ms;
        let Some(connected) = self.connections.get_mut(number as usize).filter(|it| it.serial == serial)
        else {
            return;
        };
        let conn = match &mut connected.state {
            ConnState::Http1(conn) => conn,
            ConnState::Http2(_) => return self.on_http2_deadline(number),
            ConnState::Streaming(_) | ConnState::Taken => return,
        };
        if conn.armed_ms > now_ms {
            return;
        }
        conn.armed_ms = u64::MAX;
        match conn.overdue(&self.deps.timeouts, now_ms) {
            Http1Overdue::Nothing => self.drive(number),
            Http1Overdue::Close => self.with(number, |_, _| ConnAction::Closes),
            Http1Overdue::Timeout => self.with(number, |this, conn| {
                let answer = this.deps.gate.timed_out(this.context(conn));
                this.give(conn, &answer);
                this.serve(number, conn)
            }),
        }
    }

    /// Handles the result of a publication of this shard, which came round the ring.
    pub(super) fn committed(&mut self, reply_to: ReplyTo, is_stored: bool) {
        let (number, serial) = match reply_to {
            ReplyTo::Request { connection, serial, .. } => (connection, serial),
            ReplyTo::Event { .. } => return self.event_settled(is_stored),
            ReplyTo::Embedded { .. } => return,
        };
        self.commits_under_way -= 1;
        self.deps.recorder.settled(is_stored);
        if self.is_http2(number) {
            return self.with_exchanges(number, |this, conn| {
                this.exchange_committed(conn, serial, is_stored);
            });
        }
        self.with(number, |this, conn| {
            let waiting = std::mem::replace(&mut conn.waiting, Waiting::Client);
            let Waiting::Commit { frame, context, .. } = waiting.expecting(serial, conn) else {
                return ConnAction::Waits;
            };
            let answer = match is_stored {
                true => this.deps.gate.published(&frame, context),
                false => this.deps.gate.unavailable(
                    Unavailable::History,
                    "the history refused the update",
                    context,
                ),
            };
            this.give(conn, &answer);
            this.serve(number, conn)
        });
    }

    /// Handles the history's reply: where a subscription begins.
    pub(super) fn resolved(&mut self, number: u32, serial: u32, found: Result<ResumePoint, HistoryError>) {
        if self.is_http2(number) {
            return self.with_exchanges(number, |this, conn| {
                this.exchange_resolved(number, conn, serial, found);
            });
        }
        self.with(number, |this, conn| {
            let waiting = std::mem::replace(&mut conn.waiting, Waiting::Client);
            let Waiting::Resolve { subscription, .. } = waiting.expecting(serial, conn) else {
                return ConnAction::Waits;
            };
            match found {
                Ok(resume_point) => this
                    .begin_stream(conn, *subscription, Some(resume_point))
                    .unwrap_or_else(|| this.serve(number, conn)),
                Err(error) => {
                    this.log_history_error(&error);
                    let answer = this.deps.gate.unavailable(
                        Unavailable::History,
                        "the history cannot be read",
                        subscription.context,
                    );
                    this.give(conn, &answer);
                    this.serve(number, conn)
                }
            }
        });
    }

    /// Sends the list of active subscriptions that the shards have gathered.
    pub(super) fn listed(
        &mut self,
        number: u32,
        serial: u32,
        answer: &GateResponse,
        memory_permit: Option<MemoryPermit>,
    ) {
        if self.is_http2(number) {
            return self.with_exchanges(number, |this, conn| {
                this.exchange_listed(conn, serial, answer, memory_permit);
            });
        }
        self.with(number, |this, conn| {
            let waiting = std::mem::replace(&mut conn.waiting, Waiting::Client);
            let Waiting::List { .. } = waiting.expecting(serial, conn) else {
                return ConnAction::Waits;
            };
            conn.memory_permit = memory_permit;
            this.give(conn, answer);
            this.serve(number, conn)
        });
    }

    fn is_http2(&self, number: u32) -> bool {
        matches!(self.connections.get(number as usize), Some(Connected { state: ConnState::Http2(_), .. }))
    }

    /// Works on an HTTP/1 connection, and applies the resulting action.
    fn with(&mut self, number: u32, work: impl FnOnce(&mut Self, &mut Http1Conn) -> ConnAction) {
        let Some(connected) = self.connections.get_mut(number as usize) else { return };
        let serial = connected.serial;
        let mut conn = match std::mem::replace(&mut connected.state, ConnState::Taken) {
            ConnState::Http1(conn) => conn,
            other => {
                connected.state = other;
                return;
            }
        };
        let state = match work(self, &mut conn) {
            ConnAction::Closes => {
                conn.transport.part();
                self.connections.remove(number as usize);
                return;
            }
            ConnAction::Streams(slot, permit) => {
                let is_tls = conn.transport.is_tls();
                let (transport, access) = (StreamTransport::Own(conn.transport), conn.caller.access);
                self.sockets.attach(slot, Socket { transport, connection: number, access, _permit: permit });
                if is_tls {
                    // No event will report bytes that came with the request.
                    self.read_stream_input(slot);
                }
                ConnState::Streaming(slot)
            }
            ConnAction::SpeaksHttp2 => {
                let state = self.multiplex(number, *conn);
                self.connections[number as usize].state = state;
                return self.drive_http2(number);
            }
            action @ (ConnAction::Waits | ConnAction::Yields) => {
                if conn.is_blocked() && !self.await_writable(number, conn.transport.as_fd()) {
                    self.connections.remove(number as usize);
                    return;
                }
                if matches!(action, ConnAction::Yields) {
                    self.enqueue(number);
                }
                let deadline_ms = conn.deadline_ms(&self.deps.timeouts);
                conn.armed_ms = self.wheel.arm(deadline_ms, conn.armed_ms, (number, serial));
                ConnState::Http1(conn)
            }
        };
        self.connections[number as usize].state = state;
    }

    /// Asks for an event when the connection becomes writable; false if that is not possible.
    pub(super) fn await_writable(&mut self, number: u32, socket: BorrowedFd<'_>) -> bool {
        let connected = &mut self.connections[number as usize];
        if std::mem::replace(&mut connected.awaits_writable, true) {
            return true;
        }
        leave_to_dispatch_timeout(socket, self.deps.timeouts.write_ms);
        self.poller.await_writable(socket, key_of(number, connected.serial)).is_ok()
    }

    /// Works on the available bytes, within a bound: no client can hold the shard by sending.
    fn serve(&mut self, number: u32, conn: &mut Http1Conn) -> ConnAction {
        let mut bytes = 0;
        for _ in 0..SERVE_STEPS_MAX {
            match conn.flush(self.now.ms) {
                FlushOutcome::All => conn.written(self.now.ms),
                FlushOutcome::Blocked => return ConnAction::Waits,
                FlushOutcome::Gone => return ConnAction::Closes,
            }
            if matches!(conn.waiting, Waiting::Commit { .. } | Waiting::Resolve { .. } | Waiting::List { .. })
            {
                return ConnAction::Waits;
            }
            if bytes >= SERVE_BYTES_MAX {
                return ConnAction::Yields;
            }
            let step = match conn.prior() {
                Prior::Http2 => return ConnAction::SpeaksHttp2,
                Prior::Unknown => Step::NeedMore,
                Prior::Http1 if conn.is_lingering() => Step::NeedMore,
                Prior::Http1 => self.step(conn),
            };
            match step {
                Step::NeedMore => match conn.receive(&mut self.read_buffer, self.now.ms) {
                    Received::Some(count) => bytes += count,
                    Received::Nothing if self.stop.dismisses() && conn.is_idle() => {
                        return ConnAction::Closes;
                    }
                    Received::Nothing => return ConnAction::Waits,
                    Received::End => return ConnAction::Closes,
                },
                Step::Refused(error) => {
                    let answer = self.deps.gate.refused(error, self.context(conn));
                    self.give(conn, &answer);
                }
                Step::Panicked => {
                    self.log_defect(conn.caller.client);
                    self.fail(conn);
                }
                Step::Decided(Decision::Respond(answer)) => self.give(conn, &answer),
                Step::Decided(Decision::HangUp) => return ConnAction::Closes,
                Step::Decided(Decision::ReadBody(publisher)) => self.read_body(conn, publisher),
                Step::Decided(Decision::Subscribe(subscription)) => {
                    if let Some(action) = self.subscribe(number, conn, *subscription) {
                        return action;
                    }
                }
                Step::Decided(Decision::List(listing)) => {
                    let serial = self.serial();
                    match self.list(number, serial, *listing) {
                        Ok(()) => conn.waiting = Waiting::List { serial },
                        Err(answer) => self.give(conn, &answer),
                    }
                }
                Step::Body(body) => self.publish(number, conn, &body),
            }
        }
        ConnAction::Yields
    }

    /// Reads the next event of the HTTP machine and decides. A panic in here is a defect that one
    /// client triggered; it must not end the streams of all others.
    fn step(&mut self, conn: &mut Http1Conn) -> Step {
        let (gate, now, rules) = (&mut self.deps.gate, self.now, self.deps.access);
        let is_tls = conn.transport.is_tls();
        let began_ms = conn.began_ms(now.ms);
        let step = catch_unwind(AssertUnwindSafe(|| match conn.http.poll() {
            Http1Event::NeedMore => Step::NeedMore,
            Http1Event::Head(mut request) => {
                conn.version = request.version;
                conn.head_only = request.method == http::Method::HEAD;
                conn.context = Some(gate.context(request.origin));
                conn.caller = Caller::read(rules, &mut request, conn.peer, is_tls, began_ms);
                let client = conn.caller.client;
                debug!(%client, method = request.method_name(), path = redact::target(request.path, None), "request");
                Step::Decided(gate.decide(&request, now))
            }
            Http1Event::Body(body) => Step::Body(body),
            Http1Event::Refused(error) => Step::Refused(error),
        }));
        step.unwrap_or(Step::Panicked)
    }

    /// The context of a response to a request that is not carried out. If its head was unreadable,
    /// the origin is recovered from the lines before the defect (PROTOCOL section 8: errors
    /// included).
    fn context(&self, conn: &mut Http1Conn) -> ResponseContext {
        conn.context.unwrap_or_else(|| {
            let recovered_head = conn.http.recovered_head();
            conn.head_only = recovered_head.is_head;
            self.deps.gate.context(recovered_head.origin)
        })
    }

    fn fail(&mut self, conn: &mut Http1Conn) {
        let answer = self.deps.gate.failed(self.context(conn));
        self.give(conn, &answer);
    }

    fn read_body(&mut self, conn: &mut Http1Conn, publisher: Publisher) {
        conn.context = Some(publisher.context);
        if conn.http.accept_body(self.deps.gate.body_bytes_max()) {
            conn.queue(CONTINUE.to_vec(), None, self.now.ms);
        }
        conn.waiting = Waiting::Body(publisher);
    }

    fn publish(&mut self, number: u32, conn: &mut Http1Conn, body: &[u8]) {
        let waiting = std::mem::replace(&mut conn.waiting, Waiting::Client);
        let Waiting::Body(publisher) = waiting else { return self.fail(conn) };
        let serial = self.serial();
        match self.offer(number, serial, &publisher, body) {
            Ok(frame) => conn.waiting = Waiting::Commit { serial, frame, context: publisher.context },
            Err(answer) => self.give(conn, &answer),
        }
    }

    /// Begins a stream if its start is known. Otherwise asks the history first, since the response
    /// head carries it.
    fn subscribe(
        &mut self,
        number: u32,
        conn: &mut Http1Conn,
        subscription: GrantedSubscription,
    ) -> Option<ConnAction> {
        let serial = self.serial();
        match self.locate(number, serial, &subscription) {
            Located::At(resume_point) => return self.begin_stream(conn, subscription, resume_point),
            Located::Asked => {
                conn.waiting = Waiting::Resolve { serial, subscription: Box::new(subscription) };
            }
            Located::Refused(answer) => self.give(conn, &answer),
        }
        None
    }

    /// Turns the connection into a stream; a `HEAD` request gets a plain response instead.
    fn begin_stream(
        &mut self,
        conn: &mut Http1Conn,
        subscription: GrantedSubscription,
        resume_point: Option<ResumePoint>,
    ) -> Option<ConnAction> {
        let response = self.stream_response(&subscription, resume_point.as_ref());
        if subscription.head_only {
            self.answer(conn, &response, None);
            return None;
        }
        let permit = match self.take_permit(&subscription, conn.caller.client) {
            Ok(permit) => permit,
            Err(answer) => {
                self.give(conn, &answer);
                return None;
            }
        };
        if conn.has_ended {
            // A stream ends with its client, and no further event will report that.
            return Some(ConnAction::Closes);
        }
        let mut opening = Vec::with_capacity(512);
        let date = self.date();
        let http1 = Http1 { version: conn.version, head_only: false, keep_alive: true, date: Some(&date) };
        response.encode(&http1, &mut opening);
        conn.caller.access = conn.caller.streams(opening.len(), self.now.ms);
        opening.extend_from_slice(subscription.framing.opening());
        debug!(client = %conn.caller.client, selectors = subscription.selectors.len(), ?resume_point, "subscribed");
        Some(ConnAction::Streams(self.join(subscription, resume_point, opening.into()), permit))
    }

    /// Queues a response, and logs the reason of a refusal.
    pub(super) fn give(&mut self, conn: &mut Http1Conn, answer: &GateResponse) {
        self.answer(conn, &answer.response, answer.refusal.as_ref());
    }

    fn answer(&mut self, conn: &mut Http1Conn, response: &Response, refusal: Option<&Refusal>) {
        let goes_on = conn.http.begin_answer() && self.stop == Stop::No && conn.version == Version::Http11;
        let date = self.date();
        let http1 = Http1 {
            version: conn.version,
            head_only: conn.head_only,
            keep_alive: goes_on,
            date: Some(&date),
        };
        let mut bytes = Vec::with_capacity(512 + response.body().map_or(0, <[u8]>::len));
        response.encode(&http1, &mut bytes);
        let body_bytes = if conn.head_only { 0 } else { response.body().map_or(0, <[u8]>::len) };
        self.log_response(&conn.caller, conn.began_ms(self.now.ms), response, body_bytes, refusal);
        conn.queue(bytes, Some(goes_on), self.now.ms);
        conn.waiting = Waiting::Client;
    }

    pub(super) fn date(&mut self) -> HttpDate {
        let unix_s = self.now.unix_s();
        if self.date.0 != unix_s {
            self.date = (unix_s, HttpDate::from_unix_s(unix_s));
        }
        self.date.1
    }
}

impl Waiting {
    /// Takes the state if it waits for `serial`; otherwise puts it back.
    fn expecting(self, serial: u32, conn: &mut Http1Conn) -> Self {
        match self {
            Self::Commit { serial: expected, .. }
            | Self::Resolve { serial: expected, .. }
            | Self::List { serial: expected }
                if expected == serial =>
            {
                self
            }
            other => {
                conn.waiting = other;
                Self::Client
            }
        }
    }
}
