//! Goal: whatever the disk does, an acknowledged update is in the history, once and in order; a
//! refused one is not; and service resumes when the fault ends.
//!
//! Method: the store on storage whose n-th write or sync fails, for every n of a commit; on a disk
//! that loses power with any part of its unsynced writes done, in any order; on files that were
//! altered (`altered`); and a whole hub, in this process, on storage that fails while publishers
//! and subscribers use real sockets.

mod altered;
#[path = "../common/mod.rs"]
mod common;
mod hub;
mod storage;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use petasos::history::redb::archive::Archive;
use petasos::history::redb::{HistorySync, RedbHistory};
use petasos::history::{History, HistoryReader, Position, Retention};
use petasos::mercure::audience::Authorization;
use petasos::mercure::subscription::{SubscriberId, Subscription, WrittenAs};
use petasos::mercure::update::Update;
use petasos::sse::frame::Frame;
use storage::{Disk, Faults, FaultyFile, PageCache};

const NOW_MS: u64 = 1_700_000_000_000;

/// A directory for one test, removed at the end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("petasos-faults-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("updates.db")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn frame(id: &str) -> Arc<Frame> {
    let body = format!("topic=t&data=x&id={id}");
    let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("valid body");
    Arc::new(Frame::encode(update))
}

/// An event of a subscription.
fn event(random: &mut fastrand::Rng) -> Arc<Frame> {
    let subscriber = SubscriberId::from_random_bytes([7; 16]);
    let subscription =
        Subscription { written_as: WrittenAs::Topic, selector: "s", subscriber, active: true, payload: None };
    Arc::new(Frame::encode(Update::of_subscription(&subscription, random.u128(..).to_ne_bytes())))
}

/// The ids of the updates that are held, without events of subscriptions.
fn held(reader: &dyn HistoryReader) -> Vec<String> {
    let slice = reader.read(Position::START, usize::MAX, usize::MAX).expect("readable");
    let updates = slice.updates.iter().filter(|update| !update.frame.is_subscription_event());
    updates.map(|update| update.frame.id().to_string()).collect()
}

pub(crate) fn faulty(path: &std::path::Path, faults: &Arc<Faults>) -> FaultyFile {
    let mut options = std::fs::File::options();
    let file = options.read(true).write(true).create(true).truncate(false).open(path).expect("a file");
    FaultyFile { file: Arc::new(file), faults: Arc::clone(faults) }
}

/// Breaks the n-th operation of a second batch, and checks the result. Returns whether the fault
/// was reached.
fn survives_fault(writes_left: i64, syncs_left: i64, short: bool, sync: HistorySync) -> bool {
    let directory = Directory::new("store");
    // Retention also runs: a failed commit must not remove anything.
    let retention = Retention { updates_max: 3, ..Retention::default() };
    let faults = Faults::none(short);
    let file = faulty(&directory.file(), &faults);
    let mut history =
        RedbHistory::on_storage("a faulty disk", move || file.clone(), retention, sync).expect("new");
    let reader = history.reader();
    let append = |history: &mut RedbHistory, ids: &[&str]| {
        let frames: Vec<_> = ids.iter().map(|id| frame(id)).collect();
        history.append(&frames, NOW_MS).map(|appended| appended.updates)
    };

    append(&mut history, &["0", "a"]).expect("room");
    append(&mut history, &["b"]).expect("room");
    faults.set(writes_left, syncs_left);
    let appended = append(&mut history, &["c", "d"]).is_ok();
    let maintained = history.maintain(NOW_MS).is_ok();
    faults.lift();

    let written = append(&mut history, &["e"]).expect("the fault is gone");
    let expected: &[&str] = if appended { &["c", "d", "e"] } else { &["a", "b", "e"] };
    assert_eq!(held(&*reader), expected, "{writes_left} {syncs_left} {short} {sync:?}");
    assert_eq!(written[0].position.get(), if appended { 6 } else { 4 });
    history.maintain(NOW_MS).expect("the fault is gone");
    drop((history, reader));
    let reopened = RedbHistory::open(&directory.file(), retention, sync).expect("ours");
    assert_eq!(held(&*reopened.reader()), expected, "{writes_left} {syncs_left} {short}, reopened");
    assert_eq!(appended && maintained, faults.failed.load(Ordering::SeqCst) == 0);
    !(appended && maintained)
}

