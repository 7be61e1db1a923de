//! Goal: events are published at a bounded rate however clients come and go, and each client waits
//! a bounded time. Method: shards that share budgets, in virtual time. That lists and events never
//! contradict each other is tested in `tests/simulation`.

use super::pace::EventRates;
use super::*;
use crate::hub::client::Network;
use crate::limits::{
    SUBSCRIPTION_EVENTS_ANONYMOUS_BURST_BYTES, SUBSCRIPTION_EVENTS_ANONYMOUS_BYTES_PER_S,
    SUBSCRIPTION_EVENTS_NETWORK_BURST_BYTES, SUBSCRIPTION_EVENTS_NETWORK_BYTES_PER_S,
};
use crate::mercure::audience::{Audience, Authorization};
use crate::mercure::selector::MatcherType;
use crate::mercure::subscription::{DocumentForm, WrittenAs};
use crate::mercure::token::{LegacyClaims, MercureClaim};

const STRANGER: ClientKey = ClientKey::Network(Network::V4(1));
const NEIGHBOUR: ClientKey = ClientKey::Network(Network::V4(2));
const USER: ClientKey = ClientKey::Token(1);
const TOPIC: Announcement = announcement(WrittenAs::Topic);
const EXACT: Announcement = announcement(WrittenAs::Matcher(MatcherType::Exact));
const PATTERN: Announcement = announcement(WrittenAs::Matcher(MatcherType::UrlPattern));
const BATCH: u64 = SUBSCRIPTION_EVENTS_BATCH_BYTES + SUBSCRIPTION_EVENTS_COMMIT_BYTES;

const fn announcement(written_as: WrittenAs) -> Announcement {
    Announcement { written_as, payload: None }
}

/// Some shards in virtual time, with a history that stores everything at once.
struct Shards {
    all: Vec<Subscriptions>,
    budgets: EventBudgets,
    now_ms: u64,
    next_id: u128,
    selectors: Vec<Selector>,
    /// The events published: who, when, which selector, and whether it begins.
    events: Vec<(SubscriberId, u64, Box<str>, bool)>,
    commits: u64,
    bytes: u64,
}

impl Shards {
    fn new(count: usize) -> Self {
        let selector = |number| Selector::parse(&format!("https://example.com/books/{number}"));
        let selectors = (0..20_000).map(|number| selector(number).expect("a selector"));
        Self {
            all: (0..count).map(|_| Subscriptions::default()).collect(),
            budgets: EventBudgets::new(EventRates::default()),
            now_ms: 1_000,
            next_id: 0,
            selectors: selectors.collect(),
            events: Vec::new(),
            commits: 0,
            bytes: 0,
        }
    }

    fn begin(&mut self, shard: usize, slot: u32, client: ClientKey, selectors: usize) -> SubscriberId {
        self.next_id += 1;
        let id = SubscriberId::from_random_bytes(self.next_id.to_be_bytes());
        let selectors = &self.selectors[..selectors];
        let announcements = vec![TOPIC; selectors.len()];
        self.all[shard].begin(slot, (id, client), (selectors, &announcements), &Rc::new(Grant::anonymous()));
        id
    }

