//! What becomes of a request whatever version of HTTP it came in: the way of an update to the sequencer, and of a subscription
//! into the shard.

use std::sync::Arc;

use tracing::debug;

use super::ShardLoop;
use crate::history::Origin;
use crate::http::response::{Precedes, Response};
use crate::hub::gate::{Answer, Publisher, Subscription};
use crate::hub::reason::Lack;
use crate::hub::sequencer::{Publication, Ticket};
use crate::hub::shard::Joining;
use crate::protocol::frame::Frame;
use crate::protocol::subscription::SubscriberId;
use crate::runtime::access::Client;
use crate::runtime::librarian::Question;
use crate::runtime::quota::Place;

/// Where a subscription begins.
pub(super) enum Located {
    /// After this; `None` is live from here.
    At(Option<Origin>),
    /// The history was asked, and will say.
    Asked,
    /// It cannot be asked now.
    Refused(Answer),
}

impl ShardLoop {
    /// Hands an update to the sequencer; the ring will say what became of it.
    ///
    /// # Errors
    /// The answer, when there is nothing to wait for.
    pub(super) fn offer(
        &mut self,
        connection: u32,
        serial: u32,
        publisher: &Publisher,
        body: &[u8],
    ) -> Result<Arc<Frame>, Answer> {
        let frame = self.parts.gate.publish(publisher, body, uuid::Uuid::new_v4().into_bytes())?;
        if self.parts.log_updates {
            debug!(event = %String::from_utf8_lossy(frame.event()), "update");
        }
        let ticket = Ticket::Request { shard: self.parts.number, connection, serial };
        let publication = Publication { frame: Arc::clone(&frame), ticket };
        let Some(queue) = &self.parts.queue else {
            return Err(self.parts.gate.unavailable(Lack::Time, "the hub stops", publisher.passage));
        };
        if !queue.offer(publication) {
            return Err(self.parts.gate.unavailable(
                Lack::Queue,
                "the publication queue is full",
                publisher.passage,
            ));
        }
        self.commits_under_way += 1;
        self.parts.meters.offered();
        Ok(frame)
    }

    /// Where a subscription begins, if that is known here; else the history is asked.
    pub(super) fn locate(&mut self, connection: u32, serial: u32, subscription: &Subscription) -> Located {
        let Some(resume) = &subscription.resume else { return Located::At(None) };
        if let Some(origin) = self.parts.shard.resolve(resume) {
            return Located::At(Some(origin));
        }
        let question = Question::Resolve { connection, serial, resume: resume.clone() };
        match self.parts.librarian.ask(question) {
            Ok(()) => Located::Asked,
            Err(error) => Located::Refused(self.parts.gate.unavailable(
                Lack::History,
                &error.to_string(),
                subscription.passage,
            )),
        }
    }

    /// Counts a subscription, when its token or its client is counted; a `HEAD` is none.
    ///
    /// # Errors
    /// The answer, when one of them has its share.
    pub(super) fn place(
        &mut self,
        subscription: &Subscription,
        client: Client,
    ) -> Result<Option<Box<Place>>, Answer> {
        if subscription.head_only {
            return Ok(None);
        }
        if self.parts.shard.subscriptions().is_some_and(|all| all.is_crowded()) {
            let reason = "too many events of subscriptions wait";
            return Err(self.parts.gate.unavailable(Lack::Queue, reason, subscription.passage));
        }
        self.parts
            .quotas
            .subscribe(subscription.token, client.address())
            .map_err(|full| self.parts.gate.too_many(full.setting(), subscription.passage))
    }

    /// The answer that a stream begins with.
    pub(super) fn stream_response(&self, subscription: &Subscription, origin: Option<&Origin>) -> Response {
        let precedes = origin.map(|origin| match &origin.known {
            Some(id) => Precedes::Event(id),
            None => Precedes::Earliest,
        });
        let answer = Answer { response: Response::stream(precedes), reason: None };
        self.parts.gate.complete(answer, subscription.passage).response
    }

    /// Takes a subscriber in; answers its slot.
    pub(super) fn join(
        &mut self,
        subscription: Subscription,
        origin: Option<Origin>,
        opening: Box<[u8]>,
    ) -> u32 {
        let Subscription { selectors, grant, expires_ms, framing, .. } = subscription;
        let random = uuid::Uuid::new_v4();
        let expires_ms = expires_ms.min(self.parts.timeouts.stream_ends_ms(self.now.ms, random.as_u128()));
        let id = SubscriberId::from_random_bytes(random.into_bytes());
        let joining = Joining { selectors, grant, expires_ms, framing, id, origin, opening };
        self.parts.shard.join(joining, self.now)
    }
}
