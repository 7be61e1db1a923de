//! Active subscriptions: their events on the way to the sequencer, and lists of them over all
//! shards.
//!
//! A list asks every shard, after this shard has taken all entries that were on the ring when the
//! request came. The list's id is that of the newest update then. So a client that got the response
//! to a publication finds that update, or a later one, in the next list that it requests.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use tracing::{debug, warn};

use super::ShardLoop;
use crate::api::handler::{GateResponse, Listing};
use crate::hub::sequencer::{Publication, ReplyTo};
use crate::limits::{
    LISTING_BYTES_MAX, LISTING_SLICE, LISTINGS_HELD_BYTES_MAX, LISTINGS_MAX, SUBSCRIPTION_EVENTS_PAUSE_MS,
};
use crate::mercure::newest::Newest;
use crate::mercure::subscription::{ListingQuery, join_members};
use crate::server::mailbox::ShardMessage;

/// A shard's state of lists and subscription events.
#[derive(Default)]
pub(super) struct Listings {
    /// Lists that clients of this shard requested.
    under_way: Vec<UnderWay>,
    /// Lists that shards requested from this one, oldest first.
    asked: VecDeque<RemoteListing>,
    /// Bytes of responses that clients have not taken.
    held: Rc<Cell<usize>>,
    /// Set when the sequencer had no room or the history refused an event: no event is handed over
    /// before this moment.
    paused_until_ms: u64,
}

/// Counts the bytes of a list until its client has taken them.
pub(crate) struct MemoryPermit {
    held: Rc<Cell<usize>>,
    bytes: usize,
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.held.set(self.held.get() - self.bytes);
    }
}

impl Listings {
    /// Reserves this many bytes, if there is room for them.
    fn reserve(&self, bytes: usize) -> Option<MemoryPermit> {
        let held = self.held.get() + bytes;
        (held <= LISTINGS_HELD_BYTES_MAX).then(|| {
            self.held.set(held);
            MemoryPermit { held: Rc::clone(&self.held), bytes }
        })
    }
}

struct UnderWay {
    connection: u32,
    serial: u32,
    listing: Listing,
    stage: ListingStage,
}

enum ListingStage {
    /// This many entries of the ring must be taken first.
    Behind(u64),
    Gathering(Gathering),
}

struct Gathering {
    /// The number of shards that have not replied.
    left: usize,
    newest: Newest,
    /// Whether all events are published in every shard.
    is_settled: bool,
    /// `None` if they are too long.
    members: Option<Vec<u8>>,
}

struct RemoteListing {
    by: u16,
    serial: u32,
    wanted: Arc<ListingQuery>,
    from: usize,
    is_settled: bool,
    members: Vec<u8>,
}

impl ShardLoop {
    /// Begins a list.
    ///
    /// # Errors
    /// The response, if it cannot begin.
    pub(super) fn list(
        &mut self,
        connection: u32,
        serial: u32,
        listing: Listing,
    ) -> Result<(), GateResponse> {
        if self.listings.under_way.len() >= LISTINGS_MAX {
            return Err(self.deps.gate.unlisted(&listing, "too many lists of subscriptions are under way"));
        }
        let stage = ListingStage::Behind(self.deps.ring.lag());
        self.listings.under_way.push(UnderWay { connection, serial, listing, stage });
        Ok(())
    }

    /// Notes that entries were taken from the ring.
    pub(super) fn listings_took(&mut self, entries: usize) {
        for under_way in &mut self.listings.under_way {
            if let ListingStage::Behind(left) = &mut under_way.stage {
                *left = left.saturating_sub(entries as u64);
            }
        }
    }

    /// Advances all lists; returns whether there was work.
    pub(super) fn advance_listings(&mut self) -> bool {
        let mut busy = self.ask_shards();
        while let Some(message) = self.deps.mailbox.next() {
            busy = true;
            match message {
                ShardMessage::ListRequest { by, serial, wanted } => {
                    let asked =
                        RemoteListing { by, serial, wanted, from: 0, is_settled: true, members: Vec::new() };
                    self.listings.asked.push_back(asked);
                }
                ShardMessage::ListReply { serial, is_settled, members } => {
                    self.listed_by_shard(serial, is_settled, &members);
                }
            }
        }
        busy | self.answer_shard()
    }

    fn ask_shards(&mut self) -> bool {
        let Some(all) = self.deps.shard.subscriptions() else { return false };
        let newest = all.newest();
        let mut any = false;
        for UnderWay { serial, listing, stage, .. } in &mut self.listings.under_way {
            if !matches!(stage, ListingStage::Behind(0)) {
                continue;
            }
            any = true;
            let ask = |to: &usize| {
                let wanted = Arc::clone(&listing.wanted);
                self.deps
                    .mailbox
                    .send(*to, ShardMessage::ListRequest { by: self.deps.number, serial: *serial, wanted })
            };
            // A shard that has stopped has no subscriptions.
            let left = (0..self.deps.mailbox.shards()).filter(ask).count();
            let newest = newest.clone();
            *stage = ListingStage::Gathering(Gathering {
                left,
                newest,
                is_settled: true,
                members: Some(Vec::new()),
            });
        }
        any
    }

