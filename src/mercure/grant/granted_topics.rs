//! The topics that the lists of a grant cover, and what it costs to compare a topic with them.
//!
//! Exact topics are found by a binary search, which costs the same for every list. Templates and
//! patterns are found by the segments that their topics must have ([`Shape`]): those of other
//! segments are not looked at, however many there are. One that is found is compared with the topic
//! at a price that is known before; the prices are those of subscriptions ([`MATCH_COST_NODE`]). So
//! a comparison ends before it costs more than it may.

use std::cmp::Ordering;
use std::ops::Range;

use crate::limits::{GRANT_SEGMENTS_MAX, MATCH_COST_COMPARISON, MATCH_COST_NODE, MATCH_COST_URL};
use crate::mercure::selector::{ComparedTopic, Selector};
use crate::mercure::url_pattern::TopicUrl;

/// The selectors of the entries of one or more lists, arranged for comparisons with many topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GrantedTopics {
    /// The first entry with `*`.
    any: Option<u16>,
    /// The exact ones, sorted, each with the first entry that has it.
    exact: Box<[(Box<str>, u16)]>,
    /// Templates and patterns: those of one shape in a row, sorted by their segments.
    others: Box<[PricedSelector]>,
    /// The rows of `others`.
    shapes: Box<[(Shape, Range<u16>)]>,
}

/// Which segments of a topic must be those of a selector: `/a/:b/c/:d` demands the first and the
/// third. Selectors without such a demand are of the shape of no segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    /// Whether they are of patterns, whose segments are those of a URL.
    is_pattern: bool,
    /// How many segments a topic must have at least.
    count: u8,
    /// A bit for each that must be the selector's, the first one in the lowest bit.
    literals: u64,
}

/// A template or a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PricedSelector {
    selector: Selector,
    entry: u16,
    shape: Shape,
    /// The segments that its shape demands.
    segments: Box<[Box<str>]>,
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
    /// The selectors of one list.
    pub(super) fn new(selectors: impl IntoIterator<Item = Selector>) -> Self {
        Self::of_entries(selectors.into_iter().map(|selector| (0, selector)))
    }

    /// Selectors, each with the number of its entry, in the order of the entries.
    pub(super) fn of_entries(selectors: impl IntoIterator<Item = (u16, Selector)>) -> Self {
        let (mut exact, mut others) = (Vec::new(), Vec::new());
        let mut any = None;
        for (entry, selector) in selectors {
            match selector {
                Selector::Any => any = any.or(Some(entry)),
                Selector::Exact(text) => exact.push((text, entry)),
                Selector::Template(_) | Selector::Pattern(_) => {
                    others.push(PricedSelector::new(selector, entry));
                }
            }
        }
        exact.sort_unstable();
        exact.dedup_by(|later, first| later.0 == first.0);
        // Of equal ones, that of the first entry stays first.
        others.sort_by(|one, other| (one.shape, &one.segments).cmp(&(other.shape, &other.segments)));
        let rows = others.chunk_by(|one, other| one.shape == other.shape);
        let shapes = rows.scan(0, |end, row| {
            let start = std::mem::replace(end, *end + row.len() as u16);
            Some((row[0].shape, start..*end))
        });
        Self { any, exact: exact.into(), shapes: shapes.collect(), others: others.into() }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_any() && self.exact.is_empty() && self.others.is_empty()
    }

    /// Whether `*` is one of them.
    pub(super) fn has_any(&self) -> bool {
        self.any.is_some()
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
        self.first(topic, budget).map(|entry| entry.is_some())
    }

    /// The first entry with a selector that selects the topic.
    ///
    /// # Errors
    /// [`BudgetSpent`]
    pub(super) fn first(
        &self,
        topic: &ComparedTopic<'_>,
        budget: &mut ComparisonBudget,
    ) -> Result<Option<u16>, BudgetSpent> {
        budget.spend(MATCH_COST_NODE.into())?;
        let exact = self.exact.binary_search_by(|(text, _)| (**text).cmp(topic.as_str()));
        let exact = exact.ok().map(|at| self.exact[at].1);
        let mut first = self.any.into_iter().chain(exact).min();
        let mut segments: Option<(bool, Vec<&str>)> = None;
        for (shape, row) in &self.shapes {
            if first == Some(0) {
                break;
            }
            if shape.is_pattern && !topic.is_read() {
                budget.spend(u64::from(MATCH_COST_URL) * (256 + topic.as_str().len() as u64) / 1024)?;
            }
            budget.spend(MATCH_COST_NODE.into())?;
            let row = &self.others[usize::from(row.start)..usize::from(row.end)];
            if segments.as_ref().is_none_or(|(is_pattern, _)| *is_pattern != shape.is_pattern) {
                // All patterns have the URL of one hub.
                let Some(text) = row[0].text_of(topic) else { continue };
                budget.spend(split_cost(text))?;
                segments = Some((shape.is_pattern, text.split('/').take(GRANT_SEGMENTS_MAX).collect()));
            }
            let Some((_, segments)) = &segments else { continue };
            if segments.len() < shape.count.into() {
                continue;
            }
            let steps = u64::from(row.len().ilog2()) + 2;
            budget.spend(steps * shape.order_cost())?;
            let from = row.partition_point(|other| other.order(segments) == Ordering::Less);
            for other in row[from..].iter().take_while(|other| other.order(segments) == Ordering::Equal) {
                if first.is_some_and(|first| first <= other.entry) {
                    break;
                }
                // Of comparing the segments of the next one.
                budget.spend(shape.order_cost())?;
                if other.select(topic, budget)? {
                    first = Some(other.entry);
                }
            }
        }
        Ok(first)
    }
}

