//! The history on disk (`DB_PATH`): one redb file, written only by the sequencer, one transaction
//! for each batch.
//!
//! Invariants:
//! - when an append returns, its batch is in the file as [`HistorySync`] promises; if it fails,
//!   none of the batch is;
//! - one process holds the file: it stays locked while the history exists, even while the store is
//!   reopened;
//! - a failed store is reopened with exactly the acknowledged updates: a partial commit leaves
//!   nothing;
//! - an update beyond the retention is unreachable right after the commit that exceeded it; its
//!   pages are freed by later transactions, a bounded number in each;
//! - what is served is what was stored: redb verifies no page when it reads one, so each record,
//!   each part of the index and the numbers have a checksum, and positions have no gap but those of
//!   events of subscriptions that were discarded, which the records around it prove (`moment`).
//!
//! The file has seven tables, and beside them, in its first page, the newest acknowledged position
//! (`end_note`):
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | a number: `format` |
//! | `numbers` | nothing | one row: the hash key, the range, and their checksum; see `meta` |
//! | `records` | position | `record` |
//! | `events` | position | `record`, of an event of a subscription |
//! | `ids` | hash of an event id, position | nothing: see `index` |
//! | `id_sums` | range of hashes | the sum of the entries of `ids`: see `sums` |
//! | `new_ids` | position | hash of its event id, its number and a checksum, until `ids` has it |

pub mod archive;
mod convert;
mod end_note;
mod error;
mod event_ids;
mod file;
mod format;
mod guard;
mod index;
mod meta;
mod moment;
mod open;
mod record;
mod retention;
mod store;
mod sums;
mod write;
mod writer;

#[cfg(any(test, feature = "internals"))]
pub use format::FORMAT;
#[cfg(any(test, feature = "internals"))]
pub use open::OpenCause;
pub use open::OpenError;
pub use writer::{HistorySync, LostUpdates, RedbHistory};

#[cfg(test)]
pub(in crate::history) fn bytes_of(frame: &crate::sse::frame::Frame) -> u64 {
    record::bytes(frame)
}

#[cfg(test)]
mod tests;
