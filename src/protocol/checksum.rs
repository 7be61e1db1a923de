//! The checksum that ends a gzip stream (RFC 1952, section 2.3.1), for streams that are put together from shared encoded frames.
//!
//! Each stream has had other updates, so each needs a CRC-32 of its own; but nobody should look at every byte again for
//! every subscriber. A CRC is a remainder of polynomials over GF(2), so that of two texts follows from those of its parts
//! and the length of the second: crc(ab) = crc(a)·x^(8·|b|) + crc(b). The power is computed once for each frame or path
//! ([`CrcPart`]); what is left for each subscriber is one multiplication of 32 steps ([`CrcSum`]).

/// The polynomial of CRC-32, its bits reversed as everywhere here: x^k is the bit 31 − k.
const POLYNOMIAL: u32 = 0xedb8_8320;
const ONE: u32 = 1 << 31;
/// x^8: a byte further.
const BYTE: u32 = 1 << 23;

/// The checksum of a text that others come before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrcPart {
    crc: u32,
    /// Modulo 2^32, as the trailer of gzip has it.
    bytes: u32,
    /// x^(8·bytes): what moves the checksum of the text before it out of its way.
    shift: u32,
}

/// The checksum of all that a stream has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrcSum {
    crc: u32,
    bytes: u32,
}

impl CrcPart {
    /// That of no text at all.
    pub const EMPTY: Self = Self { crc: 0, bytes: 0, shift: ONE };

    /// That of a text.
    pub fn of(text: &[u8]) -> Self {
        Self { crc: crc32fast::hash(text), bytes: text.len() as u32, shift: power_of_byte(text.len()) }
    }

    /// That of this text and the next one together.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        Self {
            crc: multiply(next.shift, self.crc) ^ next.crc,
            bytes: self.bytes.wrapping_add(next.bytes),
            shift: multiply(next.shift, self.shift),
        }
    }
}

impl CrcSum {
    /// The stream has carried this, too.
    pub fn add(&mut self, crc_part: CrcPart) {
        self.crc = multiply(crc_part.shift, self.crc) ^ crc_part.crc;
        self.bytes = self.bytes.wrapping_add(crc_part.bytes);
    }

    /// The trailer of gzip: checksum and length.
    pub fn trailer(self) -> [u8; 8] {
        let mut trailer = [0; 8];
        trailer[..4].copy_from_slice(&self.crc.to_le_bytes());
        trailer[4..].copy_from_slice(&self.bytes.to_le_bytes());
        trailer
    }
}

/// The product of two polynomials, modulo that of CRC-32.
fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    for bit in (0..u32::BITS).rev() {
        // Without a branch: the bits of a checksum cannot be predicted.
        product ^= b & 0_u32.wrapping_sub(a >> bit & 1);
        b = b >> 1 ^ POLYNOMIAL & 0_u32.wrapping_sub(b & 1);
    }
    product
}

/// x^(8·count), by squaring.
fn power_of_byte(mut count: usize) -> u32 {
    let (mut power, mut square) = (ONE, BYTE);
    while count > 0 {
        if count & 1 == 1 {
            power = multiply(square, power);
        }
        square = multiply(square, square);
        count >>= 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_parts_is_that_of_the_whole() {
        let text: Vec<u8> = (0..5_000_u32).map(|number| ((number * number) >> 3) as u8).collect();
        for cuts in [[0, 0], [0, 5_000], [1, 2], [7, 4_096], [255, 256], [2_500, 4_999]] {
            let parts = [&text[..cuts[0]], &text[cuts[0]..cuts[1]], &text[cuts[1]..]];
            let crc_parts = parts.map(CrcPart::of);
            assert_eq!(crc_parts[0].then(crc_parts[1]).then(crc_parts[2]), CrcPart::of(&text), "{cuts:?}");
            assert_eq!(crc_parts[0].then(crc_parts[1].then(crc_parts[2])), CrcPart::of(&text), "{cuts:?}");
            let mut crc_sum = CrcSum::default();
            crc_parts.into_iter().for_each(|crc_part| crc_sum.add(crc_part));
            let mut trailer = crc32fast::hash(&text).to_le_bytes().to_vec();
            trailer.extend_from_slice(&5_000_u32.to_le_bytes());
            assert_eq!(crc_sum.trailer(), *trailer, "{cuts:?}");
        }
        assert_eq!(CrcPart::EMPTY, CrcPart::of(b""));
    }

    #[test]
    fn the_check_value_of_the_standard_comes_out() {
        assert_eq!(CrcPart::of(b"123456789").crc, 0xcbf4_3926);
    }
}
