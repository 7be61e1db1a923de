//! A request, borrowed from the bytes it came in, the same for HTTP/1 and HTTP/2.
//!
//! Only the fields the hub uses are kept. A repeated field that must occur once is refused here,
//! for both versions. `Authorization` is the exception: its repetition is kept, because the
//! protocol requires 401 for it.

use std::net::IpAddr;

use http::Method;

use crate::http::headers::forwarded::{Forwarded, ForwardedFields};
use crate::http::request_error::RequestError;
use crate::http::scheme::Scheme;
use crate::mercure::names::EARLIEST;

/// The method `QUERY` (RFC 10008): a safe request whose parameters are in its body.
pub const QUERY: &str = "QUERY";

/// The HTTP version of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0: no chunks, and every connection serves one request.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2; a library does the framing.
    Http2,
}

/// A field that may occur once, where a repetition is handled later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Single<'a> {
    /// The field is absent.
    #[default]
    Absent,
    /// The field occurs once.
    One(&'a [u8]),
    /// The field occurs more than once: no value may be used.
    Several,
}

/// The lines of a field that may occur several times: a list, or the cookie crumbs of HTTP/2. Only
/// the second and later lines allocate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines<'a> {
    first: Option<&'a [u8]>,
    more: Vec<&'a [u8]>,
}

impl<'a> Lines<'a> {
    /// The values, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.first.into_iter().chain(self.more.iter().copied())
    }

    /// Whether the field is absent.
    #[cfg(any(test, feature = "internals"))]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn push(&mut self, value: &'a [u8]) {
        if self.first.is_none() {
            self.first = Some(value);
        } else {
            self.more.push(value);
        }
    }
}

impl<'a> FromIterator<&'a [u8]> for Lines<'a> {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(values: I) -> Self {
        let mut lines = Self::default();
        values.into_iter().for_each(|value| lines.push(value));
        lines
    }
}

/// One request without its body. `Debug` hides the fields that carry secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The version.
    pub version: Version,
    /// The path, undecoded; `*` for `OPTIONS *`.
    pub path: &'a str,
    /// The part after the first `?`, undecoded.
    pub query: Option<&'a str>,
    /// The scheme of the connection, or the one that a trusted proxy reports.
    pub scheme: Scheme,
    /// The authority: of an absolute target, of `:authority`, else of `Host`. Always a valid host
    /// with an optional port.
    pub host: Option<&'a str>,
    /// `Authorization`.
    pub authorization: Single<'a>,
    /// `Cookie`; HTTP/2 may send one line per crumb (RFC 9113, section 8.2.3).
    pub cookies: Lines<'a>,
    /// `Origin`.
    pub origin: Option<&'a [u8]>,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// `User-Agent`, for the log; the last one if there are several.
    pub user_agent: Option<&'a [u8]>,
    /// `Last-Event-ID`; `earliest` if it is not UTF-8.
    pub last_event_id: Option<&'a str>,
    /// `Accept`.
    pub accept: Lines<'a>,
    /// `Accept-Encoding`.
    pub accept_encoding: Lines<'a>,
    /// `If-None-Match`.
    pub if_none_match: Lines<'a>,
    /// `Access-Control-Request-Method` (Fetch, section 3.2.2).
    pub cors_method: Option<&'a [u8]>,
    /// `Access-Control-Request-Headers`.
    pub cors_headers: Lines<'a>,
    /// The fields that a proxy may have set.
    pub forwarded: ForwardedFields<'a>,
    /// `Expect: 100-continue`. Always false in HTTP/1.0, where it must be ignored (RFC 9110,
    /// section 10.1.1).
    pub expect_continue: bool,
}

impl<'a> Request<'a> {
    /// A request without fields.
    pub fn new(method: Method, version: Version, path: &'a str, query: Option<&'a str>) -> Self {
        Self {
            method,
            version,
            path,
            query,
            scheme: Scheme::Http,
            host: None,
            authorization: Single::Absent,
            cookies: Lines::default(),
            origin: None,
            referer: None,
            content_type: None,
            user_agent: None,
            last_event_id: None,
            accept: Lines::default(),
            accept_encoding: Lines::default(),
            if_none_match: Lines::default(),
            cors_method: None,
            cors_headers: Lines::default(),
            forwarded: ForwardedFields::default(),
            expect_continue: false,
        }
    }

