//! The maximum work of one round of a shard. `tests/simulation` checks that streams are right.

mod sharing;
mod urls;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::subscriber::Comparison;
use super::*;
use crate::history::HistoryRange;
use crate::hub::client::ClientKey;
use crate::hub::tail::TailBounds;
use crate::limits::{CATCH_UP_UPDATES, COMPRESSED_BYTES_PER_WORK, REPLAY_WORK_MAX};
use crate::mercure::audience::Authorization;
use crate::mercure::grant::Grant;
use crate::mercure::selector::Selector;
use crate::mercure::subscription::SubscriberId;
use crate::mercure::token::{Claims, LegacyClaims, MercureClaim};
use crate::mercure::update::Update;
use crate::sse::coding::Coding;
use crate::sse::frame::Frame;
use crate::sse::framing::Transfer;
use crate::sse::wire::Sent;

const HEARTBEAT_MS: u64 = 1_000;

/// Sockets that take everything: the number of sends, and the bytes of each slot.
#[derive(Default)]
struct Sends(usize, BTreeMap<u32, Vec<u8>>);

impl Wire for Sends {
    fn send(&mut self, slot: u32, bytes: &[u8]) -> Sent {
        self.0 += 1;
        self.1.entry(slot).or_default().extend_from_slice(bytes);
        Sent::Bytes(bytes.len())
    }
}

pub(super) fn shard() -> Shard {
    let settings = ShardSettings {
        heartbeat_ms: HEARTBEAT_MS,
        dispatch_timeout_ms: 0,
        subscriber_buffer_bytes: 1 << 20,
        tail: TailBounds::default(),
        tracks_subscriptions: false,
    };
    Shard::new(settings, &HistorySlice::empty(), Now::default())
}

pub(super) fn joining(selectors: &[&str], resume_point: Option<ResumePoint>) -> Joining {
    let selectors = selectors.iter().map(|text| Selector::parse(text).expect("a selector")).collect();
    Joining {
        selectors,
        announcements: Box::default(),
        grant: Rc::new(Grant::anonymous()),
        expires_ms: u64::MAX,
        key: None,
        framing: Framing::CHUNKED,
        id: SubscriberId::from_random_bytes([0; 16]),
        client: ClientKey::Unknown,
        resume_point,
        opening: b"HEAD".as_slice().into(),
    }
}

fn earliest() -> Option<ResumePoint> {
    Some(ResumePoint { cursor: Position::START, known: None })
}

/// An update pauses when matching it is much work; one that becomes ready to be live meanwhile gets
/// it too, and each subscriber gets it once.
#[test]
fn an_update_that_pauses_reaches_everyone_once() {
    let mut shard = shard();
    take(&mut shard, "earlier");
    let costly: Vec<_> = (0..40).map(|number| format!("{{+a:90,b{number}*,c:8}}")).collect();
    let costly: Vec<_> = costly.iter().map(String::as_str).collect();
    shard.join(joining(&costly, None), Now::default());
    shard.join(joining(&["*"], None), Now::default());
    let mut sends = Sends::default();
    while shard.has_work() {
        round(&mut shard, &mut sends);
    }
    let topics = "topic=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&".repeat(20);
    let body = format!("{topics}topic=last&data=later");
    let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("a valid body");
    let position = shard.position().next();
    let update = SequencedUpdate { position, frame: Arc::new(Frame::encode(update)), first_of_id: true };
    let mut pauses = 0;
    while !shard.take_some(&update, shard.counters().work) {
        pauses += 1;
        if pauses == 3 {
            // One that is where the shard is, and a new one.
            let cursor = shard.position();
            shard.join(joining(&["last"], Some(ResumePoint { cursor, known: None })), Now::default());
            shard.join(joining(&["last"], None), Now::default());
        }
        round(&mut shard, &mut sends);
    }
    assert!(pauses > 10, "{pauses}");
    shard.moved();
    while shard.has_work() {
        round(&mut shard, &mut sends);
    }
    for slot in 0..4 {
        let received = String::from_utf8_lossy(&sends.1[&slot]);
        assert_eq!(received.matches("later").count(), 1, "slot {slot}: {received}");
    }
}

