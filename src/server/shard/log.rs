//! Log lines of a shard about requests and streams. Lines that come once per event are sampled, or
//! must be enabled.

use tracing::{debug, error, info};

use super::ShardLoop;
use crate::api::refusal::Refusal;
use crate::history::HistoryError;
use crate::http::response::Response;
use crate::hub::shard::Closed;
use crate::ops::access_log::{Access, Caller, Client};
use crate::ops::sampler::Admitted;

impl ShardLoop {
    /// Logs a response with a body of `body_bytes` bytes, to a request that began to arrive at
    /// `began_ms`; `refusal` is the reason, if it is refused.
    pub(super) fn log_response(
        &mut self,
        caller: &Caller,
        began_ms: u64,
        response: &Response,
        body_bytes: usize,
        refusal: Option<&Refusal>,
    ) {
        let (now_ms, status) = (self.now.ms, response.status());
        if let Some(Refusal { text: reason, unavailable }) = refusal {
            self.deps.recorder.refused(status, *unavailable);
            if let Some(Admitted { left_out }) = self.samplers.refused.admit(now_ms) {
                info!(client = %caller.client, status = status.code(), reason, left_out, "refused");
            }
        }
        if self.deps.access.is_logged {
            match &caller.access {
                Some(access) => access.answered(status, body_bytes, now_ms),
                None => Access::unreadable(caller.client, began_ms).answered(status, body_bytes, now_ms),
            }
        }
    }

    /// Logs a panic in a request.
    pub(super) fn log_defect(&mut self, client: Client) {
        if let Some(Admitted { left_out }) = self.samplers.defects.admit(self.now.ms) {
            error!(%client, left_out, "a request made the hub panic; it got 500");
        }
    }

    /// Logs a failed read of the history.
    pub(super) fn log_history_error(&mut self, error: &HistoryError) {
        if let Some(Admitted { left_out }) = self.samplers.history.admit(self.now.ms) {
            error!(error = %crate::error_text::chain(error), left_out, "the history cannot be read");
        }
    }

    /// Logs a stream that was ended because the epoll set could not watch its socket.
    pub(super) fn log_unwatched(&mut self, error: &std::io::Error) {
        if let Some(Admitted { left_out }) = self.samplers.sockets.admit(self.now.ms) {
            error!(%error, left_out, "a stream was ended: its socket cannot be watched");
        }
    }

    /// Logs the end of a stream.
    pub(super) fn log_end(&mut self, slot: u32, reason: Closed, access: Option<&Access>) {
        let now_ms = self.now.ms;
        self.deps.recorder.ended(reason);
        if let Some(access) = access {
            access.ended(reason, now_ms);
        }
        if reason == Closed::HistoryUnreadable
            && let Some(Admitted { left_out }) = self.samplers.history.admit(now_ms)
        {
            error!(slot, left_out, "a stream was ended: the history cannot be read");
        }
        debug!(shard = self.deps.number, slot, ?reason, "subscription ended");
    }
}
