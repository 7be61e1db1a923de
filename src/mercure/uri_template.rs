//! URI Templates (RFC 6570) read backwards: can this template produce this topic?
//!
//! The contract is PROTOCOL section 5. A template is parsed into literals and expressions; each
//! expression becomes a small automaton (`compile`). One simulation (`run`) serves both single
//! templates and the tries of the topic index: one pass, at most [`TEMPLATE_STATES_MAX`] steps per
//! byte, no backtracking. Most templates leave no choice and need no simulation (`plain`).
//! Literals are compared byte by byte, as the reference does ([`Template`]).

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::limits::{SELECTOR_BYTES_MAX, TEMPLATE_STATES_MAX};

mod charset;
mod compile;
mod parse;
mod part;
mod plain;
mod program;
pub(super) mod run;
mod simulator;
mod units;

#[cfg(test)]
mod tests;

pub(super) use compile::{Expression, NfaState};
pub use part::TemplateError;
pub(super) use part::TemplatePart;
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
        template.is_plain = plain::is_plain(&template.text, template.tail());
        Ok(template)
    }

    /// The template as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the template can produce `topic` (PROTOCOL section 5, rule 3). One pass, at most
    /// [`TEMPLATE_STATES_MAX`] steps per byte.
    pub fn matches(&self, topic: &str) -> bool {
        let head = self.head().as_bytes();
        topic.as_bytes().starts_with(head)
            && self.tail_matches(&topic.as_bytes()[head.len()..], &mut Simulator::default())
    }

    /// States of its expressions: the cost per byte of a topic that matches its literal ends.
    pub(crate) fn expression_states(&self) -> usize {
        let size = |part: &TemplatePart| match part {
            TemplatePart::Literal { .. } => 0,
            TemplatePart::Expression(expression) => expression.states().len(),
        };
        self.parts.iter().map(size).sum()
    }

    /// The literal before the first expression; it may be empty.
    pub(super) fn head(&self) -> &str {
        match self.parts.first() {
            Some(&TemplatePart::Literal { end, .. }) => &self.text[..usize::from(end)],
            _ => "",
        }
    }

    /// The parts after the head.
    pub(super) fn tail(&self) -> &[TemplatePart] {
        match &*self.parts {
            [TemplatePart::Literal { .. }, tail @ ..] => tail,
            parts => parts,
        }
    }

    /// Whether the tail can produce `rest`, the part of a topic after the head.
    pub(super) fn tail_matches(&self, rest: &[u8], simulator: &mut Simulator) -> bool {
        if self.is_plain {
            return plain::matches(&self.text, self.tail(), rest);
        }
        // A literal at the end decides most comparisons without any set-up.
        let ends_so = match self.tail().last() {
            Some(&TemplatePart::Literal { start, end }) => rest.ends_with(self.literal(start, end)),
            _ => true,
        };
        ends_so && simulator.matches(self, rest)
    }

    pub(super) fn literal(&self, start: u16, end: u16) -> &[u8] {
        part::literal(&self.text, start, end)
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