/// A grant of these topics, and of templates that cost much to compare with [`private_update`].
fn costly_grant(topics: &[String]) -> Rc<Grant> {
    let costly = (0..40).map(|number| format!("{{+a:90,b{number}*,c:8}}~"));
    let subscribe = Some(costly.chain(topics.iter().cloned()).collect());
    let mercure = MercureClaim { subscribe, ..MercureClaim::default() };
    let claims = LegacyClaims { mercure, exp_ms: None }.into();
    Rc::new(Grant::from_claims(&claims, Authorization::Selectors).expect("valid claims"))
}

/// The next update, with a long topic.
fn private_update(shard: &Shard) -> SequencedUpdate {
    let body = format!("topic={}&private=on&data=later", "a".repeat(300));
    let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("a valid body");
    let position = shard.position().next();
    SequencedUpdate { position, frame: Arc::new(Frame::encode(update)), first_of_id: true }
}

/// To compare a private update with the grants of many is much work, too. Who leaves meanwhile does
/// not get it, nor does a new one in its place that has not selected it.
#[test]
fn a_private_update_pauses_between_grants_and_reaches_each_that_may_read_it_once() {
    let mut shard = shard();
    let grant = costly_grant(&["a".repeat(300)]);
    let with_grant = |selector| Joining { grant: Rc::clone(&grant), ..joining(&[selector], None) };
    for _ in 0..20 {
        shard.join(with_grant("*"), Now::default());
    }
    // It may not read private updates.
    let denied = shard.join(joining(&["*"], None), Now::default());
    let mut sends = Sends::default();
    while shard.has_work() {
        round(&mut shard, &mut sends);
    }
    let update = private_update(&shard);
    let (mut pauses, mut others, mut before) = (0, Vec::new(), BTreeMap::new());
    while !shard.take_some(&update, shard.counters().work + 1) {
        pauses += 1;
        if pauses == 3 {
            for slot in 0..20 {
                shard.leave(slot);
            }
            while shard.next_closed().is_some() {}
            before = std::mem::take(&mut sends.1);
            others.extend((0..20).map(|_| shard.join(with_grant("other"), Now::default())));
        }
        round(&mut shard, &mut sends);
    }
    assert!(pauses >= 3 && others.iter().any(|slot| *slot < 20), "{pauses} {others:?}");
    shard.moved();
    while shard.has_work() {
        round(&mut shard, &mut sends);
    }
    let count = |sent: &BTreeMap<u32, Vec<u8>>, slot: u32| {
        String::from_utf8_lossy(sent.get(&slot).map_or(b"", |sent| sent)).matches("later").count()
    };
    let received: Vec<_> = (0..20).map(|slot| count(&before, slot)).collect();
    assert!(received.iter().all(|count| *count <= 1) && received.contains(&1), "{received:?}");
    assert!(received.contains(&0), "one left before its turn: {received:?}");
    for slot in others {
        assert!(sends.1.contains_key(&slot), "{slot} joined, and was sent its head");
        assert_eq!(count(&sends.1, slot), 0, "{slot} came instead of one who had selected it");
    }
    assert_eq!(count(&before, denied) + count(&sends.1, denied), 0);
}

#[test]
fn a_private_update_that_pauses_reaches_each_that_stays_once() {
    let mut shard = shard();
    let mut sends = Sends::default();
    let grant = costly_grant(&["a".repeat(300)]);
    for _ in 0..20 {
        shard.join(Joining { grant: Rc::clone(&grant), ..joining(&["*"], None) }, Now::default());
    }
    let update = private_update(&shard);
    let mut pauses = 0;
    while !shard.take_some(&update, shard.counters().work) {
        pauses += 1;
        round(&mut shard, &mut sends);
    }
    shard.moved();
    while shard.has_work() {
        round(&mut shard, &mut sends);
    }
    let received = |slot: u32| String::from_utf8_lossy(&sends.1[&slot]).matches("later").count();
    assert!(pauses > 10 && (0..20).all(|slot| received(slot) == 1), "{pauses}");
}

/// Also of those that deny it.
#[test]
fn the_comparisons_of_grants_are_work() {
    let work = |grant: Rc<Grant>| {
        let mut shard = shard();
        shard.join(Joining { grant, ..joining(&["*"], None) }, Now::default());
        let (update, before) = (private_update(&shard), shard.counters().work);
        assert!(shard.take_some(&update, u64::MAX));
        shard.counters().work - before
    };
    let (cheap, costly) = (work(Rc::new(Grant::anonymous())), work(costly_grant(&[])));
    assert!(costly > cheap + 20, "{costly}, without comparisons {cheap}");
}

