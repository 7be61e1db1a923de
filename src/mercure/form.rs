//! `application/x-www-form-urlencoded`, strictly and within bounds: queries and publication bodies.
//!
//! The WHATWG decoder repairs invalid input. This one refuses it, because a silently changed topic
//! would reach other subscribers than the publisher meant. Invariants: a field is borrowed unless
//! it holds an escape; at most [`FORM_FIELDS_MAX`] fields are yielded; nothing follows an error.

use std::borrow::Cow;
use std::iter::FusedIterator;

use crate::limits::FORM_FIELDS_MAX;

/// One field: its name and its value, both decoded.
pub type Field<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Why a form cannot be read. The texts may be shown to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A `%` that is not followed by two hexadecimal digits.
    #[error("Malformed percent-encoding.")]
    Escape,
    /// A decoded name or value is not UTF-8.
    #[error("Names and values must be valid UTF-8.")]
    Utf8,
    /// More than [`FORM_FIELDS_MAX`] fields.
    #[error("More than {FORM_FIELDS_MAX} fields.")]
    TooManyFields,
}

/// The fields of a form, in order. See [`fields`].
#[derive(Clone, Debug)]
pub struct FormFields<'a> {
    rest: &'a [u8],
    fields_left: usize,
}

/// Reads `input` as `application/x-www-form-urlencoded` (WHATWG URL, section 5.1). Fields are
/// separated by `&`, name and value by the first `=`; `+` is a space, and `%XX` is a byte. Empty
/// pairs (`a=1&&b=2`) are skipped; a pair without `=` is a name with an empty value.
///
/// The iterator yields a [`FormError`] at the first field that breaks a rule, and then ends.
pub fn fields(input: &[u8]) -> FormFields<'_> {
    FormFields { rest: input, fields_left: FORM_FIELDS_MAX }
}

impl<'a> Iterator for FormFields<'a> {
    type Item = Result<Field<'a>, FormError>;

    fn next(&mut self) -> Option<Self::Item> {
        let pair = self.next_pair()?;
        let field = match self.fields_left.checked_sub(1) {
            None => Err(FormError::TooManyFields),
            Some(left) => {
                self.fields_left = left;
                decode_field(pair)
            }
        };
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl FusedIterator for FormFields<'_> {}

impl<'a> FormFields<'a> {
    /// The next non-empty pair between two `&`.
    fn next_pair(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (pair, rest) = match memchr::memchr(b'&', self.rest) {
                Some(at) => (&self.rest[..at], &self.rest[at + 1..]),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            if !pair.is_empty() {
                return Some(pair);
            }
        }
        None
    }
}

fn decode_field(pair: &[u8]) -> Result<Field<'_>, FormError> {
    let (name, value) = match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &[][..]),
    };
    Ok((decode(name)?, decode(value)?))
}

fn decode(encoded: &[u8]) -> Result<Cow<'_, str>, FormError> {
    let Some(mut escape_at) = memchr::memchr2(b'+', b'%', encoded) else {
        return std::str::from_utf8(encoded).map(Cow::Borrowed).map_err(|_| FormError::Utf8);
    };
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    loop {
        decoded.extend_from_slice(&rest[..escape_at]);
        if rest[escape_at] == b'+' {
            decoded.push(b' ');
            rest = &rest[escape_at + 1..];
        } else {
            let [_, high, low, ..] = rest[escape_at..] else { return Err(FormError::Escape) };
            decoded.push(hex_digit(high)? << 4 | hex_digit(low)?);
            rest = &rest[escape_at + 3..];
        }
        match memchr::memchr2(b'+', b'%', rest) {
            Some(at) => escape_at = at,
            None => break,
        }
    }
    decoded.extend_from_slice(rest);
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| FormError::Utf8)
}

fn hex_digit(digit: u8) -> Result<u8, FormError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(FormError::Escape),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(input: &str) -> Result<Vec<(String, String)>, FormError> {
        fields(input.as_bytes())
            .map(|field| field.map(|(name, value)| (name.into_owned(), value.into_owned())))
            .collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn fields_are_split_and_decoded() {
        for (input, expected) in [
            ("", &[][..]),
            ("&&&", &[]),
            ("a=1", &[("a", "1")]),
            ("a=1&&b=2&", &[("a", "1"), ("b", "2")]),
            ("a", &[("a", "")]),
            ("a=", &[("a", "")]),
            ("=v", &[("", "v")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a+b=c+d", &[("a b", "c d")]),
            ("a=%2B%26%3D%25", &[("a", "+&=%")]),
            ("a=%c3%A9", &[("a", "é")]),
            ("a=é", &[("a", "é")]),
            ("a=%00%0d%0A", &[("a", "\0\r\n")]),
            ("a=1&a=2", &[("a", "1"), ("a", "2")]),
            ("a=x;b=y", &[("a", "x;b=y")]),
        ] {
            assert_eq!(read(input), Ok(pairs(expected)), "{input:?}");
        }
    }

    #[test]
    fn a_malformed_escape_is_refused_not_kept() {
        for input in ["a=%", "a=%4", "a=%zz", "a=%4g", "%=a", "a=%%41", "a=1&b=%+1", "a=%-1"] {
            assert_eq!(read(input), Err(FormError::Escape), "{input:?}");
        }
    }

    #[test]
    fn invalid_utf8_is_refused_not_replaced() {
        for input in ["a=%ff", "%c3=a", "a=%ed%a0%80", "a=%c0%80", "a=%f4%90%80%80"] {
            assert_eq!(read(input), Err(FormError::Utf8), "{input:?}");
        }
        let raw: Vec<_> = fields(b"a=\xff&b=1").collect();
        assert_eq!(raw, [Err(FormError::Utf8)], "nothing follows an error");
    }

    #[test]
    fn the_number_of_fields_is_bounded() {
        let most = "a&".repeat(FORM_FIELDS_MAX);
        assert_eq!(read(&most).map(|fields| fields.len()), Ok(FORM_FIELDS_MAX));
        assert_eq!(read(&(most + "a")), Err(FormError::TooManyFields));
    }

    #[test]
    fn what_is_not_escaped_is_not_copied() {
        let all: Vec<_> = fields(b"topic=https://example.com/1&data=a+b").collect();
        assert!(matches!(&all[0], Ok((Cow::Borrowed("topic"), Cow::Borrowed("https://example.com/1")))));
        assert!(matches!(&all[1], Ok((Cow::Borrowed("data"), Cow::Owned(value))) if value == "a b"));
    }

    proptest! {
        #[test]
        fn an_encoded_form_reads_back(pairs in prop::collection::vec((".{0,8}", ".{0,16}"), 0..8)) {
            let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            prop_assert_eq!(read(&form), Ok(pairs));
        }

        #[test]
        fn a_form_is_read_as_whatwg_does_or_refused(input in "[a-c=&+%0-9é]{0,24}") {
            if let Ok(pairs) = read(&input) {
                let expected: Vec<_> = url::form_urlencoded::parse(input.as_bytes()).into_owned().collect();
                prop_assert_eq!(pairs, expected);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = fields(&input).count();
        }
    }
}
