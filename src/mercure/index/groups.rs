//! Tries of templates: one for each head that several templates share, over their tails, with equal
//! beginnings merged.
//!
//! A node follows a literal or an expression; a root follows its head. The literals form a radix
//! tree over bytes: at most one literal child begins with a given byte. Templates that end at the
//! same node have the same language. A node keeps its number as long as a template ends there or
//! below, whatever is split or joined around it.

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;
use std::hash::BuildHasher;

use crate::mercure::uri_template::run::{self, Cell, Graph, Scratch};
use crate::mercure::uri_template::{Expression, NfaState, Template, TemplatePart};

/// The parent of a root.
const NOBODY: u32 = u32::MAX;

#[derive(Default)]
pub(super) struct Groups {
    nodes: Slab<TrieNode>,
    /// Expression children by parent and expression: a node may have very many.
    expressions: HashTable<u32>,
    hasher: DefaultHashBuilder,
    scratch: Scratch,
}

#[repr(align(64))]
struct TrieNode {
    edge: Edge,
    /// Literal children by first byte, sorted.
    literals: Box<[(u8, u32)]>,
    expressions: Vec<u32>,
    /// The entries whose templates end here.
    entries: Vec<u32>,
    /// When the simulation last arrived here.
    visit: u64,
    parent: u32,
    /// For a node after an expression, its index among the parent's expression children.
    index: u32,
}

const _: () = assert!(size_of::<TrieNode>() == 128);

/// The result of a removal.
pub(super) struct Removed {
    /// The entry that now has the index, if one was moved.
    pub(super) moved: Option<u32>,
    /// The group is empty.
    pub(super) ended: bool,
}

/// What leads from the parent to a node.
enum Edge {
    Literal(Box<[u8]>),
    Expression { expression: Expression, cells: Box<[Cell]> },
}

impl TrieNode {
    fn new(parent: u32, edge: Edge) -> Self {
        Self {
            parent,
            index: 0,
            visit: 0,
            edge,
            literals: Box::default(),
            expressions: Vec::new(),
            entries: Vec::new(),
        }
    }

    fn literal_child(&self, first: u8) -> Result<usize, usize> {
        self.literals.binary_search_by_key(&first, |&(byte, _)| byte)
    }

    /// There are at most 256, and they are read far more often than changed, so no spare capacity
    /// is kept.
    fn edit_literals(&mut self, edit: impl FnOnce(&mut Vec<(u8, u32)>)) {
        let mut literals = std::mem::take(&mut self.literals).into_vec();
        edit(&mut literals);
        self.literals = literals.into();
    }
}

impl Groups {
    /// A new group for `head`; returns its root.
    pub(super) fn open(&mut self, head: &str) -> u32 {
        self.nodes.insert(TrieNode::new(NOBODY, Edge::Literal(head.as_bytes().into()))) as u32
    }

    /// The head of a root.
    pub(super) fn head(&self, root: u32) -> &[u8] {
        self.nodes[root as usize].edge.literal()
    }

    /// Adds `entry` where the tail of `template` ends, in the group of `root`. Returns the node,
    /// and the index among the node's entries.
    pub(super) fn insert(&mut self, root: u32, template: &Template, entry: u32) -> (u32, u32) {
        let mut node = root;
        for part in template.tail() {
            node = match part {
                TemplatePart::Literal { start, end } => {
                    self.behind_literal(node, template.literal(*start, *end))
                }
                TemplatePart::Expression(expression) => self.behind_expression(node, expression),
            };
        }
        let entries = &mut self.nodes[node as usize].entries;
        entries.push(entry);
        (node, entries.len() as u32 - 1)
    }

    /// Removes the entry at `index` from `node`, and the nodes that are not needed any more.
    pub(super) fn remove(&mut self, node: u32, index: u32) -> Removed {
        let entries = &mut self.nodes[node as usize].entries;
        entries.swap_remove(index as usize);
        let moved = entries.get(index as usize).copied();
        let ended = self.prune(node);
        Removed { moved, ended }
    }

    /// Adds to `found` the entries of the group whose tails can produce `rest`, the part of a topic
    /// after the head.
    pub(super) fn walk(&mut self, root: u32, rest: &[u8], found: &mut Vec<u32>) {
        let mut walk = Walk { nodes: &mut self.nodes, found };
        run::run(&mut walk, root, rest, &mut self.scratch);
    }

    /// The steps of all walks so far, and the number of nodes.
    #[cfg(test)]
    pub(super) fn figures(&self) -> (u64, usize) {
        (self.scratch.steps(), self.nodes.len())
    }

    fn behind_literal(&mut self, mut node: u32, mut literal: &[u8]) -> u32 {
        while let Some(&first) = literal.first() {
            let at = match self.nodes[node as usize].literal_child(first) {
                Ok(at) => at,
                Err(at) => {
                    let child = self.nodes.insert(TrieNode::new(node, Edge::Literal(literal.into()))) as u32;
                    self.nodes[node as usize].edit_literals(|literals| literals.insert(at, (first, child)));
                    return child;
                }
            };
            let child = self.nodes[node as usize].literals[at].1;
            let edge = self.nodes[child as usize].edge.literal();
            let shared = edge.iter().zip(literal).take_while(|(one, other)| one == other).count();
            node = if shared == edge.len() { child } else { self.split(child, shared) };
            literal = &literal[shared..];
        }
        node
    }

