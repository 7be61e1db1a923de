//! Detects a flood of HTTP/2 frames.
//!
//! Most frames cost their sender nothing and the receiver some work: pings, settings, resets,
//! priorities, window updates, empty data, continuations. A connection has a credit for them, which
//! time refills. Window updates have a separate credit; every frame that is sent adds to it, since
//! a client responds with window updates. Requests and data are not counted: the number of streams
//! and the windows bound them.
//!
//! The guard reads only the nine-byte header of each frame (RFC 9113, section 4.1) as it passes,
//! however the bytes were split.

use crate::http::h2::request::PREFACE;
use crate::limits::{
    HTTP2_CREDIT_MAX, HTTP2_CREDIT_PER_FRAME_SENT, HTTP2_CREDIT_PER_S, HTTP2_CREDIT_REFILLED_MAX,
};

const HEADER_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// The frames of one connection, counted as they arrive.
#[derive(Debug)]
pub struct FloodGuard {
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// Bytes to skip: first the preface, then the payload of the current frame.
    skip_bytes: usize,
    credit: u64,
    /// The credit for window updates.
    updates: u64,
    refilled_ms: u64,
    /// The part of the refill that is not yet a whole credit, in thousandths.
    rest: u64,
    /// CONTINUATION frames of the current request head.
    continuations: u32,
    /// See [`Self::head_bytes`].
    head_bytes: usize,
}

/// The error for more frames than a normal client would send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood;

impl FloodGuard {
    /// A connection that has not even received its preface.
    pub fn new(now_ms: u64) -> Self {
        Self {
            header: [0; HEADER_BYTES],
            header_bytes: 0,
            skip_bytes: PREFACE.len(),
            credit: HTTP2_CREDIT_REFILLED_MAX,
            updates: HTTP2_CREDIT_REFILLED_MAX,
            refilled_ms: now_ms,
            rest: 0,
            continuations: 0,
            head_bytes: 0,
        }
    }

    /// Bytes of a request head of which the last frame has not begun.
    pub fn head_bytes(&self) -> usize {
        self.head_bytes
    }

    /// Adds credit for `frames` sent frames.
    pub fn sent(&mut self, frames: u64) {
        let more = frames.saturating_mul(HTTP2_CREDIT_PER_FRAME_SENT);
        self.updates = self.updates.saturating_add(more).min(HTTP2_CREDIT_MAX);
    }

    /// Counts the frames in the received bytes.
    ///
    /// # Errors
    /// [`Flood`] if the credit is used up.
    pub fn received(&mut self, bytes: &[u8], now_ms: u64) -> Result<(), Flood> {
        self.refill(now_ms);
        let mut left = bytes;
        while !left.is_empty() {
            let skipped = self.skip_bytes.min(left.len());
            self.skip_bytes -= skipped;
            left = &left[skipped..];
            let taken = (HEADER_BYTES - self.header_bytes).min(left.len());
            self.header[self.header_bytes..self.header_bytes + taken].copy_from_slice(&left[..taken]);
            self.header_bytes += taken;
            left = &left[taken..];
            if self.header_bytes == HEADER_BYTES {
                self.header_bytes = 0;
                self.frame()?;
            }
        }
        Ok(())
    }

    /// Charges the frame whose header is complete.
    fn frame(&mut self) -> Result<(), Flood> {
        let [high, middle, low, kind, flags, ..] = self.header;
        let length = u32::from_be_bytes([0, high, middle, low]);
        self.skip_bytes = length as usize;
        let is_free = match kind {
            DATA => length > 0 || flags & END_STREAM != 0,
            HEADERS => flags & END_HEADERS != 0,
            _ => false,
        };
        self.head_bytes = match kind {
            HEADERS | CONTINUATION if flags & END_HEADERS != 0 => 0,
            HEADERS => length as usize,
            CONTINUATION => self.head_bytes.saturating_add(length as usize),
            // No other frame may come between them.
            _ => self.head_bytes,
        };
        // Each piece of a head costs more than the piece before, so the number of pieces is
        // limited.
        let price = if kind == CONTINUATION {
            self.continuations += 1;
            u64::from(self.continuations)
        } else {
            self.continuations = 0;
            u64::from(!is_free)
        };
        let credit = if kind == WINDOW_UPDATE { &mut self.updates } else { &mut self.credit };
        *credit = credit.checked_sub(price).ok_or(Flood)?;
        Ok(())
    }