#[test]
fn a_batch_that_failed_leaves_nothing_and_the_next_succeeds_whichever_operation_failed() {
    for sync in [HistorySync::Always, HistorySync::Interval] {
        for short in [false, true] {
            let reached = (0..40).take_while(|n| survives_fault(*n, -1, short, sync)).count();
            assert!((2..40).contains(&reached), "{reached} writes of one commit were broken");
        }
        let reached = (0..10).take_while(|n| survives_fault(-1, *n, false, sync)).count();
        assert!((1..10).contains(&reached), "{reached} syncs of one commit were broken");
    }
}

/// The same with events of subscriptions, of which two are kept: some that a reopened store gets
/// again were freed before.
#[test]
fn events_of_a_batch_that_failed_leave_nothing_and_those_before_it_are_there() {
    for sync in [HistorySync::Always, HistorySync::Interval] {
        for writes_left in 0..40 {
            let mut random = fastrand::Rng::with_seed(writes_left);
            let directory = Directory::new("events");
            let retention = Retention { updates_max: 3, events_max: 2, ..Retention::default() };
            let faults = Faults::none(false);
            let file = faulty(&directory.file(), &faults);
            let storage = move || file.clone();
            let mut history =
                RedbHistory::on_storage("a faulty disk", storage, retention, sync).expect("new");
            let mut all: Vec<Arc<Frame>> = Vec::new();
            for number in 0..12_u64 {
                if number == 8 {
                    faults.set(writes_left as i64, -1);
                }
                let mut batch: Vec<_> = (0..random.usize(..4)).map(|_| event(&mut random)).collect();
                batch.push(frame(&format!("u{number}")));
                if history.append(&batch, NOW_MS).is_ok() {
                    all.extend(batch);
                }
                if number == 9 {
                    faults.lift();
                }
                if random.u32(..4) == 0 {
                    let _ = history.maintain(NOW_MS);
                }
            }
            let updates = (1_u64..).zip(&all).filter(|(_, frame)| !frame.is_subscription_event());
            let mut expected: Vec<_> = updates.collect();
            expected.reverse();
            expected.truncate(4);
            let gone = expected.pop().expect("more than are kept").0;
            let events = (1_u64..).zip(&all).filter(|(_, frame)| frame.is_subscription_event());
            let events: Vec<_> = events.collect();
            expected.extend(events.into_iter().rev().take(2).filter(|(position, _)| *position > gone));
            expected.sort_unstable_by_key(|(position, _)| *position);
            let check = |reader: Arc<dyn HistoryReader>| {
                let slice = reader.read(Position::START, usize::MAX, usize::MAX).expect("readable");
                let held: Vec<_> = slice.updates.iter().map(|it| (it.position.get(), &it.frame)).collect();
                assert_eq!(held, expected, "{writes_left} {sync:?}");
                for (position, frame) in &expected {
                    let place = reader.locate(frame.id().as_str()).expect("readable");
                    assert_eq!(place.map(Position::get), Some(*position), "{writes_left} {sync:?}");
                }
            };
            check(history.reader());
            drop(history);
            check(RedbHistory::open(&directory.file(), retention, sync).expect("ours").reader());
            let findings = Archive::open(&directory.file()).expect("ours").verify().expect("readable");
            assert_eq!(findings.texts, [""; 0], "{writes_left} {sync:?}");
        }
    }
}

/// Uses a history until its power is cut. Returns the number of disk operations, the number of
/// updates that are safe at the cut, and the maximum that may be stored.
fn work(disk: &Disk, seed: u64, retention: Retention, sync: HistorySync, cut_before: u64) -> (u64, u64, u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let storage = disk.clone();
    let mut history =
        RedbHistory::on_storage("a disk", move || storage.clone(), retention, sync).expect("a sound disk");
    let (mut appended, mut safe, mut safe_at_cut, mut most_at_cut) = (0_u64, 0, 0, 0);
    for _ in 0..12 {
        if random.u32(..4) == 0 {
            history.maintain(NOW_MS).expect("a sound disk");
            safe = appended;
        } else {
            let count = random.u64(1..4);
            let mut batch: Vec<_> =
                (0..count).map(|nth| frame(&format!("u{}", appended + nth + 1))).collect();
            for _ in 0..random.usize(..4) {
                batch.insert(random.usize(..=batch.len()), event(&mut random));
            }
            if disk.operations() <= cut_before {
                most_at_cut = appended + count;
            }
            history.append(&batch, NOW_MS).expect("a sound disk");
            appended += count;
            if sync == HistorySync::Always {
                safe = appended;
            }
        }
        if disk.operations() <= cut_before {
            safe_at_cut = safe;
        }
    }
    (disk.operations(), safe_at_cut, most_at_cut)
}

