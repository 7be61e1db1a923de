//! The file of the store: positioned reads and writes, and `fdatasync` if wanted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// A file that outlives the stores opened on it, so that its lock is never released in between.
#[derive(Clone, Debug)]
pub(super) struct SharedFile {
    pub(super) file: Arc<File>,
    /// Whether a commit waits for the disk.
    pub(super) syncs: bool,
}

impl StorageBackend for SharedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.syncs { self.file.sync_data() } else { Ok(()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}

/// The writes since the last successful sync.
///
/// The kernel reports a failed sync only once: it then marks the pages clean, still returns them,
/// and never writes them again. A reopened store would build on pages that the next power failure
/// takes away. So they are written again before the store is opened, until a sync succeeds.
#[derive(Clone, Debug, Default)]
pub(super) struct Unsynced(Arc<Mutex<Vec<Write>>>);

/// The offset and the data.
type Write = (u64, Box<[u8]>);

impl Unsynced {
    /// The storage for a store that is opened now.
    ///
    /// # Errors
    /// The unsynced writes could not be repeated.
    pub(super) fn on<S: StorageBackend>(&self, storage: S) -> io::Result<Remembering<S>> {
        for (offset, data) in &*self.writes() {
            storage.write(*offset, data)?;
        }
        Ok(Remembering { storage, unsynced: self.clone() })
    }

    fn writes(&self) -> MutexGuard<'_, Vec<Write>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Storage that remembers its unsynced writes: at most one commit, and those that failed.
#[derive(Debug)]
pub(super) struct Remembering<S> {
    storage: S,
    unsynced: Unsynced,
}

impl<S: StorageBackend> StorageBackend for Remembering<S> {
    fn len(&self) -> io::Result<u64> {
        self.storage.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.storage.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.set_len(len)?;
        self.unsynced.writes().retain(|(offset, data)| offset + data.len() as u64 <= len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.sync_data()?;
        self.unsynced.writes().clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.storage.write(offset, data)?;
        self.unsynced.writes().push((offset, data.into()));
        Ok(())
    }
}
