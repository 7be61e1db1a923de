//! The store against real files, and against storage whose n-th operation fails.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ::redb::StorageBackend;

use super::*;
use crate::history::Extent;
use crate::protocol::grant::Authorization;
use crate::protocol::update::Update;

const NOW_MS: u64 = 1_700_000_000_000;

/// A directory of its own for one test, removed at the end.
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
    Arc::new(Frame::encode(&update))
}

fn frame(id: &str) -> Arc<Frame> {
    frame_of(&format!("topic=t&data=x&id={id}"), Authorization::Selectors)
}

fn held(reader: &dyn HistoryReader) -> Vec<String> {
    let stretch = reader.read(Position::START, usize::MAX, usize::MAX).expect("readable");
    stretch.updates.iter().map(|placed| placed.frame.id().to_string()).collect()
}

#[test]
fn updates_are_there_after_the_file_was_closed_with_everything_that_decides_who_gets_them() {
    let directory = Directory::new("reopen");
    let frames = [
        frame_of("topic=a&topic=b&data=x%0Ay&id=1&type=e&retry=5", Authorization::Selectors),
        frame_of("topic=a&private=on&id=2", Authorization::Selectors),
        frame_of("topic=a&target=u&target=v&data=d&id=3", Authorization::Targets),
    ];
    let placed = open(&directory).append(&frames, NOW_MS).expect("room").placed;
    let reader = open(&directory).reader();
    let stretch = reader.read(Position::START, 10, usize::MAX).expect("readable");
    assert_eq!(stretch.updates.len(), frames.len());
    for ((read, written), frame) in stretch.updates.iter().zip(&placed).zip(&frames) {
        assert_eq!(read.position, written.position);
        assert_eq!(read.frame, *frame);
    }
    assert_eq!(reader.locate("2"), Ok(Some(Position::new(2))));
    assert_eq!(reader.locate("4"), Ok(None));
}

#[test]
fn the_first_occurrence_counts_and_the_next_takes_over_when_it_is_removed() {
    let directory = Directory::new("first");
    let retention = Retention { updates_max: 3, ..Retention::default() };
    let mut history =
        RedbHistory::open(&directory.file(), retention, HistorySync::Always).expect("a usable file");
    let reader = history.reader();
    history.append(&[frame("a"), frame("b"), frame("a")], NOW_MS).expect("room");
    assert_eq!(reader.locate("a"), Ok(Some(Position::new(1))));
    history.append(&[frame("c")], NOW_MS).expect("room");
    assert_eq!(reader.locate("a"), Ok(Some(Position::new(3))));
    assert_eq!(held(&*reader), ["b", "a", "c"]);
    let extent = Extent { before_oldest: Position::new(1), newest: Position::new(4) };
    assert_eq!(reader.extent(), Ok(extent));
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
        let text = opened.err().expect("refused").to_string();
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
    transaction.open_table(META).expect("ours").insert("format", 77).expect("room");
    transaction.commit().expect("room");
    drop(database);
    let opened = RedbHistory::open(&directory.file(), Retention::default(), HistorySync::Always);
    let text = opened.err().expect("refused").to_string();
    assert!(text.contains("version 77") && text.contains(&format!("version {FORMAT}")), "{text}");
}

/// A file whose n-th write or sync fails, and everything after it until the fault is lifted.
#[derive(Debug, Clone)]
struct Faulty {
    inner: file::SharedFile,
    faults: Arc<Faults>,
}

/// How many operations still succeed; negative is no fault.
#[derive(Debug)]
struct Faults {
    writes_left: AtomicI64,
    syncs_left: AtomicI64,
    /// Whether a failing write leaves its first half behind.
    short: bool,
}

fn spend(left: &AtomicI64) -> bool {
    match left.load(Ordering::SeqCst) {
        0 => true,
        count if count < 0 => false,
        _ => {
            left.fetch_sub(1, Ordering::SeqCst);
            false
        }
    }
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if spend(&self.faults.syncs_left) {
            return Err(io::Error::other("the disk is gone"));
        }
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if spend(&self.faults.writes_left) {
            if self.faults.short {
                self.inner.write(offset, &data[..data.len() / 2])?;
            }
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.write(offset, data)
    }
}

/// Breaks the n-th operation of a second batch, and looks at what is left. Answers whether the fault was reached.
fn survives_fault(
    directory: &Directory,
    writes_left: i64,
    syncs_left: i64,
    short: bool,
    sync: HistorySync,
) -> bool {
    let path = directory.file();
    let _ = std::fs::remove_file(&path);
    let mut history = open(directory);
    history.append(&[frame("a")], NOW_MS).expect("room");
    drop(history);
    let file = std::fs::File::options().read(true).write(true).open(&path).expect("ours");
    let faults = Arc::new(Faults { writes_left: (-1).into(), syncs_left: (-1).into(), short });
    let inner = file::SharedFile { file: Arc::new(file), syncs: true };
    let storage = Faulty { inner, faults: Arc::clone(&faults) };
    let mut history =
        RedbHistory::on_storage("a faulty disk", move || storage.clone(), Retention::default(), sync)
            .expect("ours");
    let reader = history.reader();

    history.append(&[frame("b")], NOW_MS).expect("room");
    faults.writes_left.store(writes_left, Ordering::SeqCst);
    faults.syncs_left.store(syncs_left, Ordering::SeqCst);
    let appended = history.append(&[frame("c"), frame("d")], NOW_MS).is_ok();
    let synced = history.maintain(NOW_MS).is_ok();
    faults.writes_left.store(-1, Ordering::SeqCst);
    faults.syncs_left.store(-1, Ordering::SeqCst);

    let placed = history.append(&[frame("e")], NOW_MS).expect("the fault is gone").placed;
    let expected: &[&str] = if appended { &["a", "b", "c", "d", "e"] } else { &["a", "b", "e"] };
    assert_eq!(held(&*reader), expected, "{writes_left} {syncs_left} {short} {sync:?}");
    assert_eq!(placed[0].position, Position::new(expected.len() as u64));
    history.maintain(NOW_MS).expect("the fault is gone");
    drop((history, reader));
    assert_eq!(held(&*open(directory).reader()), expected, "{writes_left} {syncs_left} {short}, reopened");
    !(appended && synced)
}

#[test]
fn a_batch_that_failed_leaves_nothing_and_the_next_succeeds_whichever_operation_failed() {
    let directory = Directory::new("faults");
    for sync in [HistorySync::Always, HistorySync::Interval] {
        for short in [false, true] {
            let reached = (0..40).take_while(|n| survives_fault(&directory, *n, -1, short, sync)).count();
            assert!((2..40).contains(&reached), "{reached} writes of one commit were broken");
        }
        let reached = (0..10).take_while(|n| survives_fault(&directory, -1, *n, false, sync)).count();
        assert!((1..10).contains(&reached), "{reached} syncs of one commit were broken");
    }
}
