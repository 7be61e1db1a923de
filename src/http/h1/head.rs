//! The head of an HTTP/1 request (RFC 9112, sections 2 to 6), read with httparse.
//!
//! httparse finds the parts; a server must check more than httparse does. Invariant: where RFC 9112
//! lets a recipient repair or refuse, this code refuses, so that no proxy can have read the bytes
//! differently.

use std::mem::MaybeUninit;

use http::Method;

use crate::http::h1::body::BodyLength;
#[cfg(any(test, feature = "internals"))]
use crate::http::h1::scan::{Scanner, skip_empty_lines, starts_empty_line};
use crate::http::request::{Request, Single, Version};
use crate::http::request_error::RequestError;
use crate::http::target::{RequestTarget, valid_host};
use crate::limits::HEADERS_MAX;

/// A request head, with the framing of the connection and the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The request.
    pub request: Request<'a>,
    /// How the body is framed.
    pub body_length: BodyLength,
    /// Whether the client allows the connection to serve another request: HTTP/1.1 without
    /// `Connection: close`.
    pub keep_alive: bool,
}

/// Reads the head at the start of `buf`, after at most
/// [`EMPTY_LINES_MAX`](crate::limits::EMPTY_LINES_MAX) empty lines. Returns `None` if the head is
/// not complete, else the head and its length in bytes. For a head that arrives in pieces, use
/// [`crate::http::h1::machine::Connection`], which does not start over at each piece.
///
/// # Errors
/// The [`RequestError`] to send before the connection is closed. It is found as soon as a bound is
/// exceeded, even if the head is not complete.
#[cfg(any(test, feature = "internals"))]
pub fn parse_head(buf: &[u8]) -> Result<Option<(Head<'_>, usize)>, RequestError> {
    let mut empty_lines_left = crate::limits::EMPTY_LINES_MAX;
    let start = skip_empty_lines(buf, &mut empty_lines_left);
    if starts_empty_line(&buf[start..], empty_lines_left) {
        return Ok(None);
    }
    let Some(length) = Scanner::default().find_end(&buf[start..])? else { return Ok(None) };
    let end = start + length;
    Ok(Some((parse_complete(&buf[start..end])?, end)))
}

/// Reads a head that [`Scanner`](crate::http::h1::scan::Scanner) found complete.
pub(crate) fn parse_complete(head: &[u8]) -> Result<Head<'_>, RequestError> {
    let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(RequestError::RequestLine),
        Err(error) => return Err(error_of(error, head)),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(RequestError::RequestLine);
    };
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| RequestError::RequestLine)?;
    let target = RequestTarget::parse(&method, target)?;
    let mut request = Request::new(method, version, target.path, target.query);
    let mut message = MessageFields::default();
    for field in parsed.headers.iter() {
        let value = field.value.trim_ascii();
        if !message.take(field.name, value) {
            request.field(field.name, value)?;
        }
    }
    // The authority of an absolute target replaces `Host`, which must still be valid (RFC 9112,
    // section 3.2.2).
    request.host = target.authority.or(message.host(version)?);
    Ok(Head {
        request,
        body_length: message.body_length(version)?,
        keep_alive: version == Version::Http11 && !message.close,
    })
}

/// The fields of the HTTP/1 message, as opposed to the request.
#[derive(Default)]
struct MessageFields<'a> {
    host: Single<'a>,
    content_length: Single<'a>,
    transfer_encoding: Single<'a>,
    close: bool,
}

impl<'a> MessageFields<'a> {
    /// Stores a field of the message; returns false for any other field.
    fn take(&mut self, name: &str, value: &'a [u8]) -> bool {
        let place = match name.len() {
            4 if name.eq_ignore_ascii_case("host") => &mut self.host,
            10 if name.eq_ignore_ascii_case("connection") => {
                let mut options = value.split(|&byte| byte == b',');
                self.close |= options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
                return true;
            }
            14 if name.eq_ignore_ascii_case("content-length") => &mut self.content_length,
            17 if name.eq_ignore_ascii_case("transfer-encoding") => &mut self.transfer_encoding,
            _ => return false,
        };
        *place = if *place == Single::Absent { Single::One(value) } else { Single::Several };
        true
    }

    fn host(&self, version: Version) -> Result<Option<&'a str>, RequestError> {
        match self.host {
            Single::One(value) => valid_host(value).map(Some).ok_or(RequestError::Host),
            Single::Absent if version == Version::Http10 => Ok(None),
            Single::Absent | Single::Several => Err(RequestError::Host),
        }
    }

    /// The framing of the body (RFC 9112, section 6.3).
    fn body_length(&self, version: Version) -> Result<BodyLength, RequestError> {
        match (self.content_length, self.transfer_encoding) {
            (Single::Absent, Single::Absent) => Ok(BodyLength::Empty),
            (Single::One(value), Single::Absent) => match decimal(value) {
                None => Err(RequestError::ContentLength),
                Some(0) => Ok(BodyLength::Empty),
                Some(bytes) => Ok(BodyLength::Fixed(bytes)),
            },
            (Single::Several, Single::Absent) => Err(RequestError::ContentLength),
            (Single::Absent, Single::One(codings)) if version == Version::Http11 => transfer_coding(codings),
            (Single::Absent, _) => Err(RequestError::TransferEncoding),
            (_, _) => Err(RequestError::LengthAndCoding),
        }
    }
}

/// Digits only: no sign, no space, no list, no overflow.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, &digit| {
        let digit = char::from(digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Only `chunked` is supported. Another coding before a final `chunked` still has a known length,
/// so it is merely not implemented; anything else has none (RFC 9112, sections 6.1 and 6.3).
fn transfer_coding(codings: &[u8]) -> Result<BodyLength, RequestError> {
    let is_chunked = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
    let is_not_another = |coding: &[u8]| is_chunked(coding) || coding.trim_ascii().is_empty();
    let mut list = codings.split(|&byte| byte == b',');
    let last_is_chunked = list.next_back().is_some_and(is_chunked);
    match (last_is_chunked, list.next()) {
        (false, _) => Err(RequestError::TransferEncoding),
        (true, None) => Ok(BodyLength::Chunked),
        (true, Some(first)) if is_not_another(first) || list.any(is_not_another) => {
            Err(RequestError::TransferEncoding)
        }
        (true, Some(_)) => Err(RequestError::UnknownCoding),
    }
}

fn error_of(error: httparse::Error, head: &[u8]) -> RequestError {
    match error {
        httparse::Error::HeaderName => RequestError::FieldName,
        httparse::Error::HeaderValue => RequestError::FieldValue,
        httparse::Error::NewLine => RequestError::LineEnding,
        httparse::Error::TooManyHeaders => RequestError::TooManyFields,
        httparse::Error::Version if names_another_version(head) => RequestError::Version,
        httparse::Error::Token | httparse::Error::Version | httparse::Error::Status => {
            RequestError::RequestLine
        }
    }
}

/// Whether the request line has exactly three parts and the last is a well-formed version (RFC
/// 9112, section 2.3), which is then an unsupported one. A line with an extra space is not a
/// request line, whatever its ending.
fn names_another_version(head: &[u8]) -> bool {
    let line = &head[..memchr::memchr(b'\r', head).unwrap_or(head.len())];
    let mut parts = line.split(|&byte| byte == b' ').skip(2);
    let version = parts.next().filter(|_| parts.next().is_none());
    matches!(version, Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

#[cfg(test)]
mod tests;
