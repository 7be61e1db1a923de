//! Goal: a million patterns take hardly more memory than as many templates, and selectors take
//! about what the hub's account says.
//!
//! Method: the resident memory of this process, which has no other test, before and after an index
//! is filled. Both kinds are of the same length and number. No selector has the text of another,
//! nor both its head and its tail.

use std::fs;

use petasos::mercure::index::TopicIndex;
use petasos::mercure::public_url::PublicUrl;
use petasos::mercure::selector::{MatcherType, Selector};

/// Just below a size at which tables double.
const SELECTORS: u32 = 27_000;

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the status of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The memory of an index of these selectors, for each, in bytes.
///
/// # Panics
/// It is not what is expected of them.
fn bytes_each(selector: impl Fn(u32) -> Selector) -> u64 {
    let before = resident_kib();
    let mut index = TopicIndex::new();
    for n in 0..SELECTORS {
        index.insert(n, &[selector(n)]);
    }
    let bytes = (resident_kib() - before) * 1024 / u64::from(SELECTORS);
    // It stays: the next index must not be made of its memory.
    std::mem::forget(index);
    let (one, expected) = (selector(0), selector(0).held_bytes() as u64);
    let is_close = 2 * bytes <= 3 * expected && 2 * expected <= 3 * bytes;
    assert!(is_close, "{one:?}: {bytes} bytes, and {expected} expected");
    bytes
}

/// Test 132 of MERCURE-1.0, section 13.
#[test]
fn a_pattern_takes_hardly_more_memory_than_a_template_and_selectors_what_is_expected() {
    let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a hub's URL");
    let template = |text: String| Selector::parse(&text).expect("a selector");
    let pattern =
        |text: String| Selector::parse_matcher(MatcherType::UrlPattern, &text, &hub).expect("a matcher");
    let alone = bytes_each(|n| template(format!("https://example.com/books-{n:06}/{{id}}")));
    let shared = bytes_each(|n| template(format!("https://example.com/{{id}}/books-{n:06}")));
    let choice = bytes_each(|n| template(format!("https://example.com/books-{n:06}{{?page,sort}}")));
    let mut sizes = Vec::new();
    for (name, of_template, of_pattern) in [
        ("alone", alone, bytes_each(|n| pattern(format!("https://example.com/books-{n:06}/:id")))),
        ("relative", alone, bytes_each(|n| pattern(format!("/example/example/books-{n:06}/:id")))),
        ("shared", shared, bytes_each(|n| pattern(format!("https://example.com/:id/books-{n:06}")))),
        ("choice", choice, bytes_each(|n| pattern(format!("https://example.com/books-{n:06}{{/:id}}?")))),
    ] {
        sizes.push((name, of_pattern, of_template));
    }
    let long = "a".repeat(500);
    bytes_each(|n| template(format!("https://example.com/books-{n:06}/1")));
    bytes_each(|n| template(format!("https://example.com/books-{n:06}/{long}")));
    bytes_each(|n| template(format!("https://example.com/books-{n:06}/{long}{{id}}")));
    bytes_each(|n| template(format!("https://example.com/{{id}}/books-{n:06}/{long}")));
    bytes_each(|n| template(format!("https://example.com/books{{?page{n:06}{long},sort}}")));
    bytes_each(|n| pattern(format!("https://example.com/:id/books-{n:06}/{long}")));
    bytes_each(|n| pattern(format!("https://example.com/{{:id}}?/books-{n:06}/{long}")));
    let is_bounded = |&(_, of_pattern, of_template): &(_, u64, u64)| 2 * of_pattern <= 3 * of_template;
    assert!(sizes.iter().all(is_bounded), "bytes for a pattern and for a template: {sizes:?}");
}
