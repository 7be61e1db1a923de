//! The vectors, the crate's own matcher as the oracle, and the bounds.

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use super::*;
use crate::limits::{PATTERN_PROTOCOL_STATES_MAX, PATTERN_REGEXP_BYTES_MAX, PATTERN_REGEXPS_MAX};

const HUB: &str = "https://hub.e.x/.well-known/mercure";

fn hub() -> PublicUrl {
    PublicUrl::parse(HUB).expect("a hub's URL")
}

fn pattern(text: &str) -> UrlPattern {
    UrlPattern::parse(text, &hub()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn matches(text: &str, topic: &str) -> bool {
    pattern(text).matches(topic)
}

#[test]
fn the_vectors() {
    let mut count = 0;
    for line in include_str!("../../../tests/data/urlpattern_vectors.tsv").lines() {
        let mut fields = line.split('\t');
        let (Some(text), Some(topic), Some(expected)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if line.starts_with("# ") {
            continue;
        }
        count += 1;
        let result = UrlPattern::parse(text, &hub());
        let actual = match &result {
            Err(_) => "refused",
            Ok(pattern) if pattern.matches(topic) => "match",
            Ok(_) => "no",
        };
        assert_eq!(actual, expected, "{text} and {topic}: {result:?}");
    }
    assert_eq!(count, 66);
}

/// Test 130 of MERCURE-1.0, section 13: random patterns and topics.
#[test]
fn a_compiled_pattern_matches_what_the_crate_says() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut accepted, mut matched) = (0, 0);
    for _ in 0..6_000 {
        let text = random_pattern(&mut random);
        let Ok(pattern) = UrlPattern::parse(&text, &hub()) else { continue };
        let oracle = oracle(&text).unwrap_or_else(|| panic!("seed {seed}: the crate refuses {text}"));
        accepted += 1;
        for _ in 0..12 {
            let topic = random_topic(&mut random);
            let is_match = pattern.matches(&topic);
            matched += u32::from(is_match);
            let url = Url::options().base_url(Some(hub().url())).parse(&topic);
            let expected = url
                .is_ok_and(|url| oracle.test(urlpattern::UrlPatternMatchInput::Url(url)).expect("a result"));
            assert_eq!(is_match, expected, "seed {seed}: {text} and {topic}");
        }
    }
    assert!(accepted > 1_000 && matched > 500, "seed {seed}: {accepted} accepted, {matched} matched");
}

fn oracle(text: &str) -> Option<urlpattern::UrlPattern> {
    let init = match UrlPatternInit::parse_constructor_string::<regex::Regex>(text, None) {
        Err(Error::BaseUrlRequired) => {
            UrlPatternInit::parse_constructor_string::<regex::Regex>(text, Some(hub().url().clone()))
        }
        init => init,
    };
    urlpattern::UrlPattern::parse(init.ok()?, UrlPatternOptions::default()).ok()
}

fn random_pattern(random: &mut fastrand::Rng) -> String {
    let beginnings = [
        "",
        "/",
        "https://e.x",
        "https://e.x/",
        "http{s}?://e.x/",
        "*://*",
        "https://:h.x/",
        "urn\\:",
        "urn:",
    ];
    let pieces = [
        "a",
        "b",
        "/",
        "/",
        ":x",
        "*",
        "/:y",
        "/*",
        "{/b}?",
        "{a}*",
        "{/:z}+",
        "(a|b/)",
        "(b*)",
        "([ab]{1,3})",
        ":w?",
        "/:v+",
        ".",
        "\\?",
        "?q=",
        "?*",
        "#a",
        "é",
        "%41",
        "(a+?b)",
        "{b:u}?",
        "{a*/}*",
        "\\:",
        "1",
        "-",
        "(\\d)",
        "(.+)",
        "([^/]+)",
        "/..",
        "/./",
        ":8080",
        "u@",
        "(a{0,2})",
    ];
    let mut text = beginnings[random.usize(..beginnings.len())].to_owned();
    (0..random.usize(1..6)).for_each(|_| text.push_str(pieces[random.usize(..pieces.len())]));
    text
}

fn random_topic(random: &mut fastrand::Rng) -> String {
    let beginnings = [
        "",
        "/",
        "https://e.x",
        "https://e.x/",
        "http://e.x/",
        "https://hub.e.x/",
        "urn:",
        "https://u@e.x/",
        "x:/",
    ];
    let pieces =
        ["a", "b", "/", "a/", "1", ".", "-", "?q=", "#a", "é", "%41", "ab", "bb/", ":", ":8080", "/..", "?"];
    let mut text = beginnings[random.usize(..beginnings.len())].to_owned();
    (0..random.usize(..6)).for_each(|_| text.push_str(pieces[random.usize(..pieces.len())]));
    text
}

/// The parser has assertions of its own; a text of a client that reaches one is refused.
#[test]
fn every_text_is_accepted_or_refused() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let pieces = [
        "a",
        "/",
        ":",
        "::",
        "*",
        "{",
        "}",
        "(",
        ")",
        "\\",
        "?",
        "+",
        "#",
        "@",
        "[",
        "]",
        "//",
        "é",
        "日",
        "\u{301}",
        "%",
        "%4",
        "%zz",
        " ",
        "http",
        "https:",
        "urn:",
        "file:///",
        "x:",
        ":a",
        "(a)",
        "\u{200d}",
        "\u{ff0f}",
        "|",
        "^",
        "$",
        "(?:a)",
        "[^",
        "80",
        "99999",
        "..",
        "C|",
        "xn--",
        "\u{ad}",
        "\u{1f600}",
        "\"",
        "<",
        "`",
    ];
    let panics = "://]";
    let read = || UrlPatternInit::parse_constructor_string::<RegexpText>(panics, None);
    // A test in `tests/it` looks for its line in the log.
    assert_eq!(catch_unwind(|| read().is_ok()).is_err(), cfg!(debug_assertions), "{panics}");
    assert!(UrlPattern::parse(panics, &hub()).is_err());
    for round in 0..20_000 {
        let mut text = String::new();
        (0..random.usize(1..12)).for_each(|_| text.push_str(pieces[random.usize(..pieces.len())]));
        if text.contains(']') {
            // A check of overflows in the parser, which is in debug builds alone.
            continue;
        }
        let result = catch_unwind(|| components(&text, Some(hub().url())).is_ok());
        assert!(result.is_ok(), "seed {seed}, round {round}: {text}");
        let _ = UrlPattern::parse(&text, &hub()).map(|pattern| pattern.matches(&text));
    }
}

