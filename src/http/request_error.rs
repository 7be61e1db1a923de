//! Why a request is refused before it is processed.

use http::StatusCode;

use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, REQUEST_TARGET_BYTES_MAX};

/// A request that cannot be read. The `Display` text is safe to show the client. An HTTP/1
/// connection closes after the response, because the start of the next request is uncertain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RequestError {
    /// The request line is malformed (RFC 9112, section 3).
    #[error("Malformed request line.")]
    RequestLine,
    /// A line ends with LF alone, or a CR stands alone (RFC 9112, section 2.2).
    #[error("Lines must end with CR LF.")]
    LineEnding,
    /// A field line is malformed: a bad name, white space before the colon, a folded line (RFC
    /// 9112, section 5).
    #[error("Malformed header field.")]
    FieldName,
    /// A field value holds a control character (RFC 9110, section 5.5).
    #[error("Control character in a header field.")]
    FieldValue,
    /// The request target has a form that this method does not allow, or is not a URI reference
    /// (RFC 9112, section 3.2).
    #[error("Malformed request target.")]
    Target,
    /// The request target is longer than [`REQUEST_TARGET_BYTES_MAX`].
    #[error("The request target is longer than {REQUEST_TARGET_BYTES_MAX} bytes.")]
    TargetTooLong,
    /// The head is longer than [`HEAD_BYTES_MAX`].
    #[error("The request head is longer than {HEAD_BYTES_MAX} bytes.")]
    HeadTooLong,
    /// There are more than [`HEADERS_MAX`] fields.
    #[error("More than {HEADERS_MAX} header fields.")]
    TooManyFields,
    /// Not HTTP/1.0 or HTTP/1.1.
    #[error("Only HTTP/1.0 and HTTP/1.1 are spoken on this connection.")]
    Version,
    /// `Host` is missing in HTTP/1.1, given twice, or not a host (RFC 9112, section 3.2).
    #[error("Missing, repeated or invalid Host.")]
    Host,
    /// `Content-Length` is given twice or is not a decimal number (RFC 9112, section 6.3).
    #[error("Invalid Content-Length.")]
    ContentLength,
    /// `Content-Length` together with `Transfer-Encoding`, a classic of request smuggling (RFC
    /// 9112, section 6.1).
    #[error("Content-Length beside Transfer-Encoding.")]
    LengthAndCoding,
    /// `Transfer-Encoding` in HTTP/1.0, given twice, or not ending with `chunked` once (RFC 9112,
    /// section 6.3).
    #[error("Invalid Transfer-Encoding.")]
    TransferEncoding,
    /// A transfer coding other than `chunked` (RFC 9112, section 6.1).
    #[error("Only the chunked transfer coding is implemented.")]
    UnknownCoding,
    /// An expectation other than `100-continue` (RFC 9110, section 10.1.1).
    #[error("Only the expectation 100-continue is known.")]
    Expectation,
    /// A field that may occur once is repeated; the name of the field.
    #[error("Repeated {0}.")]
    Repeated(&'static str),
    /// The chunked coding is broken (RFC 9112, section 7.1).
    #[error("Malformed chunked body.")]
    Chunk,
    /// Chunk extensions or trailers are larger than allowed.
    #[error("Too many bytes of chunk extensions or trailers.")]
    ChunkOverhead,
    /// The body is larger than allowed.
    #[error("The request body is too large.")]
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
