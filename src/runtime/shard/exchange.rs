//! Requests on the streams of HTTP/2 connections: decided by the same gate as those of HTTP/1, and answered in their place.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request};
use tracing::debug;

use super::common::Located;
use super::subscriptions::Lease;
use super::{Carrier, ShardLoop, Socket};
use crate::history::{HistoryError, Origin};
use crate::http::http2::read_request;
use crate::http::redact;
use crate::http::refusal::Refusal;
use crate::hub::gate::{Answer, Decision, Passage, Publisher, Subscription};
use crate::hub::reason::Lack;
use crate::runtime::access::Caller;
use crate::runtime::http2::{Awake, Exchange, Multiplexed, Progress, Received, Reply, Stage, head_of};

/// Who asks: a stream, and what belongs to its answer.
struct Asking {
    serial: u32,
    respond: Reply,
    head_only: bool,
    /// Its body, when it is not here as a whole and nobody wants it.
    body: Option<RecvStream>,
}

impl Asking {
    /// A stream of which everything is known but the answer.
    fn new(serial: u32, respond: Reply) -> Self {
        Self { serial, respond, head_only: false, body: None }
    }
}

impl ShardLoop {
    /// A request came.
    pub(super) fn begin_exchange(
        &mut self,
        number: u32,
        multiplexed: &mut Multiplexed,
        (request, respond): (Request<RecvStream>, SendResponse<Bytes>),
    ) {
        let (parts, body) = request.into_parts();
        let (gate, now, peer) = (&mut self.parts.gate, self.now, multiplexed.peer);
        let (rules, is_tls) = (self.parts.access, multiplexed.is_tls());
        let mut caller = Caller::peer(peer);
        let decided = catch_unwind(AssertUnwindSafe(|| {
            let mut request = read_request(&parts)?;
            caller = Caller::read(rules, &mut request, peer, is_tls, now.ms);
            let client = caller.client;
            debug!(%client, method = request.method.as_str(), path = redact::target(request.path, None), "request");
            Ok::<_, Refusal>((gate.decide(&request, now), request.expect_continue))
        }));
        let passage = gate.passage(parts.headers.get(http::header::ORIGIN).map(http::HeaderValue::as_bytes));
        let serial = self.serial();
        let respond = Reply::new(respond, caller);
        let head_only = parts.method == http::Method::HEAD;
        let mut asking = Asking { serial, respond, head_only, body: Some(body) };
        match decided {
            Err(_) => {
                self.tell_defect(asking.respond.caller.client);
                let answer = self.parts.gate.failed(passage);
                self.respond(multiplexed, asking, &answer);
            }
            Ok(Err(refusal)) => self.refuse_exchange(multiplexed, asking, refusal, passage),
            Ok(Ok((Decision::Answer(answer), _))) => self.respond(multiplexed, asking, &answer),
            Ok(Ok((Decision::HangUp, _))) => {
                // Nothing was done: the client may ask elsewhere (RFC 9113, section 8.7).
                asking.respond.send_reset(h2::Reason::REFUSED_STREAM);
                self.touch(multiplexed);
                multiplexed.finished(self.now.ms);
            }
            Ok(Ok((Decision::ReadBody(publisher), expects))) => {
                if length_of(&parts.headers) > self.parts.gate.body_bytes_max() {
                    return self.refuse_exchange(
                        multiplexed,
                        asking,
                        Refusal::BodyTooLarge,
                        publisher.passage,
                    );
                }
                let Some(body) = asking.body.take() else { return };
                if expects && !body.is_end_stream() {
                    let mut interim = http::Response::new(());
                    *interim.status_mut() = http::StatusCode::CONTINUE;
                    // A client that is gone is told of by its body.
                    let _ = asking.respond.send_informational(interim);
                }
                let stage = Stage::Body { respond: asking.respond, publisher, body, content: Vec::new() };
                self.await_stage(multiplexed, serial, stage);
                // What is here of the body is an event that nobody will be woken for.
                self.exchange_woken(number, multiplexed, serial);
            }
            Ok(Ok((Decision::List(listing), _))) => match self.list(number, serial, *listing) {
                Ok(()) => {
                    let Asking { respond, head_only, .. } = asking;
                    self.await_stage(multiplexed, serial, Stage::List { respond, head_only });
                }
                Err(answer) => self.respond(multiplexed, asking, &answer),
            },
            Ok(Ok((Decision::Subscribe(subscription), _))) => {
                self.subscribe_exchange(number, multiplexed, asking, *subscription);
            }
        }
    }

    /// A publication of an exchange came round the ring.
    pub(super) fn exchange_committed(&mut self, multiplexed: &mut Multiplexed, serial: u32, is_stored: bool) {
        let Some(Stage::Commit { respond, frame, passage }) = take(multiplexed, serial, is_commit) else {
            return;
        };
        let answer = match is_stored {
            true => self.parts.gate.published(&frame, passage),
            false => self.parts.gate.unavailable(Lack::History, "the history refused the update", passage),
        };
        self.respond(multiplexed, Asking::new(serial, respond), &answer);
    }

