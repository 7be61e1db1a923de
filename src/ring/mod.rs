//! The cross-core broadcast ring: one producer, N consumers, lock-free, gated by the slowest.
//!
//! Every consumer sees every entry in push order and reads it in place. Nothing is copied, and
//! nothing is allocated after [`ring`]. Invariants:
//! - a push into a full ring is refused; unread entries are never overwritten;
//! - the producer touches slot `n` only while `n` is unpublished, or after every consumer has
//!   finished it; the producer alone drops entries.
//!
//! The ring does not wait: [`sleep_flag::SleepFlag`] reports when a sleeper has to be woken.

#![expect(unsafe_code, reason = "slots are shared without a lock; loom models check the protocol")]

mod shim;
pub mod sleep_flag;

use std::cmp::min;

use shim::{Arc, AtomicU64, Ordering, UnsafeCell};

/// The counter of a dropped consumer, which gates nothing.
const GONE: u64 = u64::MAX;

/// Keeps two counters that different cores write on separate cache lines. The CPU fetches lines in
/// pairs.
#[repr(align(128))]
struct CachePadded<T>(T);

struct RingShared<T> {
    slots: Box<[UnsafeCell<Option<T>>]>,
    /// The number of entries pushed. Only the producer writes it.
    published: CachePadded<AtomicU64>,
    /// For each consumer the number of entries that it has finished. Only that consumer writes it;
    /// it never exceeds `published`.
    read: Box<[CachePadded<AtomicU64>]>,
}

// SAFETY: a slot is written by the one producer while no consumer may read it, and only read
// (through `&T`) while several consumers may. The counters order the two. So sharing needs `T:
// Sync`, and dropping on the producer's thread needs `T: Send`.
unsafe impl<T: Send + Sync> Sync for RingShared<T> {}
// SAFETY: as above; the ring owns the slots.
unsafe impl<T: Send + Sync> Send for RingShared<T> {}

impl<T> RingShared<T> {
    fn slot(&self, place: u64) -> &UnsafeCell<Option<T>> {
        let mask = self.slots.len() - 1;
        // The truncation is harmless: the mask keeps the low bits only.
        &self.slots[place as usize & mask]
    }
}

/// Creates a ring of `capacity` entries, a power of two, for `consumers` readers.
///
/// # Panics
/// When `capacity` is not a power of two. It is a constant of the program, not an input.
pub fn ring<T: Send + Sync>(capacity: usize, consumers: usize) -> (Producer<T>, Vec<Consumer<T>>) {
    assert!(capacity.is_power_of_two(), "the capacity of a ring is a power of two");
    let shared = Arc::new(RingShared {
        slots: (0..capacity).map(|_| UnsafeCell::new(None)).collect(),
        published: CachePadded(AtomicU64::new(0)),
        read: (0..consumers).map(|_| CachePadded(AtomicU64::new(0))).collect(),
    });
    let readers = (0..consumers)
        .map(|index| Consumer { shared: Arc::clone(&shared), index, next: 0, published: 0 })
        .collect();
    (Producer { shared, next: 0, reclaimed: 0 }, readers)
}

/// The writing end. There is only one.
pub struct Producer<T> {
    shared: Arc<RingShared<T>>,
    /// The place of the next entry.
    next: u64,
    /// Every entry before this place has been dropped.
    reclaimed: u64,
}

impl<T: Send + Sync> Producer<T> {
    /// Appends an entry and publishes it to every consumer.
    ///
    /// # Errors
    /// Returns the entry when the slowest consumer has not read the entry one ring length earlier.
    pub fn push(&mut self, entry: T) -> Result<(), T> {
        let capacity = self.shared.slots.len() as u64;
        if self.next - self.reclaimed == capacity && self.reclaim() == 0 {
            return Err(entry);
        }
        self.shared.slot(self.next).with_mut(|slot| {
            // SAFETY: the slot of `next` is unpublished and reclaimed, so no consumer reads it, and
            // there is one producer.
            unsafe { *slot = Some(entry) }
        });
        self.next += 1;
        self.shared.published.0.store(self.next, Ordering::Release);
        Ok(())
    }

    /// Drops the entries that every consumer has finished; returns their number. Only the producer
    /// drops entries, so a consumer never frees memory of another core's allocator.
    pub fn reclaim(&mut self) -> u64 {
        let slowest = self.shared.read.iter().map(|read| read.0.load(Ordering::Acquire)).fold(self.next, min);
        let dropped = slowest - self.reclaimed;
        while self.reclaimed < slowest {
            self.shared.slot(self.reclaimed).with_mut(|slot| {
                // SAFETY: every consumer's counter, loaded with Acquire, is past this slot, so none
                // reads it any more.
                unsafe { *slot = None }
            });
            self.reclaimed += 1;
        }
        dropped
    }

    /// The number of entries held: pushed and not yet reclaimed.
    pub fn held(&self) -> u64 {
        self.next - self.reclaimed
    }
}

/// What a reader does after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainStep {
    /// Takes it, and goes on.
    GoOn,
    /// Takes it, and stops.
    Stop,
    /// Stops before it: the next drain begins with this entry again.
    StopBefore,
}

/// One reading end. When it is dropped, it no longer gates the ring.
pub struct Consumer<T> {
    shared: Arc<RingShared<T>>,
    index: usize,
    /// The place of the next entry to read.
    next: u64,
    /// The last value seen of `published`.
    published: u64,
}

impl<T: Send + Sync> Consumer<T> {
    /// Passes up to `max` entries to `read`, in order, until it stops. Returns the number of
    /// entries taken.
    ///
    /// The slots are returned to the producer once, after the last of them.
    pub fn drain(&mut self, max: usize, mut read: impl FnMut(&T) -> DrainStep) -> usize {
        if self.next == self.published && self.is_empty() {
            return 0;
        }
        self.published = self.shared.published.0.load(Ordering::Acquire);
        let first = self.next;
        let end = min(self.published, first.saturating_add(max as u64));
        while self.next < end {
            let drain = self.shared.slot(self.next).with(|slot| {
                // SAFETY: `next` is below `published`, loaded with Acquire, so the write of the
                // entry happened before. The counter that the producer checks is still at or before
                // this entry, so the producer does not touch it.
                let entry = unsafe { &*slot };
                read(entry.as_ref().expect("a published slot holds an entry until all have read it"))
            });
            if drain == DrainStep::StopBefore {
                break;
            }
            self.next += 1;
            if drain == DrainStep::Stop {
                break;
            }
        }
        self.shared.read[self.index].0.store(self.next, Ordering::Release);
        usize::try_from(self.next - first).expect("at most the capacity of the ring")
    }

    /// Whether nothing is waiting to be read.
    pub fn is_empty(&self) -> bool {
        self.next == self.shared.published.0.load(Ordering::Acquire)
    }

    /// How many entries are waiting to be read.
    pub fn lag(&self) -> u64 {
        self.shared.published.0.load(Ordering::Acquire) - self.next
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.shared.read[self.index].0.store(GONE, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
