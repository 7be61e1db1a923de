//! The one account of the process's memory: who holds how much, and whether more may be taken.
//!
//! Each shard counts in cells of its own and moves the difference to the totals of the process in
//! chunks, so that counting costs a few additions. Where exact bytes would cost, a constant of
//! `limits` stands for them. The resident memory of the process is the check on these estimates:
//! what exceeds them is [`MemoryKind::Other`]. Invariants:
//! - dropping a [`MemoryPermit`] gives back what it counts;
//! - from the first mark on, nothing begins that can wait; from the second mark on, nothing begins,
//!   and `shard::memory` chooses what ends.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::{
    MEMORY_CHUNK_BYTES, MEMORY_FREED_IDLE_BYTES, MEMORY_FREED_PARTS, MEMORY_GROWN_PARTS, MEMORY_PARTS,
    MEMORY_REFUSE_PARTS, MEMORY_REQUESTS_PARTS, MEMORY_SHED_PARTS, MEMORY_UPKEEP_MS,
};
use crate::ops::host::anonymous_bytes;
use crate::ops::metrics::{MemoryKind, MemoryTotals};
use crate::sse::held::held_bytes;

/// The reason of a refusal, for the client and the log.
pub(crate) const MEMORY_REACHED: &str = "the hub's memory limit (MEMORY_MAX) is reached";

/// How much memory is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    /// Enough.
    Low,
    /// The first mark is reached: new subscriptions and lists are refused.
    Refuses,
    /// The second mark is reached: all new work is refused, and some of the old is ended.
    Sheds,
}

/// The account of the process; each shard has a [`ShardMemory`] of it.
#[derive(Debug)]
pub(crate) struct MemoryAccount {
    totals: Arc<MemoryTotals>,
    refuse_bytes: usize,
    shed_bytes: usize,
    /// For all requests that have not arrived completely.
    requests_bytes: usize,
    /// When the resident memory is read next, on the clock of the shards.
    measure_ms: AtomicU64,
    /// Reads the resident memory.
    resident: fn() -> io::Result<u64>,
}

impl MemoryAccount {
    /// An account of `MEMORY_MAX` bytes.
    pub(crate) fn new(max: u64) -> Arc<Self> {
        Self::measured_by(max, anonymous_bytes)
    }

    /// The account of a process whose resident memory this function reads.
    pub(crate) fn measured_by(max: u64, resident: fn() -> io::Result<u64>) -> Arc<Self> {
        let part = |parts: u64| usize::try_from(max / MEMORY_PARTS * parts).unwrap_or(usize::MAX);
        Arc::new(Self {
            totals: Arc::new(MemoryTotals::new(max, held_bytes)),
            refuse_bytes: part(MEMORY_REFUSE_PARTS),
            shed_bytes: part(MEMORY_SHED_PARTS),
            requests_bytes: part(MEMORY_REQUESTS_PARTS),
            measure_ms: AtomicU64::new(0),
            resident,
        })
    }

    /// The counts, for the metrics.
    pub(crate) fn totals(&self) -> Arc<MemoryTotals> {
        Arc::clone(&self.totals)
    }

    /// At most this much of `bytes_max` for something that exists once: an eighth of the memory.
    pub(crate) fn part_of(&self, bytes_max: usize) -> usize {
        bytes_max.min(usize::try_from(self.totals.max / MEMORY_PARTS).unwrap_or(usize::MAX))
    }

    fn pressure_of(&self, bytes: usize) -> Pressure {
        match bytes {
            bytes if bytes >= self.shed_bytes => Pressure::Sheds,
            bytes if bytes >= self.refuse_bytes => Pressure::Refuses,
            _ => Pressure::Low,
        }
    }

