//! Wakes a sleeping shard from another thread.
//!
//! The waker is an event counter in the shard's epoll set, so each way to wait for the sockets also
//! waits for the waker. The counter is never read: each write is an edge, and thus an event.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

use crate::io::liveness::Liveness;
use crate::ring::sleep_flag::SleepFlag;

/// Wakes one shard.
pub(crate) struct ShardWaker {
    sleep_flag: SleepFlag,
    counter: OwnedFd,
    liveness: Arc<Liveness>,
}

impl ShardWaker {
    /// The waker of a shard that is awake.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn new() -> io::Result<Self> {
        let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { sleep_flag: SleepFlag::new(), counter, liveness: Arc::default() })
    }

    /// The shard is about to sleep; it must check for work once more after this.
    pub(crate) fn announce(&self) {
        self.liveness.mark_alive();
        self.sleep_flag.announce();
    }

    /// The shard is awake.
    pub(crate) fn awake(&self) {
        self.sleep_flag.end();
    }

    /// Wakes the shard if it sleeps. Call it after the work is visible.
    pub(crate) fn wake(&self) {
        if self.sleep_flag.must_wake() {
            // Fails only if the counter is full, after about 2^64 wake-ups.
            let _ = rustix::io::write(&self.counter, &1_u64.to_ne_bytes());
        }
    }

    /// The shard's liveness counter.
    pub(crate) fn liveness(&self) -> &Arc<Liveness> {
        &self.liveness
    }
}

impl AsFd for ShardWaker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }
}
