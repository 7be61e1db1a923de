//! The tail of a template as a row of positions, one bit each, for the simulation.
//!
//! A position takes a unit or none. The masks say which positions take a unit of a code, which stay
//! where they are when they have, and which can be passed without a unit. A position leads to the
//! next one; the last position is the end. A program is made for one topic: a count that the topic
//! cannot reach is no count, and only units of the topic have masks.

use super::byte_program::{AsciiSet, ByteProgram, ByteState};
use super::charset::{CHARSETS, Charset};
use super::compile::NfaState;
use super::part::{TailParts, TemplatePart};
use super::units::{CODES, Code, is_triplet, unit_at};
use crate::limits::{PATTERN_STATES_MAX, TEMPLATE_STATES_MAX};

/// Positions in a word of a mask.
pub(super) const WORD_BITS: usize = u64::BITS as usize;

/// Words of the largest program: a template's states, and the end.
pub(super) const WORDS_MAX: usize = (TEMPLATE_STATES_MAX + 1).div_ceil(WORD_BITS);

const _: () = assert!(PATTERN_STATES_MAX <= TEMPLATE_STATES_MAX);

/// No row: the topic does not hold this unit.
const NO_ROW: u16 = u16::MAX;

/// A set of positions, a bit each.
pub(super) type Mask = Vec<u64>;

#[derive(Debug, Default)]
pub(super) struct Program {
    /// Words in each mask.
    pub(super) words: usize,
    /// The last position, where the template ends.
    pub(super) end: usize,
    /// Positions that can be passed without a unit.
    pub(super) skips: Mask,
    /// Positions that may take another unit after one.
    pub(super) stays: Mask,
    /// Positions that stay only up to a number of units, see `most`.
    pub(super) counted: Mask,
    /// Whether there are any.
    pub(super) counts: bool,
    /// Positions that lead to another than the next one, too, see `targets`.
    pub(super) jumps: Mask,
    pub(super) most: Vec<u16>,
    pub(super) targets: Vec<u32>,
    /// Positions that take any unit of a set, by the smallest set that holds the unit.
    sets: [Mask; CHARSETS],
    literals: Vec<(u32, Code)>,
    /// Positions that take a byte of a set, of a program over bytes.
    classes: Vec<(u32, AsciiSet)>,
    /// For each row, the positions that take its unit.
    rows: Mask,
    row_of: Vec<u16>,
    /// The codes of the rows.
    codes: Vec<Code>,
    /// For each state of an expression, its position.
    places: Vec<u32>,
}

impl Program {
    /// Makes this the program of the tail of a template, for a topic whose rest has this number of
    /// units.
    pub(super) fn compile(&mut self, tail: TailParts<'_>, units: usize) {
        let positions = tail.parts.iter().map(TemplatePart::positions_max).sum::<usize>() + 1;
        self.clear(positions);
        let mut at = 0;
        for part in tail.parts {
            match part {
                TemplatePart::Literal { start, end } => {
                    let bytes = tail.literal(*start, *end);
                    let mut read = 0;
                    while read < bytes.len() {
                        let (code, length) = unit_at(bytes, read);
                        self.literals.push((at as u32, code));
                        read += length;
                        at += 1;
                    }
                }
                TemplatePart::Expression(expression) => at = self.add(expression.states(), at, units),
            }
        }
        self.end = at;
        self.counts = self.counted.iter().any(|word| *word != 0);
    }

    /// Makes this a program over bytes, from one of its states on.
    pub(super) fn compile_bytes(&mut self, program: &ByteProgram, from: usize) {
        let states = &program.states[from..];
        self.clear(states.len() + 1);
        for (at, state) in states.iter().enumerate() {
            match *state {
                ByteState::Byte(byte) => self.literals.push((at as u32, byte.into())),
                ByteState::One(set) => self.classes.push((at as u32, program.sets[usize::from(set)])),
                ByteState::Any(set) => {
                    self.classes.push((at as u32, program.sets[usize::from(set)]));
                    put(&mut self.stays, at);
                    put(&mut self.skips, at);
                }
                ByteState::Or(by) => {
                    put(&mut self.skips, at);
                    self.jump(at, by);
                }
                ByteState::Goto(by) => self.jump(at, by),
            }
        }
        self.end = states.len();
        self.counts = false;
    }

    fn jump(&mut self, at: usize, by: i16) {
        put(&mut self.jumps, at);
        self.targets[at] = at.saturating_add_signed(by.into()) as u32;
    }

    /// The positions that take a unit of this code, which the topic holds.
    pub(super) fn takers(&self, code: Code) -> &[u64] {
        let row = usize::from(self.row_of[usize::from(code)]);
        &self.rows[row * self.words..][..self.words]
    }

