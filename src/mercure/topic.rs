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

use crate::mercure::names::{ANY, HUB_PATH, HUB_PATH_2019};
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
}

/// The base for relative topics. Any host would do; `.invalid` belongs to no one (RFC 6761).
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

    /// The topic of events about a subscription. Only the hub publishes to it.
    pub fn of_subscription(subscription: &Subscription<'_>) -> Self {
        Self(subscription.topic().into())
    }

    /// The topic as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its path is the hub's, under either name, or lies below it, on any host. The topic
    /// is parsed as a browser would (WHATWG URL: dot segments, `%2e`, backslashes); a relative one
    /// is resolved against the root of a host. Percent-encoded unreserved characters are decoded
    /// (RFC 3986, section 6.2.2.2). A text that is not a URL has no path.
    ///
    /// A text that begins with the hub's path is in the namespace as well, wherever dot segments
    /// lead from there. Selectors are compared with the text, and a selector for the hub's own
    /// events must not match the events of other publishers.
    pub fn in_hub_namespace(&self) -> bool {
        // Most topics are decided without a parser: only an encoded character can hide these words.
        let bytes = self.0.as_bytes();
        let may_be_hidden = memchr::memchr(b'%', bytes).is_some();
        if !may_be_hidden
            && memmem::find(bytes, b"hub").is_none()
            && memmem::find(bytes, b"mercure").is_none()
        {
            return false;
        }
        if is_hub_path(&self.0) {
            return true;
        }
        let Ok(url) = Url::options().base_url(BASE.as_ref()).parse(&self.0) else {
            return false;
        };
        is_hub_path(&decode_unreserved(url.path()))
    }
}

/// Whether a path is the hub's, or begins with it.
fn is_hub_path(path: &str) -> bool {
    let is_below = |rest: &str| rest.is_empty() || rest.starts_with('/');
    [HUB_PATH, HUB_PATH_2019].iter().any(|hub| path.strip_prefix(hub).is_some_and(is_below))
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

    fn in_namespace(text: &str) -> bool {
        Topic::parse(text).expect("a topic").in_hub_namespace()
    }

    #[test]
    fn the_hub_namespace_is_found_under_every_spelling() {
        for text in [
            "/.well-known/mercure",
            "/.well-known/mercure/",
            "/.well-known/mercure/subscriptions/a/b",
            "/.well-known/mercure?topic=a",
            "/.well-known/mercure#a",
            "https://example.com/.well-known/mercure/subscriptions",
            "http://example.com:3000/hub",
            "/hub",
            "/hub/subscriptions",
            "hub",
            ".well-known/mercure",
            "./hub",
            "../hub",
            "/a/../hub",
            "/a/%2e%2e/hub",
            "/a/.%2E/hub",
            "/a/..\\hub",
            "\\hub",
            "/%68ub",
            "/%2ewell%2Dknown/%6dercure/x",
            "/hub/a/..",
            "//example.com/hub",
            "HTTPS://EXAMPLE.COM/hub",
            " /hub ",
            "foo://example.com/a/../hub",
            "foo:/hub",
            "https:/hub",
            "/hub/../a",
            "/.well-known/mercure/subscriptions/../..",
            "/.well-known/mercure/subscriptions/%2e%2e/%2e%2e",
            "/.well-known/mercure/subscriptions/.%2E/../../a",
        ] {
            assert!(in_namespace(text), "{text}");
        }
    }

    #[test]
    fn what_only_resembles_the_hub_is_a_topic_like_any_other() {
        for text in [
            "/hubs",
            "/a/hub",
            "https://example.com/hub/../a",
            "/.well-known/mercurette",
            "/.well-known",
            "/HUB",
            "https://hub/",
            "https://example.com/?path=/hub",
            "https://example.com/#/hub",
            "urn:hub",
            "/%2568ub",
            "/%",
            "hub%",
            "https://[/hub",
            "mercure",
            "/é%C3/hub",
        ] {
            assert!(!in_namespace(text), "{text}");
        }
    }
}
