//! Tails: the parts after the head of a template, each distinct one stored once. A million
//! templates have a handful of tails.

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;
use std::hash::{BuildHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use super::run_ends::RunEnds;
use crate::mercure::uri_template::{Simulator, Template, TemplatePart};
use crate::shrink::{shrink_slab, shrink_table};

#[derive(Default)]
pub(super) struct Tails {
    tails: Slab<TemplateTail>,
    /// The tails by their parts.
    by_parts: HashTable<u32>,
    hasher: DefaultHashBuilder,
    simulator: Simulator,
}

struct TemplateTail {
    /// One of the templates that have, or had, this tail.
    template: Arc<Template>,
    holders: u32,
}

impl Tails {
    /// The tail of `template`, with one more holder.
    pub(super) fn hold(&mut self, template: &Arc<Template>) -> u32 {
        let Self { tails, by_parts, hasher, .. } = self;
        let hash = hash(hasher, template);
        if let Some(&tail) = by_parts.find(hash, |&tail| is_same(&tails[tail as usize].template, template)) {
            tails[tail as usize].holders += 1;
            return tail;
        }
        let tail = tails.insert(TemplateTail { template: Arc::clone(template), holders: 1 }) as u32;
        by_parts.insert_unique(hash, tail, |&tail| self::hash(hasher, &tails[tail as usize].template));
        tail
    }

    /// Removes one holder.
    pub(super) fn let_go(&mut self, tail: u32) {
        let held = &mut self.tails[tail as usize];
        held.holders -= 1;
        if held.holders > 0 {
            return;
        }
        let hash = hash(&self.hasher, &held.template);
        if let Ok(occupied) = self.by_parts.find_entry(hash, |&other| other == tail) {
            occupied.remove();
        }
        self.tails.remove(tail as usize);
    }

    /// A template with this tail.
    pub(super) fn template(&self, tail: u32) -> &Arc<Template> {
        &self.tails[tail as usize].template
    }

    /// The same as [`Self::matches_plain`], by a scan for each run.
    pub(super) fn matches_alone(&self, tail: u32, topic: &[u8], at: usize) -> bool {
        self.tails[tail as usize].template.plain_matches(topic, at, |set, at| at + set.run(&topic[at..]))
    }

    /// Whether a plain tail can produce the rest of `topic` after a head of `at` bytes.
    pub(super) fn matches_plain(&self, tail: u32, topic: &[u8], at: usize, run_ends: &mut RunEnds) -> bool {
        let template = &self.tails[tail as usize].template;
        template.plain_matches(topic, at, |set, at| run_ends.end(set, topic, at))
    }

    /// Whether a tail with a choice can produce `rest`, the part after the head; `is_read` is
    /// whether the simulator has read `rest`. Adds what it costs to `spent`.
    pub(super) fn matches(&mut self, tail: u32, rest: &[u8], is_read: &mut bool, spent: &mut u64) -> bool {
        let template = &self.tails[tail as usize].template;
        let is_match = template.tail_matches_read(rest, &mut self.simulator, is_read);
        *spent += self.simulator.take_spent();
        is_match
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        let Self { tails, by_parts, hasher, .. } = self;
        shrink_table(by_parts, |&tail| hash(hasher, &tails[tail as usize].template));
        shrink_slab(tails);
    }

    /// The number of tails.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.tails.len()
    }
}

fn hash(hasher: &DefaultHashBuilder, template: &Template) -> u64 {
    let mut state = hasher.build_hasher();
    for part in template.tail() {
        match part {
            TemplatePart::Literal { start, end } => template.literal(*start, *end).hash(&mut state),
            TemplatePart::Expression(expression) => expression.hash(&mut state),
        }
    }
    state.finish()
}

fn is_same(one: &Template, other: &Template) -> bool {
    let same = |(mine, theirs): (&TemplatePart, &TemplatePart)| match (mine, theirs) {
        (
            TemplatePart::Literal { start, end },
            TemplatePart::Literal { start: other_start, end: other_end },
        ) => one.literal(*start, *end) == other.literal(*other_start, *other_end),
        (TemplatePart::Expression(mine), TemplatePart::Expression(theirs)) => mine == theirs,
        _ => false,
    };
    let (mine, theirs) = (one.tail(), other.tail());
    mine.len() == theirs.len() && mine.iter().zip(theirs).all(same)
}
