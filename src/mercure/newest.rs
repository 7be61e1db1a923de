//! The event id that a list of active subscriptions reports: that of the newest update before it
//! (PROTOCOL section 7).

use crate::mercure::event_id::EventId;

/// The newest update whose id the history did not hold before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// `None` if there has never been one.
    pub id: Option<EventId>,
    /// True if the update came while this hub runs and no earlier list of this hub had its id: the
    /// hub generated the id, or the history has never discarded an update and so knows every id.
    /// (It does not notice updates that a crash takes from an unsynced history.)
    pub is_unique: bool,
}

impl Newest {
    /// The id as text.
    pub fn text(&self) -> Option<&str> {
        self.id.as_ref().map(EventId::as_str)
    }
}
