//! What a shard does with a connection after a slice of its work.

use super::streams::StreamPermits;

/// What to do with a connection now.
pub(super) enum ConnAction {
    /// Wait for the client, the ring or the history.
    Waits,
    /// There is work left, but others go first.
    Yields,
    /// It becomes a stream: the subscriber of this slot, with its permits.
    Streams(u32, StreamPermits),
    /// It speaks HTTP/2.
    SpeaksHttp2,
    /// It is over: the last bytes are on their way, and get time to arrive.
    Ends,
    /// Close it, even with bytes left to send.
    Closes,
}
