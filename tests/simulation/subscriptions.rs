//! Goal: a client that lists the active subscriptions, and then follows their events from the
//! list's last event id, has the true state.
//!
//! Method: as in the main simulation. Subscriptions of some clients begin and end at random while
//! their events are paced, commits are refused, queues are full and shards lag behind the ring.
//! Lists are made shard by shard, with anything in between. At rest, each list, updated by the
//! events after its last event id, must equal the active subscriptions of its form: subscribers of
//! all dialects come together. No event may overtake another of its subscription.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use petasos::history::memory::MemoryHistory;
use petasos::history::{History as _, HistorySlice, Position, Retention};
use petasos::hub::client::{ClientKey, Network};
use petasos::hub::presence::pace::{EventBudgets, EventRates, Rate};
use petasos::hub::sequencer::{Publication, ReplyTo, RingEntry, Sequencer};
use petasos::hub::shard::{Joining, Shard, ShardSettings};
use petasos::hub::tail::TailBounds;
use petasos::mercure::grant::Grant;
use petasos::mercure::selector::{MatcherType, Selector};
use petasos::mercure::subscription::{
    Announcement, DocumentForm, ListingQuery, SubscriberId, WrittenAs, collection,
};
use petasos::ring::{Consumer, DrainStep, Producer, ring};
use petasos::sse::frame::Frame;
use petasos::sse::framing::Framing;
use petasos::time::Now;
use serde_json::Value;

use super::Flaky;

const STEPS: usize = 200;
const QUEUE_MAX: usize = 8;
const RING_ENTRIES: usize = 16;
const RATE: Rate = Rate { bytes_per_s: 100 << 10, burst_bytes: 150 << 10 };
const CLIENTS: [ClientKey; 4] =
    [ClientKey::Unknown, ClientKey::Network(Network::V4(1)), ClientKey::Token(1), ClientKey::Token(2)];
const SELECTORS: [&str; 4] = ["a", "b/{c}", "*", "é"];

struct Core {
    shard: Shard,
    ring: Consumer<RingEntry>,
    /// Slots of the active subscribers.
    slots: Vec<u32>,
}

/// A list in progress, and the shards that have not answered.
struct List {
    form: DocumentForm,
    newest: Option<String>,
    left: Vec<usize>,
    members: Vec<u8>,
}

