//! A history file without a hub, for `petasos history`. A running hub holds its file, so no archive
//! can open it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use redb::{Database, Durability, ReadableDatabase as _};

use super::error::failed;
use super::file::SharedFile;
use super::format::FORMAT;
use super::guard::guarded;
use super::index::{IDS, RECENT};
use super::open::{OpenError, open_existing};
use super::record::{self, RecordFields, UPDATES};
use super::store::{read_hasher, read_meta};
use super::write::{transact, trim};
use crate::history::HistoryError;
use crate::limits::{PROBLEMS_MAX, TRIM_IDLE_UPDATES_MAX};
use crate::sse::frame::Frame;

/// A history file that no other process holds.
pub struct Archive {
    database: Database,
    storage: SharedFile,
}

/// One update of an archive.
#[derive(Debug, PartialEq, Eq)]
pub struct Archived {
    /// When it was published, in Unix milliseconds.
    pub unix_ms: u64,
    /// The update.
    pub frame: Frame,
}

/// A summary of an archive.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    /// The version of the file format.
    pub format: u64,
    /// The number of updates.
    pub updates: u64,
    /// Their bytes as counted for `HISTORY_MAX_BYTES`.
    pub bytes: u64,
    /// Length of the file, including the free space.
    pub file_bytes: u64,
    /// Disk space of the file: less than its length if the file is sparse.
    pub allocated_bytes: u64,
    /// The oldest update.
    pub first: Option<Archived>,
    /// The newest update.
    pub last: Option<Archived>,
}

/// The result of a check.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The number of checked updates.
    pub updates: u64,
    /// The number of problems.
    pub problems: u64,
    /// Texts for the first [`PROBLEMS_MAX`] problems.
    pub texts: Vec<String>,
}

impl Archive {
    /// Opens a history. After a crash it is repaired first, as at the start of a hub.
    ///
    /// # Errors
    /// [`OpenError`]: the file does not exist, a hub holds it, or it cannot be used.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (database, storage) = open_existing(path)?;
        Ok(Self { database, storage })
    }

    /// Summarizes the archive.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn summary(&self) -> Result<Summary, HistoryError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let meta = read_meta(&self.database)?;
        let updates = transaction.open_table(UPDATES).map_err(failed)?;
        let mut held = updates.range(meta.discarded + 1..=meta.newest).map_err(failed)?;
        let first = held.next().transpose().map_err(failed)?;
        let last = updates.get(meta.newest).map_err(failed)?.filter(|_| first.is_some());
        let bytes_before =
            first.as_ref().map_or(meta.bytes, |(_, value)| record::head(&value.value()).bytes_before);
        Ok(Summary {
            format: FORMAT,
            updates: meta.newest.saturating_sub(meta.discarded),
            bytes: meta.bytes.saturating_sub(bytes_before),
            file_bytes: self.file_bytes()?,
            allocated_bytes: self.allocated_bytes()?,
            first: first.map(|(position, value)| archived(position.value(), value.value())).transpose()?,
            last: last.map(|value| archived(meta.newest, value.value())).transpose()?,
        })
    }

    /// Passes every update to `take`, in order, until `take` fails. The outer error is the store's,
    /// the inner one that of `take`.
    ///
    /// # Errors
    /// The file cannot be read, or has an update that no hub wrote.
    pub fn for_each(
        &self,
        mut take: impl FnMut(Archived) -> io::Result<()>,
    ) -> Result<io::Result<()>, HistoryError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let updates = transaction.open_table(UPDATES).map_err(failed)?;
        let discarded = read_meta(&self.database)?.discarded;
        for entry in updates.range(discarded + 1..).map_err(failed)? {
            let (position, value) = entry.map_err(failed)?;
            if let Err(error) = take(archived(position.value(), value.value())?) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Checks everything: the store's checksums, every update, the order, the index of ids.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn verify(&mut self) -> Result<Findings, HistoryError> {
        let mut findings = Findings::default();
        let database = &mut self.database;
        // redb may panic on an altered page.
        match guarded(|| database.check_integrity()) {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => findings.add(|| "the store was damaged, and was repaired".to_owned()),
            Ok(Err(redb::DatabaseError::Storage(redb::StorageError::Io(error)))) => {
                return Err(HistoryError::Io(error));
            }
            Ok(Err(error)) => findings.add(|| format!("the store is damaged: {error}")),
            Err(panicked) => findings.add(|| format!("the store is damaged: {panicked}")),
        }
        if findings.problems == 0 {
            let database = &self.database;
            match guarded(|| check_content(database, &mut findings)) {
                Ok(checked) => checked?,
                Err(panicked) => findings.add(|| format!("the store is damaged: {panicked}")),
            }
        }
        Ok(findings)
    }

    /// Returns the space of discarded updates to the file system; returns the size of the file in
    /// bytes before and after. It takes as long as copying the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn compact(&mut self) -> Result<(u64, u64), HistoryError> {
        let before = self.file_bytes()?;
        let mut meta = read_meta(&self.database)?;
        while meta.trimmed < meta.discarded {
            meta = transact(&self.database, Durability::Immediate, |transaction| {
                trim(transaction, meta.discarded, TRIM_IDLE_UPDATES_MAX)
            })?;
        }
        while self.database.compact().map_err(failed)? {}
        Ok((before, self.file_bytes()?))
    }

    fn allocated_bytes(&self) -> Result<u64, HistoryError> {
        // `blocks` counts units of 512 bytes, whatever the block size of the file system (stat(2)).
        self.storage.file.metadata().map(|metadata| metadata.blocks() * 512).map_err(HistoryError::Io)
    }

    fn file_bytes(&self) -> Result<u64, HistoryError> {
        self.storage.file.metadata().map(|metadata| metadata.len()).map_err(HistoryError::Io)
    }
}

