//! The topic index: which subscriber slots does a publication concern?
//!
//! A lookup takes time that grows with the topic's length and the number of matches, not with the
//! number of selectors ([`TopicIndex`] says how). Invariants: a distinct selector is one entry,
//! however many slots share it; a slot's membership and the entry's member hold each other's index,
//! so leaving is O(1) per selector; a slot is reported once per publication (each slot and each
//! entry has a stamp). Freed places are reused, not given back. It is not a filter: the grant
//! decides what a subscriber may read.

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;
use std::hash::BuildHasher;

use crate::limits::MATCH_COST_NODE;
use crate::mercure::selector::{ComparedTopic, Selector};
use crate::mercure::uri_template::Template;
use crate::shrink::{shrink_slab, shrink_table, shrink_vec};
use budget::MatchBudget;
use entry::{EntryKind, Holders, Member, Members, SelectorEntry, TemplateRef, members};
use heads::widen;
use indexed::HeadedTopic;
use patterns::Patterns;
use slot::{Key, Membership, Search, Slot, SlotSelectors};
use templates::Templates;

mod budget;
mod entry;
mod heads;
mod indexed;
mod pattern_heads;
mod patterns;
mod run_ends;
mod slot;
mod tails;
mod templates;
mod trie;

#[cfg(test)]
mod pattern_tests;
#[cfg(test)]
mod tests;

/// The selectors of all subscribers of a shard, and the slots that hold them. Slots are small
/// numbers that the caller reuses; memory grows with the largest one.
///
/// One hash lookup finds the selector that equals the topic's text, and one for each beginning of
/// the topic finds the templates with that literal before their first expression (`heads`). The
/// rest of the topic is decided by the only template with that head (`tails`), or by a trie of
/// those that share it (`trie`), which also says what the worst topic costs ([`Self::price`]).
#[derive(Default)]
pub struct TopicIndex {
    hasher: DefaultHashBuilder,
    /// Every distinct selector by its text. A template matches itself as a string, so one lookup
    /// serves it and topics. The hash of a pattern is another one.
    by_text: HashTable<Key>,
    /// Texts that are both a topic and a template that are held.
    twins: usize,
    entries: Slab<SelectorEntry>,
    /// The members of entries that have several.
    shared: Slab<Vec<Member>>,
    slots: Vec<Slot>,
    /// The memberships of slots that have several.
    memberships: Slab<Box<[Membership]>>,
    templates: Templates<Template>,
    /// The patterns, if there are any.
    patterns: Option<Box<Patterns>>,
    /// The entry of `*`.
    any: Option<u32>,
    epoch: u32,
    /// Matching entries; kept to avoid an allocation.
    found: Vec<u32>,
    search: Search,
    /// The cost of all searches so far.
    spent: u64,
}

/// What selectors would add to an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// How much more the worst topic of 1 KiB would cost, see
    /// [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE).
    pub added: u32,
    /// What it would then cost.
    pub total: u32,
}

impl TopicIndex {
    /// An index that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many distinct selectors are held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no selector is held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets the selectors of `slot` to `selectors`. A selector given twice counts once.
    pub fn insert(&mut self, slot: u32, selectors: &[Selector]) {
        self.remove(slot);
        if self.slots.len() <= slot as usize {
            self.slots.resize_with(slot as usize + 1, || Slot { held: SlotSelectors::None, stamp: 0 });
        }
        let held = match selectors {
            [] => SlotSelectors::None,
            [selector] => self
                .join(selector, Member { slot, membership: 0 })
                .map_or(SlotSelectors::None, SlotSelectors::One),
            _ => {
                let mut memberships = Vec::with_capacity(selectors.len());
                for selector in selectors {
                    memberships
                        .extend(self.join(selector, Member { slot, membership: memberships.len() as u32 }));
                }
                match memberships[..] {
                    [only] => SlotSelectors::One(only),
                    _ => SlotSelectors::Many(self.memberships.insert(memberships.into()) as u32),
                }
            }
        };
        self.slots[slot as usize].held = held;
    }

    /// Removes `slot`, with the selectors that no other slot holds. No-op when it is not there.
    pub fn remove(&mut self, slot: u32) {
        let Some(held) = self
            .slots
            .get_mut(slot as usize)
            .map(|slot| std::mem::replace(&mut slot.held, SlotSelectors::None))
        else {
            return;
        };
        match held {
            SlotSelectors::None => {}
            SlotSelectors::One(membership) => self.leave(membership),
            SlotSelectors::Many(key) => {
                // A slot's entries are distinct, so leaving one moves no other membership of this
                // slot.
                for membership in self.memberships.remove(key as usize) {
                    self.leave(membership);
                }
            }
        }
    }

