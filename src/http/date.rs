//! The `Date` header. The core has no clock: the seconds are the caller's, who renders once a second.

/// A date as HTTP writes it: IMF-fixdate (RFC 9110, section 5.6.7), 29 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate([u8; 29]);

const WEEKDAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
/// 9999-12-31T23:59:59Z: the year has four digits.
const UNIX_S_MAX: u64 = 253_402_300_799;
const DAYS_OF_400_YEARS: u64 = 146_097;

impl HttpDate {
    /// The date `unix_s` seconds after 1970-01-01T00:00:00Z; anything after the year 9999 is its last second.
    pub fn from_unix_s(unix_s: u64) -> Self {
        let unix_s = unix_s.min(UNIX_S_MAX);
        let (days, second_of_day) = (unix_s / 86_400, unix_s % 86_400);
        let (year, month, day) = civil_date(days);
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        text[0..3].copy_from_slice(WEEKDAYS[(days % 7) as usize]);
        text[5..7].copy_from_slice(&two_digits(day));
        text[8..11].copy_from_slice(MONTHS[(month - 1) as usize]);
        text[12..14].copy_from_slice(&two_digits(year / 100));
        text[14..16].copy_from_slice(&two_digits(year % 100));
        text[17..19].copy_from_slice(&two_digits(second_of_day / 3_600));
        text[20..22].copy_from_slice(&two_digits(second_of_day / 60 % 60));
        text[23..25].copy_from_slice(&two_digits(second_of_day % 60));
        Self(text)
    }

    /// The text, ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Year, month (1..=12) and day (1..=31) of the Gregorian calendar.
fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    // Years are counted from March of the year 0: the leap day then is the last of its year, and the months before it
    // have lengths that a line through five of them (153 days) gives.
    let days = days_since_1970 + 719_468;
    let era = days / DAYS_OF_400_YEARS;
    let day_of_era = days % DAYS_OF_400_YEARS;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (400 * era + year_of_era + u64::from(month <= 2), month, day)
}

fn two_digits(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
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
