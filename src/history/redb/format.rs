//! What identifies a file of the hub: the version of its format, and the key for hashing ids.

use redb::TableDefinition;

/// The version of the file format that this hub reads and writes.
pub const FORMAT: u64 = 2;

/// Numbers by name: `format`, the two halves of the hash key, and those of `Meta`.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The names of the two halves of the key for hashing ids.
pub(super) const HASH_KEY: [&str; 2] = ["hash_key_0", "hash_key_1"];
