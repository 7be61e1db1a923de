//! The record of one update: `(kind, topics, targets, id, event)`.
//!
//! `kind` is 0 for a public update, 1 for a private one, 2 for one with targets; `event` is the SSE event as it is sent.
//! Everything is parsed again when it is read: a file is input like any other.

use redb::{Table, TableDefinition};

use super::failed;
use crate::history::HistoryError;
use crate::protocol::event_id::EventId;
use crate::protocol::frame::Frame;
use crate::protocol::topic::Topic;
use crate::protocol::update::Audience;

/// What a record is made of, as redb encodes it.
pub(super) type Fields<'a> = (u8, Vec<&'a str>, Vec<&'a str>, &'a str, &'a [u8]);

/// The updates by position.
pub(super) const UPDATES: TableDefinition<'_, u64, Fields<'static>> = TableDefinition::new("updates");

const PUBLIC: u8 = 0;
const PRIVATE: u8 = 1;
const TARGETS: u8 = 2;

pub(super) fn insert(
    table: &mut Table<'_, u64, Fields<'static>>,
    position: u64,
    frame: &Frame,
) -> Result<(), HistoryError> {
    let topics: Vec<&str> = frame.topic_texts().collect();
    let (kind, targets) = match frame.audience() {
        Audience::Public => (PUBLIC, Vec::new()),
        Audience::Private => (PRIVATE, Vec::new()),
        Audience::Targets(targets) => (TARGETS, targets.iter().map(|target| &**target).collect()),
    };
    let fields: Fields<'_> = (kind, topics, targets, frame.id().as_str(), frame.event());
    table.insert(position, fields).map(|_| ()).map_err(failed)
}

/// Removes the oldest update.
pub(super) fn take_first(
    table: &mut Table<'_, u64, Fields<'static>>,
) -> Result<Option<(u64, Frame)>, HistoryError> {
    let Some((position, value)) = table.pop_first().map_err(failed)? else { return Ok(None) };
    let position = position.value();
    Ok(Some((position, read(position, value.value())?)))
}

/// Removes one update, if it is there.
pub(super) fn take(
    table: &mut Table<'_, u64, Fields<'static>>,
    position: u64,
) -> Result<Option<Frame>, HistoryError> {
    let value = table.remove(position).map_err(failed)?;
    value.map(|value| read(position, value.value())).transpose()
}

/// Reads a record back.
///
/// # Errors
/// It is none that this hub wrote; the text names the position and the field.
pub(super) fn read(position: u64, fields: Fields<'_>) -> Result<Frame, HistoryError> {
    let wrong = |field: &str| HistoryError(format!("update {position} of the history has a corrupt {field}"));
    let (kind, topics, targets, id, event) = fields;
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
