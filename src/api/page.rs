//! Pages that are part of the binary, compressed once for each coding.

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::http::headers::accept_encoding::Negotiated;
use crate::http::request::Request;
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
