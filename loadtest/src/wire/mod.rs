//! The bytes on the wire, judged independently of any hub: chunks, events, heads and the stamp inside the data.

pub(crate) mod chunked;
pub(crate) mod http;
pub(crate) mod sse;
pub(crate) mod stamp;
