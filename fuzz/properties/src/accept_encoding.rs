//! `Accept-Encoding`: the coding that is chosen, against a slow and plain definition.

use petasos::http::headers::accept_encoding::Negotiated;
use petasos::http::request::Lines;
use petasos::sse::coding::Coding;

/// The property, for any lines of the field: `bytes` holds one on each line.
///
/// # Panics
/// It does not hold.
pub fn check(bytes: &[u8]) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let negotiated = Negotiated::new(&Lines::from_iter(lines.iter().copied()));
    assert_eq!(negotiated.coding, chosen(&lines));
    assert!(negotiated.varies);
}

/// RFC 9110, section 12.5.3, with the preferences of the hub.
fn chosen(lines: &[&[u8]]) -> Option<Coding> {
    let text = lines.iter().map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>().join(",");
    let elements: Vec<(String, u32)> = text.split(',').filter_map(element).collect();
    // Of several qualities for one coding, the best counts.
    let quality = |names: &[&str]| {
        elements.iter().filter(|(name, _)| names.contains(&name.as_str())).map(|(_, quality)| *quality).max()
    };
    let any = quality(&["*"]);
    let gzip = quality(&["gzip", "x-gzip"]);
    // A client that sends `*` may know no zstd: that is assumed only if it refuses gzip.
    let zstd = quality(&["zstd"]).or(any.filter(|_| gzip == Some(0)));
    let ranked = [
        (quality(&["identity"]).unwrap_or(0), 0, None),
        (gzip.or(any).unwrap_or(0), 1, Some(Coding::Gzip)),
        (zstd.unwrap_or(0), 2, Some(Coding::Zstd)),
    ];
    let acceptable = ranked.into_iter().filter(|(quality, _, coding)| coding.is_none() || *quality > 0);
    acceptable.max_by_key(|(quality, rank, _)| (*quality, *rank)).and_then(|(_, _, coding)| coding)
}

/// A coding in lower case and its quality in thousandths, if the element can be read.
fn element(text: &str) -> Option<(String, u32)> {
    let trim = |text: &str| text.trim_matches([' ', '\t', '\r', '\n', '\u{c}']).to_ascii_lowercase();
    let (name, quality) = match text.split_once(';') {
        None => (trim(text), 1_000),
        Some((name, weight)) => {
            let weight = trim(weight);
            let digits = weight.strip_prefix("q=")?;
            let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
            let is_number = decimals.len() <= 3 && decimals.bytes().all(|digit| digit.is_ascii_digit());
            if !is_number || !["0", "1"].contains(&whole) {
                return None;
            }
            let thousandths = format!("{whole}{decimals:0<3}").parse().ok()?;
            (trim(name), thousandths)
        }
    };
    (!name.is_empty() && quality <= 1_000).then_some((name, quality))
}
