//! A text as its readers may decode it: every percent-encoding is undone, also one inside another,
//! and also the `%u0041` of JavaScript's `escape`.
//!
//! Decoding `%41` to `A` in any place, in any order, until nothing is left to decode, always has
//! the same result: two such groups never share a byte. So one pass finds it, in linear time.

/// One byte of the decoded text.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecodedByte {
    pub(super) byte: u8,
    /// The byte was decoded, and the last byte of its code was an `e`. What looks like the end of
    /// a code may be the first letter of a token: `%6eyJ...`.
    pub(super) ends_with_e: bool,
    /// Where its code begins in the text. It ends where the next one begins.
    pub(super) start: usize,
    /// Where its code ends.
    pub(super) end: usize,
}

impl DecodedByte {
    /// Whether the byte was in the text as it is.
    pub(super) fn is_plain(self) -> bool {
        self.end - self.start == 1
    }
}

/// Decodes a text.
pub(super) fn decode(text: &[u8]) -> Vec<DecodedByte> {
    let mut cells: Vec<DecodedByte> = Vec::with_capacity(text.len());
    for (start, byte) in text.iter().enumerate() {
        cells.push(DecodedByte { byte: *byte, ends_with_e: false, start, end: start + 1 });
        // A decoded byte can be the last one of another code.
        while let Some((cell_count, whole)) = last_code(&cells) {
            cells.truncate(cells.len() - cell_count);
            cells.push(whole);
        }
    }
    cells
}

/// The code at the end of `cells`: the number of its cells, and the byte that it stands for.
fn last_code(cells: &[DecodedByte]) -> Option<(usize, DecodedByte)> {
    let [.., high, low] = cells else { return None };
    let byte = hex_digit(high.byte)? << 4 | hex_digit(low.byte)?;
    let (cell_count, start) = match cells {
        [.., percent, _, _] if percent.byte == b'%' => (3, percent.start),
        [.., percent, u, zero, other, _, _] if [percent.byte, u.byte, zero.byte, other.byte] == *b"%u00" => {
            (6, percent.start)
        }
        _ => return None,
    };
    Some((cell_count, DecodedByte { byte, ends_with_e: low.byte == b'e', start, end: low.end }))
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
