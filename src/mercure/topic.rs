//! Topics: what an update is about.
//!
//! A topic is any string allowed by PROTOCOL section 3, preferably an IRI. Topics are compared byte
//! by byte. Only for the hub's own namespace is a topic read as a URL, so that no other spelling
//! gets around the check.

use std::fmt;
use std::sync::LazyLock;

use memchr::memmem;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::mercure::characters::has_control_or_format;
use crate::mercure::names::{ANY, HUB_PATH};
use crate::mercure::public_url::PublicUrl;
use crate::mercure::subscription::Subscription;

/// One topic of an update: not empty, not exactly `*`, no control character.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Topic(Box<str>);

/// Why a text is not a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The empty string.
    #[error("it must not be empty")]
    Empty,
    /// `*`, the selector of every topic.
    #[error("it must not be \"{ANY}\"")]
    Any,
    /// Holds a control character.
    #[error("it must not hold a control character")]
    ControlCharacter,
    /// Holds a format character (draft 08).
    #[error("it must not hold a control or format character")]
    FormatCharacter,
}

/// The base for relative topics without draft 08. Any host would do; `.invalid` belongs to no one
/// (RFC 6761).
static BASE: LazyLock<Option<Url>> = LazyLock::new(|| Url::parse("https://petasos.invalid/").ok());

impl Topic {
    /// Reads a topic (PROTOCOL section 3).
    ///
    /// # Errors
    /// [`TopicError`] names the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        if text.is_empty() {
            Err(TopicError::Empty)
        } else if text == ANY {
            Err(TopicError::Any)
        } else if text.chars().any(char::is_control) {
            Err(TopicError::ControlCharacter)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// Reads a topic by the rules of draft 08, which refuse format characters, too (MERCURE-1.0,
    /// section 4).
    ///
    /// # Errors
    /// [`TopicError`] names the rule that the text breaks.
    pub fn parse_draft08(text: &str) -> Result<Self, TopicError> {
        let topic = Self::parse(text)?;
        if has_control_or_format(text) { Err(TopicError::FormatCharacter) } else { Ok(topic) }
    }

    /// The topic of events about a subscription. Only the hub publishes to it.
    pub fn of_subscription(subscription: &Subscription<'_>) -> Self {
        Self(subscription.topic().into())
    }

    /// The topic as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its path is the hub's, or lies below it, on any host. The topic is parsed as a
    /// browser would (WHATWG URL: dot segments, `%2e`, backslashes). A relative one is resolved
    /// against the hub's URL, as draft 08 asks (MERCURE-1.0, section 4.1); on a hub without draft
    /// 08 (`None`), against the root of a host. Percent-encoded unreserved characters are decoded
    /// (RFC 3986, section 6.2.2.2). A text that is not a URL has no path.
    ///
    /// A text that begins with the hub's path is in the namespace as well, wherever dot segments
    /// lead from there. Selectors are compared with the text, and a selector for the hub's own
    /// events must not match the events of other publishers.
    ///
    /// `/hub` is only an address of a hub: topics at or below it belong to the application.
    pub fn in_hub_namespace(&self, hub: Option<&PublicUrl>) -> bool {
        // Most topics are decided without a parser: only an encoded character can hide the word.
        let has = |bytes: &[u8]| memmem::find(self.0.as_bytes(), bytes).is_some();
        let takes_path_of_base = hub.is_some() && !has_own_path(&self.0);
        if !takes_path_of_base && !has(b"%") && !has(b"mercure") {
            return false;
        }
        if is_hub_path(&self.0) {
            return true;
        }
        let base = hub.map(PublicUrl::url).or(BASE.as_ref());
        let Ok(url) = Url::options().base_url(base).parse(&self.0) else {
            return false;
        };
        is_hub_path(&decode_unreserved(url.path()))
    }
}

/// Whether a text surely has a path of its own, so that no part of it comes from a base URL: it
/// begins with a slash, or with a scheme and an authority. `?a` and `https:?a` have none.
fn has_own_path(text: &str) -> bool {
    let is_scheme = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.starts_with('/') || text.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme))
}

