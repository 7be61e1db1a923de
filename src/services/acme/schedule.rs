//! When to make the next attempt. Pure: time and randomness are arguments.

use crate::limits::{ACME_PAUSE_LIMITED_MS, ACME_PAUSE_MS, ACME_PAUSE_MS_MAX, ACME_PAUSE_REFUSED_MS};

/// The kinds of failure that affect the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The authority did not validate any host.
    Unreached,
    /// It validated a host, and refused it.
    Refused,
    /// Its rate limit is reached.
    Limited,
}

/// When to renew a certificate, in milliseconds since the Unix epoch: with a third of its lifetime
/// left, or up to a thirtieth of its lifetime earlier, so that hubs started together do not renew
/// together. `chance` is from 0 to 1.
pub(super) fn renewal_ms(begins_ms: u64, expires_ms: u64, chance: f64) -> u64 {
    let life_ms = expires_ms.saturating_sub(begins_ms);
    let spread_ms = (life_ms as f64 / 30.0 * chance) as u64;
    expires_ms.saturating_sub(life_ms / 3).saturating_sub(spread_ms)
}

/// As [`renewal_ms`], for a certificate that was just issued: at least a tenth of its lifetime from
/// now, even if the clocks differ.
pub(super) fn next_renewal_ms(begins_ms: u64, expires_ms: u64, now_ms: u64, chance: f64) -> u64 {
    let life_ms = expires_ms.saturating_sub(begins_ms);
    renewal_ms(begins_ms, expires_ms, chance).max(now_ms.saturating_add(life_ms / 10))
}

/// The pause after this number of failures in a row, in milliseconds. `chance` is from 0 to 1, and
/// shortens it by up to a tenth.
pub(super) fn pause_ms(failures: u32, last: Failure, chance: f64) -> u64 {
    let first_ms = match last {
        Failure::Unreached => ACME_PAUSE_MS,
        Failure::Refused => ACME_PAUSE_REFUSED_MS,
        Failure::Limited => ACME_PAUSE_LIMITED_MS,
    };
    let doubled = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    let full_ms = first_ms.saturating_mul(doubled).min(ACME_PAUSE_MS_MAX);
    full_ms - (full_ms as f64 / 10.0 * chance) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 3_600_000;

    #[test]
    fn a_certificate_is_renewed_with_a_third_of_its_time_left() {
        let begins_ms = 1_000 * DAY_MS;
        let expires_ms = begins_ms + 90 * DAY_MS;
        assert_eq!(renewal_ms(begins_ms, expires_ms, 0.0), begins_ms + 60 * DAY_MS);
        assert_eq!(renewal_ms(begins_ms, expires_ms, 1.0), begins_ms + 57 * DAY_MS);
        // An invalid lifetime means renewal at once, without overflow.
        assert_eq!(renewal_ms(expires_ms, begins_ms, 1.0), begins_ms);
        assert_eq!(renewal_ms(0, u64::MAX, 0.0), u64::MAX - u64::MAX / 3);
        assert_eq!(renewal_ms(0, 0, 1.0), 0);
        let (soon_ms, late_ms) = (begins_ms + DAY_MS, expires_ms - DAY_MS);
        assert_eq!(next_renewal_ms(begins_ms, expires_ms, soon_ms, 0.0), begins_ms + 60 * DAY_MS);
        assert_eq!(next_renewal_ms(begins_ms, expires_ms, late_ms, 0.0), late_ms + 9 * DAY_MS);
    }

    #[test]
    fn pauses_double_up_to_six_hours() {
        let pauses = |last| (1..=10).map(|count| pause_ms(count, last, 0.0) / 60_000).collect::<Vec<_>>();
        assert_eq!(pauses(Failure::Unreached), [1, 2, 4, 8, 16, 32, 64, 128, 256, 360]);
        assert_eq!(pauses(Failure::Refused), [15, 30, 60, 120, 240, 360, 360, 360, 360, 360]);
        assert_eq!(pauses(Failure::Limited), [60, 120, 240, 360, 360, 360, 360, 360, 360, 360]);
        for failures in [0, 1, 64, 65, u32::MAX] {
            let pause_ms = pause_ms(failures, Failure::Unreached, 1.0);
            assert!((ACME_PAUSE_MS * 9 / 10..=ACME_PAUSE_MS_MAX).contains(&pause_ms), "{failures}");
        }
    }

    /// Let's Encrypt allows five failures per name and hour; one is forgotten each 12 minutes.
    #[test]
    fn refusals_stay_below_what_an_authority_allows() {
        const FORGOTTEN_EACH_MS: u64 = 12 * 60_000;
        let mut left = 5.0_f64;
        for failures in 1..100 {
            // An attempt may be refused twice, once for each kind of challenge.
            left -= 2.0;
            assert!(left >= 0.0, "after {failures} tries");
            let pause_ms = pause_ms(failures, Failure::Refused, 1.0);
            left = (left + pause_ms as f64 / FORGOTTEN_EACH_MS as f64).min(5.0);
        }
    }
}
