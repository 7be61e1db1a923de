//! The layer between a shard and its sockets, which reports the result of each send.

pub use crate::sse::sent::Sent;

/// Where a shard writes: the sockets, or a simulation of them.
pub trait Wire {
    /// Sends bytes to the subscriber's socket, without waiting.
    fn send(&mut self, slot: u32, bytes: &[u8]) -> Sent;

    /// Whether a send would take any bytes; asked before the bytes are gathered. False is returned
    /// where a send would return [`Sent::Full`], and has the same meaning; true promises nothing.
    fn has_room(&mut self, _slot: u32) -> bool {
        true
    }
}
