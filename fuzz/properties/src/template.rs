//! Topic selectors: the index gives the result of a linear scan, and matching has a price.

use std::collections::{BTreeMap, HashSet};

use petasos::limits::{MATCH_COST_NODE, MATCH_COST_RUN, MATCH_COST_SUBSCRIPTION_MAX};
use petasos::mercure::index::TopicIndex;
use petasos::mercure::selector::{ComparedTopic, Selector};

/// Slots of subscribers.
pub const SLOTS: u32 = 12;

/// A topic index, and the definition that it has to agree with.
#[derive(Default)]
pub struct IndexModel {
    index: TopicIndex,
    held: BTreeMap<u32, Vec<Selector>>,
}

impl IndexModel {
    /// Sets the selectors of a slot.
    pub fn insert(&mut self, slot: u32, selectors: Vec<Selector>) {
        self.index.insert(slot, &selectors);
        self.held.insert(slot, selectors);
    }

    /// Removes a slot.
    pub fn remove(&mut self, slot: u32) {
        self.index.remove(slot);
        self.held.remove(&slot);
    }

    /// Checks which slots an update with these topics concerns.
    ///
    /// # Panics
    /// The index differs from a linear scan.
    pub fn check_topics(&mut self, topics: &[&str]) {
        let mut found = Vec::new();
        let compared: Vec<_> = topics.iter().copied().map(ComparedTopic::new).collect();
        self.index.for_each_match(&compared, |slot| found.push(slot));
        found.sort_unstable();
        let selects = |selectors: &[Selector]| {
            selectors.iter().any(|selector| topics.iter().any(|topic| selector.matches(topic)))
        };
        let scan: Vec<u32> =
            self.held.iter().filter(|(_, selectors)| selects(selectors)).map(|(slot, _)| *slot).collect();
        assert_eq!(found, scan, "{topics:?}");
        for slot in 0..SLOTS {
            let matches = compared.iter().any(|topic| self.index.slot_matches(slot, topic));
            assert_eq!(matches, scan.contains(&slot), "slot {slot} of {topics:?}");
        }
    }

    /// Checks what the index says that it holds.
    ///
    /// # Panics
    /// It differs from what was inserted.
    pub fn check_held(&self) {
        let distinct: HashSet<&Selector> = self.held.values().flatten().collect();
        assert_eq!(self.index.len(), distinct.len());
        for (slot, selectors) in &self.held {
            let mut seen = HashSet::new();
            let texts = selectors.iter().filter(|it| seen.insert(*it)).map(Selector::as_str);
            assert!(self.index.selectors_of(*slot).eq(texts), "the selectors of {slot}");
        }
    }

    /// Removes every slot.
    ///
    /// # Panics
    /// Something is left.
    pub fn check_empties(mut self) {
        (0..SLOTS).for_each(|slot| self.index.remove(slot));
        assert!(self.index.is_empty());
    }
}

/// The property, for any text: selectors, one on each line, an empty line, and topics.
///
/// # Panics
/// It does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (selectors, topics) = text.split_once("\n\n").unwrap_or((text, text));
    let topics: Vec<&str> = topics.split('\n').collect();
    let selectors = selectors.split('\n').filter_map(|text| {
        let selector = Selector::parse(text).ok()?;
        assert!(selector.matches(text), "a selector matches itself");
        assert_eq!(selector.as_str(), text);
        Some(selector)
    });
    IndexModel::check_selectors(selectors, &topics);
}

impl IndexModel {
    /// Checks an index that holds these selectors, and then less of them, with these topics.
    ///
    /// # Panics
    /// The index differs from a linear scan, or a topic costs more than its price.
    pub(crate) fn check_selectors(selectors: impl Iterator<Item = Selector>, topics: &[&str]) {
        let mut by_slot: BTreeMap<u32, Vec<Selector>> = BTreeMap::new();
        let mut cost = 0;
        for (slot, selector) in (0..SLOTS).cycle().zip(selectors) {
            if cost + selector.match_cost() <= 8 * MATCH_COST_SUBSCRIPTION_MAX {
                cost += selector.match_cost();
                by_slot.entry(slot).or_default().push(selector);
            }
        }
        let mut model = Self::default();
        for (slot, selectors) in by_slot {
            model.insert(slot, selectors);
        }
        model.check_held();
        for topic in topics {
            model.check_price(topic);
            model.check_topics(&[topic]);
        }
        model.check_topics(topics);
        // What is left after some have gone is found as before.
        for slot in (0..SLOTS).step_by(2) {
            model.remove(slot);
        }
        model.check_held();
        model.check_topics(topics);
        model.check_empties();
    }

    /// Checks that a topic costs at most the price of the index.
    ///
    /// # Panics
    /// It costs more.
    pub fn check_price(&mut self, topic: &str) {
        check_price(&mut self.index, topic);
    }
}

/// A topic costs at most the price of the index, for each KiB.
fn check_price(index: &mut TopicIndex, topic: &str) {
    let before = index.spent();
    index.for_each_match(&[ComparedTopic::new(topic)], |_| {});
    // As a URL, a topic has up to three times its bytes, and those of the hub's URL.
    let bytes = topic.len() as u64 * 3 + 100;
    let (spent, kib) = (index.spent() - before, bytes / 1024 + 1);
    // At most one template for each beginning of the topic is alone on its head, and not priced.
    let alone = (bytes + 1) * u64::from(MATCH_COST_NODE + MATCH_COST_RUN);
    let most = (u64::from(index.price()) + alone) * kib;
    assert!(spent <= most, "{spent} of {most} for {} bytes", topic.len());
}
