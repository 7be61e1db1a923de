//! The secrets of a text: tokens by their shape, other credentials by the word before them.
//!
//! In doubt, more is a secret: the rest of a token that is cut, a value with characters that no
//! token has, words after a token that may be its parts.

use std::ops::Range;

use super::decoded::DecodedByte;

/// Digits of a token after which the first byte that is no white space must be known. No program
/// puts more white space than this before the object of a header.
const OPENING_DIGITS_MAX: usize = 16;
/// A word of this length may be a part of a token. In the middle of another word, `eyJ` begins a
/// token only if at least as many characters follow.
const PART_BYTES: usize = 16;
/// Characters between a token and its next part, if the token was wrapped.
const WRAP_MAX: usize = 3;

/// A value after a name that ends with one of these is a secret: `access_token=`, `idToken:`.
const NAME_ENDINGS: [&[u8]; 14] = [
    b"authorization",
    b"token",
    b"jwt",
    b"password",
    b"passwd",
    b"passphrase",
    b"secret",
    b"credential",
    b"credentials",
    b"apikey",
    b"signature",
    b"cookie",
    b"session",
    b"sessionid",
];
/// The same for a whole word, with `_` or `-` before it at most.
const NAMES: [&[u8]; 8] = [b"key", b"auth", b"pwd", b"pass", b"sig", b"sid", b"bearer", b"basic"];
/// What follows one of these words is a secret (RFC 6750, RFC 7617).
const SCHEMES: [&[u8]; 2] = [b"bearer", b"basic"];
/// Longer than each of [`SCHEMES`].
const SCHEME_BYTES_MAX: usize = 8;

/// Tokens: base64url segments of which one begins like a JSON object (RFC 7515, section 7.1).
pub(super) fn tokens(cells: &[DecodedByte], found: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while at < cells.len() {
        if begins_token(cells, at) {
            let end = token_end(cells, at);
            found.push(at..end);
            at = end;
        } else {
            at += 1;
        }
    }
}

/// Values after the name of a secret, after a scheme of `Authorization`, and the user of a URL.
pub(super) fn named(cells: &[DecodedByte], found: &mut Vec<Range<usize>>) {
    let (mut at, mut word_end) = (0, 0);
    while at < cells.len() {
        // The last word: only spaces, quotes and brackets are between it and this cell.
        let word = &cells[..word_end];
        let secret = match cells[at].byte {
            b'=' | b':' if follows_name(word) => Some(value(cells, at + 1)),
            b':' => user(cells, at + 1),
            byte if is_space(byte) && follows_scheme(word) => Some(value(cells, at + 1)),
            _ => None,
        };
        if !is_around(cells[at].byte) {
            word_end = at + 1;
        }
        at += 1;
        if let Some(secret) = secret {
            at = secret.end;
            word_end = at;
            found.push(secret);
        }
    }
}

/// Whether a token can begin here: a JSON object in base64url begins here.
fn begins_token(cells: &[DecodedByte], at: usize) -> bool {
    if !opens_object(&cells[at..]) {
        return false;
    }
    let is_mid_word = at > 0 && cells[at - 1].byte.is_ascii_alphanumeric();
    !is_mid_word || 1 + part_len(&cells[at + 1..]) >= PART_BYTES
}

/// Whether these digits of base64url begin with a `{`, a quote or white space after it, and white
/// space before it.
fn opens_object(cells: &[DecodedByte]) -> bool {
    let first = cells.first().map(|cell| if cell.ends_with_e { b'e' } else { cell.byte });
    // `{`, a space, a line feed or a tab, a carriage return.
    let Some(first) = first.filter(|byte| matches!(byte, b'e' | b'I' | b'C' | b'D')) else { return false };
    let rest = cells.iter().skip(1).take(OPENING_DIGITS_MAX - 1).map(|cell| cell.byte);
    let (mut bits, mut bit_count, mut is_open) = (0_u32, 0, false);
    for digit in std::iter::once(first).chain(rest) {
        let Some(digit) = base64url_digit(digit) else { return false };
        bits = bits << 6 | digit;
        bit_count += 6;
        if bit_count < 8 {
            continue;
        }
        bit_count -= 8;
        match ((bits >> bit_count & 0xff) as u8, is_open) {
            (b'{', false) => is_open = true,
            (b'"' | b' ' | b'\t' | b'\n' | b'\r', true) => return true,
            (b' ' | b'\t' | b'\n' | b'\r', false) => {}
            _ => return false,
        }
    }
    false
}

fn base64url_digit(byte: u8) -> Option<u32> {
    let digit = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(u32::from(digit))
}

/// Whether a token has this character: a digit of base64url, a dot, or the `~` between the parts of
/// an SD-JWT (RFC 9901).
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

/// The length of a word that may be a part of a token, at most [`PART_BYTES`].
fn part_len(cells: &[DecodedByte]) -> usize {
    cells.iter().take(PART_BYTES).take_while(|cell| is_of_token(cell.byte)).count()
}

