//! Checks every delivery against its place in its stream, for every subscriber.
//!
//! Invariant: `unique` counts each (subscriber, stream, sequence) once, so `expected - unique` is
//! the number of lost deliveries.

use std::collections::HashMap;

/// The classification of one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The next of its stream, or the first after a gap.
    InOrder,
    /// One that had been skipped: it arrived after a later one.
    Late,
    /// One that had already arrived.
    Duplicate,
}

/// The counts of a run. See [`Tally::is_sound`] for a sound run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Tally {
    /// Updates the hub accepted.
    pub(crate) published: u64,
    /// Publications that the hub refused (503 and the like): no subscriber may receive them.
    pub(crate) refused: u64,
    /// Deliveries that follow from accepted updates.
    pub(crate) expected: u64,
    /// Distinct deliveries received.
    pub(crate) received: u64,
    /// Expected deliveries that never arrived.
    pub(crate) lost: u64,
    /// Repeated deliveries.
    pub(crate) duplicated: u64,
    /// Deliveries that arrived after a later one of their stream.
    pub(crate) out_of_order: u64,
    /// Deliveries to a subscriber that must not receive them.
    pub(crate) misdelivered: u64,
    /// Deliveries whose data differ from the published data; they also count as lost.
    pub(crate) corrupted: u64,
    /// Streams that the hub ended, or that broke.
    pub(crate) disconnected: u64,
}

impl Tally {
    /// Whether every expected delivery arrived, once, in order, and nothing else.
    pub(crate) fn is_sound(&self) -> bool {
        self.lost == 0
            && self.duplicated == 0
            && self.out_of_order == 0
            && self.misdelivered == 0
            && self.corrupted == 0
    }

    /// The sum of two runs.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            published: self.published + other.published,
            refused: self.refused + other.refused,
            expected: self.expected + other.expected,
            received: self.received + other.received,
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            out_of_order: self.out_of_order + other.out_of_order,
            misdelivered: self.misdelivered + other.misdelivered,
            corrupted: self.corrupted + other.corrupted,
            disconnected: self.disconnected + other.disconnected,
        }
    }
}

/// A cursor for each subscriber and stream.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next: Vec<u64>,
    /// Sequences that were skipped, as half-open ranges, for cursors that have any.
    gaps: HashMap<usize, Vec<(u64, u64)>>,
}

impl Ledger {
    /// Adds one cursor, which expects `first` next, and returns its number.
    pub(crate) fn join(&mut self, first: u64) -> usize {
        self.next.push(first);
        self.next.len() - 1
    }

    /// Makes a cursor that has received nothing expect its stream from the start.
    pub(crate) fn rewind(&mut self, cursor: usize) {
        self.next[cursor] = 0;
    }

    /// Records that the subscriber of `cursor` received `sequence`.
    pub(crate) fn record(&mut self, cursor: usize, sequence: u64) -> Delivery {
        let next = &mut self.next[cursor];
        if sequence >= *next {
            if sequence > *next {
                self.gaps.entry(cursor).or_default().push((*next, sequence));
            }
            *next = sequence + 1;
            return Delivery::InOrder;
        }
        let Some(gaps) = self.gaps.get_mut(&cursor) else { return Delivery::Duplicate };
        let Some(at) = gaps.iter().position(|&(from, to)| (from..to).contains(&sequence)) else {
            return Delivery::Duplicate;
        };
        let (from, to) = gaps.swap_remove(at);
        gaps.extend([(from, sequence), (sequence + 1, to)].into_iter().filter(|(from, to)| from < to));
        Delivery::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(sequences: &[u64]) -> Vec<Delivery> {
        let mut ledger = Ledger::default();
        ledger.join(0);
        let cursor = ledger.join(0);
        sequences.iter().map(|&sequence| ledger.record(cursor, sequence)).collect()
    }

    #[test]
    fn a_straight_stream_is_in_order() {
        assert_eq!(judge(&[0, 1, 2, 3]), [Delivery::InOrder; 4]);
    }

    #[test]
    fn a_repetition_is_a_duplicate_at_once_and_after_others() {
        use Delivery::{Duplicate, InOrder};
        assert_eq!(judge(&[0, 0, 1, 2, 1]), [InOrder, Duplicate, InOrder, InOrder, Duplicate]);
    }

    #[test]
    fn a_skipped_one_that_comes_later_is_out_of_order_once_and_then_a_duplicate() {
        use Delivery::{Duplicate, InOrder, Late};
        assert_eq!(
            judge(&[0, 5, 3, 3, 1, 2, 4, 4, 6]),
            [InOrder, InOrder, Late, Duplicate, Late, Late, Late, Duplicate, InOrder]
        );
    }

    #[test]
    fn any_kind_of_fault_makes_a_tally_unsound() {
        let sound = Tally { published: 1, expected: 2, received: 2, refused: 3, ..Tally::default() };
        assert!(sound.is_sound());
        for fault in [
            Tally { lost: 1, ..sound },
            Tally { duplicated: 1, ..sound },
            Tally { out_of_order: 1, ..sound },
            Tally { misdelivered: 1, ..sound },
            Tally { corrupted: 1, ..sound },
        ] {
            assert!(!fault.is_sound() && !sound.plus(fault).is_sound());
        }
    }
}