fn survives_power_cut(seed: u64, sync: HistorySync) {
    let mut random = fastrand::Rng::with_seed(seed);
    let events_max = [1, 3, 10_000][random.usize(..3)];
    let retention = Retention { updates_max: [0, 8][random.usize(..2)], events_max, ..Retention::default() };
    let (operations, ..) = work(&Disk::with_cut(u64::MAX), seed, retention, sync, u64::MAX);
    let cut_before = random.u64(..operations);
    let disk = Disk::with_cut(cut_before);
    let (_, safe, most) = work(&disk, seed, retention, sync, cut_before);
    let after = disk.after_cut(&mut random);
    let history = RedbHistory::on_storage("a disk", move || after.clone(), retention, sync);
    let found = match history {
        Ok(history) => held(&*history.reader()),
        // A hub creates its file under another name and renames it when it is safe, so it never
        // opens an incomplete one.
        Err(_) if safe == 0 => return,
        Err(error) => panic!("seed {seed} {sync:?}: {error}"),
    };
    let last = found.last().map_or(0, |id| id[1..].parse().expect("a number"));
    assert!((safe..=most).contains(&last), "seed {seed} {sync:?}: {safe} were safe, {last} is left");
    let kept = if retention.updates_max == 0 { last } else { last.min(retention.updates_max) };
    let expected: Vec<_> = (last - kept + 1..=last).map(|number| format!("u{number}")).collect();
    assert_eq!(found, expected, "seed {seed} {sync:?}");
}

#[test]
fn a_power_cut_takes_nothing_that_was_promised_to_be_on_the_disk() {
    for seed in 0..300 {
        survives_power_cut(seed, HistorySync::Always);
        survives_power_cut(seed, HistorySync::Interval);
    }
}

/// Linux reports a failed sync once and then treats the pages as written. A store that continued
/// from them would build on lost data.
#[test]
fn a_failed_sync_before_a_power_cut_takes_nothing_with_it() {
    for (updates_max, batches) in [(0, 1), (0, 20), (100, 20), (1_000, 40)] {
        for failing in [0, 1, 3] {
            let disk = PageCache::default();
            let on = |disk: &PageCache| {
                let disk = disk.clone();
                let retention = Retention { updates_max, ..Retention::default() };
                RedbHistory::on_storage("a disk", move || disk.clone(), retention, HistorySync::Always)
                    .expect("a history")
            };
            let mut history = on(&disk);
            for batch in 0..batches {
                let frames: Vec<_> = (0..50).map(|nth| frame(&format!("u{}", batch * 50 + nth))).collect();
                history.append(&frames, NOW_MS).expect("a sound disk");
            }
            disk.fail_syncs(failing);
            // Opening the store anew may fail too. Then more than one batch is refused, but not for
            // ever.
            let attempts = (0..10).map(|attempt| format!("attempt{attempt}"));
            let refused: Vec<_> =
                attempts.take_while(|id| history.append(&[frame(id)], NOW_MS).is_err()).collect();
            assert_eq!(refused.is_empty(), failing == 0, "{updates_max} {batches} {failing}");
            assert!(refused.len() <= failing as usize);
            let expected = held(&*history.reader());
            assert_eq!(expected.last(), Some(&format!("attempt{}", refused.len())));
            assert!(refused.iter().all(|id| !expected.contains(id)), "what was refused is nowhere");
            let found = held(&*on(&disk.after_cut()).reader());
            assert_eq!(found, expected, "{updates_max} {batches} {failing}");
        }
    }
}
