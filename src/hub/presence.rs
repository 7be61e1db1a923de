//! Active subscriptions of one shard (`SUBSCRIPTIONS`, PROTOCOL section 7), and the updates that
//! announce them. An event goes to the sequencer like any update, and comes back on the ring.
//! Invariants:
//! - a subscription is listed from when its begin event is handed over until its end event is; so
//!   every difference between a list made after update U and reality is followed by an event after
//!   U;
//! - no event overtakes another of the same subscription, even if the history refused one;
//! - nothing waits for an event; subscribers take turns, whatever the number of their selectors;
//! - the queue stays in proportion to the active subscribers.

use std::cell::Cell;
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use crate::history::SequencedUpdate;
use crate::limits::{SUBSCRIPTION_EVENTS_UNDER_WAY_MAX, SUBSCRIPTIONS_ENDED_BYTES_MAX};
use crate::mercure::grant::Grant;
use crate::mercure::newest::Newest;
use crate::mercure::selector::Selector;
use crate::mercure::subscription::{ListingQuery, SubscriberId, Subscription};
use crate::mercure::update::Update;
use crate::sse::frame::Frame;

/// Approximate memory of a subscriber besides its selectors.
const SUBSCRIBER_BYTES: usize = 256;

/// The active subscriptions of one shard.
#[derive(Default)]
pub struct Subscriptions {
    by_slot: Vec<Option<Rc<ActiveSubscriber>>>,
    /// Subscribers with events to send; each is in here once.
    waiting: VecDeque<Rc<ActiveSubscriber>>,
    /// How many of them have no event left to send: they ended before their first, and produce
    /// none.
    silent: usize,
    /// Bytes of the ended subscribers that still have events to send.
    ended_bytes: usize,
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

struct ActiveSubscriber {
    id: SubscriberId,
    /// Without repetitions.
    selectors: Box<[Box<str>]>,
    /// For the payload.
    grant: Rc<Grant>,
    /// How many of its selectors were announced as begun, from the first on; and how many of these
    /// as ended.
    begun: Cell<usize>,
    ended: Cell<usize>,
    has_ended: Cell<bool>,
    waits: Cell<bool>,
}

/// The begin or end of one selector of a subscriber.
struct SubscriptionEvent {
    subscriber: Rc<ActiveSubscriber>,
    selector: usize,
    active: bool,
}

impl ActiveSubscriber {
    fn subscription<'a>(&'a self, selector: &'a str, active: bool) -> Subscription<'a> {
        Subscription { selector, subscriber: self.id, active, payload: self.grant.payload() }
    }

    fn has_events(&self) -> bool {
        match self.has_ended.get() {
            false => self.begun.get() < self.selectors.len(),
            true => self.ended.get() < self.begun.get(),
        }
    }

    /// The selector of the next event, and whether it begins.
    fn next(&self) -> (usize, bool) {
        let active = !self.has_ended.get();
        let counter = if active { &self.begun } else { &self.ended };
        (counter.replace(counter.get() + 1), active)
    }

    fn bytes(&self) -> usize {
        let selectors: usize = self.selectors.iter().map(|text| text.len() + size_of::<Box<str>>()).sum();
        SUBSCRIBER_BYTES + selectors
    }
}

impl Subscriptions {
    /// No subscriptions yet. `newest` is the newest update of the history; `has_forgotten` is
    /// whether the history has discarded any.
    pub fn new(newest: Option<&SequencedUpdate>, has_forgotten: bool) -> Self {
        let id = newest.map(|update| update.frame.id().clone());
        Self { newest: Newest { id, is_unique: false }, has_forgotten, ..Self::default() }
    }

    /// Starts the subscriptions of this slot.
    pub(super) fn begin(&mut self, slot: u32, id: SubscriberId, selectors: &[Selector], grant: &Rc<Grant>) {
        if self.has_ended {
            return;
        }
        let mut seen = HashSet::with_capacity(selectors.len());
        let texts = selectors.iter().map(Selector::as_str).filter(|text| seen.insert(*text));
        let subscriber = Rc::new(ActiveSubscriber {
            id,
            selectors: texts.map(Box::from).collect(),
            grant: Rc::clone(grant),
            begun: Cell::default(),
            ended: Cell::default(),
            has_ended: Cell::default(),
            waits: Cell::new(true),
        });
        let place = slot as usize;
        if self.by_slot.len() <= place {
            self.by_slot.resize_with(place + 1, || None);
        }
        self.waiting.push_back(Rc::clone(&subscriber));
        self.by_slot[place] = Some(subscriber);
    }

