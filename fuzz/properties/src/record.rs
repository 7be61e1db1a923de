//! The history on disk: what is appended is read back as it was, and a file with other bytes is an
//! error or serves what was appended: never something else, and never a panic.
//!
//! It knows the store by its public face alone, not the layout of a record. A file has a random
//! hash key, so an input that alters it may not fail each time.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use petasos::history::redb::{HistorySync, RedbHistory};
use petasos::history::{History as _, Position, Retention, SequencedUpdate};
use petasos::mercure::audience::Authorization;
use petasos::mercure::update::Update;
use petasos::sse::frame::Frame;
use redb::StorageBackend;

use crate::Choices;

/// Updates of one input.
const UPDATES_MAX: usize = 8;
/// Altered bytes of one input.
const ALTERED_MAX: usize = 64;
const UNIX_MS: u64 = 1_700_000_000_000;

/// A file in memory.
#[derive(Clone, Debug, Default)]
struct MemoryFile(Arc<Mutex<Vec<u8>>>);

impl MemoryFile {
    fn with<T>(&self, use_it: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn open(&self) -> Option<RedbHistory> {
        let storage = self.clone();
        let opened = RedbHistory::on_storage(
            "memory",
            move || storage.clone(),
            Retention::default(),
            HistorySync::Never,
        );
        opened.ok()
    }
}

impl StorageBackend for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|bytes| bytes.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|bytes| {
            let from = bytes.get(offset as usize..).and_then(|from| from.get(..out.len()));
            out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        // An altered file may claim any length.
        if len > 64 << 20 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.with(|bytes| bytes.resize(len as usize, 0));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|bytes| {
            let to = bytes.get_mut(offset as usize..).and_then(|to| to.get_mut(..data.len()));
            to.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
            Ok(())
        })
    }
}

/// The property: lines of publications, and after a zero byte what is altered in the file: three
/// bytes for a place, one to combine its byte with.
///
/// # Panics
/// It does not hold.
pub fn check(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (bodies, alterations) = bytes.split_at(end);
    let frames: Vec<_> = bodies.split(|byte| *byte == b'\n').filter_map(frame).take(UPDATES_MAX).collect();
    let file = MemoryFile::default();
    let mut history = file.open().expect("a new file");
    history.append(&frames, UNIX_MS).expect("memory takes it");
    check_whole(&history, &frames);
    drop(history);
    check_whole(&file.open().expect("an unaltered file"), &frames);

    let mut choices = Choices::new(alterations.get(1..).unwrap_or_default());
    if choices.is_empty() {
        return;
    }
    file.with(|bytes| {
        for _ in 0..ALTERED_MAX {
            let [place, high, low, mask] = [0; 4].map(|_| choices.next());
            // Most of a small file is empty; its first pages and its last hold what matters.
            let place = (place << 16 | high << 8 | low) % bytes.len();
            bytes[place] ^= mask as u8;
        }
    });
    if let Some(history) = file.open() {
        check_altered(&history, &frames);
    }
}

/// What is served of an altered file passes its check.
fn check_altered(history: &RedbHistory, frames: &[Arc<Frame>]) {
    let reader = history.reader();
    for after in 0..=UPDATES_MAX as u64 {
        let Ok(slice) = reader.read(Position::new(after), UPDATES_MAX, usize::MAX) else { continue };
        let mut position = after;
        for update in &slice.updates {
            position += 1;
            assert_eq!(update.position.get(), position, "none is left out");
            check_update(update, frames);
        }
    }
    if let Ok(slice) = reader.newest(UPDATES_MAX, usize::MAX) {
        slice.updates.iter().for_each(|update| check_update(update, frames));
    }
    for frame in frames {
        if let Ok(Some(position)) = reader.locate(frame.id().as_str()) {
            assert_eq!(frames[position.get() as usize - 1].id(), frame.id());
        }
    }
    let _ = reader.range();
}

fn frame(body: &[u8]) -> Option<Arc<Frame>> {
    let selectors = Update::parse(body, Authorization::Selectors, [7; 16]);
    let update = selectors.or_else(|_| Update::parse(body, Authorization::Targets, [7; 16])).ok()?;
    Some(Arc::new(Frame::encode(update)))
}

fn check_whole(history: &RedbHistory, frames: &[Arc<Frame>]) {
    let slice = history.reader().read(Position::START, usize::MAX, usize::MAX).expect("a whole file");
    assert_eq!(slice.updates.len(), frames.len());
    for update in &slice.updates {
        check_update(update, frames);
    }
}

/// An update that is read is the one that was appended there.
fn check_update(update: &SequencedUpdate, frames: &[Arc<Frame>]) {
    let appended = &frames[update.position.get() as usize - 1];
    let read = &update.frame;
    assert_eq!(read.id(), appended.id());
    assert_eq!(read.audience(), appended.audience());
    assert!(read.topic_texts().eq(appended.topic_texts()));
    assert_eq!(read.event(), appended.event());
}
