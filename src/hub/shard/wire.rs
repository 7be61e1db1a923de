//! What lies between a shard and its sockets, and says what became of bytes.

/// Where a shard writes: the sockets, or a simulation of them.
pub trait Wire {
    /// Hands bytes to the subscriber's socket, without waiting.
    fn send(&mut self, slot: u32, bytes: &[u8]) -> Sent;

    /// Whether a send would take any; asked before the bytes are put together. "No" is said where [`Sent::Full`] would be,
    /// and means as much; "yes" promises nothing.
    fn has_room(&mut self, _slot: u32) -> bool {
        true
    }
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// So many bytes were taken. Fewer than offered means that it is full now, as [`Sent::Full`] does: in both cases
    /// [`Shard::writable`](super::Shard::writable) has to be called when it takes bytes again.
    Bytes(usize),
    /// So many bytes were taken, all that were offered perhaps, and some of them wait before the socket, which is full:
    /// [`Shard::writable`](super::Shard::writable) has to be called when none does any more.
    Held(usize),
    /// None was taken.
    Full,
    /// The peer is gone.
    Gone,
}