    fn refill(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.refilled_ms);
        self.refilled_ms = now_ms;
        let thousandths = self.rest + elapsed_ms.saturating_mul(HTTP2_CREDIT_PER_S);
        self.rest = thousandths % 1_000;
        for credit in [&mut self.credit, &mut self.updates] {
            let refilled = (*credit + thousandths / 1_000).min(HTTP2_CREDIT_REFILLED_MAX);
            *credit = refilled.max(*credit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = (payload as u32).to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(HEADER_BYTES + payload, 0xff);
        bytes
    }

    fn begun() -> FloodGuard {
        let mut guard = FloodGuard::new(0);
        assert_eq!(guard.received(PREFACE, 0), Ok(()));
        guard
    }

    /// How many such frames a new connection may send at once.
    fn allowed(bytes: &[u8]) -> u64 {
        let mut guard = begun();
        (0..1_000_000).take_while(|_| guard.received(bytes, 0).is_ok()).count() as u64
    }

    #[test]
    fn a_flood_is_told_however_the_bytes_are_cut() {
        let mut guard = begun();
        let flood = frame(PING, 0, 8).repeat(HTTP2_CREDIT_REFILLED_MAX as usize + 1);
        for piece in flood[..flood.len() - 17].chunks(7) {
            assert_eq!(guard.received(piece, 0), Ok(()));
        }
        assert_eq!(guard.received(&flood[flood.len() - 17..], 0), Err(Flood));
        assert_eq!(allowed(&frame(PING, 0, 8)), HTTP2_CREDIT_REFILLED_MAX);
    }

    #[test]
    fn requests_and_data_are_free_and_what_is_empty_is_not() {
        assert_eq!(allowed(&frame(HEADERS, END_HEADERS, 30)), 1_000_000);
        assert_eq!(allowed(&frame(DATA, 0, 1)), 1_000_000);
        assert_eq!(allowed(&frame(DATA, END_STREAM, 0)), 1_000_000);
        assert_eq!(allowed(&frame(DATA, 0, 0)), HTTP2_CREDIT_REFILLED_MAX);
        assert!(allowed(&frame(CONTINUATION, 0, 1)) < 100);
    }

    #[test]
    fn the_bytes_of_a_head_are_counted_until_its_last_frame() {
        let mut guard = begun();
        let mut head_bytes = |kind, flags, payload| {
            assert_eq!(guard.received(&frame(kind, flags, payload), 0), Ok(()));
            guard.head_bytes()
        };
        assert_eq!(head_bytes(HEADERS, END_HEADERS, 30), 0);
        assert_eq!(head_bytes(HEADERS, 0, 30), 30);
        assert_eq!(head_bytes(CONTINUATION, 0, 100), 130);
        assert_eq!(head_bytes(CONTINUATION, END_HEADERS, 7), 0);
    }

    #[test]
    fn time_and_frames_sent_add_to_the_credit() {
        let mut guard = begun();
        let update = frame(WINDOW_UPDATE, 0, 4);
        let spend = |guard: &mut FloodGuard, now_ms| {
            let count = (0..1_000_000).take_while(|_| guard.received(&update, now_ms).is_ok()).count() as u64;
            // Skip the rest of the frame that exceeded the credit.
            guard.skip_bytes = 0;
            count
        };
        assert_eq!(spend(&mut guard, 0), HTTP2_CREDIT_REFILLED_MAX);
        assert_eq!(spend(&mut guard, 1_000), HTTP2_CREDIT_PER_S);
        assert_eq!(spend(&mut guard, 3_600_000), HTTP2_CREDIT_REFILLED_MAX);
        guard.sent(1_000);
        assert_eq!(spend(&mut guard, 3_600_000), 1_000 * HTTP2_CREDIT_PER_FRAME_SENT);
        let (mut pinged, ping) = (begun(), frame(PING, 0, 8));
        pinged.sent(1_000);
        let pings = (0..1_000_000).take_while(|_| pinged.received(&ping, 0).is_ok()).count() as u64;
        assert_eq!(pings, HTTP2_CREDIT_REFILLED_MAX, "what is sent is answered by window updates alone");
        guard.sent(u64::MAX);
        assert_eq!(spend(&mut guard, 3_600_000), HTTP2_CREDIT_MAX);
        for ms in 1..=1_000 {
            guard.refill(3_600_000 + ms);
        }
        assert_eq!(spend(&mut guard, 3_601_000), HTTP2_CREDIT_PER_S, "small steps lose nothing");
    }
}
