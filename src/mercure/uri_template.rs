//! URI Templates (RFC 6570) read backwards: can this template produce this topic?
//!
//! The contract is PROTOCOL section 5. A template is parsed into literals and expressions; each
//! expression becomes a small automaton (`compile`). Most templates leave no choice, and one scan
//! of the topic decides (`plain`). For the others all states of the automaton advance together, a
//! word of them in one step (`simulator`): one pass, no backtracking, a price that is known before.
//! Literals are compared byte by byte, as the reference does ([`Template`]).

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::limits::{
    MATCH_COST_BRANCH, MATCH_COST_NODE, MATCH_COST_READ, MATCH_COST_RUN, MATCH_COST_SETUP, MATCH_COST_WORD,
    SELECTOR_BYTES_MAX, SELECTOR_PARTS_BYTES, TEMPLATE_STATES_MAX,
};

mod byte_program;
mod charset;
mod compile;
mod parse;
mod part;
mod plain;
mod program;
mod simulator;
mod units;

#[cfg(test)]
mod tests;

pub(super) use byte_program::{AsciiSet, ByteProgram, ByteState};
pub(super) use charset::{CHARSETS, Charset};
pub(super) use compile::Expression;
pub use part::TemplateError;
pub(super) use part::{TailParts, TemplatePart};
pub(super) use simulator::Simulator;

/// A valid RFC 6570 URI Template, levels 1 to 4, with at least one expression. Equal and hashed by
/// its text.
///
/// RFC 6570 section 3.1 would percent-encode a literal `é` on expansion. But topics are IRIs here
/// and are not normalized, so `/é{id}` matches `/é1` and not `/%C3%A91`. No expression matches a
/// raw `é`, since expansions are ASCII only.
#[derive(Clone)]
pub struct Template {
    text: Box<str>,
    parts: Box<[TemplatePart]>,
    is_plain: bool,
}

impl Template {
    /// Parses and compiles a template (RFC 6570, section 2).
    ///
    /// # Errors
    /// [`TemplateError`] names the reason.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(TemplateError::TooComplex);
        }
        let parts = parse::parts(text)?;
        let mut template = Self { text: text.into(), parts: parts.into(), is_plain: false };
        if !template.parts.iter().any(|part| matches!(part, TemplatePart::Expression(_))) {
            return Err(TemplateError::NoExpression);
        }
        if template.states() > TEMPLATE_STATES_MAX {
            return Err(TemplateError::TooComplex);
        }
        template.is_plain = template.tail().is_plain();
        Ok(template)
    }

    /// The template as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the template can produce `topic` (PROTOCOL section 5, rule 3), in one pass.
    pub fn matches(&self, topic: &str) -> bool {
        let head = self.head().as_bytes();
        topic.as_bytes().starts_with(head)
            && self.tail_matches(&topic.as_bytes()[head.len()..], &mut Simulator::default())
    }

    /// Whether it leaves no choice, so that one scan of a topic decides.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The most that a comparison with a topic of 1 KiB costs, see
    /// [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE).
    pub(crate) fn match_cost(&self) -> u32 {
        if self.is_plain {
            return MATCH_COST_NODE * (self.parts.len() as u32 + 1) + MATCH_COST_RUN;
        }
        let words = program::words(self.states() + 1) as u32;
        // With several words, a repetition can lead back to the word before.
        let passes = if words > 1 && self.tail().parts.iter().any(TemplatePart::repeats) { 3 } else { 1 };
        let branches: usize = self.tail().parts.iter().map(TemplatePart::branches).sum();
        MATCH_COST_SETUP
            + MATCH_COST_READ
            + passes * words * MATCH_COST_WORD
            + branches as u32 * MATCH_COST_BRANCH
    }

    /// The bytes that an index needs for it beside its text, see
    /// [`Selector::held_bytes`](super::selector::Selector::held_bytes).
    pub(super) fn held_bytes(&self) -> usize {
        let tail = self.tail();
        let literals = tail.literal_bytes();
        if self.is_plain && literals == 0 {
            return 0;
        }
        let states: usize = tail.parts.iter().map(TemplatePart::state_bytes).sum();
        let nodes = if self.is_plain { literals } else { 2 * self.head().len() };
        SELECTOR_PARTS_BYTES + self.text.len() + size_of_val(tail.parts) + states + nodes
    }

    /// The literal before the first expression; it may be empty.
    pub(super) fn head(&self) -> &str {
        match self.parts.first() {
            Some(&TemplatePart::Literal { end, .. }) => &self.text[..usize::from(end)],
            _ => "",
        }
    }

    /// The parts after the head.
    pub(super) fn tail(&self) -> TailParts<'_> {
        let parts = match &*self.parts {
            [TemplatePart::Literal { .. }, tail @ ..] => tail,
            parts => parts,
        };
        TailParts { text: &self.text, parts }
    }

    /// Whether the tail can produce `rest`, the part of a topic after the head.
    pub(super) fn tail_matches(&self, rest: &[u8], simulator: &mut Simulator) -> bool {
        if self.is_plain {
            return self.tail().matches(rest, 0);
        }
        self.may_end(rest) && simulator.matches(self, rest)
    }

    /// The same for a template with a choice. `is_read` is whether the simulator has read `rest`,
    /// which templates with the same head share.
    pub(super) fn tail_matches_read(
        &self,
        rest: &[u8],
        simulator: &mut Simulator,
        is_read: &mut bool,
    ) -> bool {
        if !self.may_end(rest) {
            return false;
        }
        if !std::mem::replace(is_read, true) {
            simulator.read(rest);
        }
        simulator.matches_read(self)
    }

    /// A literal at the end decides most comparisons without any set-up.
    fn may_end(&self, rest: &[u8]) -> bool {
        let tail = self.tail();
        match tail.parts.last() {
            Some(&TemplatePart::Literal { start, end }) => rest.ends_with(tail.literal(start, end)),
            _ => true,
        }
    }

    fn states(&self) -> usize {
        self.parts.iter().map(TemplatePart::positions_max).sum()
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Template {}

impl Hash for Template {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({})", self.text)
    }
}
