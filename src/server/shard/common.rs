//! Handling of requests that is the same in every HTTP version: updates on their way to the
//! sequencer, and subscriptions on their way into the shard.

use std::sync::Arc;

use tracing::debug;

use super::ShardLoop;
use crate::api::handler::{GateResponse, GrantedSubscription, Publisher};
use crate::api::refusal::Unavailable;
use crate::history::ResumePoint;
use crate::http::response::{Precedes, Response};
use crate::hub::sequencer::{Publication, ReplyTo};
use crate::hub::shard::Joining;
use crate::mercure::subscription::SubscriberId;
use crate::ops::access_log::Client;
use crate::server::history_worker::HistoryRequest;
use crate::server::permits::SubscriptionPermit;
use crate::sse::frame::Frame;

/// Where a subscription begins.
pub(super) enum Located {
    /// After this point; `None` for live updates only.
    At(Option<ResumePoint>),
    /// The history was asked; its reply follows.
    Asked,
    /// The history cannot be asked now.
    Refused(GateResponse),
}

impl ShardLoop {
    /// Hands an update to the sequencer; the result comes round the ring.
    ///
    /// # Errors
    /// The response, if the update cannot be published.
    pub(super) fn offer(
        &mut self,
        connection: u32,
        serial: u32,
        publisher: &Publisher,
        body: &[u8],
    ) -> Result<Arc<Frame>, GateResponse> {
        let frame = self.deps.gate.publish(publisher, body, uuid::Uuid::new_v4().into_bytes())?;
        if self.deps.log_updates {
            debug!(event = %String::from_utf8_lossy(frame.event()), "update");
        }
        let reply_to = ReplyTo::Request { shard: self.deps.number, connection, serial };
        let publication = Publication { frame: Arc::clone(&frame), reply_to };
        let Some(queue) = &self.deps.queue else {
            return Err(self.deps.gate.unavailable(
                Unavailable::Stopping,
                "the hub stops",
                publisher.context,
            ));
        };
        if !queue.offer(publication) {
            return Err(self.deps.gate.unavailable(
                Unavailable::Queue,
                "the publication queue is full",
                publisher.context,
            ));
        }
        self.commits_under_way += 1;
        self.deps.recorder.offered();
        Ok(frame)
    }

    /// Where a subscription begins, if that is known here; otherwise asks the history.
    pub(super) fn locate(
        &mut self,
        connection: u32,
        serial: u32,
        subscription: &GrantedSubscription,
    ) -> Located {
        let Some(resume) = &subscription.resume else { return Located::At(None) };
        if let Some(resume_point) = self.deps.shard.resolve(resume) {
            return Located::At(Some(resume_point));
        }
        let request = HistoryRequest::Resolve { connection, serial, resume: resume.clone() };
        match self.deps.history_client.ask(request) {
            Ok(()) => Located::Asked,
            Err(error) => Located::Refused(self.deps.gate.unavailable(
                Unavailable::History,
                &error.to_string(),
                subscription.context,
            )),
        }
    }

    /// Counts a subscription for its token and its client, where these are limited; a `HEAD` is not
    /// counted.
    ///
    /// # Errors
    /// The response, at a limit.
    pub(super) fn take_permit(
        &mut self,
        subscription: &GrantedSubscription,
        client: Client,
    ) -> Result<Option<Box<SubscriptionPermit>>, GateResponse> {
        if subscription.head_only {
            return Ok(None);
        }
        if self.deps.shard.subscriptions().is_some_and(|all| all.is_crowded()) {
            let reason = "too many events of subscriptions wait";
            return Err(self.deps.gate.unavailable(Unavailable::Queue, reason, subscription.context));
        }
        self.deps
            .quotas
            .subscribe(subscription.token, client.address())
            .map_err(|limit| self.deps.gate.too_many(limit.setting(), subscription.context))
    }

    /// The response head of a stream.
    pub(super) fn stream_response(
        &self,
        subscription: &GrantedSubscription,
        resume_point: Option<&ResumePoint>,
    ) -> Response {
        let precedes = resume_point.map(|resume_point| match &resume_point.known {
            Some(id) => Precedes::Event(id),
            None => Precedes::Earliest,
        });
        let answer = GateResponse { response: Response::stream(precedes), refusal: None };
        self.deps.gate.complete(answer, subscription.context).response
    }

    /// Adds a subscriber; returns its slot.
    pub(super) fn join(
        &mut self,
        subscription: GrantedSubscription,
        resume_point: Option<ResumePoint>,
        opening: Box<[u8]>,
    ) -> u32 {
        let GrantedSubscription { selectors, grant, expires_ms, framing, .. } = subscription;
        let random = uuid::Uuid::new_v4();
        let expires_ms = expires_ms.min(self.deps.timeouts.stream_ends_ms(self.now.ms, random.as_u128()));
        let id = SubscriberId::from_random_bytes(random.into_bytes());
        let joining = Joining { selectors, grant, expires_ms, framing, id, resume_point, opening };
        self.deps.shard.join(joining, self.now)
    }
}
