//! What became of bytes that were handed to a socket.

/// The result of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// This many bytes were taken. Fewer than offered means that the socket is full now, as with
    /// [`Sent::Full`]: in both cases the sender waits until it takes bytes again.
    Bytes(usize),
    /// This many bytes were taken, perhaps all that were offered, but some are held before the full
    /// socket: the sender waits until none are held any more.
    Held(usize),
    /// None was taken.
    Full,
    /// The peer is gone.
    Gone,
}
