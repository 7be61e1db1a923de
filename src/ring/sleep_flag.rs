//! Who has to be woken: the handshake between a consumer that wants to sleep and the producer.
//!
//! The consumer raises a flag and then looks at the ring once more; the producer publishes and then looks at the flag. The
//! fences between make it impossible that both look too early, so an entry is never left with a sleeper. A consumer that
//! is awake costs the producer one load, and one that sleeps is woken once, whatever number of entries follows.

use super::shim::{AtomicBool, Ordering, fence};

/// One consumer's flag.
#[derive(Default)]
pub struct SleepFlag(AtomicBool);

impl SleepFlag {
    /// A consumer that is awake.
    pub fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Consumer: announces sleep. It must look at the ring after this, and sleep only if that is empty.
    pub fn announce(&self) {
        self.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Consumer: is awake again, or did not sleep after all.
    pub fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Producer, after publishing: whether the consumer has to be woken. Returns `true` once per announcement.
    pub fn must_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::AcqRel)
    }
}
