//! Requests: from bytes to a decision, from an outcome to an answer.

use std::os::fd::AsFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::{debug, error, info};

use super::{ShardLoop, Socket, Stage, Stop, key_of};
use crate::history::{HistoryError, Origin};
use crate::http::connection::{CONTINUE, Event};
use crate::http::date::HttpDate;
use crate::http::redact;
use crate::http::refusal::Refusal;
use crate::http::request::{Method, Scheme, Version};
use crate::http::response::{Http1, Precedes, Response};
use crate::http::status::Status;
use crate::hub::gate::{Answer, Decision, Publisher, Subscription};
use crate::hub::sequencer::{Publication, Ticket};
use crate::hub::shard::Joining;
use crate::limits::{SERVE_BYTES_MAX, SERVE_STEPS_MAX, SERVE_TURNS_MAX, TLS_HANDSHAKE_TURNS};
use crate::runtime::access::{Access, Client};
use crate::runtime::connection::{Flushed, Overdue, Received, Requesting, Waiting};
use crate::runtime::librarian::Question;
use crate::runtime::sample::Admitted;

/// What becomes of a connection for now.
enum Fate {
    /// It waits for its client, for the ring or for the history.
    Waits,
    /// It could go on, and has to let others go first.
    Yields,
    /// It is a stream from here: the subscriber of this slot.
    Streams(u32),
    Closes,
}

/// One step of a request.
enum Step {
    NeedMore,
    Decided(Decision),
    Body(Vec<u8>),
    Refused(Refusal),
    Panicked,
}

impl ShardLoop {
    /// Lets a connection go as far as it may in one turn; when this round has no turn left, in a later one.
    pub(super) fn drive(&mut self, number: u32) {
        match self.turns_left.checked_sub(1) {
            Some(left) => {
                self.turns_left = left;
                self.with(number, |this, connection| this.serve(number, connection));
            }
            None => self.with(number, |_, _| Fate::Yields),
        }
    }

    /// Begins a round of turns with the connections that wait for one; answers whether there were any.
    pub(super) fn take_turns(&mut self) -> bool {
        let count = self.turns.len();
        self.turns_left = SERVE_TURNS_MAX;
        for _ in 0..count {
            let Some(left) = self.turns_left.checked_sub(1) else { break };
            let Some((number, serial)) = self.turns.pop_front() else { break };
            self.turns_left = left;
            if self.connections.get(number as usize).is_some_and(|connected| connected.serial == serial) {
                self.with(number, |this, connection| {
                    connection.has_turn = false;
                    this.serve(number, connection)
                });
            }
        }
        count > 0
    }

    /// A deadline of a connection fired.
    pub(super) fn look_at(&mut self, number: u32, serial: u32) {
        let now_ms = self.now.ms;
        let Some(connected) = self.connections.get_mut(number as usize).filter(|it| it.serial == serial)
        else {
            return;
        };
        let Stage::Requesting(connection) = &mut connected.stage else { return };
        if connection.armed_ms > now_ms {
            return;
        }
        connection.armed_ms = u64::MAX;
        match connection.overdue(&self.parts.timeouts, now_ms) {
            Overdue::Nothing => self.drive(number),
            Overdue::Close => self.with(number, |_, _| Fate::Closes),
            Overdue::Timeout => self.with(number, |this, connection| {
                let text = "Request Timeout: the request did not arrive in time";
                let response = Response::text(Status::RequestTimeout, text);
                let answer = this.refusal(connection, response, "timeout");
                this.give(connection, &answer);
                this.serve(number, connection)
            }),
        }
    }

    /// A publication came round the ring.
    pub(super) fn committed(&mut self, ticket: Ticket, is_stored: bool) {
        self.commits_under_way -= 1;
        self.with(ticket.connection, |this, connection| {
            let waiting = std::mem::replace(&mut connection.waiting, Waiting::Client);
            let Waiting::Commit { frame, passage, .. } = waiting.expecting(ticket.serial, connection) else {
                return Fate::Waits;
            };
            let answer = match is_stored {
                true => this.parts.gate.published(&frame, passage),
                false => this.parts.gate.unavailable("the history refused the update", passage),
            };
            this.give(connection, &answer);
            this.serve(ticket.connection, connection)
        });
    }

