//! The limit of durable publications: a loop that appends to a file and waits for the disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::context::RoundError;
use crate::book::histogram;

/// Bytes of one append: about one record of a history.
const APPEND_BYTES: usize = 512;
/// Bytes of the file. At its end the loop begins again at its start.
const FILE_BYTES: u64 = 64 << 20;

/// A file in a folder of the disk under measurement, removed with this value.
#[derive(Debug)]
pub(super) struct DiskLoop {
    file: File,
    path: PathBuf,
    offset: u64,
    /// How long each append took with its `fdatasync`, in nanoseconds.
    pub(super) times: Histogram<u64>,
    /// How long all of them took.
    pub(super) elapsed: Duration,
}

impl DiskLoop {
    /// Makes the file, and allocates its space.
    pub(super) fn new(folder: &Path) -> Result<Self, RoundError> {
        let path = folder.join(format!("petasos-loadtest-{}.loop", std::process::id()));
        let failed = |error| RoundError::DiskLoop(path.clone(), error);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let (times, elapsed) = (histogram(), Duration::ZERO);
        let this = Self { file, path: path.clone(), offset: 0, times, elapsed };
        this.allocate().map_err(failed)?;
        Ok(this)
    }

    fn allocate(&self) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, FILE_BYTES) {
            // The file system has no such call: the length alone, at least, does not change later.
            Err(Errno::OPNOTSUPP) => self.file.set_len(FILE_BYTES)?,
            done => done?,
        }
        self.file.sync_all()
    }

    /// Appends, and waits for the disk after each append, for this time.
    pub(super) fn run(&mut self, duration: Duration) -> Result<(), RoundError> {
        let started = Instant::now();
        let mut now = started;
        while now - started < duration {
            self.append().map_err(|error| RoundError::DiskLoop(self.path.clone(), error))?;
            let after = Instant::now();
            self.times.saturating_record(u64::try_from((after - now).as_nanos()).unwrap_or(u64::MAX));
            now = after;
        }
        self.elapsed += now - started;
        Ok(())
    }

    fn append(&mut self) -> io::Result<()> {
        self.file.write_all_at(&[b'.'; APPEND_BYTES], self.offset)?;
        self.file.sync_data()?;
        self.offset = (self.offset + APPEND_BYTES as u64) % FILE_BYTES;
        Ok(())
    }

    /// Appends per second.
    pub(super) fn per_s(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }
}

impl Drop for DiskLoop {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_counts_every_append_and_leaves_no_file() {
        let folder = std::env::temp_dir();
        let mut disk = DiskLoop::new(&folder).expect("room");
        let path = disk.path.clone();
        assert_eq!(path.metadata().expect("a file").len(), FILE_BYTES);
        disk.offset = FILE_BYTES - APPEND_BYTES as u64;
        for _ in 0..2 {
            disk.run(Duration::from_millis(20)).expect("room");
        }
        let appends = disk.times.len();
        assert!(appends >= 2 && disk.elapsed >= Duration::from_millis(40), "{disk:?}");
        assert_eq!(disk.offset, (appends - 1) * APPEND_BYTES as u64 % FILE_BYTES, "the file does not grow");
        assert!((disk.per_s() * disk.elapsed.as_secs_f64() - appends as f64).abs() < 0.5);
        drop(disk);
        assert!(!path.exists());
        let missing = DiskLoop::new(Path::new("/nonexistent")).map(|_| ());
        assert!(matches!(missing, Err(RoundError::DiskLoop(..))), "{missing:?}");
    }
}
