//! The header field `Link` (RFC 8288) that names the hub of a resource (MERCURE-1.0, sections 6.2
//! and 6.3).
//!
//! An attribute is a quoted string. A value that such a string cannot hold, because it has a
//! character beyond ASCII, is sent in the form of RFC 8187 alone, under the name with `*`.

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::mercure::public_url::PublicUrl;

/// Every byte but `attr-char` (RFC 8187, section 3.2.1).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// What is known about a resource that has updates.
#[derive(Clone, Copy, Debug)]
pub struct HubLink<'a> {
    /// The hub.
    pub hub: &'a PublicUrl,
    /// The id of the newest update that the resource includes.
    pub last_event_id: &'a str,
    /// The SSE event type of its updates.
    pub event_type: &'a str,
    /// The media type of its updates.
    pub content_type: &'a str,
}

impl HubLink<'_> {
    /// The value of the header field. `None` if a text holds a control character, which no event id
    /// and no URL does.
    pub fn value(&self) -> Option<HeaderValue> {
        let mut value = format!("<{}>; rel=\"mercure\"", self.hub);
        push_attribute(&mut value, "last-event-id", self.last_event_id);
        push_attribute(&mut value, "type", self.event_type);
        push_attribute(&mut value, "content-type", self.content_type);
        HeaderValue::try_from(value).ok()
    }
}

fn push_attribute(value: &mut String, name: &str, text: &str) {
    value.push_str("; ");
    value.push_str(name);
    if !text.is_ascii() {
        value.push_str("*=UTF-8''");
        value.extend(utf8_percent_encode(text, ENCODED));
        return;
    }
    value.push_str("=\"");
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            value.push('\\');
        }
        value.push(character);
    }
    value.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(last_event_id: &str) -> Option<String> {
        let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a URL");
        let link =
            HubLink { hub: &hub, last_event_id, event_type: "mercure", content_type: "application/json" };
        link.value().map(|value| value.to_str().expect("ASCII").to_owned())
    }

    /// Trap 20 of MERCURE-1.0, section 9.
    #[test]
    fn every_event_id_can_be_read_back() {
        for (id, attribute) in [
            ("earliest", "last-event-id=\"earliest\""),
            ("urn:uuid:1", "last-event-id=\"urn:uuid:1\""),
            ("a \"b\" \\c", "last-event-id=\"a \\\"b\\\" \\\\c\""),
            ("a;b,<c>", "last-event-id=\"a;b,<c>\""),
            ("é\"1", "last-event-id*=UTF-8''%C3%A9%221"),
            ("a b'*%é!#$&+-.^_`|~", "last-event-id*=UTF-8''a%20b%27%2A%25%C3%A9!#$&+-.^_`|~"),
        ] {
            let expected = format!(
                "<https://hub.e.x/.well-known/mercure>; rel=\"mercure\"; {attribute}; type=\"mercure\"; \
                 content-type=\"application/json\""
            );
            assert_eq!(value(id), Some(expected), "{id}");
        }
        assert_eq!(value("a\nb"), None);
    }
}