fn take(shard: &mut Shard, topic: &str) {
    let body = format!("topic={topic}");
    let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("a valid body");
    let position = shard.position().next();
    shard.take(&SequencedUpdate { position, frame: Arc::new(Frame::encode(update)), first_of_id: false });
    shard.moved();
}

/// The work of comparing a short topic with this number of selectors.
fn comparison(selectors: usize) -> u64 {
    Comparison::new(&vec![Selector::parse("exact").expect("a selector"); selectors]).work(1)
}

/// One round of the runtime, without entries and timers; returns the work done.
fn round(shard: &mut Shard, sends: &mut Sends) -> u64 {
    let before = shard.counters().work;
    shard.catch_up(64);
    shard.flush(64, Now::default(), sends);
    shard.counters().work - before
}

#[test]
fn a_long_history_of_which_a_crowd_gets_nothing_takes_no_longer_a_round_than_one_of_which_it_gets_all() {
    let mut shard = shard();
    for _ in 0..2 * CATCH_UP_UPDATES {
        take(&mut shard, "a");
    }
    let selectors: Vec<_> = (0..100).map(|number| format!("/nothing/{number}")).collect();
    let selectors: Vec<_> = selectors.iter().map(String::as_str).collect();
    for _ in 0..8 {
        shard.join(joining(&selectors, earliest()), Now::default());
    }
    let (mut sends, mut rounds, mut total) = (Sends::default(), 0, 0);
    while shard.has_work() {
        let work = round(&mut shard, &mut sends);
        assert!(work <= REPLAY_WORK_MAX + selectors.len() as u64, "{work} in one round");
        (rounds, total) = (rounds + 1, total + work);
    }
    let most = 8 * 2 * CATCH_UP_UPDATES as u64 * comparison(100);
    assert_eq!(total, most, "everything was looked at once");
    assert!(rounds >= total / REPLAY_WORK_MAX, "{rounds}");
}

#[test]
fn a_slice_of_the_history_that_is_much_work_is_read_in_parts() {
    let mut shard = shard();
    let body = "topic=a".as_bytes();
    let update = Update::parse(body, Authorization::Selectors, [0; 16]).expect("a valid body");
    let frame = Arc::new(Frame::encode(update));
    let update = |number| SequencedUpdate {
        position: Position::new(number),
        frame: Arc::clone(&frame),
        first_of_id: false,
    };
    shard.position = Position::new(5_000);
    let selectors: Vec<_> = (0..4_000).map(|number| format!("/nothing/{number}")).collect();
    let selectors: Vec<_> = selectors.iter().map(String::as_str).collect();
    shard.join(joining(&selectors, earliest()), Now::default());
    let mut sends = Sends::default();
    let mut after = Position::START;
    for _ in 0..3 {
        while shard.has_work() {
            round(&mut shard, &mut sends);
        }
        let read = shard.next_read().expect("a read");
        assert!(read.after >= after, "it goes on where it was");
        let range = HistoryRange { before_oldest: Position::START, newest: shard.position() };
        let first = read.after.next().get();
        let updates: Vec<_> = (first..first + CATCH_UP_UPDATES as u64).map(update).collect();
        let before = shard.counters().work;
        let until = updates.last().map_or(read.after, |last| last.position);
        shard.history_read(read, Ok(HistorySlice { updates, after: read.after, until, range }));
        assert!(shard.counters().work - before <= REPLAY_WORK_MAX + comparison(4_000));
        after = Position::new(first + REPLAY_WORK_MAX.div_ceil(comparison(4_000)) - 1);
    }
}

