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
use run::{Cell, Graph, Scratch};

mod charset;
mod compile;
mod parse;
mod part;
mod plain;
pub(super) mod run;

#[cfg(test)]
mod tests;

pub(super) use compile::{Expression, NfaState};
pub use part::TemplateError;
pub(super) use part::TemplatePart;

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
            plain::matches(&self.text, self.tail(), rest)
        } else {
            simulator.matches(self, rest)
        }
    }

    pub(super) fn literal(&self, start: u16, end: u16) -> &[u8] {
        part::literal(&self.text, start, end)
    }

    fn states(&self) -> usize {
        let size = |part: &TemplatePart| match part {
            TemplatePart::Literal { start, end } => usize::from(end - start),
            TemplatePart::Expression(expression) => expression.states().len(),
        };
        self.parts.iter().map(size).sum()
    }
}

/// Runs the simulation for one template after the other, and keeps its buffers between them.
#[derive(Debug, Default)]
pub(super) struct Simulator {
    visits: Vec<u64>,
    bases: Vec<usize>,
    cells: Vec<Cell>,
    scratch: Scratch,
}

impl Simulator {
    fn matches(&mut self, template: &Template, rest: &[u8]) -> bool {
        // A literal at the end decides most comparisons without any set-up.
        let tail = template.tail();
        if let Some(&TemplatePart::Literal { start, end }) = tail.last()
            && !rest.ends_with(template.literal(start, end))
        {
            return false;
        }
        self.bases.clear();
        let mut states = 0;
        for part in tail {
            self.bases.push(states);
            if let TemplatePart::Expression(expression) = part {
                states += expression.states().len();
            }
        }
        self.visits.clear();
        self.visits.resize(tail.len() + 1, 0);
        self.cells.clear();
        self.cells.resize(states, Cell::default());
        let Self { visits, bases, cells, scratch } = self;
        let mut chain = Chain { template, parts: tail, visits, bases, cells, finished: false };
        run::run(&mut chain, 0, rest, scratch);
        chain.finished
    }

    /// The steps so far.
    #[cfg(test)]
    pub(super) fn steps(&self) -> u64 {
        self.scratch.steps()
    }
}

/// The tail of a template as a graph: node `i` stands before part `i`, and part `i` leads to node
/// `i + 1`.
struct Chain<'t> {
    template: &'t Template,
    parts: &'t [TemplatePart],
    visits: &'t mut [u64],
    /// For each part, where its states begin in `cells`.
    bases: &'t [usize],
    cells: &'t mut [Cell],
    finished: bool,
}

impl<'t> Chain<'t> {
    /// The part that leads to `node`, which is never the first node.
    fn part(&self, node: u32) -> &'t TemplatePart {
        &self.parts[node as usize - 1]
    }
}

impl Graph for Chain<'_> {
    fn literal(&self, node: u32) -> &[u8] {
        match *self.part(node) {
            TemplatePart::Literal { start, end } => self.template.literal(start, end),
            TemplatePart::Expression(_) => &[],
        }
    }

    fn literal_child(&self, node: u32, first: u8) -> Option<u32> {
        match self.parts.get(node as usize) {
            Some(&TemplatePart::Literal { start, end }) if self.template.literal(start, end)[0] == first => {
                Some(node + 1)
            }
            _ => None,
        }
    }

    fn expression_child(&self, node: u32, index: usize) -> Option<u32> {
        match self.parts.get(node as usize) {
            Some(TemplatePart::Expression(_)) if index == 0 => Some(node + 1),
            _ => None,
        }
    }

    fn state(&self, node: u32, pc: u16) -> Option<NfaState> {
        match self.part(node) {
            TemplatePart::Expression(expression) => expression.states().get(usize::from(pc)).copied(),
            TemplatePart::Literal { .. } => None,
        }
    }

    fn visit(&mut self, node: u32) -> &mut u64 {
        &mut self.visits[node as usize]
    }

    fn cell(&mut self, node: u32, pc: u16) -> &mut Cell {
        &mut self.cells[self.bases[node as usize - 1] + usize::from(pc)]
    }

    fn finish(&mut self, node: u32) {
        self.finished |= node as usize == self.parts.len();
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
