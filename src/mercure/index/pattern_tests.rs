//! Properties of patterns in the index that the test in `tests/selectors.rs` cannot see.

use super::tests::{check_pausing_search, check_price_of_what_is_held, matches};
use super::*;
use crate::limits::{MATCH_COST_SHARD_MAX, MATCH_COST_URL};
use crate::mercure::public_url::PublicUrl;
use crate::mercure::selector::MatcherType;

fn hub() -> PublicUrl {
    PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a hub's URL")
}

fn pattern(text: &str) -> Selector {
    Selector::parse_matcher(MatcherType::UrlPattern, text, &hub())
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn patterns(texts: &[&str]) -> Vec<Selector> {
    texts.iter().map(|text| pattern(text)).collect()
}

fn figures(index: &TopicIndex) -> usize {
    index.patterns.as_ref().map_or(0, |patterns| patterns.figures().1)
}

/// Test 124 of MERCURE-1.0, section 13.
#[test]
fn equal_texts_of_different_kinds_are_different_entries() {
    let mut index = TopicIndex::new();
    let text = "/a/{id}";
    let exact = Selector::parse_matcher(MatcherType::Exact, text, &hub()).expect("a matcher");
    index.insert(0, &[Selector::parse(text).expect("a selector")]);
    index.insert(1, std::slice::from_ref(&exact));
    index.insert(2, &[pattern(text)]);
    assert_eq!(index.len(), 3);
    assert_eq!(matches(&mut index, &["/a/1"]), [0]);
    assert_eq!(matches(&mut index, &[text]), [0, 1]);
    assert_eq!(matches(&mut index, &["https://hub.e.x/a/id"]), [2]);
    index.remove(0);
    assert_eq!(matches(&mut index, &[text]), [1]);
    index.remove(1);
    assert_eq!(matches(&mut index, &[text]), [0_u32; 0]);
    index.insert(3, &[exact]);
    assert_eq!((matches(&mut index, &[text]), index.twins), (vec![3], 0));
}

#[test]
fn every_spelling_of_a_head_is_found_and_leaves_nothing_behind() {
    let mut index = TopicIndex::new();
    let texts = [
        "https://e.x/books/:id",
        "https://E.x:443/books/{:id}",
        "/books/:id",
        "books/:id",
        "/bo\\oks/:id",
        "urn\\:book\\:*",
        "https://e.x/books/:id/pages/:page",
        "https://e.x/books/:id(\\d+)",
        "https://e.x/*",
        "https://e.x/books/7",
        "*://e.x/books/7",
        "/{a}+",
    ];
    for (slot, text) in (0..).zip(texts) {
        index.insert(slot, &patterns(&[text]));
    }
    assert_eq!(matches(&mut index, &["https://e.x/books/7"]), [0, 1, 7, 8, 9, 10]);
    assert_eq!(matches(&mut index, &["/books/7"]), [2, 4]);
    assert_eq!(matches(&mut index, &["books/7", "urn:book:1", "/aaa"]), [3, 5, 11]);
    assert_eq!(matches(&mut index, &["https://e.x/books/7/pages/1"]), [6, 8]);
    assert_eq!(matches(&mut index, &["https://e.x.evil/books/7", "https://e.x:8443/books/7"]), [0_u32; 0]);
    let topic = ComparedTopic::new("/books/7");
    assert!(index.slot_matches(2, &topic) && !index.slot_matches(3, &topic));
    for slot in [8, 0, 3, 1, 10, 7, 5, 9, 2, 6, 4] {
        index.remove(slot);
    }
    assert_eq!(matches(&mut index, &["/aa", "/books/7", "https://e.x/books/7"]), [11]);
    index.remove(11);
    assert!(index.is_empty() && index.patterns.is_none());
}

/// Where the head of a pattern is written, it may have any base.
#[test]
fn a_pattern_that_is_alone_again_is_found() {
    for texts in [
        ["https://e.x/a/:b", "https://e.x/a/:b/c"],
        ["/a/:b", "/a/:b/c"],
        ["a/:b", "a/:b/c"],
        ["https://E.X/a/:b", "https://E.X/a/:b/c"],
    ] {
        let mut index = TopicIndex::new();
        index.insert(0, &patterns(&texts[..1]));
        let alone = (index.price(), figures(&index));
        index.insert(1, &patterns(&texts[1..]));
        assert!(index.price() > alone.0);
        index.remove(1);
        assert_eq!((index.price(), figures(&index)), alone, "{texts:?}");
        let topic = texts[0].replace(":b", "7");
        assert_eq!(matches(&mut index, &[&topic]), [0], "{topic}");
        index.insert(1, &patterns(&texts[1..]));
        index.remove(0);
        assert_eq!(matches(&mut index, &[&topic, &format!("{topic}/c")]), [1], "{topic}");
        index.remove(1);
        assert!(index.patterns.is_none());
    }
}

#[test]
fn an_index_without_patterns_reads_no_topic_as_a_url() {
    let mut index = TopicIndex::new();
    let empty = index.price();
    index.insert(0, &patterns(&["/a/:b"]));
    assert!(index.price() >= empty + MATCH_COST_URL);
    index.remove(0);
    assert_eq!(index.price(), empty);
    assert!(index.patterns.is_none());
}

#[test]
fn the_steps_do_not_grow_with_the_patterns() {
    let mut index = TopicIndex::new();
    let absolute = |n: u32| format!("https://example.com/books-{n}/:id");
    let suffixed = |n: u32| format!("https://example.org/:id/{n}");
    let optional = |n: u32| format!("https://example.net/{n}/x{{/:id}}?");
    let all = |n| patterns(&[&absolute(n), &suffixed(n), &optional(n)]);
    index.insert(0, &all(7));
    let topics = ["https://example.com/books-7/1", "https://example.org/1/7", "https://example.net/7/x/1"];
    let spent = |index: &mut TopicIndex, topic| {
        let before = index.spent();
        matches(index, &[topic]);
        index.spent() - before
    };
    let few = topics.map(|topic| spent(&mut index, topic));
    for n in 1..2_000 {
        index.insert(n, &all(n));
    }
    let many = topics.map(|topic| spent(&mut index, topic));
    for (few, many) in few.into_iter().zip(many) {
        assert!(many <= few + 12, "{few} {many}");
    }
    assert_eq!(matches(&mut index, &topics), [0, 7]);
}

/// A literal at the end, after a segment or something else that could not take it, is looked up
/// once, whatever the lengths and beginnings of the others.
#[test]
fn literals_that_differ_at_the_end_are_one_lookup() {
    let pattern_of = |n: u32| patterns(&[&format!("https://example.com/books/:id/n{n}")]);
    let template_of = |n: u32| vec![Selector::parse(&format!("/books/{{id}}/n{n}")).expect("a selector")];
    let all = |n| [pattern_of(n), template_of(n)].concat();
    let mut index = TopicIndex::new();
    (7..9).for_each(|n| index.insert(n, &all(n)));
    let topics = ["https://example.com/books/1/n7", "/books/1/n7"];
    let spent = |index: &mut TopicIndex| {
        let before = index.spent();
        assert_eq!(matches(index, &topics), [7]);
        assert_eq!(matches(index, &["https://example.com/books/1/n", "/books//"]), [0_u32; 0]);
        index.spent() - before
    };
    let (few, price) = (spent(&mut index), index.price());
    (9..3_000).chain(0..7).for_each(|n| index.insert(n, &all(n)));
    assert_eq!((spent(&mut index), index.price()), (few, price));
    (8..3_000).chain(0..7).for_each(|n| index.remove(n));
    assert_eq!(matches(&mut index, &topics), [7]);
    index.remove(7);
    assert!(index.is_empty() && index.patterns.is_none() && index.templates.figures().1 == 0);
}

/// Test 131 of MERCURE-1.0, section 13, for all patterns of a shard: the loose ones are charged.
#[test]
fn patterns_of_any_authority_are_bounded_by_the_price() {
    let mut index = TopicIndex::new();
    let mut admitted = 0;
    for n in 0..1_000 {
        let selector = pattern(&format!("*://:a{n}.e.x/(a*a*a*)b{n}"));
        if index.price_of(n, std::slice::from_ref(&selector)).total > MATCH_COST_SHARD_MAX {
            break;
        }
        index.insert(n, &[selector]);
        admitted += 1;
    }
    assert!((10..1_000).contains(&admitted), "{admitted}");
    let before = index.spent();
    matches(&mut index, &[&format!("https://a.e.x/{}", "a".repeat(900))]);
    assert!(index.spent() - before <= u64::from(MATCH_COST_SHARD_MAX));
}

#[test]
fn a_search_of_mixed_kinds_that_pauses_reports_each_slot_once() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let texts = [
        "/a/:b",
        "/a/*",
        "/a{/:b}?",
        "/:x/b",
        "*://*/*",
        "https://:h.e.x/(a|b)/b",
        "/a/b",
        "{/a}+/b",
        "/:x-:y?/*",
        "https://hub.e.x/a/:b/c",
        "/a/(b+)",
    ];
    let templates = ["/a/{b}", "/{x}/b", "{+all}", "/a/b", "/a{?q}"];
    for _ in 0..300 {
        let mut index = TopicIndex::new();
        for slot in 0..random.u32(1..30) {
            let mut selectors =
                patterns(&[texts[random.usize(..texts.len())], texts[random.usize(..texts.len())]]);
            selectors.push(Selector::parse(templates[random.usize(..templates.len())]).expect("a selector"));
            index.insert(slot, &selectors[random.usize(..3)..]);
        }
        let topics = ["/a/b", "http://[", "/a/b/c", "/c/b", "https://x.e.x/a/b", "/a"];
        let topics = &topics[random.usize(..5)..];
        let newcomers = patterns(&["/a/:new", "*://*/a/*"]);
        check_pausing_search(index, topics, &newcomers, &mut random, seed);
    }
}

/// Whatever came and went, the price is that of what is held.
#[test]
fn the_price_of_patterns_depends_on_what_is_held_alone() {
    let texts = [
        "/a/:b",
        "/a/:c",
        "/a/:b/c",
        "/a/:b.json",
        "/a/*",
        "/a/*.js",
        "/a{/:b}?",
        "/:x",
        "/a",
        "/a?:q",
        "*://*/*",
        "https://hub.e.x/a/:b",
        "/{a}+",
        "a/:b",
        "/a/:b-:c",
        "https://:h.e.x/a",
    ];
    check_price_of_what_is_held(&texts, patterns, 400, fastrand::u64(..));
}