impl PricedSelector {
    fn new(selector: Selector, entry: u16) -> Self {
        let kib_cost = match &selector {
            // As its program is run here, also if it is plain.
            Selector::Pattern(pattern) => pattern.tail_cost(),
            other => other.match_cost(),
        };
        // A program is made for each topic.
        let has_program = selector.has_choice() || matches!(selector, Selector::Pattern(_));
        let fixed_cost = if has_program { kib_cost / 4 } else { 0 };
        let (shape, segments) = Shape::of(&selector);
        Self { selector, entry, shape, segments, fixed_cost: fixed_cost.into(), kib_cost: kib_cost.into() }
    }

    fn cost(&self, topic_bytes: usize) -> u64 {
        self.fixed_cost + (self.kib_cost * topic_bytes as u64).div_ceil(1024)
    }

    /// Compares its segments with those of a topic, which has as many as its shape demands.
    fn order(&self, topic: &[&str]) -> Ordering {
        let demanded = topic.iter().zip(0..self.shape.count);
        let demanded = demanded.filter(|(_, at)| self.shape.literals >> at & 1 == 1);
        self.segments.iter().map(|segment| &**segment).cmp(demanded.map(|(segment, _)| *segment))
    }

    /// The form of a topic in which it is compared; `None` if the topic has none.
    fn text_of<'c>(&self, topic: &'c ComparedTopic<'_>) -> Option<&'c str> {
        match &self.selector {
            Selector::Pattern(pattern) => topic.url(pattern.hub()).map(TopicUrl::key),
            _ => Some(topic.as_str()),
        }
    }

    /// Whether it selects the topic.
    fn select(&self, topic: &ComparedTopic<'_>, budget: &mut ComparisonBudget) -> Result<bool, BudgetSpent> {
        budget.spend(MATCH_COST_COMPARISON.into())?;
        let head = match &self.selector {
            Selector::Any | Selector::Exact(_) => "",
            // Its own text, which it matches, begins like that, too.
            Selector::Template(template) => template.head(),
            Selector::Pattern(pattern) => pattern.head(),
        };
        if !self.text_of(topic).is_some_and(|text| text.starts_with(head)) {
            return Ok(false);
        }
        budget.spend(self.cost(topic.as_str().len()))?;
        Ok(self.selector.matches_compared(topic))
    }
}

/// The cost of finding the segments of a topic: a scan, as far as there are segments to be found.
fn split_cost(text: &str) -> u64 {
    (text.len().min(GRANT_SEGMENTS_MAX) / 2 + text.len() / 512) as u64
}

impl Shape {
    /// The cost of comparing the segments of one selector with those of a topic, if all but the
    /// last are equal.
    fn order_cost(self) -> u64 {
        1 + u64::from(self.count) / 8
    }

    /// The shape of a selector, and the segments that it demands.
    fn of(selector: &Selector) -> (Self, Box<[Box<str>]>) {
        let is_pattern = matches!(selector, Selector::Pattern(_));
        let segments: Vec<Option<Box<str>>> = match selector {
            Selector::Any | Selector::Exact(_) => Vec::new(),
            // What follows the last slash of its head may go on in many ways.
            Selector::Template(template) => match template.head().rsplit_once('/') {
                Some((complete, _)) => complete.split('/').map(|segment| Some(segment.into())).collect(),
                None => Vec::new(),
            },
            Selector::Pattern(pattern) => {
                pattern.leading_segments().into_iter().map(|segment| segment.map(Into::into)).collect()
            }
        };
        let demanded = segments.iter().take(GRANT_SEGMENTS_MAX);
        let count = demanded.clone().rposition(Option::is_some).map_or(0, |last| last + 1);
        let demanded = demanded.take(count);
        let bits =
            { demanded.clone() }.rev().fold(0, |bits, segment| bits << 1 | u64::from(segment.is_some()));
        (Self { is_pattern, count: count as u8, literals: bits }, demanded.flatten().cloned().collect())
    }
}
