//! The characters that names of the protocol may hold: topics, matchers, event ids and event types
//! (MERCURE-1.0, section 1, "character constraint").

/// The characters of general category `Cf` (format) in Unicode 17.0. The table is pinned: what a
/// hub accepts must not change with a library.
const FORMAT: [(char, char); 21] = [
    ('\u{00AD}', '\u{00AD}'),
    ('\u{0600}', '\u{0605}'),
    ('\u{061C}', '\u{061C}'),
    ('\u{06DD}', '\u{06DD}'),
    ('\u{070F}', '\u{070F}'),
    ('\u{0890}', '\u{0891}'),
    ('\u{08E2}', '\u{08E2}'),
    ('\u{180E}', '\u{180E}'),
    ('\u{200B}', '\u{200F}'),
    ('\u{202A}', '\u{202E}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206F}'),
    ('\u{FEFF}', '\u{FEFF}'),
    ('\u{FFF9}', '\u{FFFB}'),
    ('\u{110BD}', '\u{110BD}'),
    ('\u{110CD}', '\u{110CD}'),
    ('\u{13430}', '\u{1343F}'),
    ('\u{1BCA0}', '\u{1BCA3}'),
    ('\u{1D173}', '\u{1D17A}'),
    ('\u{E0001}', '\u{E0001}'),
    ('\u{E0020}', '\u{E007F}'),
];

/// Whether a text holds a control character (C0, DEL, C1). Drafts 04 and 07 refuse these alone.
pub fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// Whether a text holds a control character or one of category `Cf`, such as those that change the
/// direction of writing or have no width. Draft 08 refuses both.
pub fn has_control_or_format(text: &str) -> bool {
    text.chars().any(|character| character.is_control() || is_format(character))
}

fn is_format(character: char) -> bool {
    // Nearly all texts are ASCII, which has none of them.
    if character.is_ascii() {
        return false;
    }
    let at = FORMAT.partition_point(|(_, last)| *last < character);
    FORMAT.get(at).is_some_and(|(first, _)| *first <= character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_has_the_count_of_unicode_17() {
        assert!(FORMAT.iter().all(|(first, last)| first <= last));
        assert!(FORMAT.windows(2).all(|pair| pair[0].1 < pair[1].0));
        let count: u32 = FORMAT.iter().map(|(first, last)| *last as u32 - *first as u32 + 1).sum();
        assert_eq!(count, 170);
    }

    #[test]
    fn control_and_format_characters_are_found() {
        for character in ['\0', '\n', '\u{7f}', '\u{85}'] {
            assert!(has_control(&format!("a{character}b")), "{character:?}");
            assert!(has_control_or_format(&format!("a{character}b")), "{character:?}");
        }
        for character in ['\u{ad}', '\u{200b}', '\u{200d}', '\u{202e}', '\u{feff}', '\u{e0001}', '\u{e0041}']
        {
            assert!(!has_control(&format!("a{character}b")), "{character:?}");
            assert!(has_control_or_format(&format!("a{character}b")), "{character:?}");
        }
        for text in ["", "a b", "é", "日本", "\u{1f600}", "\u{e0100}"] {
            assert!(!has_control_or_format(text), "{text:?}");
        }
    }
}
