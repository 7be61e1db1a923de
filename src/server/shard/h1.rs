//! Requests on an HTTP/1 connection: from bytes to an [`Outcome`], and from a response to bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::action::ConnAction;
use super::exchange::{self, Arrival, BegunRequest, JoinedStream, NewStream, Outcome, Reply};
use super::request_id::RequestId;
use super::shared::Shared;
use crate::api::handler::{ApiResponse, AwaitedBody, Decision, ResponseContext};
use crate::api::refusal::Refusal;
use crate::http::h1::machine::{CONTINUE, Http1Event};
use crate::http::h2::request::Prior;
use crate::http::request::Version;
use crate::http::request_error::RequestError;
use crate::http::response::{Http1, Response};
use crate::limits::{SERVE_BYTES_MAX, SERVE_STEPS_MAX};
use crate::ops::metrics::MemoryKind;
use crate::server::http1::{FlushOutcome, Http1Conn, Received, RequestState};
use crate::server::memory::{MEMORY_REACHED, Pressure};

/// One step of a request.
enum Step {
    NeedMore,
    Decided(Decision),
    Body(Vec<u8>),
    Refused(RequestError),
    Panicked,
}

/// Works on the available bytes, within a bound: no client can hold the shard by sending.
pub(super) fn serve(number: u32, conn: &mut Http1Conn, shared: &mut Shared) -> ConnAction {
    let mut bytes = 0;
    for _ in 0..SERVE_STEPS_MAX {
        match conn.flush(shared.now.ms) {
            FlushOutcome::All => conn.written(shared.now.ms),
            FlushOutcome::Blocked => return ConnAction::Waits,
            FlushOutcome::Gone => return ConnAction::Closes,
        }
        if conn.awaits_reply() {
            return ConnAction::Waits;
        }
        if bytes >= SERVE_BYTES_MAX {
            return ConnAction::Yields;
        }
        let step = match conn.prior() {
            Prior::Http2 => return ConnAction::SpeaksHttp2,
            Prior::Unknown => Step::NeedMore,
            Prior::Http1 if conn.is_lingering() => Step::NeedMore,
            Prior::Http1 => step(conn, shared),
        };
        let outcome = match step {
            Step::NeedMore if !conn.has_memory(&shared.memory) => refuse_for_memory(conn, shared),
            Step::NeedMore => match conn.receive(&mut shared.read_buffer, shared.now.ms) {
                Received::Some(count) => {
                    bytes += count;
                    continue;
                }
                Received::Nothing if shared.shutdown.dismisses() && conn.is_idle() => {
                    return ConnAction::Closes;
                }
                Received::Nothing => return ConnAction::Waits,
                Received::End => return ConnAction::Closes,
            },
            Step::Refused(error) => {
                let context = context(conn, shared);
                Outcome::Respond(shared.handler.refused(error, context), None)
            }
            Step::Panicked => {
                shared.log.defect(conn.caller.client, shared.now.ms);
                let context = context(conn, shared);
                Outcome::Respond(shared.handler.failed(context), None)
            }
            Step::Decided(decision) => {
                let id = RequestId { connection: number, serial: shared.serials.next() };
                conn.serial = id.serial;
                match exchange::begin(shared, id, decision, conn.caller.client) {
                    BegunRequest::Now(outcome) => outcome,
                    BegunRequest::ReadBody(awaited) => {
                        read_body(conn, shared, awaited);
                        continue;
                    }
                }
            }
            Step::Body(body) => body_complete(number, conn, shared, &body),
        };
        if let Some(action) = carry_out(conn, shared, outcome) {
            return action;
        }
    }
    ConnAction::Yields
}

/// Continues the request that waits for this reply.
pub(super) fn on_reply(id: RequestId, conn: &mut Http1Conn, shared: &mut Shared, reply: Reply) -> ConnAction {
    let Some(waiting) = conn.take_waiting(id.serial) else { return ConnAction::Waits };
    let outcome = exchange::go_on(shared, waiting, reply, conn.caller.client);
    match carry_out(conn, shared, outcome) {
        Some(action) => action,
        None => serve(id.connection, conn, shared),
    }
}

/// Ends the request that is arriving, to free its memory: 503, then the end.
pub(super) fn shed(number: u32, conn: &mut Http1Conn, shared: &mut Shared) -> ConnAction {
    let outcome = refuse_for_memory(conn, shared);
    match carry_out(conn, shared, outcome) {
        Some(action) => action,
        None => serve(number, conn, shared),
    }
}

fn refuse_for_memory(conn: &mut Http1Conn, shared: &mut Shared) -> Outcome {
    let context = context(conn, shared);
    shared.memory.count_shed(MemoryKind::Requests);
    Outcome::Respond(shared.handler.out_of_memory(MEMORY_REACHED, context), None)
}

/// The request took too long: 408, then the end.
pub(super) fn time_out(number: u32, conn: &mut Http1Conn, shared: &mut Shared) -> ConnAction {
    let context = context(conn, shared);
    let response = match conn.is_body_slow(shared.now.ms) {
        true => shared.handler.too_slow(context),
        false => shared.handler.timed_out(context),
    };
    respond(conn, shared, &response);
    serve(number, conn, shared)
}

