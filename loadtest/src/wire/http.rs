//! The heads of responses.

use http::HeaderMap;

use super::coding::{Coding, CodingError};

/// The maximum length of a response head, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The maximum number of header fields of a response.
const HEADERS_MAX: usize = 100;
/// The maximum number of characters kept of a server's name.
const SERVER_CHARS_MAX: usize = 100;

/// The parts of a response head that the generator needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// The status code.
    pub(crate) status: u16,
    /// Whether the body is in the chunked transfer coding.
    pub(crate) chunked: bool,
    /// The length of the body, if the head gives it.
    pub(crate) content_bytes: Option<u64>,
    /// Whether the body is an event stream; an `EventSource` refuses anything else.
    pub(crate) is_event_stream: bool,
    /// The content coding of the body.
    pub(crate) coding: Option<Coding>,
    /// The server's name for itself (`Server`), if any.
    pub(crate) server: Option<String>,
    /// The length of the head itself.
    pub(crate) bytes: usize,
}

/// Why the head of a response cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("an answer without a status")]
    NoStatus,
    #[error("an answer head without end")]
    Endless,
    #[error("an answer that is not HTTP/1.1")]
    NotHttp(#[source] httparse::Error),
    #[error("an unreadable Content-Length")]
    ContentLength(#[source] std::num::ParseIntError),
    #[error(transparent)]
    Coding(#[from] CodingError),
}

impl ResponseHead {
    /// The head at the beginning of `bytes`; `None` if it is incomplete.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, HeadError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => {
                let mut head = Self::new(response.code.ok_or(HeadError::NoStatus)?);
                head.bytes = length;
                for header in response.headers.iter() {
                    head.read(header.name.as_bytes(), header.value)?;
                }
                Ok(Some(head))
            }
            Ok(httparse::Status::Partial) if bytes.len() > HEAD_BYTES_MAX => Err(HeadError::Endless),
            Ok(httparse::Status::Partial) => Ok(None),
            Err(error) => Err(HeadError::NotHttp(error)),
        }
    }

    /// The head of an HTTP/2 response; its length is not recorded.
    pub(crate) fn of_fields(status: u16, fields: &HeaderMap) -> Result<Self, HeadError> {
        let mut head = Self::new(status);
        for (name, value) in fields {
            head.read(name.as_str().as_bytes(), value.as_bytes())?;
        }
        Ok(head)
    }

    /// A head without fields.
    fn new(status: u16) -> Self {
        Self {
            status,
            chunked: false,
            content_bytes: None,
            is_event_stream: false,
            coding: None,
            server: None,
            bytes: 0,
        }
    }

    /// Reads a field, if the generator needs it.
    fn read(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = value.eq_ignore_ascii_case(b"chunked");
        } else if name.eq_ignore_ascii_case(b"content-type") {
            self.is_event_stream = is_event_stream(value);
        } else if name.eq_ignore_ascii_case(b"content-encoding") {
            self.coding = Some(Coding::parse(value)?);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let text = std::str::from_utf8(value).unwrap_or_default();
            self.content_bytes = Some(text.parse().map_err(HeadError::ContentLength)?);
        } else if name.eq_ignore_ascii_case(b"server") {
            self.server = server_name(value);
        }
        Ok(())
    }
}

/// The value of a `Server` field, shortened, without control characters.
fn server_name(value: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(value);
    let name: String = text.chars().filter(|letter| !letter.is_control()).take(SERVER_CHARS_MAX).collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Whether a `Content-Type` names an event stream, whatever its parameters.
fn is_event_stream(value: &[u8]) -> bool {
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_head_only_when_it_is_complete() {
        let wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\ncontent-length: 12\r\nContent-Encoding: zstd\r\n\
            Server: nginx/1.22.1\r\nContent-type: Text/Event-Stream; charset=utf-8\r\n\r\nrest";
        let end = wire.len() - 4;
        for cut in 0..end {
            assert_eq!(ResponseHead::parse(&wire[..cut]).expect("valid"), None, "cut at {cut}");
        }
        let head = ResponseHead {
            status: 200,
            chunked: true,
            content_bytes: Some(12),
            is_event_stream: true,
            coding: Some(Coding::Zstd),
            server: Some("nginx/1.22.1".to_owned()),
            bytes: end,
        };
        assert_eq!(ResponseHead::parse(wire).expect("valid"), Some(head));
        assert!(ResponseHead::parse(b"ICY 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn what_a_server_calls_itself_is_short_and_plain() {
        assert_eq!(server_name(b" a\x1b[2Jb "), Some("a[2Jb".to_owned()));
        assert_eq!(server_name(b" "), None);
        assert_eq!(server_name(&[b'x'; 1_000]).map(|name| name.len()), Some(SERVER_CHARS_MAX));
    }
}
