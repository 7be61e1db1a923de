//! A parsed regexp as a program over bytes.

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

use super::error::UrlPatternError;
use crate::mercure::uri_template::{AsciiSet, ByteProgram, ByteState};

/// No component of a URL holds a line break, so a set is the same with it and without.
const LINE_BREAK: AsciiSet = 1 << b'\n';

/// Compiles the regexp of one component, which may have this number of states. The anchors around
/// it go without saying: a program takes the whole component.
pub(super) fn compile(regexp: &Hir, states_max: usize) -> Result<ByteProgram, UrlPatternError> {
    let mut builder = ByteProgramBuilder { states_max, states: Vec::new(), sets: Vec::new() };
    match regexp.kind() {
        HirKind::Concat(parts) => {
            let parts = match &parts[..] {
                [start, parts @ .., end] if is_look(start, Look::Start) && is_look(end, Look::End) => parts,
                _ => return Err(UrlPatternError::Regexp),
            };
            parts.iter().try_for_each(|part| builder.add(part))?;
        }
        _ => return Err(UrlPatternError::Regexp),
    }
    Ok(ByteProgram { states: builder.states.into(), sets: builder.sets.into() })
}

fn is_look(regexp: &Hir, look: Look) -> bool {
    matches!(regexp.kind(), HirKind::Look(it) if *it == look)
}

struct ByteProgramBuilder {
    states_max: usize,
    states: Vec<ByteState>,
    sets: Vec<AsciiSet>,
}

impl ByteProgramBuilder {
    fn add(&mut self, regexp: &Hir) -> Result<(), UrlPatternError> {
        match regexp.kind() {
            HirKind::Empty => Ok(()),
            HirKind::Literal(literal) => {
                literal.0.iter().try_for_each(|byte| self.push(ByteState::Byte(*byte)))
            }
            HirKind::Class(class) => {
                let set = self.set(class);
                self.push(ByteState::One(set))
            }
            HirKind::Look(_) => Err(UrlPatternError::Regexp),
            HirKind::Repetition(repetition) => self.repeat(repetition),
            HirKind::Capture(capture) => self.add(&capture.sub),
            HirKind::Concat(parts) => parts.iter().try_for_each(|part| self.add(part)),
            HirKind::Alternation(choices) => self.choose(choices),
        }
    }

    fn push(&mut self, state: ByteState) -> Result<(), UrlPatternError> {
        if self.states.len() == self.states_max {
            return Err(UrlPatternError::TooComplex);
        }
        self.states.push(state);
        Ok(())
    }

    /// The number of a set.
    fn set(&mut self, class: &Class) -> u16 {
        let range = |first: u32, last: u32| (first..=last.min(0x7f)).fold(0, |set, byte| set | 1 << byte);
        let set: AsciiSet = match class {
            Class::Bytes(class) => {
                class.ranges().iter().fold(0, |set, it| set | range(it.start().into(), it.end().into()))
            }
            Class::Unicode(class) => {
                class.ranges().iter().fold(0, |set, it| set | range(it.start().into(), it.end().into()))
            }
        };
        let set = set & !LINE_BREAK;
        let at = self.sets.iter().position(|other| *other == set).unwrap_or_else(|| {
            self.sets.push(set);
            self.sets.len() - 1
        });
        at as u16
    }

    /// First what has to come, copied; then what may come.
    fn repeat(&mut self, repetition: &Repetition) -> Result<(), UrlPatternError> {
        let Repetition { min, max, sub, .. } = repetition;
        let begin = self.states.len();
        let mut last = begin;
        for _ in 0..*min {
            last = self.states.len();
            self.add(sub)?;
            if self.states.len() == last {
                // It takes nothing, however often.
                return Ok(());
            }
        }
        let Some(max) = max else {
            if let HirKind::Class(class) = sub.kind() {
                let set = self.set(class);
                return self.push(ByteState::Any(set));
            }
            if *min > 0 {
                // Back to the last copy.
                return self.push_jump(ByteState::Or(0), last);
            }
            let hole = self.hole()?;
            self.add(sub)?;
            self.push_jump(ByteState::Goto(0), hole)?;
            self.fill(hole);
            return Ok(());
        };
        let mut holes = Vec::new();
        for _ in *min..*max {
            let hole = self.hole()?;
            holes.push(hole);
            self.add(sub)?;
            if self.states.len() == hole + 1 {
                break;
            }
        }
        holes.into_iter().for_each(|hole| self.fill(hole));
        Ok(())
    }

    fn choose(&mut self, choices: &[Hir]) -> Result<(), UrlPatternError> {
        let mut ends = Vec::new();
        let Some((last, others)) = choices.split_last() else { return Ok(()) };
        for choice in others {
            let hole = self.hole()?;
            self.add(choice)?;
            ends.push(self.states.len());
            self.push(ByteState::Goto(0))?;
            self.fill(hole);
        }
        self.add(last)?;
        ends.into_iter().for_each(|end| self.fill(end));
        Ok(())
    }

    /// Reserves a jump that [`Self::fill`] directs to the end.
    fn hole(&mut self) -> Result<usize, UrlPatternError> {
        self.push(ByteState::Or(0))?;
        Ok(self.states.len() - 1)
    }

    fn fill(&mut self, hole: usize) {
        let by = distance(hole, self.states.len());
        self.states[hole] = match self.states[hole] {
            ByteState::Goto(_) => ByteState::Goto(by),
            _ => ByteState::Or(by),
        };
    }

    /// Adds a jump to `target`.
    fn push_jump(&mut self, jump: ByteState, target: usize) -> Result<(), UrlPatternError> {
        let by = distance(self.states.len(), target);
        self.push(match jump {
            ByteState::Goto(_) => ByteState::Goto(by),
            _ => ByteState::Or(by),
        })
    }
}

/// The states are fewer than 32,768.
fn distance(from: usize, to: usize) -> i16 {
    (to as isize - from as isize) as i16
}