/// Test 31 of MERCURE-1.0, section 13.
#[test]
fn what_the_engine_cannot_do_is_refused() {
    for regexp in
        ["(a(?=b).*)", "(?:a)", "(?i)a", "(a(?i:b))", "(a(?u:\\pL))", "(\\pL)", "(a\\b)", "(a$)", "(é)"]
    {
        assert!(UrlPattern::parse(&format!("https://e.x/{regexp}"), &hub()).is_err(), "{regexp}");
    }
    assert!(matches("https://e.x/(a(?:b|c))", "https://e.x/ac"));
}

/// Test 34 of MERCURE-1.0, section 13: the bounds of section 8.4.
#[test]
fn the_bounds_of_a_pattern_are_errors() {
    let parse = |text: String| UrlPattern::parse(&text, &hub()).map(|_| ());
    let too_complex = Err(UrlPatternError::TooComplex);
    assert_eq!(parse(format!("/{}", "a{b}?".repeat(800))), Ok(()).and(too_complex));
    assert_eq!(parse(format!("/{}", ":a".repeat(2_000))), too_complex);
    let groups = |count| (0..count).map(|n| format!("/:g{n}")).collect::<String>();
    assert_eq!(parse(groups(PATTERN_GROUPS_MAX)), Ok(()));
    assert_eq!(parse(groups(PATTERN_GROUPS_MAX + 1)), too_complex);
    let regexps = |count| format!("/{}", "(a)".repeat(count));
    assert_eq!(parse(regexps(PATTERN_REGEXPS_MAX)), Ok(()));
    assert_eq!(parse(regexps(PATTERN_REGEXPS_MAX + 1)), too_complex);
    let long = |bytes| format!("/({})", "a".repeat(bytes));
    assert_eq!(parse(long(PATTERN_REGEXP_BYTES_MAX)), Ok(()));
    assert_eq!(parse(long(PATTERN_REGEXP_BYTES_MAX + 1)), too_complex);
    assert_eq!(parse("/(a{5000})".into()), too_complex);
    assert_eq!(parse("/((?:a{90}){90})".into()), too_complex);
    let of_protocol = |states| parse(format!("(a{{{states}}})://*"));
    assert_eq!(of_protocol(PATTERN_PROTOCOL_STATES_MAX), Ok(()));
    assert_eq!(of_protocol(PATTERN_PROTOCOL_STATES_MAX + 1), too_complex);
    assert_eq!(parse(format!("/({}a{})", "(?:".repeat(60), ")".repeat(60))), Err(UrlPatternError::Regexp));
    assert_eq!(parse("/((?:){4000000000})".into()), Ok(()));
    assert_eq!(parse("/((?:(?:){4000000}){4000000})".into()), Ok(()));
}

/// No text of the length that is allowed takes long to be read.
#[test]
fn every_text_is_read_in_a_bounded_time() {
    let repeated =
        [":a", "{a}?", "(a)", "*", "\\:", "a{/b", "?", "é", "/..", "@", "[", "((((", "\\", "{", "}", "日"];
    for piece in repeated {
        for beginning in ["", "/", "https://", "urn\\:", "*://", "https://e.x/?"] {
            let mut text = beginning.to_owned();
            while text.len() + piece.len() <= SELECTOR_BYTES_MAX {
                text.push_str(piece);
            }
            let began = Instant::now();
            let _ = UrlPattern::parse(&text, &hub()).map(|pattern| pattern.matches(&text));
            assert!(began.elapsed() < Duration::from_secs(2), "{beginning}{piece}: {:?}", began.elapsed());
        }
    }
}

