//! The record of one update: `(published in Unix milliseconds, bytes of all updates before it,
//! kind, first of its id, topics, targets, id, event, checksum)`.
//!
//! `kind` is 0 for a public update, 1 for a private one, 2 for one with targets; `event` is the SSE
//! event as sent. The checksum is the CRC-32 of the position and of all other fields.
//!
//! Invariant: a [`Record`] has verified its checksum. There is no other way to read one, because a
//! file is untrusted input: redb does not verify its pages when it reads them.

use crc32fast::Hasher;
use redb::{AccessGuard, ReadableTable, Table, TableDefinition};

use super::error::{failed, read_at};
use crate::history::{HistoryError, Position};
use crate::limits::{RECORD_OVERHEAD_BYTES, STORE_PAGE_BYTES};
use crate::mercure::audience::Audience;
use crate::mercure::event_id::EventId;
use crate::mercure::topic::Topic;
use crate::sse::frame::Frame;

/// The fields of a record, as encoded by redb.
pub(super) type RecordFields<'a> = (u64, u64, u8, bool, Vec<&'a str>, Vec<&'a str>, &'a str, &'a [u8], u32);

/// The records by position.
pub(super) const RECORDS: TableDefinition<'_, u64, RecordFields<'static>> = TableDefinition::new("records");

const PUBLIC: u8 = 0;
const PRIVATE: u8 = 1;
const TARGETS: u8 = 2;

/// The fields of a record besides the update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHead {
    /// When the update was published.
    pub(super) unix_ms: u64,
    /// [`bytes`] of every update before it, including discarded ones.
    pub(super) bytes_before: u64,
    /// Whether the file had no update with this id when it was appended.
    pub(super) first_of_id: bool,
}

/// A record with a verified checksum.
#[derive(Clone, Debug)]
pub(super) struct Record<'a> {
    position: Position,
    fields: RecordFields<'a>,
}

impl<'a> Record<'a> {
    /// Decodes and verifies the record that the file has at this position.
    ///
    /// # Errors
    /// It is not what was stored there.
    pub(super) fn decode(
        position: u64,
        value: &'a AccessGuard<'_, RecordFields<'static>>,
    ) -> Result<Self, HistoryError> {
        let fields = read_at(position, || Ok::<_, redb::Error>(value.value()))?;
        let place = Position::new(position);
        if checksum(position, &fields) != fields.8 {
            return Err(HistoryError::Altered { position: place });
        }
        Ok(Self { position: place, fields })
    }

    /// The fields besides the update.
    pub(super) fn head(&self) -> RecordHead {
        RecordHead { unix_ms: self.fields.0, bytes_before: self.fields.1, first_of_id: self.fields.3 }
    }

    /// The event id, unparsed.
    pub(super) fn id(&self) -> &'a str {
        self.fields.6
    }

    /// Parses the update.
    ///
    /// # Errors
    /// This hub did not write it; the text gives the position and the field.
    pub(super) fn into_frame(self) -> Result<Frame, HistoryError> {
        let position = self.position;
        let wrong = |field| HistoryError::Damaged { position, field };
        let (_, _, kind, _, topics, targets, id, event, _) = self.fields;
        let topics: Box<[Topic]> =
            topics.into_iter().map(Topic::parse).collect::<Result<_, _>>().map_err(|_| wrong("topic"))?;
        if topics.is_empty() {
            return Err(wrong("topic"));
        }
        let audience = match kind {
            PUBLIC => Audience::Public,
            PRIVATE => Audience::Private,
            TARGETS if !targets.is_empty() => Audience::Targets(targets.into_iter().map(Box::from).collect()),
            _ => return Err(wrong("audience")),
        };
        let id = EventId::parse(id).map_err(|_| wrong("event id"))?;
        Ok(Frame::from_event(event, id, topics, audience))
    }
}

