//! The debugger: one page, built from the files of its directory, and its content security policy.
//!
//! Invariants: script and style are in the page and named by their hashes, so that nothing else
//! runs, in particular no script of the playground, which has the same origin; nothing is loaded
//! from elsewhere; requests may go to any host, because the debugged hub is a setting; the page
//! cannot be framed.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode};

use super::hub::DemoHub;
use crate::api::page::Page;
use crate::http::headers::accept_encoding::Negotiated;
use crate::http::headers::names::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use crate::http::response::Response;
use crate::mercure::dialect::Dialect;

const PAGE: &str = include_str!("debugger/index.html");
const STYLE: &str = include_str!("debugger/style.css");
/// One script; each file comes after those it needs.
const SCRIPT: &str = concat!(
    include_str!("debugger/words.js"),
    include_str!("debugger/protocol.js"),
    include_str!("debugger/failures.js"),
    include_str!("debugger/token.js"),
    include_str!("debugger/stream.js"),
    include_str!("debugger/list.js"),
    include_str!("debugger/forms.js"),
    include_str!("debugger/settings.js"),
    include_str!("debugger/matchers.js"),
    include_str!("debugger/entries.js"),
    include_str!("debugger/builder.js"),
    include_str!("debugger/subscribe.js"),
    include_str!("debugger/publish.js"),
    include_str!("debugger/discover.js"),
    include_str!("debugger/subscriptions.js"),
    include_str!("debugger/match.js"),
    include_str!("debugger/start.js"),
);

/// The page.
pub(super) struct Debugger {
    page: Page,
    policy: HeaderValue,
}

impl Debugger {
    /// The page of this hub.
    pub(super) fn new(hub: &DemoHub) -> Self {
        let spoken = Dialect::ALL.into_iter().filter(|dialect| hub.dialects.has(*dialect));
        let spoken: Vec<_> = spoken.map(Dialect::as_str).collect();
        let page = PAGE
            .replace("{{protocols}}", &spoken.join(" "))
            .replace("{{cookie}}", &escape(&hub.cookie_name))
            .replace("{{access-token-cookie}}", &escape(&hub.access_token_cookie_name))
            .replace("{{audience}}", &escape(hub.audience.as_deref().unwrap_or_default()))
            .replace("{{issuer}}", &escape(hub.issuer.as_deref().unwrap_or_default()))
            .replace("{{style}}", STYLE)
            .replace("{{script}}", SCRIPT);
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; connect-src http: https:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            source(SCRIPT),
            source(STYLE)
        );
        // Hashes hold no control character. Without the hashes the page would do nothing, and no
        // harm.
        let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Self { page: Page::owned(page), policy }
    }

    /// The page in the negotiated coding.
    pub(super) fn response(&self, negotiated: Negotiated) -> Response {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        let mut response = Response::with_body(StatusCode::OK, html, self.page.body(negotiated).to_vec());
        response.set_coding(negotiated);
        response.append(&CONTENT_SECURITY_POLICY, self.policy.clone());
        response.append(&CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

/// The source expression of an inline script or style (CSP Level 3, section 2.3.1).
fn source(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

/// Escapes a text for use in an attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}