    /// Calls `hit` once for each slot that has a selector matching one of `topics`, in no
    /// particular order.
    pub fn for_each_match(&mut self, topics: &[ComparedTopic<'_>], hit: impl FnMut(u32)) {
        self.begin_search();
        self.search(topics, u64::MAX, hit);
    }

    /// Begins a search, and ends one that has paused.
    pub fn begin_search(&mut self) {
        self.next_epoch();
        self.templates.end_search();
        if let Some(patterns) = &mut self.patterns {
            patterns.end_search();
        }
        self.search = Search::default();
    }

    /// Continues the search for the slots that have a selector matching one of `topics`, and calls
    /// `hit` for those found now; each is reported once in a search. Pauses once it has spent more
    /// than `most` (see [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE)), and then returns
    /// false: the same call goes on. A slot that is inserted meanwhile may be reported or not.
    pub fn search(&mut self, topics: &[ComparedTopic<'_>], most: u64, mut hit: impl FnMut(u32)) -> bool {
        let mut budget = MatchBudget { spent: 0, most };
        let mut found = std::mem::take(&mut self.found);
        let Search { topics: mut done, mut heads_from, mut in_patterns, mut are_several } = self.search;
        if done == 0 && heads_from == 0 && !in_patterns {
            found.extend(self.any);
        }
        let mut is_done = true;
        for topic in topics.iter().skip(done) {
            if budget.is_spent() {
                is_done = false;
                break;
            }
            if !in_patterns {
                if heads_from == 0 {
                    self.find_text(topic.as_str(), &mut found);
                }
                let topic = HeadedTopic::of_templates(topic.as_str());
                is_done = self.templates.find(topic, &self.entries, &mut heads_from, &mut found, &mut budget);
            }
            if is_done && let Some(patterns) = &mut self.patterns {
                heads_from = if in_patterns { heads_from } else { 0 };
                in_patterns = true;
                is_done = patterns.find(topic, &self.entries, &mut heads_from, &mut found, &mut budget);
            }
            if are_several || found.len() > 1 {
                are_several = true;
                found.drain(..).for_each(|entry| self.report_matches(entry, &mut hit));
            }
            if !is_done {
                break;
            }
            (done, heads_from, in_patterns) = (done + 1, 0, false);
        }
        self.spent += budget.spent;
        if !is_done {
            found.drain(..).for_each(|entry| self.report_matches(entry, &mut hit));
            self.search = Search { topics: done, heads_from, in_patterns, are_several: true };
        } else if let Some(only) = found.pop() {
            // A single entry is the common case. It names no slot twice, so the slots' stamps need
            // not be read.
            members(&self.entries, &self.shared, only).for_each(|member| hit(member.slot));
        }
        self.found = found;
        is_done
    }

    /// The cost of all searches so far.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// The most that a topic of 1 KiB can cost, see
    /// [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE). Exact selectors are not counted, nor is
    /// a plain template that is alone on its head.
    pub fn price(&self) -> u32 {
        let patterns = self.patterns.as_ref().map_or(0, |patterns| patterns.price());
        self.templates.price().saturating_add(patterns)
    }

    /// The price of an index that holds these selectors alone. The cost of comparing a topic with
    /// those that have a choice is at most that ([`Self::slot_matches`]).
    pub fn price_alone(selectors: &[Selector]) -> u32 {
        if !selectors.iter().any(Selector::has_choice) {
            return MATCH_COST_NODE;
        }
        let mut index = Self::new();
        index.insert(0, selectors);
        index.price()
    }

    /// What `selectors` would add to the price, if `slot`, which holds none, had them. Selectors
    /// that others hold, too, add nothing.
    pub fn price_of(&mut self, slot: u32, selectors: &[Selector]) -> Price {
        let before = self.price();
        let is_priced = |it: &Selector| matches!(it, Selector::Template(_) | Selector::Pattern(_));
        if !selectors.iter().any(is_priced) {
            return Price { added: 0, total: before };
        }
        self.insert(slot, selectors);
        let total = self.price();
        self.remove(slot);
        // A template that was alone on its head is not the newcomer's.
        let own = selectors.iter().map(Selector::match_cost).fold(0, u32::saturating_add);
        Price { added: total.saturating_sub(before).min(own), total }
    }

    /// Gives back the memory that selectors needed, if most are gone.
    pub fn shrink(&mut self) {
        shrink_table(&mut self.by_text, |key| widen(key.hash));
        shrink_slab(&mut self.entries);
        shrink_slab(&mut self.shared);
        shrink_slab(&mut self.memberships);
        let used = self.slots.iter().rposition(|slot| !matches!(slot.held, SlotSelectors::None));
        self.slots.truncate(used.map_or(0, |last| last + 1));
        shrink_vec(&mut self.slots);
        self.templates.shrink();
        if let Some(patterns) = &mut self.patterns {
            patterns.shrink();
        }
    }

    /// The selectors that `slot` holds, as they were inserted.
    pub fn selectors_of(&self, slot: u32) -> impl Iterator<Item = &str> {
        self.held_by(slot).iter().map(|membership| &*self.entries[membership.entry as usize].text)
    }

    /// Whether a selector of `slot` matches a topic: the same as [`Self::for_each_match`], for one
    /// slot.
    pub fn slot_matches(&self, slot: u32, topic: &ComparedTopic<'_>) -> bool {
        self.held_by(slot).iter().any(|membership| self.entry_matches(membership.entry, topic))
    }

    fn entry_matches(&self, entry: u32, topic: &ComparedTopic<'_>) -> bool {
        let SelectorEntry { text, template_ref, .. } = &self.entries[entry as usize];
        let is_same = **text == *topic.as_str();
        match template_ref.kind() {
            EntryKind::Text => is_same || self.any == Some(entry),
            EntryKind::Template => {
                let topic = HeadedTopic::of_templates(topic.as_str());
                is_same || self.templates.matches(text, *template_ref, topic)
            }
            EntryKind::Pattern => {
                self.patterns.as_ref().is_some_and(|it| it.matches(text, *template_ref, topic))
            }
        }
    }

    fn held_by(&self, slot: u32) -> &[Membership] {
        match self.slots.get(slot as usize).map(|slot| &slot.held) {
            None | Some(SlotSelectors::None) => &[],
            Some(SlotSelectors::One(membership)) => std::slice::from_ref(membership),
            Some(SlotSelectors::Many(key)) => &self.memberships[*key as usize],
        }
    }

    fn hash(&self, kind: EntryKind, text: &str) -> u32 {
        let hash = match kind {
            EntryKind::Text | EntryKind::Template => self.hasher.hash_one(text),
            EntryKind::Pattern => self.hasher.hash_one((text, kind as u8)),
        };
        (hash >> 32) as u32
    }

    /// Adds to `found` the topic and the template with this text.
    fn find_text(&self, text: &str, found: &mut Vec<u32>) {
        let hash = self.hash(EntryKind::Text, text);
        let same = |key: &Key| {
            let entry = &self.entries[key.entry as usize];
            key.hash == hash && *entry.text == *text && entry.template_ref.kind() != EntryKind::Pattern
        };
        if self.twins == 0 {
            found.extend(self.by_text.find(widen(hash), same).map(|key| key.entry));
        } else {
            found.extend(
                [EntryKind::Text, EntryKind::Template]
                    .iter()
                    .filter_map(|&it| self.find_or_twin(hash, it, text).ok()),
            );
        }
    }

    /// The entry of a selector, or whether it has a twin: a topic that is a template, too.
    fn find_or_twin(&self, hash: u32, kind: EntryKind, text: &str) -> Result<u32, bool> {
        let mut has_twin = false;
        let same = |key: &Key| {
            let entry = &self.entries[key.entry as usize];
            if key.hash != hash || *entry.text != *text {
                return false;
            }
            let other = entry.template_ref.kind();
            has_twin |= other != kind && other != EntryKind::Pattern && kind != EntryKind::Pattern;
            other == kind
        };
        self.by_text.find(widen(hash), same).map(|key| key.entry).ok_or(has_twin)
    }

    /// Adds `member` to the selector's entry; `None` when its slot is there already.
    fn join(&mut self, selector: &Selector, member: Member) -> Option<Membership> {
        let kind = match selector {
            Selector::Any | Selector::Exact(_) => EntryKind::Text,
            Selector::Template(_) => EntryKind::Template,
            Selector::Pattern(_) => EntryKind::Pattern,
        };
        let hash = self.hash(kind, selector.as_str());
        let entry = match self.find_or_twin(hash, kind, selector.as_str()) {
            Ok(entry) => entry,
            Err(has_twin) => {
                self.twins += usize::from(has_twin);
                return Some(Membership { entry: self.create(selector, hash, member), member: 0 });
            }
        };
        let members = &mut self.entries[entry as usize].members;
        // Only the slot that is being inserted can be a member twice, and then it is the last one.
        let member_index = match members.holders() {
            Holders::One(first) if first.slot == member.slot => return None,
            Holders::One(first) => {
                *members = Members::shared(self.shared.insert(vec![first, member]) as u32);
                1
            }
            Holders::Shared(key) => {
                let shared = &mut self.shared[key as usize];
                if shared.last().is_some_and(|last| last.slot == member.slot) {
                    return None;
                }
                shared.push(member);
                shared.len() as u32 - 1
            }
        };
        Some(Membership { entry, member: member_index })
    }

    fn create(&mut self, selector: &Selector, hash: u32, member: Member) -> u32 {
        let entry = self.entries.vacant_key() as u32;
        let template_ref = match selector {
            Selector::Any | Selector::Exact(_) => TemplateRef::NOWHERE,
            Selector::Template(template) => {
                self.templates.insert(template, template.as_str(), entry, &mut self.entries)
            }
            Selector::Pattern(pattern) => {
                let patterns = self.patterns.get_or_insert_with(|| Box::new(Patterns::new(pattern.hub())));
                patterns.insert(pattern, entry, &mut self.entries)
            }
        };
        let text = selector.as_str().into();
        self.entries.insert(SelectorEntry { text, members: Members::one(member), stamp: 0, template_ref });
        self.by_text.insert_unique(widen(hash), Key { hash, entry }, |key| widen(key.hash));
        if *selector == Selector::Any {
            self.any = Some(entry);
        }
        entry
    }

    fn leave(&mut self, membership: Membership) {
        let members = &mut self.entries[membership.entry as usize].members;
        let Holders::Shared(key) = members.holders() else {
            self.delete(membership.entry);
            return;
        };
        let shared = &mut self.shared[key as usize];
        shared.swap_remove(membership.member as usize);
        let moved = shared.get(membership.member as usize).copied();
        if let [last] = shared[..] {
            *members = Members::one(last);
            self.shared.remove(key as usize);
        } else if shared.len() < shared.capacity() / 4 {
            // Memory for many members is given back after most have left.
            shared.shrink_to(shared.len() * 2);
        }
        if let Some(moved) = moved {
            let membership_of_moved = match &mut self.slots[moved.slot as usize].held {
                SlotSelectors::One(only) => only,
                SlotSelectors::Many(key) => &mut self.memberships[*key as usize][moved.membership as usize],
                SlotSelectors::None => return,
            };
            membership_of_moved.member = membership.member;
        }
    }

    fn delete(&mut self, entry: u32) {
        let removed = self.entries.remove(entry as usize);
        let kind = removed.template_ref.kind();
        let hash = self.hash(kind, &removed.text);
        if let Ok(occupied) = self.by_text.find_entry(widen(hash), |key| key.entry == entry) {
            occupied.remove();
        }
        if self.twins > 0 {
            let has_twin = self.find_or_twin(hash, kind, &removed.text) == Err(true);
            self.twins -= usize::from(has_twin);
        }
        match kind {
            EntryKind::Text => {}
            EntryKind::Template => {
                self.templates.remove(entry, &removed.text, removed.template_ref, &mut self.entries);
            }
            EntryKind::Pattern => {
                let Some(patterns) = &mut self.patterns else { return };
                if patterns.remove(entry, &removed.text, removed.template_ref, &mut self.entries) {
                    self.patterns = None;
                }
            }
        }
        if self.any == Some(entry) {
            self.any = None;
        }
    }

    fn next_epoch(&mut self) {
        if self.epoch == u32::MAX {
            // Once in four billion publications, all stamps are reset.
            self.epoch = 0;
            self.slots.iter_mut().for_each(|slot| slot.stamp = 0);
            self.entries.iter_mut().for_each(|(_, entry)| entry.stamp = 0);
        }
        self.epoch += 1;
    }

    /// Calls `hit` for the members of `entry` that were not reported in this epoch yet.
    fn report_matches(&mut self, entry: u32, hit: &mut impl FnMut(u32)) {
        let stamp = &mut self.entries[entry as usize].stamp;
        if std::mem::replace(stamp, self.epoch) == self.epoch {
            return;
        }
        let Self { entries, shared, slots, epoch, .. } = self;
        for member in members(entries, shared, entry) {
            let stamp = &mut slots[member.slot as usize].stamp;
            if std::mem::replace(stamp, *epoch) != *epoch {
                hit(member.slot);
            }
        }
    }
}
