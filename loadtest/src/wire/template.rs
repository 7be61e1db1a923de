//! Texts with placeholders for a topic, a token or the data, to adapt requests to another server.
//!
//! `{topic}` and the like are placeholders. Any other brace is literal, so a JSON body needs no
//! escaping. An unknown name in braces is an error, because it is probably a typing mistake.

use std::fmt::Write as _;

use super::stamp::PADDING;

/// The value that a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    /// The topic or the selector, percent-encoded.
    Topic,
    /// The same, not encoded.
    TopicRaw,
    /// The data of the update: space for a stamp and its padding.
    Data,
    /// The token.
    Token,
    /// `private=on&` or nothing.
    Private,
    /// The last event id.
    LastEventId,
}

const PLACEHOLDERS: [(&str, Placeholder); 6] = [
    ("topic", Placeholder::Topic),
    ("topic_raw", Placeholder::TopicRaw),
    ("data", Placeholder::Data),
    ("token", Placeholder::Token),
    ("private", Placeholder::Private),
    ("last_event_id", Placeholder::LastEventId),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    Placeholder(Placeholder),
}

/// The values of the placeholders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a> {
    /// The topic of a publication, or the selector of a subscription.
    pub(crate) topic: &'a str,
    /// The token; `None` if anonymous.
    pub(crate) token: Option<&'a str>,
    /// Whether the update is private.
    pub(crate) private: bool,
    /// The last event id; empty if none.
    pub(crate) last_event_id: &'a [u8],
    /// The length of the data.
    pub(crate) data_bytes: usize,
}

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<TemplatePart>,
}

/// The result of rendering a template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// The offset of the data, if it has a placeholder here.
    pub(crate) data_at: Option<usize>,
    /// A placeholder had no value: no token, or no last event id.
    pub(crate) lacks: bool,
}

/// Why a text is no template.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("{{{0}}} is no place of a template; there are {known}", known = known_placeholders())]
    Placeholder(String),
    #[error("{0:?}: a request line or header must not hold control characters")]
    Control(String),
}

impl Template {
    /// Reads a text with placeholders.
    ///
    /// # Errors
    /// A name in braces that is no placeholder.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            plain.push_str(&rest[..open]);
            let inside = &rest[open + 1..];
            let name_bytes = inside
                .find(|letter: char| !letter.is_ascii_lowercase() && letter != '_')
                .unwrap_or(inside.len());
            if name_bytes == 0 || !inside[name_bytes..].starts_with('}') {
                plain.push('{');
                rest = inside;
                continue;
            }
            let name = &inside[..name_bytes];
            let (_, placeholder) = PLACEHOLDERS
                .iter()
                .find(|(known, _)| *known == name)
                .ok_or_else(|| TemplateError::Placeholder(name.to_owned()))?;
            if !plain.is_empty() {
                parts.push(TemplatePart::Text(std::mem::take(&mut plain)));
            }
            parts.push(TemplatePart::Placeholder(*placeholder));
            rest = &inside[name_bytes + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(TemplatePart::Text(plain));
        }
        Ok(Self { parts })
    }

    /// Reads a part of a request head, which must not contain a line end.
    ///
    /// # Errors
    /// As [`Self::parse`], and a control character.
    pub(crate) fn parse_line(text: &str) -> Result<Self, TemplateError> {
        if text.chars().any(char::is_control) {
            return Err(TemplateError::Control(text.to_owned()));
        }
        Self::parse(text)
    }

    /// The number of placeholders for the data.
    pub(crate) fn data_placeholders(&self) -> usize {
        self.parts.iter().filter(|part| **part == TemplatePart::Placeholder(Placeholder::Data)).count()
    }

    /// The text with its placeholders replaced.
    pub(crate) fn render(&self, values: &Values<'_>) -> Rendered {
        let mut out = Rendered::default();
        for part in &self.parts {
            match part {
                TemplatePart::Text(text) => out.bytes.extend_from_slice(text.as_bytes()),
                TemplatePart::Placeholder(Placeholder::Topic) => {
                    out.bytes.extend_from_slice(encode(values.topic).as_bytes());
                }
                TemplatePart::Placeholder(Placeholder::TopicRaw) => {
                    out.bytes.extend_from_slice(values.topic.as_bytes());
                }
                TemplatePart::Placeholder(Placeholder::Data) => {
                    out.data_at = Some(out.bytes.len());
                    out.bytes.resize(out.bytes.len() + values.data_bytes, PADDING);
                }
                TemplatePart::Placeholder(Placeholder::Token) => match values.token {
                    Some(token) => out.bytes.extend_from_slice(token.as_bytes()),
                    None => out.lacks = true,
                },
                TemplatePart::Placeholder(Placeholder::Private) if values.private => {
                    out.bytes.extend_from_slice(b"private=on&");
                }
                TemplatePart::Placeholder(Placeholder::Private) => {}
                TemplatePart::Placeholder(Placeholder::LastEventId) => {
                    out.lacks |= values.last_event_id.is_empty();
                    out.bytes.extend_from_slice(values.last_event_id);
                }
            }
        }
        out
    }
}

fn known_placeholders() -> String {
    let known: Vec<String> = PLACEHOLDERS.iter().map(|(known, _)| format!("{{{known}}}")).collect();
    known.join(", ")
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3).
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Values<'_> =
        Values { topic: "http://a/ü", token: Some("t"), private: false, last_event_id: b"7", data_bytes: 3 };

    fn render(text: &str, values: &Values<'_>) -> Rendered {
        Template::parse(text).expect("valid").render(values)
    }

    #[test]
    fn braces_that_name_no_placeholder_are_themselves() {
        let rendered = render(r#"{"channel":"{topic_raw}","data":"{data}","x":{}}"#, &VALUES);
        let text = r#"{"channel":"http://a/ü","data":"xxx","x":{}}"#;
        assert_eq!(String::from_utf8(rendered.bytes), Ok(text.to_owned()));
        assert_eq!(rendered.data_at, text.find("xxx"));
    }

    #[test]
    fn a_slip_in_a_name_is_told() {
        assert!(Template::parse("/{topik}").expect_err("a slip").to_string().contains("{topic}"));
        assert!(Template::parse("/{").is_ok() && Template::parse("{}").is_ok());
        assert!(Template::parse_line("a\r\nb").is_err());
    }

    #[test]
    fn a_placeholder_without_value_is_noticed() {
        assert!(!render("{token}{last_event_id}{private}", &VALUES).lacks);
        assert!(render("{token}", &Values { token: None, ..VALUES }).lacks);
        assert!(render("{last_event_id}", &Values { last_event_id: b"", ..VALUES }).lacks);
        assert_eq!(render("{private}", &Values { private: true, ..VALUES }).bytes, b"private=on&");
    }

    #[test]
    fn a_topic_is_escaped_as_a_whole() {
        let values = Values { topic: "http://a/{b}?c=ü&d+e", ..VALUES };
        assert_eq!(render("?t={topic}", &values).bytes, b"?t=http%3A%2F%2Fa%2F%7Bb%7D%3Fc%3D%C3%BC%26d%2Be");
    }
}
