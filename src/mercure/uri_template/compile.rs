//! An expression as an automaton over units (bytes and percent-encoded triplets).
//!
//! States lie in a row. A state leads to the next one unless it names another; after the last one
//! the expression is complete. Two languages exist. Without a named operator and without a prefix
//! length, the language is the reference's, quirks included: `{x,y*}` takes no `=` before its first
//! separator, `{/x*}` takes `,` in a segment. All others follow RFC 6570 exactly, except for the
//! keys of maps, which are unreserved and not empty.

use std::sync::Arc;

use super::charset::Charset;
use crate::limits::SELECTOR_BYTES_MAX;

// No byte of a template makes more than 15 states, so 16 bits suffice for the index of a state.
const _: () = assert!(SELECTOR_BYTES_MAX * 15 <= u16::MAX as usize);

/// One state of an [`Expression`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NfaState {
    /// Takes this byte.
    Byte(u8),
    /// Takes one unit.
    One(Charset),
    /// Takes any number of units.
    Any(Charset),
    /// Takes at most this number of units.
    AtMost(Charset, u16),
    /// Takes nothing: continues at the next state, or at the state named.
    Or(u16),
    /// Takes nothing: continues at the state named.
    Goto(u16),
}

/// A compiled expression; equal when the automata are. Variable names are dropped unless the
/// operator writes them into the expansion, so `{a}` and `{b}` are one expression. That lets a
/// million templates share their nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Expression {
    /// [`NfaState::Any`] alone. Most expressions are this one; it needs no allocation.
    Run(Charset),
    /// Anything else.
    Compiled(Arc<Box<[NfaState]>>),
}

/// The states of each [`Expression::Run`].
static RUNS: [[NfaState; 1]; 7] = [
    [NfaState::Any(Charset::Unreserved)],
    [NfaState::Any(Charset::List)],
    [NfaState::Any(Charset::Pairs)],
    [NfaState::Any(Charset::Path)],
    [NfaState::Any(Charset::Reserved)],
    [NfaState::Any(Charset::Segment)],
    [NfaState::Any(Charset::Rest)],
];

/// RFC 6570, section 2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Simple,
    Plus,
    Hash,
    Dot,
    Slash,
    Semicolon,
    Question,
    Ampersand,
}

/// RFC 6570, section 2.3.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variable<'t> {
    pub(super) name: &'t str,
    pub(super) modifier: Modifier,
}

/// RFC 6570, section 2.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Modifier {
    None,
    Prefix(u16),
    Explode,
}

impl Operator {
    /// The operator of a byte. A reserved operator reads as `Simple`; its byte is then not a valid
    /// variable name.
    pub(super) fn read(byte: u8) -> Self {
        match byte {
            b'+' => Self::Plus,
            b'#' => Self::Hash,
            b'.' => Self::Dot,
            b'/' => Self::Slash,
            b';' => Self::Semicolon,
            b'?' => Self::Question,
            b'&' => Self::Ampersand,
            _ => Self::Simple,
        }
    }

    /// What precedes the first value (RFC 6570, appendix A).
    fn first(self) -> Option<u8> {
        match self {
            Self::Simple | Self::Plus => None,
            Self::Hash => Some(b'#'),
            Self::Dot => Some(b'.'),
            Self::Slash => Some(b'/'),
            Self::Semicolon => Some(b';'),
            Self::Question => Some(b'?'),
            Self::Ampersand => Some(b'&'),
        }
    }

    fn separator(self) -> u8 {
        match self {
            Self::Simple | Self::Plus | Self::Hash => b',',
            Self::Dot => b'.',
            Self::Slash => b'/',
            Self::Semicolon => b';',
            Self::Question | Self::Ampersand => b'&',
        }
    }

    fn is_named(self) -> bool {
        matches!(self, Self::Semicolon | Self::Question | Self::Ampersand)
    }

    fn allows_reserved(self) -> bool {
        matches!(self, Self::Plus | Self::Hash)
    }
}

impl Expression {
    /// Compiles `{operator variables}`; `variables` is not empty.
    pub(super) fn compile(operator: Operator, variables: &[Variable<'_>]) -> Self {
        let mut builder = ExpressionBuilder { operator, states: Vec::new(), to_end: Vec::new() };
        let has_prefix = variables.iter().any(|variable| matches!(variable.modifier, Modifier::Prefix(_)));
        if operator.is_named() || has_prefix {
            builder.by_the_rfc(variables);
        } else {
            builder.as_the_reference(variables);
        }
        builder.finish()
    }

    pub(crate) fn states(&self) -> &[NfaState] {
        match self {
            Self::Run(set) => &RUNS[*set as usize],
            Self::Compiled(states) => states,
        }
    }

    /// The expression equivalent to this one followed by `next`, if one of the two alone is.
    pub(super) fn merged_with(&self, next: &Self) -> Option<Self> {
        match (self, next) {
            (Self::Run(one), Self::Run(other)) => Some(Self::Run(*one.max(other))),
            _ => None,
        }
    }
}

struct ExpressionBuilder {
    operator: Operator,
    states: Vec<NfaState>,
    /// `Or` states whose other branch is the end of the expression.
    to_end: Vec<usize>,
}

impl ExpressionBuilder {
    fn finish(mut self) -> Expression {
        let end = self.here();
        for at in self.to_end {
            self.states[at] = NfaState::Or(end);
        }
        match self.states[..] {
            [NfaState::Any(set)] => Expression::Run(set),
            _ => Expression::Compiled(Arc::new(self.states.into())),
        }
    }

    fn here(&self) -> u16 {
        self.states.len() as u16
    }

    fn push(&mut self, state: NfaState) {
        self.states.push(state);
    }

