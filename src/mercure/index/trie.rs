//! The trie of plain templates, whose literals and runs leave no choice, and the price of the
//! templates of an index.
//!
//! ```text
//!   root ─ literals of a head ─▶ head ─ run ─▶ node ─ literal ─▶ node ─ run ─▶ …
//!                                 │              └─ end, the literal that a template ends with ─▶ node
//!                                 └─ complex templates with this head
//! ```
//!
//! Invariants: a topic decides where a run ends, so a node is visited at most once for a topic; at
//! most one literal child of a node begins with a given byte; a node keeps its number as long as a
//! template begins or ends there or below. [`Trie::price`] is at least the cost of any topic: at
//! each node a topic takes every run and one literal, so it is the sum of the first and the maximum
//! of the second. A walk begins at a head, found by its hash; the nodes above count for the price.

use hashbrown::DefaultHashBuilder;
use slab::Slab;

use super::indexed::Indexed;
use crate::limits::{MATCH_COST_ENTRY, MATCH_COST_NODE, MATCH_COST_RUN};
use crate::mercure::uri_template::{Charset, Expression, TemplatePart};
use crate::shrink::shrink_slab;
use node::{Complex, Cost, Edge, NONE, TemplateHead, TrieNode};

mod node;

/// Where every path begins.
const ROOT: u32 = 0;

pub(super) struct Trie {
    nodes: Slab<TrieNode>,
    hasher: DefaultHashBuilder,
    /// Nodes to visit, and where in the topic; kept to avoid an allocation.
    stack: Vec<(u32, usize)>,
}

/// The location of a template in the trie.
#[derive(Clone, Copy)]
pub(super) struct Location {
    pub(super) head: u32,
    /// Where a plain template ends; the head of a complex one.
    pub(super) node: u32,
    /// The index among the entries of the node.
    pub(super) index: u32,
}

/// The result of a removal.
pub(super) struct Removed {
    /// The entry that now has the index, if one was moved.
    pub(super) moved: Option<u32>,
    /// The head, if no template has it any more.
    pub(super) ended: Option<Box<[u8]>>,
}

impl Default for Trie {
    fn default() -> Self {
        let mut nodes = Slab::new();
        nodes.insert(TrieNode::new(NONE, Edge::Literal(Box::default())));
        Self { nodes, hasher: DefaultHashBuilder::default(), stack: Vec::new() }
    }
}

impl Trie {
    /// The most that a topic of 1 KiB can cost, see [`crate::limits::MATCH_COST_NODE`].
    pub(super) fn price(&self) -> u32 {
        self.nodes[ROOT as usize].cost.settled
    }

    /// The node of a head that no template has yet. [`Self::insert`] must follow.
    pub(super) fn open(&mut self, head: &str) -> u32 {
        let node = self.behind_literal(ROOT, head.as_bytes());
        let text = head.as_bytes().into();
        let head = TemplateHead { text, templates: 0, complex: Complex::default() };
        self.nodes[node as usize].head = Some(Box::new(head));
        node
    }

    /// Adds `entry`, whose template has this head.
    pub(super) fn insert(&mut self, head: u32, template: &impl Indexed, entry: u32) -> Location {
        if let Some(of_head) = &mut self.nodes[head as usize].head {
            of_head.templates += 1;
            if !template.is_plain() {
                let index = of_head.complex.push(entry, template.tail_cost());
                self.update_cost(head);
                return Location { head, node: head, index };
            }
        }
        let mut node = head;
        let tail = template.tail();
        let mut parts = tail.parts;
        while let [part, rest @ ..] = parts {
            node = match part {
                TemplatePart::Expression(Expression::Run(set)) => self.behind_run(node, *set),
                TemplatePart::Literal { start, end } => {
                    let literal = tail.literal(*start, *end);
                    match self.nodes[node as usize].edge {
                        Edge::Run(set) if rest.is_empty() => self.behind_end(node, set, literal),
                        _ => self.behind_literal(node, literal),
                    }
                }
                TemplatePart::Expression(Expression::Compiled(_)) => {
                    unreachable!("a plain template has runs only")
                }
            };
            parts = rest;
        }
        let entries = &mut self.nodes[node as usize].entries;
        entries.push(entry);
        let index = entries.len() as u32 - 1;
        self.update_cost(node);
        Location { head, node, index }
    }

