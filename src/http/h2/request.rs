//! The hub's part of HTTP/2 (RFC 9113): how a connection begins, and how the head of a request is
//! read. A library does frames, streams and field compression.

use http::request::Parts;

use crate::http::request::{Request, Version};
use crate::http::request_error::RequestError;
use crate::http::target::{RequestTarget, valid_host};
use crate::limits::HEADERS_MAX;

/// The bytes that a client sends first on every connection (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether the first received bytes are the HTTP/2 preface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prior {
    /// They are the preface.
    Http2,
    /// They are a part of the preface; more bytes must follow.
    Unknown,
    /// They are not the preface.
    Http1,
}

impl Prior {
    /// Checks the bytes that a connection has received so far. A client with prior knowledge of
    /// HTTP/2 begins with the preface (RFC 9113, section 3.3).
    pub fn of(received: &[u8]) -> Self {
        let length = received.len().min(PREFACE.len());
        if received[..length] != PREFACE[..length] {
            Self::Http1
        } else if length == PREFACE.len() {
            Self::Http2
        } else {
            Self::Unknown
        }
    }
}

/// Reads the head of a request, which the library found well-formed.
///
/// # Errors
/// The [`RequestError`] to send; the connection stays open.
pub fn read_request(parts: &Parts) -> Result<Request<'_>, RequestError> {
    if parts.headers.len() > HEADERS_MAX {
        return Err(RequestError::TooManyFields);
    }
    let (path, query) = match parts.uri.path_and_query() {
        Some(target) => {
            let target = RequestTarget::parse(&parts.method, target.as_str())?;
            (target.path, target.query)
        }
        // `CONNECT`, which no resource here supports.
        None => ("/", None),
    };
    let mut request = Request::new(parts.method.clone(), Version::Http2, path, query);
    for (name, value) in &parts.headers {
        let value = value.as_bytes().trim_ascii();
        match name.as_str() {
            "host" => {
                let host = valid_host(value).filter(|_| request.host.is_none()).ok_or(RequestError::Host)?;
                request.host = Some(host);
            }
            name => request.field(name, value)?,
        }
    }
    // If the two authorities differed, the request would be ambiguous (RFC 9113, section 8.3.1).
    if let Some(authority) = parts.uri.authority() {
        let authority = valid_host(authority.as_str().as_bytes()).ok_or(RequestError::Host)?;
        if request.host.is_some_and(|host| !host.eq_ignore_ascii_case(authority)) {
            return Err(RequestError::Host);
        }
        request.host = Some(authority);
    }
    if request.host.is_none() {
        return Err(RequestError::Host);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> Parts {
        let builder = http::Request::builder().method(method).uri(uri).version(http::Version::HTTP_2);
        let builder = fields.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        builder.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn a_preface_is_told_from_http_1_at_the_first_byte_that_differs() {
        for end in 1..PREFACE.len() {
            assert_eq!(Prior::of(&PREFACE[..end]), Prior::Unknown);
            let mut other = PREFACE[..end].to_vec();
            other[end - 1] ^= 1;
            assert_eq!(Prior::of(&other), Prior::Http1);
        }
        assert_eq!(Prior::of(b""), Prior::Unknown);
        assert_eq!(Prior::of(&[PREFACE, b"more"].concat()), Prior::Http2);
        assert_eq!(Prior::of(b"PUT / HTTP/1.1\r\n"), Prior::Http1);
    }

    #[test]
    fn the_head_is_that_of_http_1() {
        let fields = [
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("last-event-id", "urn:1"),
            ("origin", "https://a.example"),
        ];
        let parts = parts("GET", "https://hub.example/.well-known/mercure?topic=a", &fields);
        let request = read_request(&parts).expect("a request");
        assert_eq!((request.method, request.version), (Method::GET, Version::Http2));
        assert_eq!((request.path, request.query), ("/.well-known/mercure", Some("topic=a")));
        assert_eq!(request.host, Some("hub.example"));
        assert_eq!(request.cookies.iter().collect::<Vec<_>>(), [b"a=1", b"b=2"]);
        assert_eq!(request.last_event_id, Some("urn:1"));
        assert_eq!(request.origin, Some(b"https://a.example".as_slice()));
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        let host = [("host", "other.example")];
        assert_eq!(read_request(&parts("GET", "https://hub.example/", &host)), Err(RequestError::Host));
        assert_eq!(
            read_request(&parts("GET", "/", &[("host", "a"), ("host", "a")])),
            Err(RequestError::Host)
        );
        assert_eq!(read_request(&parts("GET", "/", &[])), Err(RequestError::Host));
        assert_eq!(read_request(&parts("GET", "https://user@hub.example/", &[])), Err(RequestError::Host));
        let same = [("host", "Hub.example")];
        assert_eq!(
            read_request(&parts("GET", "https://hub.example/", &same)).map(|it| it.host),
            Ok(Some("hub.example"))
        );
        let origins = [("origin", "https://a.example"), ("origin", "https://b.example")];
        assert_eq!(
            read_request(&parts("GET", "https://a/", &origins)),
            Err(RequestError::Repeated("Origin"))
        );
    }

    #[test]
    fn bounds_are_those_of_http_1() {
        let fields = vec![("a", "b"); HEADERS_MAX + 1];
        assert_eq!(read_request(&parts("GET", "https://a/", &fields)), Err(RequestError::TooManyFields));
        let path = format!("https://a/?{}", "a".repeat(crate::limits::REQUEST_TARGET_BYTES_MAX));
        assert_eq!(read_request(&parts("GET", &path, &[])), Err(RequestError::TargetTooLong));
        assert_eq!(read_request(&parts("CONNECT", "a:443", &[])).map(|it| it.method), Ok(Method::CONNECT));
    }
}
