//! The checksum that ends a gzip stream (RFC 1952, section 2.3.1), for streams put together from
//! shared encoded frames.
//!
//! Each stream carries different updates, so each needs a separate CRC-32, without reading every
//! byte again for every subscriber. A CRC is a remainder of polynomials over GF(2), so the CRC of
//! two texts follows from the CRCs of its parts and the length of the second: crc(ab) =
//! crc(a)·x^(8·|b|) + crc(b). The power is computed once for each frame or path ([`CrcPart`]). Per
//! subscriber, one multiplication of 32 steps remains ([`CrcSum`]).

/// The polynomial of CRC-32. Bits are reversed throughout this module: x^k is bit 31 − k.
const POLYNOMIAL: u32 = 0xedb8_8320;
const ONE: u32 = 1 << 31;
/// x^8: a shift by one byte.
const BYTE: u32 = 1 << 23;

/// The checksum of a text that follows others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrcPart {
    crc: u32,
    /// Modulo 2^32, as in the trailer of gzip.
    bytes: u32,
    /// x^(8·bytes): shifts the checksum of the text before it.
    shift: u32,
}

/// The checksum of everything that a stream has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrcSum {
    crc: u32,
    bytes: u32,
}

impl CrcPart {
    /// The checksum of an empty text.
    pub const EMPTY: Self = Self { crc: 0, bytes: 0, shift: ONE };

    /// The checksum of a text.
    pub fn of(text: &[u8]) -> Self {
        Self { crc: crc32fast::hash(text), bytes: text.len() as u32, shift: power_of_byte(text.len()) }
    }

    /// The checksum of this text followed by the next one.
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
    /// Adds a text that the stream has carried.
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
        // Without a branch, since the bits of a checksum cannot be predicted.
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
