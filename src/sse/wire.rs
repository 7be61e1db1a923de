//! The layer between streams and sockets, which reports the result of each send.

/// Where streams are written: the sockets, or a simulation of them.
pub trait Wire {
    /// Sends bytes to the subscriber's socket, without waiting.
    fn send(&mut self, slot: u32, bytes: &[u8]) -> Sent;

    /// Whether a send would take any bytes; asked before the bytes are gathered. False is returned
    /// where a send would return [`Sent::Full`], and has the same meaning; true promises nothing.
    fn has_room(&mut self, _slot: u32) -> bool {
        true
    }
}

/// The result of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// This many bytes were taken. Fewer than offered means that the socket is full now, as with
    /// [`Sent::Full`]: in both cases the sender must be told when it takes bytes again.
    Bytes(usize),
    /// This many bytes were taken, perhaps all that were offered, but some are held before the full
    /// socket: the sender must be told when none are held any more.
    Held(usize),
    /// None was taken.
    Full,
    /// The peer is gone.
    Gone,
}
