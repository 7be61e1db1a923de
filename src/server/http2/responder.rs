//! The response to a request on a stream, with the client of the request.

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{Response, StatusCode};

use crate::ops::access_log::Caller;

/// The `h2` response sender, with the client for the log.
pub(crate) struct StreamResponder {
    respond: SendResponse<Bytes>,
    pub(crate) caller: Caller,
}

impl StreamResponder {
    pub(crate) fn new(respond: SendResponse<Bytes>, caller: Caller) -> Self {
        Self { respond, caller }
    }

    /// Asks the client for the body: `100 Continue`. If the client is gone, reading the body
    /// reports it.
    pub(crate) fn send_continue(&mut self) {
        let mut interim = Response::new(());
        *interim.status_mut() = StatusCode::CONTINUE;
        let _ = self.respond.send_informational(interim);
    }

    /// Sends the head; returns the sender of the body. `None` if the client is gone.
    pub(crate) fn send_head(&mut self, head: Response<()>, is_whole: bool) -> Option<SendStream<Bytes>> {
        self.respond.send_response(head, is_whole).ok()
    }

    /// Ends the stream without a response.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }
}
