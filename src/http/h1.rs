//! HTTP/1.1 (RFC 9112): the server machine and the parts of its messages.

pub mod body;
pub mod head;
pub mod machine;
pub mod recover_head;
mod scan;