    /// Stores one header field; `name` may have any case. Fields that the hub does not use are
    /// ignored. [`crate::http::h1::head`] handles `Host` and the fields that frame an HTTP/1
    /// message.
    pub fn field(&mut self, name: &str, value: &'a [u8]) -> Result<(), RequestError> {
        // The length distinguishes most names, so a field costs one comparison, not thirteen.
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            6 if is("cookie") => self.cookies.push(value),
            6 if is("origin") => once(&mut self.origin, value, "Origin")?,
            6 if is("accept") => self.accept.push(value),
            6 if is("expect") => self.expect(value)?,
            7 if is("referer") => once(&mut self.referer, value, "Referer")?,
            10 if is("user-agent") => self.user_agent = Some(value),
            12 if is("content-type") => once(&mut self.content_type, value, "Content-Type")?,
            13 if is("authorization") => {
                self.authorization = match self.authorization {
                    Single::Absent => Single::One(value),
                    Single::One(_) | Single::Several => Single::Several,
                }
            }
            13 if is("last-event-id") => {
                // Every event id is UTF-8, so this id is unknown, which means `earliest` (PROTOCOL
                // section 6). A lenient reading could name another event; the client would then
                // miss updates without notice.
                let id = std::str::from_utf8(value).unwrap_or(EARLIEST);
                once(&mut self.last_event_id, id, "Last-Event-ID")?;
            }
            13 if is("if-none-match") => self.if_none_match.push(value),
            15 if is("accept-encoding") => self.accept_encoding.push(value),
            9 | 15..=17 if self.forwarded.take(name, value) => {}
            29 if is("access-control-request-method") => {
                once(&mut self.cors_method, value, "Access-Control-Request-Method")?;
            }
            30 if is("access-control-request-headers") => self.cors_headers.push(value),
            _ => {}
        }
        Ok(())
    }

    /// The method for the log; methods that no resource supports are all `other`.
    pub fn method_name(&self) -> &'static str {
        match self.method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::OPTIONS => "OPTIONS",
            _ if self.is_query() => QUERY,
            _ => "other",
        }
    }

    /// Whether the method is known. If a resource does not support it, the response is then 405,
    /// else 501 (RFC 9110, section 9.1). Methods are case-sensitive, so `get` is not known, and
    /// neither is a method that is newer than RFC 9110, except `QUERY`.
    pub fn has_known_method(&self) -> bool {
        self.is_query()
            || matches!(
                self.method,
                Method::GET
                    | Method::HEAD
                    | Method::POST
                    | Method::OPTIONS
                    | Method::PUT
                    | Method::DELETE
                    | Method::PATCH
                    | Method::TRACE
                    | Method::CONNECT
            )
    }

    /// Whether the method is [`QUERY`].
    pub fn is_query(&self) -> bool {
        self.method.as_str() == QUERY
    }

    /// Trusts the scheme and the host that a proxy reports, and returns the client address it
    /// reports.
    pub fn trust_forwarded(&mut self) -> Option<IpAddr> {
        let Forwarded { client, scheme, host } = self.forwarded.read();
        self.scheme = scheme.unwrap_or(self.scheme);
        self.host = host.or(self.host);
        client
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), RequestError> {
        match self.version {
            Version::Http10 => Ok(()),
            Version::Http11 | Version::Http2 if value.eq_ignore_ascii_case(b"100-continue") => {
                self.expect_continue = true;
                Ok(())
            }
            Version::Http11 | Version::Http2 => Err(RequestError::Expectation),
        }
    }
}