    /// The history said where a subscription begins.
    pub(super) fn resolved(&mut self, number: u32, serial: u32, origin: Result<Origin, HistoryError>) {
        self.with(number, |this, connection| {
            let waiting = std::mem::replace(&mut connection.waiting, Waiting::Client);
            let Waiting::Resolve { subscription, .. } = waiting.expecting(serial, connection) else {
                return Fate::Waits;
            };
            match origin {
                Ok(origin) => this
                    .begin_stream(connection, *subscription, Some(origin))
                    .unwrap_or_else(|| this.serve(number, connection)),
                Err(error) => {
                    if let Some(Admitted { left_out }) = this.samplers.history.admit(this.now.ms) {
                        error!(%error, left_out, "the history cannot be read");
                    }
                    let answer =
                        this.parts.gate.unavailable("the history cannot be read", subscription.passage);
                    this.give(connection, &answer);
                    this.serve(number, connection)
                }
            }
        });
    }

    /// Works on a connection that makes requests, and does with it what comes out.
    fn with(&mut self, number: u32, work: impl FnOnce(&mut Self, &mut Requesting) -> Fate) {
        let Some(connected) = self.connections.get_mut(number as usize) else { return };
        let serial = connected.serial;
        let mut connection = match std::mem::replace(&mut connected.stage, Stage::Taken) {
            Stage::Requesting(connection) => connection,
            other => {
                connected.stage = other;
                return;
            }
        };
        let stage = match work(self, &mut connection) {
            Fate::Closes => {
                connection.transport.part();
                self.connections.remove(number as usize);
                return;
            }
            Fate::Streams(slot) => {
                let is_tls = connection.transport.is_tls();
                let Requesting { transport, access, .. } = *connection;
                self.sockets.attach(slot, Socket { transport, connection: number, access });
                if is_tls {
                    // What came with the request is read already, or no event will tell of it.
                    self.attend(slot);
                }
                Stage::Streaming(slot)
            }
            fate @ (Fate::Waits | Fate::Yields) => {
                if connection.is_blocked() && !self.await_writable(number, &connection) {
                    self.connections.remove(number as usize);
                    return;
                }
                if matches!(fate, Fate::Yields) && !std::mem::replace(&mut connection.has_turn, true) {
                    self.turns.push_back((number, serial));
                }
                let deadline_ms = connection.deadline_ms(&self.parts.timeouts);
                connection.armed_ms = self.wheel.arm(deadline_ms, connection.armed_ms, (number, serial));
                Stage::Requesting(connection)
            }
        };
        self.connections[number as usize].stage = stage;
    }

    /// Asks for the event that the connection can be written; false when that is not possible.
    fn await_writable(&mut self, number: u32, connection: &Requesting) -> bool {
        let connected = &mut self.connections[number as usize];
        std::mem::replace(&mut connected.awaits_writable, true)
            || self
                .readiness
                .await_writable(connection.transport.as_fd(), key_of(number, connected.serial))
                .is_ok()
    }

    /// Goes as far as the bytes allow, and no further than a client may go that never stops sending.
    fn serve(&mut self, number: u32, connection: &mut Requesting) -> Fate {
        let mut bytes = 0;
        for _ in 0..SERVE_STEPS_MAX {
            match connection.flush(self.now.ms) {
                Flushed::All => connection.written(self.now.ms),
                Flushed::Blocked => return Fate::Waits,
                Flushed::Gone => return Fate::Closes,
            }
            if matches!(connection.waiting, Waiting::Commit { .. } | Waiting::Resolve { .. }) {
                return Fate::Waits;
            }
            if self.stop != Stop::No && connection.is_idle() {
                return Fate::Closes;
            }
            if bytes >= SERVE_BYTES_MAX {
                return Fate::Yields;
            }
            let step = if connection.is_lingering() { Step::NeedMore } else { self.step(connection) };
            match step {
                Step::NeedMore => {
                    let is_handshake = connection.transport.is_handshaking();
                    match connection.receive(&mut self.read_buffer, self.now.ms) {
                        Received::Some(count) => bytes += count,
                        Received::Nothing => return Fate::Waits,
                        Received::End => return Fate::Closes,
                    }
                    if is_handshake {
                        self.turns_left = self.turns_left.saturating_sub(TLS_HANDSHAKE_TURNS);
                    }
                }
                Step::Refused(refusal) => {
                    let answer = self.refusal(connection, Response::refusal(refusal), &refusal.to_string());
                    self.give(connection, &answer);
                }
                Step::Panicked => {
                    if let Some(Admitted { left_out }) = self.samplers.defects.admit(self.now.ms) {
                        error!(client = %connection.client, left_out, "a request made the hub panic; it got 500");
                    }
                    self.fail(connection);
                }
                Step::Decided(Decision::Answer(answer)) => self.give(connection, &answer),
                Step::Decided(Decision::ReadBody(publisher)) => self.read_body(connection, publisher),
                Step::Decided(Decision::Subscribe(subscription)) => {
                    if let Some(fate) = self.subscribe(number, connection, *subscription) {
                        return fate;
                    }
                }
                Step::Body(body) => self.publish(number, connection, &body),
            }
        }
        Fate::Yields
    }

