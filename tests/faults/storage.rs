//! Storage that fails on purpose: a file whose n-th write or sync fails, a disk that loses power,
//! and a disk with Linux's page cache, which forgets the pages that a failed sync did not write.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;

const SECTOR_BYTES: usize = 512;

/// The number of operations that still succeed; negative is no fault. After the first failure, all
/// fail until the fault is lifted.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) writes_left: AtomicI64,
    pub(crate) syncs_left: AtomicI64,
    /// Whether a failing write leaves its first half in the file.
    pub(crate) short: bool,
    /// Operations that failed.
    pub(crate) failed: AtomicU64,
}

impl Faults {
    pub(crate) fn none(short: bool) -> Arc<Self> {
        let (writes_left, syncs_left) = (AtomicI64::new(-1), AtomicI64::new(-1));
        Arc::new(Self { writes_left, syncs_left, short, failed: AtomicU64::new(0) })
    }

    pub(crate) fn set(&self, writes_left: i64, syncs_left: i64) {
        self.writes_left.store(writes_left, Ordering::SeqCst);
        self.syncs_left.store(syncs_left, Ordering::SeqCst);
    }

    pub(crate) fn lift(&self) {
        self.set(-1, -1);
    }

    fn spend(&self, left: &AtomicI64) -> bool {
        match left.load(Ordering::SeqCst) {
            0 => {
                self.failed.fetch_add(1, Ordering::SeqCst);
                true
            }
            count if count < 0 => false,
            _ => {
                left.fetch_sub(1, Ordering::SeqCst);
                false
            }
        }
    }
}

/// A file with faults.
#[derive(Clone, Debug)]
pub(crate) struct FaultyFile {
    pub(crate) file: Arc<File>,
    pub(crate) faults: Arc<Faults>,
}

impl StorageBackend for FaultyFile {
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
        if self.faults.spend(&self.faults.syncs_left) {
            return Err(io::Error::other("the disk is gone"));
        }
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.faults.spend(&self.faults.writes_left) {
            if self.faults.short {
                self.file.write_all_at(&data[..data.len() / 2], offset)?;
            }
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_all_at(data, offset)
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Length(usize),
    Sector { offset: usize, bytes: Vec<u8> },
}

#[derive(Debug, Default)]
struct Platters {
    /// The bytes that certainly survive a power cut.
    safe: Vec<u8>,
    /// The bytes that are read while there is power.
    seen: Vec<u8>,
    /// Operations since the last sync.
    unsafe_since: Vec<Operation>,
    /// Writes, syncs and changes of the length so far.
    operations: u64,
    /// The power is cut before this operation; `cut` is the state then.
    cut_before: u64,
    cut: Option<(Vec<u8>, Vec<Operation>)>,
}

impl Platters {
    fn operate(&mut self) {
        if self.operations == self.cut_before {
            self.cut = Some((self.safe.clone(), self.unsafe_since.clone()));
        }
        self.operations += 1;
    }
}

/// A disk in memory that may lose or reorder every sector that was not synced.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<Platters>>);

impl Disk {
    fn with<T>(&self, work: impl FnOnce(&mut Platters) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An empty disk whose power is cut before its n-th operation.
    pub(crate) fn with_cut(before: u64) -> Self {
        Self(Arc::new(Mutex::new(Platters { cut_before: before, ..Platters::default() })))
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.with(|platters| platters.operations)
    }

    /// A possible state of the disk after the power cut: with any of the unsynced operations, in
    /// any order.
    pub(crate) fn after_cut(&self, random: &mut fastrand::Rng) -> Self {
        let (mut bytes, mut operations) =
            self.with(|platters| platters.cut.clone()).expect("the operation before which the power is cut");
        random.shuffle(&mut operations);
        let kept = random.usize(..=operations.len());
        operations.truncate(kept);
        operations.iter().for_each(|operation| apply(operation, &mut bytes));
        let seen = bytes.clone();
        let platters = Platters { safe: bytes, seen, cut_before: u64::MAX, ..Platters::default() };
        Self(Arc::new(Mutex::new(platters)))
    }
}

fn apply(operation: &Operation, bytes: &mut Vec<u8>) {
    match operation {
        Operation::Length(length) => bytes.resize(*length, 0),
        Operation::Sector { offset, bytes: sector } => {
            let end = offset + sector.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(sector);
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|platters| platters.seen.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|platters| {
            let from = offset as usize;
            let bytes = platters.seen.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(bytes);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|platters| {
            platters.operate();
            let operation = Operation::Length(len as usize);
            apply(&operation, &mut platters.seen);
            platters.unsafe_since.push(operation);
        });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|platters| {
            platters.operate();
            platters.safe.clone_from(&platters.seen);
            platters.unsafe_since.clear();
        });
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|platters| {
            platters.operate();
            for (nth, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                let offset = offset as usize + nth * SECTOR_BYTES;
                let operation = Operation::Sector { offset, bytes: sector.to_vec() };
                apply(&operation, &mut platters.seen);
                platters.unsafe_since.push(operation);
            }
        });
        Ok(())
    }
}

const PAGE_BYTES: usize = 4_096;

#[derive(Debug, Default)]
struct Cached {
    seen: Vec<u8>,
    disk: Vec<u8>,
    dirty: BTreeSet<usize>,
    /// The number of following syncs that fail.
    failing: u32,
}

/// A disk with Linux's page cache: a failed sync reports its error once and marks the pages clean.
/// They are still read, but never written again.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageCache(Arc<Mutex<Cached>>);

impl PageCache {
    fn with<T>(&self, work: impl FnOnce(&mut Cached) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn fail_syncs(&self, count: u32) {
        self.with(|cached| cached.failing = count);
    }

    /// The content after a power cut.
    pub(crate) fn after_cut(&self) -> Self {
        let disk = self.with(|cached| cached.disk.clone());
        Self(Arc::new(Mutex::new(Cached { seen: disk.clone(), disk, ..Cached::default() })))
    }
}

impl StorageBackend for PageCache {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|cached| cached.seen.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|cached| {
            let from = offset as usize;
            let bytes = cached.seen.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(bytes);
            Ok(())
        })
    }

    /// The length is in the file system's journal, which does not fail here.
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|cached| {
            cached.seen.resize(len as usize, 0);
            cached.disk.resize(len as usize, 0);
        });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|cached| {
            let dirty = std::mem::take(&mut cached.dirty);
            if cached.failing > 0 {
                cached.failing -= 1;
                return Err(io::Error::other("the disk did not take it"));
            }
            for page in dirty {
                let from = page * PAGE_BYTES;
                let to = (from + PAGE_BYTES).min(cached.seen.len());
                let Cached { seen, disk, .. } = &mut *cached;
                if let (Some(seen), Some(disk)) = (seen.get(from..to), disk.get_mut(from..to)) {
                    disk.copy_from_slice(seen);
                }
            }
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|cached| {
            let (from, to) = (offset as usize, offset as usize + data.len());
            cached.seen.get_mut(from..to).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
            cached.dirty.extend(from / PAGE_BYTES..to.div_ceil(PAGE_BYTES));
            Ok(())
        })
    }
}