    fn clear(&mut self, positions: usize) {
        self.words = positions.div_ceil(WORD_BITS);
        let masks = [&mut self.skips, &mut self.stays, &mut self.counted, &mut self.jumps];
        for mask in masks.into_iter().chain(&mut self.sets) {
            mask.clear();
            mask.resize(self.words, 0);
        }
        self.most.clear();
        self.most.resize(positions, 0);
        self.targets.clear();
        self.targets.resize(positions, 0);
        self.literals.clear();
        self.classes.clear();
    }

    /// Adds the states of an expression; returns the position after it.
    fn add(&mut self, states: &[NfaState], start: usize, units: usize) -> usize {
        self.places.clear();
        let mut at = start;
        let mut pc = 0;
        while let Some(&state) = states.get(pc) {
            let place = u32::try_from(at).expect("a template has fewer positions than bytes");
            self.places.push(place);
            pc += 1;
            if let NfaState::Byte(byte) = state {
                // Names hold `%` in whole triplets only.
                let bytes = [pc - 1, pc, pc + 1].map(|pc| match states.get(pc) {
                    Some(NfaState::Byte(byte)) => *byte,
                    _ => 0,
                });
                let (code, length) = if byte == b'%' { unit_at(&bytes, 0) } else { (Code::from(byte), 1) };
                self.literals.push((place, code));
                self.places.resize(self.places.len() + length - 1, place);
                pc += length - 1;
            } else {
                self.add_state(state, at, units);
            }
            at += 1;
        }
        self.places.push(at as u32);
        for place in start..at {
            if self.jumps[place / WORD_BITS] & bit(place) != 0 {
                self.targets[place] = self.places[self.targets[place] as usize];
            }
        }
        at
    }

    fn add_state(&mut self, state: NfaState, at: usize, units: usize) {
        match state {
            NfaState::Byte(_) => {}
            NfaState::One(set) => self.add_set(set, at),
            NfaState::Any(set) => self.add_run(set, at),
            NfaState::AtMost(set, most) => {
                self.add_run(set, at);
                if usize::from(most) < units {
                    put(&mut self.counted, at);
                    self.most[at] = most;
                }
            }
            NfaState::Or(other) => {
                put(&mut self.skips, at);
                put(&mut self.jumps, at);
                self.targets[at] = other.into();
            }
            NfaState::Goto(other) => {
                put(&mut self.jumps, at);
                self.targets[at] = other.into();
            }
        }
    }

    fn add_run(&mut self, set: Charset, at: usize) {
        self.add_set(set, at);
        put(&mut self.stays, at);
        put(&mut self.skips, at);
    }

    fn add_set(&mut self, set: Charset, at: usize) {
        for mask in &mut self.sets[..=set as usize] {
            put(mask, at);
        }
    }

    /// Makes masks of `words` words, which are enough, and a row for each unit of the topic.
    pub(super) fn widen(&mut self, words: usize, units: &[Code]) {
        self.words = words;
        let masks = [&mut self.skips, &mut self.stays, &mut self.counted, &mut self.jumps];
        for mask in masks.into_iter().chain(&mut self.sets) {
            mask.resize(words, 0);
        }
        let Self { words, sets, literals, classes, rows, row_of, codes, .. } = self;
        row_of.resize(CODES, NO_ROW);
        for code in codes.drain(..) {
            row_of[usize::from(code)] = NO_ROW;
        }
        rows.clear();
        for &code in units {
            let row = &mut row_of[usize::from(code)];
            if *row != NO_ROW {
                continue;
            }
            *row = codes.len() as u16;
            codes.push(code);
            let smallest = if is_triplet(code) { Some(0) } else { Charset::smallest(code as u8) };
            match smallest {
                Some(set) => rows.extend_from_slice(&sets[set]),
                None => rows.resize(rows.len() + *words, 0),
            }
        }
        for &(at, code) in &*literals {
            let row = row_of[usize::from(code)];
            if row != NO_ROW {
                put(&mut rows[usize::from(row) * *words..], at as usize);
            }
        }
        for &(at, set) in &*classes {
            for (row, _) in
                codes.iter().enumerate().filter(|(_, code)| **code < 128 && set >> **code & 1 != 0)
            {
                put(&mut rows[row * *words..], at as usize);
            }
        }
    }

    /// How many positions take a byte of a set.
    pub(super) fn classes(&self) -> usize {
        self.classes.len()
    }
}

/// The words that the masks of a program with this many positions have. Nearly every template has
/// one, which then stays in a register.
pub(super) fn words(positions: usize) -> usize {
    let words = positions.div_ceil(WORD_BITS);
    [1, 4, 16].into_iter().find(|width| words <= *width).unwrap_or(WORDS_MAX)
}

/// The bit of a position in its word.
pub(super) fn bit(at: usize) -> u64 {
    1 << (at % WORD_BITS)
}

/// Puts a position into a mask.
pub(super) fn put(mask: &mut [u64], at: usize) {
    mask[at / WORD_BITS] |= bit(at);
}
