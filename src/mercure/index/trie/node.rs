//! A node of the trie, and what hangs on it.

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;
use std::collections::BTreeMap;
use std::hash::BuildHasher;

use crate::limits::{MATCH_COST_END, MATCH_COST_NODE, MATCH_COST_RUN};
use crate::mercure::uri_template::{CHARSETS, Charset};

/// No node.
pub(super) const NONE: u32 = u32::MAX;

pub(super) struct TrieNode {
    pub(super) edge: Edge,
    pub(super) parent: u32,
    /// The most that a topic which comes here can cost from here on.
    pub(super) cost: Cost,
    /// The maximum of the literal children.
    pub(super) literal_cost: Cost,
    /// Literal children by first byte, sorted.
    pub(super) literals: Box<[(u8, u32)]>,
    /// The children after a run, by character set.
    pub(super) runs: [u32; CHARSETS],
    /// The entries whose templates end here.
    pub(super) entries: Vec<u32>,
    pub(super) ends: Option<Box<Ends>>,
    /// If templates have this node as their head.
    pub(super) head: Option<Box<TemplateHead>>,
}

/// The most literal children that are scanned for one.
const LITERALS_SCANNED: usize = 32;

/// A cost in two cases. The runs of one path scan parts of the topic that do not overlap, so they
/// cost one scan together: it is charged where no other run follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// If no run leads here, or its scan is charged elsewhere.
    pub(super) settled: u32,
    /// If a run leads here, and its scan must be charged here or below.
    pub(super) owed: u32,
}

impl Cost {
    /// That of a node to which nothing belongs.
    const NODE: Self = Self { settled: MATCH_COST_NODE, owed: MATCH_COST_NODE + MATCH_COST_RUN };

    /// The maximum in each case.
    pub(super) fn max(self, other: Self) -> Self {
        Self { settled: self.settled.max(other.settled), owed: self.owed.max(other.owed) }
    }
}

const _: () = assert!(size_of::<TrieNode>() <= 128);

/// What leads from the parent to a node.
pub(super) enum Edge {
    Literal(Box<[u8]>),
    Run(Charset),
    /// The literal at the end of a template, after a run.
    End(Box<[u8]>),
}

/// The children after an end. An end is certain if the run could not take its first byte: then it
/// can only be what follows the longest run, and one lookup finds it. The others are looked up by
/// their length.
#[derive(Default)]
pub(super) struct Ends {
    /// How many there are of each length, ascending, besides the certain ones.
    pub(super) lengths: Vec<(u16, u32)>,
    /// How many are certain.
    certain: u32,
    pub(super) children: HashTable<u32>,
    /// How many children have each cost.
    costs: BTreeMap<u32, u32>,
    /// The lookups of all lengths.
    lookups_cost: u32,
}

/// What a node has that is the head of templates.
pub(super) struct TemplateHead {
    /// From the root to here.
    pub(super) text: Box<[u8]>,
    /// How many templates have this head.
    pub(super) templates: u32,
    /// Those of them that the trie does not describe.
    pub(super) complex: Complex,
}

/// The templates with this head that the trie does not describe.
#[derive(Default)]
pub(super) struct Complex {
    pub(super) entries: Vec<u32>,
    pub(super) costs: Vec<u32>,
    /// The sum of the costs.
    pub(super) cost: u32,
}

impl TrieNode {
    pub(super) fn new(parent: u32, edge: Edge) -> Self {
        Self {
            edge,
            parent,
            cost: Cost::NODE,
            literal_cost: Cost::default(),
            literals: Box::default(),
            runs: [NONE; CHARSETS],
            entries: Vec::new(),
            ends: None,
            head: None,
        }
    }

    pub(super) fn literal_child(&self, first: u8) -> Result<usize, usize> {
        self.literals.binary_search_by_key(&first, |&(byte, _)| byte)
    }

    /// The same for a walk. A scan of a few is faster than a search; of many, it would be slower.
    pub(super) fn literal_child_after(&self, first: u8) -> Option<u32> {
        if self.literals.len() > LITERALS_SCANNED {
            return self.literal_child(first).ok().map(|at| self.literals[at].1);
        }
        self.literals.iter().find(|(byte, _)| *byte == first).map(|&(_, child)| child)
    }

    pub(super) fn has_runs(&self) -> bool {
        self.runs != [NONE; CHARSETS]
    }

    /// There are at most 256, and they are read far more often than changed, so no spare capacity
    /// is kept.
    pub(super) fn edit_literals(&mut self, edit: impl FnOnce(&mut Vec<(u8, u32)>)) {
        let mut literals = std::mem::take(&mut self.literals).into_vec();
        edit(&mut literals);
        self.literals = literals.into();
    }

