//! Messages between shards: a list of active subscriptions needs the entries of every shard.
//!
//! Each shard has a mailbox. Its bound is the number of messages that all shards together may have
//! in flight, so a send always finds room. The shard's waker announces a message.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::io::waker::ShardWaker;
use crate::limits::LISTINGS_MAX;
use crate::mercure::subscription::ListingQuery;

/// A message from one shard to another, or to itself.
pub(crate) enum ShardMessage {
    /// Asks for the shard's matching subscriptions.
    ListRequest { by: u16, serial: u32, wanted: Arc<ListingQuery> },
    /// A shard's list: members of a collection. `is_settled` if all events of these subscriptions
    /// are published.
    ListReply { serial: u32, is_settled: bool, members: Vec<u8> },
}

/// One shard's mailbox.
pub(crate) struct Mailbox {
    messages: Receiver<ShardMessage>,
    peers: Arc<[(Sender<ShardMessage>, Arc<ShardWaker>)]>,
}

impl Mailbox {
    /// Creates one mailbox for the shard of each waker.
    pub(crate) fn open(wakers: &[Arc<ShardWaker>]) -> Vec<Self> {
        // From each shard, including itself, a request and a reply for each list.
        let messages_max = 2 * LISTINGS_MAX * wakers.len();
        let (senders, receivers): (Vec<_>, Vec<_>) = wakers.iter().map(|_| bounded(messages_max)).unzip();
        let peers: Arc<[_]> = senders.into_iter().zip(wakers.iter().cloned()).collect();
        receivers.into_iter().map(|messages| Self { messages, peers: Arc::clone(&peers) }).collect()
    }

    /// The number of shards.
    pub(crate) fn shards(&self) -> usize {
        self.peers.len()
    }

    /// Sends a message; false if that shard has stopped.
    pub(crate) fn send(&self, to: usize, message: ShardMessage) -> bool {
        let (sender, waker) = &self.peers[to];
        let is_sent = sender.try_send(message).is_ok();
        waker.wake();
        is_sent
    }

    /// The next message, if there is one.
    pub(crate) fn next(&self) -> Option<ShardMessage> {
        self.messages.try_recv().ok()
    }

    pub(crate) fn has_message(&self) -> bool {
        !self.messages.is_empty()
    }
}
