//! The history worker: a thread for each shard that reads the history. It may block, so the shard
//! never does.
//!
//! Requests and replies go through bounded queues, and the waker announces a reply to the shard.
//! Nothing depends on the executor's scheduling. A panic ends the process, as in any thread.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::history::{HistoryError, HistoryReader, HistorySlice, ResumePoint, resolve};
use crate::hub::shard::HistoryRead;
use crate::io::waker::ShardWaker;
use crate::limits::{CATCH_UP_BYTES, CATCH_UP_UPDATES, HISTORY_READS_MAX, HISTORY_REQUESTS_MAX};
use crate::mercure::resume::Resume;

/// A request of a shard.
pub(crate) enum HistoryRequest {
    /// The next slice for a subscriber that is catching up.
    Read(HistoryRead),
    /// Find where a subscription begins.
    Resolve { connection: u32, serial: u32, resume: Resume },
}

/// What the history returns.
pub(crate) enum HistoryReply {
    Read(HistoryRead, Result<HistorySlice, HistoryError>),
    Resolved { connection: u32, serial: u32, resume_point: Result<ResumePoint, HistoryError> },
}

/// The shard's end.
pub(crate) struct HistoryClient {
    requests: Sender<HistoryRequest>,
    replies: Receiver<HistoryReply>,
}

/// The thread's end.
pub(crate) struct HistoryWorker {
    requests: Receiver<HistoryRequest>,
    replies: Sender<HistoryReply>,
    history: Arc<dyn HistoryReader>,
    waker: Arc<ShardWaker>,
}

/// Both ends.
pub(crate) fn open(
    history: Arc<dyn HistoryReader>,
    waker: Arc<ShardWaker>,
) -> (HistoryClient, HistoryWorker) {
    let (ask, requests) = bounded(HISTORY_REQUESTS_MAX);
    // Room for the replies to all requests and to the one in progress: the thread never waits.
    let (replies, replies_in) = bounded(2 * HISTORY_REQUESTS_MAX + 1);
    (
        HistoryClient { requests: ask, replies: replies_in },
        HistoryWorker { requests, replies, history, waker },
    )
}

impl HistoryClient {
    /// Sends a request without waiting.
    ///
    /// # Errors
    /// Too many requests wait already.
    pub(crate) fn ask(&self, request: HistoryRequest) -> Result<(), HistoryError> {
        // Lookups leave room for reads, of which a shard has a bounded number in progress: many
        // clients that reconnect must not end the streams of those that catch up. Replies that are
        // not taken count too, so that their queue keeps its bound.
        let lookups_max = HISTORY_REQUESTS_MAX - HISTORY_READS_MAX;
        let waiting = self.requests.len().max(self.replies.len());
        if matches!(request, HistoryRequest::Resolve { .. }) && waiting >= lookups_max {
            return Err(HistoryError::TooManyLookups);
        }
        self.requests.try_send(request).map_err(|_| HistoryError::TooManyRequests)
    }

    /// The next reply, if there is one.
    pub(crate) fn reply(&self) -> Option<HistoryReply> {
        self.replies.try_recv().ok()
    }

    pub(crate) fn has_reply(&self) -> bool {
        !self.replies.is_empty()
    }
}

impl HistoryWorker {
    /// Serves requests until the shard is gone.
    pub(crate) fn run(self) {
        for request in &self.requests {
            if !self.serve(request) {
                return;
            }
        }
    }

    /// Serves a request, if one waits; returns whether one did.
    #[cfg(feature = "internals")]
    pub(crate) fn step(&self) -> bool {
        self.requests.try_recv().is_ok_and(|request| self.serve(request))
    }

    /// Serves a request; returns whether the shard is still there.
    fn serve(&self, request: HistoryRequest) -> bool {
        let reply = match request {
            HistoryRequest::Read(read) => {
                HistoryReply::Read(read, self.history.read(read.after, CATCH_UP_UPDATES, CATCH_UP_BYTES))
            }
            HistoryRequest::Resolve { connection, serial, resume } => {
                HistoryReply::Resolved { connection, serial, resume_point: resolve(&*self.history, &resume) }
            }
        };
        let is_sent = self.replies.send(reply).is_ok();
        if is_sent {
            self.waker.wake();
        }
        is_sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::memory::MemoryHistory;
    use crate::history::{History as _, Position, Retention};

    #[test]
    fn a_crowd_that_comes_back_leaves_room_for_those_that_catch_up() {
        let history = MemoryHistory::new(Retention::default());
        let (client, worker) = open(history.reader(), Arc::new(ShardWaker::new().expect("a waker")));
        let lookup = || HistoryRequest::Resolve { connection: 0, serial: 0, resume: Resume::Earliest };
        let mut lookups = 0;
        while client.ask(lookup()).is_ok() {
            lookups += 1;
            assert!(lookups <= HISTORY_REQUESTS_MAX);
        }
        for slot in 0..HISTORY_READS_MAX as u32 {
            let read = HistoryRead { slot, generation: 0, after: Position::START };
            client.ask(HistoryRequest::Read(read)).unwrap_or_else(|error| panic!("the {slot}th: {error}"));
        }
        drop(worker);
    }
}
