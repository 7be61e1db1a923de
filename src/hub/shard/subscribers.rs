//! The subscribers of one core: what each has selected, what is pending for each, which ones must
//! be written to, and which ones have too much pending and must catch up.

use slab::Slab;

use super::subscriber::{NextBytes, Subscriber, SubscriberState, Written, compared_topics};
use super::values::{Counters, ShardSettings};
use super::write_queue::{DirtySocket, WriteQueue};
use crate::history::SequencedUpdate;
use crate::hub::outbox::Outboxes;
use crate::limits::MATCH_COST_PER_WORK;
use crate::mercure::audience::Audience;
use crate::mercure::index::{Price, TopicIndex};
use crate::mercure::selector::{ComparedTopic, ReadTopic, Selector};
use crate::sse::wire::{Offer, Sent, Wire};
use crate::time::Now;

/// The subscribers by slot.
pub(super) struct Subscribers {
    pub(super) by_slot: Slab<Subscriber>,
    pub(super) index: TopicIndex,
    pub(super) outboxes: Outboxes,
    /// What was read of the topics of an update that has paused.
    read_topics: Vec<ReadTopic>,
    /// Subscribers to write to.
    pub(super) dirty: WriteQueue,
    /// Subscribers whose sends are collected, and the bytes of each.
    collected: Vec<(u32, NextBytes)>,
    /// The results of these sends.
    results: Vec<Sent>,
    /// Slots and generations of subscribers that have selected the private update that is taken.
    /// Their grants are not compared with it yet: the work was too much for one go.
    uncompared: Vec<(u32, u32)>,
    /// Whether all subscribers that have selected that update are found.
    is_searched: bool,
    pub(super) counters: Counters,
    /// The slot from which [`Shard::shed_pending`](super::Shard::shed_pending) goes on.
    pub(super) shed_next: usize,
}

