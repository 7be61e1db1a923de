//! Subscribers with events that wait, by client.
//!
//! Invariants:
//! - clients take turns, and the subscribers of a client do, whatever the number of their events;
//! - of one client, subscriptions that ended come first: so the events that wait for its ended
//!   subscribers are at most those that were published for their begin;
//! - a client is in the map while an event of it waits; its key is then either ready or parked.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::rc::Rc;

use super::pace::EventBudgets;
use super::texts::HeldTexts;
use crate::hub::client::ClientKey;
use crate::mercure::grant::Grant;
use crate::mercure::subscription::{SubscriberId, Subscription};

/// Approximate memory of a subscriber besides its selectors.
const SUBSCRIBER_BYTES: usize = 256;

/// A subscriber that is active, or whose end is not published yet.
pub(super) struct ActiveSubscriber {
    pub(super) id: SubscriberId,
    client: ClientKey,
    /// Without repetitions. After the end, only those that were announced as begun.
    selectors: RefCell<HeldTexts>,
    /// For the payload.
    grant: Rc<Grant>,
    /// How many of its selectors were announced as begun, from the first on; and how many of these
    /// as ended.
    begun: Cell<usize>,
    ended: Cell<usize>,
    has_ended: Cell<bool>,
}

/// The begin or end of one selector of a subscriber.
pub(super) struct SubscriptionEvent {
    pub(super) subscriber: Rc<ActiveSubscriber>,
    selector: usize,
    pub(super) active: bool,
}

impl SubscriptionEvent {
    /// Calls `with` with the subscription.
    pub(super) fn with<R>(&self, with: impl FnOnce(&Subscription<'_>) -> R) -> R {
        let Self { subscriber, selector, active } = self;
        with(&subscriber.subscription(&subscriber.selectors.borrow()[*selector], *active))
    }
}

impl ActiveSubscriber {
    pub(super) fn new(
        id: SubscriberId,
        client: ClientKey,
        selectors: HeldTexts,
        grant: Rc<Grant>,
    ) -> Rc<Self> {
        Rc::new(Self {
            id,
            client,
            selectors: RefCell::new(selectors),
            grant,
            begun: Cell::default(),
            ended: Cell::default(),
            has_ended: Cell::default(),
        })
    }

    fn subscription<'a>(&'a self, selector: &'a str, active: bool) -> Subscription<'a> {
        Subscription { selector, subscriber: self.id, active, payload: self.grant.payload_for_text(selector) }
    }

