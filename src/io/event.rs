//! What a driver reports.

/// An event of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The key with which the socket was added.
    pub(crate) key: u64,
    pub(crate) is_readable: bool,
    pub(crate) is_writable: bool,
    /// The peer sends nothing more, or the socket is broken.
    pub(crate) has_ended: bool,
}
