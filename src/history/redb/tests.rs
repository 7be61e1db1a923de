//! The store with real files; `tests/faults` tests failing storage.

mod archived;
mod converted;
mod events;
mod lost;
mod refused;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use redb::{Database, TableDefinition};

use super::format::VERSIONS;
use super::*;
use crate::error_text::chain;
use crate::history::{History as _, HistoryRange, HistoryReader, Position, Retention};
use crate::limits::{INDEX_WAITING_MAX, TRIM_IDLE_UPDATES_MAX};
use crate::mercure::audience::Authorization;
use crate::mercure::update::Update;
use crate::sse::frame::Frame;

const NOW_MS: u64 = 1_700_000_000_000;

/// A directory for one test, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("petasos-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("updates.db")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(directory: &Directory) -> RedbHistory {
    RedbHistory::open(&directory.file(), Retention::default(), HistorySync::Always).expect("a usable file")
}

fn frame_of(body: &str, authorization: Authorization) -> Arc<Frame> {
    let update = Update::parse(body.as_bytes(), authorization, [0; 16]).expect("valid body");
    Arc::new(Frame::encode(update))
}

fn frame(id: &str) -> Arc<Frame> {
    frame_of(&format!("topic=t&data=x&id={id}"), Authorization::Selectors)
}

fn held(reader: &dyn HistoryReader) -> Vec<String> {
    let slice = reader.read(Position::START, usize::MAX, usize::MAX).expect("readable");
    slice.updates.iter().map(|update| update.frame.id().to_string()).collect()
}

#[test]
fn updates_are_there_after_the_file_was_closed_with_everything_that_decides_who_gets_them() {
    let directory = Directory::new("reopen");
    let frames = [
        frame_of("topic=a&topic=b&data=x%0Ay&id=1&type=e&retry=5", Authorization::Selectors),
        frame_of("topic=a&private=on&id=2", Authorization::Selectors),
        frame_of("topic=a&target=u&target=v&data=d&id=3", Authorization::Targets),
    ];
    let written = open(&directory).append(&frames, NOW_MS).expect("room").updates;
    let reader = open(&directory).reader();
    let slice = reader.read(Position::START, 10, usize::MAX).expect("readable");
    assert_eq!(slice.updates.len(), frames.len());
    for ((read, written), frame) in slice.updates.iter().zip(&written).zip(&frames) {
        assert_eq!(read.position, written.position);
        assert_eq!(read.frame, *frame);
    }
    assert_eq!(reader.locate("2").expect("readable"), Some(Position::new(2)));
    assert_eq!(reader.locate("4").expect("readable"), None);
}

#[test]
fn the_first_occurrence_counts_and_the_next_takes_over_when_it_is_removed() {
    let directory = Directory::new("first");
    let retention = Retention { updates_max: 3, ..Retention::default() };
    let mut history =
        RedbHistory::open(&directory.file(), retention, HistorySync::Always).expect("a usable file");
    let reader = history.reader();
    history.append(&[frame("a"), frame("b"), frame("a")], NOW_MS).expect("room");
    assert_eq!(reader.locate("a").expect("readable"), Some(Position::new(1)));
    history.append(&[frame("c")], NOW_MS).expect("room");
    assert_eq!(reader.locate("a").expect("readable"), Some(Position::new(3)));
    assert_eq!(held(&*reader), ["b", "a", "c"]);
    let range = HistoryRange { before_oldest: Position::new(1), newest: Position::new(4) };
    assert_eq!(reader.range().expect("readable"), range);
}

#[test]
fn bytes_bound_the_history_but_the_newest_stays() {
    let directory = Directory::new("bytes");
    let retention = Retention { bytes_max: 1, ..Retention::default() };
    let mut history =
        RedbHistory::open(&directory.file(), retention, HistorySync::Always).expect("a usable file");
    history.append(&[frame("a"), frame("b")], NOW_MS).expect("room");
    assert_eq!(held(&*history.reader()), ["b"]);
}

