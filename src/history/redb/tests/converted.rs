//! Files of format 2: they are converted when they are opened, also after an interrupted
//! conversion, and not if a bit of them was altered.

use redb::{ReadableDatabase as _, ReadableTable as _};

use super::*;
use crate::limits::CONVERT_UPDATES;

const UPDATES: usize = CONVERT_UPDATES + 500;

/// Makes a file of this format one of format 2.
fn make_old(path: &std::path::Path) {
    let database = Database::open(path).expect("ours");
    let meta = meta::Meta::of(&database).expect("ours");
    let transaction = database.begin_write().expect("writable");
    let mut versions = transaction.open_table(VERSIONS).expect("ours");
    versions.insert("format", convert::OLD_FORMAT).expect("room");
    let [key_0, key_1] = meta.hasher.0;
    let meta::KindTotals { trimmed, discarded, bytes, .. } = meta.updates;
    let numbers = [key_0, key_1, trimmed, meta.newest, discarded.until, meta.indexed, bytes];
    for (name, number) in convert::NUMBERS.into_iter().zip(numbers) {
        versions.insert(name, number).expect("room");
    }
    let records = transaction.open_table(record::RECORDS).expect("ours");
    let mut updates = transaction.open_table(convert::UPDATES).expect("new");
    for entry in records.iter().expect("readable") {
        let (position, value) = entry.expect("readable");
        let (unix_ms, bytes_before, _, _, kind, first_of_id, topics, targets, id, event, _) = value.value();
        let fields = (unix_ms, bytes_before, kind, first_of_id, topics, targets, id, event);
        updates.insert(position.value(), fields).expect("room");
    }
    let new_ids = transaction.open_table(index::NEW_IDS).expect("ours");
    let mut recent = transaction.open_table(convert::RECENT).expect("new");
    for entry in new_ids.iter().expect("readable") {
        let (position, value) = entry.expect("readable");
        recent.insert(position.value(), value.value().0).expect("room");
    }
    drop((versions, records, updates, new_ids, recent));
    transaction.delete_table(record::RECORDS).expect("ours");
    transaction.delete_table(record::EVENTS).expect("ours");
    transaction.delete_table(index::NEW_IDS).expect("ours");
    transaction.delete_table(sums::ID_SUMS).expect("ours");
    transaction.delete_table(meta::META).expect("ours");
    transaction.commit().expect("room");
}

/// A file of format 2, with its ids, and the bodies of its updates by position.
fn old_file(directory: &Directory) -> Vec<Arc<Frame>> {
    let frames: Vec<_> = (0..UPDATES)
        .map(|number| match number % 3 {
            0 => frame_of(&format!("topic=a&topic=b&data=x%0Ay&id=u{number}"), Authorization::Selectors),
            1 => frame_of(&format!("topic=a&private=on&data=x&id=u{number}"), Authorization::Selectors),
            _ => frame_of(&format!("topic=a&target=v&data=x&id=u{number}"), Authorization::Targets),
        })
        .collect();
    open_with(directory, Retention::default()).append(&frames, NOW_MS).expect("room");
    make_old(&directory.file());
    frames
}

fn check_converted(directory: &Directory, frames: &[Arc<Frame>]) {
    let mut history = open_with(directory, Retention::default());
    let reader = history.reader();
    let slice = reader.read(Position::START, usize::MAX, usize::MAX).expect("readable");
    assert_eq!(slice.updates.len(), frames.len());
    assert!(slice.updates.iter().zip(frames).all(|(update, frame)| update.frame == *frame));
    for number in (0..frames.len()).step_by(37) {
        let place = reader.locate(&format!("u{number}")).expect("readable");
        assert_eq!(place, Some(Position::new(number as u64 + 1)));
    }
    assert_eq!(reader.locate("never").expect("readable"), None);
    assert!(!history.append(&[frame("u0")], NOW_MS).expect("room").updates[0].first_of_id);
    drop((history, reader));
    let mut archive = archive::Archive::open(&directory.file()).expect("ours");
    assert_eq!(archive.verify().expect("readable").texts, [""; 0]);
    assert_eq!(archive.summary().expect("readable").format, FORMAT);
}

#[test]
fn a_file_of_the_older_format_is_converted_with_everything_it_holds() {
    let directory = Directory::new("older");
    let frames = old_file(&directory);
    check_converted(&directory, &frames);
}

#[test]
fn a_conversion_that_was_interrupted_goes_on() {
    let directory = Directory::new("interrupted");
    let frames = old_file(&directory);
    let database = Database::open(directory.file()).expect("ours");
    convert::interrupted(&database).expect("room");
    assert_eq!(convert::newest(&database).expect("readable"), UPDATES as u64);
    drop(database);
    check_converted(&directory, &frames);
}

#[test]
fn a_file_of_the_older_format_with_a_flipped_bit_is_refused_and_left_as_it_was() {
    let directory = Directory::new("older-flipped");
    old_file(&directory);
    let mut bytes = std::fs::read(directory.file()).expect("readable");
    // Every copy, because some are in pages that were freed.
    let is_data = |at: &usize| bytes[*at..].starts_with(b"data: x\n");
    let places: Vec<_> = (0..bytes.len()).filter(is_data).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| bytes[at + 6] ^= 1);
    std::fs::write(directory.file(), &bytes).expect("writable");
    let opened = RedbHistory::open(&directory.file(), Retention::default(), HistorySync::Always);
    let text = chain(&opened.err().expect("refused")).to_string();
    assert!(text.contains("corrupt"), "{text}");
    assert!(bytes == std::fs::read(directory.file()).expect("readable"), "the file was changed");
}

#[test]
fn an_altered_version_does_not_convert_a_file_of_this_format() {
    let directory = Directory::new("version");
    open_with(&directory, Retention::default()).append(&[frame("a")], NOW_MS).expect("room");
    let database = Database::open(directory.file()).expect("ours");
    let transaction = database.begin_write().expect("writable");
    transaction.open_table(VERSIONS).expect("ours").insert("format", convert::OLD_FORMAT).expect("room");
    transaction.commit().expect("room");
    drop(database);
    let opened = RedbHistory::open(&directory.file(), Retention::default(), HistorySync::Always);
    let text = chain(&opened.err().expect("refused")).to_string();
    assert!(text.contains("corrupt"), "{text}");
    let database = Database::open(directory.file()).expect("ours");
    let transaction = database.begin_read().expect("readable");
    assert!(transaction.open_table(record::RECORDS).is_ok(), "nothing was converted");
}
