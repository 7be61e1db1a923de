//! How the topic index compares topics with a pattern.

use std::hash::{Hash, Hasher};

use super::component::{PatternComponent, PatternComponents};
use super::key::PatternKey;
use super::topic_url::UrlPart;
use super::{TopicUrl, UrlPattern};
use crate::limits::MATCH_COST_COMPARISON;
use crate::mercure::uri_template::{Charset, Simulator, TemplatePart, plain_matches};

impl UrlPattern {
    /// The beginning of the keys of all topics that it matches.
    pub(in crate::mercure) fn head(&self) -> &str {
        self.key.head()
    }

    /// The parts after the head, if it is plain.
    pub(in crate::mercure) fn tail(&self) -> &[TemplatePart] {
        &self.key.tail
    }

    /// Whether the head and one scan of what follows decide.
    pub(in crate::mercure) fn is_plain(&self) -> bool {
        self.key.is_plain
    }

    /// A literal of the tail.
    pub(in crate::mercure) fn literal(&self, start: u16, end: u16) -> &[u8] {
        &self.key.text.as_bytes()[usize::from(start)..usize::from(end)]
    }

    /// Whether a plain tail takes the rest of a key from `at` on. `run_end` finds the end of the
    /// longest run of a set.
    pub(in crate::mercure) fn plain_tail_matches(
        &self,
        key: &[u8],
        at: usize,
        run_end: impl FnMut(Charset, usize) -> usize,
    ) -> bool {
        plain_matches(&self.key.text, &self.key.tail, key, at, run_end)
    }

    /// Whether a tail that is not plain takes a topic whose key begins with a head of `at` bytes,
    /// which may be that of another pattern with this tail.
    pub(in crate::mercure) fn tail_matches(
        &self,
        topic: &TopicUrl,
        at: usize,
        simulator: &mut Simulator,
    ) -> bool {
        let Some(from) = self.key.path_from.map(usize::from) else {
            return self.components.match_all(topic, simulator);
        };
        // A key ends with the pathname.
        let rest = &topic.key().as_bytes()[at..];
        self.components.0.iter().all(|(part, component)| match (part, component) {
            (UrlPart::Protocol | UrlPart::Hostname | UrlPart::Port, _) => true,
            (UrlPart::Pathname, PatternComponent::Literal(_)) => rest.is_empty(),
            (UrlPart::Pathname, PatternComponent::Program(program)) => {
                simulator.matches_bytes(program, from, rest)
            }
            (part, component) => component.matches(topic.component(*part), simulator),
        })
    }

    /// What the index keeps of it for all patterns with the same tail: nothing that is in a head.
    pub(in crate::mercure) fn to_tail(&self) -> Self {
        let is_kept = |part: UrlPart| match self.key.path_from {
            _ if self.key.is_plain => false,
            Some(_) => !matches!(part, UrlPart::Protocol | UrlPart::Hostname | UrlPart::Port),
            None => true,
        };
        let kept = self.components.0.iter().filter(|(part, _)| is_kept(*part));
        let PatternKey { text, head_bytes, tail, is_plain, path_from } = &self.key;
        let text = if *is_plain { text.clone() } else { Box::default() };
        let head_bytes = if *is_plain { *head_bytes } else { 0 };
        let key =
            PatternKey { text, head_bytes, tail: tail.clone(), is_plain: *is_plain, path_from: *path_from };
        let components = PatternComponents(kept.cloned().collect());
        Self { text: Box::default(), hub: self.hub.clone(), components, key }
    }

    /// The components of which the tail decides, in their order, without the pathname.
    fn tail_components(&self) -> impl Iterator<Item = &(UrlPart, PatternComponent)> {
        let is_in_tail = |part: UrlPart| match part {
            UrlPart::Pathname => false,
            UrlPart::Protocol | UrlPart::Hostname | UrlPart::Port => self.key.path_from.is_none(),
            _ => true,
        };
        self.components.0.iter().filter(move |(part, _)| is_in_tail(*part))
    }

    /// Whether two patterns are the same after their heads.
    pub(in crate::mercure) fn has_tail_of(&self, other: &Self) -> bool {
        let (mine, theirs) = (&self.key, &other.key);
        if mine.is_plain != theirs.is_plain || mine.path_from.is_some() != theirs.path_from.is_some() {
            return false;
        }
        if mine.is_plain {
            let same = |(mine, theirs): (&TemplatePart, &TemplatePart)| match (mine, theirs) {
                (
                    &TemplatePart::Literal { start, end },
                    &TemplatePart::Literal { start: other_start, end: other_end },
                ) => self.literal(start, end) == other.literal(other_start, other_end),
                (TemplatePart::Expression(mine), TemplatePart::Expression(theirs)) => mine == theirs,
                _ => false,
            };
            return mine.tail.len() == theirs.tail.len() && mine.tail.iter().zip(&theirs.tail).all(same);
        }
        let (from, other_from) = (mine.path_from.unwrap_or(0), theirs.path_from.unwrap_or(0));
        let is_anchored = mine.path_from.is_some();
        self.tail_components().eq(other.tail_components())
            && match (self.components.get(UrlPart::Pathname), other.components.get(UrlPart::Pathname)) {
                (PatternComponent::Program(mine), PatternComponent::Program(theirs)) => {
                    mine.states[from.into()..] == theirs.states[other_from.into()..]
                        && mine.sets == theirs.sets
                }
                (PatternComponent::Literal(_), PatternComponent::Literal(_)) if is_anchored => true,
                (mine, theirs) => mine == theirs,
            }
    }

    /// Hashes what [`Self::has_tail_of`] compares.
    pub(in crate::mercure) fn hash_tail(&self, state: &mut impl Hasher) {
        if self.key.is_plain {
            for part in &self.key.tail {
                match part {
                    TemplatePart::Literal { start, end } => self.literal(*start, *end).hash(state),
                    TemplatePart::Expression(expression) => expression.hash(state),
                }
            }
            return;
        }
        self.tail_components().for_each(|component| component.hash(state));
        match (self.components.get(UrlPart::Pathname), self.key.path_from) {
            (PatternComponent::Program(program), from) => {
                program.states[from.unwrap_or(0).into()..].hash(state);
            }
            (PatternComponent::Literal(path), None) => path.hash(state),
            _ => {}
        }
    }

    /// The cost of comparing the tail with a topic of 1 KiB that was read as a URL, see
    /// [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE).
    pub(in crate::mercure) fn tail_cost(&self) -> u32 {
        let cost = |(part, component): &(UrlPart, PatternComponent)| match (part, component) {
            (UrlPart::Pathname, PatternComponent::Program(program)) => {
                program.match_cost(self.key.path_from.unwrap_or(0).into())
            }
            (_, component) => component.match_cost(),
        };
        self.components.0.iter().map(cost).fold(MATCH_COST_COMPARISON, u32::saturating_add)
    }
}
