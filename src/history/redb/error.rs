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
    let position = Position::new(position);
    match guarded(read) {
        Ok(result) => result.map_err(|error| match error.into() {
            error @ redb::Error::Corrupted(_) => HistoryError::Unreadable { position, cause: error.into() },
            error => failed(error),
        }),
        Err(panicked) => Err(HistoryError::Unreadable { position, cause: panicked.into() }),
    }
}
