//! The templates of an index, or its patterns: found by their head, then by their tail.
//!
//! Most heads belong to one template, which is plain. Such a head leads to its entry, and one scan
//! of the topic decides. All others are in a trie, which says what they can cost together; a head
//! stays there until the last of its templates is removed.

use slab::Slab;
use std::borrow::Cow;
use std::sync::Arc;

use super::budget::MatchBudget;
use super::entry::{Either, Found, Kind, SelectorEntry, TemplateRef};
use super::heads::Heads;
use super::indexed::{AloneHeads, HeadedTopic, Indexed};
use super::run_ends::RunEnds;
use super::tails::Tails;
use super::trie::{Location, Removed, Trie};
use crate::limits::{ALONE_PARTS_MAX, MATCH_COST_NODE, MATCH_COST_RUN};
use crate::mercure::uri_template::Simulator;
use crate::shrink::shrink_slab;

pub(super) struct Templates<T: Indexed> {
    /// Each head leads to its only entry, or to its node in the trie.
    heads: Heads<Either>,
    /// The heads of those that are alone.
    alone: T::Heads,
    tails: Tails<T>,
    trie: Trie,
    /// The locations of entries in the trie.
    located: Slab<LocatedTemplate>,
    run_ends: RunEnds,
    /// The heads that a topic begins with, and their lengths; kept to avoid an allocation.
    hits: Vec<(usize, Either)>,
    /// Entries of complex templates that the topic of the search is compared with next.
    candidates: Vec<u32>,
    #[cfg(test)]
    looked_up: u64,
}

#[derive(Clone, Copy)]
struct LocatedTemplate {
    tail: u32,
    location: Location,
}

impl<T: Indexed> Default for Templates<T> {
    fn default() -> Self {
        Self {
            heads: Heads::default(),
            alone: T::Heads::default(),
            tails: Tails::default(),
            trie: Trie::default(),
            located: Slab::new(),
            run_ends: RunEnds::default(),
            hits: Vec::new(),
            candidates: Vec::new(),
            #[cfg(test)]
            looked_up: 0,
        }
    }
}

impl<T: Indexed> Templates<T> {
    /// Makes `template`, which has this text, lead to `entry`, which the caller is about to add to
    /// `entries`; returns its location.
    pub(super) fn insert(
        &mut self,
        template: &Arc<T>,
        text: &str,
        entry: u32,
        entries: &mut Slab<SelectorEntry>,
    ) -> TemplateRef {
        let tail = self.tails.hold(template);
        let head = template.head();
        let Self { heads, trie, alone, .. } = self;
        let is = |value| has_head::<T>(value, head.as_bytes(), entries, alone, trie);
        let Some(value) = heads.get_mut(head.as_bytes(), is) else {
            if may_be_alone(&**template) {
                heads.insert(head.as_bytes(), Either::one(entry));
                let number = alone.add(template, head.as_bytes(), text, tail);
                return TemplateRef::alone(number, T::IS_PATTERN);
            }
            let node = trie.open(head);
            heads.insert(head.as_bytes(), Either::other(node));
            return self.locate(node, tail, entry);
        };
        let node = match value.kind() {
            Kind::Other(node) => node,
            Kind::One(first) => {
                let node = trie.open(head);
                *value = Either::other(node);
                let first_entry = &mut entries[first as usize];
                if let Found::Alone(number) = first_entry.template_ref.found() {
                    let first_tail = alone.remove(number);
                    first_entry.template_ref = self.locate(node, first_tail, first);
                }
                node
            }
        };
        self.locate(node, tail, entry)
    }