    /// Handles the reply of a shard.
    fn listed_by_shard(&mut self, serial: u32, is_settled: bool, others: &[u8]) {
        let Some(place) = self.listings.under_way.iter().position(|it| it.serial == serial) else { return };
        let UnderWay { stage: ListingStage::Gathering(gathering), .. } = &mut self.listings.under_way[place]
        else {
            return;
        };
        gathering.is_settled &= is_settled;
        gathering.left -= 1;
        gathering.members =
            gathering.members.take().filter(|members| members.len() + others.len() <= LISTING_BYTES_MAX);
        if let Some(members) = &mut gathering.members {
            join_members(members, others);
        }
        if gathering.left > 0 {
            return;
        }
        let UnderWay { connection, serial, listing, stage } = self.listings.under_way.swap_remove(place);
        let ListingStage::Gathering(Gathering { newest, is_settled, members, .. }) = stage else { return };
        let memory_permit = members.as_ref().and_then(|members| self.listings.reserve(members.len()));
        let answer = match (&members, &memory_permit) {
            (Some(members), Some(_)) => self.deps.gate.listed(&listing, &newest, is_settled, members),
            (Some(_), None) => {
                self.deps.gate.unlisted(&listing, "clients have not taken the lists that they asked for")
            }
            (None, _) => self.deps.gate.unlisted(&listing, "the list of subscriptions is too long"),
        };
        drop(members);
        self.spend_budget(|this| this.listed(connection, serial, &answer, memory_permit));
    }

    /// Lists a slice for the oldest request of a shard; returns whether there was one.
    fn answer_shard(&mut self) -> bool {
        let Some(asked) = self.listings.asked.front_mut() else { return false };
        let next = self.deps.shard.subscriptions().and_then(|all| {
            asked.is_settled &= all.is_quiet();
            all.list(asked.from, &asked.wanted, LISTING_SLICE, &mut asked.members)
        });
        // A list beyond the bound fails anyway.
        if let Some(next) = next.filter(|_| asked.members.len() <= LISTING_BYTES_MAX) {
            asked.from = next;
        } else if let Some(RemoteListing { by, serial, is_settled, members, .. }) =
            self.listings.asked.pop_front()
        {
            self.deps.mailbox.send(usize::from(by), ShardMessage::ListReply { serial, is_settled, members });
        }
        true
    }

    /// Hands events to the sequencer, as many as this round's budget allows, and at least one;
    /// returns whether more could follow.
    pub(super) fn offer_subscription_events(&mut self) -> bool {
        let Some(queue) = &self.deps.queue else { return false };
        if self.now.ms < self.listings.paused_until_ms {
            return false;
        }
        let Some(all) = self.deps.shard.subscriptions() else { return false };
        let reply_to = ReplyTo::Event { shard: self.deps.number };
        loop {
            let Some(frame) = all.next_event(uuid::Uuid::new_v4().into_bytes()) else { break };
            if self.deps.log_updates {
                debug!(event = %String::from_utf8_lossy(frame.event()), "subscription");
            }
            if !queue.offer(Publication { frame, reply_to }) {
                all.put_back();
                self.listings.paused_until_ms = self.now.ms + SUBSCRIPTION_EVENTS_PAUSE_MS;
                break;
            }
            self.deps.recorder.offered_by_hub();
            self.budget_left = self.budget_left.saturating_sub(1);
            if self.budget_left == 0 {
                break;
            }
        }
        all.has_event() && self.now.ms >= self.listings.paused_until_ms
    }

    /// Handles an event that came round the ring.
    pub(super) fn event_settled(&mut self, is_stored: bool) {
        self.deps.recorder.settled(is_stored);
        if !is_stored {
            self.listings.paused_until_ms = self.now.ms + SUBSCRIPTION_EVENTS_PAUSE_MS;
        }
        if let Some(all) = self.deps.shard.subscriptions() {
            all.settled(is_stored);
        }
    }

    /// When to hand over events again, if any wait.
    pub(super) fn events_paused_until_ms(&mut self) -> Option<u64> {
        let waits = self.deps.shard.subscriptions().is_some_and(|all| all.has_event());
        (waits && self.deps.queue.is_some()).then_some(self.listings.paused_until_ms)
    }

    /// The hub stops: ends every subscription.
    pub(super) fn end_subscriptions(&mut self) {
        if let Some(all) = self.deps.shard.subscriptions() {
            all.end_all();
        }
    }

    /// Whether all events are published or abandoned.
    pub(super) fn subscriptions_are_settled(&mut self, is_late: bool) -> bool {
        let Some(all) = self.deps.shard.subscriptions() else { return true };
        if is_late {
            let untold = all.abandon();
            if untold > 0 {
                warn!(
                    shard = self.deps.number,
                    untold, "there was no time to tell that these subscriptions ended with the hub"
                );
            }
        }
        is_late || all.is_quiet()
    }
}
