//! The bytes of a stream, pure: from an update to what each subscriber is sent.
//!
//! A [`frame::Frame`] holds the event of one update, encoded once for all its subscribers. A
//! [`framing::Framing`] is how one stream is sent: the HTTP transfer around the negotiated coding.
//! Invariant: the outputs of a framing form one well-formed response body.

pub mod chunk;
pub mod coding;
pub mod crc;
pub mod frame;
pub mod framing;
pub mod sent;