    /// Removes `entry`, which has this text and location.
    pub(super) fn remove(
        &mut self,
        entry: u32,
        text: &str,
        template_ref: TemplateRef,
        entries: &mut Slab<SelectorEntry>,
    ) {
        match template_ref.found() {
            Found::Nowhere => {}
            Found::Alone(number) => {
                self.heads.remove(&self.alone.head(number, text), |value| value == Either::one(entry));
                self.tails.let_go(self.alone.remove(number));
            }
            Found::Grouped(key) => {
                let LocatedTemplate { tail, location } = self.located.remove(key as usize);
                let is_plain = self.tails.template(tail).is_plain();
                self.tails.let_go(tail);
                let Removed { moved, ended } = self.trie.remove(location, is_plain);
                if let Some(moved) = moved
                    && let Found::Grouped(key) = entries[moved as usize].template_ref.found()
                {
                    self.located[key as usize].location.index = location.index;
                }
                if let Some(head) = ended {
                    self.heads.remove(&head, |value| value == Either::other(location.head));
                } else if let Some(last) = self.trie.only_entry(location.head) {
                    self.leave_alone(last, location.head, entries);
                }
                if !is_plain {
                    // A search that has paused goes on without it.
                    self.candidates.retain(|candidate| *candidate != entry);
                }
            }
        }
    }

    /// Ends a search that has paused.
    pub(super) fn end_search(&mut self) {
        self.candidates.clear();
    }

    /// Makes the last template of a head alone again, if it may be.
    fn leave_alone(&mut self, entry: u32, node: u32, entries: &mut Slab<SelectorEntry>) {
        let last = &mut entries[entry as usize];
        let Found::Grouped(key) = last.template_ref.found() else { return };
        let LocatedTemplate { tail, location } = self.located[key as usize];
        let template = self.tails.template(tail);
        if !may_be_alone(&**template) {
            return;
        }
        let number = self.alone.add(template, self.trie.head(node), &last.text, tail);
        last.template_ref = TemplateRef::alone(number, T::IS_PATTERN);
        self.located.remove(key as usize);
        let Some(head) = self.trie.remove(location, true).ended else { return };
        if let Some(value) = self.heads.get_mut(&head, |value| value == Either::other(node)) {
            *value = Either::one(entry);
        }
    }

    /// Adds to `found` the entries of the templates that can produce `topic`, beginning with the
    /// heads of at least `heads_from` bytes. Pauses once the budget is spent, and then returns
    /// false: the same call with the same topic goes on.
    pub(super) fn find(
        &mut self,
        topic: HeadedTopic<'_>,
        entries: &Slab<SelectorEntry>,
        heads_from: &mut usize,
        found: &mut Vec<u32>,
        budget: &mut MatchBudget,
    ) -> bool {
        let Self { heads, alone, tails, trie, hits, candidates, run_ends, .. } = self;
        let bytes = topic.bytes;
        let is = |at: usize, value| has_head::<T>(value, &bytes[..at], entries, alone, trie);
        let looked_up = heads.probe(bytes, is, hits);
        budget.spent += u64::from(MATCH_COST_NODE) + looked_up / 2;
        #[cfg(test)]
        {
            self.looked_up += looked_up;
        }
        if hits.is_empty() && candidates.is_empty() {
            return true;
        }
        if let [(at, value)] = hits[..]
            && let Kind::One(entry) = value.kind()
            && candidates.is_empty()
        {
            // The common case takes one scan, and nothing that pauses.
            hits.clear();
            budget.spent += alone_cost(bytes.len() - at);
            if at >= *heads_from
                && let Found::Alone(number) = entries[entry as usize].template_ref.found()
                && tails.matches_alone(alone.tail(number), bytes, at)
            {
                found.push(entry);
            }
            return true;
        }
        run_ends.renew();
        // Each call makes some progress.
        let mut goes_on = false;
        for (at, value) in hits.drain(..) {
            if at < *heads_from {
                continue;
            }
            if goes_on && budget.is_spent() {
                return false;
            }
            goes_on = true;
            *heads_from = at + 1;
            match value.kind() {
                Kind::Other(node) => {
                    candidates.extend_from_slice(trie.complex(node));
                    trie.walk(node, bytes, at, found, &mut budget.spent);
                }
                Kind::One(entry) => {
                    let scanned = if run_ends.is_known() { 0 } else { bytes.len() - at };
                    budget.spent += alone_cost(scanned);
                    if let Found::Alone(number) = entries[entry as usize].template_ref.found()
                        && tails.matches_plain(alone.tail(number), bytes, at, run_ends)
                    {
                        found.push(entry);
                    }
                }
            }
        }
        if !self.compare_candidates(topic, entries, found, budget, goes_on) {
            *heads_from = usize::MAX;
            return false;
        }
        true
    }

