//! Active subscriptions of one shard (`SUBSCRIPTIONS`; PROTOCOL section 7), and the updates that
//! announce them. An event goes to the sequencer like any update, and comes back on the ring.
//! Invariants:
//! - a subscription is listed from when its begin event is handed over until it ends, and its end
//!   event follows; so every difference between a list made after update U and reality is followed
//!   by an event after U, however long events wait;
//! - no event overtakes another of the same subscription, even if the history refused one;
//! - nothing waits for an event; clients take turns, and each has a budget ([`pace`]);
//! - what waits stays in proportion to the active subscribers, and is bounded for ended ones.

pub mod pace;
mod texts;
mod waiting;

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use self::pace::{EventBudgets, event_bytes};
use self::texts::SelectorTexts;
use self::waiting::{ActiveSubscriber, Lane, SubscriptionEvent};
use crate::history::SequencedUpdate;
use crate::hub::client::ClientKey;
use crate::limits::{
    SUBSCRIPTION_EVENT_BYTES_ASSUMED, SUBSCRIPTION_EVENTS_BATCH_BYTES, SUBSCRIPTION_EVENTS_COMMIT_BYTES,
    SUBSCRIPTION_EVENTS_UNDER_WAY_MAX, SUBSCRIPTIONS_ENDED_BYTES_MAX,
    SUBSCRIPTIONS_ENDED_BYTES_PER_CLIENT_MAX,
};
use crate::mercure::grant::Grant;
use crate::mercure::newest::Newest;
use crate::mercure::selector::Selector;
use crate::mercure::subscription::{Announcement, ListingQuery, SubscriberId};
use crate::mercure::update::Update;
use crate::shrink::shrink_vec;
use crate::sse::frame::Frame;

/// The lane of clients with a token, and that of clients without one.
const TOKENS: usize = 0;
const ANONYMOUS: usize = 1;

/// The active subscriptions of one shard.
#[derive(Default)]
pub struct Subscriptions {
    by_slot: Vec<Option<Rc<ActiveSubscriber>>>,
    texts: SelectorTexts,
    lanes: [Lane; 2],
    /// Bytes that the shard may write for clients without a token.
    reservation: Option<Reservation>,
    /// Events that the history refused; they are sent before all others.
    refused: VecDeque<SubscriptionEvent>,
    /// Events handed to the sequencer. They come back in this order.
    under_way: VecDeque<SubscriptionEvent>,
    newest: Newest,
    /// Whether the history has discarded updates, and their ids with them.
    has_forgotten: bool,
    /// Whether the hub stops: all subscriptions have ended.
    has_ended: bool,
}

/// A part of the budget of all clients without a token.
#[derive(Clone, Copy)]
struct Reservation {
    bytes: u64,
    at_ms: u64,
}

/// No subscription of a client may begin: too many of its events wait, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsWait {
    /// Its own.
    OfClient,
    /// Those of all clients with a token, or of all without one.
    OfAll,
}

impl Subscriptions {
    /// No subscriptions yet. `newest` is the newest update of the history; `has_forgotten` is
    /// whether the history has discarded any.
    pub fn new(newest: Option<&SequencedUpdate>, has_forgotten: bool) -> Self {
        let id = newest.map(|update| update.frame.id().clone());
        Self { newest: Newest { id, is_unique: false }, has_forgotten, ..Self::default() }
    }

    /// Starts the subscriptions of this slot: a selector has the announcement at its place. A
    /// selector that is repeated, written in the same way, is one subscription.
    pub(super) fn begin(
        &mut self,
        slot: u32,
        (id, client): (SubscriberId, ClientKey),
        (selectors, announcements): (&[Selector], &[Announcement]),
        grant: &Rc<Grant>,
    ) {
        if self.has_ended {
            return;
        }
        let mut seen = HashSet::with_capacity(selectors.len());
        let texts = selectors.iter().map(Selector::as_str).zip(announcements.iter().copied());
        let distinct = texts.filter(|(text, announcement)| seen.insert((*text, announcement.written_as)));
        let subscriber = ActiveSubscriber::new(id, client, self.texts.hold(distinct), Rc::clone(grant));
        let place = slot as usize;
        if self.by_slot.len() <= place {
            self.by_slot.resize_with(place + 1, || None);
        }
        self.lanes[lane_of(client)].begin(Rc::clone(&subscriber));
        self.by_slot[place] = Some(subscriber);
    }

    /// Ends the subscriptions of this slot.
    pub(super) fn end(&mut self, slot: u32) {
        let Some(subscriber) = self.by_slot.get_mut(slot as usize).and_then(Option::take) else { return };
        self.lanes[lane_of(subscriber.client())].end(subscriber);
    }

