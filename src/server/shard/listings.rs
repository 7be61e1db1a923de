//! Lists of active subscriptions over all shards.
//!
//! A list asks every shard, after this shard has taken all entries that were on the ring when the
//! request came. The list's id is that of the newest update then. So a client that got the response
//! to a publication finds that update, or a later one, in the next list that it requests.

use std::collections::VecDeque;
use std::sync::Arc;

use super::request_id::RequestId;
use crate::api::handler::{ApiResponse, Listing, RequestHandler};
use crate::hub::presence::Subscriptions;
use crate::limits::{LISTING_BYTES_MAX, LISTING_SLICE, LISTINGS_HELD_BYTES_MAX, LISTINGS_MAX};
use crate::mercure::newest::Newest;
use crate::mercure::subscription::{ListingQuery, join_members};
use crate::ops::metrics::MemoryKind;
use crate::server::mailbox::{Mailbox, ShardMessage};
use crate::server::memory::{MEMORY_REACHED, MemoryPermit, Pressure, ShardMemory};

/// A shard's lists: those that its clients requested, and those that other shards asked of it.
pub(super) struct Listings {
    under_way: Vec<UnderWay>,
    /// Lists that shards requested from this one, oldest first.
    asked: VecDeque<RemoteListing>,
    memory: ShardMemory,
}

/// A list that is complete, or failed.
pub(super) struct Listed {
    pub(super) id: RequestId,
    pub(super) response: ApiResponse,
    pub(super) permit: Option<MemoryPermit>,
}

struct UnderWay {
    id: RequestId,
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
    permit: MemoryPermit,
}

struct RemoteListing {
    by: u16,
    serial: u32,
    wanted: Arc<ListingQuery>,
    from: usize,
    is_settled: bool,
    members: Vec<u8>,
    permit: MemoryPermit,
}

impl Listings {
    /// No list. The bytes of lists count in this memory until their clients have taken them.
    pub(super) fn new(memory: ShardMemory) -> Self {
        Self { under_way: Vec::new(), asked: VecDeque::new(), memory }
    }

    /// Begins a list, `lag` entries behind the end of the ring.
    ///
    /// # Errors
    /// The response, if it cannot begin.
    pub(super) fn begin(
        &mut self,
        id: RequestId,
        listing: Listing,
        lag: u64,
        handler: &RequestHandler,
    ) -> Result<(), ApiResponse> {
        if self.under_way.len() >= LISTINGS_MAX {
            return Err(handler.unlisted(&listing, "too many lists of subscriptions are under way"));
        }
        if self.memory.pressure() > Pressure::Low {
            return Err(handler.out_of_memory(MEMORY_REACHED, listing.context));
        }
        self.under_way.push(UnderWay { id, listing, stage: ListingStage::Behind(lag) });
        Ok(())
    }

    /// Notes that entries were taken from the ring.
    pub(super) fn took(&mut self, entries: usize) {
        for under_way in &mut self.under_way {
            if let ListingStage::Behind(left) = &mut under_way.stage {
                *left = left.saturating_sub(entries as u64);
            }
        }
    }

    /// Asks every shard for the lists that have caught up with the ring; `number` is this shard.
    /// Returns whether there was one.
    pub(super) fn ask_shards(&mut self, all: &Subscriptions, mailbox: &Mailbox, number: u16) -> bool {
        let newest = all.newest();
        let mut any = false;
        for UnderWay { id, listing, stage } in &mut self.under_way {
            if !matches!(stage, ListingStage::Behind(0)) {
                continue;
            }
            any = true;
            let ask = |to: &usize| {
                let wanted = Arc::clone(&listing.wanted);
                mailbox.send(*to, ShardMessage::ListRequest { by: number, serial: id.serial, wanted })
            };
            // A shard that has stopped has no subscriptions.
            let left = (0..mailbox.shards()).filter(ask).count();
            let members = Some(Vec::new());
            *stage = ListingStage::Gathering(Gathering {
                left,
                newest: newest.clone(),
                is_settled: true,
                members,
                permit: self.memory.hold(MemoryKind::Lists, 0),
            });
        }
        any
    }

    /// Handles a message of a shard; returns the list that it completes.
    pub(super) fn on_message(&mut self, message: ShardMessage, handler: &RequestHandler) -> Option<Listed> {
        match message {
            ShardMessage::ListRequest { by, serial, wanted } => {
                let (members, permit) = (Vec::new(), self.memory.hold(MemoryKind::Lists, 0));
                self.asked.push_back(RemoteListing {
                    by,
                    serial,
                    wanted,
                    from: 0,
                    is_settled: true,
                    members,
                    permit,
                });
                None
            }
            ShardMessage::ListReply { serial, is_settled, members } => {
                self.gather(serial, is_settled, &members, handler)
            }
        }
    }

    fn gather(
        &mut self,
        serial: u32,
        is_settled: bool,
        others: &[u8],
        handler: &RequestHandler,
    ) -> Option<Listed> {
        let place = self.under_way.iter().position(|it| it.id.serial == serial)?;
        let ListingStage::Gathering(gathering) = &mut self.under_way[place].stage else { return None };
        gathering.is_settled &= is_settled;
        gathering.left -= 1;
        gathering.members =
            gathering.members.take().filter(|members| members.len() + others.len() <= LISTING_BYTES_MAX);
        if let Some(members) = &mut gathering.members {
            join_members(members, others);
        }
        gathering.permit.resize(gathering.members.as_ref().map_or(0, Vec::capacity));
        if gathering.left > 0 {
            return None;
        }
        let UnderWay { id, listing, stage } = self.under_way.swap_remove(place);
        let ListingStage::Gathering(Gathering { newest, is_settled, members, .. }) = stage else {
            return None;
        };
        let permit = members.as_ref().and_then(|members| {
            self.memory.reserve(MemoryKind::Responses, members.len(), LISTINGS_HELD_BYTES_MAX)
        });
        let response = match (&members, &permit) {
            (Some(members), Some(_)) => handler.listed(&listing, &newest, is_settled, members),
            (Some(_), None) => {
                handler.unlisted(&listing, "clients have not taken the lists that they asked for")
            }
            (None, _) => handler.unlisted(&listing, "the list of subscriptions is too long"),
        };
        Some(Listed { id, response, permit })
    }

    /// Lists a slice for the oldest request of a shard; returns whether there was one. `all` is
    /// `None` if subscriptions are not tracked.
    pub(super) fn list_for_shard(&mut self, all: Option<&mut Subscriptions>, mailbox: &Mailbox) -> bool {
        let Some(asked) = self.asked.front_mut() else { return false };
        let next = all.and_then(|all| {
            asked.is_settled &= all.is_quiet();
            all.list(asked.from, &asked.wanted, LISTING_SLICE, &mut asked.members)
        });
        asked.permit.resize(asked.members.capacity());
        // A list beyond the bound fails anyway.
        if let Some(next) = next.filter(|_| asked.members.len() <= LISTING_BYTES_MAX) {
            asked.from = next;
        } else if let Some(RemoteListing { by, serial, is_settled, members, .. }) = self.asked.pop_front() {
            mailbox.send(usize::from(by), ShardMessage::ListReply { serial, is_settled, members });
        }
        true
    }
}
