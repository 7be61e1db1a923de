//! Why an operation of a history fails.

use std::error::Error;
use std::io;

use super::position::Position;

/// Why an operation of a history failed. The text is for the log, and the sources have the cause.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Its storage could not be read or written.
    #[error("the storage of the history failed")]
    Io(#[from] io::Error),
    /// The store failed for a reason of its own.
    #[error("the store of the history failed")]
    Store(#[source] Box<dyn Error + Send + Sync>),
    /// The store has failed before, and could not be opened again yet.
    #[error("the store is closed after a failure")]
    Closed,
    /// The store panicked on what it read.
    #[error("the file is corrupt: stop the hub and run `petasos history verify`")]
    Corrupt(#[source] Box<dyn Error + Send + Sync>),
    /// A record is not one that a hub wrote.
    #[error("update {} of the history has a corrupt {field}", .position.get())]
    Damaged {
        /// The position of the update.
        position: Position,
        /// The part of the record.
        field: &'static str,
    },
    /// The checksum of a record differs: it is not what was stored at this position.
    #[error("update {} of the history was altered: its checksum differs", .position.get())]
    Altered {
        /// The position of the update.
        position: Position,
    },
    /// The history should hold an update at this position, and does not.
    #[error("update {} of the history is missing", .position.get())]
    Absent {
        /// The position of the update.
        position: Position,
    },
    /// The store cannot decode what it holds at this position.
    #[error("update {} of the history cannot be read: the file is corrupt", .position.get())]
    Unreadable {
        /// The position of the update.
        position: Position,
        /// The store's own error, or its panic.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// A part of the index of event ids is not what was stored, so it cannot say that an id is
    /// unknown.
    #[error("the index of event ids is corrupt: stop the hub and run `petasos history verify`")]
    AlteredIndex,
    /// The numbers of the store (its range, the key of its index) are not what was stored.
    #[error("the numbers of the history are corrupt: stop the hub and run `petasos history verify`")]
    AlteredNumbers,
    /// A reopened store does not end with the update that was acknowledged last.
    #[error("the store has update {} as its newest, not {}", .found.get(), .expected.get())]
    WrongEnd {
        /// The newest update of the store.
        found: Position,
        /// The newest update that must be on the disk.
        expected: Position,
    },
    /// Too many lookups wait for the history worker.
    #[error("too many lookups in the history wait")]
    TooManyLookups,
    /// Too many requests wait for the history worker.
    #[error("too many requests for the history wait")]
    TooManyRequests,
}

impl HistoryError {
    /// The position of the update that cannot be read, if the error is about one.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Damaged { position, .. }
            | Self::Altered { position }
            | Self::Absent { position }
            | Self::Unreadable { position, .. } => Some(*position),
            _ => None,
        }
    }

    /// A failure of another store, with its cause or a text.
    pub fn other(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Store(cause.into())
    }
}
