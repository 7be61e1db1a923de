//! The life of a request, whatever carries it: decided, then its body, then a result, then a
//! response.
//!
//! ```text
//!            ┌─▶ ReadBody ─ body ─▶ Commit ── entry of the ring ──┐
//!            │           └─▶ Resolve, Stream
//!  decision ─┼─▶ Resolve ─────────── reply of the history ────────┼─▶ Respond
//!            ├─▶ List ────────────── replies of the shards ───────┘   or Stream
//!            └─▶ Respond, Stream, HangUp
//! ```
//!
//! Each function takes a request one step further and returns an [`Outcome`]; [`super::h1`] and
//! [`super::h2`] carry it out on their connections. Invariant: a reply that comes late finds
//! another serial, and is ignored.

use std::net::SocketAddr;
use std::sync::Arc;

use tracing::debug;

use super::request_id::RequestId;
use super::shared::Shared;
use super::streams::StreamPermits;
use crate::api::handler::{ApiResponse, AwaitedBody, Decision, GrantedSubscription, Publisher};
use crate::api::refusal::Unavailable;
use crate::history::{HistoryError, ResumePoint};
use crate::http::request::Request;
use crate::http::response::{Precedes, Response};
use crate::hub::client::ClientKey;
use crate::hub::presence::EventsWait;
use crate::hub::sequencer::ReplyTo;
use crate::limits::SELECTOR_ANNOUNCED_BYTES;
use crate::mercure::selector::Selector;
use crate::ops::access_log::{Access, Caller, Client};
use crate::ops::metrics::MemoryKind;
use crate::redact::Redacted;
use crate::server::history_worker::HistoryRequest;
use crate::server::memory::{MEMORY_REACHED, MemoryPermit, Pressure};
use crate::server::waiting::Waiting;

/// What to do with a request now.
pub(super) enum Outcome {
    /// Send this response; a long one holds a permit while it is sent.
    Respond(ApiResponse, Option<MemoryPermit>),
    /// Keep it until the reply comes.
    Wait(Waiting),
    /// Begin a stream.
    Stream(Box<NewStream>),
    /// Close without a response.
    HangUp,
}

/// What to do with a request whose head was decided.
pub(super) enum BegunRequest {
    /// Read the body, then call [`body_complete`].
    ReadBody(AwaitedBody),
    /// Nothing more is to be read.
    Now(Outcome),
}

/// How a request arrived.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    pub(super) peer: Option<SocketAddr>,
    pub(super) is_tls: bool,
    /// When its first byte arrived.
    pub(super) began_ms: u64,
}

/// A subscription whose stream begins.
pub(super) struct NewStream {
    /// The head of the response.
    pub(super) response: Response,
    pub(super) subscription: GrantedSubscription,
    pub(super) resume_point: Option<ResumePoint>,
    pub(super) permits: StreamPermits,
}

/// A result that a request waited for.
pub(super) enum Reply {
    /// Its publication is stored, or was refused.
    Committed { is_stored: bool },
    /// The history knows where the subscription begins, or cannot be read.
    Resolved(Result<ResumePoint, HistoryError>),
    /// The list is gathered.
    Listed(ApiResponse, Option<MemoryPermit>),
}

/// A stream that has begun: what carries its bytes is attached to the slot.
pub(super) struct JoinedStream {
    pub(super) slot: u32,
    pub(super) access: Option<Box<Access>>,
    pub(super) permits: StreamPermits,
}

impl NewStream {
    /// Adds the subscriber. It is sent `head` first: the bytes of the response's head, if the
    /// connection has no other way for them.
    pub(super) fn join(self, shared: &mut Shared, head: Vec<u8>, caller: &mut Caller) -> JoinedStream {
        let Self { subscription, resume_point, permits, .. } = self;
        let access = caller.streams(head.len(), shared.now.ms);
        let mut opening = head;
        opening.extend_from_slice(subscription.framing.opening());
        let (client, selectors) = (caller.client, subscription.selectors.len());
        let is_pattern = |it: &&Selector| matches!(it, Selector::Pattern(_));
        let patterns = subscription.selectors.iter().filter(is_pattern).count();
        let after = resume_point.as_ref().map(|point| point.cursor.get());
        let last_event_id = resume_point.as_ref().and_then(|point| point.known.as_ref());
        let last_event_id = last_event_id.map(|id| Redacted::new(id.as_str()));
        debug!(%client, selectors, patterns, after, ?last_event_id, "subscribed");
        let (timeouts, now, random) = (&shared.timeouts, shared.now, shared.random.bytes());
        let client = ClientKey::new(subscription.token, client.address());
        let slot =
            shared.streams.join(subscription, client, resume_point, opening.into(), timeouts, (now, random));
        JoinedStream { slot, access, permits }
    }
}

