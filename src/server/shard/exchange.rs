//! The life of a request, whatever carries it: decided, then its body, then a result, then a
//! response.
//!
//! ```text
//!            ┌─▶ ReadBody ─ body ─▶ Commit ── entry of the ring ──┐
//!  decision ─┼─▶ Resolve ─────────── reply of the history ────────┼─▶ Respond
//!            ├─▶ List ────────────── replies of the shards ───────┘   or Stream
//!            └─▶ Respond, Stream, HangUp
//! ```
//!
//! Each function takes a request one step further and returns an [`Outcome`]; [`super::h1`] and
//! [`super::h2`] carry it out on their connections. Invariant: a reply that comes late finds
//! another serial, and is ignored.

use std::sync::Arc;

use tracing::debug;

use super::listings::MemoryPermit;
use super::request_id::RequestId;
use super::shared::Shared;
use crate::api::handler::{ApiResponse, Decision, GrantedSubscription, Publisher, ResponseContext};
use crate::api::refusal::Unavailable;
use crate::history::{HistoryError, ResumePoint};
use crate::http::response::{Precedes, Response};
use crate::hub::sequencer::ReplyTo;
use crate::ops::access_log::Client;
use crate::server::history_worker::HistoryRequest;
use crate::server::permits::SubscriptionPermit;
use crate::sse::frame::Frame;

/// A request that waits for another thread.
pub(crate) enum Waiting {
    /// For the publication's entry to come round the ring.
    Commit { frame: Arc<Frame>, context: ResponseContext },
    /// For the history to find where the subscription begins.
    Resolve(Box<GrantedSubscription>),
    /// For the shards to list their subscriptions; a `HEAD` gets no body.
    List,
}

/// What to do with a request now.
pub(super) enum Outcome {
    /// Send this response; a long one holds a permit while it is sent.
    Respond(ApiResponse, Option<MemoryPermit>),
    /// Read the body, then call [`publish`].
    ReadBody(Publisher),
    /// Keep it until the reply comes.
    Wait(Waiting),
    /// Begin a stream.
    Stream(Box<NewStream>),
    /// Close without a response.
    HangUp,
}

/// A subscription whose stream begins.
pub(super) struct NewStream {
    /// The head of the response.
    pub(super) response: Response,
    pub(super) subscription: GrantedSubscription,
    pub(super) resume_point: Option<ResumePoint>,
    pub(super) permit: Option<Box<SubscriptionPermit>>,
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

/// Begins what was decided.
pub(super) fn begin(shared: &mut Shared, id: RequestId, decision: Decision, client: Client) -> Outcome {
    match decision {
        Decision::Respond(response) => Outcome::Respond(response, None),
        Decision::HangUp => Outcome::HangUp,
        Decision::ReadBody(publisher) => Outcome::ReadBody(publisher),
        Decision::Subscribe(subscription) => subscribe(shared, id, *subscription, client),
        Decision::List(listing) => {
            let lag = shared.ring.lag();
            match shared.listings.begin(id, *listing, lag, &shared.handler) {
                Ok(()) => Outcome::Wait(Waiting::List),
                Err(response) => Outcome::Respond(response, None),
            }
        }
    }
}

/// Hands the update of a complete body to the sequencer; the result comes round the ring.
pub(super) fn publish(shared: &mut Shared, id: RequestId, publisher: &Publisher, body: &[u8]) -> Outcome {
    let context = publisher.context;
    let frame = match shared.handler.publish(publisher, body, uuid::Uuid::new_v4().into_bytes()) {
        Ok(frame) => frame,
        Err(response) => return Outcome::Respond(response, None),
    };
    if shared.log.log_updates {
        debug!(event = %String::from_utf8_lossy(frame.event()), "update");
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
        (Waiting::List, Reply::Listed(response, permit)) => Outcome::Respond(response, permit),
        (Waiting::Commit { .. } | Waiting::Resolve(_) | Waiting::List, _) => {
            Outcome::Respond(shared.handler.failed(shared.handler.context(None)), None)
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
    let precedes = resume_point.as_ref().map(|resume_point| match &resume_point.known {
        Some(id) => Precedes::Event(id),
        None => Precedes::Earliest,
    });
    let response = ApiResponse { response: Response::stream(precedes), refusal: None };
    let response = shared.handler.complete(response, subscription.context);
    if subscription.head_only {
        return Outcome::Respond(response, None);
    }
    match take_permit(shared, &subscription, client) {
        Ok(permit) => {
            let response = response.response;
            Outcome::Stream(Box::new(NewStream { response, subscription, resume_point, permit }))
        }
        Err(response) => Outcome::Respond(response, None),
    }
}

/// Counts a subscription for its token and its client, where these are limited.
///
/// # Errors
/// The response, at a limit.
fn take_permit(
    shared: &mut Shared,
    subscription: &GrantedSubscription,
    client: Client,
) -> Result<Option<Box<SubscriptionPermit>>, ApiResponse> {
    if shared.streams.shard.subscriptions().is_some_and(|all| all.is_crowded()) {
        let reason = "too many events of subscriptions wait";
        return Err(shared.handler.unavailable(Unavailable::Queue, reason, subscription.context));
    }
    let permit = shared.quotas.subscribe(subscription.token, client.address());
    permit.map_err(|limit| shared.handler.too_many(limit.setting(), subscription.context))
}
