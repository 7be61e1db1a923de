//! The oracle: what each client must have received, by what it asked for and what the history
//! holds.

use std::collections::HashMap;
use std::sync::Arc;

use petasos::limits::WHEEL_TICK_MS;
use petasos::sse::coding::Coding;
use petasos::sse::frame::Frame;
use petasos::sse::framing::{Framing, Transfer};
use petasos_fuzz_properties::stream_oracle::{self, Event};

use super::client::{Client, Departure, Purpose, Response, Subscription};
use super::requests::id_of;
use super::{HEADER_MS, HEARTBEAT_MS, STALL_MS, World};

/// How late a timer of the wheel may fire, in milliseconds.
const LATE_MS: u64 = 300;
/// A connection that is younger has met no timeout.
const YOUNG_MS: u64 = HEADER_MS - 1_000;

/// The events of a stream that arrived completely.
fn events(response: &Response) -> Vec<Event> {
    let coding = response.field("content-encoding").map(|coding| match coding {
        "gzip" => Coding::Gzip,
        "zstd" => Coding::Zstd,
        other => panic!("{other} was not asked for"),
    });
    let transfer = match response.field("transfer-encoding") {
        Some("chunked") => Transfer::Chunked,
        _ => Transfer::Plain,
    };
    stream_oracle::events(&response.body, Framing { transfer, coding })
}

/// The id that a client would come back with.
pub(super) fn last_id(client: &Client) -> Option<String> {
    let response = client.responses().into_iter().next().filter(Response::is_stream)?;
    let last = events(&response).pop().map(|event| event.id);
    last.or_else(|| response.field("last-event-id").map(ToOwned::to_owned))
}

impl World {
    /// Every client has received what it must, and nothing else.
    pub(super) fn check(&self) {
        let committed = self.committed();
        let places: HashMap<&str, usize> =
            committed.iter().enumerate().map(|(place, frame)| (frame.id().as_str(), place)).collect();
        assert_eq!(places.len(), committed.len(), "an update was stored twice");
        for client in &self.clients {
            let responses = client.responses();
            assert!(responses.len() <= client.requests_count, "more responses than requests");
            if self.must_be_served(client) {
                let closes = responses.iter().any(Response::closes);
                let count = responses.len();
                assert!(
                    count == client.requests_count || closes,
                    "{count} responses to {} requests\n{}",
                    client.requests_count,
                    client.describe(&self.hub)
                );
            }
            match &client.purpose {
                Purpose::Publish(numbers) => {
                    for (number, response) in numbers.iter().zip(&responses) {
                        check_publication(&places, *number, response);
                    }
                }
                Purpose::Subscribe(subscription) => {
                    if let Some(response) = responses.first() {
                        self.check_subscription(client, subscription, response, &committed, &places);
                    }
                }
                Purpose::List => {
                    let statuses: Vec<_> = responses.iter().map(|response| response.status).collect();
                    assert!(
                        statuses.iter().all(|status| [200, 408, 429, 503].contains(status)),
                        "{statuses:?}"
                    );
                }
            }
        }
    }

    /// Whether each request of this client must have its response.
    fn must_be_served(&self, client: &Client) -> bool {
        // Shards accept in any order: at the limit, each may be the one that is refused.
        let is_refused = self.has_limits || self.clients.len() > self.connections_max;
        let is_young = client.asked_ms.is_some_and(|asked_ms| asked_ms < client.connected_ms + YOUNG_MS);
        let was_read = self.rested_ms < client.connected_ms + STALL_MS;
        // A stream ends with its client, and with its token.
        let is_there = match &client.purpose {
            Purpose::Subscribe(subscription) => {
                client.departure == Departure::Stays && subscription.expires_ms > self.hub.now_ms()
            }
            Purpose::Publish(_) | Purpose::List => client.departure != Departure::Reset,
        };
        is_there && is_young && was_read && !is_refused && !self.has_stopped
    }

