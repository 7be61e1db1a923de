//! Messages between shards: a list of active subscriptions needs the entries of every shard.
//!
//! Each shard has a mailbox. Its bound is what all shards together may have under way, so a send always
//! finds room. The waker of the shard announces a message.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::wake::ShardWaker;
use crate::limits::LISTINGS_MAX;
use crate::protocol::subscription::ListingQuery;

/// What one shard writes to another, or to itself.
pub(super) enum ShardMessage {
    /// Lists what it has of these.
    ListRequest { by: u16, serial: u32, wanted: Arc<ListingQuery> },
    /// What a shard that was asked has: members of a collection.
    /// `is_settled` when its events all were in their place.
    ListReply { serial: u32, is_settled: bool, members: Vec<u8> },
}

/// One shard's end.
pub(super) struct Mailbox {
    messages: Receiver<ShardMessage>,
    peers: Arc<[(Sender<ShardMessage>, Arc<ShardWaker>)]>,
}

impl Mailbox {
    /// One for the shard of each waker.
    pub(super) fn open(wakers: &[Arc<ShardWaker>]) -> Vec<Self> {
        // From each shard, itself among them, a request and a reply for each list.
        let messages_max = 2 * LISTINGS_MAX * wakers.len();
        let (senders, receivers): (Vec<_>, Vec<_>) = wakers.iter().map(|_| bounded(messages_max)).unzip();
        let peers: Arc<[_]> = senders.into_iter().zip(wakers.iter().cloned()).collect();
        receivers.into_iter().map(|messages| Self { messages, peers: Arc::clone(&peers) }).collect()
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> usize {
        self.peers.len()
    }

    /// Sends a message; false when that shard has stopped.
    pub(super) fn send(&self, to: usize, message: ShardMessage) -> bool {
        let (sender, waker) = &self.peers[to];
        let is_sent = sender.try_send(message).is_ok();
        waker.wake();
        is_sent
    }

    /// The next message, if there is one.
    pub(super) fn next(&self) -> Option<ShardMessage> {
        self.messages.try_recv().ok()
    }

    pub(super) fn has_message(&self) -> bool {
        !self.messages.is_empty()
    }
}
