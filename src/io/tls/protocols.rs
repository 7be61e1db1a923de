//! The application protocols that a handshake negotiates (RFC 7301).

pub(super) const HTTP2: &[u8] = b"h2";
pub(super) const HTTP11: &[u8] = b"http/1.1";

/// The protocol of a handshake by which an authority validates a host (tls-alpn-01; RFC 8737).
pub(super) const CHALLENGE: &[u8] = b"acme-tls/1";
