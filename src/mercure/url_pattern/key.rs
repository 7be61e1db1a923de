//! What the topic index knows of a pattern: where the keys of the topics that it matches begin, and
//! how they go on.
//!
//! A pattern whose protocol, hostname and port are literals has them in its head, with the literals
//! that its pathname begins with. If the rest of the pathname leaves no choice, and the other
//! components are `*`, the pattern is plain: the parts after the head decide.

use super::component::{PatternComponent, PatternComponents};
use super::topic_url::{UrlPart, key_of};
use crate::mercure::uri_template::{AsciiSet, ByteProgram, ByteState, Charset, Expression, TemplatePart};

/// The set of `[^/]`, and that of `.`, without line breaks.
const SEGMENT: AsciiSet = REST & !(1 << b'/');
const REST: AsciiSet = !(1 << b'\n');

/// The beginning of the keys that a pattern matches, and what follows.
#[derive(Default)]
pub(super) struct PatternKey {
    /// The head, and the literals of the tail.
    pub(super) text: Box<str>,
    pub(super) head_bytes: u16,
    /// What follows the head, if the pattern is plain.
    pub(super) tail: Box<[TemplatePart]>,
    pub(super) is_plain: bool,
    /// How much of the pathname is in the head, with all of protocol, hostname and port; otherwise
    /// the head is only a beginning.
    pub(super) path_from: Option<u16>,
}

impl PatternKey {
    pub(super) fn new(components: &PatternComponents) -> Self {
        let literal = |part| match components.get(part) {
            PatternComponent::Literal(literal) => Some(&**literal),
            _ => None,
        };
        let Some(protocol) = literal(UrlPart::Protocol) else { return Self::default() };
        let (Some(hostname), Some(port)) = (literal(UrlPart::Hostname), literal(UrlPart::Port)) else {
            return Self::beginning(format!("{protocol}:"));
        };
        // With these, a pathname begins with a slash.
        let is_web = matches!(protocol, "http" | "https" | "ws" | "wss" | "ftp" | "file");
        let pathname = components.get(UrlPart::Pathname);
        let (path_from, literal, tail) = match pathname {
            PatternComponent::Any if is_web => (0, "/".to_owned(), Some(vec![TailPart::Run(Charset::Rest)])),
            PatternComponent::Any => (0, String::new(), None),
            PatternComponent::Literal(literal) => (literal.len(), literal.to_string(), Some(Vec::new())),
            PatternComponent::Program(program) => {
                let from = prefix(program);
                let literal = program.states[..from].iter().filter_map(byte_of).map(char::from).collect();
                (from, literal, tail_of(program, from))
            }
        };
        let has_authority = !hostname.is_empty() || !port.is_empty();
        let others = [UrlPart::Username, UrlPart::Password, UrlPart::Search, UrlPart::Hash];
        let others_are_any = others.iter().all(|part| matches!(components.get(*part), PatternComponent::Any));
        // Where the pathname begins must be certain: with a slash, or after the protocol. An empty
        // one is the end of the key.
        let is_certain = match pathname {
            PatternComponent::Literal(path) if path.is_empty() => others_are_any,
            _ => literal.starts_with('/') || (!literal.is_empty() && !has_authority),
        };
        if !is_certain {
            return Self::beginning(match has_authority {
                true => key_of(protocol, hostname, port, ""),
                false => format!("{protocol}:"),
            });
        }
        let mut text = key_of(protocol, hostname, port, &literal);
        let head_bytes = text.len() as u16;
        let tail = tail.filter(|_| others_are_any);
        let is_plain = tail.is_some();
        let tail = tail.unwrap_or_default().into_iter().map(|part| part.store(&mut text)).collect();
        Self { head_bytes, tail, is_plain, path_from: Some(path_from as u16), text: text.into() }
    }

    fn beginning(head: String) -> Self {
        Self { head_bytes: head.len() as u16, text: head.into(), ..Self::default() }
    }

    pub(super) fn head(&self) -> &str {
        &self.text[..usize::from(self.head_bytes)]
    }
}

/// How many states take the same bytes of every text, first of all.
fn prefix(program: &ByteProgram) -> usize {
    let bytes = program.states.iter().take_while(|state| byte_of(state).is_some()).count();
    let target = |(at, state): (usize, &ByteState)| match state {
        ByteState::Or(by) | ByteState::Goto(by) => Some(at.saturating_add_signed((*by).into())),
        _ => None,
    };
    program.states.iter().enumerate().filter_map(target).fold(bytes, usize::min)
}

fn byte_of(state: &ByteState) -> Option<u8> {
    match state {
        ByteState::Byte(byte) if byte.is_ascii() => Some(*byte),
        _ => None,
    }
}

/// A part of a tail, before its literal is stored.
enum TailPart {
    Literal(String),
    Run(Charset),
}

impl TailPart {
    fn store(self, text: &mut String) -> TemplatePart {
        match self {
            Self::Run(set) => TemplatePart::Expression(Expression::Run(set)),
            Self::Literal(literal) => {
                let start = text.len() as u16;
                text.push_str(&literal);
                TemplatePart::Literal { start, end: text.len() as u16 }
            }
        }
    }
}

/// The parts of a program from a state on, if it leaves no choice: each run ends where the next
/// literal begins, or at the end.
fn tail_of(program: &ByteProgram, from: usize) -> Option<Vec<TailPart>> {
    let mut parts = Vec::new();
    let mut states = &program.states[from..];
    let set = |at: u16| program.sets[usize::from(at)];
    while !states.is_empty() {
        let (run, taken) = match states {
            [ByteState::Any(any), ..] if set(*any) == REST => (Charset::Rest, 1),
            [ByteState::One(one), ByteState::Any(any), ..] if one == any && set(*one) == SEGMENT => {
                (Charset::Segment, 2)
            }
            _ => return None,
        };
        parts.push(TailPart::Run(run));
        states = &states[taken..];
        let literal: String = states.iter().map_while(byte_of).map(char::from).collect();
        states = &states[literal.len()..];
        let Some(&first) = literal.as_bytes().first() else {
            return states.is_empty().then_some(parts);
        };
        if !states.is_empty() && run.may_take(first) {
            return None;
        }
        parts.push(TailPart::Literal(literal));
    }
    Some(parts)
}
