//! The Huffman code of HPACK (RFC 7541, appendix B), read bit by bit: heads are rare compared with
//! data.
//!
//! The code is canonical: codes of one length are consecutive, in the order of their bytes, so
//! their lengths define them.

use std::sync::LazyLock;

/// The most bits of a code.
const BITS_MAX: usize = 30;
/// The length of each byte's code, in bits. The end of a string has a code too, which must not
/// occur.
#[rustfmt::skip]
const BITS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
     6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6,  5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10,
    13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6,
    15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// The codes of one length.
#[derive(Debug, Clone, Copy, Default)]
struct Length {
    /// The first code.
    first: u32,
    /// The number of codes.
    count: u32,
    /// The index of their first byte in [`Code::bytes`].
    at: usize,
}

struct Code {
    lengths: [Length; BITS_MAX + 1],
    /// The bytes in the order of their codes.
    bytes: Vec<u8>,
}

static CODE: LazyLock<Code> = LazyLock::new(|| {
    let mut lengths = [Length::default(); BITS_MAX + 1];
    let mut bytes = Vec::with_capacity(BITS.len());
    let mut next = 0_u32;
    for (bits, length) in lengths.iter_mut().enumerate().skip(1) {
        next <<= 1;
        *length = Length { first: next, count: 0, at: bytes.len() };
        bytes.extend((0..=u8::MAX).filter(|byte| usize::from(BITS[usize::from(*byte)]) == bits));
        length.count = u32::try_from(bytes.len() - length.at).unwrap_or(0);
        next += length.count;
    }
    Code { lengths, bytes }
});

/// Decodes `coded`; `None` if a code or the padding is invalid (section 5.2).
pub(crate) fn decode(coded: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(coded.len() * 8 / 5);
    let (mut code, mut bits) = (0_u32, 0_usize);
    for at in 0..coded.len() * 8 {
        code = code << 1 | u32::from(coded[at / 8] >> (7 - at % 8) & 1);
        bits += 1;
        let length = CODE.lengths.get(bits)?;
        if let Some(place) = code.checked_sub(length.first).filter(|place| *place < length.count) {
            out.push(CODE.bytes[length.at + place as usize]);
            (code, bits) = (0, 0);
        }
    }
    // The rest must be the beginning of the end-of-string code: less than a byte of ones.
    (bits < 8 && code == (1 << bits) - 1).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The strings of RFC 7541, appendix C.
    #[test]
    fn reads_the_examples_of_the_specification() {
        for (coded, text) in [
            (&b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..], "www.example.com"),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x64\x02", "302"),
            (
                b"\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff",
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
        ] {
            assert_eq!(decode(coded).as_deref(), Some(text.as_bytes()));
        }
    }

    #[test]
    fn the_code_is_full_but_for_the_end_of_a_string() {
        let space: u64 = BITS.iter().map(|bits| 1 << (BITS_MAX - usize::from(*bits))).sum();
        assert_eq!(space, (1 << BITS_MAX) - 1);
    }

    #[test]
    fn refuses_wrong_padding_and_the_end_of_a_string() {
        // `0` is 00000; then come ones, zeros, or a whole byte of ones.
        assert_eq!(decode(b"\x07").as_deref(), Some(&b"0"[..]));
        for coded in [&b"\x00"[..], b"\x07\xff", b"\xff\xff\xff\xff"] {
            assert_eq!(decode(coded), None, "{coded:?}");
        }
    }
}
