//! Connections with work left: no event will report them.
//!
//! Those in the middle of a long body are apart, and their events are queued, too: so a small
//! request does not wait for a crowd of large ones.

use std::collections::VecDeque;

/// A connection by number and serial.
pub(super) type ReadyConnection = (u32, u32);

/// The queues; a connection is in one of them, at most once.
#[derive(Default)]
pub(super) struct ReadyQueue {
    small: VecDeque<ReadyConnection>,
    bulk: VecDeque<ReadyConnection>,
}

impl ReadyQueue {
    /// Adds a connection.
    pub(super) fn push(&mut self, connection: ReadyConnection, is_bulk: bool) {
        self.queue(is_bulk).push_back(connection);
    }

    /// The next connection that is, or is not, in the middle of a long body.
    pub(super) fn pop(&mut self, is_bulk: bool) -> Option<ReadyConnection> {
        self.queue(is_bulk).pop_front()
    }

    /// How many of these there are.
    pub(super) fn len(&self, is_bulk: bool) -> usize {
        if is_bulk { self.bulk.len() } else { self.small.len() }
    }

    /// Whether there is none of either kind.
    pub(super) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.bulk.is_empty()
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        self.small.shrink_to_fit();
        self.bulk.shrink_to_fit();
    }

    fn queue(&mut self, is_bulk: bool) -> &mut VecDeque<ReadyConnection> {
        if is_bulk { &mut self.bulk } else { &mut self.small }
    }
}
