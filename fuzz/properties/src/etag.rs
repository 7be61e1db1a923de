//! Entity tags: each event id has a tag of its own, and a list contains exactly the tags that were
//! written into it.

use petasos::http::headers::etag::{entity_tag, is_current};
use petasos::http::request::Lines;

/// The property, for any ids: `bytes` holds one on each line. The first is the resource's, and the
/// last line is also an `If-None-Match` as any client may send it.
///
/// # Panics
/// It does not hold.
pub fn check(bytes: &[u8]) {
    let ids: Vec<String> =
        bytes.split(|byte| *byte == b'\n').map(|id| String::from_utf8_lossy(id).into_owned()).collect();
    let tags: Vec<String> = ids.iter().map(|id| entity_tag(id)).collect();
    for (id, tag) in ids.iter().zip(&tags) {
        let opaque = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).expect("quotes");
        // RFC 9110, section 8.8.3, without the bytes above ASCII.
        assert!(opaque.bytes().all(|byte| byte == b'!' || (b'#'..=b'~').contains(&byte)), "{tag:?}");
        assert_eq!(decoded(opaque), id.as_bytes(), "{tag:?}");
    }
    let Some((own, named)) = tags.split_first() else { return };
    let is_named = named.contains(own);
    let weak = |tag: &String| format!("W/{tag}");
    for list in [named.join(","), named.join(" , "), named.iter().map(weak).collect::<Vec<_>>().join(", ")] {
        assert_eq!(is_in(&[list.as_bytes()], own), is_named, "{own:?} in {list:?}");
        let and_own = format!("{list}{}{own}", if list.is_empty() { "" } else { ", " });
        assert!(is_in(&[and_own.as_bytes()], own), "{own:?} in {and_own:?}");
    }
    let lines: Vec<&[u8]> = named.iter().map(String::as_bytes).collect();
    assert_eq!(is_in(&lines, own), is_named, "{own:?} on a line of {named:?}");
    // Whatever the client sends: a tag is found only if it is there.
    let sent = bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_there = sent.windows(own.len()).any(|window| window == own.as_bytes());
    assert!(!is_in(&[sent], own) || is_there || sent.trim_ascii() == b"*", "{own:?} in {sent:?}");
}

fn is_in(lines: &[&[u8]], tag: &str) -> bool {
    is_current(&Lines::from_iter(lines.iter().copied()), tag)
}

/// The bytes of a percent-encoded text.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16)).expect("a digit");
        decoded.push(if byte == b'%' { (digit() * 16 + digit()) as u8 } else { byte });
    }
    decoded
}