    /// Compares the topic with the candidates that are left; false if it pauses. `goes_on` is
    /// whether this call has made progress, without which it does not pause.
    fn compare_candidates(
        &mut self,
        topic: HeadedTopic<'_>,
        entries: &Slab<SelectorEntry>,
        found: &mut Vec<u32>,
        budget: &mut MatchBudget,
        mut goes_on: bool,
    ) -> bool {
        let Self { tails, candidates, located, trie, .. } = self;
        let mut read_head = None;
        while let Some(&entry) = candidates.last() {
            if goes_on && budget.is_spent() {
                return false;
            }
            goes_on = true;
            candidates.pop();
            let Found::Grouped(key) = entries[entry as usize].template_ref.found() else { continue };
            let LocatedTemplate { tail, location } = located[key as usize];
            let head_bytes = trie.head(location.head).len();
            let mut is_read = read_head == Some(head_bytes);
            if tails.matches(tail, topic, head_bytes, &mut is_read, &mut budget.spent) {
                found.push(entry);
            }
            if is_read {
                read_head = Some(head_bytes);
            }
        }
        true
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        self.heads.shrink();
        self.alone.shrink();
        self.tails.shrink();
        self.trie.shrink();
        shrink_slab(&mut self.located);
    }

    /// Whether the template with this text and location can produce `topic`.
    pub(super) fn matches(&self, text: &str, template_ref: TemplateRef, topic: HeadedTopic<'_>) -> bool {
        let (tail, head) = match template_ref.found() {
            Found::Nowhere => return false,
            Found::Alone(number) => (self.alone.tail(number), self.alone.head(number, text)),
            Found::Grouped(key) => {
                let LocatedTemplate { tail, location } = self.located[key as usize];
                (tail, Cow::Borrowed(self.trie.head(location.head)))
            }
        };
        let template = self.tails.template(tail);
        topic.bytes.starts_with(&head)
            && template.tail_matches(topic, head.len(), &mut Simulator::default(), &mut false)
    }

    /// The most that a topic of 1 KiB can cost, see [`MATCH_COST_NODE`].
    pub(super) fn price(&self) -> u32 {
        self.trie.price()
    }

    /// The lookups so far, and the number of heads, tails and nodes.
    #[cfg(test)]
    pub(super) fn figures(&self) -> (u64, usize) {
        (self.looked_up, self.heads.len() + self.tails.len() + self.trie.len())
    }

    fn locate(&mut self, node: u32, tail: u32, entry: u32) -> TemplateRef {
        let location = self.trie.insert(node, &**self.tails.template(tail), entry);
        let key = self.located.insert(LocatedTemplate { tail, location }) as u32;
        TemplateRef::grouped(key, T::IS_PATTERN)
    }
}

/// Whether a template may be alone on its head, and so have no price: one short scan decides.
fn may_be_alone(template: &impl Indexed) -> bool {
    template.is_plain() && template.tail().parts.len() <= ALONE_PARTS_MAX
}

/// The cost of a template that is alone on its head, with this many bytes of the topic to scan.
fn alone_cost(bytes: usize) -> u64 {
    u64::from(MATCH_COST_NODE) + bytes as u64 * u64::from(MATCH_COST_RUN) / 1024
}

/// Whether `head` leads to `value`.
fn has_head<T: Indexed>(
    value: Either,
    head: &[u8],
    entries: &Slab<SelectorEntry>,
    alone: &T::Heads,
    trie: &Trie,
) -> bool {
    match value.kind() {
        Kind::Other(node) => trie.is_head(node, head),
        Kind::One(entry) => {
            let SelectorEntry { text, template_ref, .. } = &entries[entry as usize];
            matches!(template_ref.found(), Found::Alone(number) if alone.is_head(number, text, head))
        }
    }
}