    /// Reads the resident memory, unless another shard has just done so.
    fn measure(&self, now_ms: u64, is_now: bool) {
        let due_ms = self.measure_ms.load(Ordering::Relaxed);
        let next_ms = now_ms + MEMORY_UPKEEP_MS;
        let (order, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        let is_due = is_now || now_ms >= due_ms;
        if !is_due || self.measure_ms.compare_exchange(due_ms, next_ms, order, failure).is_err() {
            return;
        }
        if let Ok(resident) = (self.resident)() {
            self.measured(usize::try_from(resident).unwrap_or(usize::MAX));
        }
    }

    /// Takes the resident memory of the process. What the allocator keeps of freed memory is used
    /// again, so it must not close the hub for good: at most half of `MEMORY_MAX` counts, which
    /// still covers estimates that are a third of the truth.
    fn measured(&self, resident: usize) {
        let counted = MemoryKind::ALL.into_iter().filter(|kind| {
            // The kernel's memory is not that of the process.
            !matches!(kind, MemoryKind::Other | MemoryKind::Sockets)
        });
        let counted: usize = counted.map(|kind| self.totals.held(kind)).sum();
        let other_max = usize::try_from(self.totals.max / 2).unwrap_or(usize::MAX);
        self.totals.set(MemoryKind::Other, resident.saturating_sub(counted).min(other_max));
    }
}

/// A shard's part of the account.
#[derive(Clone)]
pub(crate) struct ShardMemory(Rc<ShardHeld>);

struct ShardHeld {
    account: Arc<MemoryAccount>,
    held: [Cell<usize>; MemoryKind::ALL.len()],
    /// The part of it that is in the totals of the process.
    moved: [Cell<usize>; MemoryKind::ALL.len()],
    /// Bytes freed since [`ShardMemory::take_freed`].
    freed: Cell<usize>,
    /// Bytes counted anew since [`ShardMemory::take_grown`].
    grown: Cell<usize>,
    /// See [`ShardMemory::take_needs_room`].
    needs_room: Cell<bool>,
}

/// Counts bytes until it is dropped.
pub(crate) struct MemoryPermit {
    memory: ShardMemory,
    bytes: u32,
    kind: MemoryKind,
}

impl ShardMemory {
    /// A part that holds nothing.
    pub(crate) fn new(account: Arc<MemoryAccount>) -> Self {
        let (held, moved, freed, grown, needs_room) = Default::default();
        Self(Rc::new(ShardHeld { account, held, moved, freed, grown, needs_room }))
    }

    /// Counts bytes that are held already.
    pub(crate) fn hold(&self, kind: MemoryKind, bytes: usize) -> MemoryPermit {
        let mut permit = MemoryPermit { memory: self.clone(), bytes: 0, kind };
        permit.resize(bytes);
        permit
    }

    /// Counts bytes of something new; `None` from the first mark on.
    pub(crate) fn begin(&self, kind: MemoryKind, bytes: usize) -> Option<MemoryPermit> {
        let is_low = self.total().saturating_add(bytes) < self.0.account.refuse_bytes;
        is_low.then(|| self.hold(kind, bytes))
    }

    /// Counts bytes, unless this shard would hold more than `bytes_max` of this kind.
    pub(crate) fn reserve(&self, kind: MemoryKind, bytes: usize, bytes_max: usize) -> Option<MemoryPermit> {
        let held = self.0.held[kind as usize].get().saturating_add(bytes);
        (held <= bytes_max).then(|| self.hold(kind, bytes))
    }

    /// Sets the bytes of a kind that this shard counts as a whole.
    pub(crate) fn set(&self, kind: MemoryKind, bytes: usize) {
        self.change(kind, self.0.held[kind as usize].get(), bytes);
    }

    /// Whether a request that has not arrived completely may hold this much: as much as is left
    /// for all of them. So the largest are refused first, and a small one finds room however many
    /// large ones there are.
    pub(crate) fn fits_request(&self, bytes: usize) -> bool {
        let account = &self.0.account;
        let requests = account.totals.held(MemoryKind::Requests) + self.not_moved(MemoryKind::Requests);
        let fits_requests = bytes <= account.requests_bytes.saturating_sub(requests);
        let fits_all = bytes <= account.shed_bytes.saturating_sub(self.total());
        if fits_requests && !fits_all {
            // Else a large publication would never fit just below the second mark.
            self.0.needs_room.set(true);
        }
        fits_requests && fits_all
    }

