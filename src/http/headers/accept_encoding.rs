//! The coding of a response: `Accept-Encoding` (RFC 9110, section 12.5.3).
//!
//! The coding with the highest quality wins. Among equals, zstd comes before gzip, and gzip before
//! none, since a client that names a coding asks for it. Parts that cannot be read and unknown
//! codings are ignored. If a client refuses every coding, none is used: section 12.1 allows the hub
//! to disregard the header instead of refusing the stream.

use crate::http::request::Lines;
use crate::sse::coding::Coding;

/// The coding negotiated for one response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// Whether other requests may get other codings, which caches must know.
    pub varies: bool,
    /// The coding; `None` sends the body uncompressed.
    pub coding: Option<Coding>,
}

/// In thousandths, the full precision of a quality.
pub(super) type Quality = u16;

impl Negotiated {
    /// `COMPRESS=0`.
    pub const OFF: Self = Self { varies: false, coding: None };

    /// Chooses from what the client accepts.
    pub fn new(accept_encoding: &Lines<'_>) -> Self {
        Self { varies: true, coding: choose(accept_encoding) }
    }
}

fn choose(accept_encoding: &Lines<'_>) -> Option<Coding> {
    let (mut zstd, mut gzip, mut identity, mut any) = (None, None, None, None);
    for part in accept_encoding.iter().flat_map(|line| line.split(|byte| *byte == b',')) {
        let Some((name, quality)) = parse(part) else { continue };
        let place: &mut Option<Quality> = match () {
            () if name.eq_ignore_ascii_case(b"zstd") => &mut zstd,
            // The two are one coding (section 8.4.1.3).
            () if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => &mut gzip,
            () if name.eq_ignore_ascii_case(b"identity") => &mut identity,
            () if name == b"*" => &mut any,
            () => continue,
        };
        *place = Some(place.unwrap_or(0).max(quality));
    }
    // If `identity` is not named, it is acceptable with the lowest priority.
    let mut best = (identity.unwrap_or(0), None);
    // A client that sends `*` may not know zstd; `*` means zstd only if the client refuses gzip.
    let zstd_by_any = any.filter(|_| gzip == Some(0));
    let candidates = [(zstd.or(zstd_by_any), Coding::Zstd), (gzip.or(any), Coding::Gzip)];
    for (quality, coding) in candidates.into_iter().rev() {
        if let Some(quality) = quality.filter(|quality| *quality > 0 && *quality >= best.0) {
            best = (quality, Some(coding));
        }
    }
    best.1
}

/// A coding and its quality: `gzip;q=0.5`.
fn parse(part: &[u8]) -> Option<(&[u8], Quality)> {
    let mut parameters = part.split(|byte| *byte == b';');
    let name = parameters.next()?.trim_ascii();
    let quality = match parameters.next() {
        None => 1_000,
        Some(weight) => {
            let weight = weight.trim_ascii();
            let value = weight.strip_prefix(b"q=").or_else(|| weight.strip_prefix(b"Q="))?;
            parse_quality(value)?
        }
    };
    (!name.is_empty() && parameters.next().is_none()).then_some((name, quality))
}

/// `0`, `1`, or with up to three decimals (section 12.4.2).
pub(super) fn parse_quality(value: &[u8]) -> Option<Quality> {
    let (whole, decimals) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut quality = match whole {
        b'0' => 0,
        b'1' => 1_000,
        _ => return None,
    };
    let mut place = 100;
    for digit in decimals {
        quality += place * Quality::try_from(char::from(*digit).to_digit(10)?).ok()?;
        place /= 10;
    }
    (quality <= 1_000).then_some(quality)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::http::request::{Request, Version};

    fn chosen(lines: &[&str]) -> Option<Coding> {
        let mut request = Request::new(Method::GET, Version::Http11, "/", None);
        for line in lines {
            request.field("Accept-Encoding", line.as_bytes()).expect("a list may have several lines");
        }
        choose(&request.accept_encoding)
    }

    #[test]
    fn the_best_of_what_is_accepted_is_chosen() {
        let (zstd, gzip) = (Some(Coding::Zstd), Some(Coding::Gzip));
        for (accepted, expected) in [
            ("gzip, deflate, br, zstd", zstd),
            ("gzip, deflate, br", gzip),
            ("gzip", gzip),
            ("GZip", gzip),
            ("x-gzip", gzip),
            ("zstd", zstd),
            ("br", None),
            ("deflate, compress", None),
            ("", None),
            (" , ,", None),
            // Qualities.
            ("gzip;q=1.0, zstd;q=0.5", gzip),
            ("gzip;q=0.5, zstd;q=0.501", zstd),
            ("gzip ; q=0.5 , zstd ; Q=0.5", zstd),
            ("gzip;q=0.001", gzip),
            ("gzip;q=0", None),
            ("gzip;q=0.000, zstd;q=0.0", None),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", gzip),
            ("identity;q=1, *;q=0", None),
            ("zstd;q=0, gzip", gzip),
            // Anything.
            ("*", gzip),
            ("*;q=0.1", gzip),
            ("*;q=0", None),
            ("gzip, *", gzip),
            ("gzip;q=0, *", zstd),
            ("gzip;q=0.5, *;q=0.1", gzip),
            ("zstd;q=0, *;q=0.5", gzip),
            ("identity;q=0.5, *;q=0.4", None),
            // Everything refused: the header is disregarded.
            ("identity;q=0", None),
            ("identity;q=0, br", None),
            ("identity;q=0, gzip;q=0.1", gzip),
            // Unreadable parts are ignored.
            ("gzip;q=2", None),
            ("gzip;q=1.001", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=-1", None),
            ("gzip;q=", None),
            ("gzip;q=.5", None),
            ("gzip;level=9", None),
            ("gzip;q=1;q=0", None),
            ("gzip;q=x, zstd", zstd),
            ("gzipped, zstandard", None),
            // Of two qualities for one coding, the better one counts.
            ("gzip;q=0, gzip;q=0.5", gzip),
        ] {
            assert_eq!(chosen(&[accepted]), expected, "{accepted:?}");
        }
        assert_eq!(chosen(&[]), None, "who does not say gets it plain");
        assert_eq!(chosen(&["br", "gzip;q=0.2", "zstd;q=0.1"]), gzip, "several lines are one list");
    }

    #[test]
    fn a_quality_is_read_as_the_rfc_writes_it() {
        for (text, expected) in
            [("0", 0), ("1", 1_000), ("0.", 0), ("1.", 1_000), ("1.000", 1_000), ("0.05", 50), ("0.999", 999)]
        {
            assert_eq!(parse_quality(text.as_bytes()), Some(expected), "{text}");
        }
    }
}
