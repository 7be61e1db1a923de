//! Active subscriptions of this shard and of the others: their events on the way to the sequencer, and lists of them.
//!
//! A list is asked of every shard once this one has taken from the ring what was on it when the request came; the id of the newest update
//! then is the list's. So a client that was answered a publication finds it, or a later one, in the next list that it asks for.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use tracing::{debug, warn};

use super::ShardLoop;
use crate::hub::gate::{Answer, Listing};
use crate::hub::sequencer::{Publication, Ticket};
use crate::hub::subscriptions::Newest;
use crate::limits::{
    LISTING_BYTES_MAX, LISTING_SLICE, LISTINGS_HELD_BYTES_MAX, LISTINGS_MAX, SUBSCRIPTION_EVENTS_PAUSE_MS,
};
use crate::protocol::subscription::{Wanted, join_members};
use crate::runtime::post::Letter;

/// What a shard does about lists of subscriptions, and about events.
#[derive(Default)]
pub(super) struct Desk {
    /// Lists that clients of this shard asked for.
    listings: Vec<UnderWay>,
    /// Lists that shards asked this one for, oldest first.
    asked: VecDeque<Asked>,
    /// Bytes of answers that clients have not taken.
    held: Rc<Cell<usize>>,
    /// The sequencer had no room, or its history refused: no event is handed over before this moment.
    paused_until_ms: u64,
}

/// Counts a list for as long as its client has not taken it.
pub(in crate::runtime) struct Lease {
    held: Rc<Cell<usize>>,
    bytes: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.held.set(self.held.get() - self.bytes);
    }
}

impl Desk {
    /// Counts so many bytes, when there is room for them.
    fn lease(&self, bytes: usize) -> Option<Lease> {
        let held = self.held.get() + bytes;
        (held <= LISTINGS_HELD_BYTES_MAX).then(|| {
            self.held.set(held);
            Lease { held: Rc::clone(&self.held), bytes }
        })
    }
}

struct UnderWay {
    connection: u32,
    serial: u32,
    listing: Listing,
    stage: Stage,
}

enum Stage {
    /// So many entries of the ring are to be taken first.
    Behind(u64),
    Gathering(Gathering),
}

struct Gathering {
    /// So many shards have not answered.
    left: usize,
    newest: Newest,
    /// Every shard had told of everything.
    is_told: bool,
    /// `None` when they are too long.
    members: Option<Vec<u8>>,
}

struct Asked {
    by: u16,
    serial: u32,
    wanted: Arc<Wanted>,
    from: usize,
    is_told: bool,
    members: Vec<u8>,
}

impl ShardLoop {
    /// Begins to list; the answer, when that cannot be.
    pub(super) fn list(&mut self, connection: u32, serial: u32, listing: Listing) -> Result<(), Answer> {
        if self.desk.listings.len() >= LISTINGS_MAX {
            return Err(self.parts.gate.unlisted(&listing, "too many lists of subscriptions are under way"));
        }
        let stage = Stage::Behind(self.parts.ring.lag());
        self.desk.listings.push(UnderWay { connection, serial, listing, stage });
        Ok(())
    }

    /// So many entries were taken from the ring.
    pub(super) fn listings_took(&mut self, entries: usize) {
        for under_way in &mut self.desk.listings {
            if let Stage::Behind(left) = &mut under_way.stage {
                *left = left.saturating_sub(entries as u64);
            }
        }
    }

    /// Does what there is to do about lists; answers whether there was something.
    pub(super) fn attend_listings(&mut self) -> bool {
        let mut busy = self.ask_shards();
        while let Some(letter) = self.parts.post.next() {
            busy = true;
            match letter {
                Letter::Ask { by, serial, wanted } => {
                    let asked = Asked { by, serial, wanted, from: 0, is_told: true, members: Vec::new() };
                    self.desk.asked.push_back(asked);
                }
                Letter::Told { serial, is_told, members } => self.told(serial, is_told, &members),
            }
        }
        busy | self.answer_shard()
    }

    fn ask_shards(&mut self) -> bool {
        let Some(all) = self.parts.shard.subscriptions() else { return false };
        let newest = all.newest();
        let mut any = false;
        for UnderWay { serial, listing, stage, .. } in &mut self.desk.listings {
            if !matches!(stage, Stage::Behind(0)) {
                continue;
            }
            any = true;
            let ask = |to: &usize| {
                let wanted = Arc::clone(&listing.wanted);
                self.parts.post.send(*to, Letter::Ask { by: self.parts.number, serial: *serial, wanted })
            };
            // A shard that has stopped has no subscription.
            let left = (0..self.parts.post.shards()).filter(ask).count();
            let newest = newest.clone();
            *stage = Stage::Gathering(Gathering { left, newest, is_told: true, members: Some(Vec::new()) });
        }
        any
    }

