//! The record of one update, or of one event of a subscription.
//!
//! Events are in a table of their own and are counted apart: their bytes and numbers are those of
//! events only. An event may be discarded although an older update is held, so a position may be
//! empty. Each record names the update before it, and shows so that an empty position had none.
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

/// The fields of a record, as encoded by redb: published in Unix milliseconds, bytes of all updates
/// before it, its number, position of the update before it, kind, first of its id, topics, targets,
/// id, the SSE event as sent, and the CRC-32 of the position and of all other fields.
pub(super) type RecordFields<'a> =
    (u64, u64, u64, u64, u8, bool, Vec<&'a str>, Vec<&'a str>, &'a str, &'a [u8], u32);

/// The records of updates by position.
pub(super) const RECORDS: TableDefinition<'_, u64, RecordFields<'static>> = TableDefinition::new("records");

/// The records of events of subscriptions by position.
pub(super) const EVENTS: TableDefinition<'_, u64, RecordFields<'static>> = TableDefinition::new("events");

const PUBLIC: u8 = 0;
const PRIVATE: u8 = 1;
const TARGETS: u8 = 2;
const SUBSCRIPTION_EVENT: u8 = 3;

/// The fields of a record besides the update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHead {
    /// When the update was published.
    pub(super) unix_ms: u64,
    /// [`bytes`] of every update before it, including discarded ones; of an event, of every event.
    pub(super) bytes_before: u64,
    /// Its number among the updates, or among the events, from 1.
    pub(super) number: u64,
    /// The position of the update before it; 0 if there was none.
    pub(super) update_before: u64,
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
        Self::of(position, read_at(position, || Ok::<_, redb::Error>(value.value()))?)
    }

    /// Verifies the record that the file has at this position.
    ///
    /// # Errors
    /// The same.
    pub(super) fn of(position: u64, fields: RecordFields<'a>) -> Result<Self, HistoryError> {
        let place = Position::new(position);
        if checksum(position, &fields) != fields.10 {
            return Err(HistoryError::Altered { position: place });
        }
        Ok(Self { position: place, fields })
    }

    /// The fields besides the update.
    pub(super) fn head(&self) -> RecordHead {
        let (unix_ms, bytes_before, number, update_before, _, first_of_id, ..) = self.fields;
        RecordHead { unix_ms, bytes_before, number, update_before, first_of_id }
    }

    /// The event id, unparsed.
    pub(super) fn id(&self) -> &'a str {
        self.fields.8
    }

    /// Parses the update.
    ///
    /// # Errors
    /// This hub did not write it; the text gives the position and the field.
    pub(super) fn into_frame(self) -> Result<Frame, HistoryError> {
        let position = self.position;
        let wrong = |field| HistoryError::Damaged { position, field };
        let (_, _, _, _, kind, _, topics, targets, id, event, _) = self.fields;
        let topics: Box<[Topic]> =
            topics.into_iter().map(Topic::parse).collect::<Result<_, _>>().map_err(|_| wrong("topic"))?;
        if topics.is_empty() {
            return Err(wrong("topic"));
        }
        let audience = match kind {
            PUBLIC => Audience::Public,
            PRIVATE | SUBSCRIPTION_EVENT => Audience::Private,
            TARGETS if !targets.is_empty() => Audience::Targets(targets.into_iter().map(Box::from).collect()),
            _ => return Err(wrong("audience")),
        };
        let id = EventId::parse(id).map_err(|_| wrong("event id"))?;
        let frame = Frame::from_event(event, id, topics, audience);
        Ok(if kind == SUBSCRIPTION_EVENT { frame.into_subscription_event() } else { frame })
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

/// The fields besides the update of the first record at this position or after it, and its own
/// position. It passes over records that were altered: a read reports these.
///
/// # Errors
/// The store cannot be read.
pub(super) fn head_from(
    table: &impl ReadableTable<u64, RecordFields<'static>>,
    position: u64,
) -> Result<Option<(u64, RecordHead)>, HistoryError> {
    let is_there = read_at(position, || table.get(position));
    if let Ok(Some(value)) = &is_there
        && let Ok(record) = Record::decode(position, value)
    {
        return Ok(Some((position, record.head())));
    }
    let mut entries = read_at(position, || table.range(position..))?;
    let mut altered = 0;
    while let Some((found, value)) = read_at(position, || entries.next().transpose())? {
        if let Ok(record) = Record::decode(found.value(), &value) {
            let head = record.head();
            // The number of the first of those that were altered.
            return Ok(Some((
                found.value(),
                RecordHead { number: head.number.saturating_sub(altered), ..head },
            )));
        }
        altered += 1;
    }
    Ok(None)
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
        _ if frame.is_subscription_event() => (SUBSCRIPTION_EVENT, Vec::new()),
        Audience::Public => (PUBLIC, Vec::new()),
        Audience::Private => (PRIVATE, Vec::new()),
        Audience::Targets(targets) => (TARGETS, targets.iter().map(|target| &**target).collect()),
    };
    let RecordHead { unix_ms, bytes_before, number, update_before, first_of_id } = head;
    let (id, event) = (frame.id().as_str(), frame.event());
    let fields =
        (unix_ms, bytes_before, number, update_before, kind, first_of_id, topics, targets, id, event, 0);
    insert_fields(table, position, fields)
}

/// Writes a record, and gives it its checksum.
pub(super) fn insert_fields(
    table: &mut Table<'_, u64, RecordFields<'static>>,
    position: u64,
    mut fields: RecordFields<'_>,
) -> Result<(), HistoryError> {
    fields.10 = checksum(position, &fields);
    table.insert(position, fields).map(|_| ()).map_err(failed)
}

/// The CRC-32 of a record without its last field. Each length is in it, so no two records have the
/// same bytes.
fn checksum(position: u64, fields: &RecordFields<'_>) -> u32 {
    let (unix_ms, bytes_before, number, update_before, kind, first_of_id, topics, targets, id, event, _) =
        fields;
    let mut crc = GatheredCrc::default();
    let (kind, first_of_id) = (u64::from(*kind), u64::from(*first_of_id));
    let (topic_count, before) = (topics.len() as u64, *update_before);
    let numbers = [position, *unix_ms, *bytes_before, *number, before, kind, first_of_id, topic_count];
    numbers.iter().for_each(|number| crc.add(&number.to_le_bytes()));
    let mut add = |bytes: &[u8]| {
        crc.add(&(bytes.len() as u64).to_le_bytes());
        crc.add(bytes);
    };
    topics.iter().chain(targets).for_each(|text| add(text.as_bytes()));
    add(id.as_bytes());
    add(event);
    crc.end()
}

/// Gathers what is small: the CRC of a few bytes costs as much as that of some hundred.
struct GatheredCrc {
    crc: Hasher,
    gathered: [u8; GATHERED_BYTES],
    count: usize,
}

const GATHERED_BYTES: usize = 512;

impl Default for GatheredCrc {
    fn default() -> Self {
        Self { crc: Hasher::new(), gathered: [0; GATHERED_BYTES], count: 0 }
    }
}

impl GatheredCrc {
    fn add(&mut self, bytes: &[u8]) {
        if bytes.len() > GATHERED_BYTES - self.count {
            self.crc.update(&self.gathered[..self.count]);
            self.count = 0;
        }
        match self.gathered.get_mut(self.count..self.count + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.count += bytes.len();
            }
            None => self.crc.update(bytes),
        }
    }

    fn end(mut self) -> u32 {
        self.crc.update(&self.gathered[..self.count]);
        self.crc.finalize()
    }
}
