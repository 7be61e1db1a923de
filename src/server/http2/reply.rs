//! The sender of a response on a stream, with the client of the request.

use std::ops::{Deref, DerefMut};

use bytes::Bytes;
use h2::server::SendResponse;

use crate::ops::access_log::Caller;

/// The `h2` response sender, with the client for the log.
pub(crate) struct Reply {
    respond: SendResponse<Bytes>,
    pub(crate) caller: Caller,
}

impl Reply {
    pub(crate) fn new(respond: SendResponse<Bytes>, caller: Caller) -> Self {
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
