//! What identifies a file of the hub: the version of its format.

use redb::TableDefinition;

/// The version of the file format that this hub reads and writes. It also reads version 2, and
/// converts it when it opens the file (`convert`).
pub const FORMAT: u64 = 3;

/// The version by name: `format`.
pub(super) const VERSIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
