//! How a shard keeps to `MEMORY_MAX`: it counts what exists in numbers, ends what is newest and
//! costliest while the second mark is exceeded, and gives memory back when it has nothing to do.
//!
//! What is given up, in this order, until it is enough:
//! 1. requests that have not arrived completely, the largest first, and idle connections, the
//!    oldest first;
//! 2. the updates that wait for slow subscribers: these read them from the history later;
//! 3. subscriptions: those with full sockets, then those with the most selectors, then the newest.
//!
//! It never touches a publication whose body has arrived, nor its update.

use std::cmp::Reverse;

use tracing::warn;

use super::connected::NotNeeded;
use super::connections::Connections;
use super::shared::Shared;
use crate::io::allocator;
use crate::limits::{
    CONNECTION_BYTES, MEMORY_SHED_EXAMINED_MAX, MEMORY_SHED_MS, MEMORY_SHED_SUBSCRIPTIONS_MAX,
    MEMORY_UPKEEP_AGAIN_MS, MEMORY_UPKEEP_MS, SOCKET_FULL_BYTES, SOCKET_KERNEL_BYTES, TLS_SESSION_BYTES,
};
use crate::ops::metrics::MemoryKind;
use crate::server::memory::Pressure;

/// A fall of the counted memory after which freed memory is given back at once.
const FALL_BYTES: usize = 4 << 20;
/// A rise of the counted memory after which an idle shard gives freed memory back. Tables that have
/// grown leave the blocks of their former sizes, which the allocator keeps.
const RISE_BYTES: usize = 1 << 20;
/// The minimum time between two warnings, in milliseconds.
const WARN_EVERY_MS: u64 = 1_000;

/// The upkeep of a shard's memory.
#[derive(Default)]
pub(super) struct MemoryUpkeep {
    /// When the counts are settled next.
    settle_ms: u64,
    /// When the shard last worked; `None` after the last upkeep for that.
    worked_ms: Option<u64>,
    /// When the upkeep is due if the shard does not work any more.
    idle_ms: u64,
    /// The highest count since memory was last given back.
    peak_bytes: usize,
    /// The count when memory was last given back, or what it has fallen to since.
    base_bytes: usize,
    /// Memory was given back since the shard worked.
    has_given_back: bool,
    /// The second mark was reached, and there is not enough room yet.
    is_shedding: bool,
    shed_ms: u64,
    warned_ms: Option<u64>,
}

impl MemoryUpkeep {
    /// The upkeep at the end of a round; `busy` if the round had work.
    pub(super) fn round(
        &mut self,
        busy: bool,
        is_tls: bool,
        connections: &mut Connections,
        shared: &mut Shared,
    ) {
        let now_ms = shared.now.ms;
        count(is_tls, connections, shared);
        if busy {
            self.worked_ms = Some(now_ms);
            self.idle_ms = now_ms + MEMORY_UPKEEP_MS;
        }
        let Some(worked_ms) = self.worked_ms else { return };
        let pressure = shared.memory.pressure();
        self.is_shedding |= pressure == Pressure::Sheds || shared.memory.take_needs_room();
        if self.is_shedding && now_ms >= self.shed_ms {
            self.shed_ms = now_ms + MEMORY_SHED_MS;
            match shared.memory.excess() {
                0 => self.is_shedding = false,
                excess => self.shed(excess, connections, shared),
            }
        }
        let is_idle = now_ms >= self.idle_ms;
        let has_freed = shared.memory.take_freed(is_idle);
        let has_grown = shared.memory.take_grown();
        if has_freed || has_grown || is_idle || now_ms >= self.settle_ms {
            self.settle_ms = now_ms + MEMORY_UPKEEP_MS;
            self.give_back(has_freed || pressure > Pressure::Low, is_idle, connections, shared);
            shared.memory.settle(now_ms, has_grown || is_idle);
        }
        if is_idle {
            let again_ms = worked_ms + MEMORY_UPKEEP_AGAIN_MS + 10 * u64::from(shared.number);
            match now_ms < again_ms {
                true => self.idle_ms = again_ms,
                false => {
                    self.worked_ms = None;
                    if std::mem::take(&mut self.has_given_back) {
                        allocator::give_back_rest();
                    }
                }
            }
        }
    }

