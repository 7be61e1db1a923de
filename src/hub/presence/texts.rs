//! The texts of the selectors of active subscriptions: each is stored once, however many
//! subscribers have it. Invariant: a text is in the table while a [`HeldTexts`] has it, and no
//! longer.

use std::cell::RefCell;
use std::hash::BuildHasher as _;
use std::ops::Deref;
use std::rc::Rc;

use hashbrown::{DefaultHashBuilder, HashTable};

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

/// The texts of one subscriber.
pub(super) struct HeldTexts {
    texts: Vec<Rc<str>>,
    all: Rc<RefCell<Table>>,
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
    /// Holds these texts, which are distinct.
    pub(super) fn hold<'t>(&self, texts: impl Iterator<Item = &'t str>) -> HeldTexts {
        let mut all = self.0.borrow_mut();
        HeldTexts { texts: texts.map(|text| all.hold(text)).collect(), all: Rc::clone(&self.0) }
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

impl HeldTexts {
    /// Keeps the first `count` of them.
    pub(super) fn truncate(&mut self, count: usize) {
        let mut all = self.all.borrow_mut();
        self.texts.drain(count.min(self.texts.len())..).for_each(|text| all.release(&text));
        drop(all);
        self.texts.shrink_to_fit();
    }
}

impl Deref for HeldTexts {
    type Target = [Rc<str>];

    fn deref(&self) -> &[Rc<str>] {
        &self.texts
    }
}

impl Drop for HeldTexts {
    fn drop(&mut self) {
        self.truncate(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_stored_once_and_forgotten_with_its_last_holder() {
        let all = SelectorTexts::default();
        let mut first = all.hold(["a", "b", "c"].into_iter());
        let second = all.hold(["b"].into_iter());
        assert_eq!(all.len(), 3);
        assert!(Rc::ptr_eq(&first[1], &second[0]));
        first.truncate(2);
        assert_eq!((first.len(), all.len()), (2, 2));
        drop(first);
        assert_eq!(all.len(), 1);
        drop(second);
        assert_eq!(all.len(), 0);
    }
}
