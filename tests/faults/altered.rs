//! Goal: a history file that was altered is refused, or its reads fail, or it serves exactly what
//! was stored. It never serves another update, other topics, another audience or another id, and it
//! never calls a known id unknown.
//!
//! Method: files that were closed cleanly, and copies of files that were in use, as `kill -9`
//! leaves them; each is altered once at random (a bit, a byte, some bytes, a page that is zero,
//! garbage, a copy of another page, or swapped with it) and then opened, read in every way,
//! appended to, and opened again. What is read is compared with what was stored.
//!
//! A start reads the newest updates, so most damage of a small file refuses it. The large files
//! have more than a start reads, and ids in the index: there, most damage is met by a read.
//!
//! `ALTERATIONS=n` sets the number of small closed files (150); there are a third as many small
//! files after a crash, and a thirtieth as many large ones of each kind. `ALTERATIONS_SEED=n` runs
//! one seed.

#![expect(clippy::print_stdout, reason = "the counts of what became of the alterations")]

use std::path::Path;
use std::sync::Arc;

use petasos::history::redb::{HistorySync, OpenCause, OpenError, RedbHistory};
use petasos::history::{History, HistoryReader, Position, Retention};
use petasos::mercure::audience::Authorization;
use petasos::mercure::subscription::{SubscriberId, Subscription, WrittenAs};
use petasos::mercure::update::Update;
use petasos::sse::frame::Frame;

use super::{Directory, NOW_MS};

const PAGE_BYTES: usize = 4_096;
const ALTERATIONS: u64 = 150;
/// Updates of a large file before those that a start reads; a sweep of the index ends before.
const LARGE: u64 = 56_000;
/// Updates that fill what a start reads, and their bytes.
const NEWEST: u64 = 300;
const NEWEST_BYTES: usize = 60_000;

/// What a file holds.
struct Stored {
    /// The file, as it was closed or left.
    bytes: Vec<u8>,
    /// The updates with their positions.
    updates: Vec<(u64, Arc<Frame>)>,
    retention: Retention,
}

/// Counts of what happened.
#[derive(Debug, Default)]
struct Outcomes {
    /// Refused at start; of these, because updates were lost.
    refused: u64,
    lost: u64,
    /// Started; of these, with a read that failed.
    started: u64,
    failed: u64,
}

fn frame_of(body: &str, authorization: Authorization) -> Arc<Frame> {
    Arc::new(Frame::encode(Update::parse(body.as_bytes(), authorization, [0; 16]).expect("valid body")))
}

/// An update with everything that an alteration could change, or an event of a subscription; some
/// ids are repeated.
fn frame(number: u64, random: &mut fastrand::Rng) -> Arc<Frame> {
    if random.u32(..4) == 0 {
        let subscriber = SubscriberId::from_random_bytes([7; 16]);
        let selector = format!("s{number}");
        let subscription = Subscription {
            written_as: WrittenAs::Topic,
            selector: &selector,
            subscriber,
            active: true,
            payload: None,
        };
        let update = Update::of_subscription(&subscription, random.u128(..).to_ne_bytes());
        return Arc::new(Frame::encode(update));
    }
    let id = if number % 10 == 9 { format!("again{}", number % 50) } else { format!("u{number}") };
    let length = [5, 40, 300, 3_000, 9_000][random.usize(..5)];
    let data: String = (0..length).map(|_| random.alphanumeric()).collect();
    match number % 3 {
        0 => frame_of(
            &format!("topic=https://example.com/{number}&topic=t&data={data}&id={id}"),
            Authorization::Selectors,
        ),
        1 => frame_of(
            &format!("topic=t{number}&private=on&data={data}&id={id}&type=e"),
            Authorization::Selectors,
        ),
        _ => frame_of(
            &format!("topic=t&target=u{number}&target=v&data={data}&id={id}"),
            Authorization::Targets,
        ),
    }
}

