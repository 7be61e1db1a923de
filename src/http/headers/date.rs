//! The `Date` header. The core has no clock: the caller passes the seconds, and renders once a
//! second.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// Length of an IMF-fixdate, in bytes.
const DATE_BYTES: usize = 29;
/// 9999-12-31T23:59:59Z: the year has four digits.
const UNIX_S_MAX: u64 = 253_402_300_799;

/// A date in the format of HTTP: IMF-fixdate (RFC 9110, section 5.6.7), 29 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate([u8; DATE_BYTES]);

impl HttpDate {
    /// The date `unix_s` seconds after 1970-01-01T00:00:00Z; times after the year 9999 give its
    /// last second.
    pub fn from_unix_s(unix_s: u64) -> Self {
        let date = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(unix_s.min(UNIX_S_MAX)));
        let mut text = [0; DATE_BYTES];
        write!(text.as_mut_slice(), "{date}").expect("every IMF-fixdate has 29 bytes");
        Self(text)
    }

    /// The text, ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_imf_fixdates() {
        for (unix_s, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_200, "Fri, 01 Mar 2024 00:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (UNIX_S_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(HttpDate::from_unix_s(unix_s).as_bytes(), text.as_bytes());
        }
    }
}
