//! The names of the fields that responses carry.
//!
//! Names have no case, but an HTTP/1.1 client may be careless about that, so HTTP/1.1 gets the
//! spelling of the specifications, and HTTP/2 the lower case that it requires (RFC 9113, section
//! 8.2.1). [`HeaderName`] is always in lower case; hence both spellings are kept, as constants.

use http::HeaderName;

use crate::mercure::names::{HEADER_LAST_EVENT_ID, HEADER_MERCURE_LAST_EVENT_ID};

/// The name of a response field, one of the constants of this module.
#[derive(Debug, PartialEq, Eq)]
pub struct FieldName {
    written: &'static str,
    name: HeaderName,
}

impl FieldName {
    /// A name as it is written in HTTP/1.1, and in lower case. Used for a `static`, two different
    /// names do not compile.
    const fn new(written: &'static str, lower_case: &'static str) -> Self {
        assert!(lower_case.eq_ignore_ascii_case(written), "two different names");
        Self { written, name: HeaderName::from_static(lower_case) }
    }

    /// The name as HTTP/1.1 writes it.
    pub fn as_str(&self) -> &'static str {
        self.written
    }

    /// The name in lower case, as HTTP/2 writes it. Cloning it does not allocate.
    pub fn header_name(&self) -> &HeaderName {
        &self.name
    }
}

macro_rules! names {
    ($($constant:ident: $written:expr, $lower_case:literal;)+) => {
        $(
            #[doc = concat!("`", $lower_case, "`")]
            pub static $constant: FieldName = FieldName::new($written, $lower_case);
        )+
    };
}

names! {
    ACCEPT_QUERY: "Accept-Query", "accept-query";
    ACCESS_CONTROL_ALLOW_CREDENTIALS: "Access-Control-Allow-Credentials", "access-control-allow-credentials";
    ACCESS_CONTROL_ALLOW_HEADERS: "Access-Control-Allow-Headers", "access-control-allow-headers";
    ACCESS_CONTROL_ALLOW_METHODS: "Access-Control-Allow-Methods", "access-control-allow-methods";
    ACCESS_CONTROL_ALLOW_ORIGIN: "Access-Control-Allow-Origin", "access-control-allow-origin";
    ACCESS_CONTROL_EXPOSE_HEADERS: "Access-Control-Expose-Headers", "access-control-expose-headers";
    ACCESS_CONTROL_MAX_AGE: "Access-Control-Max-Age", "access-control-max-age";
    ALLOW: "Allow", "allow";
    CACHE_CONTROL: "Cache-Control", "cache-control";
    CONTENT_ENCODING: "Content-Encoding", "content-encoding";
    CONTENT_SECURITY_POLICY: "Content-Security-Policy", "content-security-policy";
    CONTENT_TYPE: "Content-Type", "content-type";
    CROSS_ORIGIN_RESOURCE_POLICY: "Cross-Origin-Resource-Policy", "cross-origin-resource-policy";
    ETAG: "ETag", "etag";
    EXPIRES: "Expires", "expires";
    LAST_EVENT_ID: HEADER_LAST_EVENT_ID, "last-event-id";
    LINK: "Link", "link";
    LOCATION: "Location", "location";
    MERCURE_LAST_EVENT_ID: HEADER_MERCURE_LAST_EVENT_ID, "mercure-last-event-id";
    PRAGMA: "Pragma", "pragma";
    RETRY_AFTER: "Retry-After", "retry-after";
    SET_COOKIE: "Set-Cookie", "set-cookie";
    VARY: "Vary", "vary";
    WWW_AUTHENTICATE: "WWW-Authenticate", "www-authenticate";
    X_ACCEL_BUFFERING: "X-Accel-Buffering", "x-accel-buffering";
    X_CONTENT_TYPE_OPTIONS: "X-Content-Type-Options", "x-content-type-options";
    X_FRAME_OPTIONS: "X-Frame-Options", "x-frame-options";
}