    /// A shard has answered.
    fn told(&mut self, serial: u32, is_told: bool, others: &[u8]) {
        let Some(place) = self.desk.listings.iter().position(|it| it.serial == serial) else { return };
        let UnderWay { stage: Stage::Gathering(gathering), .. } = &mut self.desk.listings[place] else {
            return;
        };
        gathering.is_told &= is_told;
        gathering.left -= 1;
        gathering.members =
            gathering.members.take().filter(|members| members.len() + others.len() <= LISTING_BYTES_MAX);
        if let Some(members) = &mut gathering.members {
            join_members(members, others);
        }
        if gathering.left > 0 {
            return;
        }
        let UnderWay { connection, serial, listing, stage } = self.desk.listings.swap_remove(place);
        let Stage::Gathering(Gathering { newest, is_told, members, .. }) = stage else { return };
        let lease = members.as_ref().and_then(|members| self.desk.lease(members.len()));
        let answer = match (&members, &lease) {
            (Some(members), Some(_)) => self.parts.gate.listed(&listing, &newest, is_told, members),
            (Some(_), None) => {
                self.parts.gate.unlisted(&listing, "clients have not taken the lists that they asked for")
            }
            (None, _) => self.parts.gate.unlisted(&listing, "the list of subscriptions is too long"),
        };
        drop(members);
        self.take_turn(|this| this.listed(connection, serial, &answer, lease));
    }

    /// Lists a slice for the shard that asked first; answers whether any has.
    fn answer_shard(&mut self) -> bool {
        let Some(asked) = self.desk.asked.front_mut() else { return false };
        let next = self.parts.shard.subscriptions().and_then(|all| {
            asked.is_told &= all.is_quiet();
            all.list(asked.from, &asked.wanted, LISTING_SLICE, &mut asked.members)
        });
        // Beyond the bound the list is given up anyway.
        if let Some(next) = next.filter(|_| asked.members.len() <= LISTING_BYTES_MAX) {
            asked.from = next;
        } else if let Some(Asked { by, serial, is_told, members, .. }) = self.desk.asked.pop_front() {
            self.parts.post.send(usize::from(by), Letter::Told { serial, is_told, members });
        }
        true
    }

    /// Hands events to the sequencer, as many as this round has turns for, and one at least; answers whether it could go on.
    pub(super) fn tell_subscriptions(&mut self) -> bool {
        let Some(queue) = &self.parts.queue else { return false };
        if self.now.ms < self.desk.paused_until_ms {
            return false;
        }
        let Some(all) = self.parts.shard.subscriptions() else { return false };
        let ticket = Ticket::Event { shard: self.parts.number };
        loop {
            let Some(frame) = all.next_event(uuid::Uuid::new_v4().into_bytes()) else { break };
            if self.parts.log_updates {
                debug!(event = %String::from_utf8_lossy(frame.event()), "subscription");
            }
            if !queue.offer(Publication { frame, ticket }) {
                all.put_back();
                self.desk.paused_until_ms = self.now.ms + SUBSCRIPTION_EVENTS_PAUSE_MS;
                break;
            }
            self.parts.meters.offered_by_hub();
            self.turns_left = self.turns_left.saturating_sub(1);
            if self.turns_left == 0 {
                break;
            }
        }
        all.has_event() && self.now.ms >= self.desk.paused_until_ms
    }

    /// An event came round the ring.
    pub(super) fn event_settled(&mut self, is_stored: bool) {
        self.parts.meters.settled(is_stored);
        if !is_stored {
            self.desk.paused_until_ms = self.now.ms + SUBSCRIPTION_EVENTS_PAUSE_MS;
        }
        if let Some(all) = self.parts.shard.subscriptions() {
            all.settled(is_stored);
        }
    }

    /// When events are handed over again, if any wait for that.
    pub(super) fn events_paused_until_ms(&mut self) -> Option<u64> {
        let waits = self.parts.shard.subscriptions().is_some_and(|all| all.has_event());
        (waits && self.parts.queue.is_some()).then_some(self.desk.paused_until_ms)
    }

    /// The hub stops: every subscription ends with it.
    pub(super) fn end_subscriptions(&mut self) {
        if let Some(all) = self.parts.shard.subscriptions() {
            all.end_all();
        }
    }

    /// Whether all events are in their place, or given up.
    pub(super) fn subscriptions_are_told(&mut self, is_late: bool) -> bool {
        let Some(all) = self.parts.shard.subscriptions() else { return true };
        if is_late {
            let untold = all.abandon();
            if untold > 0 {
                warn!(
                    shard = self.parts.number,
                    untold, "there was no time to tell that these subscriptions ended with the hub"
                );
            }
        }
        is_late || all.is_quiet()
    }
}
