//! Waking a shard that sleeps, from another thread.
//!
//! The bell is an event counter in the shard's epoll set, so a shard that waits for its sockets waits for the bell, too,
//! whichever way it waits. The counter is never read: each ring is an edge, and that is an event.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

use super::pulse::Pulse;
use crate::ring::doze::Doze;

/// The bell of one shard.
pub(crate) struct Bell {
    doze: Doze,
    counter: OwnedFd,
    pulse: Arc<Pulse>,
}

impl Bell {
    /// A bell of a shard that is awake.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn new() -> io::Result<Self> {
        let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { doze: Doze::new(), counter, pulse: Arc::default() })
    }

    /// The shard is about to sleep; it must look for work once more after this.
    pub(crate) fn announce(&self) {
        self.pulse.beat();
        self.doze.announce();
    }

    /// The shard is awake.
    pub(crate) fn awake(&self) {
        self.doze.end();
    }

    /// There is work; wakes the shard if it sleeps. To be called after the work can be seen.
    pub(crate) fn ring(&self) {
        if self.doze.must_wake() {
            // It fails only when the counter is full, after more rings than a century has microseconds.
            let _ = rustix::io::write(&self.counter, &1_u64.to_ne_bytes());
        }
    }

    /// The shard's sign of life.
    pub(crate) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }
}
