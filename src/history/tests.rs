//! Both stores against the plain definition: what the bounds leave of a random mix of updates and
//! events of subscriptions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::memory::MemoryHistory;
use super::redb::archive::Archive;
use super::redb::{HistorySync, RedbHistory};
use super::*;
use crate::mercure::audience::Authorization;
use crate::mercure::subscription::{SubscriberId, Subscription, WrittenAs};
use crate::mercure::update::Update;

const NOW_MS: u64 = 1_700_000_000_000;

/// An update of this many bytes of data.
fn update(id: &str, data_bytes: usize) -> Arc<Frame> {
    let body = format!("topic=t&id={id}&data={}", "d".repeat(data_bytes));
    let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("valid body");
    Arc::new(Frame::encode(update))
}

/// An event of a subscription.
fn event(random: &mut fastrand::Rng) -> Arc<Frame> {
    let subscriber = SubscriberId::from_random_bytes([7; 16]);
    let selector = "s".repeat(random.usize(1..80));
    let subscription = Subscription {
        written_as: WrittenAs::Topic,
        selector: &selector,
        subscriber,
        active: true,
        payload: None,
    };
    Arc::new(Frame::encode(Update::of_subscription(&subscription, random.u128(..).to_ne_bytes())))
}

/// What was appended: by position, with its time and its bytes.
struct Model {
    all: Vec<(Arc<Frame>, u64, u64)>,
    retention: Retention,
    /// The bounds hold from the append or the upkeep at this time.
    now_ms: u64,
}

impl Model {
    /// The positions that the bounds leave.
    fn held(&self) -> BTreeMap<u64, Arc<Frame>> {
        let Retention { updates_max, bytes_max, age_max_ms, events_max, event_bytes_max } = self.retention;
        let kept = |is_event: bool, count_max: u64, bytes_max: u64| {
            let mut bytes = 0;
            let of_kind =
                (1..).zip(&self.all).filter(|(_, (frame, ..))| frame.is_subscription_event() == is_event);
            let of_kind: Vec<_> = of_kind.collect();
            // From the newest back to the first that must go.
            let kept = of_kind.iter().rev().enumerate().take_while(|(nth, (_, (_, unix_ms, size)))| {
                bytes += size;
                let fits =
                    (count_max == 0 || (*nth as u64) < count_max) && (bytes_max == 0 || bytes <= bytes_max);
                (fits || *nth == 0) && (age_max_ms == 0 || self.now_ms - unix_ms <= age_max_ms)
            });
            let kept: BTreeMap<u64, _> =
                kept.map(|(_, (position, (frame, ..)))| (*position, Arc::clone(frame))).collect();
            let gone = of_kind.iter().rev().find(|(position, _)| !kept.contains_key(position));
            (gone.map_or(0, |(position, _)| *position), kept)
        };
        let (gone, mut held) = kept(false, updates_max, bytes_max);
        held.extend(kept(true, events_max, event_bytes_max).1.into_iter().filter(|event| event.0 > gone));
        held
    }

    /// The newest update that is gone.
    fn before_oldest(&self, held: &BTreeMap<u64, Arc<Frame>>) -> u64 {
        let updates = (1..).zip(&self.all).filter(|(_, (frame, ..))| !frame.is_subscription_event());
        updates.map(|(position, _)| position).filter(|it| !held.contains_key(it)).max().unwrap_or(0)
    }

    fn check(
        &self,
        history: &dyn History,
        appended: Option<&Appended>,
        random: &mut fastrand::Rng,
        what: &str,
    ) {
        let held = self.held();
        let reader = history.reader();
        let before_oldest = self.before_oldest(&held);
        let newest = self.all.len() as u64;
        let events = held.values().filter(|frame| frame.is_subscription_event()).count();
        let counts = HeldCounts { updates: (held.len() - events) as u64, events: events as u64 };
        assert_eq!(history.held(), counts, "{what}");
        let range = reader.range().expect("readable");
        assert_eq!((range.before_oldest.get(), range.newest.get()), (before_oldest, newest), "{what}");
        if let Some(Appended { before_oldest, .. }) = appended {
            let oldest = held.keys().next().map_or(newest, |oldest| oldest - 1);
            assert_eq!(before_oldest.get(), oldest, "{what}");
        }
        // In slices, from any place.
        let from = random.u64(..=newest);
        let expected: Vec<_> = held.range(from + 1..).map(|(position, frame)| (*position, frame)).collect();
        let (mut read, mut after) = (Vec::new(), from);
        loop {
            let slice = reader.read(Position::new(after), random.usize(1..9), usize::MAX).expect("readable");
            assert_eq!(slice.after.get(), after.max(before_oldest), "{what}");
            let until = slice.until.get();
            if until <= after {
                assert!(slice.updates.is_empty(), "{what}");
                break;
            }
            read.extend(slice.updates);
            after = until;
        }
        assert_eq!(after, newest, "{what}: the last slice ends with the history");
        let read: Vec<_> = read.iter().map(|update| (update.position.get(), &update.frame)).collect();
        assert_eq!(read, expected, "{what}, after {from}");
        // The newest, without a gap.
        let count = random.usize(..9);
        let slice = reader.newest(count, usize::MAX).expect("readable");
        let without_gap = (1..=newest).rev().take_while(|position| held.contains_key(position)).take(count);
        let mut expected: Vec<_> = without_gap.collect();
        expected.reverse();
        assert_eq!(slice.updates.iter().map(|it| it.position.get()).collect::<Vec<_>>(), expected, "{what}");
        for (position, (frame, ..)) in (1_u64..).zip(&self.all) {
            let is_it = |(_, other): &(&u64, &Arc<Frame>)| other.id() == frame.id();
            let first = held.iter().find(is_it).map(|(position, _)| *position);
            let found = reader.locate(frame.id().as_str()).expect("readable").map(Position::get);
            assert_eq!(found, first, "{what}: the id of {position}");
        }
    }
}