    /// The history said where the subscription of an exchange begins.
    pub(super) fn exchange_resolved(
        &mut self,
        number: u32,
        multiplexed: &mut Multiplexed,
        serial: u32,
        origin: Result<Origin, HistoryError>,
    ) {
        let Some(Stage::Resolve { respond, subscription }) = take(multiplexed, serial, is_resolve) else {
            return;
        };
        let asking = Asking { head_only: subscription.head_only, ..Asking::new(serial, respond) };
        match origin {
            Ok(origin) => self.begin_shared_stream(number, multiplexed, asking, *subscription, Some(origin)),
            Err(error) => {
                self.tell_history(&error);
                let answer = self.parts.gate.unavailable(
                    Lack::History,
                    "the history cannot be read",
                    subscription.passage,
                );
                self.respond(multiplexed, asking, &answer);
            }
        }
    }

    /// The shards have listed their subscriptions for an exchange.
    pub(super) fn exchange_listed(
        &mut self,
        multiplexed: &mut Multiplexed,
        serial: u32,
        answer: &Answer,
        lease: Option<Lease>,
    ) {
        let Some(Stage::List { respond, head_only }) = take(multiplexed, serial, is_list) else { return };
        self.respond(multiplexed, Asking { head_only, ..Asking::new(serial, respond) }, answer);
        if let Some(Exchange { stage: Stage::Answer { lease: place, .. }, .. }) =
            multiplexed.exchanges.get_mut(&serial)
        {
            *place = lease;
        }
    }

    /// Something happened to a request's stream.
    pub(super) fn exchange_woken(&mut self, number: u32, multiplexed: &mut Multiplexed, serial: u32) {
        let body_bytes_max = self.parts.gate.body_bytes_max();
        let is_crowded = multiplexed.is_crowded(body_bytes_max);
        let Some(exchange) = multiplexed.exchanges.get_mut(&serial) else { return };
        let progress = match exchange.stage {
            Stage::Answer { .. } => Some(exchange.send(self.now.ms)),
            Stage::Linger { .. } => Some(exchange.discard()),
            _ => None,
        };
        if let Some(progress) = progress {
            if progress == Progress::Done {
                multiplexed.exchanges.remove(&serial);
                multiplexed.finished(self.now.ms);
            }
            return self.touch(multiplexed);
        }
        let received = exchange.receive(body_bytes_max);
        if matches!(received, Received::Some) && !is_crowded {
            return self.touch(multiplexed);
        }
        let Some(Stage::Body { respond, publisher, body, content }) = take(multiplexed, serial, is_body)
        else {
            return;
        };
        let asking = Asking { body: Some(body), ..Asking::new(serial, respond) };
        match received {
            Received::All => self.publish_exchange(number, multiplexed, asking, &publisher, &content),
            Received::TooMuch => {
                self.refuse_exchange(multiplexed, asking, Refusal::BodyTooLarge, publisher.passage);
            }
            Received::Some => {
                let reason = "too many bodies are under way on its connection";
                let answer = self.parts.gate.unavailable(Lack::Room, reason, publisher.passage);
                self.respond(multiplexed, asking, &answer);
            }
            Received::Gone => multiplexed.finished(self.now.ms),
        }
    }

    /// An exchange takes too long.
    pub(super) fn exchange_overdue(&mut self, multiplexed: &mut Multiplexed, serial: u32) {
        if let Some(Stage::Body { respond, publisher, .. }) = take(multiplexed, serial, is_body) {
            let answer = self.parts.gate.timed_out(publisher.passage);
            self.respond(multiplexed, Asking::new(serial, respond), &answer);
        } else if let Some(exchange) = multiplexed.exchanges.remove(&serial) {
            exchange.cancel();
            multiplexed.finished(self.now.ms);
        }
    }

    fn publish_exchange(
        &mut self,
        number: u32,
        multiplexed: &mut Multiplexed,
        asking: Asking,
        publisher: &Publisher,
        body: &[u8],
    ) {
        let Asking { serial, respond, .. } = asking;
        match self.offer(number, serial, publisher, body) {
            Ok(frame) => {
                let stage = Stage::Commit { respond, frame, passage: publisher.passage };
                self.await_stage(multiplexed, serial, stage);
            }
            Err(answer) => self.respond(multiplexed, Asking::new(serial, respond), &answer),
        }
    }

