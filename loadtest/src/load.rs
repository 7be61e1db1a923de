//! The load of one round, as the generator saw it: subscribers, publishers and sizes.

/// The load of one round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Subscribers, with those of a warm-up and those that are not measured.
    pub(crate) subscribers: usize,
    /// Publishers.
    pub(crate) publishers: usize,
    /// Length of the data of an update, the longest; 0 when there was none.
    pub(crate) data_bytes: usize,
    /// Length of an event in the stream, the longest, before any coding and without what frames it; 0 when none came.
    pub(crate) event_bytes: usize,
    /// Bytes of all streams, with chunks or DATA frames around them and with heartbeats, without heads.
    pub(crate) wire_bytes: u64,
    /// Deliveries in these streams.
    pub(crate) deliveries: u64,
    /// The `Server` field of the first response that has one.
    pub(crate) server: Option<String>,
}

impl Load {
    /// The load of two generators at the same time.
    pub(crate) fn beside(self, other: Self) -> Self {
        Self {
            subscribers: self.subscribers + other.subscribers,
            publishers: self.publishers + other.publishers,
            data_bytes: self.data_bytes.max(other.data_bytes),
            event_bytes: self.event_bytes.max(other.event_bytes),
            wire_bytes: self.wire_bytes + other.wire_bytes,
            deliveries: self.deliveries + other.deliveries,
            server: self.server.or(other.server),
        }
    }

    /// Bytes of the streams for each delivery; `None` when nothing was delivered.
    pub(crate) fn wire_bytes_per_delivery(&self) -> Option<f64> {
        (self.deliveries > 0).then(|| self.wire_bytes as f64 / self.deliveries as f64)
    }
}
