//! Requests on the streams of an HTTP/2 connection: from frames to an [`Outcome`], and from a
//! response to the stream.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::action::ConnAction;
use super::exchange::{self, Arrival, BegunRequest, JoinedStream, NewStream, Outcome, Reply};
use super::request_id::RequestId;
use super::shared::Shared;
use super::streams::{StreamSocket, StreamTransport};
use crate::api::handler::{ApiResponse, AwaitedBody, ResponseContext};
use crate::api::refusal::Unavailable;
use crate::http::h2::request::read_request;
use crate::http::request_error::RequestError;
use crate::limits::{
    HTTP2_READ_BYTES_MAX, HTTP2_READ_BYTES_MIN, SERVE_BYTES_MAX, SERVE_SLICE_US, SERVE_STEPS_MAX,
};
use crate::ops::access_log::Caller;
use crate::ops::metrics::MemoryKind;
use crate::server::http2::{
    Awake, BodyProgress, Exchange, ExchangeStage, Http2Conn, Http2Overdue, Polled, Progress, StreamKey,
    StreamResponder, head_of,
};
use crate::server::memory::MEMORY_REACHED;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request};

/// Works on the available bytes, reading at most `bytes_max` of them, so that a client that never
/// stops sending cannot hold the shard. The slice is also bounded in time: heads are compressed, so
/// the client chooses what a byte costs.
pub(super) fn serve(conn: &mut Http2Conn, shared: &mut Shared, bytes_max: usize) -> ConnAction {
    let action = serve_slice(conn, shared, bytes_max);
    conn.count_memory();
    action
}

fn serve_slice(conn: &mut Http2Conn, shared: &mut Shared, bytes_max: usize) -> ConnAction {
    let until = shared.budget.moment() + Duration::from_micros(SERVE_SLICE_US);
    conn.begin_slice(shared.now.ms);
    let mut bytes_left = bytes_max;
    let mut slice = HTTP2_READ_BYTES_MIN;
    for _ in 0..SERVE_STEPS_MAX {
        match conn.poll() {
            Polled::Request(request) => {
                slice = HTTP2_READ_BYTES_MIN;
                begin(conn, shared, *request);
                if shared.budget.moment() >= until {
                    return ConnAction::Yields;
                }
                continue;
            }
            Polled::Pending => {}
            Polled::Closed => return ConnAction::Ends,
        }
        for key in conn.take_wakes() {
            match key {
                StreamKey::Subscriber(slot) => shared.streams.on_wake(conn.number, slot),
                StreamKey::Exchange(serial) => on_wake(conn, shared, serial),
            }
        }
        for slot in conn.send_budget.take_waiting() {
            shared.streams.shard.writable(slot);
        }
        if !conn.send_budget.is_dirty() {
            if !shared.shutdown.is_serving() && conn.is_idle() {
                return ConnAction::Ends;
            }
            if !conn.has_more() {
                return ConnAction::Waits;
            }
            if bytes_left == 0 || shared.budget.moment() >= until {
                return ConnAction::Yields;
            }
            let allowed = slice.min(bytes_left);
            conn.allow(allowed);
            bytes_left -= allowed;
            slice = HTTP2_READ_BYTES_MAX;
        }
    }
    ConnAction::Yields
}

/// Continues the request that waits for this reply. The connection is polled later in this round.
pub(super) fn on_reply(serial: u32, conn: &mut Http2Conn, shared: &mut Shared, reply: Reply) {
    if let Some((responder, waiting, head_only)) = conn.take_waiting(serial) {
        let outcome = exchange::go_on(shared, waiting, reply, responder.caller.client);
        carry_out(conn, shared, PendingRequest { serial, responder, head_only, body: None }, outcome);
    }
    mark_for_poll(conn, shared);
}

/// Handles a deadline.
pub(super) fn on_deadline(conn: &mut Http2Conn, shared: &mut Shared) -> ConnAction {
    loop {
        match conn.overdue(&shared.timeouts, shared.now.ms) {
            Http2Overdue::Nothing => break,
            Http2Overdue::Close => return ConnAction::Closes,
            Http2Overdue::Leave => {
                conn.leave(shared.now.ms);
                break;
            }
            // All streams of a connection may be overdue at once.
            Http2Overdue::Exchange(serial) => end_overdue(conn, shared, serial),
        }
    }
    serve(conn, shared, SERVE_BYTES_MAX)
}

/// A stream was changed: the connection is polled in this round.
fn mark_for_poll(conn: &Http2Conn, shared: &mut Shared) {
    shared.streams.mark_for_poll(&conn.send_budget, conn.number);
}

/// A request whose response is being made.
struct PendingRequest {
    serial: u32,
    responder: StreamResponder,
    head_only: bool,
    /// The incomplete body, if it is not needed.
    body: Option<RecvStream>,
}

