//! Tails: the parts after the head of a template, each distinct one stored once. A million
//! templates have a handful of tails.

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;
use std::hash::{BuildHasher, Hasher as _};
use std::sync::Arc;

use super::indexed::{HeadedTopic, Indexed};
use super::run_ends::RunEnds;
use crate::mercure::uri_template::Simulator;
use crate::shrink::{shrink_slab, shrink_table};

pub(super) struct Tails<T> {
    tails: Slab<TemplateTail<T>>,
    /// The tails by their parts.
    by_parts: HashTable<u32>,
    hasher: DefaultHashBuilder,
    simulator: Simulator,
}

struct TemplateTail<T> {
    /// One of the templates that have, or had, this tail.
    template: Arc<T>,
    holders: u32,
}

impl<T> Default for Tails<T> {
    fn default() -> Self {
        Self {
            tails: Slab::new(),
            by_parts: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            simulator: Simulator::default(),
        }
    }
}

impl<T: Indexed> Tails<T> {
    /// The tail of `template`, with one more holder.
    pub(super) fn hold(&mut self, template: &Arc<T>) -> u32 {
        let Self { tails, by_parts, hasher, .. } = self;
        let hash = hash(hasher, &**template);
        if let Some(&tail) = by_parts.find(hash, |&tail| tails[tail as usize].template.has_tail_of(template))
        {
            tails[tail as usize].holders += 1;
            return tail;
        }
        let tail = tails.insert(TemplateTail { template: template.to_tail(), holders: 1 }) as u32;
        by_parts.insert_unique(hash, tail, |&tail| self::hash(hasher, &*tails[tail as usize].template));
        tail
    }

    /// Removes one holder.
    pub(super) fn let_go(&mut self, tail: u32) {
        let held = &mut self.tails[tail as usize];
        held.holders -= 1;
        if held.holders > 0 {
            return;
        }
        let hash = hash(&self.hasher, &*held.template);
        if let Ok(occupied) = self.by_parts.find_entry(hash, |&other| other == tail) {
            occupied.remove();
        }
        self.tails.remove(tail as usize);
    }

    /// A template with this tail.
    pub(super) fn template(&self, tail: u32) -> &Arc<T> {
        &self.tails[tail as usize].template
    }

    /// The same as [`Self::matches_plain`], by a scan for each run.
    pub(super) fn matches_alone(&self, tail: u32, topic: &[u8], at: usize) -> bool {
        self.tails[tail as usize].template.tail().matches(topic, at)
    }

    /// Whether a plain tail can produce the rest of `topic` after a head of `at` bytes.
    pub(super) fn matches_plain(&self, tail: u32, topic: &[u8], at: usize, run_ends: &mut RunEnds) -> bool {
        self.tails[tail as usize]
            .template
            .tail()
            .matches_runs(topic, at, |set, at| run_ends.end(set, topic, at))
    }

    /// Whether a tail with a choice can produce the rest of `topic` after a head of `at` bytes;
    /// `is_read` is whether the simulator has read that. Adds what it costs to `spent`.
    pub(super) fn matches(
        &mut self,
        tail: u32,
        topic: HeadedTopic<'_>,
        at: usize,
        is_read: &mut bool,
        spent: &mut u64,
    ) -> bool {
        let template = &self.tails[tail as usize].template;
        let is_match = template.tail_matches(topic, at, &mut self.simulator, is_read);
        *spent += self.simulator.take_spent();
        is_match
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        let Self { tails, by_parts, hasher, .. } = self;
        shrink_table(by_parts, |&tail| hash(hasher, &*tails[tail as usize].template));
        shrink_slab(tails);
    }

    /// The number of tails.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.tails.len()
    }
}

fn hash(hasher: &DefaultHashBuilder, template: &impl Indexed) -> u64 {
    let mut state = hasher.build_hasher();
    template.hash_tail(&mut state);
    state.finish()
}