/// Decides about a request. `caller` is set before, so that it is known after a panic.
pub(super) fn decide(
    shared: &mut Shared,
    request: &mut Request<'_>,
    arrival: Arrival,
    caller: &mut Caller,
) -> Decision {
    let Arrival { peer, is_tls, began_ms } = arrival;
    *caller = Caller::read(shared.log.rules, request, peer, is_tls, began_ms);
    let client = caller.client;
    debug!(%client, method = request.method_name(), path = %Redacted::new(request.path), "request");
    let decision = shared.handler.decide(request, shared.now);
    let spoken = shared.handler.spoken();
    caller.speaks(spoken);
    if spoken.is_legacy() && shared.handler.is_mixed() {
        shared.log.older_client(caller, request, shared.now.ms);
    }
    decision
}

/// Begins what was decided.
pub(super) fn begin(shared: &mut Shared, id: RequestId, decision: Decision, client: Client) -> BegunRequest {
    BegunRequest::Now(match decision {
        Decision::Respond(response) => Outcome::Respond(response, None),
        Decision::HangUp => Outcome::HangUp,
        Decision::ReadBody(awaited) => return BegunRequest::ReadBody(awaited),
        Decision::Subscribe(subscription) => subscribe(shared, id, *subscription, client),
        Decision::List(listing) => {
            let (context, lag) = (listing.context, shared.ring.lag());
            match shared.listings.begin(id, *listing, lag, &shared.handler) {
                Ok(()) => Outcome::Wait(Waiting::List(context)),
                Err(response) => Outcome::Respond(response, None),
            }
        }
    })
}

/// Goes on with a complete body.
pub(super) fn body_complete(
    shared: &mut Shared,
    id: RequestId,
    awaited: AwaitedBody,
    body: &[u8],
    client: Client,
) -> Outcome {
    let context = awaited.context();
    match awaited {
        AwaitedBody::Publication(publisher) => publish(shared, id, &publisher, body),
        AwaitedBody::Query(subscriber) => {
            let decision = shared.handler.query(*subscriber, body, shared.now);
            match begin(shared, id, decision, client) {
                BegunRequest::Now(outcome) => outcome,
                // A request has one body.
                BegunRequest::ReadBody(_) => Outcome::Respond(shared.handler.failed(context), None),
            }
        }
    }
}

/// Hands the update of a complete body to the sequencer; the result comes round the ring.
fn publish(shared: &mut Shared, id: RequestId, publisher: &Publisher, body: &[u8]) -> Outcome {
    let context = publisher.context;
    if shared.memory.pressure() == Pressure::Sheds {
        return Outcome::Respond(shared.handler.out_of_memory(MEMORY_REACHED, context), None);
    }
    let frame = match shared.handler.publish(publisher, body, shared.random.bytes()) {
        Ok(frame) => frame,
        Err(response) => return Outcome::Respond(response, None),
    };
    if shared.log.log_updates {
        debug!(event = %Redacted::whole(frame.event()), "update");
    }
    let reply_to = ReplyTo::Request { shard: shared.number, connection: id.connection, serial: id.serial };
    match shared.publications.offer(Arc::clone(&frame), reply_to) {
        Ok(()) => {
            shared.log.recorder.offered();
            Outcome::Wait(Waiting::Commit { frame, context })
        }
        Err(cause) => {
            let reason = match cause {
                Unavailable::Stopping => "the hub stops",
                _ => "the publication queue is full",
            };
            Outcome::Respond(shared.handler.unavailable(cause, reason, context), None)
        }
    }
}

