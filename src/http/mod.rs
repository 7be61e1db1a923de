//! HTTP messages, pure: bytes in, values out. No socket, no clock, no thread. Methods, status codes
//! and field values are those of the `http` crate.
//!
//! [`h1::machine::Connection`] is the HTTP/1.1 server machine; [`h2`] holds the hub's own part of
//! HTTP/2. [`request::Request`] and [`response::Response`] belong to neither and serve both.
//! Invariants: a message that two readers could understand differently is refused, not repaired
//! (request smuggling relies on repairs); [`crate::limits`] bounds every buffer; a header value
//! that reaches the wire cannot hold a control character, by construction.

pub mod h1;
pub mod h2;
pub mod headers;
pub mod request;
pub mod request_error;
pub mod response;
pub mod scheme;
mod target;
