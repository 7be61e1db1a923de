//! The sequencer: gives every update its place in the one order.
//!
//! It takes what is waiting, appends it to the history in one transaction, and only then makes ring entries of it. So
//! nothing is delivered that a crash could forget, and the order of the history, of the ring and of every stream is the
//! same. The ring is also the only way back to the publisher: its shard meets the ticket there.

use std::sync::Arc;

use crate::history::{History, HistoryError, Placed};
use crate::protocol::frame::Frame;

/// Whom to answer: a request of one connection of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The shard that took the `POST`.
    pub shard: u16,
    /// Its connection.
    pub connection: u32,
    /// Tells apart connections that had the same number, and requests of one connection.
    pub serial: u32,
}

/// An update on its way to the history.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The update, encoded.
    pub frame: Arc<Frame>,
    /// Who waits for the answer.
    pub ticket: Ticket,
}

/// What travels on the ring.
#[derive(Debug)]
pub enum Entry {
    /// Stored and in its place: deliver it, and answer the publisher.
    Published {
        /// The update in its place.
        placed: Placed,
        /// Who waits for the answer.
        ticket: Ticket,
    },
    /// Not stored: only the publisher hears of it.
    Rejected {
        /// Who waits for the answer.
        ticket: Ticket,
    },
    /// Nothing comes after this: the hub stops.
    End,
}

/// The sequencer; it owns the writing end of the history.
pub struct Sequencer {
    history: Box<dyn History>,
}

impl Sequencer {
    /// A sequencer that appends to this history.
    pub fn new(history: Box<dyn History>) -> Self {
        Self { history }
    }

    /// Commits a batch, and answers its ring entries in order; with the store's error when it refused, which is then
    /// the fate of the whole batch.
    pub fn commit(&mut self, batch: &[Publication]) -> (Vec<Entry>, Option<HistoryError>) {
        let frames: Vec<_> = batch.iter().map(|publication| Arc::clone(&publication.frame)).collect();
        match self.history.append(&frames) {
            Ok(placed) => {
                debug_assert_eq!(placed.len(), batch.len());
                let entries = placed
                    .into_iter()
                    .zip(batch)
                    .map(|(placed, publication)| Entry::Published { placed, ticket: publication.ticket });
                (entries.collect(), None)
            }
            Err(error) => {
                let rejected = batch.iter().map(|publication| Entry::Rejected { ticket: publication.ticket });
                (rejected.collect(), Some(error))
            }
        }
    }

    /// Makes what was acknowledged durable, where the commits did not (`HISTORY_SYNC=interval`).
    ///
    /// # Errors
    /// The store refused.
    pub fn sync(&mut self) -> Result<(), HistoryError> {
        self.history.sync()
    }
}
