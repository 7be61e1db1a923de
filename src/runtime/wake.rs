//! Waking a shard that sleeps, from another thread or from a task beside it.

use std::sync::Arc;
use std::task::Waker;

use atomic_waker::AtomicWaker;

use super::pulse::Pulse;
use crate::ring::doze::Doze;

/// The bell of one shard.
#[derive(Default)]
pub(crate) struct Bell {
    doze: Doze,
    waker: AtomicWaker,
    pulse: Arc<Pulse>,
}

impl Bell {
    /// The shard is about to sleep; it must look for work once more after this.
    pub(crate) fn announce(&self, waker: &Waker) {
        self.pulse.beat();
        self.waker.register(waker);
        self.doze.announce();
    }

    /// The shard is awake.
    pub(crate) fn awake(&self) {
        self.doze.end();
    }

    /// There is work; wakes the shard if it sleeps. To be called after the work can be seen.
    pub(crate) fn ring(&self) {
        if self.doze.must_wake() {
            self.waker.wake();
        }
    }

    /// The shard's sign of life.
    pub(crate) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }
}