    /// One round of each shard.
    fn round(&mut self) {
        let Self { all, budgets, now_ms, events, commits, bytes, next_id, .. } = self;
        for shard in all {
            if shard.next_batch_ms().is_none_or(|at_ms| at_ms > *now_ms) {
                continue;
            }
            let frames = shard.next_batch(budgets, *now_ms, || {
                *next_id += 1;
                next_id.to_be_bytes()
            });
            *commits += u64::from(!frames.is_empty());
            for frame in &frames {
                *bytes += event_bytes(frame);
                let event = shard.under_way.front().expect("it is under way");
                event.with(|of| events.push((of.subscriber, *now_ms, of.selector.into(), of.active)));
                shard.settled(true);
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.round();
            self.now_ms += 10;
        }
    }

    fn when(&self, subscriber: SubscriberId) -> Option<u64> {
        self.events.iter().find(|(id, ..)| *id == subscriber).map(|(_, at_ms, ..)| *at_ms)
    }

    fn written(&self) -> u64 {
        self.bytes + self.commits * SUBSCRIPTION_EVENTS_COMMIT_BYTES
    }
}

/// Connections of many networks that come and go with 100 selectors, in every shard.
fn churn(shards: &mut Shards, rng: &mut fastrand::Rng, networks: u32, ms: u64) {
    const SLOTS: u32 = 100;
    for _ in 0..ms / 20 {
        for shard in 0..shards.all.len() {
            let slot = rng.u32(..SLOTS);
            shards.all[shard].end(slot);
            if rng.bool() {
                let client = ClientKey::Network(Network::V4(1_000 + rng.u32(..networks)));
                shards.begin(shard, slot, client, 100);
            }
        }
        shards.pass(20);
    }
}

#[test]
fn strangers_write_at_their_rate_however_many_they_are() {
    for (seed, (count, networks)) in [(1, 1), (2, 1), (1, 3), (4, 200), (8, 10_000)].into_iter().enumerate() {
        let (mut shards, mut rng) = (Shards::new(count), fastrand::Rng::with_seed(seed as u64));
        churn(&mut shards, &mut rng, networks, 30_000);
        let rate_max = match networks {
            1 => SUBSCRIPTION_EVENTS_NETWORK_BURST_BYTES + 30 * SUBSCRIPTION_EVENTS_NETWORK_BYTES_PER_S,
            _ => SUBSCRIPTION_EVENTS_ANONYMOUS_BURST_BYTES + 30 * SUBSCRIPTION_EVENTS_ANONYMOUS_BYTES_PER_S,
        };
        let most = rate_max + count as u64 * BATCH;
        let (written, events) = (shards.written(), shards.events.len());
        let seen = format!("seed {seed}: {written} bytes, {events} events of {networks} networks");
        assert!(written <= most, "{seen}: at most {most}");
        // It is used, too, and mostly for events.
        assert!(10 * written >= 8 * rate_max, "{seen}: {rate_max} are allowed");
        assert!(count > 4 || events > 30 * 300, "{seen}");
    }
}

#[test]
fn others_wait_a_bounded_time_beside_strangers_and_users_with_a_token_do_not() {
    let mut rng = fastrand::Rng::with_seed(1);
    for networks in [1, 50] {
        let mut shards = Shards::new(2);
        churn(&mut shards, &mut rng, networks, 20_000);
        for (client, longest_ms) in [(NEIGHBOUR, 3_000), (USER, 0)] {
            let began_ms = shards.now_ms;
            let subscriber = shards.begin(1, 1_000, client, 1);
            churn(&mut shards, &mut rng, networks, 5_000);
            let waited_ms = shards.when(subscriber).expect("it is published") - began_ms;
            assert!(waited_ms <= longest_ms, "{client:?} waited {waited_ms} ms beside {networks} networks");
            shards.all[1].end(1_000);
        }
    }
}

#[test]
fn a_page_that_reloads_is_announced_at_once() {
    let mut shards = Shards::new(2);
    for reload in 0..20 {
        let began_ms = shards.now_ms;
        let subscriber = shards.begin(reload % 2, 0, STRANGER, 5);
        shards.pass(200);
        assert_eq!(shards.when(subscriber), Some(began_ms));
        shards.all[reload % 2].end(0);
        shards.pass(2_000);
    }
    assert_eq!(shards.events.len(), 20 * 2 * 5);
}

#[test]
fn fifteen_thousand_subscribers_of_one_network_are_announced_within_a_minute() {
    let mut shards = Shards::new(2);
    for slot in 0..7_500 {
        shards.begin(0, slot, STRANGER, 1);
        shards.begin(1, slot, STRANGER, 1);
    }
    shards.pass(60_000);
    assert_eq!(shards.events.len(), 15_000);
}

#[test]
fn a_subscription_that_ends_before_it_was_announced_is_not_published() {
    let mut shards = Shards::new(1);
    shards.begin(0, 0, STRANGER, 20_000);
    shards.pass(10_000);
    let (announced, waiting) = (shards.events.len(), shards.all[0].waiting());
    assert!(waiting > 0 && announced + waiting == 20_000, "{announced} {waiting}");
    for slot in 1..1_000 {
        shards.begin(0, slot, STRANGER, 100);
        shards.all[0].end(slot);
    }
    assert_eq!(shards.all[0].waiting(), waiting);
    shards.all[0].end(0);
    assert_eq!(shards.all[0].waiting(), announced, "the ends of those that were announced");
    shards.pass(120_000);
    assert_eq!(shards.events.len(), 2 * announced);
    assert!(shards.all[0].is_quiet());
    assert!(shards.events[..announced].iter().all(|(.., active)| *active));
    assert!(shards.events[announced..].iter().all(|(.., active)| !active));
}

/// So what waits for ended subscribers is bounded by what was announced.
#[test]
fn of_one_client_ends_are_published_before_begins() {
    let mut shards = Shards::new(1);
    for slot in 0..10_000 {
        shards.begin(0, slot, STRANGER, 1);
    }
    shards.pass(100);
    let announced = shards.events.len();
    assert!(announced > 200 && announced < 10_000, "{announced}");
    (0..10_000).filter(|slot| slot % 2 == 0).for_each(|slot| shards.all[0].end(slot));
    shards.pass(120_000);
    let first_begin = shards.events[announced..].iter().position(|(.., active)| *active);
    let ends = shards.events[announced..].iter().filter(|(.., active)| !active).count();
    assert!(ends > 100 && first_begin == Some(ends), "{ends} {first_begin:?}");
    assert!(shards.all[0].is_quiet());
}

#[test]
fn the_bytes_of_ended_subscribers_bound_new_subscriptions_of_their_client_and_then_of_all_like_it() {
    let mut shards = Shards::new(1);
    let all = &mut shards.all[0];
    let long: Vec<_> =
        (0..100).map(|number| Selector::parse(&format!("{number:04000}")).expect("a selector")).collect();
    let id = SubscriberId::from_random_bytes([0; 16]);
    for slot in 0..100 {
        let client = if slot < 50 { STRANGER } else { NEIGHBOUR };
        all.begin(slot, (id, client), (&long, &[TOPIC; 100]), &Rc::new(Grant::anonymous()));
    }
    // As if their budgets were larger.
    while all.lanes[ANONYMOUS].events() > 0 {
        all.lanes[ANONYMOUS].next(None, 0);
    }
    all.lanes[ANONYMOUS].end_batch();
    for (first, client) in [(0, STRANGER), (50, NEIGHBOUR)] {
        assert_eq!(all.may_begin(client), Ok(()));
        let ended = (first..first + 50).take_while(|slot| {
            all.end(*slot);
            all.may_begin(client).is_ok()
        });
        let ended = ended.count();
        assert!((38..45).contains(&ended), "about 16 MiB: {ended} of 0.4 MB");
        assert_eq!(all.may_begin(client), Err(EventsWait::OfClient));
    }
    assert_eq!(all.may_begin(ClientKey::Unknown), Err(EventsWait::OfAll));
    assert_eq!(all.may_begin(USER), Ok(()), "strangers do not stop users with a token");
    shards.all[0].end_all();
    while !shards.all[0].is_quiet() {
        shards.round();
    }
    assert_eq!(shards.events.len(), 100 * 100);
    assert_eq!(shards.all[0].may_begin(STRANGER), Ok(()));
}

#[test]
fn a_stop_does_not_pace_the_last_events() {
    let mut shards = Shards::new(1);
    for slot in 0..50 {
        shards.begin(0, slot, STRANGER, 100);
    }
    shards.pass(30_000);
    assert_eq!(shards.events.len(), 5_000);
    shards.all[0].end_all();
    for _ in 0..5_000 / SUBSCRIPTION_EVENTS_UNDER_WAY_MAX + 1 {
        shards.round();
    }
    assert_eq!(shards.events.len(), 10_000);
    assert!(shards.all[0].is_quiet());
}

/// A client whose only events became silent before the next batch is ready and has nothing to hand
/// over: the shard must not wait for it in a loop.
#[test]
fn a_client_that_came_and_went_between_batches_keeps_the_shard_from_nothing() {
    const THIRD: ClientKey = ClientKey::Network(Network::V4(3));
    let mut shards = Shards::new(1);
    let batch = |shards: &mut Shards| {
        let now_ms = shards.now_ms;
        let frames = shards.all[0].next_batch(&shards.budgets, now_ms, || [7; 16]).len();
        (0..frames).for_each(|_| shards.all[0].settled(true));
    };
    let now_ms = shards.now_ms;
    // One owes, and is parked in the batch in which another spends.
    shards.begin(0, 0, STRANGER, 20_000);
    while shards.budgets.ready_at_ms(STRANGER) <= now_ms {
        batch(&mut shards);
    }
    shards.begin(0, 2, THIRD, 1);
    batch(&mut shards);
    shards.begin(0, 1, NEIGHBOUR, 1);
    shards.all[0].end(1);
    batch(&mut shards);
    let next_ms = shards.all[0].next_batch_ms().expect("one is parked");
    assert!(next_ms > now_ms, "nothing to hand over, yet due");
}

/// A shard with one subscriber, whose events are published.
fn announced(selectors: &[(&str, Announcement)], grant: Grant) -> (Subscriptions, Vec<Arc<Frame>>) {
    let mut all = Subscriptions::default();
    let (texts, announcements): (Vec<_>, Vec<_>) = selectors.iter().copied().unzip();
    let parse = |text: &str| Selector::parse(text).expect("a selector");
    let selectors: Vec<_> = texts.into_iter().map(parse).collect();
    let id = SubscriberId::from_random_bytes([0; 16]);
    all.begin(0, (id, USER), (&selectors, &announcements), &Rc::new(grant));
    let frames = publish(&mut all);
    (all, frames)
}

fn publish(all: &mut Subscriptions) -> Vec<Arc<Frame>> {
    let mut next = 0_u128;
    let frames = all.next_batch(&EventBudgets::new(EventRates::default()), 0, || {
        next += 1;
        next.to_be_bytes()
    });
    frames.iter().for_each(|_| all.settled(true));
    frames
}

fn listed(all: &Subscriptions, wanted: &ListingQuery) -> serde_json::Value {
    let mut members = Vec::new();
    assert_eq!(all.list(0, wanted, usize::MAX, &mut members), None);
    serde_json::from_slice(&[b"[", &*members, b"]"].concat()).expect("JSON")
}

/// Traps 6 and 24 of MERCURE-1.0, section 9; test 125 of section 13, without a hub. (A client
/// cannot mix dialects in one request, but the core does not depend on that.)
#[test]
fn each_subscription_is_announced_and_listed_in_the_form_in_which_it_was_written() {
    let selectors = [("a", TOPIC), ("a", EXACT), ("a", EXACT), ("*", PATTERN), ("*", EXACT), ("a", TOPIC)];
    let (mut all, begins) = announced(&selectors, Grant::anonymous());
    all.end(0);
    let paths = ["a", "exact/a", "urlpattern/%2A", "exact/%2A"]
        .map(|path| format!("/.well-known/mercure/subscriptions/{path}/urn%3Auuid%3A00000000-"));
    for (frames, active) in [(&begins, true), (&publish(&mut all), false)] {
        assert_eq!(frames.len(), paths.len(), "repetitions are one subscription");
        for (frame, path) in frames.iter().zip(&paths) {
            let topics: Vec<_> = frame.topic_texts().collect();
            assert!(topics[0].starts_with(path) && topics.len() == 1, "{topics:?}");
            assert_eq!(*frame.audience(), Audience::Private);
            let fields = frame.fields().expect("an event");
            let is_08 = path != &paths[0];
            assert_eq!(fields.event_type, is_08.then_some("mercure"));
            let document: serde_json::Value = serde_json::from_str(&fields.data).expect("JSON");
            assert_eq!(document.get("@context").is_none(), is_08, "{document}");
            assert_eq!(document["active"], active);
            assert_eq!(document["id"], topics[0]);
        }
    }
    let (all, _) = announced(&selectors, Grant::anonymous());
    for (form, count) in [(DocumentForm::JsonLd, 1), (DocumentForm::Json, 3)] {
        let members = listed(&all, &ListingQuery::All(form));
        assert_eq!(members.as_array().map(Vec::len), Some(count), "{members}");
    }
}

#[test]
fn a_payload_is_shown_where_the_announcement_says_so() {
    let mercure = MercureClaim { publish: None, subscribe: None, payload: Some("Anna".into()) };
    let claims = LegacyClaims { mercure, exp_ms: None }.into();
    let grant = Grant::from_claims(&claims, Authorization::Selectors).expect("valid claims");
    let shown = Announcement { payload: Some(0), ..EXACT };
    let unknown = Announcement { payload: Some(7), ..EXACT };
    let (all, begins) = announced(&[("a", shown), ("b", EXACT), ("c", unknown)], grant);
    let members = listed(&all, &ListingQuery::All(DocumentForm::Json));
    for (place, payload) in [Some("Anna"), None, None].into_iter().enumerate() {
        let data = begins[place].fields().expect("an event").data;
        let event: serde_json::Value = serde_json::from_str(&data).expect("JSON");
        assert_eq!(event.get("payload").and_then(|value| value.as_str()), payload);
        assert_eq!(members[place], event, "a member is the document of the event");
    }
}
