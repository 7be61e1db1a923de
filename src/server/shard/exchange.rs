//! Requests on HTTP/2 streams: decided by the same gate as HTTP/1 requests, with the response on
//! the stream.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request};
use tracing::debug;

use super::common::Located;
use super::subscriptions::MemoryPermit;
use super::{ShardLoop, Socket, StreamTransport};
use crate::api::handler::{Decision, GateResponse, GrantedSubscription, Publisher, ResponseContext};
use crate::api::refusal::Unavailable;
use crate::history::{HistoryError, ResumePoint};
use crate::http::h2::request::read_request;
use crate::http::redact;
use crate::http::request_error::RequestError;
use crate::ops::access_log::Caller;
use crate::server::http2::{
    Awake, BodyProgress, Exchange, ExchangeStage, Http2Conn, Progress, Reply, head_of,
};

/// A stream with a request, and what its response needs.
struct Asking {
    serial: u32,
    respond: Reply,
    head_only: bool,
    /// The incomplete body, if it is not needed.
    body: Option<RecvStream>,
}

impl Asking {
    /// A stream whose response is not known yet.
    fn new(serial: u32, respond: Reply) -> Self {
        Self { serial, respond, head_only: false, body: None }
    }
}

impl ShardLoop {
    /// Handles a new request.
    pub(super) fn begin_exchange(
        &mut self,
        number: u32,
        conn: &mut Http2Conn,
        (request, respond): (Request<RecvStream>, SendResponse<Bytes>),
    ) {
        let (parts, body) = request.into_parts();
        let (gate, now, peer) = (&mut self.deps.gate, self.now, conn.peer);
        let (rules, is_tls) = (self.deps.access, conn.is_tls());
        let mut caller = Caller::peer(peer);
        let decided = catch_unwind(AssertUnwindSafe(|| {
            let mut request = read_request(&parts)?;
            caller = Caller::read(rules, &mut request, peer, is_tls, now.ms);
            let client = caller.client;
            debug!(%client, method = request.method_name(), path = redact::target(request.path, None), "request");
            Ok::<_, RequestError>((gate.decide(&request, now), request.expect_continue))
        }));
        let context = gate.context(parts.headers.get(http::header::ORIGIN).map(http::HeaderValue::as_bytes));
        let serial = self.serial();
        let respond = Reply::new(respond, caller);
        let head_only = parts.method == http::Method::HEAD;
        let mut asking = Asking { serial, respond, head_only, body: Some(body) };
        match decided {
            Err(_) => {
                self.log_defect(asking.respond.caller.client);
                let answer = self.deps.gate.failed(context);
                self.respond(conn, asking, &answer);
            }
            Ok(Err(error)) => self.refuse_exchange(conn, asking, error, context),
            Ok(Ok((Decision::Respond(answer), _))) => self.respond(conn, asking, &answer),
            Ok(Ok((Decision::HangUp, _))) => {
                // Nothing was done: the client may retry (RFC 9113, section 8.7).
                asking.respond.send_reset(h2::Reason::REFUSED_STREAM);
                self.mark_for_poll(conn);
                conn.finished(self.now.ms);
            }
            Ok(Ok((Decision::ReadBody(publisher), expects))) => {
                if length_of(&parts.headers) > self.deps.gate.body_bytes_max() {
                    return self.refuse_exchange(conn, asking, RequestError::BodyTooLarge, publisher.context);
                }
                let Some(body) = asking.body.take() else { return };
                if expects && !body.is_end_stream() {
                    let mut interim = http::Response::new(());
                    *interim.status_mut() = http::StatusCode::CONTINUE;
                    // If the client is gone, reading the body reports it.
                    let _ = asking.respond.send_informational(interim);
                }
                let stage =
                    ExchangeStage::Body { respond: asking.respond, publisher, body, content: Vec::new() };
                self.await_stage(conn, serial, stage);
                // No wake-up will report the part of the body that is here already.
                self.exchange_woken(number, conn, serial);
            }
            Ok(Ok((Decision::List(listing), _))) => match self.list(number, serial, *listing) {
                Ok(()) => {
                    let Asking { respond, head_only, .. } = asking;
                    self.await_stage(conn, serial, ExchangeStage::List { respond, head_only });
                }
                Err(answer) => self.respond(conn, asking, &answer),
            },
            Ok(Ok((Decision::Subscribe(subscription), _))) => {
                self.subscribe_exchange(number, conn, asking, *subscription);
            }
        }
    }

    /// Handles the result of a publication, which came round the ring.
    pub(super) fn exchange_committed(&mut self, conn: &mut Http2Conn, serial: u32, is_stored: bool) {
        let Some(ExchangeStage::Commit { respond, frame, context }) = take(conn, serial, is_commit) else {
            return;
        };
        let answer = match is_stored {
            true => self.deps.gate.published(&frame, context),
            false => {
                self.deps.gate.unavailable(Unavailable::History, "the history refused the update", context)
            }
        };
        self.respond(conn, Asking::new(serial, respond), &answer);
    }