/// Queues a response, and logs the reason of a refusal.
pub(super) fn respond(conn: &mut Http1Conn, shared: &mut Shared, response: &ApiResponse) {
    encode(conn, shared, &response.response, response.refusal.as_ref());
}

/// Reads the next event of the HTTP machine and decides. A panic in here is a defect that one
/// client triggered; it must not end the streams of all others.
fn step(conn: &mut Http1Conn, shared: &mut Shared) -> Step {
    let (is_tls, began_ms) = (conn.transport.is_tls(), conn.began_ms(shared.now.ms));
    let arrival = Arrival { peer: conn.peer, is_tls, began_ms };
    let step = catch_unwind(AssertUnwindSafe(|| match conn.http.poll() {
        Http1Event::NeedMore => Step::NeedMore,
        Http1Event::Head(mut request) => {
            conn.version = request.version;
            conn.head_only = request.method == http::Method::HEAD;
            conn.context = Some(shared.handler.context(request.origin));
            Step::Decided(exchange::decide(shared, &mut request, arrival, &mut conn.caller))
        }
        Http1Event::Body(body) => Step::Body(body),
        Http1Event::Refused(error) => Step::Refused(error),
    }));
    step.unwrap_or(Step::Panicked)
}

fn body_complete(number: u32, conn: &mut Http1Conn, shared: &mut Shared, body: &[u8]) -> Outcome {
    let Some(awaited) = conn.take_awaited() else {
        let context = context(conn, shared);
        return Outcome::Respond(shared.handler.failed(context), None);
    };
    let id = RequestId { connection: number, serial: conn.serial };
    exchange::body_complete(shared, id, awaited, body, conn.caller.client)
}

fn read_body(conn: &mut Http1Conn, shared: &Shared, awaited: AwaitedBody) {
    conn.context = Some(awaited.context());
    if conn.http.accept_body(shared.handler.body_bytes_max()) {
        conn.queue(CONTINUE.to_vec(), None, shared.now.ms);
    }
    conn.begin_body(awaited, shared.now.ms);
}

/// Does what is decided; returns the action if the connection's work ends here for now.
fn carry_out(conn: &mut Http1Conn, shared: &mut Shared, outcome: Outcome) -> Option<ConnAction> {
    match outcome {
        Outcome::Respond(response, permit) => {
            respond(conn, shared, &response);
            conn.memory_permit = permit;
        }
        Outcome::Wait(waiting) => conn.state = RequestState::Waits(waiting),
        Outcome::Stream(stream) => return Some(begin_stream(conn, shared, *stream)),
        Outcome::HangUp => return Some(ConnAction::Closes),
    }
    None
}

/// Turns the connection into a stream.
fn begin_stream(conn: &mut Http1Conn, shared: &mut Shared, stream: NewStream) -> ConnAction {
    if conn.has_ended {
        // A stream ends with its client, and no further event will report that.
        return ConnAction::Closes;
    }
    let mut head = Vec::with_capacity(512);
    let date = shared.date.at(shared.now);
    let http1 = Http1 { version: conn.version, head_only: false, keep_alive: true, date: Some(&date) };
    stream.response.encode(&http1, &mut head);
    let JoinedStream { slot, access, permits } = stream.join(shared, head, &mut conn.caller);
    conn.caller.access = access;
    ConnAction::Streams(slot, permits)
}

/// The context of a response to a request that is not carried out. If its head was unreadable, the
/// origin is recovered from the lines before the defect (PROTOCOL section 8: errors included).
fn context(conn: &mut Http1Conn, shared: &Shared) -> ResponseContext {
    conn.context.unwrap_or_else(|| {
        let recovered_head = conn.http.recovered_head();
        conn.head_only = recovered_head.is_head;
        shared.handler.context(recovered_head.origin)
    })
}

fn encode(conn: &mut Http1Conn, shared: &mut Shared, response: &Response, refusal: Option<&Refusal>) {
    // An idle connection is the first thing that is not needed when memory is short.
    let goes_on = conn.http.begin_response()
        && shared.shutdown.is_serving()
        && conn.version == Version::Http11
        && shared.memory.pressure() == Pressure::Low;
    let date = shared.date.at(shared.now);
    let http1 =
        Http1 { version: conn.version, head_only: conn.head_only, keep_alive: goes_on, date: Some(&date) };
    let mut bytes = Vec::with_capacity(512 + response.body().map_or(0, <[u8]>::len));
    response.encode(&http1, &mut bytes);
    let body_bytes = if conn.head_only { 0 } else { response.body().map_or(0, <[u8]>::len) };
    let now_ms = shared.now.ms;
    shared.log.response(&conn.caller, (conn.began_ms(now_ms), now_ms), response, body_bytes, refusal);
    conn.queue(bytes, Some(goes_on), now_ms);
    conn.state = RequestState::Client;
}
