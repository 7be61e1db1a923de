//! Which request a reply of another thread belongs to.

/// The request that a reply belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId {
    /// The number of its connection.
    pub(crate) connection: u32,
    /// Its own number.
    pub(crate) serial: u32,
}
