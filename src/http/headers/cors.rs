//! Cross-origin resource sharing (Fetch, section 3.2) and lists of origins (PROTOCOL
//! sections 4 and 8).
//!
//! Invariant: an echoed origin comes from the configuration. Of the request, it can hold one label
//! of a host name, where the configuration has a `*`.

use http::{HeaderValue, StatusCode};
use url::Url;

use crate::http::headers::names::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
};
use crate::http::response::Response;
use crate::limits::HOST_LABEL_BYTES_MAX;

/// Allowed origins; `*` allows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginList {
    any: bool,
    origins: Vec<ListedOrigin>,
}

/// An origin of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ListedOrigin {
    /// This one.
    One(HeaderValue),
    /// Those with any one label between these two texts: `https://`, `.example.com`.
    Below { scheme: Box<str>, parent: Box<str> },
}

/// The label of a host name that stands for the `*` of a listed origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostLabel {
    bytes: [u8; HOST_LABEL_BYTES_MAX],
    length: u8,
}

/// The error for a part of a setting that is not an origin; the text states the expected form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "origins such as https://app.example.com or https://*.example.com, without a path, or *: not {part:?}"
)]
pub struct OriginError {
    part: String,
}

/// The origins that may read responses: `CORS_ALLOWED_ORIGINS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    allowed: OriginList,
    speaks_draft08: bool,
}

/// The decision of [`Cors`] about one request. It outlives the request, which is gone when its
/// response is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorsDecision {
    /// There is no list: no response has CORS headers.
    Off,
    /// The request has no origin, or an unlisted one. The response needs a `Vary`, because there is
    /// a list.
    NotListed,
    /// Every origin may read the response, without credentials. `varies`: a listed origin would get
    /// a different response.
    Any {
        /// Whether the response depends on the origin.
        varies: bool,
    },
    /// The origin at this index of the list may read the response, with credentials.
    Listed(usize),
    /// The same, for an origin with this label in the place of a `*`.
    ListedBelow(usize, HostLabel),
}

impl OriginList {
    /// Parses a list separated by commas or white space: origins (`https://example.com:8443`),
    /// origins whose first label is `*` (`https://*.example.com`), which stands for exactly one
    /// label, or `*`.
    ///
    /// # Errors
    /// [`OriginError`] names the part that is none of these.
    pub fn parse(list: &str) -> Result<Self, OriginError> {
        let mut parsed = Self::default();
        for part in list.split([',', ' ', '\t', '\r', '\n']).filter(|part| !part.is_empty()) {
            if part == "*" {
                parsed.any = true;
                continue;
            }
            let origin = ListedOrigin::parse(part).ok_or_else(|| OriginError { part: part.to_owned() })?;
            if !parsed.origins.contains(&origin) {
                parsed.origins.push(origin);
            }
        }
        Ok(parsed)
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        !self.any && self.origins.is_empty()
    }

    /// Whether this value of an `Origin` header is allowed. `null` never is: every sandboxed
    /// document has it, so it identifies no origin.
    pub fn allows(&self, origin: &[u8]) -> bool {
        self.find(origin).is_some() || (self.any && origin != b"null" && !origin.is_empty())
    }

    /// Like [`OriginList::allows`], for the URL of a document from a `Referer` header.
    pub fn allows_origin_of(&self, url: &[u8]) -> bool {
        let url = std::str::from_utf8(url).ok().and_then(|text| Url::parse(text).ok());
        url.and_then(|url| serialize_origin(&url)).is_some_and(|origin| self.allows(origin.as_bytes()))
    }

    /// The list with this origin, too, if it is one.
    #[must_use]
    pub fn with(mut self, origin: &str) -> Self {
        if let Some(origin) = parse_origin(origin).map(ListedOrigin::One)
            && !self.origins.contains(&origin)
        {
            self.origins.push(origin);
        }
        self
    }

    fn find(&self, origin: &[u8]) -> Option<CorsDecision> {
        let one =
            |listed: &ListedOrigin| matches!(listed, ListedOrigin::One(one) if one.as_bytes() == origin);
        if let Some(place) = self.origins.iter().position(one) {
            return Some(CorsDecision::Listed(place));
        }
        let mut listed = self.origins.iter().enumerate();
        listed.find_map(|(place, it)| it.label(origin).map(|label| CorsDecision::ListedBelow(place, label)))
    }

