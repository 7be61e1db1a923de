//! Where runs end in one topic.
//!
//! Templates that are alone on their head have no price. If many of their heads begin one topic,
//! each would scan the rest of it; from some on, one pass for each set serves all.

use crate::mercure::uri_template::{CHARSETS, Charset};

/// Scans before the pass.
const SCANS: usize = 4;

/// The ends of runs, by set and beginning.
#[derive(Default)]
pub(super) struct RunEnds {
    scans: usize,
    ends: [Vec<u32>; CHARSETS],
}

impl RunEnds {
    /// Begins with another topic.
    pub(super) fn renew(&mut self) {
        if self.scans > SCANS {
            self.ends.iter_mut().for_each(Vec::clear);
        }
        self.scans = 0;
    }

    /// Whether a run takes no scan any more.
    pub(super) fn is_known(&self) -> bool {
        self.scans > SCANS
    }

    /// The end of the longest run of a set that begins at this byte of the topic.
    pub(super) fn end(&mut self, set: Charset, topic: &[u8], at: usize) -> usize {
        self.scans += 1;
        if self.scans <= SCANS {
            return at + set.run(&topic[at..]);
        }
        let ends = &mut self.ends[set.slot()];
        if ends.is_empty() {
            set.run_ends(topic, ends);
        }
        ends[at] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_finds_the_ends_that_a_scan_finds() {
        let topic = b"a/%41%4/b,c=d%zz%2F?e%";
        let sets = [Charset::Unreserved, Charset::List, Charset::Pairs, Charset::Path, Charset::Reserved];
        let mut ends = RunEnds::default();
        for _ in 0..2 {
            for set in sets {
                for at in 0..=topic.len() {
                    assert_eq!(ends.end(set, topic, at), at + set.run(&topic[at..]), "{set:?} at {at}");
                }
            }
            assert!(ends.is_known());
        }
        ends.renew();
        assert_eq!(ends.end(Charset::Path, b"b?", 0), 1);
        assert!(!ends.is_known());
    }
}