/// Passes the verified record at a position that the history holds to `use_it`.
///
/// # Errors
/// There is none, or it is not what was stored there.
pub(super) fn with_record<T>(
    table: &impl ReadableTable<u64, RecordFields<'static>>,
    position: u64,
    use_it: impl FnOnce(&Record<'_>) -> T,
) -> Result<T, HistoryError> {
    let value = value_at(table, position)?;
    Record::decode(position, &value).map(|record| use_it(&record))
}

/// The fields besides the update of the record at a position that the history holds.
///
/// # Errors
/// As for [`with_record`].
pub(super) fn head_at(
    table: &impl ReadableTable<u64, RecordFields<'static>>,
    position: u64,
) -> Result<RecordHead, HistoryError> {
    let value = value_at(table, position)?;
    Ok(Record::decode(position, &value)?.head())
}

fn value_at(
    table: &impl ReadableTable<u64, RecordFields<'static>>,
    position: u64,
) -> Result<AccessGuard<'_, RecordFields<'static>>, HistoryError> {
    let value = read_at(position, || table.get(position))?;
    value.ok_or(HistoryError::Absent { position: Position::new(position) })
}

/// The bytes of an update for `HISTORY_MAX_BYTES`: about how much the file grows. Small updates
/// share a page; each larger one takes a power of two.
pub(super) fn bytes(frame: &Frame) -> u64 {
    let topics: usize = frame.topic_texts().map(str::len).sum();
    let targets: usize = match frame.audience() {
        Audience::Targets(targets) => targets.iter().map(|target| target.len()).sum(),
        Audience::Public | Audience::Private => 0,
    };
    // The id is in the record and in the index.
    let texts = frame.event().len() + 2 * frame.id().as_str().len() + topics + targets;
    let bytes = texts as u64 + RECORD_OVERHEAD_BYTES;
    if bytes <= STORE_PAGE_BYTES / 3 { bytes } else { bytes.next_power_of_two() }
}

/// Writes the record of an update.
pub(super) fn insert(
    table: &mut Table<'_, u64, RecordFields<'static>>,
    position: u64,
    head: RecordHead,
    frame: &Frame,
) -> Result<(), HistoryError> {
    let topics: Vec<&str> = frame.topic_texts().collect();
    let (kind, targets) = match frame.audience() {
        Audience::Public => (PUBLIC, Vec::new()),
        Audience::Private => (PRIVATE, Vec::new()),
        Audience::Targets(targets) => (TARGETS, targets.iter().map(|target| &**target).collect()),
    };
    let RecordHead { unix_ms, bytes_before, first_of_id } = head;
    let id = frame.id().as_str();
    let fields = (unix_ms, bytes_before, kind, first_of_id, topics, targets, id, frame.event(), 0);
    insert_fields(table, position, fields)
}

/// Writes a record, and gives it its checksum.
pub(super) fn insert_fields(
    table: &mut Table<'_, u64, RecordFields<'static>>,
    position: u64,
    mut fields: RecordFields<'_>,
) -> Result<(), HistoryError> {
    fields.8 = checksum(position, &fields);
    table.insert(position, fields).map(|_| ()).map_err(failed)
}

/// The CRC-32 of a record without its last field. Each length is in it, so no two records have the
/// same bytes.
fn checksum(position: u64, fields: &RecordFields<'_>) -> u32 {
    let (unix_ms, bytes_before, kind, first_of_id, topics, targets, id, event, _) = fields;
    let mut crc = Hasher::new();
    let numbers =
        [position, *unix_ms, *bytes_before, u64::from(*kind), u64::from(*first_of_id), topics.len() as u64];
    numbers.iter().for_each(|number| crc.update(&number.to_le_bytes()));
    let mut bytes = |bytes: &[u8]| {
        crc.update(&(bytes.len() as u64).to_le_bytes());
        crc.update(bytes);
    };
    topics.iter().chain(targets).for_each(|text| bytes(text.as_bytes()));
    bytes(id.as_bytes());
    bytes(event);
    crc.finalize()
}
