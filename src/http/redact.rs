//! Request targets for the log: without tokens, and of bounded length.
//!
//! Invariant: a token is not logged, whether it is in its own field (PROTOCOL section 4), in one
//! that other servers use, or in percent-encoded letters.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::limits::LOGGED_TEXT_BYTES_MAX;

/// The replacement for a token.
const MASK: &str = "***";
/// The parameters whose values are tokens: the hub's own, that of the demo, and those that clients
/// of other servers may send.
const SECRET_PARAMETERS: [&str; 6] = ["authorization", "jwt", "token", "access_token", "id_token", "key"];
/// How every JWT begins: `{"` in base64url.
const JWT_START: &str = "eyJ";

/// The path and the query without tokens, cut after [`LOGGED_TEXT_BYTES_MAX`] bytes.
pub fn target(path: &str, query: Option<&str>) -> String {
    let mut text = String::with_capacity(path.len().min(LOGGED_TEXT_BYTES_MAX) + MASK.len());
    for (place, segment) in path.split('/').enumerate() {
        text.push_str(if place > 0 { "/" } else { "" });
        text.push_str(if is_jwt(segment) { MASK } else { segment });
        if text.len() > LOGGED_TEXT_BYTES_MAX {
            return cut(text);
        }
    }
    let parameters = query.into_iter().flat_map(|query| query.split('&'));
    for (place, parameter) in parameters.enumerate() {
        text.push_str(if place > 0 { "&" } else { "?" });
        match parameter.split_once('=') {
            Some((name, value)) if is_secret(name) || is_jwt(value) => {
                text.push_str(name);
                text.push('=');
                text.push_str(MASK);
            }
            None if is_jwt(parameter) => text.push_str(MASK),
            _ => text.push_str(parameter),
        }
        if text.len() > LOGGED_TEXT_BYTES_MAX {
            break;
        }
    }
    cut(text)
}

/// The value of a field for the log: cut like a target, in UTF-8, and without a token.
pub fn field(value: &[u8]) -> String {
    // A character has at most four bytes, so the cut below always finds a boundary.
    let enough = &value[..value.len().min(LOGGED_TEXT_BYTES_MAX + 4)];
    match String::from_utf8_lossy(enough) {
        text if is_jwt(&text) => MASK.to_owned(),
        text => cut(text.into_owned()),
    }
}

fn is_secret(name: &str) -> bool {
    let name = decoded(name);
    SECRET_PARAMETERS.iter().any(|secret| name.trim().eq_ignore_ascii_case(secret))
}

/// Whether a token begins here, with or without the name of its scheme before it.
fn is_jwt(value: &str) -> bool {
    let value = decoded(value);
    value.split(|byte: char| !byte.is_ascii_graphic()).any(|word| word.starts_with(JWT_START))
}

/// The decoded text of a form: percent-encoded, with `+` for a space.
fn decoded(text: &str) -> Cow<'_, str> {
    let spaced: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    match spaced {
        Cow::Borrowed(text) => percent_decode_str(text).decode_utf8_lossy(),
        Cow::Owned(text) => percent_decode_str(&text).decode_utf8_lossy().into_owned().into(),
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LOGGED_TEXT_BYTES_MAX {
        let end = (0..=LOGGED_TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_without_a_token_is_shown_as_it_came() {
        for (path, query, shown) in [
            ("/hub", None, "/hub"),
            ("/hub", Some(""), "/hub?"),
            (
                "/.well-known/mercure",
                Some("topic=a%20b&topic=*&x"),
                "/.well-known/mercure?topic=a%20b&topic=*&x",
            ),
            ("*", None, "*"),
        ] {
            assert_eq!(target(path, query), shown);
        }
    }

    #[test]
    fn a_token_is_not_shown_wherever_a_client_puts_it() {
        for (query, shown) in [
            ("topic=a&authorization=s3cret", "topic=a&authorization=***"),
            ("authorization=s3cret&topic=a", "authorization=***&topic=a"),
            ("Authorization=s3cret", "Authorization=***"),
            ("%61uthorization=s3cret", "%61uthorization=***"),
            ("+authorization=s3cret", "+authorization=***"),
            ("authorization=s3cret=s3cret", "authorization=***"),
            ("access_token=s3cret", "access_token=***"),
            ("jwt=s3cret", "jwt=***"),
            ("other=eyJs3cret.x.y", "other=***"),
            ("other=Bearer%20eyJs3cret.x.y", "other=***"),
            ("other=Bearer+%65yJs3cret.x.y", "other=***"),
            ("eyJs3cret.x.y", "***"),
        ] {
            assert_eq!(target("/hub", Some(query)), format!("/hub?{shown}"));
        }
        assert_eq!(target("/hub/eyJs3cret.x.y/z", None), "/hub/***/z");
    }

    proptest::proptest! {
        /// For any text around it.
        #[test]
        fn a_token_among_other_parameters_is_never_shown(before in "[ -~é%&=+?/]{0,40}", after in "\\PC{0,40}") {
            for parameter in ["authorization=s3cret-s3cret", "x=eyJs3cret.s3cret.s3cret"] {
                let query = format!("{before}&{parameter}&{after}");
                let shown = target("/hub", Some(&query));
                assert!(!shown.contains("s3cret"), "{shown}");
            }
        }
    }

    #[test]
    fn what_is_shown_is_bounded_and_its_end_is_no_part_of_a_token() {
        let long = "é".repeat(LOGGED_TEXT_BYTES_MAX);
        for text in [target(&long, None), target("/", Some(&long)), field(long.as_bytes())] {
            assert!(text.ends_with("é…") && text.len() <= LOGGED_TEXT_BYTES_MAX + 3, "{text}");
        }
        let query = format!("topic={}&authorization=s3cret", "a".repeat(LOGGED_TEXT_BYTES_MAX - 30));
        assert!(!target("/hub", Some(&query)).contains("s3"));
        assert_eq!(field(b"\xffcurl"), "\u{fffd}curl");
        assert_eq!(field(b"curl Bearer eyJs3cret.x.y"), MASK);
    }
}
