//! The heads of answers.

use super::coding::Coding;

/// Length of an answer's head beyond which it is given up.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Header fields of an answer.
const HEADERS_MAX: usize = 100;

/// What the generator needs of an answer's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AnswerHead {
    /// The status code.
    pub(crate) status: u16,
    /// Whether the body is in the chunked transfer coding.
    pub(crate) chunked: bool,
    /// The length of the body, when it is told.
    pub(crate) content_bytes: Option<u64>,
    /// Whether the body is an event stream; an `EventSource` refuses anything else.
    pub(crate) is_event_stream: bool,
    /// The content coding of the body.
    pub(crate) coding: Option<Coding>,
    /// The length of the head itself.
    pub(crate) bytes: usize,
}

impl AnswerHead {
    /// The head at the beginning of `bytes`; `None` when it is not all there yet.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, String> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => {
                let mut head = Self {
                    status: response.code.ok_or("an answer without a status")?,
                    chunked: false,
                    content_bytes: None,
                    is_event_stream: false,
                    coding: None,
                    bytes: length,
                };
                for header in response.headers.iter() {
                    if header.name.eq_ignore_ascii_case("transfer-encoding") {
                        head.chunked = header.value.eq_ignore_ascii_case(b"chunked");
                    } else if header.name.eq_ignore_ascii_case("content-type") {
                        head.is_event_stream = is_event_stream(header.value);
                    } else if header.name.eq_ignore_ascii_case("content-encoding") {
                        head.coding = Some(Coding::parse(header.value)?);
                    } else if header.name.eq_ignore_ascii_case("content-length") {
                        let text = std::str::from_utf8(header.value).unwrap_or_default();
                        head.content_bytes = Some(text.parse().map_err(|_| "an unreadable Content-Length")?);
                    }
                }
                Ok(Some(head))
            }
            Ok(httparse::Status::Partial) if bytes.len() > HEAD_BYTES_MAX => {
                Err("an answer head without end".into())
            }
            Ok(httparse::Status::Partial) => Ok(None),
            Err(error) => Err(format!("an answer that is not HTTP/1.1: {error}")),
        }
    }
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
            Content-type: Text/Event-Stream; charset=utf-8\r\n\r\nrest";
        let end = wire.len() - 4;
        for cut in 0..end {
            assert_eq!(AnswerHead::parse(&wire[..cut]), Ok(None), "cut at {cut}");
        }
        let head = AnswerHead {
            status: 200,
            chunked: true,
            content_bytes: Some(12),
            is_event_stream: true,
            coding: Some(Coding::Zstd),
            bytes: end,
        };
        assert_eq!(AnswerHead::parse(wire), Ok(Some(head)));
        assert!(AnswerHead::parse(b"ICY 200 OK\r\n\r\n").is_err());
    }
}