/// Handles a new request.
fn begin(
    conn: &mut Http2Conn,
    shared: &mut Shared,
    (request, respond): (Request<RecvStream>, SendResponse<Bytes>),
) {
    let (parts, body) = request.into_parts();
    let arrival = Arrival { peer: conn.peer, is_tls: conn.is_tls(), began_ms: shared.now.ms };
    let mut caller = Caller::peer(conn.peer);
    let decided = catch_unwind(AssertUnwindSafe(|| {
        let mut request = read_request(&parts)?;
        let decision = exchange::decide(shared, &mut request, arrival, &mut caller);
        Ok::<_, RequestError>((decision, request.expect_continue))
    }));
    let origin = parts.headers.get(http::header::ORIGIN).map(http::HeaderValue::as_bytes);
    let context = shared.handler.context(origin);
    let id = RequestId { connection: conn.number, serial: shared.serials.next() };
    let client = caller.client;
    let responder = StreamResponder::new(respond, caller);
    let head_only = parts.method == http::Method::HEAD;
    let request = PendingRequest { serial: id.serial, responder, head_only, body: Some(body) };
    match decided {
        Err(_) => {
            shared.log.defect(client, shared.now.ms);
            let response = shared.handler.failed(context);
            respond_with(conn, shared, request, &response);
        }
        Ok(Err(error)) => refuse(conn, shared, request, error, context),
        Ok(Ok((decision, expects_continue))) => match exchange::begin(shared, id, decision, client) {
            BegunRequest::Now(outcome) => carry_out(conn, shared, request, outcome),
            BegunRequest::ReadBody(awaited)
                if length_of(&parts.headers) > shared.handler.body_bytes_max() =>
            {
                refuse(conn, shared, request, RequestError::BodyTooLarge, awaited.context());
            }
            BegunRequest::ReadBody(awaited) => {
                read_body(conn, shared, request, awaited, expects_continue);
            }
        },
    }
}

fn read_body(
    conn: &mut Http2Conn,
    shared: &mut Shared,
    request: PendingRequest,
    awaited: AwaitedBody,
    expects_continue: bool,
) {
    let PendingRequest { serial, mut responder, body: Some(body), .. } = request else { return };
    if expects_continue && !body.is_end_stream() {
        responder.send_continue();
    }
    let memory = shared.memory.hold(MemoryKind::Requests, awaited.bytes_held());
    let stage = ExchangeStage::Body { responder, awaited, body, content: Vec::new(), memory };
    conn.reads_body();
    keep(conn, shared, serial, stage);
    // No wake-up will report the part of the body that is here already.
    on_wake(conn, shared, serial);
}

/// Does what is decided.
fn carry_out(conn: &mut Http2Conn, shared: &mut Shared, mut request: PendingRequest, outcome: Outcome) {
    match outcome {
        Outcome::Respond(response, permit) => {
            let serial = request.serial;
            respond_with(conn, shared, request, &response);
            conn.hold(serial, permit);
        }
        Outcome::Wait(waiting) => {
            let PendingRequest { serial, responder, head_only, .. } = request;
            keep(conn, shared, serial, ExchangeStage::Waits { responder, waiting, head_only });
        }
        Outcome::Stream(stream) => begin_stream(conn, shared, request, *stream),
        // Nothing was done: the client may retry (RFC 9113, section 8.7).
        Outcome::HangUp => {
            request.responder.reset(h2::Reason::REFUSED_STREAM);
            mark_for_poll(conn, shared);
            conn.finished(shared.now.ms);
        }
    }
}

/// Turns the stream into a subscriber's stream.
fn begin_stream(conn: &mut Http2Conn, shared: &mut Shared, mut request: PendingRequest, stream: NewStream) {
    let head = head_of(&stream.response, &shared.date.at(shared.now));
    let Some(sender) = request.responder.send_head(head, false) else {
        // The client is gone.
        return conn.finished(shared.now.ms);
    };
    let joined = stream.join(shared, Vec::new(), &mut request.responder.caller);
    let JoinedStream { slot, access, permits } = joined;
    let mut stream = conn.subscribe(slot, sender);
    if stream.look() == Awake::Gone {
        shared.streams.shard.leave(slot);
    }
    let transport = StreamTransport::Shared(Box::new(stream));
    shared.streams.attach(slot, StreamSocket::new(transport, conn.number, access, permits));
}