    /// Gives back what subscriptions that are gone have needed.
    pub(super) fn shrink(&mut self) {
        self.texts.shrink();
        let used = self.by_slot.iter().rposition(Option::is_some);
        self.by_slot.truncate(used.map_or(0, |last| last + 1));
        shrink_vec(&mut self.by_slot);
        self.lanes.iter_mut().for_each(Lane::shrink);
    }

    /// Notes an update that was taken from the ring.
    pub(super) fn took(&mut self, update: &SequencedUpdate) {
        if update.first_of_id {
            let is_unique = update.frame.has_made_id() || !self.has_forgotten;
            self.newest = Newest { id: Some(update.frame.id().clone()), is_unique };
        }
    }

    /// Notes that the history has discarded updates. The newest update stays unique: when it came,
    /// its id was looked up in the complete history.
    pub(super) fn forgot(&mut self) {
        self.has_forgotten = true;
    }

    /// Ends all subscriptions and refuses new ones: the hub stops. Their events are not paced.
    pub fn end_all(&mut self) {
        self.has_ended = true;
        for slot in 0..self.by_slot.len() as u32 {
            self.end(slot);
        }
        self.lanes.iter_mut().for_each(|lane| lane.unpark(u64::MAX));
    }

    /// Drops the events that were not handed over when the time for the stop is over; returns how
    /// many remain unpublished.
    pub fn abandon(&mut self) -> usize {
        let unpublished: usize = self.lanes.iter_mut().map(Lane::abandon).sum();
        unpublished + self.refused.drain(..).count()
    }

    /// Whether a subscription of this client may begin.
    ///
    /// # Errors
    /// Ended subscribers with unpublished events hold too much memory.
    pub fn may_begin(&self, client: ClientKey) -> Result<(), EventsWait> {
        let lane = &self.lanes[lane_of(client)];
        if lane.ended_bytes_of(client) >= SUBSCRIPTIONS_ENDED_BYTES_PER_CLIENT_MAX {
            return Err(EventsWait::OfClient);
        }
        if lane.ended_bytes() >= SUBSCRIPTIONS_ENDED_BYTES_MAX {
            return Err(EventsWait::OfAll);
        }
        Ok(())
    }

    /// The number of events that wait to be handed over.
    pub fn waiting(&self) -> usize {
        self.lanes.iter().map(Lane::events).sum::<usize>() + self.refused.len()
    }

    /// Whether every event is in its place.
    pub fn is_quiet(&self) -> bool {
        self.waiting() == 0 && self.under_way.is_empty()
    }

    /// When [`Self::next_batch`] has events; `None` if there are none, or too many are under way.
    pub fn next_batch_ms(&self) -> Option<u64> {
        if self.under_way.len() >= SUBSCRIPTION_EVENTS_UNDER_WAY_MAX {
            return None;
        }
        if !self.refused.is_empty() {
            return Some(0);
        }
        let reserved_ms = match self.reservation {
            Some(reservation) if !self.has_ended => reservation.at_ms,
            _ => 0,
        };
        let anonymous = self.lanes[ANONYMOUS].ready_at_ms().map(|at_ms| at_ms.max(reserved_ms));
        let tokens = self.lanes[TOKENS].ready_at_ms();
        tokens.into_iter().chain(anonymous).min()
    }

    /// The next events for the sequencer, as the budgets allow; `random` makes their event ids.
    /// They are one batch, so that the history stores them in one commit.
    pub fn next_batch(
        &mut self,
        budgets: &EventBudgets,
        now_ms: u64,
        mut random: impl FnMut() -> [u8; 16],
    ) -> Vec<Arc<Frame>> {
        let mut frames = Vec::new();
        while self.has_room_under_way()
            && let Some(event) = self.refused.pop_front()
        {
            frames.push(self.hand_over(event, random()));
        }
        for lane in &mut self.lanes {
            lane.unpark(now_ms);
            lane.drop_silent();
        }
        let budgets = Some(budgets).filter(|_| !self.has_ended);
        let mut left = [SUBSCRIPTION_EVENTS_BATCH_BYTES; 2];
        left[ANONYMOUS] = budgets.map_or(left[ANONYMOUS], |budgets| self.reserved(budgets, now_ms));
        let mut spent = [0; 2];
        // Clients with a token and others take turns, too.
        let (mut lane, mut idle) = (TOKENS, 0);
        while idle < 2 && self.has_room_under_way() {
            let has_budget = spent[lane] < left[lane];
            match has_budget.then(|| self.lanes[lane].next(budgets, now_ms)).flatten() {
                Some(event) => {
                    idle = 0;
                    let client = event.subscriber.client();
                    let frame = self.hand_over(event, random());
                    let bytes = event_bytes(&frame);
                    self.lanes[lane].spend(client, bytes);
                    spent[lane] += bytes;
                    frames.push(frame);
                }
                None => idle += 1,
            }
            lane = 1 - lane;
        }
        self.end_batch(budgets, spent[ANONYMOUS], now_ms);
        frames
    }

