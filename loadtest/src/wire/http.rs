//! Requests as the generator sends them, and the heads of the answers.

use std::fmt::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};

/// Length of an answer's head beyond which it is given up.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Header fields of an answer.
const HEADERS_MAX: usize = 100;

/// Where a hub is.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The address that is connected to.
    pub(crate) address: SocketAddr,
    /// The `Host` header.
    pub(crate) host: String,
    /// The path of the hub URL.
    pub(crate) path: String,
}

impl Target {
    /// The default hub URL at `address`.
    pub(crate) fn local(address: SocketAddr) -> Self {
        Self { address, host: address.to_string(), path: "/.well-known/mercure".to_owned() }
    }

    /// Reads a hub URL. The scheme must be `http`: TLS would measure the generator's cryptography.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(format!(
                "{url}: only http:// URLs can be measured; put no TLS between generator and hub"
            ));
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/.well-known/mercure" } else { path };
        let has_port =
            host.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok()) && host.contains(':');
        let with_port = if has_port { host.to_owned() } else { format!("{host}:80") };
        let address = with_port
            .to_socket_addrs()
            .map_err(|error| format!("{host}: {error}"))?
            .next()
            .ok_or_else(|| format!("{host}: no address"))?;
        Ok(Self { address, host: host.to_owned(), path: path.to_owned() })
    }

    /// The request of a subscription to `selectors`.
    pub(crate) fn subscribe(
        &self,
        selectors: &[String],
        token: Option<&str>,
        last_event_id: &[u8],
    ) -> Vec<u8> {
        let mut head = format!("GET {}", self.path);
        let mut separator = if self.path.contains('?') { '&' } else { '?' };
        for selector in selectors {
            let _ = write!(head, "{separator}topic={}", encode(selector.as_bytes()));
            separator = '&';
        }
        let _ = write!(head, " HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n", self.host);
        if let Some(token) = token {
            let _ = write!(head, "Authorization: Bearer {token}\r\n");
        }
        let mut head = head.into_bytes();
        if !last_event_id.is_empty() {
            head.extend_from_slice(b"Last-Event-ID: ");
            head.extend_from_slice(last_event_id);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    /// The request of a publication up to its data, which is `data_bytes` long.
    pub(crate) fn publish(&self, topic: &str, private: bool, token: &str, data_bytes: usize) -> Vec<u8> {
        let private = if private { "private=on&" } else { "" };
        let form = format!("topic={}&{private}data=", encode(topic.as_bytes()));
        let length = form.len() + data_bytes;
        let Self { host, path, .. } = self;
        format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
        )
        .into_bytes()
    }
}

/// Percent-encodes everything but the unreserved characters (RFC 3986, section 2.3).
fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// What the generator needs of an answer's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AnswerHead {
    /// The status code.
    pub(crate) status: u16,
    /// Whether the body is in the chunked transfer coding.
    pub(crate) chunked: bool,
    /// The length of the body, when it is told.
    pub(crate) content_bytes: Option<u64>,
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
                    bytes: length,
                };
                for header in response.headers.iter() {
                    if header.name.eq_ignore_ascii_case("transfer-encoding") {
                        head.chunked = header.value.eq_ignore_ascii_case(b"chunked");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hub_urls_with_and_without_port_and_path() {
        let target = Target::parse("http://127.0.0.1:3000/hub").expect("valid");
        assert_eq!((target.address.port(), target.path.as_str()), (3000, "/hub"));
        let target = Target::parse("http://127.0.0.1").expect("valid");
        assert_eq!((target.address.port(), target.path.as_str()), (80, "/.well-known/mercure"));
        assert!(Target::parse("https://127.0.0.1/").is_err());
    }

    #[test]
    fn a_topic_is_escaped_as_a_whole() {
        let target = Target::local(([127, 0, 0, 1], 3000).into());
        let request = target.subscribe(&["http://a/{b}?c=ü".to_owned()], None, b"");
        let request = String::from_utf8(request).expect("ASCII");
        assert!(request.starts_with(
            "GET /.well-known/mercure?topic=http%3A%2F%2Fa%2F%7Bb%7D%3Fc%3D%C3%BC HTTP/1.1\r\n"
        ));
    }

    #[test]
    fn reads_a_head_only_when_it_is_complete() {
        let wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\ncontent-length: 12\r\n\r\nrest";
        let end = wire.len() - 4;
        for cut in 0..end {
            assert_eq!(AnswerHead::parse(&wire[..cut]), Ok(None), "cut at {cut}");
        }
        let head = AnswerHead { status: 200, chunked: true, content_bytes: Some(12), bytes: end };
        assert_eq!(AnswerHead::parse(wire), Ok(Some(head)));
        assert!(AnswerHead::parse(b"ICY 200 OK\r\n\r\n").is_err());
    }
}
