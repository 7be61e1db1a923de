//! HTTP, pure: bytes in, values out. No socket, no clock, no thread.
//!
//! [`connection::Connection`] is the HTTP/1.1 server machine. [`request::Request`],
//! [`route::Route`] and [`response::Response`] do not depend on it and serve HTTP/2 as well.
//! [`http2`] and [`flood_guard`] hold the hub's own part of HTTP/2. Invariants: a message that two
//! readers could understand differently is refused, not repaired (request smuggling relies on
//! repairs); [`crate::limits`] bounds every buffer; a header value that reaches the wire cannot
//! hold a control character, by construction.

pub mod accept_encoding;
pub mod body;
pub mod connection;
pub mod cors;
pub mod credentials;
pub mod date;
pub mod demo;
pub mod etag;
pub mod flood_guard;
pub mod forwarded;
pub mod head;
pub mod http2;
pub mod page;
pub mod recover_head;
pub mod redact;
pub mod request;
pub mod request_error;
pub mod response;
pub mod route;
mod scan;
pub mod status;
pub mod subscribe_query;
mod target;
