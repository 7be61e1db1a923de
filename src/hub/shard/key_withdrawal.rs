//! Ends the subscriptions whose key was withdrawn (MERCURE-1.0, section 6.5), some in each round:
//! one key can be that of all subscribers.

use super::Shard;
use super::subscriber::SubscriberState;
use super::values::EndReason;
use crate::limits::{WITHDRAWN_ENDS_MAX, WITHDRAWN_SLOTS_MAX};
use crate::mercure::token::KeyNumber;

impl Shard {
    /// Ends the subscriptions that rest on these keys, with the next calls of
    /// [`Shard::end_withdrawn`]. No subscription that rests on one of them may join afterwards.
    pub fn withdraw(&mut self, keys: impl IntoIterator<Item = KeyNumber>) {
        self.withdrawals.keys.extend(keys);
        // What was examined already may have one of the new keys.
        self.withdrawals.next_slot = 0;
    }

    /// Examines up to [`WITHDRAWN_SLOTS_MAX`] slots, and ends up to [`WITHDRAWN_ENDS_MAX`]
    /// subscriptions.
    pub fn end_withdrawn(&mut self) {
        if !self.withdrawals.has_work() {
            return;
        }
        let slots = self.subscribers.by_slot.capacity();
        let until = slots.min(self.withdrawals.next_slot + WITHDRAWN_SLOTS_MAX);
        let mut ended = 0;
        while self.withdrawals.next_slot < until && ended < WITHDRAWN_ENDS_MAX {
            let slot = self.withdrawals.next_slot as u32;
            self.withdrawals.next_slot += 1;
            let Some(subscriber) = self.subscribers.get_mut(slot) else { continue };
            let is_withdrawn = subscriber.key.is_some_and(|key| self.withdrawals.keys.contains(&key));
            if is_withdrawn && subscriber.state != SubscriberState::Closed {
                self.revoke(slot, EndReason::KeyWithdrawn);
                ended += 1;
            }
        }
        if self.withdrawals.next_slot >= slots {
            self.withdrawals.keys.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{joining, shard};
    use super::*;
    use crate::hub::shard::Joining;
    use crate::sse::wire::{Sent, Wire};
    use crate::time::Now;

    struct Sink;

    impl Wire for Sink {
        fn send(&mut self, _: u32, bytes: &[u8]) -> Sent {
            Sent::Bytes(bytes.len())
        }
    }

    fn ended(shard: &mut Shard) -> Vec<(u32, EndReason)> {
        std::iter::from_fn(|| shard.next_closed()).collect()
    }

    #[test]
    fn the_subscriptions_of_a_withdrawn_key_end_some_in_each_round() {
        let mut shard = shard();
        let [old, new] = [KeyNumber::FIRST, KeyNumber::FIRST.next()];
        let count = 3 * WITHDRAWN_ENDS_MAX;
        let keys = [Some(old), Some(new), None];
        for number in 0..3 * count {
            shard.join(Joining { key: keys[number % 3], ..joining(&["a"], None) }, Now::default());
        }
        while shard.has_work() {
            shard.flush(usize::MAX, Now::default(), &mut Sink);
            shard.catch_up(usize::MAX);
        }
        shard.withdraw([old]);
        let (mut rounds, mut gone) = (0, Vec::new());
        while shard.has_work() {
            shard.end_withdrawn();
            shard.flush(usize::MAX, Now::default(), &mut Sink);
            let of_round = ended(&mut shard);
            assert!(of_round.len() <= WITHDRAWN_ENDS_MAX, "{}", of_round.len());
            gone.extend(of_round);
            rounds += 1;
        }
        assert!((3..20).contains(&rounds), "{rounds}");
        assert_eq!((gone.len(), shard.len()), (count, 2 * count));
        assert!(gone.iter().all(|(slot, reason)| slot % 3 == 0 && *reason == EndReason::KeyWithdrawn));
        // Another key during the search: it begins anew.
        shard.withdraw([old]);
        shard.end_withdrawn();
        shard.withdraw([new]);
        while shard.has_work() {
            shard.end_withdrawn();
            shard.flush(usize::MAX, Now::default(), &mut Sink);
        }
        assert_eq!((ended(&mut shard).len(), shard.len()), (count, count));
    }
}