/// Fills a file, with several commits and restarts. `is_closed` is false for a file that is still
/// in use when it is copied.
fn store(name: &str, seed: u64, is_closed: bool, is_large: bool) -> Stored {
    let mut random = fastrand::Rng::with_seed(seed);
    let directory = Directory::new(&format!("made-{name}"));
    let retention = Retention { updates_max: [0, 60][random.usize(..2)], ..Retention::default() };
    let retention = Retention { events_max: [3, 10, 10_000][random.usize(..3)], ..retention };
    let retention = if is_large { Retention { updates_max: LARGE - 5_000, ..retention } } else { retention };
    let mut history = RedbHistory::open(&directory.file(), retention, HistorySync::Never).expect("new");
    let append = |history: &mut RedbHistory, frames: Vec<Arc<Frame>>| {
        history.append(&frames, NOW_MS).expect("room");
    };
    if is_large {
        for batch in 0..LARGE / 1_000 {
            let body = |nth| {
                frame_of(&format!("topic=t&data=x&id=i{}", batch * 1_000 + nth), Authorization::Selectors)
            };
            append(&mut history, (0..1_000).map(body).collect());
        }
        let data = "x".repeat(NEWEST_BYTES);
        let body = |nth| frame_of(&format!("topic=t&data={data}&id=n{nth}"), Authorization::Selectors);
        append(&mut history, (0..NEWEST).map(body).collect());
    }
    let mut number = 0;
    for _ in 0..random.usize(12..30) {
        let count = random.u64(1..8);
        append(&mut history, (0..count).map(|nth| frame(number + nth, &mut random)).collect());
        number += count;
        match random.u32(..8) {
            0 => {
                drop(history);
                history = RedbHistory::open(&directory.file(), retention, HistorySync::Never).expect("ours");
            }
            1 => {
                history.maintain(NOW_MS).expect("room");
            }
            _ => {}
        }
    }
    let held = history.reader().read(Position::START, usize::MAX, usize::MAX).expect("readable");
    if is_closed {
        drop(history);
    }
    let bytes = std::fs::read(directory.file()).expect("readable");
    let updates = held.updates.into_iter().map(|update| (update.position.get(), update.frame)).collect();
    Stored { bytes, updates, retention }
}

/// Alters the bytes once; returns what was done. Only pages with content are chosen.
fn alter(bytes: &mut [u8], random: &mut fastrand::Rng) -> String {
    let pages: Vec<usize> = (0..bytes.len() / PAGE_BYTES)
        .filter(|page| bytes[page * PAGE_BYTES..][..PAGE_BYTES].iter().any(|byte| *byte != 0))
        .collect();
    let any_page = |random: &mut fastrand::Rng| pages[random.usize(..pages.len())];
    // The first page has the store's own records of its commits.
    let page = if random.u32(..10) == 0 { 0 } else { any_page(random) };
    let from = page * PAGE_BYTES;
    let used = if page == 0 && random.bool() { 320 } else { PAGE_BYTES };
    let at = from + random.usize(..used);
    match random.u32(..8) {
        0..3 => {
            let bit = random.u32(..8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} (page {page}) is flipped")
        }
        3 => {
            bytes[at] = random.u8(..);
            format!("byte {at} (page {page}) is {}", bytes[at])
        }
        4 => {
            let until = (at + random.usize(1..64)).min(bytes.len());
            bytes[at..until].iter_mut().for_each(|byte| *byte = random.u8(..));
            format!("bytes {at}..{until} (page {page}) are garbage")
        }
        5 => {
            let zero = random.bool();
            let page_bytes = &mut bytes[from..from + PAGE_BYTES];
            page_bytes.iter_mut().for_each(|byte| *byte = if zero { 0 } else { random.u8(..) });
            format!("page {page} is {}", if zero { "zero" } else { "garbage" })
        }
        6 => {
            let other = any_page(random) * PAGE_BYTES;
            bytes.copy_within(other..other + PAGE_BYTES, from);
            format!("page {page} is a copy of page {}", other / PAGE_BYTES)
        }
        _ => {
            let other = any_page(random) * PAGE_BYTES;
            let (one, two) =
                (bytes[from..from + PAGE_BYTES].to_vec(), bytes[other..other + PAGE_BYTES].to_vec());
            bytes[from..from + PAGE_BYTES].copy_from_slice(&two);
            bytes[other..other + PAGE_BYTES].copy_from_slice(&one);
            format!("pages {page} and {} are swapped", other / PAGE_BYTES)
        }
    }
}

/// Reads everything in every way; what is read must be what is expected. Returns whether all reads
/// succeeded.
fn check(reader: &dyn HistoryReader, expected: &[(u64, Arc<Frame>)], what: &str) -> bool {
    let mut all = true;
    let mut same = |slice: Result<petasos::history::HistorySlice, _>, from: usize, to: usize| {
        let Ok(slice) = slice else {
            all = false;
            return;
        };
        let expected = &expected[from..to];
        assert_eq!(slice.updates.len(), expected.len(), "{what}: updates are missing, or there are too many");
        for (read, (position, frame)) in slice.updates.iter().zip(expected) {
            assert_eq!(read.position.get(), *position, "{what}");
            assert!(read.frame == *frame, "{what}: update {position} is served as {:?}", read.frame);
        }
    };
    let count = expected.len();
    same(reader.read(Position::START, usize::MAX, usize::MAX), 0, count);
    for (nth, (position, _)) in expected.iter().enumerate().rev().take(150) {
        same(reader.read(Position::new(position - 1), 1, usize::MAX), nth, nth + 1);
    }
    // The newest end where an event was discarded.
    let newest = expected
        .iter()
        .rev()
        .zip(0..7)
        .take_while(|((position, _), nth)| *position == expected[count - 1].0 - nth);
    same(reader.newest(7, usize::MAX), count - newest.count(), count);
    let ids = expected.iter().rev().take(150).chain(expected.iter().step_by(997));
    for (_, frame) in ids {
        let id = frame.id().as_str();
        let first =
            expected.iter().find(|(_, frame)| frame.id().as_str() == id).map(|(position, _)| *position);
        match reader.locate(id) {
            Ok(found) => assert_eq!(found.map(Position::get), first, "{what}: {id} leads elsewhere"),
            Err(_) => all = false,
        }
    }
    for id in ["never", "u", "i56000"] {
        match reader.locate(id) {
            Ok(found) => assert_eq!(found, None, "{what}"),
            Err(_) => all = false,
        }
    }
    all
}

