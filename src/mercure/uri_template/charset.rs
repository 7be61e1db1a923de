//! The characters of RFC 6570 sections 1.5 and 2, and the sets that an expansion draws its values
//! from.
//!
//! Everything is counted in units: a byte, or a percent-encoded triplet. Every set holds every
//! triplet, so a set only defines which single bytes it holds. A template holds `%` in whole
//! triplets only, so a template and a topic that it produces are divided into units at the same
//! places.
//!
//! The sets of URL Patterns are of bytes alone: in them, `%` is a byte as any other.

/// The number of sets of templates; those of patterns are fewer.
pub(crate) const CHARSETS: usize = 5;

/// The set of units that a value may hold. Each set includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Charset {
    /// `unreserved`: the result when everything else in a string is encoded.
    Unreserved,
    /// Adds `,`, which joins the members of a list or a map.
    List,
    /// Adds `=`, which joins key and value of an exploded map.
    Pairs,
    /// Adds `/`, for exploded path segments.
    Path,
    /// `unreserved` and `reserved`: the operators `+` and `#`.
    Reserved,
    /// Of a URL Pattern: anything but `/`, at least one byte.
    Segment,
    /// Of a URL Pattern: anything.
    Rest,
}

impl Charset {
    pub(super) fn holds(self, byte: u8) -> bool {
        match self {
            Self::Segment => byte != b'/',
            Self::Rest => true,
            _ => SETS[usize::from(byte)] & (1 << self as u8) != 0,
        }
    }

    /// Its place among the sets of its kind: of templates, or of patterns.
    pub(in crate::mercure) fn slot(self) -> usize {
        match self {
            Self::Segment => 0,
            Self::Rest => 1,
            _ => self as usize,
        }
    }

    /// Whether a run takes at least one unit.
    pub(in crate::mercure) fn is_never_empty(self) -> bool {
        self == Self::Segment
    }

    /// Whether a run that begins at `start` cannot end at `at`, since it is within a triplet.
    pub(in crate::mercure) fn divides_triplet(self, topic: &[u8], start: usize, at: usize) -> bool {
        self <= Self::Reserved && divides_triplet(topic, start, at)
    }

    /// Whether a run of the set could take the first byte of a literal, alone or as that of a
    /// triplet.
    pub(in crate::mercure) fn may_take(self, first: u8) -> bool {
        (first == b'%' && self <= Self::Reserved) || self.holds(first)
    }

    /// The longest prefix of `bytes` that a run of the set takes, in bytes.
    pub(in crate::mercure) fn run(self, bytes: &[u8]) -> usize {
        match self {
            Self::Segment => return memchr::memchr(b'/', bytes).unwrap_or(bytes.len()),
            Self::Rest => return bytes.len(),
            _ => {}
        }
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if SETS[usize::from(byte)] & (1 << self as u8) != 0 {
                at += 1;
            } else if is_triplet(bytes, at) {
                at += 3;
            } else {
                break;
            }
        }
        at
    }

    /// Adds the end of the run that begins at each byte of `topic`, and at its end, to `ends`.
    pub(in crate::mercure) fn run_ends(self, topic: &[u8], ends: &mut Vec<u32>) {
        ends.resize(topic.len() + 1, topic.len() as u32);
        for at in (0..topic.len()).rev() {
            ends[at] = if self.holds(topic[at]) {
                ends[at + 1]
            } else if self <= Self::Reserved && is_triplet(topic, at) {
                ends[at + 3]
            } else {
                at as u32
            };
        }
    }

    /// The number of the smallest set that holds a byte.
    pub(super) fn smallest(byte: u8) -> Option<usize> {
        let sets = SETS[usize::from(byte)];
        (sets != 0).then(|| sets.trailing_zeros() as usize)
    }
}

/// For each byte, the sets that hold it, as bits.
static SETS: [u8; 256] = {
    let mut sets = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let smallest = match byte as u8 {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => Some(Charset::Unreserved),
            b',' => Some(Charset::List),
            b'=' => Some(Charset::Pairs),
            b'/' => Some(Charset::Path),
            b':' | b'?' | b'#' | b'[' | b']' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*'
            | b'+' | b';' => Some(Charset::Reserved),
            _ => None,
        };
        if let Some(set) = smallest {
            sets[byte] = 0xff << set as u8;
        }
        byte += 1;
    }
    sets
};

/// Whether `at` is within a triplet of a run that begins at `start`: in a run, `%` begins one.
fn divides_triplet(topic: &[u8], start: usize, at: usize) -> bool {
    topic[start.max(at.saturating_sub(2))..at].contains(&b'%')
}

/// Whether a percent-encoded triplet starts at `at`.
pub(super) fn is_triplet(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at..at + 3), Some([b'%', high, low]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// Whether a template may hold the character outside of expressions (RFC 6570, section 2.1, with
/// erratum 6937, which allows `'`). `%` is excluded: it occurs only in triplets.
pub(super) fn is_literal(c: char) -> bool {
    match c {
        '\0'..=' ' | '"' | '%' | '<' | '>' | '\\' | '^' | '`' | '{'..='}' | '\x7f' => false,
        '!'..='~' => true,
        _ => is_ucschar_or_iprivate(u32::from(c)),
    }
}

/// `ucschar` and `iprivate` of RFC 3987, section 2.2.
fn is_ucschar_or_iprivate(code: u32) -> bool {
    match code {
        0xA0..=0xD7FF | 0xE000..=0xFDCF | 0xFDF0..=0xFFEF | 0xE1000.. => code & 0xFFFF < 0xFFFE,
        0x10000..=0xDFFFF => code & 0xFFFF < 0xFFFE,
        _ => false,
    }
}