struct World {
    rng: Rng,
    sequencer: Sequencer,
    refuses: Arc<AtomicBool>,
    producer: Producer<RingEntry>,
    queue: VecDeque<Publication>,
    unpushed: VecDeque<RingEntry>,
    cores: Vec<Core>,
    committed: Vec<Arc<Frame>>,
    lists: Vec<List>,
    budgets: EventBudgets,
    now_ms: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let refuses = Arc::new(AtomicBool::new(false));
        let inner = MemoryHistory::new(Retention::default());
        let history = Flaky { inner, refuses: Arc::clone(&refuses) };
        let settings = ShardSettings {
            heartbeat_ms: 0,
            dispatch_timeout_ms: 0,
            subscriber_buffer_bytes: 1 << 20,
            tail: TailBounds::default(),
            tracks_subscriptions: true,
        };
        debug_assert!(!history.needs_upkeep());
        let (producer, consumers) = ring(RING_ENTRIES, rng.usize(1..=3));
        let shard = || Shard::new(settings, &HistorySlice::empty(), Now::default());
        let core = |ring| Core { shard: shard(), ring, slots: Vec::new() };
        Self {
            rng,
            sequencer: Sequencer::new(Box::new(history), Position::START),
            refuses,
            producer,
            queue: VecDeque::new(),
            unpushed: VecDeque::new(),
            cores: consumers.into_iter().map(core).collect(),
            committed: Vec::new(),
            lists: Vec::new(),
            budgets: EventBudgets::new(EventRates { token: RATE, network: RATE, anonymous: RATE }),
            now_ms: 0,
        }
    }

    fn random(&mut self) -> [u8; 16] {
        self.rng.u128(..).to_ne_bytes()
    }

    fn step(&mut self) {
        let number = self.rng.usize(..self.cores.len());
        self.now_ms += self.rng.u64(..100);
        match self.rng.u8(..100) {
            0..20 => self.join(number),
            20..35 => self.leave(number),
            35..55 => self.hand_over(number),
            55..70 => self.commit(),
            70..85 => self.take(number),
            85..90 => self.refuses.store(self.rng.u8(..3) == 0, Ordering::Relaxed),
            90..94 => {
                let form = if self.rng.bool() { DocumentForm::Json } else { DocumentForm::JsonLd };
                self.begin_list(number, form);
            }
            _ => self.go_on_listing(),
        }
    }

    fn join(&mut self, number: usize) {
        let id = SubscriberId::from_random_bytes(self.random());
        let count = self.rng.usize(1..=3);
        let selector =
            |rng: &mut Rng| Selector::parse(SELECTORS[rng.usize(..SELECTORS.len())]).expect("valid");
        let is_08 = self.rng.bool();
        let announcement = |rng: &mut Rng| Announcement {
            written_as: match (is_08, rng.bool()) {
                (false, _) => WrittenAs::Topic,
                (true, false) => WrittenAs::Matcher(MatcherType::Exact),
                (true, true) => WrittenAs::Matcher(MatcherType::UrlPattern),
            },
            payload: None,
        };
        let joining = Joining {
            key: None,
            // A selector may occur twice, also in two types.
            selectors: (0..count).map(|_| selector(&mut self.rng)).collect(),
            announcements: (0..count).map(|_| announcement(&mut self.rng)).collect(),
            grant: Rc::new(Grant::anonymous()),
            expires_ms: u64::MAX,
            framing: Framing::CHUNKED,
            id,
            client: CLIENTS[self.rng.usize(..CLIENTS.len())],
            resume_point: None,
            opening: Box::default(),
        };
        let core = &mut self.cores[number];
        let slot = core.shard.join(joining, Now::default());
        core.slots.push(slot);
    }

    fn leave(&mut self, number: usize) {
        let core = &mut self.cores[number];
        if core.slots.is_empty() {
            return;
        }
        let slot = core.slots.swap_remove(self.rng.usize(..core.slots.len()));
        core.shard.leave(slot);
        while core.shard.next_closed().is_some() {}
    }

    fn hand_over(&mut self, number: usize) {
        let Self { cores, budgets, now_ms, rng, queue, .. } = self;
        let all = cores[number].shard.subscriptions().expect("switched on");
        let due = all.next_batch_ms().is_some_and(|at_ms| at_ms <= *now_ms);
        let frames = all.next_batch(budgets, *now_ms, || rng.u128(..).to_ne_bytes());
        assert!(due || frames.is_empty(), "the shard would have slept");
        let room = QUEUE_MAX - queue.len();
        (room..frames.len()).for_each(|_| all.put_back());
        let reply_to = ReplyTo::Event { shard: number as u16 };
        queue.extend(frames.into_iter().take(room).map(|frame| Publication { frame, reply_to }));
    }

    fn commit(&mut self) {
        if self.unpushed.is_empty() {
            let count = self.rng.usize(..=self.queue.len());
            let batch: Vec<_> = self.queue.drain(..count).collect();
            let (entries, error) = self.sequencer.commit(&batch, 0);
            if error.is_none() {
                self.committed.extend(batch.into_iter().map(|publication| publication.frame));
            }
            self.unpushed.extend(entries);
        }
        while let Some(entry) = self.unpushed.pop_front() {
            if let Err(back) = self.producer.push(entry) {
                self.unpushed.push_front(back);
                return;
            }
        }
    }

    fn take(&mut self, number: usize) {
        let max = self.rng.usize(1..=4);
        let Core { shard, ring, .. } = &mut self.cores[number];
        let mut ours = Vec::new();
        ring.drain(max, |entry| {
            match entry {
                RingEntry::Published { update, reply_to } => {
                    shard.take(update);
                    ours.extend((reply_to.shard() == Some(number as u16)).then_some(true));
                }
                RingEntry::Rejected { reply_to } => {
                    ours.extend((reply_to.shard() == Some(number as u16)).then_some(false));
                }
                RingEntry::Discarded { .. } | RingEntry::End => {}
            }
            DrainStep::GoOn
        });
        shard.moved();
        for is_stored in ours {
            shard.subscriptions().expect("switched on").settled(is_stored);
        }
    }

    fn begin_list(&mut self, number: usize, form: DocumentForm) {
        let all = self.cores[number].shard.subscriptions().expect("switched on");
        let newest = all.newest().text().map(str::to_owned);
        let left = (0..self.cores.len()).collect();
        self.lists.push(List { form, newest, left, members: Vec::new() });
    }

    fn go_on_listing(&mut self) {
        let Some(list) = self.lists.iter_mut().find(|list| !list.left.is_empty()) else { return };
        let number = list.left.swap_remove(self.rng.usize(..list.left.len()));
        let mut members = Vec::new();
        let all = self.cores[number].shard.subscriptions().expect("switched on");
        let mut from = Some(0);
        while let Some(start) = from {
            from = all.list(start, &ListingQuery::All(list.form), 2, &mut members);
        }
        petasos::mercure::subscription::join_members(&mut list.members, &members);
    }

    fn come_to_rest(&mut self) {
        self.refuses.store(false, Ordering::Relaxed);
        for _ in 0..100_000 {
            self.now_ms += 10;
            let mut quiet = self.queue.is_empty() && self.unpushed.is_empty();
            for number in 0..self.cores.len() {
                self.hand_over(number);
                self.take(number);
                quiet &= self.cores[number].shard.subscriptions().expect("switched on").is_quiet();
            }
            self.commit();
            self.go_on_listing();
            if quiet && self.lists.iter().all(|list| list.left.is_empty()) {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// The active subscriptions, by path.
    fn truth(&mut self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for form in [DocumentForm::JsonLd, DocumentForm::Json] {
            self.begin_list(0, form);
            while !self.lists.last().expect("a list").left.is_empty() {
                self.go_on_listing();
            }
            all.extend(paths(&self.lists.pop().expect("a list")));
        }
        all
    }

    fn check(&mut self) {
        let truth = self.truth();
        let selected: usize = self.cores.iter().map(|core| core.slots.len()).sum();
        assert!(truth.len() >= selected, "each subscriber has a subscription");
        let events: Vec<_> = self.committed.iter().map(|frame| told_by(frame)).collect();
        let mut told: BTreeMap<&str, bool> = BTreeMap::new();
        for (path, active) in &events {
            let before = told.insert(path, *active);
            assert!(before != Some(false) || !*active, "{path} begins again");
            assert!(before != Some(*active), "{path} is told twice");
        }
        let now: BTreeSet<_> =
            told.into_iter().filter(|(_, active)| *active).map(|(path, _)| path.to_owned()).collect();
        assert_eq!(now, truth, "who follows the events from the beginning");
        for list in &self.lists {
            let newest = list.newest.as_deref();
            let place = newest.map(|id| self.committed.iter().position(|frame| frame.id().as_str() == id));
            let behind = place.map_or(0, |place| place.expect("it was committed") + 1);
            let mut known = paths(list);
            let truth: BTreeSet<_> =
                truth.iter().filter(|path| form_of(path) == list.form).cloned().collect();
            for (path, active) in events[behind..].iter().filter(|(path, _)| form_of(path) == list.form) {
                match active {
                    true => known.insert(path.clone()),
                    false => known.remove(path),
                };
            }
            assert_eq!(known, truth, "who listed after {newest:?}");
        }
    }
}

fn told_by(frame: &Frame) -> (String, bool) {
    let data = frame.fields().expect("an event").data;
    let data: Value = serde_json::from_str(&data).expect("JSON");
    let path = data["id"].as_str().expect("a path").to_owned();
    assert_eq!(frame.topic_texts().collect::<Vec<_>>(), [&*path]);
    (path, data["active"].as_bool().expect("a boolean"))
}

/// The form of the document with this path.
fn form_of(path: &str) -> DocumentForm {
    let names = ["/subscriptions/exact/", "/subscriptions/urlpattern/"];
    match names.iter().any(|name| path.contains(name)) {
        true => DocumentForm::Json,
        false => DocumentForm::JsonLd,
    }
}

fn paths(list: &List) -> BTreeSet<String> {
    let document: Value =
        serde_json::from_slice(&collection(list.form, "/", None, &list.members)).expect("JSON");
    let all = document["subscriptions"].as_array().expect("a list");
    let paths: BTreeSet<_> = all.iter().map(|one| one["id"].as_str().expect("a path").to_owned()).collect();
    assert_eq!(paths.len(), all.len(), "each is listed once");
    paths
}

#[test]
fn lists_and_what_follows_them_are_the_truth() {
    super::for_each_seed(|seed| {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.come_to_rest();
        world.check();
    });
}
