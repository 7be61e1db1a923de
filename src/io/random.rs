//! Random bytes for ids, and for what must not happen to all clients at the same time.

#[cfg(feature = "internals")]
use crate::io::sim::SimChoices;

/// The source of one shard.
#[derive(Clone, Debug)]
pub(crate) enum Random {
    /// The host's generator.
    Host,
    /// The seed of a simulation.
    #[cfg(feature = "internals")]
    Simulated(SimChoices),
}

impl Random {
    /// As many bytes as an id takes.
    pub(crate) fn bytes(&self) -> [u8; 16] {
        match self {
            Self::Host => uuid::Uuid::new_v4().into_bytes(),
            #[cfg(feature = "internals")]
            Self::Simulated(choices) => choices.bytes(),
        }
    }
}
