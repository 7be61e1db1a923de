//! The topics that a list of a grant covers, and what it costs to compare a topic with it.
//!
//! Exact topics are found by a binary search, which costs the same for every list. Templates and
//! patterns are compared one after the other: their price is computed once, from the same bounds as
//! that of subscriptions ([`MATCH_COST_NODE`]), so that a comparison can be refused before it is
//! begun.

use crate::limits::{MATCH_COST_COMPARISON, MATCH_COST_NODE, MATCH_COST_URL};
use crate::mercure::selector::{ComparedTopic, Selector};

/// What finding an exact topic costs.
const EXACT_COST: u64 = MATCH_COST_NODE as u64;

/// Selectors, arranged for comparisons with many topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GrantedTopics {
    /// Whether `*` is one of them.
    has_any: bool,
    /// The exact ones, sorted.
    exact: Box<[Box<str>]>,
    /// Templates and patterns.
    others: Box<[Selector]>,
    /// Whether a topic must be read as a URL.
    has_pattern: bool,
    /// The cost of comparing a topic with the others, whatever its length.
    fixed_cost: u64,
    /// The same for each KiB of the topic.
    kib_cost: u64,
}

impl GrantedTopics {
    pub(super) fn new(selectors: impl IntoIterator<Item = Selector>) -> Self {
        let (mut exact, mut others) = (Vec::new(), Vec::new());
        let mut this = Self::default();
        for selector in selectors {
            match selector {
                Selector::Any => this.has_any = true,
                Selector::Exact(text) => exact.push(text),
                Selector::Template(_) | Selector::Pattern(_) => {
                    this.charge(&selector);
                    others.push(selector);
                }
            }
        }
        exact.sort_unstable();
        exact.dedup();
        Self { exact: exact.into(), others: others.into(), ..this }
    }

    fn charge(&mut self, selector: &Selector) {
        let is_pattern = matches!(selector, Selector::Pattern(_));
        self.has_pattern |= is_pattern;
        // A topic is read as a URL once for all patterns.
        let for_url = if is_pattern { MATCH_COST_URL } else { 0 };
        let kib_cost = u64::from(selector.match_cost().saturating_sub(for_url));
        // The program of a selector with a choice is made for each topic.
        let for_program = if selector.has_choice() { kib_cost / 4 } else { 0 };
        self.kib_cost += kib_cost;
        self.fixed_cost += u64::from(MATCH_COST_COMPARISON) + for_program;
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_any && self.exact.is_empty() && self.others.is_empty()
    }

    /// Whether `*` is one of them.
    pub(super) fn has_any(&self) -> bool {
        self.has_any
    }

    /// The most that comparing a topic of this length costs, besides reading it as a URL.
    fn cost(&self, topic_bytes: usize) -> u64 {
        EXACT_COST + self.fixed_cost + (self.kib_cost * topic_bytes as u64).div_ceil(1024)
    }

    /// Whether one of them selects the topic.
    pub(super) fn select(&self, topic: &ComparedTopic<'_>) -> bool {
        self.has_any
            || self.exact.binary_search_by(|text| (**text).cmp(topic.as_str())).is_ok()
            || self.others.iter().any(|selector| selector.matches_compared(topic))
    }
}

/// The most that comparing one topic of this length with these lists costs, see
/// [`MATCH_COST_NODE`].
pub(super) fn comparison_cost<'g>(lists: impl Iterator<Item = &'g GrantedTopics>, topic_bytes: usize) -> u64 {
    let mut has_pattern = false;
    let compared: u64 = lists
        .map(|list| {
            has_pattern |= list.has_pattern;
            list.cost(topic_bytes)
        })
        .sum();
    let for_url = u64::from(MATCH_COST_URL) * (256 + topic_bytes as u64) / 1024;
    if has_pattern { compared + for_url } else { compared }
}
