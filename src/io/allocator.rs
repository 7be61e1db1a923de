//! The allocator of the binary, mimalloc: how it gives memory back.
//!
//! mimalloc keeps freed pages for a second and then gives them back when the same thread frees or
//! allocates again, which a shard that sleeps does not. So a shard asks for it before it sleeps. In
//! a program with another allocator this does nothing.

#![expect(unsafe_code, reason = "the function is mimalloc's, which is C")]

// Links the library.
use libmimalloc_sys as _;

// The declarations of mimalloc.h. They are sound for any argument and from any thread.
unsafe extern "C" {
    safe fn mi_collect(force: bool);
}

/// Gives the freed memory of this thread back to the host.
pub(crate) fn give_back() {
    mi_collect(true);
}
