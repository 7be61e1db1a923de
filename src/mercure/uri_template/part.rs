//! The parts of a template, and why a text has none.

use std::hash::{Hash, Hasher};

use super::compile::{Expression, NfaState};
use crate::limits::{SELECTOR_BYTES_MAX, TEMPLATE_STATES_MAX};

const _: () = assert!(SELECTOR_BYTES_MAX <= u16::MAX as usize);

/// A part of a template. Two literals are never neighbours.
#[derive(Clone)]
pub(crate) enum TemplatePart {
    /// The bytes `start..end` of the text, never empty.
    Literal {
        start: u16,
        end: u16,
    },
    Expression(Expression),
}

impl TemplatePart {
    /// The most positions that it takes in a program.
    pub(super) fn positions_max(&self) -> usize {
        match self {
            Self::Literal { start, end } => usize::from(end - start),
            Self::Expression(expression) => expression.states().len(),
        }
    }

    /// The positions that take a step of their own for each unit: jumps and counts.
    pub(super) fn branches(&self) -> usize {
        let is_branch =
            |state: &&NfaState| matches!(state, NfaState::Or(_) | NfaState::Goto(_) | NfaState::AtMost(..));
        self.states().iter().filter(is_branch).count()
    }

    /// Whether a jump leads back.
    pub(super) fn repeats(&self) -> bool {
        self.states().iter().any(|state| matches!(state, NfaState::Goto(_)))
    }

    /// The bytes that its states take.
    pub(super) fn state_bytes(&self) -> usize {
        size_of_val(self.states())
    }

    fn states(&self) -> &[NfaState] {
        match self {
            Self::Literal { .. } => &[],
            Self::Expression(expression) => expression.states(),
        }
    }
}

/// The parts after the head of a template or a pattern. They are equal if their expressions and
/// literals are.
#[derive(Clone, Copy)]
pub(crate) struct TailParts<'t> {
    /// What the literals are in.
    pub(crate) text: &'t str,
    pub(crate) parts: &'t [TemplatePart],
}

impl<'t> TailParts<'t> {
    /// The literal `start..end`.
    pub(crate) fn literal(self, start: u16, end: u16) -> &'t [u8] {
        &self.text.as_bytes()[usize::from(start)..usize::from(end)]
    }

    /// The bytes of all literals.
    pub(crate) fn literal_bytes(self) -> usize {
        let bytes = |part: &TemplatePart| match part {
            TemplatePart::Literal { start, end } => usize::from(end - start),
            TemplatePart::Expression(_) => 0,
        };
        self.parts.iter().map(bytes).sum()
    }
}

impl PartialEq for TailParts<'_> {
    fn eq(&self, other: &Self) -> bool {
        let same = |(mine, theirs): (&TemplatePart, &TemplatePart)| match (mine, theirs) {
            (
                &TemplatePart::Literal { start, end },
                &TemplatePart::Literal { start: other_start, end: other_end },
            ) => self.literal(start, end) == other.literal(other_start, other_end),
            (TemplatePart::Expression(mine), TemplatePart::Expression(theirs)) => mine == theirs,
            _ => false,
        };
        self.parts.len() == other.parts.len() && self.parts.iter().zip(other.parts).all(same)
    }
}

impl Hash for TailParts<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for part in self.parts {
            match part {
                TemplatePart::Literal { start, end } => self.literal(*start, *end).hash(state),
                TemplatePart::Expression(expression) => expression.hash(state),
            }
        }
    }
}

/// Why a text is not a template that this hub supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It breaks the grammar of RFC 6570 section 2.
    #[error("it breaks the grammar of URI Templates at byte {at}")]
    Syntax {
        /// The position in bytes from the start.
        at: usize,
    },
    /// It is all literal.
    #[error("it has no expression")]
    NoExpression,
    /// Its compiled form exceeds [`TEMPLATE_STATES_MAX`], or its text [`SELECTOR_BYTES_MAX`].
    #[error("its compiled form exceeds {TEMPLATE_STATES_MAX} states")]
    TooComplex,
}
