//! The file of the store: positioned reads and writes, and `fdatasync` if wanted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

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

/// Storage whose changes are held back until [`Tentative::keep`]. So a file that is refused when it
/// is opened stays as it was, although redb has repaired it to look into it.
#[derive(Debug)]
pub(super) struct Tentative<S>(Arc<Held<S>>);

impl<S> Clone for Tentative<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Held<S> {
    storage: S,
    /// The changes that are held back; `None` when there is no need any more.
    changes: RwLock<Option<Vec<Change>>>,
}

/// A change of storage.
#[derive(Debug)]
enum Change {
    Length(u64),
    Write(Write),
    Sync,
}

impl<S: StorageBackend> Tentative<S> {
    /// Holds the changes of this storage back.
    pub(super) fn new(storage: S) -> Self {
        Self(Arc::new(Held { storage, changes: RwLock::new(Some(Vec::new())) }))
    }

    /// Makes the changes, in their order. From now on, each is made at once.
    ///
    /// # Errors
    /// The storage failed; some may be made, as after a crash.
    pub(super) fn keep(&self) -> io::Result<()> {
        let mut changes = self.0.changes.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes.take().unwrap_or_default() {
            match change {
                Change::Length(len) => self.0.storage.set_len(len)?,
                Change::Write((offset, data)) => self.0.storage.write(offset, &data)?,
                Change::Sync => self.0.storage.sync_data()?,
            }
        }
        Ok(())
    }

    /// Holds the change back; returns it if it has to be made now.
    fn hold(&self, change: Change) -> Option<Change> {
        if self.changes().is_none() {
            return Some(change);
        }
        match &mut *self.0.changes.write().unwrap_or_else(PoisonError::into_inner) {
            Some(changes) => {
                changes.push(change);
                None
            }
            None => Some(change),
        }
    }

    fn changes(&self) -> RwLockReadGuard<'_, Option<Vec<Change>>> {
        self.0.changes.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The length after these changes, if one of them changes it. (Writes never extend a file.)
fn changed_len(changes: &[Change]) -> Option<u64> {
    changes.iter().rev().find_map(|change| match change {
        Change::Length(len) => Some(*len),
        Change::Write(_) | Change::Sync => None,
    })
}

impl<S: StorageBackend> StorageBackend for Tentative<S> {
    fn len(&self) -> io::Result<u64> {
        let changed = self.changes().as_deref().and_then(changed_len);
        changed.map_or_else(|| self.0.storage.len(), Ok)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changes = self.changes();
        let Some(changes) = &*changes else { return self.0.storage.read(offset, out) };
        let bytes = out.len() as u64;
        let mut len = self.0.storage.len()?;
        // redb reads as much as the file says. A wrong length must not fill the memory.
        if offset.saturating_add(bytes) > changed_len(changes).unwrap_or(len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let there = len.saturating_sub(offset).min(bytes);
        out.fill(0);
        self.0.storage.read(offset, &mut out[..there as usize])?;
        for change in changes {
            match change {
                Change::Length(new) => {
                    len = *new;
                    out[len.saturating_sub(offset).min(bytes) as usize..].fill(0);
                }
                Change::Write((at, data)) => {
                    let (from, to) = (offset.max(*at), (offset + bytes).min(at + data.len() as u64));
                    if from < to {
                        let new = &data[(from - at) as usize..(to - at) as usize];
                        out[(from - offset) as usize..(to - offset) as usize].copy_from_slice(new);
                    }
                }
                Change::Sync => {}
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.hold(Change::Length(len)).map_or(Ok(()), |_| self.0.storage.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.hold(Change::Sync).map_or(Ok(()), |_| self.0.storage.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.changes().is_none() {
            return self.0.storage.write(offset, data);
        }
        let held = self.hold(Change::Write((offset, data.into())));
        held.map_or(Ok(()), |_| self.0.storage.write(offset, data))
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    fn content(storage: &impl StorageBackend) -> Vec<u8> {
        let mut bytes = vec![0xEE; storage.len().expect("readable") as usize];
        storage.read(0, &mut bytes).expect("readable");
        bytes
    }

    #[test]
    fn changes_that_are_held_back_are_read_and_are_made_only_when_they_are_kept() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let below = InMemoryBackend::new();
            below.set_len(40).expect("room");
            below.write(0, &[1; 40]).expect("room");
            let expected = InMemoryBackend::new();
            expected.set_len(40).expect("room");
            expected.write(0, &[1; 40]).expect("room");
            let tentative = Tentative::new(below);
            for _ in 0..random.usize(..8) {
                if random.bool() {
                    let len = random.u64(10..80);
                    tentative.set_len(len).expect("held");
                    expected.set_len(len).expect("room");
                } else {
                    let offset = random.u64(..expected.len().expect("readable"));
                    let data = vec![random.u8(..); (expected.len().expect("readable") - offset) as usize / 2];
                    tentative.write(offset, &data).expect("held");
                    expected.write(offset, &data).expect("room");
                }
            }
            assert_eq!(content(&tentative), content(&expected), "seed {seed}");
            assert_eq!(content(&tentative.0.storage), [1; 40], "seed {seed}");
            tentative.keep().expect("room");
            assert_eq!(content(&tentative.0.storage), content(&expected), "seed {seed}");
            assert_eq!(content(&tentative), content(&expected), "seed {seed}");
        }
    }
}
