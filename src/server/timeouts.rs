//! The time limits of requests and responses.

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

#[cfg(test)]
mod tests {
    use super::*;

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
