//! How a shard waits for its sockets and writes to many of them: with epoll and a system call for
//! each send, or with an io_uring that takes many sends in one call. The tests have a third way, a
//! simulated network ([`sim`](super::sim)).
//!
//! Invariants:
//! - no call waits for a socket but [`Driver::wait`], and that one never beyond its time;
//! - bytes are borrowed for the call that sends them: when it returns, the kernel has what it took;
//! - the loop of a shard knows the trait alone.

use std::io;

pub(crate) use super::event::Event;
use super::socket::Socket;
use super::waker::ShardWaker;
use crate::sse::wire::Sent;

/// A send that is made together with others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Send<'b> {
    pub(crate) socket: &'b Socket,
    /// At least one byte.
    pub(crate) bytes: &'b [u8],
}

/// How one shard waits for its sockets, and writes to many of them at once.
pub(crate) trait Driver {
    /// Adds the waker of this shard: a wake-up counts as an event with this key.
    ///
    /// # Errors
    /// As for [`Self::add`].
    fn add_waker(&mut self, waker: &ShardWaker, key: u64) -> io::Result<()>;

    /// Adds a socket for reading and for its end; closing the socket removes it. Data that is
    /// already there counts as an event. Writability does not: a fresh socket is always writable;
    /// see [`Self::await_writable`].
    ///
    /// # Errors
    /// The kernel's error: out of memory, or of `fs.epoll.max_user_watches`.
    fn add(&mut self, socket: &Socket, key: u64) -> io::Result<()>;

    /// Adds a listening socket that other shards watch, too: an event wakes only one of those that
    /// sleep.
    ///
    /// # Errors
    /// As for [`Self::add`].
    fn add_shared(&mut self, socket: &Socket, key: u64) -> io::Result<()>;

    /// From now on, reports also when an added socket becomes writable, beginning with its present
    /// state.
    ///
    /// # Errors
    /// The kernel's error: out of memory.
    fn await_writable(&mut self, socket: &Socket, key: u64) -> io::Result<()>;

    /// Fills `events` with up to [`EVENTS_MAX`](crate::limits::EVENTS_MAX) pending events. If there
    /// are none, blocks the thread for up to `wait_ms` milliseconds, or without end. An interrupted
    /// call returns no events; the next call returns them.
    fn wait(&mut self, events: &mut Vec<Event>, wait_ms: Option<u64>);

    /// How many sends [`Self::send_all`] makes at once; 0 if it makes one at a time, so that
    /// collecting them is of no use.
    fn sends_at_once(&self) -> usize;

    /// Makes sends without waiting, at most one for each socket. Appends the result of each to
    /// `results`, in their order.
    fn send_all(&mut self, sends: &[Send<'_>], results: &mut Vec<Sent>);

    /// What the ring has done so far; nothing without one.
    fn ring_counts(&self) -> RingCounts;
}

/// What a ring has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RingCounts {
    /// Sends.
    pub(crate) sends: u64,
    /// System calls for them.
    pub(crate) calls: u64,
}

/// `IO`: which driver a hub is to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoMode {
    /// An io_uring where it can be made, else epoll.
    #[default]
    Auto,
    /// An io_uring, or no start.
    Uring,
    /// epoll. No ring is made at all.
    Epoll,
}