#[test]
fn a_file_that_cannot_be_used_is_named_and_left_as_it_was() {
    let directory = Directory::new("refused");
    let refusal = |path: &std::path::Path| {
        let opened = RedbHistory::open(path, Retention::default(), HistorySync::Always);
        let text = chain(&opened.err().expect("refused")).to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
        text
    };
    assert!(refusal(&directory.0).contains("is a directory"));

    let path = directory.0.join("foreign");
    std::fs::write(&path, b"a letter to a friend").expect("writable");
    assert!(refusal(&path).contains("not a history of petasos"));
    assert_eq!(std::fs::read(&path).expect("readable"), b"a letter to a friend");

    let path = directory.0.join("other.redb");
    const OTHER: TableDefinition<'_, u64, u64> = TableDefinition::new("other");
    let database = Database::create(&path).expect("new");
    let transaction = database.begin_write().expect("writable");
    transaction.open_table(OTHER).expect("new").insert(1, 1).expect("room");
    transaction.commit().expect("room");
    drop(database);
    let before = std::fs::read(&path).expect("readable");
    assert!(refusal(&path).contains("not a history of petasos"));
    assert!(before == std::fs::read(&path).expect("readable"), "the file was changed");

    let path = directory.file();
    let hub = open(&directory);
    assert!(refusal(&path).contains("held by another process"));
    drop(hub);
    let bytes = std::fs::read(&path).expect("readable");
    let mut torn = bytes.clone();
    torn.truncate(bytes.len() / 2);
    let path = directory.0.join("torn.db");
    std::fs::write(&path, &torn).expect("writable");
    assert!(refusal(&path).contains("corrupt"));
    assert!(torn == std::fs::read(&path).expect("readable"), "the file was changed");
}

#[test]
fn a_format_of_another_version_is_refused_with_both_versions_named() {
    let directory = Directory::new("format");
    drop(open(&directory));
    let database = Database::create(directory.file()).expect("ours");
    let transaction = database.begin_write().expect("writable");
    transaction.open_table(VERSIONS).expect("ours").insert("format", 77).expect("room");
    transaction.commit().expect("room");
    drop(database);
    let opened = RedbHistory::open(&directory.file(), Retention::default(), HistorySync::Always);
    let text = chain(&opened.err().expect("refused")).to_string();
    assert!(text.contains("version 77") && text.contains(&format!("version {FORMAT}")), "{text}");
}

fn open_with(directory: &Directory, retention: Retention) -> RedbHistory {
    RedbHistory::open(&directory.file(), retention, HistorySync::Never).expect("a usable file")
}

#[test]
fn age_takes_the_newest_too_and_what_it_took_stays_away() {
    let directory = Directory::new("age");
    let retention = Retention { age_max_ms: 1_000, ..Retention::default() };
    let mut history = open_with(&directory, retention);
    let reader = history.reader();
    assert!(!history.needs_upkeep());
    history.append(&[frame("a")], NOW_MS).expect("room");
    history.append(&[frame("b")], NOW_MS + 500).expect("room");
    assert!(history.needs_upkeep());
    assert_eq!(history.maintain(NOW_MS + 1_000).expect("room"), Position::START);
    assert_eq!(history.maintain(NOW_MS + 1_001).expect("room"), Position::new(1));
    assert_eq!(held(&*reader), ["b"]);
    assert_eq!(reader.locate("a").expect("readable"), None);
    assert_eq!(history.maintain(NOW_MS + 2_000).expect("room"), Position::new(2));
    assert!(!history.needs_upkeep());
    let empty = HistoryRange { before_oldest: Position::new(2), newest: Position::new(2) };
    assert_eq!(reader.range().expect("readable"), empty);
    let appended = history.append(&[frame("c")], NOW_MS).expect("room");
    assert_eq!(appended.updates[0].position, Position::new(3), "no position is given twice");
    assert_eq!(appended.before_oldest, Position::new(2));
    drop((history, reader));
    let mut history = open_with(&directory, retention);
    assert_eq!(history.maintain(NOW_MS + 10_000).expect("room"), Position::new(3));
    assert_eq!(held(&*history.reader()), [""; 0]);
}

