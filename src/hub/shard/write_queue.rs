//! The sockets to write to, in their order. Subscribers that share a socket leave the queue
//! together, so that one send carries the bytes of all of them.

use std::collections::VecDeque;

use hashbrown::HashMap;

/// A socket to write to.
pub(super) enum DirtySocket {
    /// The own one of this subscriber.
    Own(u32),
    /// One that these subscribers share, and others that need not be written to.
    Shared(Vec<u32>),
}

/// A socket in the queue.
#[derive(Clone, Copy)]
enum Queued {
    /// The own one of this subscriber.
    Own(u32),
    /// The shared one with this number.
    Shared(u32),
}

/// The queue.
#[derive(Default)]
pub(super) struct WriteQueue {
    sockets: VecDeque<Queued>,
    /// The subscribers to write to, of each shared socket in the queue.
    sharing: HashMap<u32, Vec<u32>>,
    /// How many sockets were in the queue when entries were last taken; they come first.
    since_take: usize,
}

impl WriteQueue {
    /// Adds a subscriber, and the number of its socket if it shares one.
    pub(super) fn push(&mut self, slot: u32, shared_socket: Option<u32>) {
        let Some(number) = shared_socket else { return self.sockets.push_back(Queued::Own(slot)) };
        let slots = self.sharing.entry(number).or_default();
        if slots.is_empty() {
            self.sockets.push_back(Queued::Shared(number));
        }
        slots.push(slot);
    }

    /// The next socket.
    pub(super) fn pop(&mut self) -> Option<DirtySocket> {
        let socket = self.sockets.pop_front()?;
        self.since_take = self.since_take.saturating_sub(1);
        Some(match socket {
            Queued::Own(slot) => DirtySocket::Own(slot),
            Queued::Shared(number) => DirtySocket::Shared(self.sharing.remove(&number).unwrap_or_default()),
        })
    }

    /// Whether it is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Notes that entries were taken: the sockets in the queue now must be written to before more
    /// are taken.
    pub(super) fn moved(&mut self) {
        self.since_take = self.sockets.len();
    }

    /// Whether a socket that was in the queue at the last [`Self::moved`] still waits.
    pub(super) fn has_unflushed(&self) -> bool {
        self.since_take > 0
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        self.sockets.shrink_to_fit();
        self.sharing.shrink_to_fit();
    }
}
