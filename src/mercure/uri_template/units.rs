//! A topic divided into units: bytes and percent-encoded triplets.
//!
//! A unit has a code: a byte is its own value, a triplet is 256 and more. The simulation compares
//! codes, so a triplet takes one step, as in the definition of the character sets.

use super::charset;

/// The number of codes: 256 bytes, and a triplet for each pair of 22 hexadecimal digits.
pub(super) const CODES: usize = 256 + 22 * 22;

/// The code of a unit.
pub(super) type Code = u16;

/// Reads the unit at `at`, which is below the length; returns its code and its length in bytes.
pub(super) fn unit_at(bytes: &[u8], at: usize) -> (Code, usize) {
    if charset::is_triplet(bytes, at) {
        (256 + 22 * digit(bytes[at + 1]) + digit(bytes[at + 2]), 3)
    } else {
        (Code::from(bytes[at]), 1)
    }
}

/// Whether a code is that of a triplet.
pub(super) fn is_triplet(code: Code) -> bool {
    code >= 256
}

/// Upper and lower case are different: topics are compared byte by byte.
fn digit(byte: u8) -> Code {
    match byte {
        b'0'..=b'9' => Code::from(byte - b'0'),
        b'A'..=b'F' => Code::from(byte - b'A') + 10,
        _ => Code::from(byte - b'a') + 16,
    }
}
