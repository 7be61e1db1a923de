//! The topics that a list of a grant covers, and what it costs to compare a topic with it.
//!
//! Exact topics are found by a binary search, which costs the same for every list. A template or a
//! pattern is compared only with a topic that begins as it does, at a price that is known before;
//! the prices are those of subscriptions ([`MATCH_COST_NODE`]). So a comparison ends before it
//! costs more than it may.

use crate::limits::{MATCH_COST_COMPARISON, MATCH_COST_NODE, MATCH_COST_URL};
use crate::mercure::selector::{ComparedTopic, Selector};

/// Selectors, arranged for comparisons with many topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GrantedTopics {
    /// Whether `*` is one of them.
    has_any: bool,
    /// The exact ones, sorted.
    exact: Box<[Box<str>]>,
    /// Templates and patterns.
    others: Box<[PricedSelector]>,
    /// Whether a topic must be read as a URL.
    has_pattern: bool,
}

/// A template or a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PricedSelector {
    selector: Selector,
    /// The cost of a comparison, whatever the length of the topic.
    fixed_cost: u64,
    /// The same for each KiB of the topic.
    kib_cost: u64,
}

/// What comparisons may cost, and what they have cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct ComparisonBudget {
    spent: u64,
    most: u64,
}

/// The comparisons cost more than they may: whether a topic is granted is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BudgetSpent;

impl ComparisonBudget {
    pub(super) fn new(most: u64) -> Self {
        Self { spent: 0, most }
    }

    /// What was spent; never more than the most.
    pub(super) fn spent(&self) -> u64 {
        self.spent
    }

    fn spend(&mut self, cost: u64) -> Result<(), BudgetSpent> {
        let spent = self.spent + cost;
        if spent > self.most {
            self.spent = self.most;
            return Err(BudgetSpent);
        }
        self.spent = spent;
        Ok(())
    }
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
                    this.has_pattern |= matches!(selector, Selector::Pattern(_));
                    others.push(PricedSelector::new(selector));
                }
            }
        }
        exact.sort_unstable();
        exact.dedup();
        Self { exact: exact.into(), others: others.into(), ..this }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_any && self.exact.is_empty() && self.others.is_empty()
    }

    /// Whether `*` is one of them.
    pub(super) fn has_any(&self) -> bool {
        self.has_any
    }

    /// Whether one of them selects the topic.
    ///
    /// # Errors
    /// [`BudgetSpent`]
    pub(super) fn select(
        &self,
        topic: &ComparedTopic<'_>,
        budget: &mut ComparisonBudget,
    ) -> Result<bool, BudgetSpent> {
        budget.spend(MATCH_COST_NODE.into())?;
        if self.has_any || self.exact.binary_search_by(|text| (**text).cmp(topic.as_str())).is_ok() {
            return Ok(true);
        }
        if self.has_pattern && !topic.is_read() {
            budget.spend(u64::from(MATCH_COST_URL) * (256 + topic.as_str().len() as u64) / 1024)?;
        }
        for other in &self.others {
            budget.spend(MATCH_COST_COMPARISON.into())?;
            if !other.may_match(topic) {
                continue;
            }
            budget.spend(other.cost(topic.as_str().len()))?;
            if other.selector.matches_compared(topic) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl PricedSelector {
    fn new(selector: Selector) -> Self {
        let kib_cost = match &selector {
            // As its program is run here, also if it is plain.
            Selector::Pattern(pattern) => pattern.tail_cost(),
            other => other.match_cost(),
        };
        // A program is made for each topic.
        let has_program = selector.has_choice() || matches!(selector, Selector::Pattern(_));
        let fixed_cost = if has_program { kib_cost / 4 } else { 0 };
        Self { selector, fixed_cost: fixed_cost.into(), kib_cost: kib_cost.into() }
    }

    fn cost(&self, topic_bytes: usize) -> u64 {
        self.fixed_cost + (self.kib_cost * topic_bytes as u64).div_ceil(1024)
    }

    /// Whether the topic begins as it must. A template matches its own text, which does.
    fn may_match(&self, topic: &ComparedTopic<'_>) -> bool {
        match &self.selector {
            Selector::Template(template) => topic.as_str().starts_with(template.head()),
            Selector::Pattern(pattern) => {
                topic.url(pattern.hub()).is_some_and(|url| url.key().starts_with(pattern.head()))
            }
            Selector::Any | Selector::Exact(_) => true,
        }
    }
}
