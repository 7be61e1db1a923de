//! How the topic index compares topics with a pattern.

use std::hash::{Hash, Hasher};

use super::component::{PatternComponent, PatternComponents};
use super::key::PatternKey;
use super::topic_url::UrlPart;
use super::{TopicUrl, UrlPattern};
use crate::limits::{MATCH_COST_COMPARISON, SELECTOR_PARTS_BYTES};
use crate::mercure::uri_template::{Simulator, TailParts};

impl UrlPattern {
    /// The beginning of the keys of all topics that it matches.
    pub(in crate::mercure) fn head(&self) -> &str {
        self.key.head()
    }

    /// The parts after the head, if it is plain.
    pub(in crate::mercure) fn tail(&self) -> TailParts<'_> {
        TailParts { text: &self.key.text, parts: &self.key.tail }
    }

    /// Whether the head and one scan of what follows decide.
    pub(in crate::mercure) fn is_plain(&self) -> bool {
        self.key.is_plain
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

    /// The bytes that an index needs for it beside its text, see
    /// [`Selector::held_bytes`](crate::mercure::selector::Selector::held_bytes).
    pub(in crate::mercure) fn held_bytes(&self) -> usize {
        let tail = self.tail();
        let literals = tail.literal_bytes();
        match self.is_plain() {
            true if literals == 0 => 0,
            true => SELECTOR_PARTS_BYTES + self.key.text.len() + size_of_val(tail.parts) + literals,
            false => SELECTOR_PARTS_BYTES + self.components.held_bytes() + 2 * self.head().len(),
        }
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
            return self.tail() == other.tail();
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
            return self.tail().hash(state);
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
