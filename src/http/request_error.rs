//! Why a request is refused before it is processed.

use std::fmt;

use http::StatusCode;

use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};

/// A request that cannot be read. The `Display` text is safe to show the client. An HTTP/1
/// connection closes after the response, because the start of the next request is uncertain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestError {
    /// The request line is malformed (RFC 9112, section 3).
    RequestLine,
    /// A line ends with LF alone, or a CR stands alone (RFC 9112, section 2.2).
    LineEnding,
    /// A field line is malformed: a bad name, white space before the colon, a folded line (RFC
    /// 9112, section 5).
    FieldName,
    /// A field value holds a control character (RFC 9110, section 5.5).
    FieldValue,
    /// The request target has a form that this method does not allow, or is not a URI reference
    /// (RFC 9112, section 3.2).
    Target,
    /// The request target is longer than [`TARGET_BYTES_MAX`].
    TargetTooLong,
    /// The head is longer than [`HEAD_BYTES_MAX`].
    HeadTooLong,
    /// There are more than [`HEADERS_MAX`] fields.
    TooManyFields,
    /// Not HTTP/1.0 or HTTP/1.1.
    Version,
    /// `Host` is missing in HTTP/1.1, given twice, or not a host (RFC 9112, section 3.2).
    Host,
    /// `Content-Length` is given twice or is not a decimal number (RFC 9112, section 6.3).
    ContentLength,
    /// `Content-Length` together with `Transfer-Encoding`, a classic of request smuggling (RFC
    /// 9112, section 6.1).
    LengthAndCoding,
    /// `Transfer-Encoding` in HTTP/1.0, given twice, or not ending with `chunked` once (RFC 9112,
    /// section 6.3).
    TransferEncoding,
    /// A transfer coding other than `chunked` (RFC 9112, section 6.1).
    UnknownCoding,
    /// An expectation other than `100-continue` (RFC 9110, section 10.1.1).
    Expectation,
    /// A field that may occur once is repeated; the name of the field.
    Repeated(&'static str),
    /// The chunked coding is broken (RFC 9112, section 7.1).
    Chunk,
    /// Chunk extensions or trailers are larger than allowed.
    ChunkOverhead,
    /// The body is larger than allowed.
    BodyTooLarge,
}

impl RequestError {
    /// The status of the response.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLong | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestLine
            | Self::LineEnding
            | Self::FieldName
            | Self::FieldValue
            | Self::Target
            | Self::Host
            | Self::ContentLength
            | Self::LengthAndCoding
            | Self::TransferEncoding
            | Self::Repeated(_)
            | Self::Chunk
            | Self::ChunkOverhead => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestLine => f.write_str("Malformed request line."),
            Self::LineEnding => f.write_str("Lines must end with CR LF."),
            Self::FieldName => f.write_str("Malformed header field."),
            Self::FieldValue => f.write_str("Control character in a header field."),
            Self::Target => f.write_str("Malformed request target."),
            Self::TargetTooLong => write!(f, "The request target is longer than {TARGET_BYTES_MAX} bytes."),
            Self::HeadTooLong => write!(f, "The request head is longer than {HEAD_BYTES_MAX} bytes."),
            Self::TooManyFields => write!(f, "More than {HEADERS_MAX} header fields."),
            Self::Version => f.write_str("Only HTTP/1.0 and HTTP/1.1 are spoken on this connection."),
            Self::Host => f.write_str("Missing, repeated or invalid Host."),
            Self::ContentLength => f.write_str("Invalid Content-Length."),
            Self::LengthAndCoding => f.write_str("Content-Length beside Transfer-Encoding."),
            Self::TransferEncoding => f.write_str("Invalid Transfer-Encoding."),
            Self::UnknownCoding => f.write_str("Only the chunked transfer coding is implemented."),
            Self::Expectation => f.write_str("Only the expectation 100-continue is known."),
            Self::Repeated(name) => write!(f, "Repeated {name}."),
            Self::Chunk => f.write_str("Malformed chunked body."),
            Self::ChunkOverhead => f.write_str("Too many bytes of chunk extensions or trailers."),
            Self::BodyTooLarge => f.write_str("The request body is too large."),
        }
    }
}

impl std::error::Error for RequestError {}