/// Where the token that begins here ends.
fn token_end(cells: &[DecodedByte], at: usize) -> usize {
    // A first byte that was taken for the end of a code is part of the token.
    let mut at = at + 1;
    loop {
        at += cells[at..].iter().take_while(|cell| is_of_token(cell.byte)).count();
        // Padding, which some programs leave in the segments; then a line's end, if it was wrapped.
        let padding = cells[at..].iter().take(WRAP_MAX).take_while(|cell| cell.byte == b'=').count();
        let rest = &cells[at + padding..];
        let wrap = rest.iter().take(WRAP_MAX).take_while(|cell| is_space(cell.byte)).count();
        let goes_on = match (wrap, rest.get(wrap)) {
            (0, Some(next)) => padding > 0 && next.byte == b'.',
            (_, Some(_)) => part_len(&rest[wrap..]) >= PART_BYTES,
            (_, None) => false,
        };
        if !goes_on {
            return at;
        }
        at += padding + wrap;
    }
}

/// Whether these cells end with the name of a secret.
fn follows_name(cells: &[DecodedByte]) -> bool {
    NAME_ENDINGS.iter().any(|name| ends_with_parts(cells, name))
        || NAMES.iter().any(|name| ends_with(cells, name) && !is_mid_word(cells, name))
}

fn follows_scheme(cells: &[DecodedByte]) -> bool {
    SCHEMES.iter().any(|name| ends_with(cells, name) && !is_mid_word(cells, name))
}

fn ends_with(cells: &[DecodedByte], word: &[u8]) -> bool {
    let Some(start) = cells.len().checked_sub(word.len()) else { return false };
    cells[start..].iter().zip(word).all(|(cell, letter)| cell.byte.eq_ignore_ascii_case(letter))
}

/// The same for names of two words, such as `api_key` and `session-id`.
fn ends_with_parts(cells: &[DecodedByte], word: &[u8]) -> bool {
    let mut letters = word.iter().rev().peekable();
    let mut before = cells.iter().rev().take(word.len() + 1);
    while let Some(letter) = letters.peek() {
        match before.next() {
            Some(cell) if cell.byte.eq_ignore_ascii_case(letter) => {
                letters.next();
            }
            Some(cell) if matches!(cell.byte, b'_' | b'-') => {}
            _ => return false,
        }
    }
    true
}

/// Whether a letter or a digit stands before the word that these cells end with.
fn is_mid_word(cells: &[DecodedByte], word: &[u8]) -> bool {
    let before = cells.len().checked_sub(word.len() + 1).map(|at| cells[at].byte);
    before.is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// A space, also as a form writes it.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b'+'
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'\\')
}

/// Whether this may be between a name and the `=` or the colon after it.
fn is_around(byte: u8) -> bool {
    is_space(byte) || is_quote(byte) || matches!(byte, b'[' | b']' | b')' | b'=' | b':')
}

/// The value that begins here, after spaces and quotes. If it names a scheme, what follows belongs
/// to it.
fn value(cells: &[DecodedByte], at: usize) -> Range<usize> {
    let count = |at: usize, is: fn(u8) -> bool| cells[at..].iter().take_while(|cell| is(cell.byte)).count();
    let start = at + count(at, |byte| is_space(byte) || is_quote(byte));
    let mut rest = start;
    if let Some(scheme) = scheme_len(&cells[start..]) {
        rest += scheme + count(start + scheme, is_around);
    }
    let quote = cells[at..rest].iter().rev().find(|cell| cell.is_plain() && is_quote(cell.byte));
    if let Some(quote) = quote
        && let Some(closing) =
            cells[rest..].iter().position(|cell| cell.byte == quote.byte && cell.is_plain())
    {
        let after = cells.get(rest + closing + 1).map(|cell| cell.byte);
        if after.is_none_or(|byte| byte.is_ascii_whitespace() || b",;&)}]".contains(&byte)) {
            return start..rest + closing;
        }
    }
    // An encoded character is part of the value, whatever it is.
    let is_end =
        |cell: &DecodedByte| cell.is_plain() && (cell.byte.is_ascii_whitespace() || cell.byte == b'&');
    start..rest + cells[rest..].iter().take_while(|cell| !is_end(cell)).count()
}

/// The length of the scheme that begins here, if a space follows it.
fn scheme_len(cells: &[DecodedByte]) -> Option<usize> {
    let letters =
        cells.iter().take(SCHEME_BYTES_MAX).take_while(|cell| cell.byte.is_ascii_alphabetic()).count();
    let is_scheme = SCHEMES.iter().any(|name| name.len() == letters && ends_with(&cells[..letters], name));
    let is_followed = cells.get(letters).is_some_and(|cell| is_around(cell.byte));
    (is_scheme && is_followed).then_some(letters)
}

/// The user and the password of a URL whose scheme ends with the colon before these cells (RFC
/// 3986, section 3.2.1).
fn user(cells: &[DecodedByte], at: usize) -> Option<Range<usize>> {
    let [first, second, rest @ ..] = &cells[at..] else { return None };
    if first.byte != b'/' || second.byte != b'/' {
        return None;
    }
    let is_end = |byte: u8| byte.is_ascii_whitespace() || b"/?#\"".contains(&byte);
    let authority = rest.iter().take_while(|cell| !is_end(cell.byte)).count();
    let at_sign = rest[..authority].iter().rposition(|cell| cell.byte == b'@')?;
    Some(at + 2..at + 2 + at_sign)
}