/// Stores the value of a field that may occur once.
fn once<T>(place: &mut Option<T>, value: T, name: &'static str) -> Result<(), RequestError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(RequestError::Repeated(name)),
    }
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The query, `Authorization`, `Cookie` and `Referer` may hold a token.
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("version", &self.version)
            .field("path", &self.path)
            .field("host", &self.host)
            .field("last_event_id", &self.last_event_id)
            .field("expect_continue", &self.expect_continue)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get() -> Request<'static> {
        Request::new(Method::GET, Version::Http11, "/hub", None)
    }

    #[test]
    fn a_method_is_known_or_not_and_only_supported_ones_have_a_name_in_the_log() {
        for (token, is_known, name) in [
            ("GET", true, "GET"),
            ("HEAD", true, "HEAD"),
            ("POST", true, "POST"),
            ("OPTIONS", true, "OPTIONS"),
            ("PUT", true, "other"),
            ("DELETE", true, "other"),
            ("PATCH", true, "other"),
            ("TRACE", true, "other"),
            ("CONNECT", true, "other"),
            ("get", false, "other"),
            ("QUERY", true, "QUERY"),
            ("query", false, "other"),
            ("PURGE", false, "other"),
            ("VERSION-CONTROL-AND-MORE", false, "other"),
        ] {
            let method = Method::from_bytes(token.as_bytes()).expect("a token");
            let request = Request::new(method, Version::Http11, "/", None);
            assert_eq!((request.has_known_method(), request.method_name()), (is_known, name), "{token}");
        }
    }

    #[test]
    fn two_values_for_one_field_are_refused_and_two_authorizations_are_remembered() {
        for name in ["Origin", "Referer", "Content-Type", "Last-Event-ID"] {
            let mut request = get();
            request.field(&name.to_lowercase(), b"a").expect("the first");
            assert_eq!(request.field(name, b"a"), Err(RequestError::Repeated(name)));
        }
        let mut request = get();
        request.field("Authorization", b"Bearer a").expect("the first");
        assert_eq!(request.authorization, Single::One(b"Bearer a"));
        request.field("AUTHORIZATION", b"Bearer a").expect("the second");
        assert_eq!(request.authorization, Single::Several);
    }

    #[test]
    fn cookie_crumbs_keep_their_order() {
        let mut request = get();
        for crumb in [b"a=1".as_slice(), b"b=2", b"c=3"] {
            request.field("cookie", crumb).expect("a crumb");
        }
        assert_eq!(request.cookies.iter().collect::<Vec<_>>(), [b"a=1", b"b=2", b"c=3"]);
    }

    #[test]
    fn a_last_event_id_that_is_not_utf8_is_unknown_and_never_another_id() {
        for (value, read) in
            [("é".as_bytes(), "é"), (b"\xff", EARLIEST), (b"\xe9", EARLIEST), (b"a\xff", EARLIEST)]
        {
            let mut request = get();
            assert_eq!(request.field("Last-Event-ID", value), Ok(()));
            assert_eq!(request.last_event_id, Some(read), "{value:?}");
        }
    }

    #[test]
    fn an_unknown_expectation_is_417_except_in_http_1_0() {
        assert_eq!(get().field("Expect", b"103-checkpoint"), Err(RequestError::Expectation));
        let mut old = Request::new(Method::POST, Version::Http10, "/", None);
        assert_eq!(old.field("Expect", b"100-continue"), Ok(()));
        assert!(!old.expect_continue);
        let mut new = get();
        assert_eq!(new.field("Expect", b"100-Continue"), Ok(()));
        assert!(new.expect_continue);
    }

    #[test]
    fn what_a_proxy_says_changes_nothing_until_it_is_trusted() {
        let mut request = get();
        request.host = Some("hub");
        for (name, value) in [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")] {
            request.field(name, value.as_bytes()).expect("a field");
        }
        assert_eq!((request.scheme, request.host), (Scheme::Http, Some("hub")));
        assert_eq!(request.trust_forwarded(), "192.0.2.1".parse().ok());
        assert_eq!((request.scheme, request.host), (Scheme::Https, Some("hub")));
        request.field("Forwarded", b"for=_hidden;host=a.example").expect("a field");
        assert_eq!((request.trust_forwarded(), request.host), ("192.0.2.1".parse().ok(), Some("a.example")));
        assert_eq!(get().trust_forwarded(), None);
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let mut request = Request::new(Method::GET, Version::Http11, "/hub", Some("authorization=s3cret"));
        for name in ["Authorization", "Cookie", "Referer"] {
            request.field(name, b"s3cret").expect("a field");
        }
        assert!(!format!("{request:?}").contains("s3cret"));
    }
}
