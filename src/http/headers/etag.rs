//! Entity tags from event ids (RFC 9110, sections 8.8.3 and 13.1.2).

use std::fmt::Write as _;

use crate::http::request::Lines;

/// The entity tag of a resource that changes with this event id: the quoted id. `%` and the
/// characters that a tag cannot hold are percent-encoded, so that two ids never share a tag.
pub fn entity_tag(id: &str) -> String {
    let mut tag = String::with_capacity(id.len() + 2);
    tag.push('"');
    for byte in id.bytes() {
        match byte {
            b'!' | b'#' | b'$' | b'&'..=b'~' => tag.push(char::from(byte)),
            _ => {
                // Writing to a `String` cannot fail.
                let _ = write!(tag, "%{byte:02X}");
            }
        }
    }
    tag.push('"');
    tag
}

/// Whether `If-None-Match` contains this tag, compared weakly, or is `*`. A malformed list contains
/// no tag.
pub fn is_current(if_none_match: &Lines<'_>, tag: &str) -> bool {
    if_none_match.iter().any(|line| {
        let mut rest = line.trim_ascii();
        if rest == b"*" {
            return true;
        }
        while let Some((named, after)) = next_tag(rest) {
            if named == tag.as_bytes() {
                return true;
            }
            rest = after;
        }
        false
    })
}

/// The first tag of a list, without its `W/`, and the rest of the list.
fn next_tag(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let list = list.trim_ascii_start();
    let list = list.strip_prefix(b"W/").unwrap_or(list);
    let end = 1 + memchr::memchr(b'"', list.strip_prefix(b"\"")?)?;
    let (tag, after) = list.split_at(end + 1);
    let after = after.trim_ascii_start();
    Some((tag, after.strip_prefix(b",").unwrap_or(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_becomes_a_tag_of_its_own() {
        for (id, tag) in [
            (
                "urn:uuid:00000000-0000-4000-8000-000000000000",
                "\"urn:uuid:00000000-0000-4000-8000-000000000000\"",
            ),
            ("earliest", "\"earliest\""),
            ("a b", "\"a%20b\""),
            ("a%20b", "\"a%2520b\""),
            ("\"", "\"%22\""),
            ("é", "\"%C3%A9\""),
            ("a,b~!#$&", "\"a,b~!#$&\""),
        ] {
            assert_eq!(entity_tag(id), tag);
        }
    }

    #[test]
    fn a_tag_is_found_in_a_list() {
        for (lines, expected) in [
            (&["\"a\""][..], true),
            (&["W/\"a\""], true),
            (&["*"], true),
            (&["\"b\", \"a\""], true),
            (&["\"b\" ,W/\"a\",\"c\""], true),
            (&["\"b\"", "\"a\""], true),
            (&["\"b,\\\", \"a\""], true),
            (&[], false),
            (&[""], false),
            (&["a"], false),
            (&["\"A\""], false),
            (&["\"a"], false),
            (&["\"b\", *"], false),
            (&["\"\"a\"\""], false),
        ] {
            let fields: Lines<'_> = lines.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(is_current(&fields, "\"a\""), expected, "{lines:?}");
        }
    }
}
