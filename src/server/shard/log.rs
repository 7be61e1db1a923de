//! Log lines and counts of a shard about requests and streams. Lines that come once per event are
//! sampled, or must be enabled.

use std::sync::Arc;

use tracing::{debug, error, info};

use crate::api::refusal::Refusal;
use crate::history::HistoryError;
use crate::http::response::Response;
use crate::hub::shard::EndReason;
use crate::ops::access_log::{Access, Caller, Client, Rules};
use crate::ops::metrics::Recorder;
use crate::ops::sampler::{Admitted, Samplers, SharedSampler};

/// The log of one shard.
pub(super) struct ShardLog {
    pub(super) shard: u16,
    /// `DEBUG`: logs the contents of updates.
    pub(super) log_updates: bool,
    pub(super) rules: Rules,
    pub(super) recorder: Recorder,
    pub(super) samplers: Samplers,
    /// The line about tokens of draft 04 or 07, of all shards.
    pub(super) legacy_line: Arc<SharedSampler>,
    /// Such tokens of publishers and of subscribers when this shard wrote that line last.
    pub(super) legacy_logged: [u64; 2],
}

impl ShardLog {
    /// Logs a response with a body of `body_bytes` bytes, to a request that began to arrive at
    /// `began_ms`; `refusal` is the reason, if it is refused.
    pub(super) fn response(
        &mut self,
        caller: &Caller,
        (began_ms, now_ms): (u64, u64),
        response: &Response,
        body_bytes: usize,
        refusal: Option<&Refusal>,
    ) {
        let status = response.status();
        if let Some(Refusal { text: reason, unavailable }) = refusal {
            self.recorder.refused(status, *unavailable);
            if let Some(Admitted { left_out }) = self.samplers.refused.admit(now_ms) {
                info!(client = %caller.client, status = status.as_u16(), reason, left_out, "refused");
            }
        }
        if self.rules.is_logged {
            match &caller.access {
                Some(access) => access.answered(status, body_bytes, now_ms),
                None => Access::unreadable(caller.client, began_ms).answered(status, body_bytes, now_ms),
            }
        }
    }

    /// Logs once in a while that tokens of draft 04 or 07 still come, so that an operator sees when
    /// the last old client is gone. `accepted` counts those of publishers and of subscribers.
    pub(super) fn legacy_tokens(&mut self, accepted: [u64; 2], now_ms: u64) {
        if accepted == self.legacy_logged || !self.legacy_line.admit(now_ms) {
            return;
        }
        let [publishers, subscribers] = accepted;
        let shard = self.shard;
        info!(shard, publishers, subscribers, "tokens of draft 04 or 07 are still used; accepted so far");
        self.legacy_logged = accepted;
    }

    /// Logs a defect of the hub in a request. If it was a panic, that has a line of its own.
    pub(super) fn defect(&mut self, client: Client, now_ms: u64) {
        if let Some(Admitted { left_out }) = self.samplers.defects.admit(now_ms) {
            error!(%client, left_out, "a request met a defect of the hub; it got 500");
        }
    }

    /// Counts and logs a failed read of the history. The error names the position of a damaged
    /// update.
    pub(super) fn history_error(&mut self, error: &HistoryError, now_ms: u64) {
        if let Some(position) = error.position() {
            self.recorder.unreadable(position);
        }
        if let Some(Admitted { left_out }) = self.samplers.history.admit(now_ms) {
            error!(error = %crate::error_text::chain(error), left_out, "the history cannot be read");
        }
    }

    /// Logs a stream that was ended because the epoll set could not watch its socket.
    pub(super) fn unwatched(&mut self, error: &std::io::Error, now_ms: u64) {
        if let Some(Admitted { left_out }) = self.samplers.sockets.admit(now_ms) {
            error!(%error, left_out, "a stream was ended: its socket cannot be watched");
        }
    }

    /// Logs the end of a stream.
    pub(super) fn end(&mut self, slot: u32, reason: EndReason, access: Option<&Access>, now_ms: u64) {
        self.recorder.ended(reason);
        if let Some(access) = access {
            access.ended(reason, now_ms);
        }
        if reason == EndReason::HistoryUnreadable
            && let Some(Admitted { left_out }) = self.samplers.history.admit(now_ms)
        {
            error!(slot, left_out, "a stream was ended: the history cannot be read");
        }
        debug!(shard = self.shard, slot, ?reason, "subscription ended");
    }
}
