//! Finds the end of a request head in bytes that arrive piece by piece.
//!
//! Every byte is looked at once, however small the pieces; each bound is checked at the byte that passes it, and a
//! violation depends on where it stands, not on how the bytes were cut.

use crate::http::refusal::Refusal;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, REQUEST_LINE_BYTES_MAX};

/// What is known of a head that is not complete.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanner {
    /// Bytes that have been looked at.
    scanned_bytes: usize,
    /// Where the line that is being read starts.
    line_start: usize,
    /// Lines that are complete.
    lines: usize,
}

impl Scanner {
    /// The length of the head including its empty line, once that is in `head`; else none, and the next call must be
    /// given the same bytes with more behind them.
    pub(crate) fn find_end(&mut self, head: &[u8]) -> Result<Option<usize>, Refusal> {
        // What does not start like a method is not HTTP: a TLS client on a plain port is told so at its first byte.
        if head
            .first()
            .is_some_and(|&byte| !byte.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~".contains(&byte))
        {
            return Err(Refusal::RequestLine);
        }
        let bounded = &head[..head.len().min(HEAD_BYTES_MAX)];
        loop {
            let newline = memchr::memchr(b'\n', &bounded[self.scanned_bytes..]);
            let line_end = newline.map_or(bounded.len(), |offset| self.scanned_bytes + offset);
            if self.lines == 0 && line_end > REQUEST_LINE_BYTES_MAX {
                return Err(Refusal::TargetTooLong);
            }
            if newline.is_none() {
                self.scanned_bytes = bounded.len();
                return if bounded.len() == HEAD_BYTES_MAX { Err(Refusal::HeadTooLong) } else { Ok(None) };
            }
            if line_end == 0 || bounded[line_end - 1] != b'\r' {
                return Err(Refusal::LineEnding);
            }
            self.scanned_bytes = line_end + 1;
            if line_end == self.line_start + 1 {
                return Ok(Some(self.scanned_bytes));
            }
            self.line_start = self.scanned_bytes;
            self.lines += 1;
            if self.lines > HEADERS_MAX + 1 {
                return Err(Refusal::TooManyFields);
            }
        }
    }
}

/// The length of the empty lines at the start of `input`, of which `lines_left` are tolerated (RFC 9112, section 2.2:
/// old clients end a body with one). None when `input` is a CR whose LF may follow.
pub(crate) fn skip_empty_lines(input: &[u8], lines_left: &mut usize) -> Option<usize> {
    let mut rest = input;
    while *lines_left > 0 {
        match rest {
            [b'\r', b'\n', behind @ ..] => {
                *lines_left -= 1;
                rest = behind;
            }
            [b'\r'] => return None,
            _ => break,
        }
    }
    Some(input.len() - rest.len())
}
