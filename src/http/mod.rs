//! HTTP, pure: bytes in, values out. No socket, no clock, no thread.
//!
//! [`connection::Connection`] is the HTTP/1.1 server machine; [`request::Request`], [`route::Route`] and
//! [`response::Response`] know nothing of it and serve HTTP/2 as well, of which [`http2`] and [`flood_guard`] have what is not a
//! library's. Invariants worth naming: what two readers could
//! understand differently is refused, not repaired (request smuggling lives in repairs); every buffer is bounded in
//! [`crate::limits`]; a header value that reaches the wire cannot hold a control character, by construction.

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
