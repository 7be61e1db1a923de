//! Why a request is refused: a text for the log, and the unavailable resource for the metrics. A
//! 400, and the 403 of a topic in the hub's namespace, show their text to the client, too.

use std::fmt;

use crate::redact::Redacted;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For the log. It can quote the client; it is redacted, and of bounded length.
    pub text: String,
    /// The unavailable resource; `None` if the request is at fault.
    pub unavailable: Option<Unavailable>,
}

/// Why the hub responds 503 or 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The hub stops.
    Stopping,
    /// A key set has never been fetched.
    Keys,
    /// The publication queue is full, or too many events of subscriptions wait for it.
    Queue,
    /// The history refuses updates, cannot be read, or has too many requests.
    History,
    /// Too many bodies are under way on one connection.
    Crowded,
    /// The connection limit of the hub is reached.
    Connections,
    /// The memory limit is reached (`MEMORY_MAX`).
    Memory,
    /// This client has reached its limit of connections or subscriptions.
    ClientLimit,
    /// The templates of a subscription would cost too much beside those of others.
    MatchCost,
}

impl Refusal {
    /// A refusal because the request is at fault.
    pub fn new(text: impl fmt::Display) -> Self {
        Self { text: Redacted::of(text).to_string(), unavailable: None }
    }

    /// A refusal because the hub cannot do it now.
    pub fn unavailable(unavailable: Unavailable, text: impl fmt::Display) -> Self {
        Self { text: Redacted::of(text).to_string(), unavailable: Some(unavailable) }
    }
}
