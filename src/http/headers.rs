//! Header fields: each with its grammar and its bounds.

pub mod accept;
pub mod accept_encoding;
pub mod cors;
pub mod credentials;
pub mod date;
pub mod etag;
pub mod forwarded;
pub mod link;
pub mod names;