    fn push_or_end(&mut self) {
        self.to_end.push(self.states.len());
        self.push(NfaState::Or(0));
    }

    /// Reserves an `Or` whose other branch is set by [`Self::set_or`].
    fn hole(&mut self) -> usize {
        self.push(NfaState::Or(0));
        self.states.len() - 1
    }

    /// Points the `Or` at `hole` to the current end.
    fn set_or(&mut self, hole: usize) {
        self.states[hole] = NfaState::Or(self.here());
    }

    /// The language of the reference. The values of most operators include the separator, which
    /// makes a repetition unnecessary.
    fn as_the_reference(&mut self, variables: &[Variable<'_>]) {
        let exploded = |variable: &Variable<'_>| variable.modifier == Modifier::Explode;
        let later_exploded = variables.iter().any(exploded);
        let first_exploded = exploded(&variables[0]);
        let repeated = if self.operator == Operator::Slash { Charset::Path } else { Charset::Pairs };
        if let Some(first) = self.operator.first() {
            self.push_or_end();
            self.push(NfaState::Byte(first));
        }
        if self.operator.allows_reserved() {
            self.push(NfaState::Any(Charset::Reserved));
        } else if first_exploded {
            self.push(NfaState::Any(repeated));
        } else {
            self.push(NfaState::Any(Charset::List));
            if later_exploded {
                self.push_or_end();
                self.push(NfaState::Byte(self.operator.separator()));
                self.push(NfaState::Any(repeated));
            } else if self.operator == Operator::Slash {
                for _ in 1..variables.len() {
                    self.push_or_end();
                    self.push(NfaState::Byte(b'/'));
                    self.push(NfaState::Any(Charset::List));
                }
            }
        }
    }

    /// RFC 6570 section 3.2: each variable may be undefined. The defined ones are joined by the
    /// separator.
    fn by_the_rfc(&mut self, variables: &[Variable<'_>]) {
        self.push_or_end();
        if let Some(first) = self.operator.first() {
            self.push(NfaState::Byte(first));
        }
        for (index, variable) in variables.iter().enumerate() {
            let last = index + 1 == variables.len();
            let undefined = if last { None } else { Some(self.hole()) };
            match (self.operator.is_named(), variable.modifier) {
                (true, Modifier::Explode) => self.named_pairs(),
                (true, modifier) => self.named_value(variable.name, modifier),
                (false, Modifier::Explode) => self.exploded(),
                (false, Modifier::Prefix(length)) => self.push(NfaState::AtMost(self.character(), length)),
                (false, Modifier::None) => self.push(NfaState::Any(self.list())),
            }
            if let Some(hole) = undefined {
                self.push_or_end();
                self.push(NfaState::Byte(self.operator.separator()));
                self.set_or(hole);
            }
        }
    }

    /// One character of a string.
    fn character(&self) -> Charset {
        if self.operator.allows_reserved() { Charset::Reserved } else { Charset::Unreserved }
    }

    /// One character of a string, a list or a map that is not exploded.
    fn list(&self) -> Charset {
        if self.operator.allows_reserved() { Charset::Reserved } else { Charset::List }
    }

    /// `{var*}` without a name: the members of a list, or the pairs of a map, but no mixture.
    fn exploded(&mut self) {
        if self.operator.allows_reserved() {
            self.push(NfaState::Any(Charset::Reserved));
            return;
        }
        let map = self.hole();
        let member = self.here();
        self.push(NfaState::Any(Charset::Unreserved));
        let list_end = self.hole();
        self.push(NfaState::Byte(self.operator.separator()));
        self.push(NfaState::Goto(member));
        self.set_or(map);
        let pair = self.key();
        self.push(NfaState::Byte(b'='));
        self.push(NfaState::Any(Charset::Unreserved));
        let map_end = self.hole();
        self.push(NfaState::Byte(self.operator.separator()));
        self.push(NfaState::Goto(pair));
        self.set_or(list_end);
        self.set_or(map_end);
    }

    /// `{;var*}`: the pairs of a map. A list's `name=value` pairs are among them.
    fn named_pairs(&mut self) {
        let pair = self.key();
        self.equals(Charset::Unreserved, None);
        let end = self.hole();
        self.push(NfaState::Byte(self.operator.separator()));
        self.push(NfaState::Goto(pair));
        self.set_or(end);
    }

    /// The key of a map. It is not empty. Unlike RFC 6570 section 3.2.1 for the named operators, it
    /// has no reserved characters, since these could be mistaken for separators. Returns the state
    /// where it starts.
    fn key(&mut self) -> u16 {
        let start = self.here();
        self.push(NfaState::One(Charset::Unreserved));
        self.push(NfaState::Any(Charset::Unreserved));
        start
    }

    fn named_value(&mut self, name: &str, modifier: Modifier) {
        self.states.extend(name.bytes().map(NfaState::Byte));
        match modifier {
            Modifier::Prefix(length) => self.equals(Charset::Unreserved, Some(length)),
            Modifier::None | Modifier::Explode => self.equals(Charset::List, None),
        }
    }

    /// `=` and the value. With `;` an empty value has no `=` (RFC 6570, section 3.2.7).
    fn equals(&mut self, charset: Charset, length: Option<u16>) {
        let bare = self.operator == Operator::Semicolon;
        let empty = if bare { Some(self.hole()) } else { None };
        self.push(NfaState::Byte(b'='));
        if bare {
            self.push(NfaState::One(charset));
        }
        match length {
            None => self.push(NfaState::Any(charset)),
            Some(length) => self.push(NfaState::AtMost(charset, length - u16::from(bare))),
        }
        if let Some(hole) = empty {
            self.set_or(hole);
        }
    }
}