    pub(super) fn is_needed(&self) -> bool {
        self.head.is_some() || !self.entries.is_empty() || self.ends.is_some() || self.has_runs()
    }
}

impl Ends {
    /// The child after `literal`.
    pub(super) fn find(
        &self,
        literal: &[u8],
        nodes: &Slab<TrieNode>,
        hasher: &DefaultHashBuilder,
    ) -> Option<u32> {
        let same = |&child: &u32| nodes[child as usize].edge.literal() == literal;
        self.children.find(hasher.hash_one(literal), same).copied()
    }

    pub(super) fn has_certain(&self) -> bool {
        self.certain > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.certain == 0 && self.lengths.is_empty()
    }

    /// Adds a child, which is among `nodes`.
    pub(super) fn insert(
        &mut self,
        child: u32,
        is_certain: bool,
        nodes: &Slab<TrieNode>,
        hasher: &DefaultHashBuilder,
    ) {
        let literal = |child: u32| nodes[child as usize].edge.literal();
        let hash = hasher.hash_one(literal(child));
        self.children.insert_unique(hash, child, |&child| hasher.hash_one(literal(child)));
        let bytes = literal(child).len() as u16;
        match self.find_length(bytes) {
            _ if is_certain => {
                self.lookups_cost += if self.certain == 0 { lookup_cost(CERTAIN_BYTES) } else { 0 };
                self.certain += 1;
            }
            Ok(at) => self.lengths[at].1 += 1,
            Err(at) => {
                self.lengths.insert(at, (bytes, 1));
                self.lookups_cost += lookup_cost(bytes);
            }
        }
        *self.costs.entry(nodes[child as usize].cost.settled).or_default() += 1;
    }

    /// At least what a topic can cost here.
    pub(super) fn cost(&self) -> u32 {
        let child = self.costs.last_key_value().map_or(0, |(cost, _)| *cost);
        // A certain child and children of several lengths can match.
        let matching = self.lengths.len().min(8) as u32 + u32::from(self.has_certain());
        child.saturating_mul(matching).saturating_add(self.lookups_cost)
    }

    /// Notes that the cost of a child has changed.
    pub(super) fn changed(&mut self, old: u32, new: u32) {
        self.forget_cost(old);
        *self.costs.entry(new).or_default() += 1;
    }

    fn forget_cost(&mut self, cost: u32) {
        if let Some(count) = self.costs.get_mut(&cost) {
            *count -= 1;
            if *count == 0 {
                self.costs.remove(&cost);
            }
        }
    }

    /// Removes the child after `literal`.
    pub(super) fn remove(
        &mut self,
        (child, cost): (u32, u32),
        literal: &[u8],
        is_certain: bool,
        hasher: &DefaultHashBuilder,
    ) {
        self.forget_cost(cost);
        if let Ok(occupied) = self.children.find_entry(hasher.hash_one(literal), |&other| other == child) {
            occupied.remove();
        }
        if is_certain {
            self.certain -= 1;
            self.lookups_cost -= if self.certain == 0 { lookup_cost(CERTAIN_BYTES) } else { 0 };
        } else if let Ok(at) = self.find_length(literal.len() as u16) {
            self.lengths[at].1 -= 1;
            if self.lengths[at].1 == 0 {
                let (bytes, _) = self.lengths.remove(at);
                self.lookups_cost -= lookup_cost(bytes);
            }
        }
    }

    fn find_length(&self, bytes: u16) -> Result<usize, usize> {
        self.lengths.binary_search_by_key(&bytes, |&(bytes, _)| bytes)
    }
}

/// The end of a topic of 1 KiB that is looked up among certain ends.
const CERTAIN_BYTES: u16 = 1024;

/// The cost of looking up the ends of one length: the last bytes of the topic are hashed.
fn lookup_cost(bytes: u16) -> u32 {
    MATCH_COST_END + u32::from(bytes) / 256
}

impl Complex {
    /// Adds an entry; returns its index.
    pub(super) fn push(&mut self, entry: u32, cost: u32) -> u32 {
        self.entries.push(entry);
        self.costs.push(cost);
        self.cost = self.cost.saturating_add(cost);
        self.entries.len() as u32 - 1
    }

    /// Removes the entry at this index; returns the one that has the index now.
    pub(super) fn remove(&mut self, index: u32) -> Option<u32> {
        self.entries.swap_remove(index as usize);
        self.costs.swap_remove(index as usize);
        // A sum that has saturated is not what is left of it.
        self.cost = self.costs.iter().fold(0, |sum, cost| sum.saturating_add(*cost));
        self.entries.get(index as usize).copied()
    }
}

impl Edge {
    pub(super) fn literal(&self) -> &[u8] {
        match self {
            Self::Literal(literal) | Self::End(literal) => literal,
            Self::Run(_) => &[],
        }
    }
}