impl Subscribers {
    pub(super) fn new() -> Self {
        Self {
            by_slot: Slab::new(),
            index: TopicIndex::new(),
            read_topics: Vec::new(),
            outboxes: Outboxes::default(),
            dirty: WriteQueue::default(),
            collected: Vec::new(),
            results: Vec::new(),
            uncompared: Vec::new(),
            is_searched: false,
            counters: Counters::default(),
            shed_next: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_slot.len()
    }

    /// Every slot in use.
    pub(super) fn slots(&self) -> Vec<u32> {
        self.by_slot.iter().map(|(slot, _)| slot as u32).collect()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Subscriber> {
        self.by_slot.get_mut(slot as usize)
    }

    /// Adds a subscriber; returns its slot.
    pub(super) fn insert(&mut self, subscriber: Subscriber, selectors: &[Selector]) -> u32 {
        let slot = u32::try_from(self.by_slot.insert(subscriber)).expect("fewer subscribers than fds");
        self.index.insert(slot, selectors);
        self.mark_dirty(slot);
        slot
    }

    /// Drops what is pending and no longer matches anything; false if that happened before. The
    /// slot stays in use until [`Self::remove`].
    pub(super) fn close(&mut self, slot: u32) -> bool {
        let Some(subscriber) = self.by_slot.get_mut(slot as usize) else { return false };
        if std::mem::replace(&mut subscriber.state, SubscriberState::Closed) == SubscriberState::Closed {
            return false;
        }
        subscriber.dirty = false;
        subscriber.ahead = None;
        subscriber.expires_ms = u64::MAX;
        self.outboxes.release(&mut subscriber.pending);
        self.index.remove(slot);
        true
    }

    /// Frees the slot.
    pub(super) fn remove(&mut self, slot: u32) {
        self.by_slot.remove(slot as usize);
    }

    /// What these selectors would add to the price of matching, see [`TopicIndex::price_of`].
    pub(super) fn price_of(&mut self, selectors: &[Selector]) -> Price {
        let slot = u32::try_from(self.by_slot.vacant_key()).expect("fewer subscribers than fds");
        self.index.price_of(slot, selectors)
    }

    /// The price of matching, see [`TopicIndex::price`].
    pub(super) fn price(&self) -> u32 {
        self.index.price()
    }

    /// Begins with another update.
    pub(super) fn begin_take(&mut self) {
        self.index.begin_search();
        self.read_topics.clear();
        self.uncompared.clear();
        self.is_searched = false;
    }

    /// Queues an update for every live subscriber that selected it and may receive it; returns
    /// whether it is done. If not, because the work exceeded `work_until`, the same call goes on.
    /// `fell_behind` gets those that now catch up and have nothing pending.
    pub(super) fn take(
        &mut self,
        update: &SequencedUpdate,
        settings: &ShardSettings,
        work_until: u64,
        fell_behind: impl FnMut(u32),
    ) -> bool {
        let Self { by_slot, index, outboxes, dirty, counters, read_topics, uncompared, is_searched, .. } =
            self;
        // For the index and all grants, so that a topic is read as a URL once.
        let topics = compared_topics(&update.frame, std::mem::take(read_topics));
        let taking =
            Taking { by_slot, outboxes, dirty, counters, update, settings, topics: &topics, fell_behind };
        let is_done = taking.go_on(index, uncompared, is_searched, work_until);
        if !is_done {
            read_topics.extend(topics.into_iter().map(ComparedTopic::into_read));
        }
        is_done
    }

    /// Offers updates to a subscriber that catches up; see [`Subscriber::offer`].
    pub(super) fn offer<'u>(
        &mut self,
        slot: u32,
        updates: impl Iterator<Item = &'u SequencedUpdate>,
        work_until: u64,
    ) {
        let Self { by_slot, index, outboxes, counters, .. } = self;
        by_slot[slot as usize].offer(slot, index, outboxes, updates, counters, work_until);
    }

    /// Drops the updates of a subscriber that are not begun.
    pub(super) fn cut(&mut self, slot: u32) {
        self.by_slot[slot as usize].cut(&mut self.outboxes);
    }

    /// Whether a subscriber must be written to.
    pub(super) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Notes that entries were taken: the subscribers in the queue now must be written to before
    /// more are taken.
    pub(super) fn moved(&mut self) {
        self.dirty.moved();
    }

    /// Whether a subscriber that was in the queue at the last [`Self::moved`] still waits.
    pub(super) fn has_unflushed(&self) -> bool {
        self.dirty.has_unflushed()
    }

    /// The next socket to write to.
    pub(super) fn next_dirty(&mut self) -> Option<DirtySocket> {
        self.dirty.pop()
    }

    /// Writes to a subscriber from the queue; `None` if it need not be written to.
    pub(super) fn write(&mut self, slot: u32, now: Now, wire: &mut impl Wire) -> Option<Written> {
        let Self { by_slot, outboxes, .. } = self;
        let written = next_to_write(by_slot, slot)?.write(slot, outboxes, now, wire);
        self.count(&written);
        Some(written)
    }

    /// Collects the send to a subscriber from the queue, to be made by [`Self::write_collected`].
    /// Returns its bytes, none if nothing is pending; `None` if it need not be written to.
    pub(super) fn collect(&mut self, slot: u32) -> Option<usize> {
        let Self { by_slot, outboxes, collected, .. } = self;
        let subscriber = next_to_write(by_slot, slot)?;
        if !subscriber.is_owed() {
            return Some(0);
        }
        let next = subscriber.gather(outboxes);
        collected.push((slot, next));
        Some(next.bytes())
    }

    /// Makes the collected sends, see [`Self::next_written`].
    pub(super) fn write_collected(&mut self, wire: &mut impl Wire) {
        let Self { by_slot, outboxes, collected, results, .. } = self;
        if collected.is_empty() {
            return;
        }
        let offer = |(slot, next): &(u32, NextBytes)| {
            let bytes = by_slot[*slot as usize].bytes_of(outboxes, *next);
            Offer { slot: *slot, bytes }
        };
        let offers: Vec<_> = collected.iter().map(offer).collect();
        wire.send_all(&offers, results);
        debug_assert_eq!(results.len(), collected.len());
        outboxes.forget_gathered();
    }

    /// The next subscriber of the collected sends, and what became of its send; the last comes
    /// first.
    pub(super) fn next_written(&mut self, now: Now) -> Option<(u32, Written)> {
        let Self { by_slot, outboxes, collected, results, .. } = self;
        let ((slot, next), sent) = collected.pop().zip(results.pop())?;
        let written = by_slot[slot as usize].took(sent, next.bytes(), outboxes, now);
        self.count(&written);
        Some((slot, written))
    }

    fn count(&mut self, written: &Written) {
        self.counters.bytes += written.bytes() as u64;
    }

    /// Queues a subscriber to be written to.
    pub(super) fn mark_dirty(&mut self, slot: u32) {
        if let Some(subscriber) = self.by_slot.get_mut(slot as usize)
            && !subscriber.blocked
            && subscriber.state != SubscriberState::Closed
            && !std::mem::replace(&mut subscriber.dirty, true)
        {
            self.dirty.push(slot, subscriber.shared_socket);
        }
    }
}

/// An update that is queued for those who have selected it.
struct Taking<'s, F> {
    by_slot: &'s mut Slab<Subscriber>,
    outboxes: &'s mut Outboxes,
    dirty: &'s mut WriteQueue,
    counters: &'s mut Counters,
    update: &'s SequencedUpdate,
    settings: &'s ShardSettings,
    /// Its topics, to be compared with selectors and grants.
    topics: &'s [ComparedTopic<'s>],
    fell_behind: F,
}