/// Test 131 of MERCURE-1.0, section 13: the cost that a match counts, which follows the time, is at
/// most the price for each KiB.
#[test]
fn the_cost_of_a_match_is_linear_in_the_topic() {
    let texts = [
        "https://e.x/(a*a*a*a*a*a*)b",
        "https://e.x/((?:a|a)*(?:a|aa)*)b",
        "https://e.x/{a*}?{a*}?{:x}?b",
        "https://e.x/((?:a?){100}a{100})",
        "https://e.x/((?:a{0,200}b?){3})c",
        "https://e.x/:a-:b-:c-:d?b",
    ];
    for text in texts {
        let pattern = pattern(text);
        for kib in [1, 64, 1_024] {
            let topic = format!("https://e.x/{}", "a".repeat(kib << 10));
            let url = TopicUrl::parse(&topic, &hub()).expect("a URL");
            let mut simulator = Simulator::default();
            pattern.components.match_all(&url, &mut simulator);
            let most = u64::from(pattern.match_cost()) * (kib as u64 + 1);
            let spent = simulator.take_spent();
            assert!(spent <= most, "{text}, {kib} KiB: {spent} of {most}");
        }
    }
}

/// Test 36 of MERCURE-1.0, section 13.
#[test]
fn a_pathological_regexp_is_answered() {
    let pattern = pattern("https://e.x/(a*a*a*a*a*a*)b");
    assert!(pattern.matches(&format!("https://e.x/{}b", "a".repeat(1 << 20))));
    assert!(!pattern.matches(&format!("https://e.x/{}", "a".repeat(1 << 20))));
}

/// Two URLs have one key if and only if these components are the same.
#[test]
fn a_key_tells_urls_apart() {
    let texts = [
        "https://e.x",
        "https://e.x/",
        "https://e.x:443/",
        "https://e.x:8443/",
        "https://u:p@e.x/?a#b",
        "https://e.x/?",
        "http://e.x/",
        "urn:a",
        "urn:/a",
        "urn:///a",
        "urn://a",
        "urn://a/",
        "urn:a:1",
        "urn://a:1",
        "urn:",
        "urn://",
        "file:///a",
        "file://h/a",
        "x:/.//a",
        "x:////a",
        "https://e.x//a",
        "https://[::1]/",
        "https://[::1]:1/",
        "/a",
        "foo",
        "https://hub.e.x/a?q",
        "urn:a?q#h",
        "x://:1",
    ];
    let urls: Vec<_> = texts.iter().filter_map(|text| TopicUrl::parse(text, &hub())).collect();
    assert!(urls.len() + 2 > texts.len());
    let parts = |url: &TopicUrl| {
        let parts = [UrlPart::Protocol, UrlPart::Hostname, UrlPart::Port, UrlPart::Pathname];
        parts.map(|part| url.component(part).to_owned())
    };
    for one in &urls {
        for other in &urls {
            assert_eq!(one.key() == other.key(), parts(one) == parts(other), "{} {}", one.key(), other.key());
        }
    }
}

/// What lists of many patterns are searched by: only what every topic of the pattern has.
#[test]
fn the_leading_segments_are_those_that_every_topic_has() {
    let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a hub's URL");
    for (pattern, expected) in [
        ("https://e.x/books/:id", "https: e.x books *"),
        ("https://e.x/books", "https: e.x books"),
        ("https://e.x/a/:b/c{/:d}?", "https: e.x a * c"),
        ("https://e.x/a/:b/c{/:d}*", "https: e.x a * c"),
        ("https://e.x/a/:b.html/c{d}?", "https: e.x a *"),
        ("https://e.x/a/b:c/d*", "https: e.x a *"),
        ("https://e.x/a{/b}+/c", "https: e.x a b"),
        ("https://e.x/(a|b)/c", "https: e.x * c"),
        ("https://e.x/(ab|c)/d", "https: e.x"),
        ("https://e.x/([^/]*)/c", "https: e.x * c"),
        ("https://e.x/*", "https: e.x"),
        ("https://:tenant.e.x/a", ""),
        ("*://e.x/a", ""),
        ("/a/:b", "https: hub.e.x a *"),
        // Without an authority, a name is not bounded by slashes.
        ("urn\\:a/:b/c", "urn:a"),
    ] {
        let parsed = UrlPattern::parse(pattern, &hub).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        let segments = parsed.leading_segments();
        let shown: Vec<&str> = segments.iter().map(|segment| segment.as_deref().unwrap_or("*")).collect();
        assert_eq!(shown.join(" ").replace("  ", " "), expected, "{pattern}");
    }
}
