//! The queue of publications from the shards to the sequencer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::hub::sequencer::Publication;
use crate::limits::PUBLISH_QUEUE_MAX;

/// The queue to the sequencer, bounded in number and bytes. Each shard has a handle; the sequencer
/// ends when all are dropped.
#[derive(Clone)]
pub(crate) struct Queue {
    sender: Sender<Publication>,
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

impl Queue {
    /// A queue of at most this many bytes, and the end that the sequencer reads.
    pub(crate) fn new(bytes_max: usize) -> (Self, Receiver<Publication>) {
        let (sender, receiver) = bounded(PUBLISH_QUEUE_MAX);
        (Self { sender, bytes: Arc::default(), bytes_max }, receiver)
    }

    /// Hands a publication over; false if there is no room for it (`PUBLISH_QUEUE_MAX`,
    /// its
    /// bytes). True also if the sequencer has ended: the hub then stops, and no
    /// reply comes.
    pub(crate) fn offer(&self, publication: Publication) -> bool {
        let bytes = publication.frame.bytes_held();
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == 0 || before + bytes <= self.bytes_max;
        let taken = fits && !matches!(self.sender.try_send(publication), Err(TrySendError::Full(_)));
        if !taken {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        taken
    }

    /// The live count of bytes of the publications between the shards and the slowest reader of the
    /// ring.
    pub(crate) fn bytes(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.bytes)
    }
}