    fn behind_expression(&mut self, node: u32, expression: &Expression) -> u32 {
        let hash = self.hasher.hash_one((node, expression));
        let nodes = &self.nodes;
        let same = |&child: &u32| nodes[child as usize].is_behind(node, expression);
        if let Some(&child) = self.expressions.find(hash, same) {
            return child;
        }
        let cells = vec![Cell::default(); expression.states().len()].into();
        let edge = Edge::Expression { expression: expression.clone(), cells };
        let index = self.nodes[node as usize].expressions.len() as u32;
        let child = self.nodes.insert(TrieNode { index, ..TrieNode::new(node, edge) }) as u32;
        self.nodes[node as usize].expressions.push(child);
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.expressions.insert_unique(hash, child, |&child| nodes[child as usize].hash(hasher));
        child
    }

    /// Inserts a node into the literal before `child`, after its first `length` bytes.
    fn split(&mut self, child: u32, length: usize) -> u32 {
        let TrieNode { parent, ref edge, .. } = self.nodes[child as usize];
        let (head, tail): (Box<[u8]>, Box<[u8]>) =
            (edge.literal()[..length].into(), edge.literal()[length..].into());
        let (first, second) = (head[0], tail[0]);
        let middle = self.nodes.insert(TrieNode::new(parent, Edge::Literal(head))) as u32;
        self.nodes[middle as usize].literals = Box::new([(second, child)]);
        self.replace_literal(parent, first, middle);
        let child = &mut self.nodes[child as usize];
        child.edge = Edge::Literal(tail);
        child.parent = middle;
        middle
    }

    /// Removes `node` and its ancestors while nothing ends there or below, and joins the literals
    /// that then meet. Returns whether this removed the root, and so the group.
    fn prune(&mut self, mut node: u32) -> bool {
        loop {
            let TrieNode { parent, ref entries, ref expressions, ref literals, .. } =
                self.nodes[node as usize];
            if !entries.is_empty() || !expressions.is_empty() {
                return false;
            }
            match literals[..] {
                [] if parent == NOBODY => {
                    self.nodes.remove(node as usize);
                    return true;
                }
                [] => self.detach(node),
                [(_, child)] => {
                    self.join(node, child);
                    return false;
                }
                _ => return false,
            }
            node = parent;
        }
    }

    /// Removes a leaf.
    fn detach(&mut self, node: u32) {
        let hash = self.nodes[node as usize].hash(&self.hasher);
        let removed = self.nodes.remove(node as usize);
        let parent = &mut self.nodes[removed.parent as usize];
        match removed.edge {
            Edge::Literal(literal) => {
                if let Ok(at) = parent.literal_child(literal[0]) {
                    parent.edit_literals(|literals| {
                        literals.remove(at);
                    });
                }
            }
            Edge::Expression { .. } => {
                parent.expressions.swap_remove(removed.index as usize);
                if let Some(&moved) = parent.expressions.get(removed.index as usize) {
                    self.nodes[moved as usize].index = removed.index;
                }
                if let Ok(occupied) = self.expressions.find_entry(hash, |&child| child == node) {
                    occupied.remove();
                }
            }
        }
    }

    /// Removes `node`, whose only child is `child`, when both follow literals.
    fn join(&mut self, node: u32, child: u32) {
        let Edge::Literal(head) = &self.nodes[node as usize].edge else {
            return;
        };
        let joined = [head, self.nodes[child as usize].edge.literal()].concat();
        let (parent, first) = (self.nodes[node as usize].parent, joined[0]);
        self.nodes.remove(node as usize);
        self.replace_literal(parent, first, child);
        let child = &mut self.nodes[child as usize];
        child.edge = Edge::Literal(joined.into());
        child.parent = parent;
    }

    fn replace_literal(&mut self, parent: u32, first: u8, child: u32) {
        let parent = &mut self.nodes[parent as usize];
        if let Ok(at) = parent.literal_child(first) {
            parent.literals[at].1 = child;
        }
    }
}

impl TrieNode {
    fn is_behind(&self, parent: u32, wanted: &Expression) -> bool {
        let Edge::Expression { expression, .. } = &self.edge else {
            return false;
        };
        self.parent == parent && expression == wanted
    }

    /// The hash of a node after an expression among [`Groups::expressions`].
    fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        match &self.edge {
            Edge::Expression { expression, .. } => hasher.hash_one((self.parent, expression)),
            Edge::Literal(_) => 0,
        }
    }
}

impl Edge {
    fn literal(&self) -> &[u8] {
        match self {
            Self::Literal(literal) => literal,
            Self::Expression { .. } => &[],
        }
    }
}

struct Walk<'w> {
    nodes: &'w mut Slab<TrieNode>,
    found: &'w mut Vec<u32>,
}

impl Graph for Walk<'_> {
    fn literal(&self, node: u32) -> &[u8] {
        self.nodes[node as usize].edge.literal()
    }

    fn literal_child(&self, node: u32, first: u8) -> Option<u32> {
        let node = &self.nodes[node as usize];
        node.literal_child(first).ok().map(|at| node.literals[at].1)
    }

    fn expression_child(&self, node: u32, index: usize) -> Option<u32> {
        self.nodes[node as usize].expressions.get(index).copied()
    }

    fn state(&self, node: u32, pc: u16) -> Option<NfaState> {
        match &self.nodes[node as usize].edge {
            Edge::Expression { expression, .. } => expression.states().get(usize::from(pc)).copied(),
            Edge::Literal(_) => None,
        }
    }

    fn visit(&mut self, node: u32) -> &mut u64 {
        &mut self.nodes[node as usize].visit
    }

    fn cell(&mut self, node: u32, pc: u16) -> &mut Cell {
        match &mut self.nodes[node as usize].edge {
            Edge::Expression { cells, .. } => &mut cells[usize::from(pc)],
            // The simulation asks for a state before its cell, and a literal has no state.
            Edge::Literal(_) => unreachable!("a literal has no states"),
        }
    }

    fn finish(&mut self, node: u32) {
        self.found.extend_from_slice(&self.nodes[node as usize].entries);
    }
}