/// Regression: subscribers that catch up have something pending in every round. The shard waited
/// for them and took no entry, so it neither delivered nor responded to a publisher while a crowd
/// read the history.
#[test]
fn live_updates_do_not_wait_for_a_crowd_that_catches_up() {
    let mut shard = shard();
    let mut sends = Sends::default();
    let long = format!("a&data={}", "x".repeat(2_000));
    for _ in 0..4_000 {
        take(&mut shard, &long);
    }
    shard.join(joining(&["a"], None), Now::default());
    while shard.has_work() {
        round(&mut shard, &mut sends);
    }
    for _ in 0..400 {
        shard.join(joining(&["a"], earliest()), Now::default());
    }
    for _ in 0..10 {
        take(&mut shard, "a");
        let mut rounds = 0;
        while shard.has_unflushed() {
            round(&mut shard, &mut sends);
            rounds += 1;
            assert!(rounds <= 400 / 64 + 2, "entries wait for the crowd");
        }
    }
    let slots = shard.subscribers.slots();
    let states = slots.iter().filter_map(|slot| shard.subscribers.get_mut(*slot).map(|it| it.state));
    let behind = states.filter(|state| matches!(state, SubscriberState::CatchingUp { .. })).count();
    assert!(behind > 300, "the crowd was done too soon to be a test: {behind}");
}

/// The subscribers read the history at different places, so they share no encoded frame.
/// Compression must count as work; else a returning crowd would delay all others.
#[test]
fn a_crowd_that_catches_up_compresses_a_bounded_part_in_each_round() {
    let mut shard = shard();
    let event_bytes = 40_000;
    let long = format!("a&data={}", "x".repeat(event_bytes));
    for _ in 0..200 {
        take(&mut shard, &long);
    }
    let framing = Framing { transfer: Transfer::Chunked, coding: Some(Coding::Zstd) };
    shard.join(Joining { framing, ..joining(&["a"], earliest()) }, Now::default());
    let (mut sends, mut rounds, mut total) = (Sends::default(), 0, 0);
    let one = (event_bytes / COMPRESSED_BYTES_PER_WORK) as u64;
    while shard.has_work() {
        let work = round(&mut shard, &mut sends);
        assert!(work <= REPLAY_WORK_MAX + 2 * one, "{work} in one round");
        (rounds, total) = (rounds + 1, total + work);
    }
    let all = (200 * event_bytes / COMPRESSED_BYTES_PER_WORK) as u64;
    assert!(total >= all && rounds as u64 >= all / (REPLAY_WORK_MAX + one), "{total} in {rounds}");
    let before = shard.counters().work;
    shard.join(Joining { framing, ..joining(&["a"], earliest()) }, Now::default());
    while shard.has_work() {
        round(&mut shard, &mut sends);
    }
    assert!(shard.counters().work - before < all / 10, "who comes second finds the pieces made");
}

#[test]
fn heartbeats_that_are_due_together_are_sent_in_parts() {
    let mut shard = shard();
    let mut sends = Sends::default();
    for _ in 0..2 * TIMERS_MAX {
        shard.join(joining(&["a"], None), Now::default());
    }
    while shard.has_work() {
        round(&mut shard, &mut sends);
    }
    let later = Now { ms: HEARTBEAT_MS, unix_ms: 0 };
    for _ in 0..2 {
        let before = sends.0;
        shard.advance(later, &mut sends);
        assert_eq!(sends.0 - before, TIMERS_MAX);
        assert_eq!(shard.has_work(), sends.0 < 4 * TIMERS_MAX, "the rest is work for the next round");
    }
}

#[test]
fn an_entry_counts_as_much_as_it_concerns_subscribers() {
    let mut shard = shard();
    for _ in 0..30 {
        shard.join(joining(&["a"], None), Now::default());
    }
    let before = shard.counters().work;
    take(&mut shard, "a");
    take(&mut shard, "b");
    assert_eq!(shard.counters().work - before, 30);
}

/// A wire that takes everything and passes nothing on, as TLS does before a full socket.
struct Holds;

impl Wire for Holds {
    fn send(&mut self, _slot: u32, bytes: &[u8]) -> Sent {
        Sent::Held(bytes.len())
    }
}

