//! The errors of redb as errors of a history: no type of redb leaves this module.

use crate::history::HistoryError;

/// Converts any error of redb.
pub(super) fn failed(error: impl Into<redb::Error>) -> HistoryError {
    match error.into() {
        redb::Error::Io(error) => HistoryError::Io(error),
        error => HistoryError::other(error),
    }
}
