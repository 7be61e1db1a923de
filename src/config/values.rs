//! The formats of single values: words, durations, sizes, addresses, lists of cores.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::mercure::audience::Authorization;
use crate::mercure::dialect::Dialects;
use crate::mercure::token::Algorithm;

/// The expected form of a value, for error messages.
pub(crate) type Expected = String;

pub(super) fn any(text: &str) -> Result<String, Expected> {
    Ok(text.to_owned())
}

pub(super) fn path(text: &str) -> Result<PathBuf, Expected> {
    Ok(text.into())
}

/// One of these words.
pub(super) fn word<T: Copy>(words: &[(&str, T)], text: &str) -> Result<T, Expected> {
    let known = words.iter().find(|(word, _)| *word == text);
    known.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        match words.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            _ => words.concat(),
        }
    })
}

pub(super) fn switch(text: &str) -> Result<bool, Expected> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err("0, 1, true or false".to_owned()),
    }
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Milliseconds; at most a year, more than any timeout of a server. A value below 1 ms is refused,
/// not rounded, because zero turns a timeout off.
pub(super) fn duration_ms(text: &str) -> Result<u64, Expected> {
    milliseconds(text, 365).ok_or_else(|| "a duration such as 15s, 2m or 0s, from 1ms to 365d".to_owned())
}

/// Milliseconds; at most a hundred years. Zero is no bound.
pub(super) fn age_ms(text: &str) -> Result<u64, Expected> {
    milliseconds(text, 36_500)
        .ok_or_else(|| "a duration such as 12h, 30d or 0s, from 1ms to 36500d".to_owned())
}

fn milliseconds(text: &str, days_max: u32) -> Option<u64> {
    let range = Duration::from_millis(1)..=DAY * days_max;
    let duration = humantime::parse_duration(text).ok();
    duration
        .filter(|duration| duration.is_zero() || range.contains(duration))
        .map(|duration| duration.as_millis() as u64)
}

/// A number from 0 to 1.
pub(super) fn frequency(text: &str) -> Result<f64, Expected> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|number| (0.0..=1.0).contains(number)).ok_or_else(|| "a number from 0 to 1".to_owned())
}

/// Bytes: a number, alone or with one of the usual units.
pub(super) fn bytes(text: &str, min: u64, max: u64) -> Result<u64, Expected> {
    const UNITS: [(&str, u64); 7] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
    ];
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| text.strip_suffix(name).map(|digits| (digits.trim_end(), *unit)))
        .unwrap_or((text.strip_suffix('B').unwrap_or(text), 1));
    let count = number(digits, 0, u64::MAX).ok().and_then(|count| count.checked_mul(unit));
    count.filter(|count| (min..=max).contains(count)).ok_or_else(|| match max {
        u64::MAX => "a size such as 1048576, 512MiB or 20GiB".to_owned(),
        max => format!("a size such as 1048576, 512KiB or 1MiB, from {min} to {max} bytes"),
    })
}

pub(super) fn number(text: &str, min: u64, max: u64) -> Result<u64, Expected> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok()).flatten();
    number.filter(|number| (min..=max).contains(number)).ok_or_else(|| match max {
        u64::MAX => format!("a whole number, {min} or more"),
        max => format!("a whole number from {min} to {max}"),
    })
}

/// Like [`number`].
pub(super) fn count(text: &str, min: usize, max: usize) -> Result<usize, Expected> {
    number(text, min as u64, max as u64).map(|count| count as usize)
}

/// From 0; like [`number`].
pub(super) fn count_u32(text: &str) -> Result<u32, Expected> {
    number(text, 0, u64::from(u32::MAX)).map(|count| count as u32)
}

pub(super) fn address(text: &str) -> Result<SocketAddr, Expected> {
    let parsed = match text.strip_prefix(':') {
        Some(port) => port.parse().ok().map(|port: u16| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| "an address such as :3000, 127.0.0.1:3000 or [::1]:3000".to_owned())
}

/// `None` for `off`.
pub(super) fn address_or_off(text: &str) -> Result<Option<SocketAddr>, Expected> {
    match text {
        "off" => Ok(None),
        _ => address(text).map(Some).map_err(|expected| format!("{expected}; or off")),
    }
}

/// The cores of a list such as `0,2-3`, in its order, each once, all in `available`.
pub(super) fn cpus(text: &str, available: &[usize]) -> Result<Vec<usize>, Expected> {
    let expected =
        || format!("a list of cores such as 0,2-3, of those this process may run on: {available:?}");
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| expected())?;
        let last: usize = last.trim().parse().map_err(|_| expected())?;
        let known = available.iter().copied().filter(|cpu| (first..=last).contains(cpu));
        let before = cpus.len();
        cpus.extend(known);
        if first > last || cpus.len() - before != last - first + 1 {
            return Err(expected());
        }
    }
    let mut sorted = cpus.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() == cpus.len() { Ok(cpus) } else { Err(expected()) }
}

/// The name of a cookie is a token (RFC 6265, section 4.1.1; RFC 9110, section 5.6.2).
pub(super) fn cookie_name(text: &str) -> Result<String, Expected> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_token) {
        Ok(text.to_owned())
    } else {
        Err("letters, digits and !#$%&'*+-.^_`|~".to_owned())
    }
}

