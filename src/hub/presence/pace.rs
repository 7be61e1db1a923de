//! How fast events of subscriptions may be published, in bytes as the disk sees them.
//!
//! Each client has a bucket of its own, and all clients without a token have one together.
//! Invariants:
//! - over any time, a client writes at most its burst, its rate times that time, and one batch;
//! - all clients without a token together write at most their burst, their rate times that time,
//!   and one batch of each shard;
//! - shards that wait get their turns in the order in which they asked;
//! - only clients whose bucket is not full are stored.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::hub::client::ClientKey;
use crate::limits::{
    SUBSCRIPTION_EVENTS_ANONYMOUS_BURST_BYTES, SUBSCRIPTION_EVENTS_ANONYMOUS_BYTES_PER_S,
    SUBSCRIPTION_EVENTS_NETWORK_BURST_BYTES, SUBSCRIPTION_EVENTS_NETWORK_BYTES_PER_S,
    SUBSCRIPTION_EVENTS_TOKEN_BURST_BYTES, SUBSCRIPTION_EVENTS_TOKEN_BYTES_PER_S,
};
use crate::sse::frame::Frame;

/// Clients that are stored before those with a full bucket are looked for.
const CLIENTS_MIN: usize = 64;

/// A rate, and what may exceed it at once.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Bytes per second, above 0.
    pub bytes_per_s: u64,
    /// Bytes.
    pub burst_bytes: u64,
}

/// The rates of events.
#[derive(Clone, Copy, Debug)]
pub struct EventRates {
    /// Of one token.
    pub token: Rate,
    /// Of one network without a token.
    pub network: Rate,
    /// Of all clients without a token together.
    pub anonymous: Rate,
}

impl Default for EventRates {
    fn default() -> Self {
        Self {
            token: Rate {
                bytes_per_s: SUBSCRIPTION_EVENTS_TOKEN_BYTES_PER_S,
                burst_bytes: SUBSCRIPTION_EVENTS_TOKEN_BURST_BYTES,
            },
            network: Rate {
                bytes_per_s: SUBSCRIPTION_EVENTS_NETWORK_BYTES_PER_S,
                burst_bytes: SUBSCRIPTION_EVENTS_NETWORK_BURST_BYTES,
            },
            anonymous: Rate {
                bytes_per_s: SUBSCRIPTION_EVENTS_ANONYMOUS_BYTES_PER_S,
                burst_bytes: SUBSCRIPTION_EVENTS_ANONYMOUS_BURST_BYTES,
            },
        }
    }
}

impl Rate {
    fn time_us(self, bytes: u64) -> u64 {
        bytes.saturating_mul(1_000_000) / self.bytes_per_s
    }
}

/// The bytes that an event adds to a commit on the disk. Measured: 0.8 KiB for a short selector,
/// 4.4 KiB for one of 1,000 bytes.
pub(super) fn event_bytes(frame: &Frame) -> u64 {
    let topics: usize = frame.topic_texts().map(str::len).sum();
    256 + 3 * (frame.event().len() + topics) as u64 / 2
}

/// A token bucket, as the time when it is full, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at_us: u64,
}

impl Bucket {
    fn charge(&mut self, rate: Rate, bytes: u64, now_us: u64) {
        self.full_at_us = self.full_at_us.max(now_us).saturating_add(rate.time_us(bytes));
    }

    /// When it is not below empty, rounded up to milliseconds.
    fn ready_at_ms(self, rate: Rate) -> u64 {
        self.full_at_us.saturating_sub(rate.time_us(rate.burst_bytes)).div_ceil(1_000)
    }
}

/// The budgets of a hub; its shards share them. A shard locks them a few times for each batch of
/// events, never on the way of an update.
#[derive(Debug, Default)]
pub struct EventBudgets {
    rates: EventRates,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    anonymous: Bucket,
    clients: HashMap<ClientKey, Bucket>,
    /// The number of clients at which those with a full bucket are removed.
    swept_at: usize,
}

impl EventBudgets {
    /// Budgets with these rates, all of them full.
    #[cfg(any(test, feature = "internals"))]
    pub fn new(rates: EventRates) -> Self {
        Self { rates, ..Self::default() }
    }

    /// Takes bytes from the bucket of all clients without a token; returns when they may be
    /// written.
    pub(super) fn reserve(&self, bytes: u64, now_ms: u64) -> u64 {
        let bucket = &mut self.lock().anonymous;
        bucket.charge(self.rates.anonymous, bytes, us(now_ms));
        bucket.ready_at_ms(self.rates.anonymous)
    }

