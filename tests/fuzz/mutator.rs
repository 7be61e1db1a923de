//! Changes inputs as libFuzzer does, without its feedback.
//!
//! Why not `bolero` or proptest: on a stable toolchain, `bolero` replays a corpus and then draws
//! random bytes, which hardly ever are a request, a token or a template; its mutations need
//! libFuzzer. proptest starts from a grammar for each target, not from bytes; where there is such a
//! grammar, a test has it already. So this file changes seeds.

use fastrand::Rng;

/// Changes of one input at most.
const CHANGES_MAX: usize = 6;
/// Bytes that are often treated differently from others.
const SPECIAL: &[u8] = b"\0\x01\x7f\x80\xff\r\n\t ,;=&%+?#/:.\"\\{}*";
/// Numbers at bounds, in digits.
const NUMBERS: [&str; 9] =
    ["0", "1", "-1", "255", "65536", "4294967296", "18446744073709551615", "1e9", "00"];

/// An input made from the seeds; at most `bytes_max` long.
pub(crate) fn mutated(rng: &mut Rng, seeds: &[Vec<u8>], words: &[Vec<u8>], bytes_max: usize) -> Vec<u8> {
    let mut bytes = seeds[rng.usize(..seeds.len())].clone();
    for _ in 0..rng.usize(1..=CHANGES_MAX) {
        change(rng, &mut bytes, seeds, words);
    }
    bytes.truncate(bytes_max);
    bytes
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[Vec<u8>]) {
    let at = rng.usize(..=bytes.len());
    let range = part(rng, bytes.len());
    match rng.u32(..14) {
        0 => edit(rng, bytes, |rng, byte| byte ^ 1 << rng.u32(..8)),
        1 => edit(rng, bytes, |rng, _| rng.u8(..)),
        2 => edit(rng, bytes, |rng, _| SPECIAL[rng.usize(..SPECIAL.len())]),
        3 => edit(rng, bytes, |rng, byte| byte.wrapping_add(rng.u8(..=8)).wrapping_sub(4)),
        4 => bytes.insert(at, SPECIAL[rng.usize(..SPECIAL.len())]),
        5 => drop(bytes.drain(range)),
        6 => bytes.truncate(at),
        // The same again, here or many times.
        7 | 8 => {
            let copies = [1, 1, 2, 40][rng.usize(..4)];
            insert(bytes, at, &bytes[range].repeat(copies));
        }
        // A part of another seed, or all of it.
        9 => {
            let other = &seeds[rng.usize(..seeds.len())];
            let piece = &other[part(rng, other.len())];
            insert(bytes, at, piece);
        }
        10 => {
            let other = &seeds[rng.usize(..seeds.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[rng.usize(..=other.len())..]);
        }
        11 => number(rng, bytes, at),
        12 if !words.is_empty() => replace(bytes, range, &words[rng.usize(..words.len())]),
        _ if !words.is_empty() => insert(bytes, at, &words[rng.usize(..words.len())]),
        _ => {}
    }
}

/// A range, mostly a short one.
fn part(rng: &mut Rng, length: usize) -> std::ops::Range<usize> {
    let start = rng.usize(..=length);
    let longest = if rng.u32(..4) == 0 { length } else { 16 };
    start..(start + rng.usize(..=longest)).min(length)
}

fn edit(rng: &mut Rng, bytes: &mut [u8], new: impl FnOnce(&mut Rng, u8) -> u8) {
    if !bytes.is_empty() {
        let at = rng.usize(..bytes.len());
        bytes[at] = new(rng, bytes[at]);
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

fn replace(bytes: &mut Vec<u8>, range: std::ops::Range<usize>, piece: &[u8]) {
    bytes.splice(range, piece.iter().copied());
}

/// Replaces the next number.
fn number(rng: &mut Rng, bytes: &mut Vec<u8>, at: usize) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|start| at + start) else { return };
    let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    replace(bytes, start..start + digits, NUMBERS[rng.usize(..NUMBERS.len())].as_bytes());
}

/// The words of a dictionary of libFuzzer: on each line a text in quotes, perhaps after a name.
pub(crate) fn words(dictionary: &str) -> Vec<Vec<u8>> {
    let lines = dictionary.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let word = |line: &str| {
        let quoted = line.split_once('"').and_then(|(_, rest)| rest.strip_suffix('"'));
        unescaped(quoted.unwrap_or_else(|| panic!("not a line of a dictionary: {line}")))
    };
    lines.map(word).collect()
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let length = if escaped.starts_with('x') { 3 } else { 1 };
        let (escaped, behind) = escaped.split_at(length);
        match escaped.strip_prefix('x') {
            Some(digits) => bytes.push(u8::from_str_radix(digits, 16).expect("two digits after \\x")),
            None => bytes.extend_from_slice(escaped.as_bytes()),
        }
        rest = behind;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
