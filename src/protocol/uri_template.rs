//! URI Templates (RFC 6570) read backwards: can this template produce this topic?
//!
//! PROTOCOL section 5 is the contract. A template is parsed into pieces, literals and expressions; each expression becomes a
//! small automaton (`compile`); one simulation (`run`) serves both a template alone and the shared trie of the topic
//! index. It takes one pass over the topic and at most [`TEMPLATE_STATES_MAX`] steps per byte: nothing backtracks.
//!
//! Literals are compared byte by byte, as the reference does: RFC 6570 section 3.1 would percent-encode a literal `é` on
//! expansion, but topics are IRIs here and nothing is normalized, so `/é{id}` matches `/é1` and not `/%C3%A91`. Values are
//! different: an expansion holds ASCII only, so no expression matches a raw `é`.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::limits::{SELECTOR_BYTES_MAX, TEMPLATE_STATES_MAX};
use run::{Cell, Graph, Scratch};

mod charset;
mod compile;
mod parse;
pub(super) mod run;

#[cfg(test)]
mod tests;

pub(super) use compile::{Expression, State};

const _: () = assert!(SELECTOR_BYTES_MAX <= u16::MAX as usize);

/// A valid RFC 6570 URI Template, levels 1 to 4, with at least one expression. Equal and hashed by its text.
#[derive(Clone)]
pub struct Template {
    text: Box<str>,
    pieces: Box<[Piece]>,
}

/// A part of a template. Two literals are never neighbours.
#[derive(Clone)]
pub(super) enum Piece {
    /// The bytes `start..end` of the text, never empty.
    Literal {
        start: u16,
        end: u16,
    },
    Expression(Arc<Expression>),
}

/// Why a text is not a template that this hub matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// It breaks the grammar of RFC 6570 section 2.
    Syntax {
        /// Where, in bytes from the start.
        at: usize,
    },
    /// It is all literal.
    NoExpression,
    /// Its compiled form exceeds [`TEMPLATE_STATES_MAX`], or its text [`SELECTOR_BYTES_MAX`].
    TooComplex,
}

impl Template {
    /// Parses and compiles a template (RFC 6570, section 2).
    ///
    /// # Errors
    /// [`TemplateError`] says what keeps the text from being a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(TemplateError::TooComplex);
        }
        let pieces = parse::pieces(text)?;
        let template = Self { text: text.into(), pieces: pieces.into() };
        if !template.pieces.iter().any(|piece| matches!(piece, Piece::Expression(_))) {
            return Err(TemplateError::NoExpression);
        }
        if template.states() > TEMPLATE_STATES_MAX {
            return Err(TemplateError::TooComplex);
        }
        Ok(template)
    }

    /// The template as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the template can produce `topic` (PROTOCOL section 5, rule 3). One pass, at most [`TEMPLATE_STATES_MAX`]
    /// steps per byte.
    pub fn matches(&self, topic: &str) -> bool {
        self.has_its_ends(topic.as_bytes()) && self.simulate(topic.as_bytes()).0
    }

    /// States of its expressions: what a topic that passes its literal ends may cost at each byte.
    pub(in crate::protocol) fn expression_states(&self) -> usize {
        let size = |piece: &Piece| match piece {
            Piece::Literal { .. } => 0,
            Piece::Expression(expression) => expression.states().len(),
        };
        self.pieces.iter().map(size).sum()
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub(super) fn literal(&self, start: u16, end: u16) -> &[u8] {
        &self.text.as_bytes()[usize::from(start)..usize::from(end)]
    }

    /// Literal ends decide most comparisons without any set-up.
    fn has_its_ends(&self, topic: &[u8]) -> bool {
        let literal = |piece: Option<&Piece>| match piece {
            Some(&Piece::Literal { start, end }) => self.literal(start, end),
            _ => &[],
        };
        topic.starts_with(literal(self.pieces.first())) && topic.ends_with(literal(self.pieces.last()))
    }

    /// The answer, and the steps it took.
    fn simulate(&self, topic: &[u8]) -> (bool, u64) {
        let mut chain = Chain::new(self);
        let mut scratch = Scratch::default();
        run::run(&mut chain, 0, topic, &mut scratch);
        (chain.finished, scratch.steps())
    }

    fn states(&self) -> usize {
        let size = |piece: &Piece| match piece {
            Piece::Literal { start, end } => usize::from(end - start),
            Piece::Expression(expression) => expression.states().len(),
        };
        self.pieces.iter().map(size).sum()
    }
}

/// One template as a graph: node `i` stands before piece `i`, and piece `i` leads to node `i + 1`.
struct Chain<'t> {
    template: &'t Template,
    visits: Box<[u64]>,
    /// For each piece, where its states begin in `cells`.
    bases: Box<[usize]>,
    cells: Box<[Cell]>,
    finished: bool,
}

impl<'t> Chain<'t> {
    fn new(template: &'t Template) -> Self {
        let mut states = 0;
        let mut bases = Vec::with_capacity(template.pieces.len());
        for piece in &template.pieces {
            bases.push(states);
            if let Piece::Expression(expression) = piece {
                states += expression.states().len();
            }
        }
        Self {
            template,
            visits: vec![0; template.pieces.len() + 1].into(),
            bases: bases.into(),
            cells: vec![Cell::default(); states].into(),
            finished: false,
        }
    }

    /// The piece that leads to `node`, which is never the first node.
    fn piece(&self, node: u32) -> &'t Piece {
        &self.template.pieces[node as usize - 1]
    }
}

impl Graph for Chain<'_> {
    fn literal(&self, node: u32) -> &[u8] {
        match *self.piece(node) {
            Piece::Literal { start, end } => self.template.literal(start, end),
            Piece::Expression(_) => &[],
        }
    }

    fn literal_child(&self, node: u32, first: u8) -> Option<u32> {
        match self.template.pieces.get(node as usize) {
            Some(&Piece::Literal { start, end }) if self.template.literal(start, end)[0] == first => {
                Some(node + 1)
            }
            _ => None,
        }
    }

    fn expression_child(&self, node: u32, index: usize) -> Option<u32> {
        match self.template.pieces.get(node as usize) {
            Some(Piece::Expression(_)) if index == 0 => Some(node + 1),
            _ => None,
        }
    }

    fn state(&self, node: u32, pc: u16) -> Option<State> {
        match self.piece(node) {
            Piece::Expression(expression) => expression.states().get(usize::from(pc)).copied(),
            Piece::Literal { .. } => None,
        }
    }

    fn visit(&mut self, node: u32) -> &mut u64 {
        &mut self.visits[node as usize]
    }

    fn cell(&mut self, node: u32, pc: u16) -> &mut Cell {
        &mut self.cells[self.bases[node as usize - 1] + usize::from(pc)]
    }

    fn finish(&mut self, node: u32) {
        self.finished |= node as usize == self.template.pieces.len();
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

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { at } => write!(f, "it breaks the grammar of URI Templates at byte {at}"),
            Self::NoExpression => f.write_str("it has no expression"),
            Self::TooComplex => write!(f, "its compiled form exceeds {TEMPLATE_STATES_MAX} states"),
        }
    }
}

impl std::error::Error for TemplateError {}