    /// The origin of a decision, to be echoed.
    fn echoed(&self, place: usize, label: Option<&HostLabel>) -> Option<HeaderValue> {
        match (self.origins.get(place)?, label) {
            (ListedOrigin::One(origin), None) => Some(origin.clone()),
            (ListedOrigin::Below { scheme, parent }, Some(label)) => {
                HeaderValue::try_from([scheme.as_bytes(), label.as_bytes(), parent.as_bytes()].concat()).ok()
            }
            _ => None,
        }
    }
}

impl ListedOrigin {
    fn parse(part: &str) -> Option<Self> {
        let Some((before, after)) = part.split_once('*') else {
            return parse_origin(part).map(Self::One);
        };
        // The `*` is the first label of a host, and another one follows.
        let is_label = before.ends_with("://") && after.starts_with('.') && !after.contains('*');
        let origin = is_label.then(|| parse_origin(&format!("{before}x{after}"))).flatten()?;
        let (scheme, host) = origin.to_str().ok()?.split_once("://")?;
        let parent = host.strip_prefix('x').filter(|parent| parent.len() > 1)?;
        Some(Self::Below { scheme: format!("{scheme}://").into(), parent: parent.into() })
    }

    /// The label of this origin that stands for the `*`.
    fn label(&self, origin: &[u8]) -> Option<HostLabel> {
        let Self::Below { scheme, parent } = self else { return None };
        HostLabel::new(origin.strip_prefix(scheme.as_bytes())?.strip_suffix(parent.as_bytes())?)
    }
}

impl HostLabel {
    /// A label as browsers write it: in lower case and ASCII, without a dot.
    fn new(label: &[u8]) -> Option<Self> {
        let is_valid = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(byte);
        if label.is_empty() || !label.iter().all(is_valid) {
            return None;
        }
        let mut bytes = [0; HOST_LABEL_BYTES_MAX];
        bytes.get_mut(..label.len())?.copy_from_slice(label);
        Some(Self { bytes, length: label.len() as u8 })
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// An origin in the form that browsers send: without the default port, the host in lower case and
/// ASCII.
fn parse_origin(text: &str) -> Option<HeaderValue> {
    let url = Url::parse(text).ok()?;
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !is_bare || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    HeaderValue::try_from(serialize_origin(&url)?).ok()
}

/// Scheme, host and port. It also accepts schemes that WHATWG calls opaque
/// (`capacitor://localhost`), which web views send.
fn serialize_origin(url: &Url) -> Option<String> {
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let origin = match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    };
    Some(origin)
}

impl Cors {
    /// Parses `CORS_ALLOWED_ORIGINS`; an empty list turns CORS off.
    ///
    /// # Errors
    /// [`OriginError`] names the part that is not an origin.
    pub fn parse(list: &str) -> Result<Self, OriginError> {
        OriginList::parse(list).map(|allowed| Self { allowed, speaks_draft08: false })
    }

    /// For a hub that speaks draft 08: responses expose its fields, and `QUERY` is allowed.
    #[must_use]
    pub fn with_draft08(self) -> Self {
        Self { speaks_draft08: true, ..self }
    }

    /// Decides about a request with this `Origin`.
    pub fn decide(&self, origin: Option<&[u8]>) -> CorsDecision {
        if self.allowed.is_empty() {
            return CorsDecision::Off;
        }
        match origin.and_then(|origin| self.allowed.find(origin)) {
            Some(listed) => listed,
            None if self.allowed.any => CorsDecision::Any { varies: !self.allowed.origins.is_empty() },
            None => CorsDecision::NotListed,
        }
    }

