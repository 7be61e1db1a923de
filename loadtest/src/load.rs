//! The load of one round, as measured by the generator: subscribers, publishers and sizes.

/// The load of one round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Subscribers, including those of a warm-up and those that are not measured.
    pub(crate) subscribers: usize,
    /// Publishers.
    pub(crate) publishers: usize,
    /// Length of the longest data of an update, in bytes; 0 without updates.
    pub(crate) data_bytes: usize,
    /// Length of the longest event in the stream, in bytes, without coding, chunks or frames; 0
    /// without events.
    pub(crate) event_bytes: usize,
    /// Bytes of all streams, including chunks or DATA frames and heartbeats, without heads.
    pub(crate) wire_bytes: u64,
    /// Deliveries in these streams.
    pub(crate) deliveries: u64,
    /// The `Server` field of the first response that has one.
    pub(crate) server: Option<String>,
}

impl Load {
    /// The combined load of two generators that run at the same time.
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

    /// Bytes of the streams for each delivery; `None` without deliveries.
    pub(crate) fn wire_bytes_per_delivery(&self) -> Option<f64> {
        (self.deliveries > 0).then(|| self.wire_bytes as f64 / self.deliveries as f64)
    }
}
