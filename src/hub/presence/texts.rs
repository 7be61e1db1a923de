//! The texts of the selectors of active subscriptions: each is stored once, however many
//! subscribers have it. Invariant: a text is in the set while a [`HeldTexts`] has it, and no
//! longer.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Deref;
use std::rc::Rc;

/// Every text.
#[derive(Default)]
pub(super) struct SelectorTexts(Rc<RefCell<HashSet<Rc<str>>>>);

/// The texts of one subscriber.
pub(super) struct HeldTexts {
    texts: Vec<Rc<str>>,
    all: Rc<RefCell<HashSet<Rc<str>>>>,
}

impl SelectorTexts {
    /// Holds these texts, which are distinct.
    pub(super) fn hold<'t>(&self, texts: impl Iterator<Item = &'t str>) -> HeldTexts {
        let mut all = self.0.borrow_mut();
        let hold = |text: &str| {
            let held = all.get(text).cloned();
            held.unwrap_or_else(|| {
                let new: Rc<str> = text.into();
                all.insert(Rc::clone(&new));
                new
            })
        };
        let texts: Vec<_> = texts.map(hold).collect();
        HeldTexts { texts, all: Rc::clone(&self.0) }
    }

    /// The number of distinct texts.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.borrow().len()
    }
}

impl HeldTexts {
    /// Keeps the first `count` of them.
    pub(super) fn truncate(&mut self, count: usize) {
        let mut all = self.all.borrow_mut();
        for text in self.texts.drain(count.min(self.texts.len())..) {
            // The set's, and this one.
            if Rc::strong_count(&text) == 2 {
                all.remove(&text);
            }
        }
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
