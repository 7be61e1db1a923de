//! The templates of an index: found by their head, then by their tail.
//!
//! Most heads belong to one template. Such a head leads to its entry, and the tail decides. A head
//! that several templates share leads to a trie of their tails. It keeps its trie until the last of
//! its templates is removed.

use slab::Slab;
use std::sync::Arc;

use super::entry::{Either, Found, Kind, SelectorEntry, TemplateRef};
use super::groups::{Groups, Removed};
use super::heads::Heads;
use super::tails::Tails;
use crate::mercure::uri_template::{Simulator, Template};

#[derive(Default)]
pub(super) struct Templates {
    /// Each head leads to its only entry, or to the root of a group.
    heads: Heads<Either>,
    tails: Tails,
    groups: Groups,
    /// The locations of entries that share their head.
    shared: Slab<SharedTemplate>,
    /// The heads that a topic begins with, and their lengths; kept to avoid an allocation.
    hits: Vec<(usize, Either)>,
    /// The number of heads looked up so far.
    looked_up: u64,
}

/// The location of an entry that shares its head.
struct SharedTemplate {
    tail: u32,
    root: u32,
    node: u32,
    /// Its index among the entries of the node.
    index: u32,
}

impl Templates {
    /// Makes `template` lead to `entry`, which the caller is about to add to `entries`; returns its
    /// location.
    pub(super) fn insert(
        &mut self,
        template: &Arc<Template>,
        entry: u32,
        entries: &mut Slab<SelectorEntry>,
    ) -> TemplateRef {
        let tail = self.tails.hold(template);
        let head = template.head();
        let Self { heads, groups, .. } = self;
        let Some(value) =
            heads.get_mut(head.as_bytes(), |value| has_head(value, head.as_bytes(), entries, groups))
        else {
            heads.insert(head.as_bytes(), Either::one(entry));
            return TemplateRef::alone(tail);
        };
        let root = match value.kind() {
            Kind::Other(root) => root,
            Kind::One(first) => {
                let root = groups.open(head);
                *value = Either::other(root);
                let first_entry = &mut entries[first as usize];
                if let Found::Alone(first_tail) = first_entry.template_ref.found() {
                    first_entry.template_ref = self.share(root, first_tail, first);
                }
                root
            }
        };
        self.share(root, tail, entry)
    }

    /// Removes `entry`, which has this text and location.
    pub(super) fn remove(
        &mut self,
        entry: u32,
        text: &str,
        template_ref: TemplateRef,
        entries: &mut Slab<SelectorEntry>,
    ) {
        let head = head_of(text).as_bytes();
        match template_ref.found() {
            Found::Nowhere => {}
            Found::Alone(tail) => {
                self.tails.let_go(tail);
                self.heads.remove(head, |value| value == Either::one(entry));
            }
            Found::Grouped(key) => {
                let SharedTemplate { tail, root, node, index } = self.shared.remove(key as usize);
                self.tails.let_go(tail);
                let Removed { moved, ended } = self.groups.remove(node, index);
                if let Some(moved) = moved
                    && let Found::Grouped(key) = entries[moved as usize].template_ref.found()
                {
                    self.shared[key as usize].index = index;
                }
                if ended {
                    self.heads.remove(head, |value| value == Either::other(root));
                }
            }
        }
    }

    /// Adds to `found` the entries of the templates that can produce `topic`.
    pub(super) fn find(&mut self, topic: &str, entries: &Slab<SelectorEntry>, found: &mut Vec<u32>) {
        let Self { heads, tails, groups, hits, looked_up, .. } = self;
        let topic = topic.as_bytes();
        let is = |bytes: usize, value| has_head(value, &topic[..bytes], entries, groups);
        *looked_up += heads.probe(topic, is, hits);
        for (bytes, value) in hits.drain(..) {
            let rest = &topic[bytes..];
            match value.kind() {
                Kind::Other(root) => groups.walk(root, rest, found),
                Kind::One(entry) => {
                    if let Found::Alone(tail) = entries[entry as usize].template_ref.found()
                        && tails.matches(tail, rest)
                    {
                        found.push(entry);
                    }
                }
            }
        }
    }

    /// Whether the template with this text and location can produce `topic`.
    pub(super) fn matches(&self, text: &str, template_ref: TemplateRef, topic: &str) -> bool {
        let tail = match template_ref.found() {
            Found::Nowhere => return false,
            Found::Alone(tail) => tail,
            Found::Grouped(key) => self.shared[key as usize].tail,
        };
        topic.strip_prefix(head_of(text)).is_some_and(|rest| {
            self.tails.template(tail).tail_matches(rest.as_bytes(), &mut Simulator::default())
        })
    }

    /// The steps of all searches so far, and the number of heads, tails and nodes.
    #[cfg(test)]
    pub(super) fn figures(&self) -> (u64, usize) {
        let ((tail_steps, tails), (group_steps, nodes)) = (self.tails.figures(), self.groups.figures());
        (self.looked_up + tail_steps + group_steps, self.heads.len() + tails + nodes)
    }

    fn share(&mut self, root: u32, tail: u32, entry: u32) -> TemplateRef {
        let (node, index) = self.groups.insert(root, self.tails.template(tail), entry);
        TemplateRef::grouped(self.shared.insert(SharedTemplate { tail, root, node, index }) as u32)
    }
}

/// The head of a template's text. No literal holds a brace.
fn head_of(text: &str) -> &str {
    &text[..memchr::memchr(b'{', text.as_bytes()).unwrap_or(text.len())]
}

/// Whether `head` leads to `value`.
fn has_head(value: Either, head: &[u8], entries: &Slab<SelectorEntry>, groups: &Groups) -> bool {
    match value.kind() {
        Kind::Other(root) => groups.head(root) == head,
        Kind::One(entry) => {
            let text = entries[entry as usize].text.as_bytes();
            text.starts_with(head) && text.get(head.len()) == Some(&b'{')
        }
    }
}
