//! Active subscriptions of one shard (`SUBSCRIPTIONS`, PROTOCOL section 7): who is there, and the updates that tell of it.
//!
//! An event goes the way of any update: the shard hands it to the sequencer, and meets it on the ring. Invariants worth naming:
//! - a subscription is listed, or not listed any more, before its event is handed over; so a list that is made after some update was
//!   in its place lacks nothing that events up to that update told, and whoever follows from there misses nothing;
//! - no event overtakes another one of the same subscription, also when the history refused one;
//! - nobody waits for an event: those that cannot be handed over wait here, and beyond [`SUBSCRIPTION_EVENTS_MAX`] no subscription
//!   begins ([`Subscriptions::is_crowded`]).

use std::cell::Cell;
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use crate::limits::{SUBSCRIPTION_EVENTS_MAX, SUBSCRIPTION_EVENTS_UNDER_WAY_MAX};
use crate::protocol::frame::Frame;
use crate::protocol::grant::Grant;
use crate::protocol::selector::Selector;
use crate::protocol::subscription::{SubscriberId, Subscription, Wanted};
use crate::protocol::update::Update;

/// The active subscriptions of one shard.
#[derive(Default)]
pub struct Subscriptions {
    by_slot: Vec<Option<Rc<Subscriber>>>,
    /// Events that wait for the sequencer, oldest first.
    waiting: VecDeque<Event>,
    /// Events that the sequencer has. They come back in this order.
    under_way: VecDeque<Event>,
    /// The newest update.
    newest: Option<Arc<Frame>>,
    /// The hub stops: all have ended.
    has_ended: bool,
}

struct Subscriber {
    id: SubscriberId,
    /// Each once.
    selectors: Box<[Box<str>]>,
    /// For its payload.
    grant: Rc<Grant>,
    has_ended: Cell<bool>,
}

/// One selector of a subscriber began, or ended.
struct Event {
    subscriber: Rc<Subscriber>,
    selector: u32,
    active: bool,
}

impl Subscriber {
    fn subscriptions(&self, active: bool) -> impl Iterator<Item = Subscription<'_>> {
        self.selectors.iter().map(move |selector| self.subscription(selector, active))
    }

    fn subscription<'a>(&'a self, selector: &'a str, active: bool) -> Subscription<'a> {
        Subscription { selector, subscriber: self.id, active, payload: self.grant.payload() }
    }
}

impl Subscriptions {
    /// None yet; `newest` is the newest update of the history.
    pub fn new(newest: Option<Arc<Frame>>) -> Self {
        Self { newest, ..Self::default() }
    }

    /// The subscriber of this slot begins.
    pub(super) fn begin(&mut self, slot: u32, id: SubscriberId, selectors: &[Selector], grant: &Rc<Grant>) {
        if self.has_ended {
            return;
        }
        let mut seen = HashSet::with_capacity(selectors.len());
        let texts = selectors.iter().map(Selector::as_str).filter(|text| seen.insert(*text));
        let selectors = texts.map(Box::from).collect();
        let subscriber =
            Rc::new(Subscriber { id, selectors, grant: Rc::clone(grant), has_ended: Cell::new(false) });
        let place = slot as usize;
        if self.by_slot.len() <= place {
            self.by_slot.resize_with(place + 1, || None);
        }
        self.tell(&subscriber, true);
        self.by_slot[place] = Some(subscriber);
    }

    /// The subscriber of this slot is gone.
    pub(super) fn end(&mut self, slot: u32) {
        if let Some(subscriber) = self.by_slot.get_mut(slot as usize).and_then(Option::take) {
            subscriber.has_ended.set(true);
            self.tell(&subscriber, false);
        }
    }

    /// An update was taken from the ring.
    pub(super) fn took(&mut self, frame: &Arc<Frame>) {
        self.newest = Some(Arc::clone(frame));
    }

    /// The hub stops: all subscriptions end, and none begins.
    pub fn end_all(&mut self) {
        self.has_ended = true;
        for slot in 0..self.by_slot.len() as u32 {
            self.end(slot);
        }
    }

    /// Forgets the events that are not handed over yet: the time of the stop is over.
    pub fn abandon(&mut self) {
        self.waiting.clear();
    }

    /// Whether so many events wait that no subscription may begin.
    pub fn is_crowded(&self) -> bool {
        self.waiting.len() >= SUBSCRIPTION_EVENTS_MAX
    }

    /// Whether an event could be handed over.
    pub fn has_event(&self) -> bool {
        !self.waiting.is_empty() && self.under_way.len() < SUBSCRIPTION_EVENTS_UNDER_WAY_MAX
    }

    /// Whether every event is in its place.
    pub fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// The next event to hand to the sequencer; `random` becomes its event id.
    pub fn next_event(&mut self, random: [u8; 16]) -> Option<Arc<Frame>> {
        if !self.has_event() {
            return None;
        }
        let event = self.waiting.pop_front()?;
        let selector = &event.subscriber.selectors[event.selector as usize];
        let update = Update::of_subscription(&event.subscriber.subscription(selector, event.active), random);
        let frame = Arc::new(Frame::encode(&update));
        self.under_way.push_back(event);
        Some(frame)
    }

    /// The sequencer had no room for the last event: it waits on.
    pub fn put_back(&mut self) {
        if let Some(event) = self.under_way.pop_back() {
            self.waiting.push_front(event);
        }
    }

    /// The oldest event under way came back. One that the history refused waits again, behind the others: its subscription has
    /// not ended, or the event is its last. When it has ended since, a beginning that nobody heard of needs no telling; and a hub that stops
    /// tries once.
    pub fn settled(&mut self, is_stored: bool) {
        let Some(event) = self.under_way.pop_front() else { return };
        if !is_stored && !self.has_ended && event.active != event.subscriber.has_ended.get() {
            self.waiting.push_back(event);
        }
    }

    /// The id of the newest update; `None` when there has never been one.
    pub fn newest_id(&self) -> Option<&str> {
        self.newest.as_ref().map(|frame| frame.id().as_str())
    }

    /// Lists what is asked for as members of a collection, from this slot on, and looks at so many subscriptions, about: answers where to go on, or that this
    /// was all.
    pub fn list(
        &self,
        from: usize,
        wanted: &Wanted,
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
            for subscription in subscriber.subscriptions(true) {
                if wanted.includes(subscription.selector, subscription.subscriber) {
                    subscription.write_member(members);
                }
            }
        }
        None
    }

    fn tell(&mut self, subscriber: &Rc<Subscriber>, active: bool) {
        let event = |selector| Event { subscriber: Rc::clone(subscriber), selector: selector as u32, active };
        self.waiting.extend((0..subscriber.selectors.len()).map(event));
    }
}
