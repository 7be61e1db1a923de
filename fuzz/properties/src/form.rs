//! Forms: read as WHATWG reads them, or refused for a reason that a plain definition confirms.

use petasos::limits::FORM_FIELDS_MAX;
use petasos::mercure::form::{FormError, fields};
use url::form_urlencoded;

/// The property, for any bytes.
///
/// # Panics
/// It does not hold.
pub fn check(bytes: &[u8]) {
    let read: Result<Vec<_>, _> = fields(bytes).collect();
    let pairs: Vec<&[u8]> = bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).collect();
    // A field beyond the bound is not looked at.
    let first_problem = pairs.iter().take(FORM_FIELDS_MAX).find_map(|pair| problem(pair));
    match (&read, first_problem) {
        (Ok(read), None) => {
            let expected: Vec<_> = form_urlencoded::parse(bytes).collect();
            assert_eq!(*read, expected);
            assert!(read.len() <= FORM_FIELDS_MAX, "the number of fields has a bound");
        }
        (Err(FormError::TooManyFields), None) => assert!(pairs.len() > FORM_FIELDS_MAX),
        (Err(error), Some(expected)) => assert_eq!(*error, expected),
        (read, expected) => panic!("{read:?}, and expected {expected:?}"),
    }
}

/// What is wrong with a pair; the name is read first.
fn problem(pair: &[u8]) -> Option<FormError> {
    let mut parts = pair.splitn(2, |byte| *byte == b'=');
    parts.find_map(|part| {
        let mut bytes = Vec::new();
        let mut at = 0;
        while at < part.len() {
            bytes.push(match part[at] {
                b'%' => {
                    let digits =
                        part.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
                    let Some(digits) = digits else { return Some(FormError::Escape) };
                    at += 2;
                    let digits = std::str::from_utf8(digits).unwrap_or_default();
                    u8::from_str_radix(digits, 16).unwrap_or_default()
                }
                byte => byte,
            });
            at += 1;
        }
        std::str::from_utf8(&bytes).is_err().then_some(FormError::Utf8)
    })
}