    /// Ends the subscriptions of this slot.
    pub(super) fn end(&mut self, slot: u32) {
        let Some(subscriber) = self.by_slot.get_mut(slot as usize).and_then(Option::take) else { return };
        subscriber.has_ended.set(true);
        if subscriber.has_events() {
            self.ended_bytes += subscriber.bytes();
            if !subscriber.waits.replace(true) {
                self.waiting.push_back(subscriber);
            }
        } else if subscriber.waits.get() {
            self.silent += 1;
            // On average each entry is examined at most twice.
            if 2 * self.silent > self.waiting.len() {
                self.waiting.retain(|subscriber| subscriber.has_events());
                self.silent = 0;
            }
        }
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

    /// Ends all subscriptions and refuses new ones: the hub stops.
    pub fn end_all(&mut self) {
        self.has_ended = true;
        for slot in 0..self.by_slot.len() as u32 {
            self.end(slot);
        }
    }

    /// Drops the events that were not handed over when the time for the stop is over; returns how
    /// many remain unpublished.
    pub fn abandon(&mut self) -> usize {
        let left = |subscriber: Rc<ActiveSubscriber>| subscriber.begun.get() - subscriber.ended.get();
        let unpublished: usize = self.waiting.drain(..).map(left).sum();
        self.silent = 0;
        unpublished + self.refused.drain(..).count()
    }

    /// Whether ended subscribers with unsent events hold so much memory that no subscription may
    /// begin: the history has accepted nothing for long.
    pub fn is_crowded(&self) -> bool {
        self.ended_bytes >= SUBSCRIPTIONS_ENDED_BYTES_MAX
    }

    /// Whether an event can be handed over.
    pub fn has_event(&self) -> bool {
        (self.waiting.len() > self.silent || !self.refused.is_empty())
            && self.under_way.len() < SUBSCRIPTION_EVENTS_UNDER_WAY_MAX
    }

    /// Whether every event is in its place.
    pub fn is_quiet(&self) -> bool {
        self.waiting.len() == self.silent && self.refused.is_empty() && self.under_way.is_empty()
    }

    /// The next event for the sequencer; `random` becomes its event id.
    pub fn next_event(&mut self, random: [u8; 16]) -> Option<Arc<Frame>> {
        if !self.has_event() {
            return None;
        }
        let event = self.refused.pop_front().or_else(|| self.next_of_waiting())?;
        let SubscriptionEvent { subscriber, selector, active } = &event;
        let subscription = subscriber.subscription(&subscriber.selectors[*selector], *active);
        let frame = Arc::new(Frame::encode(Update::of_subscription(&subscription, random)));
        self.under_way.push_back(event);
        Some(frame)
    }

    fn next_of_waiting(&mut self) -> Option<SubscriptionEvent> {
        loop {
            let subscriber = self.waiting.pop_front()?;
            if !subscriber.has_events() {
                self.silent -= 1;
                subscriber.waits.set(false);
                continue;
            }
            let (selector, active) = subscriber.next();
            if subscriber.has_events() {
                self.waiting.push_back(Rc::clone(&subscriber));
            } else {
                subscriber.waits.set(false);
                if !active {
                    self.ended_bytes -= subscriber.bytes();
                }
            }
            return Some(SubscriptionEvent { subscriber, selector, active });
        }
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
        if !is_stored && !self.has_ended && event.active != event.subscriber.has_ended.get() {
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
            left = left.saturating_sub(subscriber.selectors.len());
            for selector in &subscriber.selectors[..subscriber.begun.get()] {
                if wanted.includes(selector, subscriber.id) {
                    subscriber.subscription(selector, true).write_member(members);
                }
            }
        }
        None
    }
}