    /// Whether a request found no room, though requests have room of their own; the next call
    /// begins anew.
    pub(crate) fn take_needs_room(&self) -> bool {
        self.0.needs_room.take()
    }

    /// How much memory is left.
    pub(crate) fn pressure(&self) -> Pressure {
        self.0.account.pressure_of(self.total())
    }

    /// Bytes to be freed by this shard once the second mark was reached: its part of what leads
    /// down to the first mark, so that there is room for publications.
    pub(crate) fn excess(&self) -> usize {
        let MemoryAccount { refuse_bytes, totals, .. } = &*self.0.account;
        let excess = self.total().saturating_sub(*refuse_bytes);
        let others = totals.held(MemoryKind::Other);
        let of_all = totals.total().saturating_sub(others).max(1);
        let part = excess as u128 * self.counted().min(of_all) as u128 / of_all as u128;
        excess.min(part as usize + 1)
    }

    /// Counts something that was ended to free its memory.
    pub(crate) fn count_shed(&self, kind: MemoryKind) {
        self.0.account.totals.shed(kind);
    }

    /// Moves everything to the totals, and compares these with the resident memory, with `now` even
    /// if another shard has just done so.
    pub(crate) fn settle(&self, now_ms: u64, is_now: bool) {
        MemoryKind::ALL.into_iter().for_each(|kind| self.move_to_totals(kind));
        self.0.account.measure(now_ms, is_now);
    }

    /// Whether so much was freed that the allocator may keep more of it than there is to spare; if
    /// the shard is idle, whether it is worth a look. The next call begins anew if this one is
    /// true.
    pub(crate) fn take_freed(&self, is_idle: bool) -> bool {
        let much = self.0.account.totals.max / MEMORY_FREED_PARTS;
        let least = if is_idle { much.min(MEMORY_FREED_IDLE_BYTES) } else { much };
        let is_much = self.0.freed.get() as u64 >= least;
        if is_much {
            self.0.freed.set(0);
        }
        is_much
    }

    /// Whether so much was counted anew that the resident memory, which can grow faster, has to be
    /// looked at. The next call begins anew if this one is true.
    pub(crate) fn take_grown(&self) -> bool {
        let is_much = self.0.grown.get() as u64 >= self.0.account.totals.max / MEMORY_GROWN_PARTS;
        if is_much {
            self.0.grown.set(0);
        }
        is_much
    }

    /// Whether much more memory is resident than is counted.
    pub(crate) fn has_uncounted(&self) -> bool {
        let totals = &self.0.account.totals;
        totals.held(MemoryKind::Other) as u64 >= totals.max / 4
    }

    /// Bytes that this shard counts.
    pub(crate) fn counted(&self) -> usize {
        self.0.held.iter().map(Cell::get).sum()
    }

    /// The same, without the tables of outboxes, which stay for a while.
    #[cfg(feature = "internals")]
    pub(crate) fn counted_for_clients(&self) -> usize {
        self.counted() - self.0.held[MemoryKind::Outboxes as usize].get()
    }

    /// Whether subscriptions and sockets hold an eighth of the memory or more, so that it helps to
    /// end some of them.
    pub(crate) fn is_of_subscriptions(&self) -> bool {
        let totals = &self.0.account.totals;
        let kinds = [MemoryKind::Sockets, MemoryKind::Subscriptions, MemoryKind::Outboxes];
        let held: usize = kinds.into_iter().map(|kind| totals.held(kind)).sum();
        held as u64 >= totals.max / MEMORY_PARTS
    }

    /// Ends a count that was left to the caller ([`MemoryPermit::leave`]).
    pub(crate) fn release(&self, kind: MemoryKind, bytes: u32) {
        self.change(kind, bytes as usize, 0);
    }