    /// Calls `each` for every subscription that was announced; returns the number of selectors.
    pub(super) fn for_each_announced(&self, mut each: impl FnMut(&Subscription<'_>)) -> usize {
        let selectors = self.selectors.borrow();
        selectors[..self.begun.get()].iter().for_each(|selector| each(&self.subscription(selector, true)));
        selectors.len()
    }

    pub(super) fn client(&self) -> ClientKey {
        self.client
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    /// Begin events that wait while it is active.
    fn begins_left(&self) -> usize {
        self.selectors.borrow().len() - self.begun.get()
    }

    /// End events that wait once it has ended.
    fn ends_left(&self) -> usize {
        self.begun.get() - self.ended.get()
    }

    /// Drops the selectors that were not announced: nothing will be published about them.
    fn forget_unannounced(&self) {
        self.selectors.borrow_mut().truncate(self.begun.get());
    }

    fn next(self: Rc<Self>, active: bool) -> SubscriptionEvent {
        let counter = if active { &self.begun } else { &self.ended };
        let selector = counter.replace(counter.get() + 1);
        SubscriptionEvent { subscriber: self, selector, active }
    }

    fn bytes(&self) -> usize {
        let selectors = self.selectors.borrow();
        let texts: usize = selectors.iter().map(|text| text.len()).sum();
        SUBSCRIBER_BYTES + texts + selectors.len() * size_of::<Rc<str>>()
    }
}

/// What waits for one client.
#[derive(Default)]
struct WaitingClient {
    /// Subscribers with begin events, each once.
    begins: VecDeque<Rc<ActiveSubscriber>>,
    /// How many of them have ended meanwhile: their begin events are not published.
    silent: usize,
    /// Ended subscribers with end events, each once.
    ends: VecDeque<Rc<ActiveSubscriber>>,
    /// Bytes of the subscribers in `ends`.
    ended_bytes: usize,
    /// Events.
    events: usize,
    /// Whether its key is ready or parked.
    is_queued: bool,
    /// What it spent in this batch; `None` if it has no part in it.
    spent: Option<u64>,
}

impl WaitingClient {
    fn next(&mut self) -> Option<SubscriptionEvent> {
        if let Some(subscriber) = self.ends.pop_front() {
            if subscriber.ends_left() > 1 {
                self.ends.push_back(Rc::clone(&subscriber));
            } else {
                self.ended_bytes -= subscriber.bytes();
            }
            return Some(subscriber.next(false));
        }
        loop {
            let subscriber = self.begins.pop_front()?;
            if subscriber.has_ended.get() {
                self.silent -= 1;
                continue;
            }
            if subscriber.begins_left() > 1 {
                self.begins.push_back(Rc::clone(&subscriber));
            }
            return Some(subscriber.next(true));
        }
    }

    fn end(&mut self, subscriber: Rc<ActiveSubscriber>) {
        subscriber.has_ended.set(true);
        let begins = subscriber.begins_left();
        if begins > 0 {
            self.events -= begins;
            self.silent += 1;
            // On average each entry is examined at most twice.
            if 2 * self.silent > self.begins.len() {
                self.begins.retain(|subscriber| !subscriber.has_ended.get());
                self.silent = 0;
            }
        }
        subscriber.forget_unannounced();
        if subscriber.ends_left() > 0 {
            self.events += subscriber.ends_left();
            self.ended_bytes += subscriber.bytes();
            self.ends.push_back(subscriber);
        }
    }
}

/// Clients with events that wait: those with a token, or those without one.
#[derive(Default)]
pub(super) struct Lane {
    clients: HashMap<ClientKey, WaitingClient>,
    /// Clients that take turns.
    ready: VecDeque<ClientKey>,
    /// Clients that have spent their budget, and when they are ready again.
    parked: BinaryHeap<Reverse<(u64, ClientKey)>>,
    /// Clients that have a part in this batch.
    in_batch: Vec<ClientKey>,
    events: usize,
    ended_bytes: usize,
}

impl Lane {
    pub(super) fn events(&self) -> usize {
        self.events
    }

    pub(super) fn ended_bytes(&self) -> usize {
        self.ended_bytes
    }

    pub(super) fn ended_bytes_of(&self, client: ClientKey) -> usize {
        self.clients.get(&client).map_or(0, |client| client.ended_bytes)
    }

    /// A subscriber began.
    pub(super) fn begin(&mut self, subscriber: Rc<ActiveSubscriber>) {
        self.change(subscriber.client, |client| {
            client.events += subscriber.begins_left();
            client.begins.push_back(subscriber);
        });
    }

    /// A subscriber ended.
    pub(super) fn end(&mut self, subscriber: Rc<ActiveSubscriber>) {
        self.change(subscriber.client, |client| client.end(subscriber));
    }

    fn change(&mut self, key: ClientKey, change: impl FnOnce(&mut WaitingClient)) {
        let client = self.clients.entry(key).or_default();
        let (events, ended_bytes) = (client.events, client.ended_bytes);
        change(client);
        self.events = self.events - events + client.events;
        self.ended_bytes = self.ended_bytes - ended_bytes + client.ended_bytes;
        if client.events > 0 && !client.is_queued {
            client.is_queued = true;
            self.ready.push_back(key);
        } else if client.events == 0 && !client.is_queued {
            self.clients.remove(&key);
        }
    }

    /// Makes the parked clients ready whose time has come.
    pub(super) fn unpark(&mut self, now_ms: u64) {
        while let Some(Reverse((at_ms, client))) = self.parked.peek().copied() {
            if at_ms > now_ms {
                break;
            }
            self.parked.pop();
            self.ready.push_back(client);
        }
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        if self.clients.capacity() > 64 + 4 * self.clients.len() {
            self.clients.shrink_to_fit();
        }
        self.ready.shrink_to_fit();
        self.parked.shrink_to_fit();
    }

    /// Takes clients out that are ready and whose events became silent meanwhile, until the first
    /// one has events.
    pub(super) fn drop_silent(&mut self) {
        while let Some(&key) = self.ready.front() {
            if let Some(client) = self.clients.get_mut(&key) {
                if client.events > 0 {
                    return;
                }
                client.is_queued = false;
                if client.spent.is_none() {
                    self.clients.remove(&key);
                }
            }
            self.ready.pop_front();
        }
    }

    /// When a client is ready; 0 for now.
    pub(super) fn ready_at_ms(&self) -> Option<u64> {
        if self.events == 0 {
            return None;
        }
        if !self.ready.is_empty() {
            return Some(0);
        }
        self.parked.peek().map(|Reverse((at_ms, _))| *at_ms)
    }

    /// The events of the clients that are ready, counted up to `events_max`.
    pub(super) fn ready_events(&self, events_max: usize) -> usize {
        let mut events = 0;
        for client in self.ready.iter().take(events_max).filter_map(|key| self.clients.get(key)) {
            events += client.events;
            if events >= events_max {
                return events_max;
            }
        }
        events
    }

    /// The next event of the clients that are ready. A client that owes for earlier batches is
    /// parked, if `budgets` are given.
    pub(super) fn next(&mut self, budgets: Option<&EventBudgets>, now_ms: u64) -> Option<SubscriptionEvent> {
        loop {
            let key = self.ready.pop_front()?;
            // A key that is ready has an entry.
            let client = self.clients.get_mut(&key)?;
            client.is_queued = false;
            if client.events == 0 {
                if client.spent.is_none() {
                    self.clients.remove(&key);
                }
                continue;
            }
            if client.spent.is_none() {
                let ready_at_ms = budgets.map_or(0, |budgets| budgets.ready_at_ms(key));
                if ready_at_ms > now_ms {
                    client.is_queued = true;
                    self.parked.push(Reverse((ready_at_ms, key)));
                    continue;
                }
                client.spent = Some(0);
                self.in_batch.push(key);
            }
            let ended_bytes = client.ended_bytes;
            // It has an event.
            let event = client.next()?;
            client.events -= 1;
            self.events -= 1;
            self.ended_bytes = self.ended_bytes - ended_bytes + client.ended_bytes;
            if client.events > 0 {
                client.is_queued = true;
                self.ready.push_back(key);
            }
            return Some(event);
        }
    }

    /// Notes what the last event of this client costs.
    pub(super) fn spend(&mut self, client: ClientKey, bytes: u64) {
        if let Some(spent) = self.clients.get_mut(&client).and_then(|client| client.spent.as_mut()) {
            *spent += bytes;
        }
    }

    /// How many clients have a part in this batch.
    pub(super) fn clients_in_batch(&self) -> usize {
        self.in_batch.len()
    }

    /// Ends a batch: what each client spent.
    pub(super) fn end_batch(&mut self) -> Vec<(ClientKey, u64)> {
        let Self { in_batch, clients, .. } = self;
        let spent = in_batch.drain(..).map(|key| {
            let spent = clients.get_mut(&key).and_then(|client| client.spent.take());
            if clients.get(&key).is_some_and(|client| !client.is_queued) {
                clients.remove(&key);
            }
            (key, spent.unwrap_or(0))
        });
        spent.collect()
    }

    /// Drops everything that waits; returns how many end events that were.
    pub(super) fn abandon(&mut self) -> usize {
        let ends = self.clients.values().flat_map(|client| &client.ends);
        let unpublished = ends.map(|subscriber| subscriber.ends_left()).sum();
        *self = Self::default();
        unpublished
    }
}
