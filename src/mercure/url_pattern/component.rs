//! What a pattern says of each component of a URL.

use super::topic_url::{TopicUrl, UrlPart};
use crate::mercure::uri_template::{ByteProgram, Simulator};

/// What a pattern says of one component of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum PatternComponent {
    /// Nothing: `*`.
    Any,
    /// Exactly this text.
    Literal(Box<str>),
    /// What the program takes.
    Program(Box<ByteProgram>),
}

/// What a pattern says of the components of a URL, but for those of which it says nothing (`*`), in
/// their order.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct PatternComponents(pub(super) Box<[(UrlPart, PatternComponent)]>);

impl PatternComponent {
    pub(super) fn matches(&self, text: &str, simulator: &mut Simulator) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(literal) => **literal == *text,
            Self::Program(program) => simulator.matches_bytes(program, 0, text.as_bytes()),
        }
    }

    pub(super) fn match_cost(&self) -> u32 {
        match self {
            Self::Any | Self::Literal(_) => 0,
            Self::Program(program) => program.match_cost(0),
        }
    }

    fn held_bytes(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::Literal(literal) => literal.len(),
            Self::Program(program) => size_of_val(&*program.states) + size_of_val(&*program.sets),
        }
    }

    fn states(&self) -> usize {
        match self {
            Self::Any | Self::Literal(_) => 0,
            Self::Program(program) => program.states.len(),
        }
    }
}

impl PatternComponents {
    pub(super) fn get(&self, part: UrlPart) -> &PatternComponent {
        self.0.iter().find(|(of, _)| *of == part).map_or(&PatternComponent::Any, |(_, component)| component)
    }

    /// The bytes of all literals and programs.
    pub(super) fn held_bytes(&self) -> usize {
        self.0.iter().map(|(_, component)| component.held_bytes()).sum()
    }

    /// The states of all programs.
    pub(super) fn states(&self) -> usize {
        self.0.iter().map(|(_, component)| component.states()).sum()
    }

    /// Whether all components match those of a topic.
    pub(super) fn match_all(&self, topic: &TopicUrl, simulator: &mut Simulator) -> bool {
        self.0.iter().all(|(part, component)| component.matches(topic.component(*part), simulator))
    }
}
