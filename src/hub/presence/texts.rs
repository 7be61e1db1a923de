//! The selectors of active subscriptions: the text of each is stored once, however many subscribers
//! have it, and however they wrote it. Invariant: a text is in the table while a [`HeldSelectors`]
//! has it, and no longer.

use std::cell::RefCell;
use std::hash::BuildHasher as _;
use std::ops::Deref;
use std::rc::Rc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::mercure::subscription::Announcement;
use crate::shrink::shrink_table;

/// Every text.
#[derive(Default)]
pub(super) struct SelectorTexts(Rc<RefCell<Table>>);

/// The texts with their hashes: a table that grows need not read the texts.
#[derive(Default)]
struct Table {
    texts: HashTable<(u64, Rc<str>)>,
    hasher: DefaultHashBuilder,
}

/// The selectors of one subscriber.
pub(super) struct HeldSelectors {
    selectors: Box<[HeldSelector]>,
    all: Rc<RefCell<Table>>,
}

/// A selector of one subscriber.
pub(super) struct HeldSelector {
    pub(super) text: Rc<str>,
    pub(super) announcement: Announcement,
}

impl Table {
    fn hold(&mut self, text: &str) -> Rc<str> {
        let hash = self.hasher.hash_one(text);
        if let Some((_, held)) = self.texts.find(hash, |(_, held)| **held == *text) {
            return Rc::clone(held);
        }
        let new: Rc<str> = text.into();
        self.texts.insert_unique(hash, (hash, Rc::clone(&new)), |(hash, _)| *hash);
        new
    }

    fn release(&mut self, text: &Rc<str>) {
        // The table's, and the one that is released.
        if Rc::strong_count(text) > 2 {
            return;
        }
        let hash = self.hasher.hash_one(&**text);
        if let Ok(held) = self.texts.find_entry(hash, |(_, held)| Rc::ptr_eq(held, text)) {
            held.remove();
        }
    }
}

impl SelectorTexts {
    /// Holds these selectors, which are distinct.
    pub(super) fn hold<'t>(&self, new: impl Iterator<Item = (&'t str, Announcement)>) -> HeldSelectors {
        let mut all = self.0.borrow_mut();
        let held = new.map(|(text, announcement)| HeldSelector { text: all.hold(text), announcement });
        HeldSelectors { selectors: held.collect(), all: Rc::clone(&self.0) }
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&self) {
        shrink_table(&mut self.0.borrow_mut().texts, |(hash, _)| *hash);
    }

    /// The number of distinct texts.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.borrow().texts.len()
    }
}

impl HeldSelectors {
    /// Keeps the first `count` of them.
    pub(super) fn truncate(&mut self, count: usize) {
        let mut kept = std::mem::take(&mut self.selectors).into_vec();
        let mut all = self.all.borrow_mut();
        kept.drain(count.min(kept.len())..).for_each(|selector| all.release(&selector.text));
        drop(all);
        self.selectors = kept.into();
    }
}

impl Deref for HeldSelectors {
    type Target = [HeldSelector];

    fn deref(&self) -> &[HeldSelector] {
        &self.selectors
    }
}

impl Drop for HeldSelectors {
    fn drop(&mut self) {
        self.truncate(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mercure::selector::MatcherType;
    use crate::mercure::subscription::WrittenAs;

    #[test]
    fn a_text_is_stored_once_and_forgotten_with_its_last_holder() {
        let all = SelectorTexts::default();
        let topic = Announcement { written_as: WrittenAs::Topic, payload: None };
        let matcher = Announcement { written_as: WrittenAs::Matcher(MatcherType::Exact), payload: Some(1) };
        let mut first = all.hold(["a", "b", "c"].into_iter().map(|text| (text, topic)));
        let second = all.hold([("b", matcher)].into_iter());
        assert_eq!(all.len(), 3);
        assert!(Rc::ptr_eq(&first[1].text, &second[0].text));
        first.truncate(2);
        assert_eq!((first.len(), all.len()), (2, 2));
        assert_eq!((first[1].announcement, second[0].announcement), (topic, matcher));
        drop(first);
        assert_eq!(all.len(), 1);
        drop(second);
        assert_eq!(all.len(), 0);
    }
}
