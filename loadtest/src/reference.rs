//! What ratios compare with.

use crate::options::Common;

/// The server that ratios compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference {
    /// The limit server, with a loop of sends.
    Limit,
    /// The limit server, with sends in batches on an io_uring.
    Ring,
    /// The same hub over HTTP/1.1, when HTTP/2 is measured.
    Http1,
    /// The same hub in clear text, when TLS is measured.
    ClearText,
    /// Another binary of the hub (`--before`).
    Before,
}

impl Reference {
    /// The reference for this command line.
    pub(crate) fn of(common: &Common) -> Self {
        match common {
            Common { before: Some(_), .. } => Self::Before,
            Common { http2: true, .. } => Self::Http1,
            Common { tls: true, .. } => Self::ClearText,
            Common { ring: true, .. } => Self::Ring,
            _ => Self::Limit,
        }
    }
}