    /// Corrects a reservation of which `spent` bytes were used, which may be more.
    pub(super) fn settle(&self, reserved: u64, spent: u64) {
        let (rate, bucket) = (self.rates.anonymous, &mut self.lock().anonymous);
        let unused_us = rate.time_us(reserved.saturating_sub(spent));
        let excess_us = rate.time_us(spent.saturating_sub(reserved));
        bucket.full_at_us = bucket.full_at_us.saturating_sub(unused_us).saturating_add(excess_us);
    }

    /// When this client may write the next batch: now, unless it owes for its last ones.
    pub(super) fn ready_at_ms(&self, client: ClientKey) -> u64 {
        let bucket = self.lock().clients.get(&client).copied().unwrap_or_default();
        bucket.ready_at_ms(self.rate_of(client))
    }

    /// Charges clients for what they wrote in a batch.
    pub(super) fn charge(&self, spent: impl Iterator<Item = (ClientKey, u64)>, now_ms: u64) {
        let mut buckets = self.lock();
        for (client, bytes) in spent {
            let bucket = buckets.clients.entry(client).or_default();
            bucket.charge(self.rate_of(client), bytes, us(now_ms));
        }
        if buckets.clients.len() >= buckets.swept_at.max(CLIENTS_MIN) {
            buckets.clients.retain(|_, bucket| bucket.full_at_us > us(now_ms));
            buckets.swept_at = 2 * buckets.clients.len();
        }
    }

    fn rate_of(&self, client: ClientKey) -> Rate {
        if client.is_anonymous() { self.rates.network } else { self.rates.token }
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn us(ms: u64) -> u64 {
    ms.saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { bytes_per_s: 1_000, burst_bytes: 5_000 };

    fn budgets() -> EventBudgets {
        let token = Rate { bytes_per_s: 4_000, burst_bytes: 20_000 };
        EventBudgets::new(EventRates { token, network: RATE, anonymous: RATE })
    }

    #[test]
    fn a_client_may_use_its_burst_at_once_and_then_its_rate() {
        let budgets = budgets();
        let mut now_ms = 10_000;
        let mut written = 0;
        for client in [ClientKey::Unknown, ClientKey::Token(1)] {
            let began_ms = now_ms;
            let (rate, batch) = (budgets.rate_of(client), 100);
            let most = rate.burst_bytes + 60 * rate.bytes_per_s + 2 * batch;
            while now_ms < began_ms + 60_000 && written <= most {
                now_ms = budgets.ready_at_ms(client).max(now_ms);
                budgets.charge([(client, batch)].into_iter(), now_ms);
                written += batch;
            }
            assert!((most - 4 * batch..=most).contains(&written), "{client:?}: {written} of {most}");
            written = 0;
        }
    }

    #[test]
    fn a_client_pays_for_a_large_batch_after_it() {
        let (budgets, client) = (budgets(), ClientKey::Unknown);
        budgets.charge([(client, 7_000)].into_iter(), 1_000);
        assert_eq!(budgets.ready_at_ms(client), 3_000);
        assert!(budgets.ready_at_ms(ClientKey::Token(1)) <= 1_000, "others do not");
    }

    #[test]
    fn shards_get_their_turns_in_the_order_in_which_they_asked() {
        let budgets = budgets();
        let turns: Vec<_> = (0..8).map(|_| budgets.reserve(1_000, 1_000)).collect();
        assert_eq!(turns, [0, 0, 0, 0, 1_000, 2_000, 3_000, 4_000].map(|ms: u64| ms));
    }

    #[test]
    fn a_reservation_costs_what_was_used_of_it() {
        let budgets = budgets();
        assert!(budgets.reserve(5_000, 1_000) <= 1_000);
        budgets.settle(5_000, 2_000);
        assert!(budgets.reserve(3_000, 1_000) <= 1_000);
        budgets.settle(3_000, 4_000);
        assert_eq!(budgets.reserve(1_000, 1_000), 3_000);
    }

    #[test]
    fn clients_that_owe_nothing_are_forgotten() {
        let budgets = budgets();
        for number in 0..10_000 {
            budgets.charge([(ClientKey::Token(number), 4)].into_iter(), number);
            assert!(budgets.lock().clients.len() <= 2 * CLIENTS_MIN);
        }
    }
}