/// Continues an exchange whose stream was woken.
fn on_wake(conn: &mut Http2Conn, shared: &mut Shared, serial: u32) {
    let body_bytes_max = shared.handler.body_bytes_max();
    let is_crowded = conn.is_crowded(body_bytes_max);
    let Some(exchange) = conn.exchanges.get_mut(&serial) else { return };
    let progress = match exchange.stage {
        ExchangeStage::Send { .. } => Some(exchange.send(shared.now.ms)),
        ExchangeStage::Linger { .. } => Some(exchange.discard()),
        ExchangeStage::Body { .. } | ExchangeStage::Waits { .. } => None,
    };
    if let Some(progress) = progress {
        if progress == Progress::Done {
            conn.exchanges.remove(&serial);
            conn.finished(shared.now.ms);
        }
        return mark_for_poll(conn, shared);
    }
    let received = exchange.receive(body_bytes_max);
    let fits = shared.memory.fits_request(exchange.body_bytes_held());
    if matches!(received, BodyProgress::Some) && !is_crowded && fits {
        return mark_for_poll(conn, shared);
    }
    let Some((responder, awaited, body, content)) = conn.take_body(serial) else { return };
    let (context, client) = (awaited.context(), responder.caller.client);
    let request = PendingRequest { serial, responder, head_only: false, body: Some(body) };
    match received {
        BodyProgress::All => {
            let id = RequestId { connection: conn.number, serial };
            let outcome = exchange::body_complete(shared, id, awaited, &content, client);
            carry_out(conn, shared, PendingRequest { body: None, ..request }, outcome);
        }
        BodyProgress::TooMuch => refuse(conn, shared, request, RequestError::BodyTooLarge, context),
        BodyProgress::Some if !fits => {
            shared.memory.count_shed(MemoryKind::Requests);
            let response = shared.handler.out_of_memory(MEMORY_REACHED, context);
            respond_with(conn, shared, request, &response);
        }
        BodyProgress::Some => {
            let reason = "too many bodies are under way on its connection";
            let response = shared.handler.unavailable(Unavailable::Crowded, reason, context);
            respond_with(conn, shared, request, &response);
        }
        BodyProgress::Gone => conn.finished(shared.now.ms),
    }
}

/// Ends an exchange that takes too long.
fn end_overdue(conn: &mut Http2Conn, shared: &mut Shared, serial: u32) {
    let is_slow = conn.exchanges.get(&serial).is_some_and(|exchange| exchange.is_body_slow(shared.now.ms));
    if let Some((responder, awaited, ..)) = conn.take_body(serial) {
        let response = match is_slow {
            true => shared.handler.too_slow(awaited.context()),
            false => shared.handler.timed_out(awaited.context()),
        };
        respond_with(
            conn,
            shared,
            PendingRequest { serial, responder, head_only: false, body: None },
            &response,
        );
    } else if let Some(exchange) = conn.exchanges.remove(&serial) {
        exchange.cancel();
        conn.finished(shared.now.ms);
    }
}

fn refuse(
    conn: &mut Http2Conn,
    shared: &mut Shared,
    request: PendingRequest,
    error: RequestError,
    context: ResponseContext,
) {
    let response = shared.handler.refused(error, context);
    respond_with(conn, shared, request, &response);
}

/// Sends a response, as much of it as the client takes now.
fn respond_with(
    conn: &mut Http2Conn,
    shared: &mut Shared,
    request: PendingRequest,
    ApiResponse { response, refusal }: &ApiResponse,
) {
    let PendingRequest { serial, mut responder, head_only, body: unwanted } = request;
    let body = response.body().filter(|_| !head_only && response.may_have_body()).unwrap_or(&[]);
    let now_ms = shared.now.ms;
    shared.log.response(&responder.caller, (now_ms, now_ms), response, body.len(), refusal.as_ref());
    let head = head_of(response, &shared.date.at(shared.now));
    mark_for_poll(conn, shared);
    conn.send_budget.count_response();
    // Ignore a client that is gone.
    if let Some(stream) = responder.send_head(head, body.is_empty())
        && !body.is_empty()
    {
        let stage = ExchangeStage::Send { stream, rest: Bytes::copy_from_slice(body), memory_permit: None };
        let mut exchange = Exchange::new(stage, conn.exchange_waker(serial), now_ms);
        if exchange.send(now_ms) == Progress::Waits {
            conn.exchanges.insert(serial, exchange);
            return;
        }
    }
    if let Some(unwanted) = unwanted.filter(|body| !body.is_end_stream()) {
        let mut exchange = Exchange::linger(unwanted, conn.exchange_waker(serial), now_ms);
        if exchange.discard() == Progress::Waits {
            conn.exchanges.insert(serial, exchange);
            return;
        }
    }
    conn.finished(now_ms);
}

fn keep(conn: &mut Http2Conn, shared: &Shared, serial: u32, stage: ExchangeStage) {
    let exchange = Exchange::new(stage, conn.exchange_waker(serial), shared.now.ms);
    conn.exchanges.insert(serial, exchange);
}

/// The value of `Content-Length`, which `h2` enforces; 0 without one.
fn length_of(fields: &HeaderMap) -> u64 {
    let length = fields.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}