    /// Handles the history's reply: where the subscription begins.
    pub(super) fn exchange_resolved(
        &mut self,
        number: u32,
        conn: &mut Http2Conn,
        serial: u32,
        resume_point: Result<ResumePoint, HistoryError>,
    ) {
        let Some(ExchangeStage::Resolve { respond, subscription }) = take(conn, serial, is_resolve) else {
            return;
        };
        let asking = Asking { head_only: subscription.head_only, ..Asking::new(serial, respond) };
        match resume_point {
            Ok(resume_point) => {
                self.begin_shared_stream(number, conn, asking, *subscription, Some(resume_point));
            }
            Err(error) => {
                self.log_history_error(&error);
                let answer = self.deps.gate.unavailable(
                    Unavailable::History,
                    "the history cannot be read",
                    subscription.context,
                );
                self.respond(conn, asking, &answer);
            }
        }
    }

    /// Sends the list of active subscriptions that the shards have gathered.
    pub(super) fn exchange_listed(
        &mut self,
        conn: &mut Http2Conn,
        serial: u32,
        answer: &GateResponse,
        memory_permit: Option<MemoryPermit>,
    ) {
        let Some(ExchangeStage::List { respond, head_only }) = take(conn, serial, is_list) else { return };
        self.respond(conn, Asking { head_only, ..Asking::new(serial, respond) }, answer);
        if let Some(Exchange { stage: ExchangeStage::Send { memory_permit: permit, .. }, .. }) =
            conn.exchanges.get_mut(&serial)
        {
            *permit = memory_permit;
        }
    }

    /// Continues an exchange whose stream was woken.
    pub(super) fn exchange_woken(&mut self, number: u32, conn: &mut Http2Conn, serial: u32) {
        let body_bytes_max = self.deps.gate.body_bytes_max();
        let is_crowded = conn.is_crowded(body_bytes_max);
        let Some(exchange) = conn.exchanges.get_mut(&serial) else { return };
        let progress = match exchange.stage {
            ExchangeStage::Send { .. } => Some(exchange.send(self.now.ms)),
            ExchangeStage::Linger { .. } => Some(exchange.discard()),
            _ => None,
        };
        if let Some(progress) = progress {
            if progress == Progress::Done {
                conn.exchanges.remove(&serial);
                conn.finished(self.now.ms);
            }
            return self.mark_for_poll(conn);
        }
        let received = exchange.receive(body_bytes_max);
        if matches!(received, BodyProgress::Some) && !is_crowded {
            return self.mark_for_poll(conn);
        }
        let Some(ExchangeStage::Body { respond, publisher, body, content }) = take(conn, serial, is_body)
        else {
            return;
        };
        let asking = Asking { body: Some(body), ..Asking::new(serial, respond) };
        match received {
            BodyProgress::All => self.publish_exchange(number, conn, asking, &publisher, &content),
            BodyProgress::TooMuch => {
                self.refuse_exchange(conn, asking, RequestError::BodyTooLarge, publisher.context);
            }
            BodyProgress::Some => {
                let reason = "too many bodies are under way on its connection";
                let answer = self.deps.gate.unavailable(Unavailable::Crowded, reason, publisher.context);
                self.respond(conn, asking, &answer);
            }
            BodyProgress::Gone => conn.finished(self.now.ms),
        }
    }

    /// Ends an exchange that takes too long.
    pub(super) fn exchange_overdue(&mut self, conn: &mut Http2Conn, serial: u32) {
        if let Some(ExchangeStage::Body { respond, publisher, .. }) = take(conn, serial, is_body) {
            let answer = self.deps.gate.timed_out(publisher.context);
            self.respond(conn, Asking::new(serial, respond), &answer);
        } else if let Some(exchange) = conn.exchanges.remove(&serial) {
            exchange.cancel();
            conn.finished(self.now.ms);
        }
    }

    fn publish_exchange(
        &mut self,
        number: u32,
        conn: &mut Http2Conn,
        asking: Asking,
        publisher: &Publisher,
        body: &[u8],
    ) {
        let Asking { serial, respond, .. } = asking;
        match self.offer(number, serial, publisher, body) {
            Ok(frame) => {
                let stage = ExchangeStage::Commit { respond, frame, context: publisher.context };
                self.await_stage(conn, serial, stage);
            }
            Err(answer) => self.respond(conn, Asking::new(serial, respond), &answer),
        }
    }

