//! Pages that are part of the binary, compressed once for each coding.

use std::borrow::Cow;
use std::sync::OnceLock;

use http::{HeaderValue, StatusCode};

use crate::http::headers::accept_encoding::Negotiated;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::sse::coding::Coding;

/// The page at `/` without demo mode.
pub static WELCOME: Page = Page::new(concat!(
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>petasos</title>",
    "<h1>petasos</h1><p>This is a hub for the Mercure protocol. Its URL is ",
    "<a href=\"/.well-known/mercure\"><code>/.well-known/mercure</code></a>.</p></html>\n"
));

/// One page.
pub struct Page {
    html: Cow<'static, str>,
    gzip: OnceLock<Box<[u8]>>,
    zstd: OnceLock<Box<[u8]>>,
}

impl Page {
    /// A page with this text, for a `static`.
    pub const fn new(html: &'static str) -> Self {
        Self { html: Cow::Borrowed(html), gzip: OnceLock::new(), zstd: OnceLock::new() }
    }

    /// A page that was built when the hub started.
    pub fn owned(html: String) -> Self {
        Self { html: Cow::Owned(html), gzip: OnceLock::new(), zstd: OnceLock::new() }
    }

    /// The response with this page.
    pub fn response(&'static self, negotiated: Negotiated) -> Response {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        let mut response = Response::with_body(StatusCode::OK, html, self.body(negotiated));
        response.set_coding(negotiated);
        response
    }

    /// The page in the negotiated coding.
    pub fn body(&self, negotiated: Negotiated) -> &[u8] {
        let Some(coding) = negotiated.coding else { return self.html.as_bytes() };
        let place = match coding {
            Coding::Gzip => &self.gzip,
            Coding::Zstd => &self.zstd,
        };
        place.get_or_init(|| coding.encode(self.html.as_bytes()).into())
    }
}

/// The coding of a page. A request from another site gets the page uncompressed: BREACH, an attack
/// that learns a secret from the compressed length, must send its victims from another site.
pub fn coding_for(request: &Request<'_>, negotiated: Negotiated) -> Negotiated {
    let Some(referer) = request.referer else { return negotiated };
    let url = std::str::from_utf8(referer).ok().and_then(|referer| url::Url::parse(referer).ok());
    let site = url.as_ref().map(|url| &url[url::Position::BeforeHost..url::Position::AfterPort]);
    let is_ours = site.zip(request.host).is_some_and(|(site, host)| site.eq_ignore_ascii_case(host));
    if is_ours { negotiated } else { Negotiated { coding: None, ..negotiated } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Version;
    use crate::http::response::Http1;

    static LONG: Page = Page::new(
        "<p>The same, and the same, and the same, and the same, and the same, and the same, \
         and the same, and the same, and the same, and the same, and the same.</p>",
    );

    fn value<'a>(response: &'a Response, name: &str) -> Option<&'a [u8]> {
        response.fields().find(|(other, _)| other.as_str() == name).map(|(_, value)| value.as_bytes())
    }

    /// The response to a `HEAD` describes the same bytes that a `GET` gets (RFC 9110, section
    /// 9.3.2).
    #[test]
    fn a_page_is_sent_in_the_coding_that_its_head_tells() {
        let vary = Some(b"Accept-Encoding".as_slice());
        let plain = LONG.response(Negotiated { varies: true, coding: None });
        assert_eq!(value(&plain, "Content-Type"), Some(b"text/html; charset=utf-8".as_slice()));
        assert_eq!((value(&plain, "Content-Encoding"), value(&plain, "Vary")), (None, vary));
        for coding in Coding::ALL {
            let response = LONG.response(Negotiated { varies: true, coding: Some(coding) });
            assert_eq!(value(&response, "Content-Encoding"), Some(coding.name().as_bytes()));
            assert_eq!(value(&response, "Vary"), vary);
            let body = coding.encode(LONG.html.as_bytes());
            assert_eq!(response.body(), Some(&*body));
            assert!(response.content_length() < plain.content_length());
            let [head, whole] = [true, false].map(|head_only| {
                let mut out = Vec::new();
                let http1 = Http1 { version: Version::Http11, head_only, keep_alive: true, date: None };
                response.encode(&http1, &mut out);
                out
            });
            assert_eq!([head, body].concat(), whole);
        }
        let off = LONG.response(Negotiated::OFF);
        assert_eq!((value(&off, "Content-Encoding"), value(&off, "Vary")), (None, None));
    }
}
