//! The memory of long responses that clients have not taken.

use std::cell::Cell;
use std::rc::Rc;

/// Counts the bytes that are held, in one shard.
#[derive(Default)]
pub(crate) struct MemoryBudget(Rc<Cell<usize>>);

/// Counts the bytes of one response until its client has taken them.
pub(crate) struct MemoryPermit {
    held: Rc<Cell<usize>>,
    bytes: usize,
}

impl MemoryBudget {
    /// Reserves this many bytes; `None` if more than `bytes_max` would be held.
    pub(crate) fn reserve(&self, bytes: usize, bytes_max: usize) -> Option<MemoryPermit> {
        let held = self.0.get() + bytes;
        (held <= bytes_max).then(|| {
            self.0.set(held);
            MemoryPermit { held: Rc::clone(&self.0), bytes }
        })
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.held.set(self.held.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_held_until_the_permit_is_dropped() {
        let budget = MemoryBudget::default();
        let first = budget.reserve(60, 100).expect("room");
        assert!(budget.reserve(41, 100).is_none());
        drop(first);
        assert!(budget.reserve(100, 100).is_some());
    }
}
