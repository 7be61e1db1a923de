//! Requests: from bytes to a decision, from an outcome to an answer.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tracing::debug;

use super::common::Located;
use super::subscriptions::Lease;
use super::{Carrier, Connected, ShardLoop, Socket, Stage, Stop, key_of};
use crate::history::{HistoryError, Origin};
use crate::http::connection::{CONTINUE, Event};
use crate::http::date::HttpDate;
use crate::http::http2::Prior;
use crate::http::redact;
use crate::http::refusal::Refusal;
use crate::http::request::{Method, Version};
use crate::http::response::{Http1, Response};
use crate::hub::gate::{Answer, Decision, Passage, Publisher, Subscription};
use crate::hub::reason::{Lack, Reason};
use crate::hub::sequencer::Ticket;
use crate::limits::{SERVE_BYTES_MAX, SERVE_STEPS_MAX, SERVE_TURN_US, SERVE_TURNS_MAX};
use crate::runtime::access::Caller;
use crate::runtime::connection::{Flushed, Overdue, Received, Requesting, Waiting};
use crate::runtime::listener::leave_to_dispatch_timeout;
use crate::runtime::quota::Place;

/// What becomes of a connection for now.
enum Fate {
    /// It waits for its client, for the ring or for the history.
    Waits,
    /// It could go on, and has to let others go first.
    Yields,
    /// It is a stream from here: the subscriber of this slot, counted here.
    Streams(u32, Option<Box<Place>>),
    /// It speaks HTTP/2.
    Multiplexes,
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
        match self.turns_left {
            0 => self.queue_turn(number),
            _ => self.take_turn(|this| this.go_on(number)),
        }
    }

    fn go_on(&mut self, number: u32) {
        match self.connections.get(number as usize).map(|connected| &connected.stage) {
            Some(Stage::Multiplexed(_)) => self.drive_multiplexed(number),
            _ => self.with(number, |this, connection| this.serve(number, connection)),
        }
    }

    /// Does what takes a turn of this round, or several: what it costs is known when it is done.
    pub(super) fn take_turn(&mut self, work: impl FnOnce(&mut Self)) {
        let began = Instant::now();
        work(self);
        let turns = 1 + began.elapsed().as_micros() as usize / SERVE_TURN_US as usize;
        self.turns_left = self.turns_left.saturating_sub(turns);
    }

    /// Queues a connection for a turn.
    pub(super) fn queue_turn(&mut self, number: u32) {
        let connected = &mut self.connections[number as usize];
        if !std::mem::replace(&mut connected.has_turn, true) {
            self.turns.push_back((number, connected.serial));
        }
    }

    /// A number for a connection, or for a request that waits for another thread.
    pub(super) fn serial(&mut self) -> u32 {
        self.next_serial = self.next_serial.wrapping_add(1);
        self.next_serial
    }

    /// Begins a round of turns with the connections that wait for one; answers whether there were any.
    pub(super) fn take_turns(&mut self) -> bool {
        let count = self.turns.len();
        self.turns_left = SERVE_TURNS_MAX;
        for _ in 0..count {
            if self.turns_left == 0 {
                break;
            }
            let Some((number, serial)) = self.turns.pop_front() else { break };
            if let Some(connected) = self.connections.get_mut(number as usize)
                && connected.serial == serial
            {
                connected.has_turn = false;
                self.take_turn(|this| this.go_on(number));
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
        let connection = match &mut connected.stage {
            Stage::Requesting(connection) => connection,
            Stage::Multiplexed(_) => return self.look_at_multiplexed(number),
            Stage::Streaming(_) | Stage::Taken => return,
        };
        if connection.armed_ms > now_ms {
            return;
        }
        connection.armed_ms = u64::MAX;
        match connection.overdue(&self.parts.timeouts, now_ms) {
            Overdue::Nothing => self.drive(number),
            Overdue::Close => self.with(number, |_, _| Fate::Closes),
            Overdue::Timeout => self.with(number, |this, connection| {
                let answer = this.parts.gate.timed_out(this.passage(connection));
                this.give(connection, &answer);
                this.serve(number, connection)
            }),
        }
    }

    /// An update of this shard came round the ring.
    pub(super) fn committed(&mut self, ticket: Ticket, is_stored: bool) {
        let (number, serial) = match ticket {
            Ticket::Request { connection, serial, .. } => (connection, serial),
            Ticket::Event { .. } => return self.event_settled(is_stored),
            Ticket::Inside { .. } => return,
        };
        self.commits_under_way -= 1;
        self.parts.meters.settled(is_stored);
        if self.is_multiplexed(number) {
            return self.with_exchanges(number, |this, multiplexed| {
                this.exchange_committed(multiplexed, serial, is_stored);
            });
        }
        self.with(number, |this, connection| {
            let waiting = std::mem::replace(&mut connection.waiting, Waiting::Client);
            let Waiting::Commit { frame, passage, .. } = waiting.expecting(serial, connection) else {
                return Fate::Waits;
            };
            let answer = match is_stored {
                true => this.parts.gate.published(&frame, passage),
                false => {
                    this.parts.gate.unavailable(Lack::History, "the history refused the update", passage)
                }
            };
            this.give(connection, &answer);
            this.serve(number, connection)
        });
    }

    /// The history said where a subscription begins.
    pub(super) fn resolved(&mut self, number: u32, serial: u32, origin: Result<Origin, HistoryError>) {
        if self.is_multiplexed(number) {
            return self.with_exchanges(number, |this, multiplexed| {
                this.exchange_resolved(number, multiplexed, serial, origin);
            });
        }
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
                    this.tell_history(&error);
                    let answer = this.parts.gate.unavailable(
                        Lack::History,
                        "the history cannot be read",
                        subscription.passage,
                    );
                    this.give(connection, &answer);
                    this.serve(number, connection)
                }
            }
        });
    }

    /// The shards have listed what they have of the active subscriptions.
    pub(super) fn listed(&mut self, number: u32, serial: u32, answer: &Answer, lease: Option<Lease>) {
        if self.is_multiplexed(number) {
            return self.with_exchanges(number, |this, multiplexed| {
                this.exchange_listed(multiplexed, serial, answer, lease);
            });
        }
        self.with(number, |this, connection| {
            let waiting = std::mem::replace(&mut connection.waiting, Waiting::Client);
            let Waiting::List { .. } = waiting.expecting(serial, connection) else { return Fate::Waits };
            connection.lease = lease;
            this.give(connection, answer);
            this.serve(number, connection)
        });
    }

    fn is_multiplexed(&self, number: u32) -> bool {
        matches!(self.connections.get(number as usize), Some(Connected { stage: Stage::Multiplexed(_), .. }))
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
            Fate::Streams(slot, place) => {
                let is_tls = connection.transport.is_tls();
                let (carrier, access) = (Carrier::Own(connection.transport), connection.caller.access);
                self.sockets.attach(slot, Socket { carrier, connection: number, access, _place: place });
                if is_tls {
                    // What came with the request is read already, or no event will tell of it.
                    self.attend(slot);
                }
                Stage::Streaming(slot)
            }
            Fate::Multiplexes => {
                let stage = self.multiplex(number, *connection);
                self.connections[number as usize].stage = stage;
                return self.drive_multiplexed(number);
            }
            fate @ (Fate::Waits | Fate::Yields) => {
                if connection.is_blocked() && !self.await_writable(number, connection.transport.as_fd()) {
                    self.connections.remove(number as usize);
                    return;
                }
                if matches!(fate, Fate::Yields) {
                    self.queue_turn(number);
                }
                let deadline_ms = connection.deadline_ms(&self.parts.timeouts);
                connection.armed_ms = self.wheel.arm(deadline_ms, connection.armed_ms, (number, serial));
                Stage::Requesting(connection)
            }
        };
        self.connections[number as usize].stage = stage;
    }

    /// Asks for the event that the connection can be written; false when that is not possible.
    pub(super) fn await_writable(&mut self, number: u32, socket: BorrowedFd<'_>) -> bool {
        let connected = &mut self.connections[number as usize];
        if std::mem::replace(&mut connected.awaits_writable, true) {
            return true;
        }
        leave_to_dispatch_timeout(socket, self.parts.timeouts.write_ms);
        self.readiness.await_writable(socket, key_of(number, connected.serial)).is_ok()
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
            if matches!(
                connection.waiting,
                Waiting::Commit { .. } | Waiting::Resolve { .. } | Waiting::List { .. }
            ) {
                return Fate::Waits;
            }
            if bytes >= SERVE_BYTES_MAX {
                return Fate::Yields;
            }
            let step = match connection.prior() {
                Prior::Http2 => return Fate::Multiplexes,
                Prior::Unknown => Step::NeedMore,
                Prior::Http1 if connection.is_lingering() => Step::NeedMore,
                Prior::Http1 => self.step(connection),
            };
            match step {
                Step::NeedMore => match connection.receive(&mut self.read_buffer, self.now.ms) {
                    Received::Some(count) => bytes += count,
                    Received::Nothing if self.stop.dismisses() && connection.is_idle() => {
                        return Fate::Closes;
                    }
                    Received::Nothing => return Fate::Waits,
                    Received::End => return Fate::Closes,
                },
                Step::Refused(refusal) => {
                    let answer = self.parts.gate.refused(refusal, self.passage(connection));
                    self.give(connection, &answer);
                }
                Step::Panicked => {
                    self.tell_defect(connection.caller.client);
                    self.fail(connection);
                }
                Step::Decided(Decision::Answer(answer)) => self.give(connection, &answer),
                Step::Decided(Decision::HangUp) => return Fate::Closes,
                Step::Decided(Decision::ReadBody(publisher)) => self.read_body(connection, publisher),
                Step::Decided(Decision::Subscribe(subscription)) => {
                    if let Some(fate) = self.subscribe(number, connection, *subscription) {
                        return fate;
                    }
                }
                Step::Decided(Decision::List(listing)) => {
                    let serial = self.serial();
                    match self.list(number, serial, *listing) {
                        Ok(()) => connection.waiting = Waiting::List { serial },
                        Err(answer) => self.give(connection, &answer),
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
        let (gate, now, rules) = (&mut self.parts.gate, self.now, self.parts.access);
        let is_tls = connection.transport.is_tls();
        let began_ms = connection.began_ms(now.ms);
        let step = catch_unwind(AssertUnwindSafe(|| match connection.http.poll() {
            Event::NeedMore => Step::NeedMore,
            Event::Head(mut request) => {
                connection.version = request.version;
                connection.head_only = request.method == Method::Head;
                connection.passage = Some(gate.passage(request.origin));
                connection.caller = Caller::read(rules, &mut request, connection.peer, is_tls, began_ms);
                let client = connection.caller.client;
                debug!(%client, method = request.method.as_str(), path = redact::target(request.path, None), "request");
                Step::Decided(gate.decide(&request, now))
            }
            Event::Body(body) => Step::Body(body),
            Event::Refused(refusal) => Step::Refused(refusal),
        }));
        step.unwrap_or(Step::Panicked)
    }

    /// What belongs on the answer to a request that is not carried out. When its head could not be read, the origin is what the
    /// lines before the defect say (PROTOCOL section 8: errors included).
    fn passage(&self, connection: &mut Requesting) -> Passage {
        connection.passage.unwrap_or_else(|| {
            let salvaged = connection.http.salvaged();
            connection.head_only = salvaged.is_head;
            self.parts.gate.passage(salvaged.origin)
        })
    }

    fn fail(&mut self, connection: &mut Requesting) {
        let answer = self.parts.gate.failed(self.passage(connection));
        self.give(connection, &answer);
    }

    fn read_body(&mut self, connection: &mut Requesting, publisher: Publisher) {
        connection.passage = Some(publisher.passage);
        if connection.http.accept_body(self.parts.gate.body_bytes_max()) {
            connection.queue(CONTINUE.to_vec(), None, self.now.ms);
        }
        connection.waiting = Waiting::Body(publisher);
    }

    fn publish(&mut self, number: u32, connection: &mut Requesting, body: &[u8]) {
        let waiting = std::mem::replace(&mut connection.waiting, Waiting::Client);
        let Waiting::Body(publisher) = waiting else { return self.fail(connection) };
        let serial = self.serial();
        match self.offer(number, serial, &publisher, body) {
            Ok(frame) => connection.waiting = Waiting::Commit { serial, frame, passage: publisher.passage },
            Err(answer) => self.give(connection, &answer),
        }
    }

    /// Begins a stream, when it is known where; else asks the history first, since the answer's head carries it.
    fn subscribe(
        &mut self,
        number: u32,
        connection: &mut Requesting,
        subscription: Subscription,
    ) -> Option<Fate> {
        let serial = self.serial();
        match self.locate(number, serial, &subscription) {
            Located::At(origin) => return self.begin_stream(connection, subscription, origin),
            Located::Asked => {
                connection.waiting = Waiting::Resolve { serial, subscription: Box::new(subscription) };
            }
            Located::Refused(answer) => self.give(connection, &answer),
        }
        None
    }

    /// Makes a stream of the connection; not when the request is a `HEAD`, which is answered as any other.
    fn begin_stream(
        &mut self,
        connection: &mut Requesting,
        subscription: Subscription,
        origin: Option<Origin>,
    ) -> Option<Fate> {
        let response = self.stream_response(&subscription, origin.as_ref());
        if subscription.head_only {
            self.answer(connection, &response, None);
            return None;
        }
        let place = match self.place(&subscription, connection.caller.client) {
            Ok(place) => place,
            Err(answer) => {
                self.give(connection, &answer);
                return None;
            }
        };
        if connection.has_ended {
            // A stream ends when its client does, and no other event will tell of it.
            return Some(Fate::Closes);
        }
        let mut opening = Vec::with_capacity(512);
        let date = self.date();
        let http1 =
            Http1 { version: connection.version, head_only: false, keep_alive: true, date: Some(&date) };
        response.encode(&http1, &mut opening);
        connection.caller.access = connection.caller.streams(opening.len(), self.now.ms);
        opening.extend_from_slice(subscription.framing.opening());
        debug!(client = %connection.caller.client, selectors = subscription.selectors.len(), ?origin, "subscribed");
        Some(Fate::Streams(self.join(subscription, origin, opening.into()), place))
    }

    /// Queues an answer, and logs why when it is a refusal.
    pub(super) fn give(&mut self, connection: &mut Requesting, answer: &Answer) {
        self.answer(connection, &answer.response, answer.reason.as_ref());
    }

    fn answer(&mut self, connection: &mut Requesting, response: &Response, reason: Option<&Reason>) {
        let goes_on =
            connection.http.begin_answer() && self.stop == Stop::No && connection.version == Version::Http11;
        let date = self.date();
        let http1 = Http1 {
            version: connection.version,
            head_only: connection.head_only,
            keep_alive: goes_on,
            date: Some(&date),
        };
        let mut bytes = Vec::with_capacity(512 + response.body().map_or(0, <[u8]>::len));
        response.encode(&http1, &mut bytes);
        let body_bytes = if connection.head_only { 0 } else { response.body().map_or(0, <[u8]>::len) };
        self.tell_answer(&connection.caller, connection.began_ms(self.now.ms), response, body_bytes, reason);
        connection.queue(bytes, Some(goes_on), self.now.ms);
        connection.waiting = Waiting::Client;
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
    /// What was waited for, when it is what `serial` names; else it is put back, and nothing was.
    fn expecting(self, serial: u32, connection: &mut Requesting) -> Self {
        match self {
            Self::Commit { serial: expected, .. }
            | Self::Resolve { serial: expected, .. }
            | Self::List { serial: expected }
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