/// The algorithm of a token.
pub(super) fn algorithm(text: &str) -> Result<Algorithm, Expected> {
    let expected = "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA";
    text.parse().map_err(|_| expected.to_owned())
}

/// The algorithms of a list, each once.
pub(super) fn algorithms(text: &str) -> Result<Vec<Algorithm>, Expected> {
    let mut algorithms = Vec::new();
    for name in text.split([',', ' ']).filter(|name| !name.is_empty()) {
        let algorithm = algorithm(name)?;
        if !algorithms.contains(&algorithm) {
            algorithms.push(algorithm);
        }
    }
    if algorithms.is_empty() { Err("names such as ES256,RS256".to_owned()) } else { Ok(algorithms) }
}

/// The value of `PROTOCOL`.
pub(super) fn dialects(text: &str) -> Result<Dialects, Expected> {
    let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
    let (mut legacy, mut draft08, mut count) = (None, false, 0);
    for part in parts {
        count += 1;
        match part {
            "04" if legacy.is_none() => legacy = Some(Authorization::Targets),
            "07" if legacy.is_none() => legacy = Some(Authorization::Selectors),
            "08" if !draft08 => draft08 = true,
            "04" | "07" if legacy.is_some() => {
                return Err("04 or 07, not both: nothing in a token tells them apart".to_owned());
            }
            _ => count = usize::MAX / 2,
        }
    }
    match (legacy, draft08) {
        _ if !(1..=2).contains(&count) => Err("04, 07, 08, 07,08 or 04,08".to_owned()),
        (Some(legacy), false) => Ok(Dialects::legacy(legacy)),
        (legacy, _) => Ok(Dialects::with_draft08(legacy)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::written;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration_ms("15s"), Ok(15_000));
        assert_eq!(duration_ms("2m"), Ok(120_000));
        assert_eq!(duration_ms("0s"), Ok(0));
        assert_eq!(duration_ms("1m 500ms"), Ok(60_500));
        for text in ["15", "s", "-1s", "366d", "999us", "1ns", ""] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_have_units() {
        for (text, count) in
            [("0", 0), ("1048576", 1 << 20), ("1MiB", 1 << 20), ("2 KiB", 2_048), ("3kB", 3_000)]
        {
            assert_eq!(bytes(text, 0, u64::MAX), Ok(count), "{text}");
        }
        for text in ["", "x", "-1", "+1", "1.5MiB", "1TiB", "99999999999GiB"] {
            assert!(bytes(text, 0, u64::MAX).is_err(), "{text}");
        }
        assert!(bytes("1", 2, 3).is_err() && bytes("4", 2, 3).is_err());
    }

    #[test]
    fn an_error_lists_the_words() {
        let expected = |words: &[(&str, ())]| word(words, "x").err();
        assert_eq!(expected(&[("a", ()), ("b", ()), ("c", ())]).as_deref(), Some("a, b or c"));
        assert_eq!(expected(&[("a", ()), ("b", ())]).as_deref(), Some("a or b"));
        assert_eq!(word(&[("a", 1), ("b", 2)], "b"), Ok(2));
    }

    #[test]
    fn a_listener_may_be_off() {
        assert_eq!(address_or_off("off"), Ok(None));
        assert_eq!(address_or_off(":8080").map(|at| at.map(|at| at.port())), Ok(Some(8_080)));
        assert!(address_or_off("on").is_err());
    }

    #[test]
    fn addresses_may_leave_out_the_host() {
        assert_eq!(address(":3000").map(|a| a.to_string()), Ok("[::]:3000".to_owned()));
        assert_eq!(address("127.0.0.1:0").map(|a| a.to_string()), Ok("127.0.0.1:0".to_owned()));
        assert_eq!(address("[::1]:80").map(|a| a.to_string()), Ok("[::1]:80".to_owned()));
        for text in ["", "3000", ":", ":65536", "localhost:3000", "1.2.3:1"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cores_are_listed_once_and_exist() {
        assert_eq!(cpus("3,0-1", &[0, 1, 2, 3]), Ok(vec![3, 0, 1]));
        for text in ["", "4", "1-0", "0,0", "0-", "a", "0-9", "0,1-18446744073709551615"] {
            assert!(cpus(text, &[0, 1, 2, 3]).is_err(), "{text}");
        }
    }

    /// Of test 127 of MERCURE-1.0, section 13: `04,07`.
    #[test]
    fn two_dialects_that_tokens_do_not_tell_apart_are_refused() {
        for (given, expected) in
            [("04", "04"), ("07", "07"), ("08", "08"), ("07,08", "07,08"), ("08, 04", "04,08")]
        {
            assert_eq!(dialects(given).map(written::dialects).as_deref(), Ok(expected));
        }
        for given in ["04,07", "07 04", "04,07,08"] {
            assert!(dialects(given).is_err_and(|expected| expected.contains("not both")), "{given}");
        }
        for given in ["", ",", "?", "7", "08,08", "08,09", "1.0"] {
            assert_eq!(dialects(given), Err("04, 07, 08, 07,08 or 04,08".to_owned()), "{given}");
        }
        assert!(dialects("07,07").is_err());
    }
}
