//! Wake-ups: the handshake between a consumer that wants to sleep and the producer.
//!
//! The consumer raises a flag and then checks the ring once more; the producer publishes and then
//! checks the flag. The fences between these steps exclude that both check too early, so no entry
//! is left to a sleeping consumer. An awake consumer costs the producer one load. A sleeping one is
//! woken once, however many entries follow.

use super::shim::{AtomicBool, Ordering, fence};

/// One consumer's flag.
#[derive(Default)]
pub struct SleepFlag(AtomicBool);

impl SleepFlag {
    /// The flag of an awake consumer.
    pub fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Consumer: announces sleep. It must check the ring after this, and sleep only if the ring is
    /// empty.
    pub fn announce(&self) {
        self.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Consumer: it is awake again, or did not sleep after all.
    pub fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Producer, after publishing: whether the consumer has to be woken. Returns `true` once per
    /// announcement.
    pub fn must_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::AcqRel)
    }
}
