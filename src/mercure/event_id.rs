//! Event ids: the values of `Last-Event-ID`.
//!
//! An id is stored and compared byte by byte. [`EventId::parse`] checks an id that a publisher
//! chose. The hub generates ids as `urn:uuid:` of version 4, from the caller's random bytes.

use std::fmt;

use crate::limits::EVENT_ID_BYTES_MAX;
use crate::mercure::characters::has_control_or_format;
use crate::mercure::names::EARLIEST;

/// The id of one update (draft-07, section "Publication"). It is not empty, has at most
/// [`EVENT_ID_BYTES_MAX`] bytes and no control character, does not start with `#`, is not
/// `earliest`, and has no space at either end. White space around a header value is not part of it
/// (RFC 9110, section 5.5), so `Last-Event-ID` could never name such an id.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Box<str>);

/// Why a text is not an event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventIdError {
    /// The empty string.
    #[error("it must not be empty")]
    Empty,
    /// Longer than [`EVENT_ID_BYTES_MAX`].
    #[error("it must not be longer than {EVENT_ID_BYTES_MAX} bytes")]
    TooLong,
    /// Holds a control character, which could end the line that carries it.
    #[error("it must not hold a control character")]
    ControlCharacter,
    /// Holds a format character (draft 08).
    #[error("it must not hold a control or format character")]
    FormatCharacter,
    /// Starts or ends with a space, which `Last-Event-ID` would lose.
    #[error("it must neither start nor end with a space")]
    SurroundingSpace,
    /// Starts with `#`, or is `earliest`. The protocol reserves both.
    #[error("it must neither start with \"#\" nor be \"{EARLIEST}\"")]
    Reserved,
}

impl EventId {
    /// Reads an id that a publisher chose.
    ///
    /// # Errors
    /// [`EventIdError`] names the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, EventIdError> {
        if text.is_empty() {
            Err(EventIdError::Empty)
        } else if text.len() > EVENT_ID_BYTES_MAX {
            Err(EventIdError::TooLong)
        } else if text.chars().any(char::is_control) {
            Err(EventIdError::ControlCharacter)
        } else if text.starts_with(' ') || text.ends_with(' ') {
            // A tab is a control character.
            Err(EventIdError::SurroundingSpace)
        } else if text.starts_with('#') || text == EARLIEST {
            Err(EventIdError::Reserved)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// Reads an id by the rules of draft 08, which refuse format characters, too (MERCURE-1.0,
    /// section 4). Only for new updates: an id of the history may have been accepted before.
    ///
    /// # Errors
    /// [`EventIdError`] names the rule that the text breaks.
    pub fn parse_draft08(text: &str) -> Result<Self, EventIdError> {
        let id = Self::parse(text)?;
        if has_control_or_format(text) { Err(EventIdError::FormatCharacter) } else { Ok(id) }
    }

    /// The id that the hub gives to an update without one: `urn:uuid:` and a UUID version 4 (RFC
    /// 9562, section 5.4) made of the caller's random bytes.
    pub fn from_random_bytes(random: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(random).into_uuid().urn().to_string().into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_smuggle_a_line_or_a_reserved_name() {
        for (text, error) in [
            ("", EventIdError::Empty),
            ("a\nb", EventIdError::ControlCharacter),
            ("a\rb", EventIdError::ControlCharacter),
            ("a\0b", EventIdError::ControlCharacter),
            ("#a", EventIdError::Reserved),
            ("earliest", EventIdError::Reserved),
            (" a", EventIdError::SurroundingSpace),
            ("a ", EventIdError::SurroundingSpace),
            (" ", EventIdError::SurroundingSpace),
            ("a\t", EventIdError::ControlCharacter),
        ] {
            assert_eq!(EventId::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(EventId::parse(&"x".repeat(EVENT_ID_BYTES_MAX + 1)), Err(EventIdError::TooLong));
        for text in ["a", "Earliest", "a#", "é", "a b", "\u{a0}a\u{a0}", "urn:uuid:0"] {
            assert_eq!(EventId::parse(text).map(|id| id.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_made_id_is_a_uuid_of_version_4() {
        let id = EventId::from_random_bytes([0xff; 16]);
        assert_eq!(id.as_str(), "urn:uuid:ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