    fn total(&self) -> usize {
        self.0.account.totals.total()
    }

    fn not_moved(&self, kind: MemoryKind) -> usize {
        self.0.held[kind as usize].get().saturating_sub(self.0.moved[kind as usize].get())
    }

    fn change(&self, kind: MemoryKind, before: usize, after: usize) {
        let held = &self.0.held[kind as usize];
        held.set(held.get() - before + after);
        self.0.freed.set(self.0.freed.get() + before.saturating_sub(after));
        self.0.grown.set(self.0.grown.get() + after.saturating_sub(before));
        if held.get().abs_diff(self.0.moved[kind as usize].get()) >= MEMORY_CHUNK_BYTES {
            self.move_to_totals(kind);
        }
    }

    fn move_to_totals(&self, kind: MemoryKind) {
        let (held, moved) = (self.0.held[kind as usize].get(), &self.0.moved[kind as usize]);
        if held != moved.get() {
            self.0.account.totals.change(kind, moved.get(), held);
            moved.set(held);
        }
    }
}

impl MemoryPermit {
    /// Leaves the count to the caller, who ends it with [`ShardMemory::release`]: its bytes take
    /// less room than a permit.
    pub(crate) fn leave(mut self) -> u32 {
        // Nothing is left to end when this is dropped.
        std::mem::take(&mut self.bytes)
    }

    /// Counts this many bytes from now on.
    pub(crate) fn resize(&mut self, bytes: usize) {
        let after = u32::try_from(bytes).unwrap_or(u32::MAX);
        let before = std::mem::replace(&mut self.bytes, after);
        if before != after {
            self.memory.change(self.kind, before as usize, after as usize);
        }
    }

    /// The counted bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes as usize
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.resize(0);
    }
}

