//! Bytes framed as one HTTP/1.1 chunk (RFC 9112, section 7.1), with the bare bytes as a slice of
//! the same buffer.

use std::io::Write as _;

/// The end of a chunked stream.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Room for the longest chunk-size line: sixteen hexadecimal digits, CR, LF.
const HEAD_BYTES_MAX: usize = 18;
const TAIL: &[u8] = b"\r\n";

/// One chunk. Its content is not empty; an empty chunk would end the stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk {
    bytes: Box<[u8]>,
    head_bytes: u8,
}

impl Chunk {
    /// Frames these bytes.
    pub fn new(content: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_BYTES_MAX + content.len() + TAIL.len());
        write!(bytes, "{:x}\r\n", content.len()).expect("writing to a Vec cannot fail");
        let head_bytes = u8::try_from(bytes.len()).expect("a usize has at most sixteen hexadecimal digits");
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(TAIL);
        Self { bytes: bytes.into(), head_bytes }
    }

    /// The chunk as HTTP/1.1 sends it.
    pub fn framed(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes alone, as HTTP/1.0 and HTTP/2 send them.
    pub fn content(&self) -> &[u8] {
        &self.bytes[usize::from(self.head_bytes)..self.bytes.len() - TAIL.len()]
    }
}
