//! The errors of redb as errors of a history: no type of redb leaves this module.

use super::guard::guarded;
use crate::history::{HistoryError, Position};

/// Converts any error of redb.
pub(super) fn failed(error: impl Into<redb::Error>) -> HistoryError {
    match error.into() {
        redb::Error::Io(error) => HistoryError::Io(error),
        error => HistoryError::other(error),
    }
}

/// Reads something of the update at this position: what redb cannot decode is an error that names
/// the position, also if redb panics on it.
pub(super) fn read_at<T, E: Into<redb::Error>>(
    position: u64,
    read: impl FnOnce() -> Result<T, E>,
) -> Result<T, HistoryError> {
    match guarded(read) {
        Ok(result) => result.map_err(|error| failed_at(position, error)),
        Err(panicked) => {
            Err(HistoryError::Unreadable { position: Position::new(position), cause: panicked.into() })
        }
    }
}

/// Converts an error of redb about the update at this position.
pub(super) fn failed_at(position: u64, error: impl Into<redb::Error>) -> HistoryError {
    let position = Position::new(position);
    match error.into() {
        error @ redb::Error::Corrupted(_) => HistoryError::Unreadable { position, cause: error.into() },
        error => failed(error),
    }
}
