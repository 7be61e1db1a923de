//! The patterns of an index, which are found by the keys of topics that were read as URLs.

use slab::Slab;
use std::sync::Arc;

use super::budget::MatchBudget;
use super::entry::{SelectorEntry, TemplateRef};
use super::indexed::HeadedTopic;
use super::templates::Templates;
use crate::limits::MATCH_COST_URL;
use crate::mercure::public_url::PublicUrl;
use crate::mercure::selector::ComparedTopic;
use crate::mercure::url_pattern::UrlPattern;

/// At least one pattern.
pub(super) struct Patterns {
    /// The URL against which topics are resolved.
    hub: PublicUrl,
    found: Templates<UrlPattern>,
    patterns: usize,
}

impl Patterns {
    pub(super) fn new(hub: &PublicUrl) -> Self {
        Self { hub: hub.clone(), found: Templates::default(), patterns: 0 }
    }

    /// Makes `pattern` lead to `entry`, which the caller is about to add to `entries`.
    pub(super) fn insert(
        &mut self,
        pattern: &Arc<UrlPattern>,
        entry: u32,
        entries: &mut Slab<SelectorEntry>,
    ) -> TemplateRef {
        self.patterns += 1;
        self.found.insert(pattern, pattern.as_str(), entry, entries)
    }

    /// Removes `entry`, which has this text and location; returns whether it was the last one.
    pub(super) fn remove(
        &mut self,
        entry: u32,
        text: &str,
        template_ref: TemplateRef,
        entries: &mut Slab<SelectorEntry>,
    ) -> bool {
        self.found.remove(entry, text, template_ref, entries);
        self.patterns -= 1;
        self.patterns == 0
    }

    /// Ends a search that has paused.
    pub(super) fn end_search(&mut self) {
        self.found.end_search();
    }

    /// Adds to `found` the entries of the patterns that match `topic`; pauses as
    /// [`Templates::find`] does.
    pub(super) fn find(
        &mut self,
        topic: &ComparedTopic<'_>,
        entries: &Slab<SelectorEntry>,
        heads_from: &mut usize,
        found: &mut Vec<u32>,
        budget: &mut MatchBudget,
    ) -> bool {
        if !topic.is_read() {
            budget.spent += 1 + topic.as_str().len() as u64 * u64::from(MATCH_COST_URL) / 1024;
        }
        match topic.url(&self.hub) {
            Some(url) => self.found.find(HeadedTopic::of_patterns(url), entries, heads_from, found, budget),
            None => true,
        }
    }

    /// Whether the pattern with this text and location matches a topic.
    pub(super) fn matches(&self, text: &str, template_ref: TemplateRef, topic: &ComparedTopic<'_>) -> bool {
        topic
            .url(&self.hub)
            .is_some_and(|url| self.found.matches(text, template_ref, HeadedTopic::of_patterns(url)))
    }

    /// The most that a topic of 1 KiB can cost, see
    /// [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE).
    pub(super) fn price(&self) -> u32 {
        self.found.price().saturating_add(MATCH_COST_URL)
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        self.found.shrink();
    }

    /// The lookups so far, and the number of heads, tails and nodes.
    #[cfg(test)]
    pub(super) fn figures(&self) -> (u64, usize) {
        self.found.figures()
    }
}