    fn subscribe_exchange(
        &mut self,
        number: u32,
        multiplexed: &mut Multiplexed,
        asking: Asking,
        subscription: Subscription,
    ) {
        match self.locate(number, asking.serial, &subscription) {
            Located::At(origin) => {
                self.begin_shared_stream(number, multiplexed, asking, subscription, origin);
            }
            Located::Asked => {
                let Asking { serial, respond, .. } = asking;
                let stage = Stage::Resolve { respond, subscription: Box::new(subscription) };
                self.await_stage(multiplexed, serial, stage);
            }
            Located::Refused(answer) => self.respond(multiplexed, asking, &answer),
        }
    }

    /// Makes a subscriber of a stream; not when the request is a `HEAD`, which is answered as any other.
    fn begin_shared_stream(
        &mut self,
        number: u32,
        multiplexed: &mut Multiplexed,
        mut asking: Asking,
        subscription: Subscription,
        origin: Option<Origin>,
    ) {
        let response = self.stream_response(&subscription, origin.as_ref());
        if asking.head_only {
            return self.respond(multiplexed, asking, &Answer { response, reason: None });
        }
        let place = match self.place(&subscription, asking.respond.caller.client) {
            Ok(place) => place,
            Err(answer) => return self.respond(multiplexed, asking, &answer),
        };
        let head = head_of(&response, &self.date());
        let Ok(stream) = asking.respond.send_response(head, false) else {
            // Its client is gone.
            return multiplexed.finished(self.now.ms);
        };
        let access = asking.respond.caller.streams(0, self.now.ms);
        debug!(client = %asking.respond.caller.client, selectors = subscription.selectors.len(), ?origin, "subscribed");
        let opening = subscription.framing.opening().into();
        let slot = self.join(subscription, origin, opening);
        let mut stream = multiplexed.subscribe(slot, stream);
        if stream.look() == Awake::Gone {
            self.parts.shard.leave(slot);
        }
        let carrier = Carrier::Shared(Box::new(stream));
        self.sockets.attach(slot, Socket { carrier, connection: number, access, _place: place });
    }

    fn refuse_exchange(
        &mut self,
        multiplexed: &mut Multiplexed,
        asking: Asking,
        refusal: Refusal,
        passage: Passage,
    ) {
        let answer = self.parts.gate.refused(refusal, passage);
        self.respond(multiplexed, asking, &answer);
    }

    /// Gives an answer, as much of it as the client takes now.
    fn respond(&mut self, multiplexed: &mut Multiplexed, asking: Asking, answer: &Answer) {
        let Asking { serial, mut respond, head_only, body: unwanted } = asking;
        let Answer { response, reason } = answer;
        let body = response.body().filter(|_| !head_only && response.status().has_body()).unwrap_or(&[]);
        self.tell_answer(&respond.caller, self.now.ms, response, body.len(), reason.as_ref());
        let head = head_of(response, &self.date());
        self.touch(multiplexed);
        multiplexed.flow.answered();
        // An answer to nobody is given.
        if let Ok(stream) = respond.send_response(head, body.is_empty())
            && !body.is_empty()
        {
            let stage = Stage::Answer { stream, rest: Bytes::copy_from_slice(body), lease: None };
            let mut exchange = Exchange::new(stage, multiplexed.exchange_waker(serial), self.now.ms);
            if exchange.send(self.now.ms) == Progress::Waits {
                multiplexed.exchanges.insert(serial, exchange);
                return;
            }
        }
        if let Some(unwanted) = unwanted.filter(|body| !body.is_end_stream()) {
            let mut exchange = Exchange::linger(unwanted, multiplexed.exchange_waker(serial), self.now.ms);
            if exchange.discard() == Progress::Waits {
                multiplexed.exchanges.insert(serial, exchange);
                return;
            }
        }
        multiplexed.finished(self.now.ms);
    }

    fn await_stage(&mut self, multiplexed: &mut Multiplexed, serial: u32, stage: Stage) {
        let exchange = Exchange::new(stage, multiplexed.exchange_waker(serial), self.now.ms);
        multiplexed.exchanges.insert(serial, exchange);
    }
}

/// Takes an exchange out when it is at this stage.
fn take(multiplexed: &mut Multiplexed, serial: u32, is: fn(&Stage) -> bool) -> Option<Stage> {
    multiplexed.exchanges.get(&serial).filter(|exchange| is(&exchange.stage))?;
    multiplexed.exchanges.remove(&serial).map(|exchange| exchange.stage)
}

fn is_body(stage: &Stage) -> bool {
    matches!(stage, Stage::Body { .. })
}

fn is_commit(stage: &Stage) -> bool {
    matches!(stage, Stage::Commit { .. })
}

fn is_resolve(stage: &Stage) -> bool {
    matches!(stage, Stage::Resolve { .. })
}

fn is_list(stage: &Stage) -> bool {
    matches!(stage, Stage::List { .. })
}

/// What `Content-Length` says, which the library holds the client to; 0 when it says nothing.
fn length_of(fields: &HeaderMap) -> u64 {
    let length = fields.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}