    /// Removes the entry at this location, and the nodes that are not needed any more.
    pub(super) fn remove(&mut self, Location { head, node, index }: Location, is_plain: bool) -> Removed {
        let mut moved = None;
        let mut is_last = false;
        if let Some(of_head) = &mut self.nodes[head as usize].head {
            of_head.templates -= 1;
            is_last = of_head.templates == 0;
            if !is_plain {
                moved = of_head.complex.remove(index);
            }
        }
        if is_plain {
            let entries = &mut self.nodes[node as usize].entries;
            entries.swap_remove(index as usize);
            if entries.is_empty() {
                *entries = Vec::new();
            }
            moved = entries.get(index as usize).copied();
        }
        let ended = if is_last { self.nodes[head as usize].head.take().map(|head| head.text) } else { None };
        self.update_cost(node);
        self.prune(node);
        Removed { moved, ended }
    }

    /// The entry of the only template with this head, if it is plain.
    pub(super) fn only_entry(&self, head: u32) -> Option<u32> {
        let of_head = self.nodes[head as usize].head.as_ref()?;
        if of_head.templates != 1 || !of_head.complex.entries.is_empty() {
            return None;
        }
        let mut node = head;
        loop {
            let TrieNode { entries, runs, ends, literals, .. } = &self.nodes[node as usize];
            if let Some(&entry) = entries.first() {
                return Some(entry);
            }
            let run = runs.iter().copied().find(|child| *child != NONE);
            let end = ends.as_ref().and_then(|ends| ends.children.iter().next().copied());
            // The literal children of the head belong to other heads.
            let literal = literals.first().filter(|_| node != head).map(|&(_, child)| child);
            node = run.or(end).or(literal)?;
        }
    }

    /// The entries of complex templates with this head.
    pub(super) fn complex(&self, head: u32) -> &[u32] {
        self.nodes[head as usize].head.as_deref().map_or(&[], |head| &head.complex.entries)
    }

    /// The text of a head.
    pub(super) fn head(&self, head: u32) -> &[u8] {
        self.nodes[head as usize].head.as_deref().map_or(&[], |head| &head.text)
    }

    /// Whether this node is that of `head`.
    pub(super) fn is_head(&self, node: u32, head: &[u8]) -> bool {
        self.nodes[node as usize].head.as_ref().is_some_and(|of_head| *of_head.text == *head)
    }

    /// Adds to `found` the entries of the plain templates with this head, of `at` bytes, that can
    /// produce `topic`. Adds the cost to `spent`.
    pub(super) fn walk(&mut self, head: u32, topic: &[u8], at: usize, found: &mut Vec<u32>, spent: &mut u64) {
        self.stack.clear();
        if at == topic.len() {
            // Patterns without a run.
            found.extend_from_slice(&self.nodes[head as usize].entries);
        }
        self.follow_runs(head, topic, at, found, spent);
        while let Some((mut number, mut at)) = self.stack.pop() {
            // Down the literals.
            loop {
                *spent += u64::from(MATCH_COST_NODE);
                if self.nodes[number as usize].has_runs() {
                    self.follow_runs(number, topic, at, found, spent);
                }
                let node = &self.nodes[number as usize];
                let Some(&first) = topic.get(at) else {
                    found.extend_from_slice(&node.entries);
                    break;
                };
                let Some(child) = node.literal_child_after(first) else { break };
                let literal = self.nodes[child as usize].edge.literal();
                if !topic[at..].starts_with(literal) {
                    break;
                }
                (number, at) = (child, at + literal.len());
            }
        }
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        shrink_slab(&mut self.nodes);
    }

