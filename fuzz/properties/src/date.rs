//! The `Date` header: any second has the date that the calendar says.

use petasos::http::headers::date::HttpDate;

/// 9999-12-31T23:59:59Z.
const UNIX_S_MAX: u64 = 253_402_300_799;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [(&str, u64); 12] = [
    ("Jan", 31),
    ("Feb", 28),
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
];

/// The property, for the seconds since 1970 in the first eight bytes, the lowest byte first.
///
/// # Panics
/// It does not hold.
pub fn check(bytes: &[u8]) {
    let mut number = [0; 8];
    number.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    let unix_s = u64::from_le_bytes(number);
    let date = HttpDate::from_unix_s(unix_s);
    let text = std::str::from_utf8(date.as_bytes()).expect("ASCII");
    assert_eq!(text, by_the_calendar(unix_s.min(UNIX_S_MAX)), "{unix_s}");
}

/// Counts the years and the months.
fn by_the_calendar(unix_s: u64) -> String {
    let (mut day, second) = (unix_s / 86_400, unix_s % 86_400);
    let weekday = DAYS[(day % 7) as usize];
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 0;
    let days = |month: usize| MONTHS[month].1 + u64::from(month == 1 && is_leap(year));
    while day >= days(month) {
        day -= days(month);
        month += 1;
    }
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let (day, month) = (day + 1, MONTHS[month].0);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}
