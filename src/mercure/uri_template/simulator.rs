//! The simulation of one template: all positions advance together, a word of them in one step.
//!
//! A set bit is a position that the topic can have reached. A unit moves the bits of the positions
//! that take it; then everything that can be reached without a unit is reached, too: neighbours by
//! the carry of an addition, jumps one by one. At each unit, each jump is followed once; only a
//! repetition in an expression leads back, over a few positions. So a unit takes at most a step for
//! each jump and count, and three for each word: that is the price of a template.
//!
//! Of two ways into a counted position, the one that has taken less stays, since it can do
//! everything that the other can.

use super::Template;
use super::byte_program::{ByteProgram, ByteState};
use super::program::{Program, WORD_BITS, WORDS_MAX, bit, put, words};
use super::units::{CODES, Code, unit_at};
use crate::limits::{
    MATCH_COST_BRANCH, MATCH_COST_CLASS, MATCH_COST_READ, MATCH_COST_SETUP, MATCH_COST_WORD,
};

/// Compares topics with one template after the other, and keeps its buffers between them.
#[derive(Debug, Default)]
pub(in crate::mercure) struct Simulator {
    units: Vec<Code>,
    /// The units, each once.
    distinct: Vec<Code>,
    /// Whether a unit is in `distinct`.
    is_known: Vec<bool>,
    program: Program,
    /// How many units a counted position has taken.
    taken: Vec<u16>,
    spent: u64,
}

impl Simulator {
    /// Whether the tail of `template` can produce `rest`.
    pub(super) fn matches(&mut self, template: &Template, rest: &[u8]) -> bool {
        self.read(rest);
        self.matches_read(template)
    }

    /// Reads the part of a topic after a head, for [`Self::matches_read`].
    pub(super) fn read(&mut self, rest: &[u8]) {
        self.begin_reading(rest.len());
        let mut at = 0;
        while at < rest.len() {
            let (code, length) = unit_at(rest, at);
            self.push_unit(code);
            at += length;
        }
    }

    fn begin_reading(&mut self, bytes: usize) {
        self.spent += bytes as u64 * u64::from(MATCH_COST_READ) / 1024;
        for code in self.distinct.drain(..) {
            self.is_known[usize::from(code)] = false;
        }
        self.is_known.resize(CODES, false);
        self.units.clear();
    }

    fn push_unit(&mut self, code: Code) {
        self.units.push(code);
        if !std::mem::replace(&mut self.is_known[usize::from(code)], true) {
            self.distinct.push(code);
        }
    }

    /// Whether a program over bytes takes `text`, from one of its states on.
    pub(in crate::mercure) fn matches_bytes(
        &mut self,
        program: &ByteProgram,
        from: usize,
        text: &[u8],
    ) -> bool {
        self.begin_reading(text.len());
        for &byte in text {
            self.push_unit(byte.into());
        }
        self.program.compile_bytes(program, from);
        self.spent +=
            u64::from(MATCH_COST_SETUP) + u64::from(MATCH_COST_CLASS) * self.program.classes() as u64;
        self.run_read()
    }

    /// Whether the tail of `template` can produce what was read last.
    pub(super) fn matches_read(&mut self, template: &Template) -> bool {
        let Self { units, program, .. } = self;
        program.compile(template.tail(), units.len());
        self.spent += u64::from(MATCH_COST_SETUP);
        self.run_read()
    }

    fn run_read(&mut self) -> bool {
        match words(self.program.words * WORD_BITS) {
            1 => self.run::<1>(),
            4 => self.run::<4>(),
            16 => self.run::<16>(),
            _ => self.run::<WORDS_MAX>(),
        }
    }

    /// The cost of the comparisons since the last call, see [`crate::limits::MATCH_COST_NODE`].
    pub(in crate::mercure) fn take_spent(&mut self) -> u64 {
        std::mem::take(&mut self.spent)
    }

    fn run<const W: usize>(&mut self) -> bool {
        let Self { units, distinct, program, taken, spent, .. } = self;
        program.widen(W, distinct);
        taken.clear();
        taken.resize(program.most.len(), 0);
        let mut pass = Pass::<W>::new(program, taken);
        pass.follow();
        for &code in &*units {
            pass.take(code);
            if pass.reached == [0; W] {
                break;
            }
            pass.follow();
        }
        *spent +=
            (pass.words * u64::from(MATCH_COST_WORD) + pass.branches * u64::from(MATCH_COST_BRANCH)) / 1024;
        pass.reached[program.end / WORD_BITS] & bit(program.end) != 0
    }
}