    /// Gives freed memory back to the host, if it is time or worth it.
    fn give_back(
        &mut self,
        is_time: bool,
        is_idle: bool,
        connections: &mut Connections,
        shared: &mut Shared,
    ) {
        let counted = shared.memory.counted();
        self.peak_bytes = self.peak_bytes.max(counted);
        self.base_bytes = self.base_bytes.min(counted);
        let has_fallen = self.peak_bytes - counted > FALL_BYTES.max(self.peak_bytes / 8);
        let has_risen = is_idle && counted - self.base_bytes > RISE_BYTES.max(counted / 8);
        if is_time || has_fallen || has_risen || shared.memory.has_uncounted() {
            (self.peak_bytes, self.base_bytes) = (counted, counted);
            connections.shrink();
            shared.streams.shrink();
            allocator::give_back();
            self.has_given_back = true;
        }
    }

    /// When the next upkeep is due if there is no more work.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        self.worked_ms?;
        match self.is_shedding {
            true => Some(self.shed_ms.min(self.idle_ms)),
            false => Some(self.idle_ms),
        }
    }

    fn shed(&mut self, excess: usize, connections: &mut Connections, shared: &mut Shared) {
        if self.warned_ms.is_none_or(|at| shared.now.ms >= at + WARN_EVERY_MS) {
            self.warned_ms = Some(shared.now.ms);
            warn!(
                excess,
                "the memory limit is exceeded (MEMORY_MAX): the newest and costliest requests and subscriptions end"
            );
        }
        if shed_connections(excess, connections, shared) >= excess {
            return;
        }
        let dropped = shared.streams.shard.shed_pending(MEMORY_SHED_EXAMINED_MAX);
        (0..dropped).for_each(|_| shared.memory.count_shed(MemoryKind::Outboxes));
        if dropped == 0 {
            // A full socket holds on to the update that it has begun. Other subscriptions end only
            // if all of them hold a good part of the memory: else it would not help.
            let only_full = !shared.memory.is_of_subscriptions();
            shared.streams.shed(excess, MEMORY_SHED_SUBSCRIPTIONS_MAX, only_full);
            connections.close_ended(shared);
        }
    }
}

/// Ends requests that have not arrived completely, the largest first, and idle connections, the
/// oldest first, until `bytes_wanted` are free or will soon be; returns how many are.
fn shed_connections(bytes_wanted: usize, connections: &mut Connections, shared: &mut Shared) -> usize {
    let mut candidates = connections.not_needed(shared.now.ms);
    candidates.sort_unstable_by_key(|it| (!it.is_ending, Reverse(it.bytes), it.serial));
    let mut freed = 0;
    for NotNeeded { is_ending, bytes, number, .. } in candidates {
        if freed >= bytes_wanted {
            break;
        }
        freed += bytes;
        if !is_ending {
            connections.shed(number, shared);
        }
    }
    freed
}

/// Counts what exists in numbers.
fn count(is_tls: bool, connections: &Connections, shared: &Shared) {
    let Shared { memory, streams, .. } = shared;
    let open = connections.len();
    let full = streams.full_sockets();
    memory.set(MemoryKind::Sockets, open * SOCKET_KERNEL_BYTES + full * SOCKET_FULL_BYTES);
    memory.set(MemoryKind::Connections, open * CONNECTION_BYTES);
    memory.set(MemoryKind::Tls, if is_tls { open * TLS_SESSION_BYTES } else { 0 });
    memory.set(MemoryKind::Outboxes, streams.shard.outbox_bytes());
}
