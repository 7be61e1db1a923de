//! A history file without a hub, for `petasos history`. A running hub holds its file, so no archive
//! can open it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use redb::{Database, Durability, ReadableDatabase as _};

use super::error::failed;
use super::format::FORMAT;
use super::guard::guarded;
use super::index::{IDS, NEW_IDS, new_id};
use super::meta::Meta;
use super::open::{OpenError, OpenFile, open_existing};
use super::record::{self, RECORDS, Record, with_record};
use super::sums::{ID_SUMS, verify_all};
use super::write::{transact, trim};
use crate::error_text::chain;
use crate::history::HistoryError;
use crate::limits::{PROBLEMS_MAX, TRIM_IDLE_UPDATES_MAX};
use crate::sse::frame::Frame;

/// A history file that no other process holds.
pub struct Archive(OpenFile);

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
    /// Opens a history. Only [`Self::compact`] changes the file: after a crash, the repair that a
    /// start makes is held in memory. A file of the older format is converted.
    ///
    /// # Errors
    /// [`OpenError`]: the file does not exist, a hub holds it, or it cannot be used.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        open_existing(path).map(Self)
    }

    /// Summarizes the archive.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn summary(&mut self) -> Result<Summary, HistoryError> {
        let database = self.0.database()?;
        let transaction = database.begin_read().map_err(failed)?;
        let meta = Meta::of(database)?;
        let records = transaction.open_table(RECORDS).map_err(failed)?;
        let at = |position| with_record(&records, position, |record| archived(record.clone()));
        let is_empty = meta.discarded.max(meta.trimmed) >= meta.newest;
        let (first, last) = match is_empty {
            true => (None, None),
            false => (Some(at(meta.discarded + 1)??), Some(at(meta.newest)??)),
        };
        let bytes_before = match is_empty {
            true => meta.bytes,
            false => with_record(&records, meta.discarded + 1, |record| record.head())?.bytes_before,
        };
        Ok(Summary {
            format: FORMAT,
            updates: meta.newest.saturating_sub(meta.discarded),
            bytes: meta.bytes.saturating_sub(bytes_before),
            file_bytes: self.file_bytes()?,
            allocated_bytes: self.allocated_bytes()?,
            first,
            last,
        })
    }

    /// Passes every update to `take`, in order, until `take` fails. The outer error is the store's,
    /// the inner one that of `take`.
    ///
    /// # Errors
    /// The file cannot be read, or has an update that no hub wrote.
    pub fn for_each(
        &mut self,
        mut take: impl FnMut(Archived) -> io::Result<()>,
    ) -> Result<io::Result<()>, HistoryError> {
        let database = self.0.database()?;
        let transaction = database.begin_read().map_err(failed)?;
        let records = transaction.open_table(RECORDS).map_err(failed)?;
        let meta = Meta::of(database)?;
        for position in meta.discarded.max(meta.trimmed) + 1..=meta.newest {
            let archived = with_record(&records, position, |record| archived(record.clone()))??;
            if let Err(error) = take(archived) {
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
        if let Some(cause) = &self.0.end {
            findings.add(|| chain(cause).to_string());
        }
        let database = self.0.database()?;
        let mut is_readable = false;
        // redb may panic on an altered page.
        match guarded(|| database.check_integrity()) {
            Ok(Ok(true)) => is_readable = true,
            Ok(Ok(false)) => findings.add(|| "the store was damaged, and was repaired".to_owned()),
            Ok(Err(redb::DatabaseError::Storage(redb::StorageError::Io(error)))) => {
                return Err(HistoryError::Io(error));
            }
            Ok(Err(error)) => findings.add(|| format!("the store is damaged: {error}")),
            Err(panicked) => findings.add(|| format!("the store is damaged: {panicked}")),
        }
        if is_readable {
            let database = self.0.database()?;
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
        self.0.tentative.keep()?;
        let database = self.0.database()?;
        let mut meta = Meta::of(database)?;
        while meta.trimmed < meta.discarded {
            meta = transact(database, Durability::Immediate, |transaction| {
                trim(transaction, meta.discarded, TRIM_IDLE_UPDATES_MAX)
            })?;
        }
        while database.compact().map_err(failed)? {}
        Ok((before, self.file_bytes()?))
    }

    fn allocated_bytes(&self) -> Result<u64, HistoryError> {
        // `blocks` counts units of 512 bytes, whatever the block size of the file system (stat(2)).
        self.0.storage.file.metadata().map(|metadata| metadata.blocks() * 512).map_err(HistoryError::Io)
    }

    fn file_bytes(&self) -> Result<u64, HistoryError> {
        self.0.storage.file.metadata().map(|metadata| metadata.len()).map_err(HistoryError::Io)
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

fn archived(record: Record<'_>) -> Result<Archived, HistoryError> {
    let unix_ms = record.head().unix_ms;
    Ok(Archived { unix_ms, frame: record.into_frame()? })
}

fn check_content(database: &Database, findings: &mut Findings) -> Result<(), HistoryError> {
    let transaction = database.begin_read().map_err(failed)?;
    let meta = match Meta::of(database) {
        Ok(meta) => meta,
        Err(error) => {
            findings.add(|| chain(&error).to_string());
            return Ok(());
        }
    };
    let ids = transaction.open_table(IDS).map_err(failed)?;
    let sums = transaction.open_table(ID_SUMS).map_err(failed)?;
    if let Err(error) = verify_all(&ids, &sums) {
        findings.add(|| chain(&error).to_string());
    }
    let new_ids = transaction.open_table(NEW_IDS).map_err(failed)?;
    let records = transaction.open_table(RECORDS).map_err(failed)?;
    let mut expected = meta.trimmed + 1;
    let mut bytes = 0;
    for entry in records.range::<u64>(..).map_err(failed)? {
        let (position, value) = entry.map_err(failed)?;
        let position = position.value();
        findings.updates += 1;
        if position != expected {
            findings.add(|| format!("update {position} follows {}", expected - 1));
        }
        expected = position + 1;
        let record = Record::decode(position, &value);
        let (head, frame) = match record.and_then(|record| Ok((record.head(), record.into_frame()?))) {
            Ok(read) => read,
            Err(error) => {
                findings.add(|| chain(&error).to_string());
                continue;
            }
        };
        if head.bytes_before < bytes {
            findings.add(|| format!("update {position} overlaps the one before it"));
        }
        bytes = head.bytes_before + record::bytes(&frame);
        let id = frame.id().as_str();
        if frame.fields().is_none_or(|fields| fields.id != id) {
            findings.add(|| format!("the event of update {position} is not one of this hub"));
        }
        let hash = meta.hasher.hash(id);
        let new = new_ids.get(position).map_err(failed)?;
        let is_new = new.is_some_and(|new| new.value() == new_id(position, hash));
        let is_indexed =
            (position > meta.indexed && is_new) || ids.get((hash, position)).map_err(failed)?.is_some();
        if !is_indexed {
            findings.add(|| format!("the id of update {position} is not in the index"));
        }
    }
    if expected != meta.newest + 1 || bytes > meta.bytes {
        findings.add(|| format!("the updates end at {}, not at {}", expected - 1, meta.newest));
    }
    Ok(())
}