fn open(path: &Path, retention: Retention) -> Result<RedbHistory, OpenError> {
    RedbHistory::open(path, retention, HistorySync::Never)
}

/// One alteration, and all that can be done with the file.
fn survives(stored: &Stored, seed: u64, name: &str, outcomes: &mut Outcomes) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = stored.bytes.clone();
    let what = format!("{name}, ALTERATIONS_SEED={seed}: {}", alter(&mut bytes, &mut random));
    let directory = Directory::new(&format!("altered-{name}"));
    std::fs::write(directory.file(), &bytes).expect("writable");
    let mut history = match open(&directory.file(), stored.retention) {
        Ok(history) => history,
        Err(error) => {
            outcomes.refused += 1;
            outcomes.lost += u64::from(matches!(error.cause(), OpenCause::Lost(_) | OpenCause::UnknownEnd));
            let after = std::fs::read(directory.file()).expect("readable");
            assert!(
                after == bytes,
                "{what}: refused ({error}: {:?}), but the file was changed",
                error.cause()
            );
            return;
        }
    };
    outcomes.started += 1;
    let reader = history.reader();
    let mut is_whole = check(&*reader, &stored.updates, &what);
    let mut expected = stored.updates.clone();
    for number in 0..6 {
        let id = if number % 2 == 0 { format!("more{number}") } else { "again9".to_owned() };
        let more = frame_of(&format!("topic=t&data=x&id={id}"), Authorization::Selectors);
        match history.append(&[more], NOW_MS) {
            Ok(appended) => {
                let newest = expected.last().map_or(0, |(position, _)| *position);
                let update = &appended.updates[0];
                assert_eq!(update.position.get(), newest + 1, "{what}");
                let is_first = !expected.iter().any(|(_, frame)| frame.id().as_str() == id);
                // An update that is discarded and still in the file counts.
                assert!(is_first || !update.first_of_id, "{what}: {id} is said to be new");
                expected.push((update.position.get(), Arc::clone(&update.frame)));
                expected.retain(|(position, _)| *position > appended.before_oldest.get());
            }
            Err(_) => is_whole = false,
        }
    }
    is_whole &= check(&*reader, &expected, &what);
    drop((history, reader));
    match open(&directory.file(), stored.retention) {
        Ok(history) => is_whole &= check(&*history.reader(), &expected, &format!("{what}, opened again")),
        Err(_) => is_whole = false,
    }
    outcomes.failed += u64::from(!is_whole);
}

fn alterations(name: &str, is_closed: bool, is_large: bool) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let count = number("ALTERATIONS").unwrap_or(ALTERATIONS);
    let share = match (is_large, is_closed) {
        (false, true) => 1,
        (false, false) => 3,
        (true, _) => 30,
    };
    let count = count.div_ceil(share);
    let seeds = match number("ALTERATIONS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    };
    let mut outcomes = Outcomes::default();
    let mut stored = None;
    for seed in seeds {
        // A new file for each 25 alterations.
        let file = seed / 25;
        if stored.as_ref().is_none_or(|(made, _)| *made != file) {
            stored = Some((file, store(name, file, is_closed, is_large)));
        }
        let Some((_, stored)) = &stored else { continue };
        survives(stored, seed, name, &mut outcomes);
    }
    println!("{name}: {outcomes:?}");
}

#[test]
fn an_altered_file_that_was_closed_cleanly_never_serves_anything_else() {
    alterations("a closed file", true, false);
}

#[test]
fn an_altered_file_after_a_crash_never_serves_anything_else() {
    alterations("a file after a crash", false, false);
}

#[test]
fn an_altered_large_file_never_serves_anything_else() {
    alterations("a large closed file", true, true);
    alterations("a large file after a crash", false, true);
}
