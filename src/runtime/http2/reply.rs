//! The sender of a response on a stream, with the client of the request.

use std::ops::{Deref, DerefMut};

use bytes::Bytes;
use h2::server::SendResponse;

use crate::runtime::access::Caller;

/// The `h2` response sender, with the client for the log.
pub(in crate::runtime) struct Reply {
    respond: SendResponse<Bytes>,
    pub(in crate::runtime) caller: Caller,
}

impl Reply {
    pub(in crate::runtime) fn new(respond: SendResponse<Bytes>, caller: Caller) -> Self {
        Self { respond, caller }
    }
}

impl Deref for Reply {
    type Target = SendResponse<Bytes>;

    fn deref(&self) -> &Self::Target {
        &self.respond
    }
}

impl DerefMut for Reply {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.respond
    }
}