    /// The bytes that clients without a token may write now.
    fn reserved(&mut self, budgets: &EventBudgets, now_ms: u64) -> u64 {
        if self.reservation.is_none() {
            let events = self.lanes[ANONYMOUS].ready_events(SUBSCRIPTION_EVENTS_UNDER_WAY_MAX) as u64;
            if events == 0 {
                return 0;
            }
            let bytes = SUBSCRIPTION_EVENTS_BATCH_BYTES.min(events * SUBSCRIPTION_EVENT_BYTES_ASSUMED)
                + SUBSCRIPTION_EVENTS_COMMIT_BYTES;
            self.reservation = Some(Reservation { bytes, at_ms: budgets.reserve(bytes, now_ms) });
        }
        let due = self.reservation.filter(|reservation| reservation.at_ms <= now_ms);
        due.map_or(0, |reservation| reservation.bytes - SUBSCRIPTION_EVENTS_COMMIT_BYTES)
    }

    /// Charges the clients of a batch, which share the cost of the commit. A reservation that was
    /// not used is kept.
    fn end_batch(&mut self, budgets: Option<&EventBudgets>, spent_by_anonymous: u64, now_ms: u64) {
        let clients: usize = self.lanes.iter().map(Lane::clients_in_batch).sum();
        let commit = SUBSCRIPTION_EVENTS_COMMIT_BYTES / clients.max(1) as u64;
        for lane in &mut self.lanes {
            let spent = lane.end_batch().into_iter().map(|(client, bytes)| (client, bytes + commit));
            if let Some(budgets) = budgets {
                budgets.charge(spent, now_ms);
            }
        }
        if spent_by_anonymous > 0
            && let Some(budgets) = budgets
            && let Some(reservation) = self.reservation.take()
        {
            budgets.settle(reservation.bytes, spent_by_anonymous + SUBSCRIPTION_EVENTS_COMMIT_BYTES);
        }
    }

    fn has_room_under_way(&self) -> bool {
        self.under_way.len() < SUBSCRIPTION_EVENTS_UNDER_WAY_MAX
    }

    fn hand_over(&mut self, event: SubscriptionEvent, random: [u8; 16]) -> Arc<Frame> {
        let frame = event.with(|subscription| Frame::encode(Update::of_subscription(subscription, random)));
        self.under_way.push_back(event);
        Arc::new(frame)
    }

    /// Takes back the last event, because the sequencer had no room; it goes before all others.
    pub fn put_back(&mut self) {
        if let Some(event) = self.under_way.pop_back() {
            self.refused.push_front(event);
        }
    }

    /// Completes the oldest event under way. A refused event is sent again, unless it is a begin
    /// event and the subscription has ended since, or the hub stops.
    pub fn settled(&mut self, is_stored: bool) {
        let Some(event) = self.under_way.pop_front() else { return };
        if !is_stored && !self.has_ended && event.active != event.subscriber.has_ended() {
            self.refused.push_back(event);
        }
    }

    /// The newest update.
    pub fn newest(&self) -> &Newest {
        &self.newest
    }

    /// Appends the wanted subscriptions to `members`, from slot `from` on, and examines about
    /// `count_max` subscriptions. Returns the slot to continue at, or `None` at the end.
    pub fn list(
        &self,
        from: usize,
        wanted: &ListingQuery,
        count_max: usize,
        members: &mut Vec<u8>,
    ) -> Option<usize> {
        let mut left = count_max;
        for (slot, subscriber) in self.by_slot.iter().enumerate().skip(from) {
            if left == 0 {
                return Some(slot);
            }
            let Some(subscriber) = subscriber else { continue };
            let selectors = subscriber.for_each_announced(|subscription| {
                if wanted.includes(subscription) {
                    subscription.write_member(members);
                }
            });
            left = left.saturating_sub(selectors);
        }
        None
    }
}

fn lane_of(client: ClientKey) -> usize {
    if client.is_anonymous() { ANONYMOUS } else { TOKENS }
}

#[cfg(test)]
mod tests;
