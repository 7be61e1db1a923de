//! The publications of a shard's clients, on their way to the sequencer. Without room in the queue,
//! [`Publications::offer`] fails with [`Unavailable::Queue`], and `exchange::publish` responds 503.

use std::sync::Arc;

use crate::api::refusal::Unavailable;
use crate::hub::sequencer::{Publication, ReplyTo};
use crate::server::queue::Queue;
use crate::sse::frame::Frame;

/// The way to the sequencer, and what is on it.
pub(super) struct Publications {
    /// `None` after this shard's last publication is acknowledged.
    queue: Option<Queue>,
    under_way: usize,
}

impl Publications {
    pub(super) fn new(queue: Queue) -> Self {
        Self { queue: Some(queue), under_way: 0 }
    }

    /// Hands an update of a client to the sequencer.
    ///
    /// # Errors
    /// The queue has no room, or the hub stops.
    pub(super) fn offer(&mut self, frame: Arc<Frame>, reply_to: ReplyTo) -> Result<(), Unavailable> {
        let queue = self.queue.as_ref().ok_or(Unavailable::Stopping)?;
        if !queue.offer(Publication { frame, reply_to }) {
            return Err(Unavailable::Queue);
        }
        self.under_way += 1;
        Ok(())
    }

    /// The way to the sequencer for the hub's own updates; `None` after [`Self::close`].
    pub(super) fn queue(&self) -> Option<&Queue> {
        self.queue.as_ref()
    }

    /// An update of a client came round the ring.
    pub(super) fn settled(&mut self) {
        self.under_way -= 1;
    }

    /// Updates of clients that have not come round the ring.
    #[cfg(feature = "internals")]
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Whether every update of a client has come round the ring.
    pub(super) fn are_settled(&self) -> bool {
        self.under_way == 0
    }

    /// Nothing more is published. When the last shard has closed its queue, the sequencer ends; its
    /// last entry says that no further update comes.
    pub(super) fn close(&mut self) {
        self.queue = None;
    }
}
