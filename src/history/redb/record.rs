//! The record of one update: `(published in Unix milliseconds, bytes of all updates before it,
//! kind, first of its id, topics, targets, id, event)`.
//!
//! `kind` is 0 for a public update, 1 for a private one, 2 for one with targets; `event` is the SSE
//! event as sent. Every read parses the whole record: a file is untrusted input.

use redb::{Table, TableDefinition};

use super::error::failed;
use crate::history::{HistoryError, Position};
use crate::limits::{RECORD_OVERHEAD_BYTES, STORE_PAGE_BYTES};
use crate::mercure::audience::Audience;
use crate::mercure::event_id::EventId;
use crate::mercure::topic::Topic;
use crate::sse::frame::Frame;

/// The fields of a record, as encoded by redb.
pub(super) type RecordFields<'a> = (u64, u64, u8, bool, Vec<&'a str>, Vec<&'a str>, &'a str, &'a [u8]);

/// The updates by position.
pub(super) const UPDATES: TableDefinition<'_, u64, RecordFields<'static>> = TableDefinition::new("updates");

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
    let fields: RecordFields<'_> =
        (unix_ms, bytes_before, kind, first_of_id, topics, targets, id, frame.event());
    table.insert(position, fields).map(|_| ()).map_err(failed)
}

/// The fields of a record besides the update.
pub(super) fn head(fields: &RecordFields<'_>) -> RecordHead {
    RecordHead { unix_ms: fields.0, bytes_before: fields.1, first_of_id: fields.3 }
}

/// The event id, unparsed.
pub(super) fn id<'a>(fields: &RecordFields<'a>) -> &'a str {
    fields.6
}

/// Parses the update.
///
/// # Errors
/// This hub did not write it; the text gives the position and the field.
pub(super) fn read(position: u64, fields: RecordFields<'_>) -> Result<Frame, HistoryError> {
    let wrong = |field| HistoryError::Damaged { position: Position::new(position), field };
    let (_, _, kind, _, topics, targets, id, event) = fields;
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
