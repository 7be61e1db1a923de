//! The keys whose subscriptions are being ended.

use crate::mercure::token::KeyNumber;

/// The keys, and how far the search for their subscriptions is.
#[derive(Default)]
pub(super) struct Withdrawals {
    pub(super) keys: Vec<KeyNumber>,
    /// The slot from which the search goes on.
    pub(super) next_slot: usize,
}

impl Withdrawals {
    pub(super) fn has_work(&self) -> bool {
        !self.keys.is_empty()
    }
}
