//! Bytes framed as one HTTP/1.1 chunk (RFC 9112, section 7.1), with the bare bytes as a slice of
//! the same buffer.

use std::io::Write as _;

/// The end of a chunked stream.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

const CRLF: &[u8] = b"\r\n";

/// One chunk. Its content is not empty; an empty chunk would end the stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk {
    bytes: Box<[u8]>,
    head_bytes: u8,
}

impl Chunk {
    /// Frames these bytes.
    pub fn new(content: &[u8]) -> Self {
        Self::write(content.len(), |out| out.extend_from_slice(content))
    }

    /// Frames the `content_bytes` bytes that `write` appends, without a copy.
    ///
    /// # Panics
    /// If `write` appends another number of bytes.
    pub fn write(content_bytes: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let digits = (usize::BITS - content_bytes.leading_zeros()).div_ceil(4).max(1) as usize;
        let head_bytes = digits + CRLF.len();
        let mut bytes = Vec::with_capacity(head_bytes + content_bytes + CRLF.len());
        write!(bytes, "{content_bytes:x}\r\n").expect("writing to a Vec cannot fail");
        write(&mut bytes);
        assert_eq!(bytes.len(), head_bytes + content_bytes, "the length was announced");
        bytes.extend_from_slice(CRLF);
        let head_bytes = u8::try_from(head_bytes).expect("a usize has at most sixteen hexadecimal digits");
        Self { bytes: bytes.into(), head_bytes }
    }

    /// The chunk as HTTP/1.1 sends it.
    pub fn framed(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes alone, as HTTP/1.0 and HTTP/2 send them.
    pub fn content(&self) -> &[u8] {
        &self.bytes[usize::from(self.head_bytes)..self.bytes.len() - CRLF.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_line_has_as_many_digits_as_the_size_needs() {
        for bytes in [0, 1, 9, 15, 16, 255, 256, 4_095, 4_096, 65_535, 65_536] {
            let content = vec![b'x'; bytes];
            let chunk = Chunk::new(&content);
            let framed = [format!("{bytes:x}\r\n").as_bytes(), &content, b"\r\n"].concat();
            assert_eq!((chunk.framed(), chunk.content()), (&*framed, &*content), "{bytes} bytes");
        }
    }
}