    /// Reads the next event of the HTTP machine and decides. A panic in here is a defect that one client has met; it must
    /// not end the streams of all others.
    fn step(&mut self, connection: &mut Requesting) -> Step {
        let (gate, now) = (&mut self.parts.gate, self.now);
        let (access_log, trusts_proxy) = (self.parts.access_log, self.parts.trusts_proxy);
        let step = catch_unwind(AssertUnwindSafe(|| match connection.http.poll() {
            Event::NeedMore => Step::NeedMore,
            Event::Head(mut request) => {
                connection.version = request.version;
                connection.head_only = request.method == Method::Head;
                connection.passage = Some(gate.passage(request.origin));
                if connection.transport.is_tls() {
                    request.scheme = Scheme::Https;
                }
                if trusts_proxy && let Some(client) = request.trust_forwarded() {
                    connection.client = Client::Forwarded(client);
                }
                if access_log {
                    let began_ms = connection.request_since_ms.unwrap_or(now.ms);
                    connection.access = Some(Box::new(Access::new(&request, connection.client, began_ms)));
                }
                debug!(client = %connection.client, method = request.method.as_str(), path = redact::target(request.path, None), "request");
                Step::Decided(gate.decide(&request, now))
            }
            Event::Body(body) => Step::Body(body),
            Event::Refused(refusal) => Step::Refused(refusal),
        }));
        step.unwrap_or(Step::Panicked)
    }

    /// The answer to a request that is not carried out, with the headers that belong on every answer to its origin. When its
    /// head could not be read, the origin is what the lines before the defect say (PROTOCOL section 8: errors included).
    fn refusal(&self, connection: &mut Requesting, response: Response, reason: &str) -> Answer {
        let gate = &self.parts.gate;
        let passage = connection.passage.unwrap_or_else(|| {
            let salvaged = connection.http.salvaged();
            connection.head_only = salvaged.is_head;
            gate.passage(salvaged.origin)
        });
        gate.complete(Answer { response, reason: Some(reason.to_owned()) }, passage)
    }

    fn fail(&mut self, connection: &mut Requesting) {
        let response = Response::status_only(Status::InternalServerError);
        let answer = self.refusal(connection, response, "a defect of the hub");
        self.give(connection, &answer);
    }

    fn read_body(&mut self, connection: &mut Requesting, publisher: Publisher) {
        connection.passage = Some(publisher.passage);
        if connection.http.accept_body(self.parts.gate.body_bytes_max()) {
            connection.queue(CONTINUE, None, self.now.ms);
        }
        connection.waiting = Waiting::Body(publisher);
    }

    fn publish(&mut self, number: u32, connection: &mut Requesting, body: &[u8]) {
        let waiting = std::mem::replace(&mut connection.waiting, Waiting::Client);
        let Waiting::Body(publisher) = waiting else { return self.fail(connection) };
        let random = uuid::Uuid::new_v4().into_bytes();
        let frame = match self.parts.gate.publish(&publisher, body, random) {
            Ok(frame) => frame,
            Err(answer) => return self.give(connection, &answer),
        };
        if self.parts.log_updates {
            debug!(event = %String::from_utf8_lossy(frame.event()), "update");
        }
        self.next_serial = self.next_serial.wrapping_add(1);
        let serial = self.next_serial;
        let ticket = Ticket { shard: self.parts.number, connection: number, serial };
        let publication = Publication { frame: std::sync::Arc::clone(&frame), ticket };
        if self.parts.queue.as_ref().is_some_and(|queue| queue.offer(publication)) {
            self.commits_under_way += 1;
            connection.waiting = Waiting::Commit { serial, frame, passage: publisher.passage };
        } else {
            let answer = self.parts.gate.unavailable("the publication queue is full", publisher.passage);
            self.give(connection, &answer);
        }
    }

