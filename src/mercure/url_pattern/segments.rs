//! The segments with which the keys of a pattern's topics begin: what lists of many patterns are
//! searched by.

use super::UrlPattern;
use super::component::PatternComponent;
use super::topic_url::UrlPart;
use crate::mercure::uri_template::{ByteProgram, ByteState};

impl UrlPattern {
    /// What the key of every topic that it matches has between its slashes, from the beginning, as
    /// far as that is certain: a literal, or `None` where it may be anything. Of a pattern like
    /// `/a/:b/c{/:d}?`, that is all but the end.
    pub(in crate::mercure) fn leading_segments(&self) -> Vec<Option<String>> {
        let mut segments = LeadingSegments::default();
        self.head().bytes().for_each(|byte| segments.push(byte));
        if let Some(from) = self.key.path_from {
            match self.components.get(UrlPart::Pathname) {
                PatternComponent::Any => {}
                PatternComponent::Literal(_) => segments.end(),
                PatternComponent::Program(program) => segments.follow(program, from.into()),
            }
        }
        segments.complete
    }
}

#[derive(Default)]
struct LeadingSegments {
    complete: Vec<Option<String>>,
    /// What the last one, whose end is not certain, has besides what may be anything.
    last: String,
    /// Whether a part of it may be anything.
    is_any: bool,
}

impl LeadingSegments {
    fn push(&mut self, byte: u8) {
        match byte {
            b'/' => self.end(),
            _ => self.last.push(char::from(byte)),
        }
    }

    fn end(&mut self) {
        let last = std::mem::take(&mut self.last);
        let is_any = std::mem::take(&mut self.is_any);
        self.complete.push((!is_any).then_some(last));
    }

    /// Goes on with a program, up to its first choice.
    fn follow(&mut self, program: &ByteProgram, from: usize) {
        for (at, state) in program.states.iter().enumerate().skip(from) {
            match state {
                ByteState::Byte(byte) => self.push(*byte),
                ByteState::One(set) | ByteState::Any(set)
                    if program.sets[usize::from(*set)] & (1 << b'/') == 0 =>
                {
                    self.is_any = true;
                }
                ByteState::One(_) | ByteState::Any(_) => return,
                ByteState::Or(_) | ByteState::Goto(_) => {
                    if ends_segment(program, at) {
                        self.end();
                    }
                    return;
                }
            }
        }
        // A key ends with the pathname.
        self.end();
    }
}

/// Whether all that may follow from a state on is a slash, or the end.
fn ends_segment(program: &ByteProgram, from: usize) -> bool {
    let mut is_seen = vec![false; program.states.len()];
    let mut next = vec![from];
    while let Some(at) = next.pop() {
        let Some(state) = program.states.get(at) else { continue };
        if std::mem::replace(&mut is_seen[at], true) {
            continue;
        }
        match state {
            ByteState::Byte(b'/') => {}
            ByteState::Byte(_) | ByteState::One(_) | ByteState::Any(_) => return false,
            ByteState::Or(by) => next.extend([at + 1, at.saturating_add_signed((*by).into())]),
            ByteState::Goto(by) => next.push(at.saturating_add_signed((*by).into())),
        }
    }
    true
}
