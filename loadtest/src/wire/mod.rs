//! The bytes on the wire, judged independently of any hub: requests, heads, chunks, frames, events
//! and the stamp inside the data.

pub(crate) mod chunked;
pub(crate) mod coding;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod request;
pub(crate) mod sse;
pub(crate) mod stamp;
pub(crate) mod template;