    /// Adds the CORS headers that every response carries, errors included (PROTOCOL section 8).
    pub fn apply(&self, decision: CorsDecision, response: &mut Response) {
        let allowed = match decision {
            CorsDecision::Off => return,
            CorsDecision::NotListed => None,
            CorsDecision::Any { .. } => Some(HeaderValue::from_static("*")),
            CorsDecision::Listed(place) => self.allowed.echoed(place, None),
            CorsDecision::ListedBelow(place, label) => self.allowed.echoed(place, Some(&label)),
        };
        if decision != (CorsDecision::Any { varies: false }) {
            response.vary("Origin");
        }
        let Some(origin) = allowed else { return };
        response.set(&ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if matches!(decision, CorsDecision::Listed(_) | CorsDecision::ListedBelow(..)) {
            response.set(&ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let exposed = match self.speaks_draft08 {
            true => "Link, Mercure-Last-Event-ID, Last-Event-ID, WWW-Authenticate, Retry-After",
            false => "Link, Last-Event-ID",
        };
        response.set(&ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
    }

    /// The response to a preflight request, including the headers of [`Cors::apply`].
    pub fn preflight(&self, decision: CorsDecision) -> Response {
        let mut response = Response::empty(StatusCode::NO_CONTENT);
        self.apply(decision, &mut response);
        if !matches!(decision, CorsDecision::Off | CorsDecision::NotListed) {
            let methods = if self.speaks_draft08 { "GET, HEAD, POST, QUERY" } else { "GET, HEAD, POST" };
            for (name, value) in [
                (&ACCESS_CONTROL_ALLOW_METHODS, methods),
                (&ACCESS_CONTROL_ALLOW_HEADERS, "authorization, cache-control, last-event-id, content-type"),
                (&ACCESS_CONTROL_MAX_AGE, "86400"),
            ] {
                response.append(name, HeaderValue::from_static(value));
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::names::VARY;

    fn field<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        let value = response.fields().find(|(other, _)| other.as_str() == name)?.1;
        Some(value.to_str().expect("ASCII"))
    }

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        let list = OriginList::parse(
            "HTTPS://Example.COM:443, http://b:8080\thttps://é.example/\ncapacitor://localhost",
        )
        .expect("a list");
        for origin in
            ["https://example.com", "http://b:8080", "https://xn--9ca.example", "capacitor://localhost"]
        {
            assert!(list.allows(origin.as_bytes()), "{origin}");
        }
        for origin in
            ["", "null", "http://example.com", "https://example.com.evil", "https://example.com:8443", "*"]
        {
            assert!(!list.allows(origin.as_bytes()), "{origin}");
        }
    }

    #[test]
    fn what_is_not_an_origin_is_named() {
        for part in [
            "example.com",
            "https://a/path",
            "https://a?q",
            "https://u@a",
            "null",
            "**",
            "https://",
            "data:x",
        ] {
            let error = OriginList::parse(&format!("https://ok.example {part}")).expect_err(part);
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    /// Issue 19, item 7: one label, never across a dot.
    #[test]
    fn a_star_stands_for_exactly_one_label_of_a_host() {
        let list = OriginList::parse("https://*.Example.com http://*.é.example:8080").expect("a list");
        for origin in [
            "https://a.example.com",
            "https://a-b_1.example.com",
            "https://xn--9ca.example.com",
            "http://a.xn--9ca.example:8080",
        ] {
            assert!(list.allows(origin.as_bytes()), "{origin}");
            assert!(list.allows_origin_of(format!("{origin}/page").as_bytes()), "{origin}");
        }
        let long = format!("https://{}.example.com", "a".repeat(HOST_LABEL_BYTES_MAX + 1));
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://a.b.example.com",
            "https://evil.net/.example.com",
            "https://evil.net#.example.com",
            "https://evil.net:443.example.com",
            "https://u@.example.com",
            "https://a.example.com.evil.net",
            "https://aexample.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "http://a.xn--9ca.example",
            "https://A.example.com",
            "https://*.example.com",
            "https://a\0.example.com",
            "null",
            &long,
        ] {
            assert!(!list.allows(origin.as_bytes()), "{origin}");
        }
    }

    #[test]
    fn a_malformed_star_is_named() {
        for part in [
            "https://*",
            "https://*.",
            "https://a*.example.com",
            "https://*a.example.com",
            "https://a.*.example.com",
            "https://*.*.example.com",
            "https://**.example.com",
            "*.example.com",
            "*://a.example.com",
            "https://*.example.com/path",
            "https://u@*.example.com",
            "https://*.example.com:*",
            "https://*:8443",
            "https://*.0.0.1",
        ] {
            let error = OriginList::parse(&format!("https://ok.example {part}")).expect_err(part);
            assert!(error.to_string().ends_with(&format!("not {part:?}")), "{error}");
        }
    }

    #[test]
    fn an_origin_below_a_listed_one_is_echoed_with_credentials() {
        let cors = Cors::parse("https://*.a.example, https://b.a.example").expect("a list");
        for (origin, decided_by_place) in [("https://b.a.example", true), ("https://c.a.example", false)] {
            let decision = cors.decide(Some(origin.as_bytes()));
            assert_eq!(matches!(decision, CorsDecision::Listed(1)), decided_by_place, "{origin}");
            let preflight = cors.preflight(decision);
            assert_eq!(field(&preflight, "Access-Control-Allow-Origin"), Some(origin));
            assert_eq!(field(&preflight, "Access-Control-Allow-Credentials"), Some("true"));
            assert_eq!(field(&preflight, "Access-Control-Allow-Methods"), Some("GET, HEAD, POST"));
            assert_eq!(field(&preflight, "Vary"), Some("Origin"));
        }
        assert_eq!(cors.decide(Some(b"https://c.b.a.example")), CorsDecision::NotListed);
    }

    /// Tests 44 and 45 of MERCURE-1.0, section 13.
    #[test]
    fn with_draft_08_query_is_allowed_and_its_fields_are_exposed() {
        let cors = Cors::parse("https://a.example").expect("a list").with_draft08();
        let preflight = cors.preflight(cors.decide(Some(b"https://a.example")));
        assert_eq!(field(&preflight, "Access-Control-Allow-Methods"), Some("GET, HEAD, POST, QUERY"));
        assert_eq!(
            field(&preflight, "Access-Control-Expose-Headers"),
            Some("Link, Mercure-Last-Event-ID, Last-Event-ID, WWW-Authenticate, Retry-After")
        );
    }

    #[test]
    fn a_referer_counts_by_its_origin() {
        let list = OriginList::parse("https://a.example").expect("a list");
        assert!(list.allows_origin_of(b"https://a.example/page?x#y"));
        assert!(list.allows_origin_of(b"https://a.example:443"));
        for referer in [
            "https://b.example/?https://a.example",
            "https://a.example@b.example/",
            "a.example",
            "",
            "about:blank",
        ] {
            assert!(!list.allows_origin_of(referer.as_bytes()), "{referer}");
        }
        assert!(!list.allows_origin_of(b"https://a.example\xff/"));
        assert!(!OriginList::parse("*").expect("a list").allows(b"null"), "null names nobody");
    }

    #[test]
    fn without_a_list_there_are_no_cors_headers() {
        let cors = Cors::parse(" , ").expect("a list");
        let decision = cors.decide(Some(b"https://a.example"));
        assert_eq!(decision, CorsDecision::Off);
        let preflight = cors.preflight(decision);
        assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
        assert!(
            preflight.fields().all(|(name, _)| !name.as_str().starts_with("Access-Control") && name != &VARY)
        );
    }

    #[test]
    fn a_listed_origin_is_echoed_with_credentials() {
        let cors = Cors::parse("https://a.example").expect("a list");
        let mut response = Response::text(StatusCode::BAD_REQUEST, "no");
        cors.apply(cors.decide(Some(b"https://a.example")), &mut response);
        assert_eq!(field(&response, "Access-Control-Allow-Origin"), Some("https://a.example"));
        assert_eq!(field(&response, "Access-Control-Allow-Credentials"), Some("true"));
        assert_eq!(field(&response, "Access-Control-Expose-Headers"), Some("Link, Last-Event-ID"));
        assert_eq!(field(&response, "Vary"), Some("Origin"));
    }

    #[test]
    fn another_origin_gets_nothing_but_vary() {
        let cors = Cors::parse("https://a.example").expect("a list");
        for origin in [None, Some(b"https://b.example".as_slice()), Some(b"null")] {
            let preflight = cors.preflight(cors.decide(origin));
            assert_eq!(field(&preflight, "Vary"), Some("Origin"));
            assert!(
                preflight.fields().all(|(name, _)| !name.as_str().starts_with("Access-Control")),
                "{origin:?}"
            );
        }
    }

    #[test]
    fn the_wildcard_never_goes_with_credentials() {
        let cors = Cors::parse("*").expect("a list");
        let preflight = cors.preflight(cors.decide(Some(b"https://a.example")));
        assert_eq!(field(&preflight, "Access-Control-Allow-Origin"), Some("*"));
        assert_eq!(field(&preflight, "Access-Control-Allow-Credentials"), None);
        assert_eq!(field(&preflight, "Vary"), None, "the response is the same for all");
        assert_eq!(field(&preflight, "Access-Control-Allow-Methods"), Some("GET, HEAD, POST"));
        assert_eq!(field(&preflight, "Access-Control-Max-Age"), Some("86400"));

        let cors = Cors::parse("*, https://a.example").expect("a list");
        assert_eq!(cors.decide(Some(b"https://a.example")), CorsDecision::Listed(0));
        let other = cors.preflight(cors.decide(Some(b"https://b.example")));
        assert_eq!(field(&other, "Access-Control-Allow-Origin"), Some("*"));
        assert_eq!(field(&other, "Access-Control-Allow-Credentials"), None);
        assert_eq!(field(&other, "Vary"), Some("Origin"));
    }
}
