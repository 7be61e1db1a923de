//! Why a request is refused: a text for the log, and for the metrics what was unavailable. The client is told neither.

use std::fmt;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For the log; never holds a token.
    pub text: String,
    /// What was unavailable; `None` when it is the request that is at fault.
    pub unavailable: Option<Unavailable>,
}

/// Why the hub answers 503, or 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The hub stops.
    Stopping,
    /// A key set has never been fetched.
    Keys,
    /// The publication queue is full.
    Queue,
    /// The history refuses updates, cannot be read, or is asked too much.
    History,
    /// Too many bodies are under way on one connection.
    Crowded,
    /// There are as many connections as the hub takes.
    Connections,
    /// This client has its share: of connections, or of subscriptions.
    ClientLimit,
}

impl Refusal {
    /// The request is at fault.
    pub fn new(text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), unavailable: None }
    }

    /// The hub cannot do it now.
    pub fn unavailable(unavailable: Unavailable, text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), unavailable: Some(unavailable) }
    }
}