/// Continues a request that waited, with its reply. Another reply than the expected one is a
/// defect, and ends the request with 500.
pub(super) fn go_on(shared: &mut Shared, waiting: Waiting, reply: Reply, client: Client) -> Outcome {
    match (waiting, reply) {
        (Waiting::Commit { frame, context }, Reply::Committed { is_stored: true }) => {
            Outcome::Respond(shared.handler.published(&frame, context), None)
        }
        (Waiting::Commit { context, .. }, Reply::Committed { is_stored: false }) => {
            let reason = "the history refused the update";
            Outcome::Respond(shared.handler.unavailable(Unavailable::History, reason, context), None)
        }
        (Waiting::Resolve(subscription), Reply::Resolved(Ok(resume_point))) => {
            open(shared, *subscription, Some(resume_point), client)
        }
        (Waiting::Resolve(subscription), Reply::Resolved(Err(error))) => {
            shared.log.history_error(&error, shared.now.ms);
            let reason = "the history cannot be read";
            let context = subscription.context;
            Outcome::Respond(shared.handler.unavailable(Unavailable::History, reason, context), None)
        }
        (Waiting::List(_), Reply::Listed(response, permit)) => Outcome::Respond(response, permit),
        (waiting, _) => {
            shared.log.defect(client, shared.now.ms);
            Outcome::Respond(shared.handler.failed(waiting.context()), None)
        }
    }
}

/// Begins a stream if its start is known. Otherwise asks the history first, since the response head
/// carries it.
fn subscribe(
    shared: &mut Shared,
    id: RequestId,
    subscription: GrantedSubscription,
    client: Client,
) -> Outcome {
    let Some(resume) = &subscription.resume else { return open(shared, subscription, None, client) };
    if let Some(resume_point) = shared.streams.shard.resolve(resume) {
        return open(shared, subscription, Some(resume_point), client);
    }
    let RequestId { connection, serial } = id;
    match shared.history.ask(HistoryRequest::Resolve { connection, serial, resume: resume.clone() }) {
        Ok(()) => Outcome::Wait(Waiting::Resolve(Box::new(subscription))),
        Err(error) => {
            let (cause, context) = (Unavailable::History, subscription.context);
            Outcome::Respond(shared.handler.unavailable(cause, &error.to_string(), context), None)
        }
    }
}

/// Opens a stream; a `HEAD` request gets a plain response instead.
fn open(
    shared: &mut Shared,
    subscription: GrantedSubscription,
    resume_point: Option<ResumePoint>,
    client: Client,
) -> Outcome {
    if let Some(response) = shared.handler.withdrawn(&subscription) {
        return Outcome::Respond(response, None);
    }
    let precedes = resume_point.as_ref().map(|resume_point| match &resume_point.known {
        Some(id) => Precedes::Event(id),
        None => Precedes::Earliest,
    });
    let response = ApiResponse { response: Response::stream(precedes, subscription.dialect), refusal: None };
    let response = shared.handler.complete(response, subscription.context);
    if subscription.head_only {
        return Outcome::Respond(response, None);
    }
    match take_permits(shared, &subscription, client) {
        Ok(permits) => {
            let response = response.response;
            Outcome::Stream(Box::new(NewStream { response, subscription, resume_point, permits }))
        }
        Err(response) => Outcome::Respond(response, None),
    }
}

/// Counts a subscription for its token and its client, where these are limited, its memory, and
/// what its templates cost.
///
/// # Errors
/// The response, at a limit.
fn take_permits(
    shared: &mut Shared,
    subscription: &GrantedSubscription,
    client: Client,
) -> Result<StreamPermits, ApiResponse> {
    let key = ClientKey::new(subscription.token, client.address());
    if let Some(all) = shared.streams.shard.subscriptions() {
        all.may_begin(key).map_err(|waits| {
            let is_own = waits == EventsWait::OfClient;
            shared.handler.events_wait(is_own, subscription.context)
        })?;
    }
    let Some(selectors) = shared.memory.begin(MemoryKind::Subscriptions, selectors_bytes(subscription))
    else {
        return Err(shared.handler.out_of_memory(MEMORY_REACHED, subscription.context));
    };
    let match_cost = shared.streams.hold_match_cost(&subscription.selectors, key);
    let match_cost =
        match_cost.map_err(|bound| shared.handler.too_costly(bound.reason(), subscription.context))?;
    let permit = shared.quotas.subscribe(subscription.token, client.address());
    let permit = permit.map_err(|limit| shared.handler.too_many(limit.setting(), subscription.context))?;
    Ok(StreamPermits::new(permit, selectors, match_cost, subscription.oldest_dialect()))
}

/// The memory of the selectors of a subscription.
fn selectors_bytes(subscription: &GrantedSubscription) -> usize {
    let is_announced = !subscription.announcements.is_empty();
    let announced =
        |it: &Selector| if is_announced { it.as_str().len() + SELECTOR_ANNOUNCED_BYTES } else { 0 };
    subscription.selectors.iter().map(|it| it.held_bytes() + announced(it)).sum()
}
