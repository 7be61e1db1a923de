//! What the shards of a simulated hub hold.

/// What the shards of a hub hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimulatedLoad {
    /// Connections.
    pub connections: usize,
    /// Subscribers.
    pub subscribers: usize,
    /// Bytes in the account of the memory, without the tables of outboxes, which stay for a while.
    pub memory_bytes: usize,
    /// Publications of clients that have not come round the ring.
    pub publications: usize,
}
