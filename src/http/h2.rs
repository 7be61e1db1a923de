//! HTTP/2 (RFC 9113): what the hub adds to the `h2` crate. Requests become those of
//! [`crate::http::request`]; floods of frames are counted.

pub mod flood_guard;
pub mod request;