/// Whether a path is the hub's, or begins with it.
fn is_hub_path(path: &str) -> bool {
    path.strip_prefix(HUB_PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Decodes characters that never need encoding. Other triplets, such as an encoded slash, stay.
fn decode_unreserved(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let triplet = rest.get(at..at + 3).unwrap_or(&rest[at..]);
        match percent_decode_str(triplet).next() {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                decoded.push(char::from(byte));
            }
            _ => decoded.push_str(triplet),
        }
        rest = &rest[at + triplet.len()..];
    }
    decoded.push_str(rest);
    decoded
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_any_text_but_the_forbidden_ones() {
        for (text, error) in [
            ("", TopicError::Empty),
            ("*", TopicError::Any),
            ("a\nb", TopicError::ControlCharacter),
            ("\u{85}", TopicError::ControlCharacter),
            ("\0", TopicError::ControlCharacter),
        ] {
            assert_eq!(Topic::parse(text), Err(error), "{text:?}");
        }
        for text in ["**", "é", " ", "https://example.com/books/1", "{", "urn:x"] {
            assert_eq!(Topic::parse(text).map(|topic| topic.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn draft_08_refuses_format_characters_as_well() {
        for text in ["a\u{200d}b", "\u{ad}", "a\u{feff}"] {
            assert!(Topic::parse(text).is_ok(), "{text:?}");
            assert_eq!(Topic::parse_draft08(text), Err(TopicError::FormatCharacter), "{text:?}");
        }
        assert_eq!(Topic::parse_draft08("*"), Err(TopicError::Any));
        assert!(Topic::parse_draft08("é").is_ok());
    }

    /// Whether a topic is reserved on a hub without draft 08, and on one with it.
    fn in_namespace(text: &str) -> [bool; 2] {
        let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a URL");
        let topic = Topic::parse(text).expect("a topic");
        [None, Some(&hub)].map(|hub| topic.in_hub_namespace(hub))
    }

    /// Test 53 of MERCURE-1.0, section 13.
    #[test]
    fn the_hub_namespace_is_found_under_every_spelling() {
        for text in [
            "/.well-known/mercure",
            "/.well-known/mercure/",
            "/.well-known/mercure/subscriptions/a/b",
            "/.well-known/mercure?topic=a",
            "/.well-known/mercure#a",
            "https://example.com/.well-known/mercure/subscriptions",
            "http://example.com:3000/.well-known/mercure",
            "../.well-known/mercure",
            "/a/../.well-known/mercure",
            "/.well-known/x/../mercure/y",
            "/a/%2e%2e/.well-known/mercure",
            "/a/.%2E/.well-known/mercure",
            "/a/..\\.well-known/mercure",
            "\\.well-known\\mercure",
            "/.well-known/%6Dercure/x",
            "/%2ewell%2Dknown/%6dercure/x",
            "/.well-known/mercure/a/..",
            "//example.com/.well-known/mercure",
            "HTTPS://EXAMPLE.COM/.well-known/mercure",
            " /.well-known/mercure ",
            "foo://example.com/a/../.well-known/mercure",
            "foo:/.well-known/mercure",
            "https:/.well-known/mercure",
            "/.well-known/mercure/../a",
            "/.well-known/mercure/subscriptions/../..",
            "/.well-known/mercure/subscriptions/%2e%2e/%2e%2e",
            "/.well-known/mercure/subscriptions/.%2E/../../a",
        ] {
            assert_eq!(in_namespace(text), [true, true], "{text}");
        }
    }

    /// A relative topic of draft 08 is resolved against the hub's URL, whose last segment it
    /// replaces, or keeps if it has no path at all.
    #[test]
    fn a_relative_topic_of_draft_08_is_below_the_directory_of_the_hub() {
        for text in
            ["mercure", "./mercure/x", "%6dercure", "?a", "#a", " ", " ?a", "https:mercure", "https:?a"]
        {
            assert_eq!(in_namespace(text), [false, true], "{text:?}");
        }
        for text in [".well-known/mercure", "./.well-known/mercure"] {
            assert_eq!(in_namespace(text), [true, false], "{text:?}");
        }
    }

    /// Test 54 of MERCURE-1.0, section 13, and trap 11: `/hub` is only an address.
    #[test]
    fn what_only_resembles_the_hub_is_a_topic_like_any_other() {
        for text in [
            "/hub",
            "hub",
            "/hub/subscriptions",
            "https://x/hub",
            "https://shop.example/hub?x=1",
            "/%68ub",
            "/a/.well-known/mercure",
            "https://example.com/a/.well-known/mercure",
            "/.well-known/mercurette",
            "/.well-known",
            "/.WELL-KNOWN/MERCURE",
            "https://example.com/?path=/.well-known/mercure",
            "https://example.com/#/.well-known/mercure",
            "urn:mercure",
            "urn:x?a",
            "https://e.x?a",
            "/%256Dercure",
            "/%",
            "mercurette%",
            "https://[/.well-known/mercure",
            "/é%C3/mercure",
            "foo",
        ] {
            assert_eq!(in_namespace(text), [false, false], "{text}");
        }
    }
}