fn random_retention(random: &mut fastrand::Rng) -> Retention {
    Retention {
        updates_max: [0, 1, 7][random.usize(..3)],
        bytes_max: [0, 1, 1_500][random.usize(..3)],
        age_max_ms: [0, 0, 1, 40][random.usize(..4)],
        events_max: [0, 1, 5][random.usize(..3)],
        event_bytes_max: [0, 1, 2_000][random.usize(..3)],
    }
}

/// A random batch, with a repeated id now and then.
fn batch(model: &Model, random: &mut fastrand::Rng) -> Vec<Arc<Frame>> {
    let first = model.all.len();
    let events = random.u32(..3);
    let frame = |nth: usize, random: &mut fastrand::Rng| match random.u32(..3) < events {
        true => event(random),
        false if random.u32(..6) == 0 && first > 0 => {
            update(model.all[random.usize(..first)].0.id().as_str(), random.usize(..300))
        }
        false => update(&format!("i{}", first + nth), random.usize(..300)),
    };
    (0..random.usize(1..6)).map(|nth| frame(nth, random)).collect()
}

fn agrees(
    seed: u64,
    bytes: impl Fn(&Frame) -> u64,
    mut open: impl FnMut(Retention) -> Box<dyn History>,
    reopens: bool,
) {
    let mut random = fastrand::Rng::with_seed(seed);
    let retention = random_retention(&mut random);
    let mut history = open(retention);
    let mut model = Model { all: Vec::new(), retention, now_ms: NOW_MS };
    for step in 0..30 {
        let what = format!("seed {seed}, step {step}, {retention:?}");
        let batch = batch(&model, &mut random);
        model.now_ms += random.u64(..30);
        let now_ms = model.now_ms;
        model.all.extend(batch.iter().map(|frame| (Arc::clone(frame), now_ms, bytes(frame))));
        let appended = history.append(&batch, now_ms).expect("room");
        let positions: Vec<_> = appended.updates.iter().map(|update| update.position.get()).collect();
        let newest = model.all.len() as u64;
        assert_eq!(positions, (newest - batch.len() as u64 + 1..=newest).collect::<Vec<_>>(), "{what}");
        model.check(&*history, Some(&appended), &mut random, &what);
        if random.bool() {
            model.now_ms += random.u64(..60);
            history.maintain(model.now_ms).expect("room");
            model.check(&*history, None, &mut random, &what);
        }
        if reopens && random.u32(..4) == 0 {
            drop(history);
            history = open(retention);
            history.maintain(model.now_ms).expect("room");
            model.check(&*history, None, &mut random, &format!("{what}, opened again"));
        }
    }
}

#[test]
fn memory_holds_what_the_bounds_leave_of_updates_and_of_events() {
    for seed in 0..300 {
        let open = |retention| Box::new(MemoryHistory::new(retention)) as Box<dyn History>;
        agrees(seed, |frame| frame.bytes_held() as u64, open, false);
    }
}

#[test]
fn the_file_holds_what_the_bounds_leave_of_updates_and_of_events() {
    for seed in 0..25 {
        let path = std::env::temp_dir().join(format!("petasos-mixed-{}-{seed}.db", std::process::id()));
        let open = |retention| {
            let history = RedbHistory::open(&path, retention, HistorySync::Never).expect("a usable file");
            Box::new(history) as Box<dyn History>
        };
        agrees(seed, redb::bytes_of, open, true);
        let findings = Archive::open(&path).expect("ours").verify().expect("readable");
        std::fs::remove_file(&path).expect("there");
        assert_eq!(findings.texts, [""; 0], "seed {seed}");
    }
}
