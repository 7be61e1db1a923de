//! How a shard writes to sockets: in the order in which they got something to send, those who share
//! a socket together, and a bounded part at once.

use super::Shard;
use super::subscriber::{SubscriberState, Written};
use super::values::EndReason;
use super::write_queue::DirtySocket;
use crate::limits::{FLUSH_BYTES_MAX, FLUSH_SHARING_MAX};
use crate::sse::wire::Wire;
use crate::time::Now;

impl Shard {
    /// Whether a subscriber that was in the write queue when entries were last taken still waits.
    /// Take entries only when none does: each round of sends then carries everything that came
    /// since the last. Subscribers queued later do not count: those that catch up are always
    /// queued, and live updates and responses never wait for them.
    pub fn has_unflushed(&self) -> bool {
        self.subscribers.has_unflushed()
    }

    /// Notes that this subscriber shares its socket, by number, with others. Bytes for all of them
    /// are then written together.
    pub fn share_socket(&mut self, slot: u32, number: u32) {
        if let Some(subscriber) = self.subscribers.get_mut(slot) {
            subscriber.shared_socket = Some(number);
        }
    }

    /// Writes to up to `sockets_max` sockets; to fewer if their bytes or those who share them are
    /// many, see [`FLUSH_BYTES_MAX`] and [`FLUSH_SHARING_MAX`].
    pub fn flush(&mut self, sockets_max: usize, now: Now, wire: &mut impl Wire) {
        let (mut bytes, mut sharing) = (0, 0);
        for _ in 0..sockets_max {
            match self.subscribers.next_dirty() {
                None => break,
                Some(DirtySocket::Shared(slots)) => {
                    sharing += slots.len();
                    bytes += slots.into_iter().map(|slot| self.write(slot, now, wire)).sum::<usize>();
                }
                Some(DirtySocket::Own(slot)) if !wire.collects(slot) => {
                    self.write(slot, now, wire);
                }
                Some(DirtySocket::Own(slot)) => match self.subscribers.collect(slot) {
                    Some(0) => self.all_sent(slot),
                    Some(more) => bytes += more,
                    None => {}
                },
            }
            if bytes >= FLUSH_BYTES_MAX || sharing >= FLUSH_SHARING_MAX {
                break;
            }
        }
        self.subscribers.write_collected(wire);
        while let Some((slot, written)) = self.subscribers.next_written(now) {
            self.wrote(slot, &written);
        }
    }

    /// Writes to a subscriber from the queue; returns the bytes that were taken.
    fn write(&mut self, slot: u32, now: Now, wire: &mut impl Wire) -> usize {
        let Some(written) = self.subscribers.write(slot, now, wire) else { return 0 };
        self.wrote(slot, &written);
        written.bytes()
    }

    fn wrote(&mut self, slot: u32, written: &Written) {
        match written {
            Written::All(_) => self.all_sent(slot),
            Written::More(_) => self.subscribers.mark_dirty(slot),
            Written::Some(_) => self.arm(slot),
            Written::Gone => self.close(slot, EndReason::Gone),
        }
    }

    /// Continues a subscriber that has nothing pending now.
    fn all_sent(&mut self, slot: u32) {
        match self.subscribers.get_mut(slot).map(|subscriber| subscriber.state) {
            Some(SubscriberState::CatchingUp { .. }) => self.catch_up.push(slot),
            Some(SubscriberState::Ending(reason)) => self.finish(slot, reason),
            Some(SubscriberState::Live | SubscriberState::Closed) | None => {}
        }
    }
}