impl Drop for ShardHeld {
    fn drop(&mut self) {
        for kind in MemoryKind::ALL {
            self.account.totals.change(kind, self.moved[kind as usize].get(), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn memory(max: usize) -> (Arc<MemoryAccount>, ShardMemory) {
        let account = MemoryAccount::new(max as u64);
        (Arc::clone(&account), ShardMemory::new(account))
    }

    #[test]
    fn bytes_are_held_until_the_permit_is_dropped() {
        let (account, memory) = memory(800 * MIB);
        let mut permit = memory.hold(MemoryKind::Http2, MIB);
        assert_eq!(account.totals.held(MemoryKind::Http2), MIB);
        permit.resize(3 * MIB);
        assert_eq!((account.totals.held(MemoryKind::Http2), permit.bytes()), (3 * MIB, 3 * MIB));
        drop(permit);
        assert_eq!(account.totals.held(MemoryKind::Http2), 0);
    }

    #[test]
    fn small_changes_reach_the_totals_in_chunks_or_when_they_are_settled() {
        let (account, memory) = memory(800 * MIB);
        let permit = memory.hold(MemoryKind::Subscriptions, 1_000);
        assert_eq!(account.totals.held(MemoryKind::Subscriptions), 0);
        memory.settle(0, true);
        assert_eq!(account.totals.held(MemoryKind::Subscriptions), 1_000);
        drop(permit);
        let more = memory.hold(MemoryKind::Subscriptions, MEMORY_CHUNK_BYTES + 1_000);
        assert_eq!(account.totals.held(MemoryKind::Subscriptions), MEMORY_CHUNK_BYTES + 1_000);
        drop((more, memory));
        assert_eq!(account.totals.held(MemoryKind::Subscriptions), 0, "a shard leaves nothing behind");
    }

    #[test]
    fn at_the_first_mark_nothing_begins_and_at_the_second_some_must_end() {
        // Other tests of this process may hold updates: far less than these sizes.
        let (_, memory) = memory(8_000 * MIB);
        assert_eq!(memory.pressure(), Pressure::Low);
        let rest = memory.hold(MemoryKind::Tls, 3_900 * MIB);
        let more = memory.hold(MemoryKind::Connections, 1_900 * MIB);
        assert_eq!(memory.pressure(), Pressure::Low);
        assert!(memory.begin(MemoryKind::Subscriptions, MIB).is_some());
        assert!(memory.begin(MemoryKind::Subscriptions, 300 * MIB).is_none(), "it would reach the mark");
        let first = memory.hold(MemoryKind::Requests, 300 * MIB);
        assert_eq!(memory.pressure(), Pressure::Refuses);
        assert!(memory.begin(MemoryKind::Subscriptions, 1).is_none());
        let second = memory.hold(MemoryKind::Http2, 1_000 * MIB);
        assert_eq!(memory.pressure(), Pressure::Sheds);
        // 7,100 MiB are 1,100 more than the first mark.
        assert!((1_100 * MIB..1_200 * MIB).contains(&memory.excess()), "{}", memory.excess());
        drop((first, second));
        assert_eq!((memory.pressure(), memory.excess()), (Pressure::Low, 0));
        drop((rest, more));
    }

    #[test]
    fn each_shard_frees_its_part_of_what_is_too_much() {
        let (account, one) = memory(8_000 * MIB);
        let other = ShardMemory::new(account);
        let held = [(&one, 2_700), (&one, 2_700), (&other, 1_800)]
            .map(|(memory, mib)| memory.hold(MemoryKind::Tls, mib * MIB));
        let parts = [&one, &other].map(|memory| memory.excess() / MIB);
        assert!((900..960).contains(&parts[0]) && (300..330).contains(&parts[1]), "{parts:?}");
        drop(held);
    }

    /// However many large requests there are, what they leave is as much as each of them has.
    #[test]
    fn of_requests_under_way_the_largest_are_refused_first() {
        let (account, memory) = memory(800 * MIB);
        let mut large: Vec<_> = (0..100).map(|_| memory.hold(MemoryKind::Requests, 0)).collect();
        for _ in 0..10_000 {
            for permit in &mut large {
                let more = permit.bytes() + MIB / 8;
                permit.resize(more);
                if !memory.fits_request(more) {
                    permit.resize(more - MIB / 8);
                }
            }
        }
        let held = account.totals.held(MemoryKind::Requests);
        assert!(held < account.requests_bytes, "{held}");
        assert!(memory.fits_request(MIB), "a small one finds room");
        assert!(!memory.fits_request(3 * MIB), "one that is larger than the others does not");
        assert!(!memory.take_needs_room(), "requests alone are not a reason to end anything");
        drop(large);
        assert!(memory.fits_request(100 * MIB));
        let _rest = memory.hold(MemoryKind::Http2, 699 * MIB);
        assert!(!memory.fits_request(100 * MIB));
        assert!(memory.take_needs_room() && !memory.take_needs_room());
    }

    #[test]
    fn resident_memory_that_is_not_counted_counts_as_other_up_to_half() {
        let (account, memory) = memory(900 * MIB);
        let _held = memory.hold(MemoryKind::Tls, 100 * MIB);
        account.measured(150 * MIB);
        let other = account.totals.held(MemoryKind::Other);
        assert!((40 * MIB..=50 * MIB).contains(&other), "{other}");
        account.measured(90 * MIB);
        assert_eq!(account.totals.held(MemoryKind::Other), 0);
        account.measured(2_000 * MIB);
        assert_eq!(account.totals.held(MemoryKind::Other), 450 * MIB);
    }

    #[test]
    fn a_bound_of_one_kind_holds_in_one_shard() {
        let (_, memory) = memory(800 * MIB);
        let first = memory.reserve(MemoryKind::Responses, 60, 100).expect("room");
        assert!(memory.reserve(MemoryKind::Responses, 41, 100).is_none());
        drop(first);
        assert!(memory.reserve(MemoryKind::Responses, 100, 100).is_some());
    }
}
