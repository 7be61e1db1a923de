//! Giving back the memory of collections of which most is unused.

use hashbrown::HashTable;
use slab::Slab;

/// Elements that a collection may have room for, whatever its length.
const SPARE: usize = 64;

/// Gives back the memory at the end of a slab, if it is most of it.
pub(crate) fn shrink_slab<T>(slab: &mut Slab<T>) {
    if slab.capacity() > SPARE + 2 * slab.len() {
        slab.shrink_to_fit();
    }
}

/// Gives back the memory of a table, if most of it is unused. `hash` is that of an element.
pub(crate) fn shrink_table<T>(table: &mut HashTable<T>, hash: impl Fn(&T) -> u64) {
    if table.capacity() > SPARE + 4 * table.len() {
        table.shrink_to(2 * table.len(), hash);
    }
}

/// Gives back the memory at the end of a vector, if it is most of it.
pub(crate) fn shrink_vec<T>(vec: &mut Vec<T>) {
    if vec.capacity() > SPARE + 2 * vec.len() {
        vec.shrink_to_fit();
    }
}
