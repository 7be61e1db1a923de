//! A history file without a hub, for `petasos history`. A running hub holds its file, so no archive
//! can open it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use redb::{AccessGuard, Database, Durability, ReadableDatabase as _};

use super::error::failed;
use super::format::FORMAT;
use super::guard::guarded;
use super::index::{IDS, NEW_IDS, new_id};
use super::meta::{KindTotals, Meta};
use super::moment::Moment;
use super::open::{OpenError, OpenFile, open_existing};
use super::record::{self, EVENTS, RECORDS, Record, RecordFields, head_from, with_record};
use super::retention::Unreachable;
use super::sums::{ID_SUMS, verify_all};
use super::write::{transact, trim};
use crate::error_text::chain;
use crate::history::{HistoryError, Position};
use crate::limits::{CATCH_UP_BYTES, CATCH_UP_UPDATES, PROBLEMS_MAX, TRIM_IDLE_UPDATES_MAX};
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
    /// The number of updates, without events of subscriptions.
    pub updates: u64,
    /// The number of events of subscriptions.
    pub events: u64,
    /// The bytes of the updates as counted for `HISTORY_MAX_BYTES`.
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
    /// The number of checked events of subscriptions.
    pub events: u64,
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
        let Meta { updates: totals, events, .. } = meta;
        let (updates, mut bytes) = (totals.held(totals.discarded), totals.bytes);
        let (mut first, mut last) = (None, None);
        if updates > 0
            && let Some((oldest, head)) = head_from(&records, totals.discarded.until + 1)?
        {
            bytes = head.bytes_before;
            (first, last) = (Some(at(oldest)??), Some(at(totals.newest)??));
        }
        Ok(Summary {
            format: FORMAT,
            updates,
            events: events.held(events.discarded),
            bytes: totals.bytes.saturating_sub(bytes),
            file_bytes: self.file_bytes()?,
            allocated_bytes: self.allocated_bytes()?,
            first,
            last,
        })
    }

    /// Passes every update to `take`, in order, until `take` fails. Events of subscriptions are
    /// left out: no client may publish them. The outer error is the store's, the inner one that of
    /// `take`.
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
        let KindTotals { count, newest, discarded, .. } = Meta::of(database)?.updates;
        let (mut before, mut number) = (discarded.until, discarded.count);
        for entry in records.range(discarded.until + 1..=newest.max(discarded.until)).map_err(failed)? {
            let (position, value) = entry.map_err(failed)?;
            let position = position.value();
            let record = Record::decode(position, &value)?;
            let head = record.head();
            if head.update_before > before {
                return Err(HistoryError::Absent { position: Position::new(head.update_before) });
            }
            (before, number) = (position, head.number);
            if let Err(error) = take(archived(record)?) {
                return Ok(Err(error));
            }
        }
        if number < count {
            return Err(HistoryError::Absent { position: Position::new(newest) });
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
        let gone = Unreachable::of(&meta);
        while meta.updates.trimmed < gone.updates.until || meta.events.trimmed < gone.events.until {
            meta = transact(database, Durability::Immediate, |transaction| {
                trim(transaction, gone, TRIM_IDLE_UPDATES_MAX)
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
    let is_indexed = |position: u64, number: u64, id: &str| {
        let hash = meta.hasher.hash(id);
        let new = new_ids.get(position).map_err(failed)?;
        let is_new = new.is_some_and(|new| new.value() == new_id(position, hash, number));
        Ok::<_, HistoryError>(
            number > meta.indexed && is_new || ids.get((hash, position)).map_err(failed)?.is_some(),
        )
    };
    let records = transaction.open_table(RECORDS).map_err(failed)?;
    let mut walk = RecordWalk::default();
    for entry in records.range::<u64>(..).map_err(failed)? {
        let (position, value) = entry.map_err(failed)?;
        findings.updates += 1;
        let Some((number, id)) = walk.step(position.value(), &value, "update", findings) else { continue };
        if !is_indexed(position.value(), number, &id)? {
            findings.add(|| format!("the id of update {} is not in the index", position.value()));
        }
    }
    walk.end(meta.updates, "update", findings);
    let events = transaction.open_table(EVENTS).map_err(failed)?;
    let mut walk = RecordWalk::default();
    for entry in events.range::<u64>(..).map_err(failed)? {
        let (position, value) = entry.map_err(failed)?;
        findings.events += 1;
        walk.step(position.value(), &value, "event", findings);
    }
    walk.end(meta.events, "event", findings);
    check_order(database, &meta, findings)
}

/// Reads everything as clients do, so that every position is accounted for.
fn check_order(database: &Database, meta: &Meta, findings: &mut Findings) -> Result<(), HistoryError> {
    let (before_oldest, events_after) = (meta.updates.trimmed, meta.events.discarded.until);
    let mut after = before_oldest;
    while findings.problems == 0 && after < meta.newest {
        let transaction = database.begin_read().map_err(failed)?;
        let moment = Moment { transaction, before_oldest, events_after, meta: *meta };
        match moment.oldest(CATCH_UP_UPDATES, CATCH_UP_BYTES, after) {
            Ok(slice) if slice.until.get() > after => after = slice.until.get(),
            Ok(slice) => {
                findings.add(|| format!("nothing follows update {}", slice.until.get()));
            }
            Err(error) => findings.add(|| chain(&error).to_string()),
        }
    }
    Ok(())
}

/// Goes through the records of one table.
#[derive(Default)]
struct RecordWalk {
    last: Option<(u64, u64)>,
    bytes: u64,
}

impl RecordWalk {
    /// Checks a record; returns its number and its id, if it can be read.
    fn step(
        &mut self,
        position: u64,
        value: &AccessGuard<'_, RecordFields<'static>>,
        kind: &str,
        findings: &mut Findings,
    ) -> Option<(u64, String)> {
        let record = Record::decode(position, value);
        let (head, frame) = match record.and_then(|record| Ok((record.head(), record.into_frame()?))) {
            Ok(read) => read,
            Err(error) => {
                findings.add(|| chain(&error).to_string());
                // Its number is not known; it is one.
                self.last = self.last.map(|(_, number)| (position, number + 1));
                return None;
            }
        };
        if let Some((last, _)) = self.last.filter(|(_, number)| number + 1 != head.number) {
            findings.add(|| format!("{kind} {position} follows {last}"));
        }
        if head.bytes_before < self.bytes {
            findings.add(|| format!("{kind} {position} overlaps the one before it"));
        }
        self.last = Some((position, head.number));
        self.bytes = head.bytes_before + record::bytes(&frame);
        let id = frame.id().as_str();
        if frame.fields().is_none_or(|fields| fields.id != id) {
            findings.add(|| format!("the data of {kind} {position} is not from this hub"));
        }
        if frame.is_subscription_event() != (kind == "event") {
            findings.add(|| format!("{kind} {position} is in the wrong table"));
        }
        Some((head.number, id.to_owned()))
    }

    fn end(self, totals: KindTotals, kind: &str, findings: &mut Findings) {
        let is_empty = totals.newest <= totals.trimmed;
        let (position, number) = self.last.unwrap_or_default();
        if !is_empty && (position, number) != (totals.newest, totals.count) || self.bytes > totals.bytes {
            findings.add(|| format!("the {kind}s end at {position}, not at {}", totals.newest));
        }
    }
}
