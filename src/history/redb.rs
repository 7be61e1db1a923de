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
//!   pages are freed by later transactions, a bounded number in each.
//!
//! The file has four tables:
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | a number: `format`, the two halves of the hash key, and those of `Meta` |
//! | `updates` | position | `record` |
//! | `ids` | hash of an event id, position | nothing: see `index` |
//! | `recent` | position | hash of its event id, until `ids` has it |

pub mod archive;
mod error;
mod file;
mod format;
mod guard;
mod index;
mod open;
mod record;
mod store;
mod write;
mod writer;

#[cfg(any(test, feature = "internals"))]
pub use format::FORMAT;
#[cfg(any(test, feature = "internals"))]
pub use open::OpenCause;
pub use open::OpenError;
pub use writer::{HistorySync, RedbHistory};

#[cfg(test)]
mod tests;
