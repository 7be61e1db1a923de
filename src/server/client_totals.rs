//! What each client holds of something bounded: connections, the price of its selectors, and so on.
//!
//! Invariants:
//! - totals are those of the process, whichever shard serves a client;
//! - each share is held by a [`Share`], and dropping it gives the share back, so no way of closing
//!   can miss it;
//! - only clients with a total above 0 are stored. A lock is held for one access to one of 16 maps.

use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::{DefaultHashBuilder, HashMap};

use crate::limits::QUOTA_MAPS;

pub(crate) use crate::hub::client::ClientKey;

/// The totals by client.
pub(crate) struct ClientTotals {
    max: u64,
    hasher: DefaultHashBuilder,
    maps: [Mutex<HashMap<ClientKey, u64>>; QUOTA_MAPS],
}

/// A client's share; dropping it gives it back.
pub(crate) struct Share {
    totals: Arc<ClientTotals>,
    key: ClientKey,
    amount: u64,
}

impl ClientTotals {
    /// Totals of at most `max` per client.
    pub(crate) fn new(max: u64) -> Arc<Self> {
        Arc::new(Self { max, hasher: DefaultHashBuilder::default(), maps: Default::default() })
    }

    /// Adds `amount`, above 0, to the total of a client; `None` if it would exceed the maximum.
    pub(crate) fn hold(self: &Arc<Self>, key: ClientKey, amount: u64) -> Option<Share> {
        let mut map = self.map(key);
        let held = map.get(&key).copied().unwrap_or(0);
        let total = held.checked_add(amount).filter(|total| *total <= self.max)?;
        map.insert(key, total);
        drop(map);
        Some(Share { totals: Arc::clone(self), key, amount })
    }

    /// Whether no client holds anything.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.maps.iter().all(|map| map.lock().is_ok_and(|map| map.is_empty()))
    }

    fn map(&self, key: ClientKey) -> MutexGuard<'_, HashMap<ClientKey, u64>> {
        let number = self.hasher.hash_one(key) as usize % QUOTA_MAPS;
        self.maps[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// What it counts.
    pub(crate) fn amount(&self) -> u64 {
        self.amount
    }

    /// Gives a part of it back, at most all of it.
    pub(crate) fn give_back(&mut self, amount: u64) {
        let amount = amount.min(self.amount);
        self.amount -= amount;
        let mut map = self.totals.map(self.key);
        if let Some(total) = map.get_mut(&self.key) {
            *total -= amount;
            if *total == 0 {
                map.remove(&self.key);
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_holds_at_most_the_maximum_and_leaves_nothing_when_it_is_gone() {
        let totals = ClientTotals::new(10);
        let client = ClientKey::new(None, Some("192.0.2.1".parse().expect("an address")));
        let first = totals.hold(client, 6).expect("room");
        assert!(totals.hold(client, 5).is_none());
        assert!(totals.hold(ClientKey::Token(1), 10).is_some(), "another client");
        let second = totals.hold(client, 4).expect("room");
        drop(first);
        assert!(totals.hold(client, 7).is_none());
        assert!(totals.hold(client, 6).is_some());
        drop(second);
        assert!(totals.is_empty());
    }
}
