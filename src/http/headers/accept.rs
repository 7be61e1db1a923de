//! Whether a client accepts a media type: `Accept` (RFC 9110, section 12.5.1).

use crate::http::headers::accept_encoding::{Quality, parse_quality};
use crate::http::request::Lines;

/// Whether a field allows `type/subtype`. Of the ranges that match, the most specific decides; of
/// two alike, the higher quality. A field that is absent or has no readable range states no
/// preference.
///
/// The parameters of a range other than `q` are ignored: the hub has one form of each media type.
pub fn accepts(accept: &Lines<'_>, main: &str, sub: &str) -> bool {
    let mut has_range = false;
    let mut best: Option<(u8, Quality)> = None;
    for part in accept.iter().flat_map(|line| line.split(|byte| *byte == b',')) {
        let Some((range_main, range_sub, quality)) = parse_range(part) else { continue };
        has_range = true;
        let is = |range: &[u8], text: &str| range.eq_ignore_ascii_case(text.as_bytes());
        let specificity = match (range_main, range_sub) {
            (b"*", b"*") => 0,
            (range_main, b"*") if is(range_main, main) => 1,
            (range_main, range_sub) if is(range_main, main) && is(range_sub, sub) => 2,
            _ => continue,
        };
        best = best.max(Some((specificity, quality)));
    }
    best.map_or(!has_range, |(_, quality)| quality > 0)
}

/// The two names of a range and its quality. A range with an unreadable quality is unreadable.
fn parse_range(part: &[u8]) -> Option<(&[u8], &[u8], Quality)> {
    let mut parameters = part.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let range = parameters.next()?;
    let slash = range.iter().position(|byte| *byte == b'/')?;
    let (main, sub) = (&range[..slash], &range[slash + 1..]);
    let is_token = |text: &[u8]| !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte));
    if !is_token(main) || !is_token(sub) || (main == b"*" && sub != b"*") {
        return None;
    }
    let mut weights = parameters.filter_map(|it| it.strip_prefix(b"q=").or_else(|| it.strip_prefix(b"Q=")));
    let quality = weights.next().map_or(Some(1_000), parse_quality)?;
    Some((main, sub, quality))
}

/// RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts_stream(lines: &[&str]) -> bool {
        let lines: Lines<'_> = lines.iter().map(|line| line.as_bytes()).collect();
        accepts(&lines, "text", "event-stream")
    }

    /// Test 43 of MERCURE-1.0, section 13.
    #[test]
    fn the_most_specific_range_decides() {
        for (line, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream", true),
            ("*/*", true),
            ("text/*", true),
            ("application/json", false),
            ("text/event-stream;q=0", false),
            ("text/event-stream; Q=0.000", false),
            ("text/event-stream;q=0.001", true),
            ("text/event-stream;q=0, */*", false),
            ("*/*, text/*;q=0", false),
            ("*/*;q=0, text/*", true),
            ("text/*;q=0, text/event-stream;q=0.1", true),
            ("*/*;q=0", false),
            ("text/event-stream;charset=utf-8", true),
            ("text/event-stream;charset=utf-8;q=0", false),
            ("text/html, application/json;q=0.9", false),
            ("text/event-streams", false),
            // Nothing readable: no preference.
            ("", true),
            (",,", true),
            ("text", true),
            ("/", true),
            ("*/event-stream", true),
            ("text/event-stream;q=2", true),
            ("text/ event-stream", true),
            // The readable part counts.
            ("application/json, text", false),
        ] {
            assert_eq!(accepts_stream(&[line]), expected, "{line:?}");
        }
        assert!(accepts_stream(&[]));
        assert!(accepts_stream(&["application/json", "*/*;q=0.1"]), "several lines are one list");
    }
}
