//! Responses: built without knowing the version of HTTP, then encoded as HTTP/1.1 or read field by
//! field for HTTP/2.
//!
//! Invariants: a field's name is a constant and its value a [`HeaderValue`], which cannot hold a
//! control character, so client input cannot end a line; every response carries the security
//! headers of PROTOCOL section 8.

use std::borrow::Cow;
use std::fmt;

use crate::api::page::Page;
use crate::http::headers::accept_encoding::Negotiated;
use crate::http::headers::date::HttpDate;
use crate::http::request::Version;
use crate::http::request_error::RequestError;
use crate::http::status::Status;
use crate::mercure::event_id::EventId;
use crate::mercure::names::{EARLIEST, HEADER_LAST_EVENT_ID};

const CACHE_CONTROL: &str = "Cache-Control";
const CONTENT_TYPE: &str = "Content-Type";
const CONTENT_SECURITY_POLICY: &str = "Content-Security-Policy";
const VARY: &str = "Vary";
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The value of a response field: no control character but the tab (RFC 9110, section 5.5).
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderValue(Cow<'static, str>);

/// The error for a text that holds a control character and cannot be a field value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderValueError;

/// One response. Its body is complete, or a stream that follows the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: Status,
    fields: Vec<(&'static str, HeaderValue)>,
    body: ResponseBody,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ResponseBody {
    Bytes(Cow<'static, [u8]>),
    Stream,
}

/// The error reported to the sender of the token (RFC 6750, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// There was no token.
    Missing,
    /// The token failed a check; the response never says which.
    InvalidToken,
}

/// Where a stream starts, if the request asked for it (PROTOCOL section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precedes<'a> {
    /// From the start of the history.
    Earliest,
    /// After this event.
    Event(&'a EventId),
}

/// How a response is sent over an HTTP/1 connection.
#[derive(Clone, Copy, Debug)]
pub struct Http1<'a> {
    /// The version of the request.
    pub version: Version,
    /// The request was a `HEAD`: send the head without the body.
    pub head_only: bool,
    /// Whether the connection serves another request, from
    /// [`crate::http::h1::machine::Connection::begin_answer`].
    pub keep_alive: bool,
    /// `Date`, which a server that has a clock must send (RFC 9110, section 6.6.1).
    pub date: Option<&'a HttpDate>,
}

impl Response {
    /// The response to a publication (PROTOCOL section 3): 200, with the id as the whole body.
    pub fn published(id: &EventId) -> Self {
        Self::text(Status::Ok, id.as_str().to_owned())
    }

    /// The head of a subscription's stream (PROTOCOL section 2). On HTTP/1.1 the caller sends
    /// chunks after it.
    pub fn stream(precedes: Option<Precedes<'_>>) -> Self {
        let mut response =
            Self { status: Status::Ok, fields: Vec::with_capacity(8), body: ResponseBody::Stream };
        for (name, value) in [
            (CONTENT_TYPE, "text/event-stream"),
            (CACHE_CONTROL, "private, no-cache, no-store, must-revalidate, max-age=0"),
            ("Pragma", "no-cache"),
            ("Expires", "0"),
            ("X-Accel-Buffering", "no"),
        ] {
            response.append(name, HeaderValue::from_static(value));
        }
        match precedes {
            None => {}
            Some(Precedes::Earliest) => {
                response.append(HEADER_LAST_EVENT_ID, HeaderValue::from_static(EARLIEST));
            }
            Some(Precedes::Event(id)) => response.append(HEADER_LAST_EVENT_ID, id.into()),
        }
        response
    }

    /// A plain text, `text/plain; charset=utf-8`.
    pub fn text(status: Status, text: impl Into<Cow<'static, str>>) -> Self {
        let bytes = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Self::with_body(status, TEXT, bytes)
    }

    /// A body of any media type.
    pub fn with_body(status: Status, content_type: HeaderValue, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self { status, fields: vec![(CONTENT_TYPE, content_type)], body: ResponseBody::Bytes(body.into()) }
    }

    /// No body at all: 204 and 304.
    pub fn empty(status: Status) -> Self {
        Self { status, fields: Vec::new(), body: ResponseBody::Bytes(Cow::Borrowed(&[])) }
    }

    /// A status with its reason phrase as the text.
    pub fn status_only(status: Status) -> Self {
        Self::text(status, status.reason())
    }

    /// A request that could not be read.
    pub fn request_error(error: RequestError) -> Self {
        Self::text(error.status(), error.to_string())
    }

    /// 400 with the error's text, which must be safe to show the client.
    pub fn bad_request(error: &impl fmt::Display) -> Self {
        Self::text(Status::BadRequest, error.to_string())
    }

    /// 401 (PROTOCOL section 4). The body never gives the reason.
    pub fn unauthorized(challenge: Challenge) -> Self {
        let mut response = Self::status_only(Status::Unauthorized);
        let value = match challenge {
            Challenge::Missing => "Bearer",
            Challenge::InvalidToken => "Bearer error=\"invalid_token\"",
        };
        response.append("WWW-Authenticate", HeaderValue::from_static(value));
        response
    }

    /// 405, with the allowed methods (RFC 9110, section 15.5.6).
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let mut response = Self::status_only(Status::MethodNotAllowed);
        response.append("Allow", HeaderValue::from_static(allow));
        response
    }

    /// 503: try again after `retry_after_s` seconds.
    pub fn unavailable(retry_after_s: u32) -> Self {
        Self::later(Status::ServiceUnavailable, retry_after_s)
    }

    /// 429: the client has reached its limit; try again after `retry_after_s` seconds.
    pub fn too_many(retry_after_s: u32) -> Self {
        Self::later(Status::TooManyRequests, retry_after_s)
    }

    fn later(status: Status, retry_after_s: u32) -> Self {
        let mut response = Self::status_only(status);
        response.append("Retry-After", HeaderValue(Cow::Owned(retry_after_s.to_string())));
        response
    }

    /// The response of a healthy or ready hub: 200 `ok`.
    pub fn healthy() -> Self {
        let mut response = Self::text(Status::Ok, "ok");
        response.append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// A page that is part of the binary.
    pub fn page(page: &'static Page, negotiated: Negotiated) -> Self {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        let mut response = Self::with_body(Status::Ok, html, page.body(negotiated));
        response.set_coding(negotiated);
        response
    }

    /// Sets the coding of the body, and `Vary` if another request may get another coding. A stream
    /// follows in that coding.
    pub fn set_coding(&mut self, negotiated: Negotiated) {
        if let Some(coding) = negotiated.coding {
            self.set("Content-Encoding", HeaderValue::from_static(coding.name()));
        }
        if negotiated.varies {
            self.vary("Accept-Encoding");
        }
    }

    /// States that the response depends on this field of the request (RFC 9110, section 12.5.5).
    /// All such fields share one `Vary`, because some caches read only the first.
    pub fn vary(&mut self, field: &'static str) {
        match self.fields.iter_mut().find(|(name, _)| *name == VARY) {
            Some((_, value)) => value.0 = Cow::Owned(format!("{}, {field}", value.as_str())),
            None => self.append(VARY, HeaderValue::from_static(field)),
        }
    }

    /// Whether a stream follows.
    pub fn is_stream(&self) -> bool {
        self.body == ResponseBody::Stream
    }

    /// Adds a field. Existing fields of the same name stay, as needed for lists such as `Link`.
    pub fn append(&mut self, name: &'static str, value: HeaderValue) {
        self.fields.push((name, value));
    }

    /// Replaces a field.
    pub fn set(&mut self, name: &'static str, value: HeaderValue) {
        self.fields.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.append(name, value);
    }

    /// Marks a successful response private, because its URL holds a token (PROTOCOL section 4; RFC
    /// 6750, section 2.3). A stream is already private; an error is not changed.
    pub fn mark_private(&mut self) {
        let is_private = |(name, value): &(&str, HeaderValue)| {
            *name == CACHE_CONTROL && value.as_str().starts_with("private")
        };
        if self.status.is_success()
            && self.body != ResponseBody::Stream
            && !self.fields.iter().any(is_private)
        {
            self.set(CACHE_CONTROL, HeaderValue::from_static("private"));
        }
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The complete body; `None` for a stream.
    pub fn body(&self) -> Option<&[u8]> {
        match &self.body {
            ResponseBody::Bytes(bytes) => Some(bytes),
            ResponseBody::Stream => None,
        }
    }

    /// `Content-Length`; `None` for a stream and for a status without a body.
    pub fn content_length(&self) -> Option<usize> {
        self.body().filter(|_| self.status.has_body()).map(<[u8]>::len)
    }

    /// Every field except `Date`, `Content-Length` and those of the HTTP/1 connection.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let own_policy = self.fields.iter().any(|(name, _)| *name == CONTENT_SECURITY_POLICY);
        let common = [
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            (CONTENT_SECURITY_POLICY, "default-src 'self'"),
        ];
        let common = common.into_iter().take(if own_policy { 2 } else { 3 });
        common.chain(self.fields.iter().map(|(name, value)| (*name, value.as_str())))
    }

    /// Appends the response to `out` as HTTP/1.1: the head, and the body unless `http1.head_only`.
    ///
    /// The status line is HTTP/1.1 for a 1.0 client too (RFC 9110, section 2.5), but the response
    /// uses no feature of 1.1: a stream ends with the connection, not with a last chunk.
    pub fn encode(&self, http1: &Http1<'_>, out: &mut Vec<u8>) {
        let chunks = self.body == ResponseBody::Stream && http1.version != Version::Http10;
        let keep_alive = http1.keep_alive && http1.version != Version::Http10;
        out.extend_from_slice(b"HTTP/1.1 ");
        extend_decimal(out, u64::from(self.status.code()));
        out.push(b' ');
        out.extend_from_slice(self.status.reason().as_bytes());
        out.extend_from_slice(b"\r\n");
        for (name, value) in self.fields() {
            extend_field(out, name, value.as_bytes());
        }
        if let Some(date) = http1.date {
            extend_field(out, "Date", date.as_bytes());
        }
        if let Some(length) = self.content_length() {
            out.extend_from_slice(b"Content-Length: ");
            extend_decimal(out, length as u64);
            out.extend_from_slice(b"\r\n");
        }
        if chunks {
            extend_field(out, "Transfer-Encoding", b"chunked");
        }
        if !keep_alive {
            extend_field(out, "Connection", b"close");
        } else if self.body == ResponseBody::Stream {
            extend_field(out, "Connection", b"keep-alive");
        }
        out.extend_from_slice(b"\r\n");
        if let Some(body) = self.body().filter(|_| !http1.head_only && self.status.has_body()) {
            out.extend_from_slice(body);
        }
    }
}

fn extend_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn extend_decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

impl HeaderValue {
    /// A constant value. In a `const`, an invalid one does not compile.
    ///
    /// # Panics
    /// If the text holds a control character.
    pub const fn from_static(text: &'static str) -> Self {
        assert!(is_field_value(text.as_bytes()), "a control character in a constant");
        Self(Cow::Borrowed(text))
    }

    /// A value made at run time.
    ///
    /// # Errors
    /// [`HeaderValueError`] if it holds a control character.
    pub fn parse(text: String) -> Result<Self, HeaderValueError> {
        if is_field_value(text.as_bytes()) { Ok(Self(Cow::Owned(text))) } else { Err(HeaderValueError) }
    }

    /// The value as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_field_value(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        if (bytes[at] < b' ' && bytes[at] != b'\t') || bytes[at] == 0x7f {
            return false;
        }
        at += 1;
    }
    true
}

impl From<&EventId> for HeaderValue {
    /// Every event id is a field value: [`EventId::parse`] refuses control characters.
    fn from(id: &EventId) -> Self {
        Self(Cow::Owned(id.as_str().to_owned()))
    }
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for HeaderValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header value must not hold a control character")
    }
}

impl std::error::Error for HeaderValueError {}

#[cfg(test)]
mod tests;
