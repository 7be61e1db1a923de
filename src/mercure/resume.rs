//! The state reconciliation that a subscriber asks for (PROTOCOL section 6).

use crate::mercure::event_id::EventId;

/// Where a subscriber wants to resume (PROTOCOL section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// From the oldest update that is held: for `earliest`, or an id that cannot exist.
    Earliest,
    /// After this update; like [`Resume::Earliest`] if it is not held.
    After(EventId),
    /// From now on, with the id of the newest update: for an empty id (MERCURE-1.0, section 6.1).
    Newest,
}

impl Resume {
    /// Parses a last event id. Any text is valid: a text that is not an event id is an id that is
    /// not held.
    pub fn parse(text: &str) -> Self {
        EventId::parse(text).map_or(Self::Earliest, Self::After)
    }
}
