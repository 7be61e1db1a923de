//! A node of the trie, and what hangs on it.

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;
use std::hash::BuildHasher;

use crate::limits::MATCH_COST_NODE;
use crate::mercure::uri_template::{CHARSETS, Charset};

/// No node.
pub(super) const NONE: u32 = u32::MAX;

pub(super) struct TrieNode {
    pub(super) edge: Edge,
    pub(super) parent: u32,
    /// How many templates have this node as their head.
    pub(super) heads: u32,
    /// The most that a topic which comes here can cost from here on.
    pub(super) cost: u32,
    /// The maximum of the literal children.
    pub(super) literal_cost: u32,
    /// Literal children by first byte, sorted.
    pub(super) literals: Box<[(u8, u32)]>,
    /// The children after a run, by character set.
    pub(super) runs: [u32; CHARSETS],
    /// The entries whose templates end here.
    pub(super) entries: Vec<u32>,
    pub(super) ends: Option<Box<Ends>>,
    pub(super) complex: Option<Box<Complex>>,
}

const _: () = assert!(size_of::<TrieNode>() <= 128);

/// What leads from the parent to a node.
pub(super) enum Edge {
    Literal(Box<[u8]>),
    Run(Charset),
    /// The literal at the end of a template, after a run that could take its first byte.
    End(Box<[u8]>),
}

/// The children after an end.
#[derive(Default)]
pub(super) struct Ends {
    /// How many there are of each length, ascending.
    pub(super) lengths: Vec<(u16, u32)>,
    pub(super) children: HashTable<u32>,
    /// At least the cost of each child.
    pub(super) cost: u32,
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
            heads: 0,
            cost: MATCH_COST_NODE,
            literal_cost: 0,
            literals: Box::default(),
            runs: [NONE; CHARSETS],
            entries: Vec::new(),
            ends: None,
            complex: None,
        }
    }

    pub(super) fn literal_child(&self, first: u8) -> Result<usize, usize> {
        self.literals.binary_search_by_key(&first, |&(byte, _)| byte)
    }

    /// There are at most 256, and they are read far more often than changed, so no spare capacity
    /// is kept.
    pub(super) fn edit_literals(&mut self, edit: impl FnOnce(&mut Vec<(u8, u32)>)) {
        let mut literals = std::mem::take(&mut self.literals).into_vec();
        edit(&mut literals);
        self.literals = literals.into();
    }

    pub(super) fn is_needed(&self) -> bool {
        self.heads > 0
            || !self.entries.is_empty()
            || self.ends.is_some()
            || self.runs.iter().any(|child| *child != NONE)
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

    /// Adds a child, which is among `nodes`.
    pub(super) fn insert(&mut self, child: u32, nodes: &Slab<TrieNode>, hasher: &DefaultHashBuilder) {
        let literal = |child: u32| nodes[child as usize].edge.literal();
        let hash = hasher.hash_one(literal(child));
        self.children.insert_unique(hash, child, |&child| hasher.hash_one(literal(child)));
        let bytes = literal(child).len() as u16;
        match self.find_length(bytes) {
            Ok(at) => self.lengths[at].1 += 1,
            Err(at) => self.lengths.insert(at, (bytes, 1)),
        }
    }

    /// Removes the child after `literal`.
    pub(super) fn remove(&mut self, child: u32, literal: &[u8], hasher: &DefaultHashBuilder) {
        if let Ok(occupied) = self.children.find_entry(hasher.hash_one(literal), |&other| other == child) {
            occupied.remove();
        }
        if let Ok(at) = self.find_length(literal.len() as u16) {
            self.lengths[at].1 -= 1;
            if self.lengths[at].1 == 0 {
                self.lengths.remove(at);
            }
        }
    }

    fn find_length(&self, bytes: u16) -> Result<usize, usize> {
        self.lengths.binary_search_by_key(&bytes, |&(bytes, _)| bytes)
    }
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
