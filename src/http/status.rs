//! The status codes of the hub's responses.

/// A status code (RFC 9110, section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Status {
    /// The request succeeded.
    Ok = 200,
    /// The request succeeded, and there is no body.
    NoContent = 204,
    /// The client's copy is current.
    NotModified = 304,
    /// The resource has moved permanently; the method must not change.
    PermanentRedirect = 308,
    /// The request breaks a rule of HTTP or of the protocol.
    BadRequest = 400,
    /// A token is missing or invalid.
    Unauthorized = 401,
    /// The token does not grant this, or the origin is not allowed.
    Forbidden = 403,
    /// There is nothing at this path.
    NotFound = 404,
    /// The path is known, but does not support the method.
    MethodNotAllowed = 405,
    /// The request did not arrive in time.
    RequestTimeout = 408,
    /// The body is larger than allowed.
    ContentTooLarge = 413,
    /// The request target is longer than allowed.
    UriTooLong = 414,
    /// The resource does not accept the type of the body.
    UnsupportedMediaType = 415,
    /// The expectation in `Expect` is unknown.
    ExpectationFailed = 417,
    /// The client has reached a limit (RFC 6585, section 4).
    TooManyRequests = 429,
    /// The head is larger than allowed, or has too many fields.
    HeaderFieldsTooLarge = 431,
    /// The hub failed.
    InternalServerError = 500,
    /// The method or the transfer coding is unknown.
    NotImplemented = 501,
    /// The hub cannot do this now.
    ServiceUnavailable = 503,
    /// The version of HTTP is not supported.
    VersionNotSupported = 505,
}

impl Status {
    /// The three digits.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The reason phrase of an HTTP/1 status line, also the default text of an error body.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::NoContent => "No Content",
            Self::NotModified => "Not Modified",
            Self::PermanentRedirect => "Permanent Redirect",
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::RequestTimeout => "Request Timeout",
            Self::ContentTooLarge => "Content Too Large",
            Self::UriTooLong => "URI Too Long",
            Self::UnsupportedMediaType => "Unsupported Media Type",
            Self::ExpectationFailed => "Expectation Failed",
            Self::TooManyRequests => "Too Many Requests",
            Self::HeaderFieldsTooLarge => "Request Header Fields Too Large",
            Self::InternalServerError => "Internal Server Error",
            Self::NotImplemented => "Not Implemented",
            Self::ServiceUnavailable => "Service Unavailable",
            Self::VersionNotSupported => "HTTP Version Not Supported",
        }
    }

    /// Whether a response with this status may have a body (RFC 9110, sections 15.3.5 and 15.4.5).
    pub const fn has_body(self) -> bool {
        !matches!(self, Self::NoContent | Self::NotModified)
    }

    /// Whether the request was understood and accepted: 2xx.
    pub const fn is_success(self) -> bool {
        self.code() / 100 == 2
    }
}