    fn subscribe_exchange(
        &mut self,
        number: u32,
        conn: &mut Http2Conn,
        asking: Asking,
        subscription: GrantedSubscription,
    ) {
        match self.locate(number, asking.serial, &subscription) {
            Located::At(resume_point) => {
                self.begin_shared_stream(number, conn, asking, subscription, resume_point);
            }
            Located::Asked => {
                let Asking { serial, respond, .. } = asking;
                let stage = ExchangeStage::Resolve { respond, subscription: Box::new(subscription) };
                self.await_stage(conn, serial, stage);
            }
            Located::Refused(answer) => self.respond(conn, asking, &answer),
        }
    }

    /// Turns the stream into a subscriber's stream; a `HEAD` request gets a plain response instead.
    fn begin_shared_stream(
        &mut self,
        number: u32,
        conn: &mut Http2Conn,
        mut asking: Asking,
        subscription: GrantedSubscription,
        resume_point: Option<ResumePoint>,
    ) {
        let response = self.stream_response(&subscription, resume_point.as_ref());
        if asking.head_only {
            return self.respond(conn, asking, &GateResponse { response, refusal: None });
        }
        let permit = match self.take_permit(&subscription, asking.respond.caller.client) {
            Ok(permit) => permit,
            Err(answer) => return self.respond(conn, asking, &answer),
        };
        let head = head_of(&response, &self.date());
        let Ok(stream) = asking.respond.send_response(head, false) else {
            // The client is gone.
            return conn.finished(self.now.ms);
        };
        let access = asking.respond.caller.streams(0, self.now.ms);
        debug!(client = %asking.respond.caller.client, selectors = subscription.selectors.len(), ?resume_point, "subscribed");
        let opening = subscription.framing.opening().into();
        let slot = self.join(subscription, resume_point, opening);
        let mut stream = conn.subscribe(slot, stream);
        if stream.look() == Awake::Gone {
            self.deps.shard.leave(slot);
        }
        let transport = StreamTransport::Shared(Box::new(stream));
        self.sockets.attach(slot, Socket { transport, connection: number, access, _permit: permit });
    }

    fn refuse_exchange(
        &mut self,
        conn: &mut Http2Conn,
        asking: Asking,
        error: RequestError,
        context: ResponseContext,
    ) {
        let answer = self.deps.gate.refused(error, context);
        self.respond(conn, asking, &answer);
    }

    /// Sends a response, as much of it as the client takes now.
    fn respond(&mut self, conn: &mut Http2Conn, asking: Asking, answer: &GateResponse) {
        let Asking { serial, mut respond, head_only, body: unwanted } = asking;
        let GateResponse { response, refusal } = answer;
        let body = response.body().filter(|_| !head_only && response.may_have_body()).unwrap_or(&[]);
        self.log_response(&respond.caller, self.now.ms, response, body.len(), refusal.as_ref());
        let head = head_of(response, &self.date());
        self.mark_for_poll(conn);
        conn.send_budget.answered();
        // Ignore a client that is gone.
        if let Ok(stream) = respond.send_response(head, body.is_empty())
            && !body.is_empty()
        {
            let stage =
                ExchangeStage::Send { stream, rest: Bytes::copy_from_slice(body), memory_permit: None };
            let mut exchange = Exchange::new(stage, conn.exchange_waker(serial), self.now.ms);
            if exchange.send(self.now.ms) == Progress::Waits {
                conn.exchanges.insert(serial, exchange);
                return;
            }
        }
        if let Some(unwanted) = unwanted.filter(|body| !body.is_end_stream()) {
            let mut exchange = Exchange::linger(unwanted, conn.exchange_waker(serial), self.now.ms);
            if exchange.discard() == Progress::Waits {
                conn.exchanges.insert(serial, exchange);
                return;
            }
        }
        conn.finished(self.now.ms);
    }

    fn await_stage(&mut self, conn: &mut Http2Conn, serial: u32, stage: ExchangeStage) {
        let exchange = Exchange::new(stage, conn.exchange_waker(serial), self.now.ms);
        conn.exchanges.insert(serial, exchange);
    }
}

/// Takes an exchange if it is at this stage.
fn take(conn: &mut Http2Conn, serial: u32, is: fn(&ExchangeStage) -> bool) -> Option<ExchangeStage> {
    conn.exchanges.get(&serial).filter(|exchange| is(&exchange.stage))?;
    conn.exchanges.remove(&serial).map(|exchange| exchange.stage)
}

fn is_body(stage: &ExchangeStage) -> bool {
    matches!(stage, ExchangeStage::Body { .. })
}

fn is_commit(stage: &ExchangeStage) -> bool {
    matches!(stage, ExchangeStage::Commit { .. })
}

fn is_resolve(stage: &ExchangeStage) -> bool {
    matches!(stage, ExchangeStage::Resolve { .. })
}

fn is_list(stage: &ExchangeStage) -> bool {
    matches!(stage, ExchangeStage::List { .. })
}

/// The value of `Content-Length`, which `h2` enforces; 0 without one.
fn length_of(fields: &HeaderMap) -> u64 {
    let length = fields.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}