/// It has nothing pending, yet its last bytes would be lost with the socket.
#[test]
fn a_stream_that_ends_is_not_closed_while_the_wire_holds_bytes_of_it() {
    for framing in [Framing::PLAIN, Framing::CHUNKED] {
        let mut shard = shard();
        let slot = shard.join(Joining { framing, ..joining(&["a"], None) }, Now::default());
        shard.flush(1, Now::default(), &mut Holds);
        shard.begin_drain(0, Now::default());
        assert_eq!(shard.next_closed(), None, "the opening is held");
        assert!(!shard.has_work(), "there is nothing to do before the wire says so");
        shard.writable(slot);
        shard.flush(1, Now::default(), &mut Holds);
        if framing == Framing::CHUNKED {
            shard.flush(1, Now::default(), &mut Holds);
            assert_eq!(shard.next_closed(), None, "the last chunk is held");
            shard.writable(slot);
            shard.flush(1, Now::default(), &mut Holds);
        }
        assert_eq!(shard.next_closed(), Some((slot, EndReason::Drained)));
    }
}

/// `DISPATCH_TIMEOUT` is for sockets that take nothing, not for slow ones.
#[test]
fn who_takes_held_bytes_slowly_is_not_stalled_and_who_takes_none_is() {
    let at = |ms| Now { ms, ..Now::default() };
    for (is_slow, expected) in [(true, None), (false, Some(EndReason::Stalled))] {
        let mut shard = shard();
        shard.settings.dispatch_timeout_ms = 1_000;
        let slot = shard.join(joining(&["a"], None), at(0));
        shard.flush(1, at(0), &mut Holds);
        for ms in (0..3_000).step_by(500) {
            if is_slow {
                shard.progressed(slot, at(ms));
            }
            shard.advance(at(ms), &mut Holds);
        }
        assert_eq!(shard.next_closed().map(|(_, reason)| reason), expected);
    }
}

/// A socket that takes nothing.
struct NoRoom;

impl Wire for NoRoom {
    fn send(&mut self, _slot: u32, _bytes: &[u8]) -> Sent {
        Sent::Full
    }
}

#[test]
fn a_slow_subscriber_whose_updates_are_dropped_gets_every_one_of_them_later() {
    let mut shard = shard();
    let mut sends = Sends::default();
    let slow = shard.join(joining(&["a"], None), Now::default());
    round(&mut shard, &mut sends);
    let data = "x".repeat(50_000);
    for _ in 0..5 {
        take(&mut shard, &format!("a&data={data}"));
        shard.flush(64, Now::default(), &mut NoRoom);
    }
    assert!(shard.outbox_bytes() > 0);
    assert_eq!((shard.shed_pending(1_000), shard.counters().fell_behind), (1, 1));
    assert_eq!(shard.shed_pending(1_000), 0, "nothing is left");
    shard.writable(slow);
    let (before, bytes) = (sends.0, shard.counters().bytes);
    while shard.has_work() {
        round(&mut shard, &mut sends);
    }
    assert!(sends.0 > before);
    assert!(shard.counters().bytes - bytes > 5 * data.len() as u64, "all five are sent");
    shard.leave(slow);
    assert_eq!(shard.next_closed(), Some((slow, EndReason::Gone)));
    shard.shrink();
    assert_eq!(shard.outbox_bytes(), 0);
}

#[test]
fn who_takes_nothing_is_kept_no_more_than_its_buffer() {
    let mut shard = shard();
    shard.join(joining(&["a"], None), Now::default());
    round(&mut shard, &mut Sends::default());
    let data = "x".repeat(50_000);
    for _ in 0..30 {
        take(&mut shard, &format!("a&data={data}"));
        shard.flush(64, Now::default(), &mut NoRoom);
    }
    assert_eq!((shard.counters().fell_behind, shard.counters().deliveries), (1, 20));
}

/// Found by `tests/simulation/server.rs`: with `DISPATCH_TIMEOUT=0`, a full socket has no timer,
/// and one that takes bytes again had none either.
#[test]
fn who_was_full_for_longer_than_a_heartbeat_gets_heartbeats_again() {
    let at = |ms| Now { ms, ..Now::default() };
    let (mut shard, mut sends) = (shard(), Sends::default());
    let slot = shard.join(joining(&["a"], None), at(0));
    shard.flush(1, at(0), &mut NoRoom);
    shard.advance(at(2 * HEARTBEAT_MS), &mut NoRoom);
    shard.writable(slot);
    shard.flush(1, at(2 * HEARTBEAT_MS), &mut sends);
    shard.advance(at(4 * HEARTBEAT_MS), &mut sends);
    assert!(sends.1[&slot].ends_with(b":\n\r\n"), "{:?}", sends.1[&slot]);
}
