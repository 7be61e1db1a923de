//! Active subscriptions of one shard (`SUBSCRIPTIONS`, PROTOCOL section 7): who is there, and the updates that tell of it.
//!
//! An event goes the way of any update: the shard hands it to the sequencer, and meets it on the ring. Invariants worth naming:
//! - a subscription is listed from when its event is handed over, before it is in its place, and not listed any more before the
//!   event of its end is; so a list that is made after some update was in its place lacks nothing that events up to that update
//!   told, has nothing whose end is not told behind it, and whoever follows from there misses nothing;
//! - no event overtakes another one of the same subscription, also when the history refused one;
//! - nobody waits for an event, and who has many selectors delays nobody's: subscribers take turns;
//! - a subscriber that was not told of is forgotten without a word, so what waits is in proportion to those who are there.

use std::cell::Cell;
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use crate::history::SequencedUpdate;
use crate::limits::{SUBSCRIPTION_EVENTS_UNDER_WAY_MAX, SUBSCRIPTIONS_ENDED_BYTES_MAX};
use crate::protocol::event_id::EventId;
use crate::protocol::frame::Frame;
use crate::protocol::grant::Grant;
use crate::protocol::selector::Selector;
use crate::protocol::subscription::{ListingQuery, SubscriberId, Subscription};
use crate::protocol::update::Update;

/// About what a subscriber holds beside its selectors.
const SUBSCRIBER_BYTES: usize = 256;

/// The active subscriptions of one shard.
#[derive(Default)]
pub struct Subscriptions {
    by_slot: Vec<Option<Rc<ActiveSubscriber>>>,
    /// Those that have something to tell; each is in here once.
    waiting: VecDeque<Rc<ActiveSubscriber>>,
    /// How many of them have nothing left to tell: they ended before anything was told.
    silent: usize,
    /// Bytes of those that have ended and have something to tell.
    ended_bytes: usize,
    /// Events that the history refused: they go before all others.
    refused: VecDeque<SubscriptionEvent>,
    /// Events that the sequencer has. They come back in this order.
    under_way: VecDeque<SubscriptionEvent>,
    newest: Newest,
    /// The history has forgotten updates, and their ids with them.
    has_forgotten: bool,
    /// The hub stops: all have ended.
    has_ended: bool,
}

/// The newest update that nobody takes for another one: its id was not there before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// `None` when there has never been one.
    pub id: Option<EventId>,
    /// It came while this hub runs, and no list that this hub made before had its id: either the hub made the id, or the history, which knows
    /// every id of its own, has never forgotten one. (What a crash takes from a history that is not synced it does not know to have lost.)
    pub is_unique: bool,
}

impl Newest {
    /// The id as text.
    pub fn text(&self) -> Option<&str> {
        self.id.as_ref().map(EventId::as_str)
    }
}

struct ActiveSubscriber {
    id: SubscriberId,
    /// Each once.
    selectors: Box<[Box<str>]>,
    /// For its payload.
    grant: Rc<Grant>,
    /// So many of its selectors were handed over as begun, the first ones; and so many of these as ended.
    begun: Cell<usize>,
    ended: Cell<usize>,
    has_ended: Cell<bool>,
    waits: Cell<bool>,
}

/// One selector of a subscriber began, or ended.
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

    /// The selector whose event is next, and whether it begins.
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
    /// None yet; `newest` is the newest update of a history that may have forgotten others.
    pub fn new(newest: Option<&SequencedUpdate>, has_forgotten: bool) -> Self {
        let id = newest.map(|update| update.frame.id().clone());
        Self { newest: Newest { id, is_unique: false }, has_forgotten, ..Self::default() }
    }

    /// The subscriber of this slot begins.
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

    /// The subscriber of this slot is gone.
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
            // Each is looked at twice at most, on the whole.
            if 2 * self.silent > self.waiting.len() {
                self.waiting.retain(|subscriber| subscriber.has_events());
                self.silent = 0;
            }
        }
    }

    /// An update was taken from the ring.
    pub(super) fn took(&mut self, update: &SequencedUpdate) {
        if update.first_of_id {
            let is_unique = update.frame.has_made_id() || !self.has_forgotten;
            self.newest = Newest { id: Some(update.frame.id().clone()), is_unique };
        }
    }

    /// The history has forgotten updates. The newest is unique all the same: when it came, everything was there to look its id up.
    pub(super) fn forgot(&mut self) {
        self.has_forgotten = true;
    }

    /// The hub stops: all subscriptions end, and none begins.
    pub fn end_all(&mut self) {
        self.has_ended = true;
        for slot in 0..self.by_slot.len() as u32 {
            self.end(slot);
        }
    }

    /// Forgets what was not handed over yet, since the time of the stop is over; returns how many events that are.
    pub fn abandon(&mut self) -> usize {
        let left = |subscriber: Rc<ActiveSubscriber>| subscriber.begun.get() - subscriber.ended.get();
        let untold: usize = self.waiting.drain(..).map(left).sum();
        self.silent = 0;
        untold + self.refused.drain(..).count()
    }

    /// Whether those that have ended, and could not say so, hold so much that no subscription may begin: the history has taken
    /// nothing for long.
    pub fn is_crowded(&self) -> bool {
        self.ended_bytes >= SUBSCRIPTIONS_ENDED_BYTES_MAX
    }

    /// Whether an event could be handed over.
    pub fn has_event(&self) -> bool {
        (self.waiting.len() > self.silent || !self.refused.is_empty())
            && self.under_way.len() < SUBSCRIPTION_EVENTS_UNDER_WAY_MAX
    }

    /// Whether every event is in its place.
    pub fn is_quiet(&self) -> bool {
        self.waiting.len() == self.silent && self.refused.is_empty() && self.under_way.is_empty()
    }

    /// The next event to hand to the sequencer; `random` becomes its event id.
    pub fn next_event(&mut self, random: [u8; 16]) -> Option<Arc<Frame>> {
        if !self.has_event() {
            return None;
        }
        let event = self.refused.pop_front().or_else(|| self.next_of_waiting())?;
        let SubscriptionEvent { subscriber, selector, active } = &event;
        let subscription = subscriber.subscription(&subscriber.selectors[*selector], *active);
        let frame = Arc::new(Frame::encode(&Update::of_subscription(&subscription, random)));
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

    /// The sequencer had no room for the last event: it waits on, before all others.
    pub fn put_back(&mut self) {
        if let Some(event) = self.under_way.pop_back() {
            self.refused.push_front(event);
        }
    }

    /// The oldest event under way came back. One that the history refused is handed over again, unless it is a beginning and the
    /// subscription has ended since; and a hub that stops tries once.
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

    /// Lists what is asked for as members of a collection, from this slot on, and looks at so many subscriptions, about; returns where
    /// to go on, or that this was all.
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
