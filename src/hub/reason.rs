//! Why a request is refused: a text for the log, and for the metrics what the hub lacked. The client is told neither.

use std::fmt;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// For the log; never holds a token.
    pub text: String,
    /// What the hub lacked; `None` when it is the request that is at fault.
    pub lack: Option<Lack>,
}

/// What the hub lacks when it answers 503, or 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The hub stops.
    Time,
    /// A key set has never been fetched.
    Keys,
    /// The publication queue is full.
    Queue,
    /// The history refuses updates, cannot be read, or is asked too much.
    History,
    /// Too many bodies are under way on one connection.
    Room,
    /// There are as many connections as the hub takes.
    Places,
    /// This client has its share: of connections, or of subscriptions.
    Share,
}

impl Reason {
    /// The request is at fault.
    pub fn new(text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), lack: None }
    }

    /// The hub lacks something.
    pub fn lacking(lack: Lack, text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), lack: Some(lack) }
    }
}
