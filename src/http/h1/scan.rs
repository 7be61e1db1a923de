//! Finds the end of a request head in bytes that arrive piece by piece.
//!
//! Every byte is examined once, however small the pieces. Each bound is checked at the byte that
//! exceeds it. A violation depends on its position, not on how the bytes were split.

use crate::http::request_error::RequestError;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, REQUEST_LINE_BYTES_MAX};

/// The state of an incomplete head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanner {
    /// Bytes already examined.
    scanned_bytes: usize,
    /// The start of the current line.
    line_start: usize,
    /// Complete lines.
    lines: usize,
}

impl Scanner {
    /// Bytes of the lines that are complete and end correctly.
    pub(crate) fn complete_lines_bytes(&self) -> usize {
        self.line_start
    }

    /// The length of the head including its empty line, once `head` contains it. Until then `None`;
    /// the next call must pass the same bytes followed by more.
    pub(crate) fn find_end(&mut self, head: &[u8]) -> Result<Option<usize>, RequestError> {
        // Bytes that do not start like a method are not HTTP: a TLS client on a plain port is
        // refused at its first byte.
        if head
            .first()
            .is_some_and(|&byte| !byte.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~".contains(&byte))
        {
            return Err(RequestError::RequestLine);
        }
        let bounded = &head[..head.len().min(HEAD_BYTES_MAX)];
        loop {
            let newline = memchr::memchr(b'\n', &bounded[self.scanned_bytes..]);
            let line_end = newline.map_or(bounded.len(), |offset| self.scanned_bytes + offset);
            if self.lines == 0 && line_end > REQUEST_LINE_BYTES_MAX {
                return Err(RequestError::TargetTooLong);
            }
            if newline.is_none() {
                self.scanned_bytes = bounded.len();
                return if bounded.len() == HEAD_BYTES_MAX {
                    Err(RequestError::HeadTooLong)
                } else {
                    Ok(None)
                };
            }
            if line_end == 0 || bounded[line_end - 1] != b'\r' {
                return Err(RequestError::LineEnding);
            }
            self.scanned_bytes = line_end + 1;
            if line_end == self.line_start + 1 {
                return Ok(Some(self.scanned_bytes));
            }
            self.line_start = self.scanned_bytes;
            self.lines += 1;
            if self.lines > HEADERS_MAX + 1 {
                return Err(RequestError::TooManyFields);
            }
        }
    }
}

/// The length of the empty lines at the start of `input`; at most `lines_left` are tolerated (RFC
/// 9112, section 2.2: old clients end a body with one). They are counted, so the caller must not
/// pass them again.
pub(crate) fn skip_empty_lines(input: &[u8], lines_left: &mut usize) -> usize {
    let mut rest = input;
    while *lines_left > 0
        && let [b'\r', b'\n', behind @ ..] = rest
    {
        *lines_left -= 1;
        rest = behind;
    }
    input.len() - rest.len()
}

/// Whether `input` is a CR that a LF could complete to a tolerated empty line.
pub(crate) fn starts_empty_line(input: &[u8], lines_left: usize) -> bool {
    lines_left > 0 && input == b"\r"
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET /hub HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";

    #[test]
    fn a_byte_that_was_looked_at_is_not_looked_at_again() {
        let mut scanner = Scanner::default();
        for end in 0..HEAD.len() {
            assert_eq!(scanner.find_end(&HEAD[..end]), Ok(None));
            assert_eq!(scanner.scanned_bytes, end, "the next call starts where this one ended");
        }
        assert_eq!(scanner.find_end(HEAD), Ok(Some(HEAD.len())));

        // A second look at old line ends would be an error. Only the CR before an LF may be an old
        // byte.
        for cut in 2..HEAD.len() {
            let mut scanner = Scanner::default();
            assert_eq!(scanner.find_end(&HEAD[..cut]), Ok(None));
            let mut altered = HEAD.to_vec();
            altered[1..cut - 1].fill(b'\n');
            assert_eq!(scanner.find_end(&altered), Ok(Some(HEAD.len())), "{cut}");
        }
    }

    #[test]
    fn the_bounds_hold_at_the_byte_that_passes_them() {
        let (mut scanner, mut refused_at) = (Scanner::default(), None);
        let line = [b'a'; REQUEST_LINE_BYTES_MAX + 2];
        for end in 0..line.len() {
            if let Err(error) = scanner.find_end(&line[..end]) {
                refused_at = Some((end, error));
                break;
            }
        }
        assert_eq!(refused_at, Some((REQUEST_LINE_BYTES_MAX + 1, RequestError::TargetTooLong)));

        let mut head = b"a\r\n".to_vec();
        head.resize(HEAD_BYTES_MAX, b'b');
        let mut scanner = Scanner::default();
        assert_eq!(scanner.find_end(&head[..HEAD_BYTES_MAX - 1]), Ok(None));
        assert_eq!(scanner.find_end(&head), Err(RequestError::HeadTooLong));
    }

    #[test]
    fn empty_lines_are_counted_once() {
        let mut lines_left = 2;
        assert_eq!(skip_empty_lines(b"\r\n\r", &mut lines_left), 2);
        assert_eq!(lines_left, 1);
        assert!(starts_empty_line(b"\r", lines_left));
        assert_eq!(skip_empty_lines(b"\r\n\r\nGET", &mut lines_left), 2);
        assert_eq!(lines_left, 0);
        assert!(!starts_empty_line(b"\r", lines_left));
        assert!(!starts_empty_line(b"\rX", 1));
    }
}