impl Findings {
    fn add(&mut self, text: impl FnOnce() -> String) {
        self.problems += 1;
        if self.texts.len() < PROBLEMS_MAX {
            self.texts.push(text());
        }
    }
}

fn archived(position: u64, fields: RecordFields<'_>) -> Result<Archived, HistoryError> {
    let unix_ms = record::head(&fields).unix_ms;
    Ok(Archived { unix_ms, frame: record::read(position, fields)? })
}

fn check_content(database: &Database, findings: &mut Findings) -> Result<(), HistoryError> {
    let transaction = database.begin_read().map_err(failed)?;
    let meta = read_meta(database)?;
    let ids = transaction.open_table(IDS).map_err(failed)?;
    let recent = transaction.open_table(RECENT).map_err(failed)?;
    let hasher = read_hasher(database)?;
    let updates = transaction.open_table(UPDATES).map_err(failed)?;
    let mut expected = meta.trimmed + 1;
    let mut bytes = 0;
    for entry in updates.range::<u64>(..).map_err(failed)? {
        let (position, value) = entry.map_err(failed)?;
        let (position, fields) = (position.value(), value.value());
        let head = record::head(&fields);
        findings.updates += 1;
        if position != expected {
            findings.add(|| format!("update {position} follows {}", expected - 1));
        }
        if head.bytes_before < bytes {
            findings.add(|| format!("update {position} overlaps the one before it"));
        }
        match record::read(position, fields) {
            Err(error) => findings.add(|| error.to_string()),
            Ok(frame) => {
                bytes = head.bytes_before + record::bytes(&frame);
                let id = frame.id().as_str();
                if frame.fields().is_none_or(|fields| fields.id != id) {
                    findings.add(|| format!("the event of update {position} is not one of this hub"));
                }
                let hash = hasher.hash(id);
                let is_recent = recent.get(position).map_err(failed)?.is_some_and(|it| it.value() == hash);
                let is_indexed = (position > meta.indexed && is_recent)
                    || ids.get((hash, position)).map_err(failed)?.is_some();
                if !is_indexed {
                    findings.add(|| format!("the id of update {position} is not in the index"));
                }
            }
        }
        expected = position + 1;
    }
    if expected != meta.newest + 1 || bytes > meta.bytes {
        findings.add(|| format!("the updates end at {}, not at {}", expected - 1, meta.newest));
    }
    Ok(())
}
