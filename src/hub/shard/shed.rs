//! What a shard gives up when memory is short, and what it gives back when it is not needed.
//!
//! Nothing of this loses an update: a subscriber whose pending updates are dropped reads them from
//! the history, and one that is ended comes back with its last event id.

use super::subscriber::SubscriberState;
use super::values::EndReason;
use super::{Shard, Subscribers};
use crate::limits::CATCH_UP_BYTES;
use crate::shrink::shrink_slab;

impl Shard {
    /// Bytes that outboxes need beside the updates in them.
    pub fn outbox_bytes(&self) -> usize {
        self.subscribers.outbox_bytes()
    }

    /// Drops the pending updates of slow subscribers, which then read them from the history;
    /// returns of how many subscribers. It examines up to `slots_max` slots, and goes on from there
    /// the next time.
    pub fn shed_pending(&mut self, slots_max: usize) -> usize {
        let Self { subscribers, catch_up, .. } = self;
        subscribers.shed_pending(slots_max, |slot| catch_up.push(slot))
    }

    /// When a subscriber began, relative to the others: a later one has a higher number.
    pub fn age_of(&self, slot: u32) -> u32 {
        self.subscribers.generation(slot)
    }

    /// Ends a subscription to free its memory.
    pub fn shed(&mut self, slot: u32) {
        self.close(slot, EndReason::Shed);
    }

    /// Gives back what subscribers that are gone have needed.
    pub fn shrink(&mut self) {
        self.subscribers.shrink();
        if let Some(subscriptions) = &mut self.subscriptions {
            subscriptions.shrink();
        }
        self.closed.shrink_to_fit();
        self.timers.due.shrink_to_fit();
        self.timers.caller_due.shrink_to_fit();
    }
}

impl Subscribers {
    fn outbox_bytes(&self) -> usize {
        self.outboxes.bytes_held()
    }

    fn generation(&self, slot: u32) -> u32 {
        self.by_slot.get(slot as usize).map_or(0, |subscriber| subscriber.generation)
    }

    fn shed_pending(&mut self, slots_max: usize, mut has_none: impl FnMut(u32)) -> usize {
        let Self { by_slot, outboxes, counters, shed_next, .. } = self;
        let slots = by_slot.capacity().max(1);
        let mut count = 0;
        for _ in 0..slots_max.min(slots) {
            let slot = *shed_next % slots;
            *shed_next = slot + 1;
            let Some(subscriber) = by_slot.get_mut(slot) else { continue };
            let waiting = outboxes.bytes(&subscriber.pending) - subscriber.sent;
            if subscriber.state != SubscriberState::Live || !subscriber.blocked || waiting < CATCH_UP_BYTES {
                continue;
            }
            subscriber.fall_behind(outboxes);
            counters.fell_behind += 1;
            count += 1;
            if subscriber.pending.is_none() {
                has_none(slot as u32);
            }
        }
        count
    }

    fn shrink(&mut self) {
        shrink_slab(&mut self.by_slot);
        self.dirty.shrink();
        self.outboxes.shrink();
        self.index.shrink();
    }
}
