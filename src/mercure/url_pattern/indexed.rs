//! How the topic index compares topics with a pattern.

use std::hash::{Hash, Hasher};

use super::{PatternComponent, TopicUrl, UrlPattern};
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
        let parts = topic.components();
        let Some(from) = self.key.path_from.map(usize::from) else {
            return self.components.iter().zip(parts).all(|(it, text)| it.matches(text, simulator));
        };
        // A key ends with the pathname.
        let rest = &topic.key().as_bytes()[at..];
        let others = [USERNAME, PASSWORD, SEARCH, HASH];
        others.into_iter().all(|part| self.components[part].matches(parts[part], simulator))
            && match &self.components[PATHNAME] {
                PatternComponent::Any => true,
                PatternComponent::Literal(_) => rest.is_empty(),
                PatternComponent::Program(program) => simulator.matches_bytes(program, from, rest),
            }
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
        let (Some(from), Some(other_from)) = (mine.path_from, theirs.path_from) else {
            return self.components == other.components;
        };
        let others = [USERNAME, PASSWORD, SEARCH, HASH];
        others.into_iter().all(|part| self.components[part] == other.components[part])
            && match (&self.components[PATHNAME], &other.components[PATHNAME]) {
                (PatternComponent::Program(mine), PatternComponent::Program(theirs)) => {
                    mine.states[from.into()..] == theirs.states[other_from.into()..]
                        && mine.sets == theirs.sets
                }
                (PatternComponent::Literal(_), PatternComponent::Literal(_)) => true,
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
        let from = self.key.path_from.map(usize::from);
        self.components[SEARCH].hash(state);
        match (&self.components[PATHNAME], from) {
            (PatternComponent::Program(program), Some(from)) => program.states[from..].hash(state),
            (_, from) => from.is_some().hash(state),
        }
    }

    /// The cost of comparing the tail with a topic of 1 KiB that was read as a URL, see
    /// [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE).
    pub(in crate::mercure) fn tail_cost(&self) -> u32 {
        let from = self.key.path_from.map_or(0, usize::from);
        let path = match &self.components[PATHNAME] {
            PatternComponent::Program(program) => program.match_cost(from),
            _ => 0,
        };
        let others = (0..self.components.len()).filter(|part| *part != PATHNAME);
        let others = others.map(|part| self.components[part].match_cost());
        others.fold(crate::limits::MATCH_COST_COMPARISON.saturating_add(path), u32::saturating_add)
    }
}

/// The places of components.
const USERNAME: usize = 1;
const PASSWORD: usize = 2;
const PATHNAME: usize = 5;
const SEARCH: usize = 6;
const HASH: usize = 7;
