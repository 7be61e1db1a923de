//! The memory of a hub by what holds it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What holds memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryKind {
    /// The kernel's memory of connections.
    Sockets,
    /// The state of connections and streams.
    Connections,
    /// TLS sessions.
    Tls,
    /// HTTP/2 connections and their streams.
    Http2,
    /// Heads and bodies that have not arrived completely.
    Requests,
    /// Selectors of subscriptions.
    Subscriptions,
    /// Updates, wherever they are: in queues, the ring, tails, outboxes, a history in memory.
    Updates,
    /// What outboxes need beside the updates in them.
    Outboxes,
    /// Lists of subscriptions that are made.
    Lists,
    /// Lists that are sent.
    Responses,
    /// Resident memory that is none of these: the store, threads, what the allocator keeps.
    Other,
}

impl MemoryKind {
    /// Every kind, in the order of their numbers.
    pub(crate) const ALL: [Self; 11] = [
        Self::Sockets,
        Self::Connections,
        Self::Tls,
        Self::Http2,
        Self::Requests,
        Self::Subscriptions,
        Self::Updates,
        Self::Outboxes,
        Self::Lists,
        Self::Responses,
        Self::Other,
    ];

    /// The value of its label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Sockets => "sockets",
            Self::Connections => "connections",
            Self::Tls => "tls",
            Self::Http2 => "http2",
            Self::Requests => "requests",
            Self::Subscriptions => "subscriptions",
            Self::Updates => "updates",
            Self::Outboxes => "outboxes",
            Self::Lists => "lists",
            Self::Responses => "responses",
            Self::Other => "other",
        }
    }
}

/// The counted bytes of the whole process.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct MemoryTotals {
    /// `MEMORY_MAX`.
    pub(crate) max: u64,
    held: [AtomicUsize; MemoryKind::ALL.len()],
    shed: [AtomicU64; MemoryKind::ALL.len()],
    /// Bytes of all updates, which are counted where they are made.
    update_bytes: fn() -> usize,
}

impl MemoryTotals {
    pub(crate) fn new(max: u64, update_bytes: fn() -> usize) -> Self {
        Self { max, held: Default::default(), shed: Default::default(), update_bytes }
    }

    /// Replaces a part of the bytes of a kind.
    pub(crate) fn change(&self, kind: MemoryKind, before: usize, after: usize) {
        let held = &self.held[kind as usize];
        match after >= before {
            true => held.fetch_add(after - before, Ordering::Relaxed),
            false => held.fetch_sub(before - after, Ordering::Relaxed),
        };
    }

    /// Replaces the bytes of a kind.
    pub(crate) fn set(&self, kind: MemoryKind, bytes: usize) {
        self.held[kind as usize].store(bytes, Ordering::Relaxed);
    }

    /// The bytes of a kind.
    pub(crate) fn held(&self, kind: MemoryKind) -> usize {
        match kind {
            MemoryKind::Updates => (self.update_bytes)(),
            kind => self.held[kind as usize].load(Ordering::Relaxed),
        }
    }

    /// The bytes of all kinds.
    pub(crate) fn total(&self) -> usize {
        MemoryKind::ALL.into_iter().map(|kind| self.held(kind)).sum()
    }

    /// Counts something of this kind that was ended to free its memory.
    pub(crate) fn shed(&self, kind: MemoryKind) {
        self.shed[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many of a kind were ended.
    pub(super) fn shed_so_far(&self, kind: MemoryKind) -> u64 {
        self.shed[kind as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The index in [`MemoryKind::ALL`] is the index of the counter.
    #[test]
    fn every_kind_has_its_counter() {
        for (number, kind) in MemoryKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number, "{kind:?}");
        }
    }
}
