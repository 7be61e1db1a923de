//! A start that is refused leaves the file as it was, whichever part of it cannot be read.

use std::sync::atomic::{AtomicU32, Ordering};

use redb::StorageBackend;

use super::*;
use crate::history::redb::file::SharedFile;

/// A file of which only the first few reads succeed.
#[derive(Debug)]
struct Failing {
    file: SharedFile,
    reads_left: Arc<AtomicU32>,
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (order, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        let left = self.reads_left.fetch_update(order, failure, |left| left.checked_sub(1));
        left.map_err(|_| io::Error::other("a sector that cannot be read"))?;
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
}

#[test]
fn a_refused_start_changes_nothing_whichever_read_fails() {
    let directory = Directory::new("refused");
    // The bounds below are lower than what is held, so the start reads records as well.
    let frames: Vec<_> = (0..3_000).map(|number| frame(&format!("u{number}"))).collect();
    open_with(&directory, Retention::default()).append(&frames, NOW_MS).expect("room");
    let before = std::fs::read(directory.file()).expect("readable");
    let retention = Retention { updates_max: 10, bytes_max: 1_000, ..Retention::default() };
    let mut refusals = 0;
    loop {
        std::fs::write(directory.file(), &before).expect("writable");
        let file = std::fs::OpenOptions::new().read(true).write(true).open(directory.file());
        let file = SharedFile { file: Arc::new(file.expect("there")), syncs: false };
        let reads_left = Arc::new(AtomicU32::new(refusals));
        let storage = move || Failing { file: file.clone(), reads_left: Arc::clone(&reads_left) };
        match RedbHistory::on_storage("failing", storage, retention, HistorySync::Never) {
            Ok(_) => break,
            Err(error) => {
                let after = std::fs::read(directory.file()).expect("readable");
                assert!(after == before, "read {refusals} failed ({}), and it changed", chain(&error));
                refusals += 1;
            }
        }
    }
    assert!(refusals > 10, "only {refusals} reads");
}
