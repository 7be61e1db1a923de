//! Responses: built without knowing the version of HTTP, then encoded as HTTP/1.1 or read field by
//! field for HTTP/2.
//!
//! Invariants: a field's name is a constant and its value an [`http::HeaderValue`], which holds no
//! control character but the tab, so client input cannot end a line; every response carries the
//! security headers of PROTOCOL section 8.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderValue, StatusCode};

use crate::http::headers::accept_encoding::Negotiated;
use crate::http::headers::date::HttpDate;
use crate::http::headers::names::{
    ACCEPT_QUERY, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, EXPIRES,
    FieldName, LAST_EVENT_ID, MERCURE_LAST_EVENT_ID, PRAGMA, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
    X_ACCEL_BUFFERING, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use crate::http::request::Version;
use crate::http::request_error::RequestError;
use crate::mercure::dialect::Dialect;
use crate::mercure::event_id::EventId;
use crate::mercure::names::EARLIEST;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The fields of every response. A page may replace the last one.
static SECURITY: [(&FieldName, HeaderValue); 3] = [
    (&X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (&X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (&CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'self'")),
];

/// One response. Its body is complete, or a stream that follows the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: StatusCode,
    fields: Vec<(&'static FieldName, HeaderValue)>,
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
    /// The token is valid, and does not grant the request.
    InsufficientScope,
    /// What is in the place of the token cannot be one, or there are several.
    InvalidRequest,
}

impl Challenge {
    /// The status on a hub without draft 08.
    fn legacy_status(self) -> StatusCode {
        match self {
            Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::Missing | Self::InvalidToken | Self::InvalidRequest => StatusCode::UNAUTHORIZED,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            other => other.legacy_status(),
        }
    }

    /// The error code of RFC 6750, section 3.1.
    fn error(self) -> Option<&'static str> {
        match self {
            Self::Missing => None,
            Self::InvalidToken => Some("invalid_token"),
            Self::InsufficientScope => Some("insufficient_scope"),
            Self::InvalidRequest => Some("invalid_request"),
        }
    }
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
    /// [`crate::http::h1::machine::Connection::begin_response`].
    pub keep_alive: bool,
    /// `Date`, which a server that has a clock must send (RFC 9110, section 6.6.1).
    pub date: Option<&'a HttpDate>,
}

impl Response {
    /// The response to a publication (PROTOCOL section 3): 200, with the id as the whole body.
    pub fn published(id: &EventId) -> Self {
        Self::text(StatusCode::OK, id.as_str().to_owned())
    }

    /// The head of a subscription's stream (PROTOCOL section 2). On HTTP/1.1 the caller sends
    /// chunks after it. The dialect names the field of the last event id.
    pub fn stream(precedes: Option<Precedes<'_>>, dialect: Dialect) -> Self {
        let mut response =
            Self { status: StatusCode::OK, fields: Vec::with_capacity(8), body: ResponseBody::Stream };
        for (name, value) in [
            (&CONTENT_TYPE, "text/event-stream"),
            (&CACHE_CONTROL, "private, no-cache, no-store, must-revalidate, max-age=0"),
            (&PRAGMA, "no-cache"),
            (&EXPIRES, "0"),
            (&X_ACCEL_BUFFERING, "no"),
        ] {
            response.append(name, HeaderValue::from_static(value));
        }
        let last_event_id = match dialect {
            Dialect::Draft04 | Dialect::Draft07 => &LAST_EVENT_ID,
            Dialect::Draft08 => &MERCURE_LAST_EVENT_ID,
        };
        match precedes {
            None => {}
            Some(Precedes::Earliest) => {
                response.append(last_event_id, HeaderValue::from_static(EARLIEST));
            }
            Some(Precedes::Event(id)) => response.append(last_event_id, id.into()),
        }
        response
    }

    /// A plain text, `text/plain; charset=utf-8`.
    pub fn text(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        let bytes = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Self::with_body(status, TEXT, bytes)
    }

    /// A body of any media type.
    pub fn with_body(
        status: StatusCode,
        content_type: HeaderValue,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        Self { status, fields: vec![(&CONTENT_TYPE, content_type)], body: ResponseBody::Bytes(body.into()) }
    }

    /// No body at all: 204 and 304.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, fields: Vec::new(), body: ResponseBody::Bytes(Cow::Borrowed(&[])) }
    }

    /// A status with its reason phrase as the text.
    pub fn status_only(status: StatusCode) -> Self {
        Self::text(status, reason(status))
    }

    /// A request that could not be read.
    pub fn request_error(error: RequestError) -> Self {
        Self::text(error.status(), error.to_string())
    }

    /// 400 with the error's text, which must be safe to show the client.
    pub fn bad_request(error: &impl fmt::Display) -> Self {
        Self::text(StatusCode::BAD_REQUEST, error.to_string())
    }

    /// 401, or 403 if the token does not suffice (PROTOCOL section 4). The body never gives the
    /// reason.
    pub fn unauthorized(challenge: Challenge) -> Self {
        let mut response = Self::status_only(challenge.legacy_status());
        let value = match challenge {
            Challenge::Missing => "Bearer",
            Challenge::InvalidToken | Challenge::InvalidRequest => "Bearer error=\"invalid_token\"",
            Challenge::InsufficientScope => return response,
        };
        response.append(&WWW_AUTHENTICATE, HeaderValue::from_static(value));
        response
    }

    /// 400, 401 or 403 of draft 08, with the error code and the URL of the protected resource
    /// metadata (MERCURE-1.0, section 5.4; RFC 9728, section 5.1). The body never gives the reason.
    pub fn challenge(challenge: Challenge, metadata_url: &str) -> Self {
        let mut response = Self::status_only(challenge.status());
        let error = challenge.error().map(|error| format!("error=\"{error}\", ")).unwrap_or_default();
        let value = format!("Bearer {error}resource_metadata=\"{metadata_url}\"");
        // A serialized URL is ASCII without quotes and control characters, so this never fails.
        if let Ok(value) = HeaderValue::try_from(value) {
            response.append(&WWW_AUTHENTICATE, value);
        }
        response
    }

    /// 405, with the allowed methods (RFC 9110, section 15.5.6).
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let mut response = Self::status_only(StatusCode::METHOD_NOT_ALLOWED);
        response.append(&ALLOW, HeaderValue::from_static(allow));
        response
    }

    /// States the media type of the bodies of `QUERY` (RFC 10008, section 3).
    pub fn accept_query(&mut self) {
        self.set(&ACCEPT_QUERY, HeaderValue::from_static("application/x-www-form-urlencoded"));
    }

    /// 503: try again after `retry_after_s` seconds.
    pub fn unavailable(retry_after_s: u32) -> Self {
        Self::later(StatusCode::SERVICE_UNAVAILABLE, retry_after_s)
    }

    /// 429: the client has reached its limit; try again after `retry_after_s` seconds.
    pub fn too_many(retry_after_s: u32) -> Self {
        Self::later(StatusCode::TOO_MANY_REQUESTS, retry_after_s)
    }

    /// The same with the reason, which must be safe to show the client.
    pub fn later_because(status: StatusCode, why: &str, retry_after_s: u32) -> Self {
        let mut response = Self::text(status, format!("{}: {why}", reason(status)));
        response.append(&RETRY_AFTER, HeaderValue::from(retry_after_s));
        response
    }

    /// The same from `/readyz`, with the reason.
    pub fn not_ready(why: &str, retry_after_s: u32) -> Self {
        let mut response = Self::later_because(StatusCode::SERVICE_UNAVAILABLE, why, retry_after_s);
        response.append(&CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn later(status: StatusCode, retry_after_s: u32) -> Self {
        let mut response = Self::status_only(status);
        response.append(&RETRY_AFTER, HeaderValue::from(retry_after_s));
        response
    }

    /// The response of a healthy or ready hub: 200 `ok`.
    pub fn healthy() -> Self {
        let mut response = Self::text(StatusCode::OK, "ok");
        response.append(&CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// Sets the coding of the body, and `Vary` if another request may get another coding. A stream
    /// follows in that coding.
    pub fn set_coding(&mut self, negotiated: Negotiated) {
        if let Some(coding) = negotiated.coding {
            self.set(&CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        if negotiated.varies {
            self.vary("Accept-Encoding");
        }
    }

    /// States that the response depends on this field of the request (RFC 9110, section 12.5.5).
    /// All such fields share one `Vary`, because some caches read only the first.
    pub fn vary(&mut self, field: &'static str) {
        let Some((_, value)) = self.fields.iter_mut().find(|(name, _)| *name == &VARY) else {
            return self.append(&VARY, HeaderValue::from_static(field));
        };
        // Two values and a comma are a value, so this never fails.
        if let Ok(both) = HeaderValue::try_from([value.as_bytes(), b", ", field.as_bytes()].concat()) {
            *value = both;
        }
    }

    /// Whether a stream follows.
    pub fn is_stream(&self) -> bool {
        self.body == ResponseBody::Stream
    }

    /// Adds a field. Existing fields of the same name stay, as needed for lists such as `Link`.
    pub fn append(&mut self, name: &'static FieldName, value: HeaderValue) {
        self.fields.push((name, value));
    }

    /// Replaces a field.
    pub fn set(&mut self, name: &'static FieldName, value: HeaderValue) {
        self.fields.retain(|(other, _)| *other != name);
        self.append(name, value);
    }

    /// Marks a successful response private, because its URL holds a token (PROTOCOL section 4; RFC
    /// 6750, section 2.3). A stream is already private; an error is not changed.
    pub fn mark_private(&mut self) {
        let is_private = |(name, value): &(&FieldName, HeaderValue)| {
            *name == &CACHE_CONTROL && value.as_bytes().starts_with(b"private")
        };
        if self.status.is_success()
            && self.body != ResponseBody::Stream
            && !self.fields.iter().any(is_private)
        {
            self.set(&CACHE_CONTROL, HeaderValue::from_static("private"));
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether a response with this status may have a body (RFC 9110, sections 15.3.5 and 15.4.5).
    pub fn may_have_body(&self) -> bool {
        !matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
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
        self.body().filter(|_| self.may_have_body()).map(<[u8]>::len)
    }

    /// Every field except `Date`, `Content-Length` and those of the HTTP/1 connection.
    pub fn fields(&self) -> impl Iterator<Item = (&'static FieldName, &HeaderValue)> {
        let own_policy = self.fields.iter().any(|(name, _)| *name == &CONTENT_SECURITY_POLICY);
        let common = SECURITY.iter().take(if own_policy { 2 } else { 3 });
        common.chain(&self.fields).map(|(name, value)| (*name, value))
    }

    /// Appends the response to `out` as HTTP/1.1: the head, and the body unless `http1.head_only`.
    ///
    /// The status line is HTTP/1.1 for a 1.0 client too (RFC 9110, section 2.5), but the response
    /// uses no feature of 1.1: a stream ends with the connection, not with a last chunk.
    pub fn encode(&self, http1: &Http1<'_>, out: &mut Vec<u8>) {
        let chunks = self.body == ResponseBody::Stream && http1.version != Version::Http10;
        let keep_alive = http1.keep_alive && http1.version != Version::Http10;
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(self.status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        out.extend_from_slice(b"\r\n");
        for (name, value) in self.fields() {
            extend_field(out, name.as_str(), value.as_bytes());
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
        if let Some(body) = self.body().filter(|_| !http1.head_only && self.may_have_body()) {
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

/// The reason phrase of an HTTP/1 status line, also the default text of an error body.
fn reason(status: StatusCode) -> &'static str {
    match status {
        // `http` has the older phrase. This one is of RFC 9110, section 15.5.14.
        StatusCode::PAYLOAD_TOO_LARGE => "Content Too Large",
        status => status.canonical_reason().unwrap_or_default(),
    }
}

impl From<&EventId> for HeaderValue {
    fn from(id: &EventId) -> Self {
        Self::from_bytes(id.as_str().as_bytes()).expect("EventId::parse refuses control characters")
    }
}

#[cfg(test)]
mod tests;