impl<F: FnMut(u32)> Taking<'_, F> {
    /// See [`Subscribers::take`].
    fn go_on(
        mut self,
        index: &mut TopicIndex,
        uncompared: &mut Vec<(u32, u32)>,
        is_searched: &mut bool,
        work_until: u64,
    ) -> bool {
        while let Some((slot, generation)) = uncompared.pop() {
            if self.by_slot.get(slot as usize).is_some_and(|it| it.generation == generation) {
                self.offer(slot);
            }
            if self.counters.work >= work_until && !uncompared.is_empty() {
                return false;
            }
        }
        if *is_searched {
            *uncompared = Vec::new();
            return true;
        }
        let is_public = *self.update.frame.audience() == Audience::Public;
        let spent = index.spent();
        let most = work_until.saturating_sub(self.counters.work).saturating_mul(MATCH_COST_PER_WORK);
        *is_searched = index.search(self.topics, most, |slot| {
            // Many grants may each be costly to compare.
            if is_public || self.counters.work < work_until {
                self.offer(slot);
            } else {
                uncompared.push((slot, self.by_slot[slot as usize].generation));
            }
        });
        self.counters.work += (index.spent() - spent) / MATCH_COST_PER_WORK;
        *is_searched && uncompared.is_empty()
    }

    /// Queues it for a subscriber, if that one is live and may receive it.
    fn offer(&mut self, slot: u32) {
        let Self { by_slot, outboxes, dirty, counters, update, settings, topics, fell_behind } = self;
        counters.work += 1;
        let subscriber = &mut by_slot[slot as usize];
        if subscriber.state != SubscriberState::Live {
            return;
        }
        let frame = &*update.frame;
        if *frame.audience() != Audience::Public {
            let (is_granted, cost) = subscriber.grant.receives(topics, frame.audience());
            counters.work += cost / MATCH_COST_PER_WORK;
            if !is_granted {
                return;
            }
        }
        let waiting = outboxes.bytes(&subscriber.pending) - subscriber.sent;
        counters.work += subscriber.framing.work(frame);
        let frame_bytes = subscriber.framing.bytes(frame).len();
        if waiting > 0 && waiting + frame_bytes > settings.subscriber_buffer_bytes {
            subscriber.fall_behind(outboxes);
            counters.fell_behind += 1;
            if subscriber.pending.is_none() {
                fell_behind(slot);
            }
            return;
        }
        outboxes.append(&mut subscriber.pending, subscriber.framing, update);
        counters.deliveries += 1;
        if !subscriber.blocked && !subscriber.dirty {
            subscriber.dirty = true;
            dirty.push(slot, subscriber.shared_socket);
        }
    }
}

/// A subscriber from the queue; `None` if it need not be written to. A reused slot can be in the
/// queue twice; the flag shows which entry counts.
fn next_to_write(by_slot: &mut Slab<Subscriber>, slot: u32) -> Option<&mut Subscriber> {
    let subscriber = by_slot.get_mut(slot as usize)?;
    let is_dirty = std::mem::take(&mut subscriber.dirty);
    (is_dirty && !subscriber.blocked).then_some(subscriber)
}