#[test]
fn a_bound_that_was_lowered_holds_at_once_and_is_freed_a_little_at_a_time() {
    const UPDATES: usize = 3 * TRIM_IDLE_UPDATES_MAX;
    let directory = Directory::new("lowered");
    let ids: Vec<_> = (0..UPDATES).map(|number| format!("u{number}")).collect();
    let frames: Vec<_> = ids.iter().map(|id| frame(id)).collect();
    open_with(&directory, Retention::default()).append(&frames, NOW_MS).expect("room");
    let kept_bytes = 5 * record::bytes(&frames[UPDATES - 1]);
    for retention in [
        Retention { updates_max: 5, ..Retention::default() },
        Retention { bytes_max: kept_bytes, ..Retention::default() },
    ] {
        let copy = Directory::new("lowered-copy");
        std::fs::copy(directory.file(), copy.file()).expect("copied");
        let mut history = open_with(&copy, retention);
        let reader = history.reader();
        assert_eq!(held(&*reader), ids[UPDATES - 5..], "at once");
        assert_eq!(reader.locate(&ids[0]).expect("readable"), None);
        let mut steps = 0;
        while history.needs_upkeep() {
            let trimmed = history.meta.updates.trimmed;
            history.maintain(NOW_MS).expect("room");
            assert!(history.meta.updates.trimmed - trimmed <= TRIM_IDLE_UPDATES_MAX as u64);
            steps += 1;
        }
        assert!(steps >= 3, "{steps}");
        let trimmed = history.meta.updates.trimmed;
        let appended = history.append(&[frame("x"), frame("y")], NOW_MS).expect("room");
        assert_eq!(appended.before_oldest, Position::new(trimmed + 2));
        assert_eq!(held(&*reader).len(), 5);
        drop((history, reader));
        let mut archive = archive::Archive::open(&copy.file()).expect("ours");
        assert_eq!(archive.verify().expect("readable").problems, 0);
    }
}

#[test]
fn a_clock_that_was_ahead_once_does_not_keep_updates_for_ever() {
    let directory = Directory::new("ahead");
    let retention = Retention { age_max_ms: 1_000, ..Retention::default() };
    let mut history = open_with(&directory, retention);
    let ahead_ms = NOW_MS + 1_000_000_000;
    history.append(&[frame("a"), frame("b")], ahead_ms).expect("room");
    history.append(&[frame("c")], NOW_MS).expect("room");
    history.append(&[frame("d")], NOW_MS + 500).expect("room");
    assert_eq!(history.maintain(NOW_MS + 1_000).expect("room"), Position::START);
    assert_eq!(history.maintain(NOW_MS + 1_001).expect("room"), Position::new(3));
    history.append(&[frame("e")], ahead_ms).expect("room");
    history.append(&[frame("f")], ahead_ms + 1).expect("room");
    assert_eq!(history.maintain(ahead_ms + 1).expect("room"), Position::new(4), "the clock is ahead");
    history.append(&[frame("g")], NOW_MS + 9_000).expect("room");
    assert_eq!(history.maintain(NOW_MS + 9_500).expect("room"), Position::new(4), "and is set back");
    assert_eq!(history.maintain(NOW_MS + 20_000).expect("room"), Position::new(7));
}

#[test]
fn what_was_discarded_does_not_come_back_when_a_bound_is_raised() {
    let directory = Directory::new("raised");
    let frames: Vec<_> = (0..5_000).map(|number| frame(&format!("u{number}"))).collect();
    open_with(&directory, Retention::default()).append(&frames, NOW_MS).expect("room");
    let mut bounded = open_with(&directory, Retention { updates_max: 10, ..Retention::default() });
    bounded.append(&[frame("x")], NOW_MS).expect("room");
    bounded.maintain(NOW_MS).expect("room");
    assert!(bounded.meta.updates.trimmed < 4_991, "something is discarded and not freed yet");
    drop(bounded);
    let mut archive = archive::Archive::open(&directory.file()).expect("ours");
    let summary = archive.summary().expect("readable");
    assert_eq!((summary.updates, summary.first.expect("an update").frame.id().as_str()), (10, "u4991"));
    let (before, after) = archive.compact().expect("room");
    assert!(after < before / 4, "compaction frees what was discarded: {before} became {after}");
    assert_eq!(archive.verify().expect("readable").texts, [""; 0]);
    drop(archive);
    let unbounded = open_with(&directory, Retention::default());
    assert_eq!(held(&*unbounded.reader()).len(), 10);
}

