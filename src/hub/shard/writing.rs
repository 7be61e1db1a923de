//! Writing to one subscriber: pending bytes are sent in order, as far as the socket takes them.

use super::{Reading, Subscriber, SubscriberState};
use crate::history::Position;
use crate::hub::outbox::{Outboxes, Rest};
use crate::sse::crc::CrcPart;
use crate::sse::wire::{Sent, Wire};
use crate::time::Now;

/// Bytes to send before everything else that is pending.
pub(super) struct Ahead {
    bytes: Box<[u8]>,
    sent: usize,
}

impl Ahead {
    pub(super) fn new(bytes: impl Into<Box<[u8]>>) -> Box<Self> {
        Box::new(Self { bytes: bytes.into(), sent: 0 })
    }
}

/// The result of a write, with the bytes that were taken.
pub(super) enum Written {
    /// Nothing more is pending.
    All(usize),
    /// The socket is full.
    Some(usize),
    /// The peer is gone.
    Gone,
}

impl Subscriber {
    /// Writes the pending bytes, as far as the socket takes them.
    pub(super) fn write(
        &mut self,
        slot: u32,
        outboxes: &mut Outboxes,
        now: Now,
        wire: &mut impl Wire,
    ) -> Written {
        let mut bytes_taken = 0;
        loop {
            let is_owed = self.ahead.is_some() || !self.pending.is_none();
            if is_owed && !wire.has_room(slot) {
                self.blocked = true;
                return Written::Some(bytes_taken);
            }
            let bytes = match &self.ahead {
                Some(ahead) => &ahead.bytes[ahead.sent..],
                None => outboxes.unsent(&self.pending, self.sent),
            };
            if bytes.is_empty() {
                return Written::All(bytes_taken);
            }
            let offered = bytes.len();
            let (taken, is_full) = match wire.send(slot, bytes) {
                Sent::Bytes(taken) => (taken, taken < offered),
                Sent::Held(taken) => (taken, true),
                Sent::Full => (0, true),
                Sent::Gone => return Written::Gone,
            };
            if taken > 0 {
                self.wrote_ms = now.ms;
                bytes_taken += taken;
            }
            self.advance(taken, taken == offered, outboxes);
            if is_full {
                self.blocked = true;
                return Written::Some(bytes_taken);
            }
        }
    }

    fn advance(&mut self, taken: usize, all: bool, outboxes: &mut Outboxes) {
        if let Some(ahead) = &mut self.ahead {
            ahead.sent += taken;
            if all {
                self.ahead = None;
            }
        } else if all {
            self.carry(outboxes.crc_part(&self.pending));
            outboxes.release(&mut self.pending);
            self.sent = 0;
        } else {
            self.sent += taken;
            if self.sent > outboxes.bytes(&self.pending) / 2 {
                let rest = outboxes.rebase(&mut self.pending, self.sent);
                self.begin_at(rest);
            }
        }
    }

    /// Drops the updates not begun, to be read from the history later.
    pub(super) fn fall_behind(&mut self, outboxes: &mut Outboxes) {
        let Some(first) = outboxes.first(&self.pending) else { return };
        let begun = self.cut(outboxes);
        let cursor = begun.unwrap_or(first.previous());
        self.state = SubscriberState::CatchingUp { cursor, from_oldest: false, reading: Reading::No };
    }

    /// Drops the updates not begun; returns the position of the last one that was begun or sent.
    pub(super) fn cut(&mut self, outboxes: &mut Outboxes) -> Option<Position> {
        let (rest, begun) = outboxes.cut(&mut self.pending, self.sent);
        self.begin_at(rest);
        begun
    }

    /// Continues with a path that begins anew.
    fn begin_at(&mut self, rest: Rest) {
        self.sent = rest.sent;
        self.carry(rest.gone);
    }

    /// Adds to the checksum of the stream.
    pub(super) fn carry(&mut self, crc_part: CrcPart) {
        if self.framing.is_summed() {
            self.carried.add(crc_part);
        }
    }
}
