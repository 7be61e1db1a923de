//! The time limits of requests and responses.

use crate::limits::{BODY_BYTES_PER_S_MIN, BODY_GRACE_MS};

/// The timeouts of requests, in milliseconds; 0 means none.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// `HEADER_TIMEOUT`.
    pub header_ms: u64,
    /// `READ_TIMEOUT`.
    pub read_ms: u64,
    /// `DISPATCH_TIMEOUT`, for responses.
    pub write_ms: u64,
    /// `WRITE_TIMEOUT`: a whole response, including streams.
    pub response_ms: u64,
}

impl Timeouts {
    /// When a stream that begins now must end: after 80 to 100 % of `WRITE_TIMEOUT`, so that
    /// clients that connected together do not all reconnect together. Only the low 16 bits of
    /// `random` are used.
    pub(crate) fn stream_ends_ms(&self, now_ms: u64, random: u128) -> u64 {
        let share = u64::from(random as u16);
        let jitter_ms = u128::from(self.response_ms) * u128::from(share) / (5 * u128::from(u16::MAX));
        match self.response_ms {
            0 => u64::MAX,
            response_ms => now_ms.saturating_add(response_ms - jitter_ms as u64),
        }
    }
}

/// `period_ms` after `since_ms`; never, if the period is 0.
pub(crate) fn after(since_ms: u64, period_ms: u64) -> u64 {
    match period_ms {
        0 => u64::MAX,
        period_ms => since_ms.saturating_add(period_ms),
    }
}

/// When a body that began at `since_ms` is too slow, if no more than `received` bytes of it arrive.
pub(crate) fn body_due_ms(since_ms: u64, received: usize) -> u64 {
    since_ms + BODY_GRACE_MS + received as u64 * 1_000 / BODY_BYTES_PER_S_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A modem of 9,600 bits a second sends 960 bytes and is ahead by the grace for a body of usual
    /// size; one of 14,400 always is.
    #[test]
    fn a_body_is_too_slow_after_the_grace_if_less_than_the_least_rate_has_arrived() {
        assert_eq!(body_due_ms(500, 0), 500 + BODY_GRACE_MS);
        assert_eq!(body_due_ms(500, 1), 500 + BODY_GRACE_MS, "a byte now and then gains nothing");
        assert_eq!(body_due_ms(500, 10 * 1_024), 500 + BODY_GRACE_MS + 10_000);
        let received_after = |s: u64| (s * 14_400 / 10) as usize;
        assert!((1..3_600).all(|s| body_due_ms(0, received_after(s)) > s * 1_000));
    }

    #[test]
    fn streams_end_after_four_fifths_of_their_time_at_the_earliest() {
        let ends_ms = |response_ms, random| {
            Timeouts { header_ms: 0, read_ms: 0, write_ms: 0, response_ms }.stream_ends_ms(500, random)
        };
        assert_eq!(ends_ms(0, 7), u64::MAX, "0 is no bound");
        assert_eq!((ends_ms(10_000, 0), ends_ms(10_000, u128::MAX)), (10_500, 8_500));
        let year_ms = 365 * 24 * 3_600_000;
        assert!((year_ms / 10 * 8..=year_ms + 500).contains(&ends_ms(year_ms, 40_000)));
        assert_ne!(ends_ms(10_000, 1_000), ends_ms(10_000, 60_000));
    }
}
