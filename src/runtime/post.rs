//! Letters between shards: a list of active subscriptions takes what every one of them has.
//!
//! Each shard has a box, bounded by what all of them together may have under way, so there is always room; the bell tells of a letter.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::wake::Bell;
use crate::limits::LISTINGS_MAX;
use crate::protocol::subscription::Wanted;

/// What one shard writes to another, or to itself.
pub(super) enum Letter {
    /// Lists what it has of these.
    Ask { by: u16, serial: u32, wanted: Arc<Wanted> },
    /// What a shard that was asked has: members of a collection.
    /// `is_told` when its events all were in their place.
    Told { serial: u32, is_told: bool, members: Vec<u8> },
}

/// One shard's end.
pub(super) struct Post {
    letters: Receiver<Letter>,
    boxes: Arc<[(Sender<Letter>, Arc<Bell>)]>,
}

impl Post {
    /// One for the shard of each bell.
    pub(super) fn open(bells: &[Arc<Bell>]) -> Vec<Self> {
        // From each shard, itself among them, a question and an answer for each list.
        let letters_max = 2 * LISTINGS_MAX * bells.len();
        let (senders, receivers): (Vec<_>, Vec<_>) = bells.iter().map(|_| bounded(letters_max)).unzip();
        let boxes: Arc<[_]> = senders.into_iter().zip(bells.iter().cloned()).collect();
        receivers.into_iter().map(|letters| Self { letters, boxes: Arc::clone(&boxes) }).collect()
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> usize {
        self.boxes.len()
    }

    /// Sends a letter; false when that shard has stopped.
    pub(super) fn send(&self, to: usize, letter: Letter) -> bool {
        let (sender, bell) = &self.boxes[to];
        let is_sent = sender.try_send(letter).is_ok();
        bell.ring();
        is_sent
    }

    /// The next letter, if there is one.
    pub(super) fn next(&self) -> Option<Letter> {
        self.letters.try_recv().ok()
    }

    pub(super) fn has_letter(&self) -> bool {
        !self.letters.is_empty()
    }
}