    fn check_subscription(
        &self,
        client: &Client,
        subscription: &Subscription,
        response: &Response,
        committed: &[Arc<Frame>],
        places: &HashMap<&str, usize>,
    ) {
        if !response.is_stream() {
            assert!([408, 429, 503, 401].contains(&response.status), "{}", response.head);
            return;
        }
        let Subscription { selectors, grant, resumes_after, .. } = subscription;
        let is_wanted = |frame: &Frame| {
            let selected = frame.topic_texts().any(|t| selectors.iter().any(|s| s.matches(t)));
            selected && grant.may_receive(frame.topic_texts(), frame.audience())
        };
        let received: Vec<String> = events(response).into_iter().map(|event| event.id).collect();
        let after = response.field("last-event-id");
        assert_eq!(after.is_some(), resumes_after.is_some(), "{}", response.head);
        let begin = match after {
            None => {
                // It begins anywhere before what was committed after the client had the head.
                let latest = subscription.committed_at_head.unwrap_or(committed.len());
                received.first().map_or(latest, |id| places[&**id].min(latest))
            }
            Some("earliest") => {
                let known = resumes_after.as_deref().and_then(|id| places.get(id));
                assert_eq!(known, None, "an id that the history holds");
                0
            }
            Some(id) => {
                assert_eq!(Some(id), resumes_after.as_deref());
                places[id] + 1
            }
        };
        let later = committed.iter().skip(begin).filter(|frame| is_wanted(frame));
        let wanted: Vec<&str> = later.map(|frame| frame.id().as_str()).collect();
        let is_open = client.is_open(&self.hub);
        let is_right = match is_open || client.must_have_all {
            true => received == wanted,
            false => received.len() <= wanted.len() && received == wanted[..received.len()],
        };
        assert!(
            is_right,
            "received {received:?}\nexpected {wanted:?}\nafter {after:?}, {}",
            client.describe(&self.hub)
        );
        let now_ms = self.hub.now_ms();
        let is_expired = subscription.expires_ms.saturating_add(LATE_MS) < now_ms;
        assert!(!(is_open && is_expired), "a stream outlived its token");
        // A tick before its token expires: it must end no later.
        let may_end = subscription.expires_ms <= now_ms + WHEEL_TICK_MS
            || self.response_ms > 0 && now_ms >= client.connected_ms + self.response_ms / 10 * 8
            || now_ms >= client.connected_ms + YOUNG_MS
            || self.has_stopped;
        assert!(is_open || client.departure != Departure::Stays || may_end, "a stream ended for no reason");
    }

    /// Each stream gets a heartbeat in time.
    pub(super) fn check_heartbeats(&mut self) {
        let is_live = |client: &Client, world: &Self| {
            client.is_open(&world.hub) && client.responses().first().is_some_and(Response::is_stream)
        };
        let live: Vec<_> = (0..self.clients.len()).filter(|at| is_live(&self.clients[*at], self)).collect();
        let before_ms = self.hub.now_ms();
        self.let_pass(HEARTBEAT_MS + LATE_MS);
        for at in live {
            let client = &self.clients[at];
            if client.is_open(&self.hub) {
                assert!(client.received_ms > before_ms, "client {} has no heartbeat", client.number);
            }
        }
        self.check();
    }

    /// Who takes nothing for too long is closed, and so is a request that never ends.
    pub(super) fn check_stalls(&mut self) {
        for client in &mut self.clients {
            if client.is_open(&self.hub) && self.rng.u32(..3) == 0 {
                client.is_stalled = true;
                self.hub.set_capacity(client.number, 0);
            }
        }
        // A heartbeat finds the socket full; then its time runs.
        self.let_pass(HEARTBEAT_MS + STALL_MS + 2 * LATE_MS);
        for client in &self.clients {
            let is_stream = client.responses().first().is_some_and(Response::is_stream);
            let is_slow = client.sent < client.requests.len() && !is_stream;
            if is_slow || client.is_stalled && is_stream {
                assert!(self.hub.is_closed(client.number), "not closed\n{}", client.describe(&self.hub));
            }
        }
        self.check();
    }
}

/// An update is stored if, and only if, its publisher got 200; without a response, it may be.
fn check_publication(places: &HashMap<&str, usize>, number: usize, response: &Response) {
    let id = id_of(number);
    let is_stored = places.contains_key(&*id);
    match response.status {
        200 => {
            assert_eq!(response.body, id.as_bytes());
            assert!(is_stored, "{id} was acknowledged and is not stored");
        }
        408 | 429 | 503 => assert!(!is_stored, "{id} was refused and is stored"),
        other => panic!("{other} to the publication of {id}"),
    }
}