    /// Begins a stream, when it is known where; else asks the history first, since the answer's head carries it.
    fn subscribe(
        &mut self,
        number: u32,
        connection: &mut Requesting,
        subscription: Subscription,
    ) -> Option<Fate> {
        let origin = match &subscription.resume {
            None => None,
            Some(resume) => match self.parts.shard.resolve(resume) {
                Some(origin) => Some(origin),
                None => {
                    self.next_serial = self.next_serial.wrapping_add(1);
                    let serial = self.next_serial;
                    let question = Question::Resolve { connection: number, serial, resume: resume.clone() };
                    if let Err(error) = self.parts.librarian.ask(question) {
                        let answer = self.parts.gate.unavailable(&error.to_string(), subscription.passage);
                        self.give(connection, &answer);
                        return None;
                    }
                    connection.waiting = Waiting::Resolve { serial, subscription: Box::new(subscription) };
                    return None;
                }
            },
        };
        self.begin_stream(connection, subscription, origin)
    }

    /// Makes a stream of the connection; not when the request is a `HEAD`, which is answered as any other.
    fn begin_stream(
        &mut self,
        connection: &mut Requesting,
        subscription: Subscription,
        origin: Option<Origin>,
    ) -> Option<Fate> {
        let precedes = origin.as_ref().map(|origin| match &origin.known {
            Some(id) => Precedes::Event(id),
            None => Precedes::Earliest,
        });
        let answer = Answer { response: Response::stream(precedes), reason: None };
        let response = self.parts.gate.complete(answer, subscription.passage).response;
        if subscription.head_only {
            self.answer(connection, &response, None);
            return None;
        }
        if connection.has_ended {
            // A stream ends when its client does, and no other event will tell of it.
            return Some(Fate::Closes);
        }
        let mut opening = Vec::with_capacity(512);
        let date = self.date();
        let http1 =
            Http1 { version: connection.version, head_only: false, keep_alive: true, date: Some(&date) };
        response.encode(&http1, &mut opening);
        opening.extend_from_slice(subscription.framing.opening());
        if let Some(access) = &connection.access {
            access.streams(self.now.ms);
        }
        debug!(client = %connection.client, selectors = subscription.selectors.len(), ?origin, "subscribed");
        let Subscription { selectors, grant, expires_ms, framing, .. } = subscription;
        let expires_ms =
            expires_ms.min(self.parts.timeouts.stream_ends_ms(self.now.ms, uuid::Uuid::new_v4().as_u128()));
        let opening = opening.into();
        let joining = Joining { selectors, grant, expires_ms, framing, origin, opening };
        Some(Fate::Streams(self.parts.shard.join(joining, self.now)))
    }

    /// Queues an answer, and logs why when it is a refusal.
    fn give(&mut self, connection: &mut Requesting, answer: &Answer) {
        self.answer(connection, &answer.response, answer.reason.as_deref());
    }

    fn answer(&mut self, connection: &mut Requesting, response: &Response, reason: Option<&str>) {
        if let Some(reason) = reason
            && let Some(Admitted { left_out }) = self.samplers.refused.admit(self.now.ms)
        {
            let status = response.status().code();
            info!(client = %connection.client, status, reason, left_out, "refused");
        }
        let goes_on =
            connection.http.begin_answer() && self.stop == Stop::No && connection.version == Version::Http11;
        let date = self.date();
        let http1 = Http1 {
            version: connection.version,
            head_only: connection.head_only,
            keep_alive: goes_on,
            date: Some(&date),
        };
        let mut bytes = Vec::with_capacity(512);
        response.encode(&http1, &mut bytes);
        if self.parts.access_log {
            connection.log_answer(response.status(), bytes.len(), self.now.ms);
        }
        connection.queue(&bytes, Some(goes_on), self.now.ms);
        connection.waiting = Waiting::Client;
    }

    fn date(&mut self) -> HttpDate {
        let unix_s = self.now.unix_s();
        if self.date.0 != unix_s {
            self.date = (unix_s, HttpDate::from_unix_s(unix_s));
        }
        self.date.1
    }
}

impl Waiting {
    /// What was waited for, when it is what `serial` names; else it is put back, and nothing was.
    fn expecting(self, serial: u32, connection: &mut Requesting) -> Self {
        match self {
            Self::Commit { serial: expected, .. } | Self::Resolve { serial: expected, .. }
                if expected == serial =>
            {
                self
            }
            other => {
                connection.waiting = other;
                Self::Client
            }
        }
    }
}