    /// The number of nodes besides the root.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - 1
    }

    fn follow_runs(&mut self, node: u32, topic: &[u8], at: usize, found: &mut Vec<u32>, spent: &mut u64) {
        let Self { nodes, hasher, stack } = self;
        for &child in nodes[node as usize].runs.iter().filter(|child| **child != NONE) {
            let after = &nodes[child as usize];
            let Edge::Run(set) = after.edge else { continue };
            let end = at + set.run(&topic[at..]);
            *spent += 1 + ((end - at) as u64 * u64::from(MATCH_COST_RUN)) / 1024;
            if end == at && set.is_never_empty() {
                continue;
            }
            stack.push((child, end));
            let Some(ends) = &after.ends else { continue };
            if ends.has_certain() && end < topic.len() {
                let literal = &topic[end..];
                *spent += u64::from(MATCH_COST_NODE) + literal.len() as u64 / 256;
                if let Some(child) = ends.find(literal, nodes, hasher) {
                    found.extend_from_slice(&nodes[child as usize].entries);
                }
            }
            for &(bytes, _) in &ends.lengths {
                let Some(start) = topic.len().checked_sub(usize::from(bytes)).filter(|start| *start >= at)
                else {
                    break;
                };
                *spent += u64::from(MATCH_COST_NODE);
                // In a run, `%` begins a triplet, which cannot be divided.
                if start > end
                    || set.divides_triplet(topic, at, start)
                    || (start == at && set.is_never_empty())
                {
                    continue;
                }
                let literal = &topic[start..];
                if let Some(child) = ends.find(literal, nodes, hasher) {
                    found.extend_from_slice(&nodes[child as usize].entries);
                }
            }
        }
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

    fn behind_run(&mut self, node: u32, set: Charset) -> u32 {
        let child = self.nodes[node as usize].runs[set.slot()];
        if child != NONE {
            return child;
        }
        let child = self.nodes.insert(TrieNode::new(node, Edge::Run(set))) as u32;
        self.nodes[node as usize].runs[set.slot()] = child;
        child
    }

    fn behind_end(&mut self, node: u32, set: Charset, literal: &[u8]) -> u32 {
        let Self { nodes, hasher, .. } = self;
        let mut ends = nodes[node as usize].ends.take().unwrap_or_default();
        let child = ends.find(literal, nodes, hasher).unwrap_or_else(|| {
            let child = nodes.insert(TrieNode::new(node, Edge::End(literal.into()))) as u32;
            ends.insert(child, !set.may_take(literal[0]), nodes, hasher);
            child
        });
        nodes[node as usize].ends = Some(ends);
        child
    }

    /// Inserts a node into the literal before `child`, after its first `length` bytes.
    fn split(&mut self, child: u32, length: usize) -> u32 {
        let TrieNode { parent, ref edge, cost, .. } = self.nodes[child as usize];
        let (head, tail): (Box<[u8]>, Box<[u8]>) =
            (edge.literal()[..length].into(), edge.literal()[length..].into());
        let (first, second) = (head[0], tail[0]);
        let middle = self.nodes.insert(TrieNode::new(parent, Edge::Literal(head))) as u32;
        let node = &mut self.nodes[middle as usize];
        node.literals = Box::new([(second, child)]);
        node.literal_cost = cost;
        self.replace_literal(parent, first, middle);
        let child = &mut self.nodes[child as usize];
        child.edge = Edge::Literal(tail);
        child.parent = middle;
        self.update_cost(middle);
        middle
    }

    /// Removes `node` and its ancestors while nothing begins or ends there or below, and joins the
    /// literals that then meet. The costs are computed once, above the last node removed.
    fn prune(&mut self, mut node: u32) {
        while node != ROOT && !self.nodes[node as usize].is_needed() {
            let parent = self.nodes[node as usize].parent;
            match self.nodes[node as usize].literals[..] {
                [] => self.detach(node),
                [(_, child)] if matches!(self.nodes[node as usize].edge, Edge::Literal(_)) => {
                    self.join(node, child);
                    node = parent;
                    break;
                }
                _ => break,
            }
            node = parent;
        }
        self.nodes[node as usize].literal_cost = self.literal_cost_of(node);
        self.update_cost(node);
    }

    /// Removes a leaf.
    fn detach(&mut self, node: u32) {
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
            Edge::Run(set) => parent.runs[set.slot()] = NONE,
            Edge::End(literal) => {
                let Edge::Run(set) = parent.edge else { return };
                let Some(mut ends) = parent.ends.take() else { return };
                let is_certain = !set.may_take(literal[0]);
                ends.remove((node, removed.cost.settled), &literal, is_certain, &self.hasher);
                parent.ends = (!ends.is_empty()).then_some(ends);
            }
        }
    }

    /// Removes `node`, which follows a literal, as its only child `child` does.
    fn join(&mut self, node: u32, child: u32) {
        let removed = self.nodes.remove(node as usize);
        let joined = [removed.edge.literal(), self.nodes[child as usize].edge.literal()].concat();
        self.replace_literal(removed.parent, joined[0], child);
        let child = &mut self.nodes[child as usize];
        child.edge = Edge::Literal(joined.into());
        child.parent = removed.parent;
    }

    fn replace_literal(&mut self, parent: u32, first: u8, child: u32) {
        let parent = &mut self.nodes[parent as usize];
        if let Ok(at) = parent.literal_child(first) {
            parent.literals[at].1 = child;
        }
    }

    /// Computes the cost of `node` again, and of the nodes above that it changes.
    fn update_cost(&mut self, mut node: u32) {
        loop {
            let cost = self.cost_of(node);
            let TrieNode { parent, cost: old, ref edge, .. } = self.nodes[node as usize];
            let (is_literal, is_end) = (matches!(edge, Edge::Literal(_)), matches!(edge, Edge::End(_)));
            self.nodes[node as usize].cost = cost;
            if parent == NONE {
                return;
            }
            if is_end && let Some(ends) = &mut self.nodes[parent as usize].ends {
                ends.changed(old.settled, cost.settled);
            }
            if is_literal {
                let known = self.nodes[parent as usize].literal_cost;
                let falls = (old.settled == known.settled && cost.settled < old.settled)
                    || (old.owed == known.owed && cost.owed < old.owed);
                let most = if falls { self.literal_cost_of(parent) } else { known.max(cost) };
                if most == known && cost == old {
                    return;
                }
                self.nodes[parent as usize].literal_cost = most;
            } else if cost == old && self.cost_of(parent) == self.nodes[parent as usize].cost {
                return;
            }
            node = parent;
        }
    }

    fn literal_cost_of(&self, node: u32) -> Cost {
        let children = self.nodes[node as usize].literals.iter();
        children.map(|&(_, child)| self.nodes[child as usize].cost).fold(Cost::default(), Cost::max)
    }

    fn cost_of(&self, node: u32) -> Cost {
        let node = &self.nodes[node as usize];
        let runs = node.runs.iter().filter(|child| **child != NONE);
        let runs = runs.map(|&child| self.nodes[child as usize].cost.owed);
        let ends = node.ends.as_ref().map_or(0, |ends| ends.cost());
        let complex = node.head.as_ref().map_or(0, |head| head.complex.cost);
        let entries = MATCH_COST_ENTRY.saturating_mul(node.entries.len() as u32);
        let own = [ends, complex, entries].into_iter().fold(MATCH_COST_NODE, u32::saturating_add);
        let literal = node.literal_cost;
        let settled = runs.chain([literal.settled]).fold(own, u32::saturating_add);
        let owed = match node.runs.iter().all(|child| *child == NONE) {
            true => own.saturating_add(literal.owed.max(MATCH_COST_RUN)),
            false => settled,
        };
        Cost { settled, owed }
    }
}