impl ByteProgram {
    /// The most that a run over 1 KiB from this state on costs, see
    /// [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE).
    pub(in crate::mercure) fn match_cost(&self, from: usize) -> u32 {
        let states = &self.states[from..];
        let count = |is: fn(&ByteState) -> bool| states.iter().filter(|state| is(state)).count() as u32;
        let branches = count(|state| matches!(state, ByteState::Or(_) | ByteState::Goto(_)));
        let leads_back =
            |state: &ByteState| matches!(state, ByteState::Or(by) | ByteState::Goto(by) if *by < 0);
        let words = words(states.len() + 1) as u32;
        // With several words, a repetition can lead back to the word before.
        let passes = if words > 1 && states.iter().any(leads_back) { 3 } else { 1 };
        let classes = count(|state| matches!(state, ByteState::One(_) | ByteState::Any(_)));
        MATCH_COST_SETUP
            + MATCH_COST_READ
            + passes * words * MATCH_COST_WORD
            + branches * MATCH_COST_BRANCH
            + classes * MATCH_COST_CLASS
    }
}

/// One pass over a topic, with masks of `W` words.
struct Pass<'p, const W: usize> {
    program: &'p Program,
    skips: &'p [u64; W],
    stays: &'p [u64; W],
    counted: &'p [u64; W],
    jumps: &'p [u64; W],
    /// The positions that are reached.
    reached: [u64; W],
    /// Those that were reached from another position at this unit.
    entered: [u64; W],
    taken: &'p mut [u16],
    /// Words and branches so far.
    words: u64,
    branches: u64,
}

impl<'p, const W: usize> Pass<'p, W> {
    fn new(program: &'p Program, taken: &'p mut [u16]) -> Self {
        let mut start = [0; W];
        start[0] = 1;
        Self {
            program,
            skips: chunk(&program.skips),
            stays: chunk(&program.stays),
            counted: chunk(&program.counted),
            jumps: chunk(&program.jumps),
            reached: start,
            entered: start,
            taken,
            words: 0,
            branches: 0,
        }
    }

    /// Takes a unit: moves the positions that take it, drops the others.
    fn take(&mut self, code: Code) {
        let takers: &[u64; W] = chunk(self.program.takers(code));
        let mut carry = 0;
        for (word, takers) in takers.iter().enumerate() {
            let took = self.reached[word] & takers;
            let mut stays = took & self.stays[word] & !self.counted[word];
            for at in bits(took & self.counted[word], word) {
                self.branches += 1;
                if self.taken[at] < self.program.most[at] {
                    self.taken[at] += 1;
                    stays |= bit(at);
                }
            }
            let moves = took & !self.stays[word];
            self.entered[word] = moves << 1 | carry;
            carry = moves >> (WORD_BITS - 1);
            self.reached[word] = self.entered[word] | stays;
        }
    }

    /// Reaches all positions that need no unit, and starts the counts of those that were entered.
    fn follow(&mut self) {
        self.follow_words();
        if !self.program.counts {
            return;
        }
        let mut carry = 0;
        for word in 0..W {
            let passed = self.reached[word] & self.skips[word];
            let enters = self.entered[word] | passed << 1 | carry;
            carry = passed >> (WORD_BITS - 1);
            for at in bits(enters & self.reached[word] & self.counted[word], word) {
                self.taken[at] = 0;
            }
        }
    }

    /// The same without the counts. A jump to an earlier word continues there: such a word is
    /// passed again, at most once for each jump.
    fn follow_words(&mut self) {
        let mut followed = [0; W];
        let (mut word, mut carry) = (0, 0);
        while word < W {
            self.words += 1;
            self.reached[word] |= carry;
            let skips = self.skips[word];
            let mut next = word + 1;
            loop {
                // The addition carries each bit through the positions that can be passed, and to
                // the one after them.
                let (sum, overflows) = skips.overflowing_add(self.reached[word] & skips);
                self.reached[word] |= sum ^ skips;
                carry = u64::from(overflows);
                let jumps = self.reached[word] & self.jumps[word] & !followed[word];
                if jumps == 0 {
                    break;
                }
                followed[word] |= jumps;
                for at in bits(jumps, word) {
                    self.branches += 1;
                    let target = self.program.targets[at] as usize;
                    put(&mut self.reached, target);
                    put(&mut self.entered, target);
                    next = next.min(target / WORD_BITS);
                }
            }
            // A jump within the word is done.
            if next == word {
                next += 1;
            }
            if next <= word {
                carry = 0;
            }
            word = next;
        }
    }
}

fn chunk<const W: usize>(mask: &[u64]) -> &[u64; W] {
    mask.first_chunk().expect("a program is widened before it runs")
}

/// The positions of a word of a mask.
fn bits(mut mask: u64, word: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (mask != 0).then(|| word * WORD_BITS + mask.trailing_zeros() as usize);
        mask &= mask.wrapping_sub(1);
        lowest
    })
}
