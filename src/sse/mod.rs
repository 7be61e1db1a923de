//! The bytes of a stream, pure: from an update to what each subscriber is sent.
//!
//! A [`frame::Frame`] holds the event of one update, encoded once for all its subscribers. A
//! [`framing::Framing`] is how one stream is sent: the HTTP transfer around the negotiated coding.
//! Invariant: the outputs of a framing form one well-formed response body.

#[doc(hidden)]
pub mod chunk;
#[doc(hidden)]
pub mod coding;
#[doc(hidden)]
pub mod crc;
pub mod frame;
#[doc(hidden)]
pub mod framing;
pub(crate) mod held;
pub mod wire;
