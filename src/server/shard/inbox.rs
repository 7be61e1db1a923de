//! What other threads hand to a shard: entries of the ring, replies of the history, and messages of
//! other shards. Each call takes a bounded part, and hands replies to the requests that wait.

use super::connections::Connections;
use super::exchange::Reply;
use super::listings::Listed;
use super::request_id::RequestId;
use super::shared::Shared;
use super::streams::Streams;
use crate::hub::sequencer::{ReplyTo, RingEntry};
use crate::limits::{HISTORY_REPLIES_MAX, MATCHING_WORK_MAX, REPLAY_WORK_MAX, RING_BATCH_MAX};
use crate::ring::DrainStep;
use crate::server::history_worker::HistoryReply;

/// The entries that were taken from the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TakenEntries {
    pub(super) count: usize,
    /// No entry follows: the sequencer has ended.
    pub(super) is_last: bool,
}

/// Takes entries from the ring once every subscriber has been written to: queues the updates,
/// responds to this shard's publishers. Stops after `bytes_max` bytes of updates, or when the
/// matching was enough work: an update that pauses is continued with the next call.
pub(super) fn take_entries(
    connections: &mut Connections,
    shared: &mut Shared,
    bytes_max: usize,
) -> TakenEntries {
    let Shared { ring, streams: Streams { shard, .. }, number, log, listings, .. } = shared;
    let mut is_last = false;
    if shard.has_unflushed() {
        return TakenEntries { count: 0, is_last };
    }
    let mut ours: Vec<(ReplyTo, bool)> = Vec::new();
    let mut bytes = 0;
    let until = shard.counters().work + MATCHING_WORK_MAX;
    let count = ring.drain(RING_BATCH_MAX, |entry| {
        match entry {
            RingEntry::Published { update, reply_to } => {
                if !shard.take_some(update, until) {
                    return DrainStep::StopBefore;
                }
                bytes += update.frame.chunk().len();
                ours.extend((reply_to.shard() == Some(*number)).then_some((*reply_to, true)));
            }
            RingEntry::Rejected { reply_to } => {
                ours.extend((reply_to.shard() == Some(*number)).then_some((*reply_to, false)));
            }
            RingEntry::Discarded { before_oldest } => shard.forget_until(*before_oldest),
            RingEntry::End => is_last = true,
        }
        if bytes < bytes_max && shard.counters().work < until { DrainStep::GoOn } else { DrainStep::Stop }
    });
    log.recorder.took(count);
    if count > 0 {
        shard.moved();
        listings.took(count);
    }
    for (reply_to, is_stored) in ours {
        settle(connections, shared, reply_to, is_stored);
    }
    TakenEntries { count, is_last }
}

/// Handles the result of a publication of this shard, which came round the ring.
fn settle(connections: &mut Connections, shared: &mut Shared, reply_to: ReplyTo, is_stored: bool) {
    match reply_to {
        ReplyTo::Request { connection, serial, .. } => {
            shared.publications.settled();
            shared.log.recorder.settled(is_stored);
            connections.on_reply(RequestId { connection, serial }, Reply::Committed { is_stored }, shared);
        }
        ReplyTo::Event { .. } => {
            shared.log.recorder.settled(is_stored);
            shared.events.settled(shared.streams.shard.subscriptions(), is_stored, shared.now.ms);
        }
        ReplyTo::Embedded { .. } => {}
    }
}

/// Takes replies of the history; returns whether there were any.
pub(super) fn take_replies(connections: &mut Connections, shared: &mut Shared) -> bool {
    let mut any = false;
    let until = shared.streams.shard.counters().work + REPLAY_WORK_MAX;
    for _ in 0..HISTORY_REPLIES_MAX {
        if shared.streams.shard.counters().work >= until {
            break;
        }
        let Some(reply) = shared.history.reply() else { break };
        any = true;
        match reply {
            HistoryReply::Read(read, slice) => {
                if let Err(error) = &slice {
                    shared.log.history_error(error, shared.now.ms);
                }
                shared.streams.shard.history_read(read, slice);
            }
            HistoryReply::Resolved { connection, serial, resume_point } => {
                let id = RequestId { connection, serial };
                connections.on_reply(id, Reply::Resolved(resume_point), shared);
            }
        }
    }
    any
}

/// Takes messages of other shards, and advances all lists of subscriptions; returns whether there
/// was work.
pub(super) fn take_messages(connections: &mut Connections, shared: &mut Shared) -> bool {
    let Shared { streams, listings, mailbox, number, .. } = shared;
    let mut busy = match streams.shard.subscriptions() {
        Some(all) => listings.ask_shards(all, mailbox, *number),
        None => false,
    };
    while let Some(message) = shared.mailbox.next() {
        busy = true;
        if let Some(Listed { id, response, permit }) = shared.listings.on_message(message, &shared.handler) {
            let began = shared.budget.moment();
            connections.on_reply(id, Reply::Listed(response, permit), shared);
            shared.budget.charge_since(began);
        }
    }
    busy | shared.listings.list_for_shard(shared.streams.shard.subscriptions(), &shared.mailbox)
}
