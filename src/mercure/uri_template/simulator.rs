//! The simulation of one template: all positions advance together, a word of them in one step.
//!
//! A set bit is a position that the topic can have reached. A unit moves the bits of the positions
//! that take it; then everything that can be reached without a unit is reached, too: neighbours by
//! the carry of an addition, jumps one by one. At each unit, each jump is followed once, so a pass
//! takes at most (units of the topic) × (words + jumps + counted positions) steps.
//!
//! Of two ways into a counted position, the one that has taken less stays, since it can do
//! everything that the other can.

use super::Template;
use super::program::{Program, WORD_BITS, bit, put};
use super::units::{Code, unit_at};

/// Compares topics with one template after the other, and keeps its buffers between them.
#[derive(Debug, Default)]
pub(in crate::mercure) struct Simulator {
    units: Vec<Code>,
    program: Program,
    /// The positions that are reached.
    reached: Vec<u64>,
    /// Those that were reached from another position at this unit.
    entered: Vec<u64>,
    /// The jumps that were followed at this unit.
    followed: Vec<u64>,
    /// How many units a counted position has taken.
    taken: Vec<u16>,
    steps: u64,
}

impl Simulator {
    /// Whether the tail of `template` can produce `rest`.
    pub(super) fn matches(&mut self, template: &Template, rest: &[u8]) -> bool {
        self.read_units(rest);
        let Self { units, program, reached, entered, followed, taken, .. } = self;
        program.compile(template.as_str(), template.tail(), units);
        for mask in [&mut *reached, entered, followed] {
            mask.clear();
            mask.resize(program.words, 0);
        }
        taken.clear();
        taken.resize(program.most.len(), 0);
        put(reached, 0);
        put(entered, 0);
        self.follow();
        for at in 0..self.units.len() {
            self.take(self.units[at]);
            if self.reached.iter().all(|word| *word == 0) {
                return false;
            }
            self.follow();
        }
        self.reached[self.program.end / WORD_BITS] & bit(self.program.end) != 0
    }

    /// The steps so far.
    #[cfg(test)]
    pub(in crate::mercure) fn steps(&self) -> u64 {
        self.steps
    }

    fn read_units(&mut self, rest: &[u8]) {
        self.units.clear();
        let mut at = 0;
        while at < rest.len() {
            let (code, length) = unit_at(rest, at);
            self.units.push(code);
            at += length;
        }
    }

    /// Takes a unit: moves the positions that take it, drops the others.
    fn take(&mut self, code: Code) {
        let Self { program, reached, entered, taken, steps, .. } = self;
        let takers = program.takers(code);
        *steps += program.words as u64;
        let mut carry = 0;
        for word in 0..program.words {
            let took = reached[word] & takers[word];
            let mut stays = took & program.stays[word] & !program.counted[word];
            for at in bits(took & program.counted[word], word) {
                *steps += 1;
                if taken[at] < program.most[at] {
                    taken[at] += 1;
                    stays |= bit(at);
                }
            }
            let moves = took & !program.stays[word];
            entered[word] = moves << 1 | carry;
            carry = moves >> (WORD_BITS - 1);
            reached[word] = entered[word] | stays;
        }
    }

    /// Reaches all positions that need no unit, and starts the counts of those that were entered.
    fn follow(&mut self) {
        self.followed.fill(0);
        let mut next = Some(0);
        while let Some(word) = next {
            next = self.follow_from(word);
        }
        let Self { program, reached, entered, taken, steps, .. } = self;
        let mut carry = 0;
        for word in 0..program.words {
            let passed = reached[word] & program.skips[word];
            let enters = entered[word] | passed << 1 | carry;
            carry = passed >> (WORD_BITS - 1);
            for at in bits(enters & reached[word] & program.counted[word], word) {
                *steps += 1;
                taken[at] = 0;
            }
        }
    }

    /// The same for the words from `first` on. Returns the word to begin with again, if a jump led
    /// back.
    fn follow_from(&mut self, first: usize) -> Option<usize> {
        let Self { program, reached, entered, followed, steps, .. } = self;
        let mut back: Option<usize> = None;
        let mut carry = 0;
        for word in first..program.words {
            *steps += 1;
            reached[word] |= carry;
            loop {
                // The addition carries each bit through the positions that can be passed, and to
                // the one after them.
                let skips = program.skips[word];
                let (sum, overflows) = skips.overflowing_add(reached[word] & skips);
                reached[word] |= sum ^ skips;
                carry = u64::from(overflows);
                let jumps = reached[word] & program.jumps[word] & !followed[word];
                if jumps == 0 {
                    break;
                }
                followed[word] |= jumps;
                for at in bits(jumps, word) {
                    *steps += 1;
                    let target = program.targets[at] as usize;
                    put(reached, target);
                    put(entered, target);
                    if target / WORD_BITS < word {
                        back = Some(back.map_or(target / WORD_BITS, |back| back.min(target / WORD_BITS)));
                    }
                }
            }
        }
        back
    }
}

/// The positions of a word of a mask.
fn bits(mut mask: u64, word: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (mask != 0).then(|| word * WORD_BITS + mask.trailing_zeros() as usize);
        mask &= mask.wrapping_sub(1);
        lowest
    })
}
