//! What each subscriber must have received. It follows from what was published, and from the order
//! in which one subscriber, the auditor, received it.

use std::collections::{HashMap, HashSet};

/// Topics of updates; the last one is that of the marks between rounds.
pub(crate) const TOPICS: usize = 8;
/// The topic of the marks; everybody selects it.
pub(crate) const MARKS: &str = "https://soak.example/marks/round";

/// The topic with this number.
pub(crate) fn topic(number: usize) -> String {
    format!("https://soak.example/topics/{number}")
}

/// A set of topics, as one bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Topics(u32);

impl Topics {
    pub(crate) const ALL: Self = Self((1 << TOPICS) - 1);

    pub(crate) fn of(numbers: impl IntoIterator<Item = usize>) -> Self {
        Self(numbers.into_iter().fold(0, |bits, number| bits | 1 << number))
    }

    pub(crate) fn numbers(self) -> impl Iterator<Item = usize> {
        (0..TOPICS).filter(move |number| self.0 & 1 << number != 0)
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One publication.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publication {
    pub(crate) publisher: usize,
    /// Its place among those of its publisher.
    pub(crate) sequence: u64,
    pub(crate) topics: Topics,
    pub(crate) is_private: bool,
    pub(crate) fate: Stored,
}

/// Whether the hub has stored an update, as its publisher knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// The publisher has the acknowledgement.
    Yes,
    /// The publisher left before the answer; it may come, also later, once.
    Perhaps,
    /// The body was not complete, or the hub refused it.
    No,
}

/// What a subscriber selects and may read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selection {
    pub(crate) selected: Topics,
    pub(crate) granted: Topics,
}

impl Selection {
    /// Whether it receives an update. A private one has a single topic here.
    fn receives(&self, update: &Publication) -> bool {
        let may_read = !update.is_private || self.granted.meets(update.topics);
        may_read && self.selected.meets(update.topics)
    }
}

/// The publications of a round, by id, and those of earlier rounds whose fate is not known.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    publications: HashMap<String, Publication>,
}

impl Oracle {
    pub(crate) fn publish(&mut self, id: String, publication: Publication) {
        let known = self.publications.insert(id, publication);
        assert!(known.is_none(), "the test has published an id twice");
    }

    /// Checks the order in which the auditor has received the updates of a round: each acknowledged
    /// one once, those of a publisher in their order, and nothing else.
    pub(crate) fn check_order(&self, order: &[String]) -> Result<(), String> {
        let mut seen = HashSet::new();
        let mut last: HashMap<usize, u64> = HashMap::new();
        for id in order {
            let Some(update) = self.publications.get(id) else {
                return Err(format!("{id} was not published in this round, or came in an earlier one, too"));
            };
            if !seen.insert(id) {
                return Err(format!("{id} came twice"));
            }
            match update.fate {
                Stored::No => return Err(format!("{id} came, though it was never published as a whole")),
                // Another connection has overtaken it, perhaps.
                Stored::Perhaps => {}
                Stored::Yes => {
                    let before = last.insert(update.publisher, update.sequence);
                    if before.is_some_and(|before| before > update.sequence) {
                        return Err(format!("{id} came after a later one of its publisher"));
                    }
                }
            }
        }
        let lost = self.publications.iter().find(|(id, it)| it.fate == Stored::Yes && !seen.contains(id));
        match lost {
            Some((id, _)) => Err(format!("{id} was acknowledged and never came")),
            None => Ok(()),
        }
    }

    /// Checks what a subscriber has received in a round, in the order of the auditor.
    pub(crate) fn check(
        &self,
        selection: &Selection,
        order: &[String],
        received: &[String],
    ) -> Result<(), String> {
        let expected = order.iter().filter(|id| selection.receives(&self.publications[*id]));
        let mut received = received.iter();
        for (number, id) in expected.enumerate() {
            match received.next() {
                Some(other) if other == id => {}
                other => return Err(format!("update {number} of the round is {other:?}, not {id}")),
            }
        }
        match received.next() {
            Some(more) => Err(format!("{more} came, though it was not expected there")),
            None => Ok(()),
        }
    }

    /// Forgets the publications of a round but for those that may still come.
    pub(crate) fn next_round(&mut self, order: &[String]) {
        order.iter().for_each(|id| {
            self.publications.remove(id);
        });
        self.publications.retain(|_, update| update.fate == Stored::Perhaps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SELECTION: Selection = Selection { selected: Topics(0b11), granted: Topics(0b01) };

    fn oracle() -> (Oracle, Vec<String>) {
        let mut oracle = Oracle::default();
        for (sequence, (id, topics, is_private, fate)) in [
            ("a", 0b001, false, Stored::Yes),
            ("b", 0b100, false, Stored::Yes),
            ("c", 0b010, true, Stored::Yes),
            ("d", 0b001, true, Stored::Yes),
            ("e", 0b110, false, Stored::Perhaps),
            ("f", 0b001, false, Stored::No),
        ]
        .into_iter()
        .enumerate()
        {
            let topics = Topics(topics);
            let sequence = sequence as u64;
            oracle.publish(id.to_owned(), Publication { publisher: 0, sequence, topics, is_private, fate });
        }
        (oracle, ids("abcd"))
    }

    fn ids(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    #[test]
    fn an_order_that_is_whole_is_accepted_and_each_fault_is_found() {
        let (oracle, order) = oracle();
        assert_eq!(oracle.check_order(&order), Ok(()));
        assert_eq!(oracle.check_order(&ids("aebcd")), Ok(()), "it may come, and anywhere");
        for wrong in ["abc", "abcdd", "abdc", "abcdf", "abcdx", "aebecd"] {
            assert!(oracle.check_order(&ids(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_subscriber_receives_what_it_selects_and_may_read_and_each_fault_is_found() {
        let (oracle, order) = oracle();
        assert_eq!(oracle.check(&SELECTION, &order, &ids("ad")), Ok(()));
        assert_eq!(oracle.check(&SELECTION, &ids("abced"), &ids("aed")), Ok(()));
        // Lost, repeated, in another order, not granted, not selected.
        for wrong in ["a", "", "add", "da", "acd", "abd"] {
            assert!(oracle.check(&SELECTION, &order, &ids(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_may_still_come_is_remembered_and_what_has_come_may_not_come_again() {
        let (mut oracle, order) = oracle();
        oracle.next_round(&order);
        assert_eq!(oracle.check_order(&ids("e")), Ok(()));
        assert!(oracle.check_order(&ids("a")).is_err());
        oracle.next_round(&ids("e"));
        assert!(oracle.check_order(&ids("e")).is_err());
        assert_eq!(oracle.check_order(&[]), Ok(()));
    }
}