#[test]
fn a_file_beside_the_history_is_left_alone() {
    let directory = Directory::new("beside");
    let beside = directory.0.join("updates.db.new");
    std::fs::write(&beside, "precious").expect("writable");
    drop(open(&directory));
    assert_eq!(std::fs::read(&beside).expect("readable"), b"precious");
    let names: Vec<_> = std::fs::read_dir(&directory.0).expect("a directory").collect();
    assert_eq!(names.len(), 2, "nothing else is left: {names:?}");
}

/// With any page corrupt, a start either fails with an error message or serves; it never panics,
/// and a refused file is unchanged.
#[test]
fn a_bad_page_is_refused_or_read_around_and_never_a_panic() {
    let directory = Directory::new("pages");
    let mut history = open(&directory);
    for number in 0..60 {
        let body = format!("topic=t&id=u{number}&data={}", "x".repeat(3_000));
        history.append(&[frame_of(&body, Authorization::Selectors)], NOW_MS).expect("room");
    }
    drop(history);
    let sound = std::fs::read(directory.file()).expect("readable");
    let (mut refused, mut served) = (0, 0);
    for page in 0..sound.len() / 4_096 {
        for filler in [0, 0xA5] {
            let mut bytes = sound.clone();
            bytes[page * 4_096..(page + 1) * 4_096].fill(filler);
            std::fs::write(directory.file(), &bytes).expect("writable");
            match RedbHistory::open(&directory.file(), Retention::default(), HistorySync::Never) {
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().contains("updates.db"), "{error}");
                    let after = std::fs::read(directory.file()).expect("readable");
                    assert!(after == bytes, "page {page} with {filler}: the file was changed");
                }
                Ok(mut history) => {
                    served += 1;
                    // Every read returns an update or an error.
                    let reader = history.reader();
                    for after in 0..60 {
                        let _ = reader.read(Position::new(after), 1, usize::MAX);
                        let _ = reader.locate(&format!("u{after}"));
                    }
                    let _ = history.append(&[frame("more")], NOW_MS);
                }
            }
        }
    }
    assert!(refused > 2 && served > 2, "{refused} refused, {served} served");
}

/// More updates than may wait, so that ids are in the file's index, in memory, and in what the next
/// start reads.
#[test]
fn every_id_is_found_whether_it_waits_or_is_in_the_file_and_none_that_is_gone() {
    const HELD: u64 = 4 * INDEX_WAITING_MAX as u64;
    let directory = Directory::new("index");
    let retention = Retention { updates_max: HELD, ..Retention::default() };
    let mut history = open_with(&directory, retention);
    let mut newest = 0;
    // Until a sweep has ended and some updates are discarded.
    while history.meta.indexed == 0 || newest < HELD + 5_000 {
        let frames: Vec<_> = (1..=1_000).map(|nth| frame(&format!("u{}", newest + nth))).collect();
        let appended = history.append(&frames, NOW_MS).expect("room");
        assert!(appended.updates.iter().all(|update| update.first_of_id));
        newest += 1_000;
        assert!(newest < 2 * HELD, "no sweep ends");
    }
    let twice = history.append(&[frame(&format!("u{}", newest - 500))], NOW_MS).expect("room");
    assert!(!twice.updates[0].first_of_id);
    let check = |history: &RedbHistory| {
        let reader = history.reader();
        let oldest = reader.range().expect("readable").before_oldest.get() + 1;
        for number in (1..=newest).step_by(13).chain([oldest - 1, oldest, newest]) {
            let expected = (number >= oldest).then_some(Position::new(number));
            assert_eq!(reader.locate(&format!("u{number}")).expect("readable"), expected, "{number}");
        }
        assert_eq!(reader.locate("never").expect("readable"), None);
    };
    check(&history);
    drop(history);
    check(&open_with(&directory, retention));
    let mut archive = archive::Archive::open(&directory.file()).expect("ours");
    assert_eq!(archive.verify().expect("readable").texts, [""; 0]);
}
