//! A shard of the simulation: its end of the ring, its pending reads, and its sockets, which are
//! lists of bytes.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use petasos::history::{HistoryReader, Position};
use petasos::hub::sequencer::RingEntry;
use petasos::hub::shard::{EndReason, HistoryRead, Shard};
use petasos::mercure::grant::Grant;
use petasos::mercure::selector::Selector;
use petasos::ring::{Consumer, DrainStep};
use petasos::sse::framing::Framing;
use petasos::sse::wire::{Sent, Wire};
use petasos::time::Now;
use petasos_fuzz_properties::stream::Socket;

/// One subscription, as its client sees it.
pub(crate) struct Session {
    pub(crate) selectors: Vec<Selector>,
    pub(crate) grant: Rc<Grant>,
    pub(crate) framing: Framing,
    pub(crate) expires_ms: u64,
    /// Everything after this is expected.
    pub(crate) after: Position,
    pub(crate) from_oldest: bool,
    pub(crate) socket: Socket,
    /// The number of bytes received when the token expired.
    pub(crate) received_at_expiry: Option<usize>,
    pub(crate) closed: Option<EndReason>,
}

/// The sockets of one shard.
#[derive(Default)]
pub(crate) struct Sockets {
    pub(crate) by_slot: BTreeMap<u32, usize>,
    pub(crate) sessions: Vec<Session>,
}

impl Wire for Sockets {
    fn send(&mut self, slot: u32, bytes: &[u8]) -> Sent {
        self.sessions[self.by_slot[&slot]].socket.send(bytes)
    }

    fn collects(&mut self, slot: u32) -> bool {
        // A slot can be asked for after its end, as with real sockets.
        self.by_slot.get(&slot).is_some_and(|session| self.sessions[*session].socket.collects)
    }
}

pub(crate) struct Core {
    pub(crate) shard: Shard,
    pub(crate) ring: Consumer<RingEntry>,
    pub(crate) sockets: Sockets,
    pub(crate) reads: VecDeque<HistoryRead>,
}

impl Core {
    /// Takes up to `max` entries. An update that takes more than `work_max` pauses, and is
    /// continued with the next call.
    pub(crate) fn take(&mut self, max: usize, work_max: u64) -> usize {
        let shard = &mut self.shard;
        let count = self.ring.drain(max, |entry| {
            match entry {
                RingEntry::Published { update, .. } => {
                    if !shard.take_some(update, shard.counters().work.saturating_add(work_max)) {
                        return DrainStep::StopBefore;
                    }
                }
                RingEntry::Discarded { before_oldest } => shard.forget_until(*before_oldest),
                RingEntry::Rejected { .. } | RingEntry::End => {}
            }
            DrainStep::GoOn
        });
        self.shard.moved();
        count
    }

    pub(crate) fn answer_read(&mut self, reader: &dyn HistoryReader) {
        if let Some(read) = self.reads.pop_front() {
            self.shard.history_read(read, reader.read(read.after, 5, 300));
        }
    }

    pub(crate) fn advance(&mut self, now: Now) {
        for session in self.sockets.by_slot.values() {
            let session = &mut self.sockets.sessions[*session];
            if session.expires_ms <= now.ms && session.received_at_expiry.is_none() {
                session.received_at_expiry = Some(session.socket.received.len());
            }
        }
        self.shard.advance(now, &mut self.sockets);
        // Deadlines are rounded up to a tick of the wheel.
        let later = Now { ms: now.ms + petasos::limits::WHEEL_TICK_MS, ..now };
        self.shard.advance(later, &mut self.sockets);
        self.settle();
    }

    pub(crate) fn settle(&mut self) {
        while let Some((slot, reason)) = self.shard.next_closed() {
            let session = self.sockets.by_slot.remove(&slot).expect("a slot is closed once");
            self.sockets.sessions[session].closed = Some(reason);
        }
    }
}
