//! The topic index: the cost of a publication, an arrival and a departure with 10, 10,000 and
//! 1,000,000 selectors held.
//!
//! The goal: a publication to one subscriber costs at most 1.2 times as much CPU with a million
//! other selectors held, 200,000 of them templates, as with ten. A publication takes tens of
//! microseconds, so the index may add only a few. `match many topics` uses a different topic each
//! time, so it includes the cache misses of a large index. So do `insert` and `remove`, which use
//! many selectors. `tails` are templates with one head, which differ after their expression;
//! `patterns` are URL Patterns, `pattern tails` those with one head, which differ at their end;
//! `pattern middles` differ between two names. Beside a million patterns, a topic may cost 1.3
//! times as much as beside ten; with them, it is read as a URL.
//!
//! `read the patterns of a request` reads as many as one request may have, of the kinds that take
//! the most time. Nothing else of a shard runs meanwhile.

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use petasos::limits::{
    MATCH_COST_SHARD_MAX, PATTERN_BYTES_OF_REQUEST_MAX, PATTERN_GROUPS_MAX, PATTERN_OPENERS_OF_REQUEST_MAX,
    PATTERN_STATES_OF_REQUEST_MAX, PATTERNS_OF_REQUEST_MAX, SELECTOR_BYTES_MAX,
};
use petasos::mercure::index::TopicIndex;
use petasos::mercure::public_url::PublicUrl;
use petasos::mercure::selector::{ComparedTopic, MatcherType, Selector};

const SIZES: [u32; 3] = [10, 10_000, 1_000_000];
/// Selectors that are added and removed beside those that are held.
const COMERS: u32 = 16_384;
/// Such selectors between two readings of the clock.
const COMERS_AT_ONCE: u64 = 1_024;

#[derive(Clone, Copy)]
enum Kind {
    Exact,
    Templates,
    /// One in five is a template.
    Mixed,
    /// As mixed, but all templates have one head.
    Tails,
    Patterns,
    /// As patterns, but all have one head.
    PatternTails,
    /// The same, but what differs is between two names.
    PatternMiddles,
}

const KINDS: [(&str, Kind); 7] = [
    ("exact", Kind::Exact),
    ("templates", Kind::Templates),
    ("mixed", Kind::Mixed),
    ("tails", Kind::Tails),
    ("patterns", Kind::Patterns),
    ("pattern tails", Kind::PatternTails),
    ("pattern middles", Kind::PatternMiddles),
];

fn pattern(text: &str) -> Selector {
    let hub = PublicUrl::parse("https://hub.example.com/.well-known/mercure").expect("a hub's URL");
    Selector::parse_matcher(MatcherType::UrlPattern, text, &hub).expect("a pattern")
}

impl Kind {
    fn is_template(self, n: u32) -> bool {
        match self {
            Self::Exact => false,
            Self::Templates | Self::Patterns | Self::PatternTails | Self::PatternMiddles => true,
            Self::Mixed | Self::Tails => n.is_multiple_of(5),
        }
    }

    fn selector(self, n: u32) -> Selector {
        let text = match (self, self.is_template(n)) {
            (Self::Patterns, _) => return pattern(&format!("https://example.com/books-{n:07}/:id")),
            (Self::PatternTails, _) => return pattern(&format!("https://example.com/:shelf/{n:07}")),
            (Self::PatternMiddles, _) => {
                return pattern(&format!("https://example.com/:shelf/{n:07}/:id"));
            }
            (Self::Tails, true) => format!("https://example.com/{{shelf}}/{n:07}"),
            (_, true) => format!("https://example.com/books-{n:07}/{{id}}"),
            (_, false) => self.topic(n),
        };
        Selector::parse(&text).expect("a selector")
    }

    /// A topic that only the `n`th selector matches. All are equally long: the time to hash one, or
    /// to read it as a URL, grows with its length.
    fn topic(self, n: u32) -> String {
        match (self, self.is_template(n)) {
            (Self::Tails | Self::PatternTails, true) => format!("https://example.com/a/{n:07}"),
            (Self::PatternMiddles, _) => format!("https://example.com/a/{n:07}/1"),
            _ => format!("https://example.com/books-{n:07}/1"),
        }
    }
}

fn filled(kind: Kind, size: u32) -> TopicIndex {
    let mut index = TopicIndex::new();
    for n in 0..size {
        index.insert(n, &[kind.selector(n)]);
    }
    index
}

fn hits(index: &mut TopicIndex, topic: &str) -> u32 {
    let mut hits = 0;
    index.for_each_match(&[ComparedTopic::new(topic)], |slot| hits += black_box(slot) & 1);
    hits
}

/// An index is filled once, outside the measurement, and serves all measurements of its kind and
/// size.
fn indexes(c: &mut Criterion) {
    for (name, kind) in KINDS {
        for size in SIZES {
            let mut index = filled(kind, size);
            matching(c, &mut index, name, kind, size);
            coming_and_going(c, &mut index, name, kind, size);
        }
    }
}

fn matching(c: &mut Criterion, index: &mut TopicIndex, name: &str, kind: Kind, size: u32) {
    let one = kind.topic(size - 3);
    assert_eq!(hits(index, &one), (size - 3) & 1);
    c.bench_with_input(BenchmarkId::new(format!("match one topic/{name}"), size), &one, |b, one| {
        b.iter(|| hits(index, one));
    });
    // The step is coprime to the sizes, so it reaches all of them, far from each other.
    let many: Vec<String> = (0..size.min(65_536)).map(|n| kind.topic((n * 7_919) % size)).collect();
    let mut next = 0;
    c.bench_with_input(BenchmarkId::new(format!("match many topics/{name}"), size), &many, |b, many| {
        b.iter(|| {
            next = (next + 1) % many.len();
            hits(index, &many[next])
        });
    });
}

fn coming_and_going(c: &mut Criterion, index: &mut TopicIndex, name: &str, kind: Kind, size: u32) {
    let comers: Vec<Selector> = (size..size + COMERS).map(|n| kind.selector(n)).collect();
    c.bench_function(&format!("insert/{name}/{size}"), |b| {
        b.iter_custom(|count| come_and_go(index, &comers, size, count).0);
    });
    c.bench_function(&format!("remove/{name}/{size}"), |b| {
        b.iter_custom(|count| come_and_go(index, &comers, size, count).1);
    });
}

/// Inserts and removes `count` selectors; returns the time of each.
fn come_and_go(index: &mut TopicIndex, comers: &[Selector], size: u32, count: u64) -> (Duration, Duration) {
    let (mut inserting, mut removing) = (Duration::ZERO, Duration::ZERO);
    let mut done = 0;
    while done < count {
        let some = (count - done).min(COMERS_AT_ONCE) as usize;
        let from = done as usize % (comers.len() - some + 1);
        let (first, some) = (size + from as u32, &comers[from..from + some]);
        let began = Instant::now();
        for (slot, selector) in (first..).zip(some) {
            index.insert(slot, std::slice::from_ref(selector));
        }
        inserting += began.elapsed();
        let began = Instant::now();
        for (slot, _) in (first..).zip(some) {
            index.remove(slot);
        }
        removing += began.elapsed();
        done += some.len() as u64;
    }
    (inserting, removing)
}

/// The template with this number.
type MakeTemplate = fn(usize) -> String;

/// Templates that cost as much as a shard admits, and the topic of 1,020 bytes that costs most. The
/// goal: at most 2 ms.
fn at_the_bound(c: &mut Criterion) {
    let letters = "a".repeat(1_020);
    let mixed: String = "a/%41,b=x.?a=1&b=2;c".repeat(51);
    let attacks: [(&str, MakeTemplate, &str); 8] = [
        ("prefix lengths", |n| format!("{{+a:9000,b{n}:9999,c:8,d:22}}"), &letters),
        ("long prefix lengths", |n| format!("{{+{}z{n}}}", "a:9000,".repeat(40)), &letters),
        ("pairs", |n| format!("{{?a*,b{n}*,c*}}{{+x}}a{{y}}"), &mixed),
        ("repeated pairs", |n| format!("{{+x}}{}{{?q{n}}}", "{;a*}{;b*}".repeat(12)), &mixed),
        ("many words", |n| format!("{{+a}}{}{{+z{n}}}", "a{+x}".repeat(300)), &letters),
        ("segments", |n| format!("{{+x}}{}{{a{n}}}", "{/a,b}".repeat(20)), &mixed),
        ("one literal after another", |n| format!("{}{{+x}}", "a".repeat(n)), &letters),
        (
            "two runs after each literal",
            |n| format!("{}{{{}x}}", "a".repeat(n / 2), ["", "+"][n % 2]),
            &letters,
        ),
    ];
    for (name, template, topic) in attacks {
        let mut index = TopicIndex::new();
        for n in 0..4_000 {
            let Ok(selector) = Selector::parse(&template(n)) else { break };
            if index.price_of(n as u32, std::slice::from_ref(&selector)).total > MATCH_COST_SHARD_MAX {
                break;
            }
            index.insert(n as u32, &[selector]);
        }
        c.bench_function(&format!("at the bound/{name}"), |b| b.iter(|| hits(&mut index, topic)));
    }
}

/// Patterns that cost as much as a shard admits, and a topic of 1,020 bytes that costs much. The
/// goal: at most 2 ms.
fn patterns_at_the_bound(c: &mut Criterion) {
    let letters = format!("https://a.e.x/{}", "a".repeat(1_000));
    let attacks: [(&str, MakeTemplate); 5] = [
        ("repeated runs", |n| format!("https://a.e.x/(a*a*a*a*a*a*)b{n}")),
        ("optional bytes", |n| format!("https://a.e.x/((?:a?){{{}}}a{{50}})", 50 + n % 50)),
        ("any authority", |n| format!("*://:a{n}.e.x/*a*")),
        ("many groups", |n| format!("https://a.e.x/:a{n}{{a:b}}?{{a:c}}?{{a:d}}?{{a:e}}?")),
        ("one literal after another", |n| format!("https://a.e.x/{}*", "a".repeat(n))),
    ];
    for (name, text) in attacks {
        let mut index = TopicIndex::new();
        for n in 0..4_000 {
            let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a hub's URL");
            let Ok(selector) = Selector::parse_matcher(MatcherType::UrlPattern, &text(n), &hub) else {
                break;
            };
            if index.price_of(n as u32, std::slice::from_ref(&selector)).total > MATCH_COST_SHARD_MAX {
                break;
            }
            index.insert(n as u32, &[selector]);
        }
        c.bench_function(&format!("patterns at the bound/{name}"), |b| b.iter(|| hits(&mut index, &letters)));
    }
}

/// The patterns of a request at its bounds: as many as there may be, or as few as make up all bytes
/// or states; the first one that is refused ends the request. The goal: at most 5 ms.
fn reading(c: &mut Criterion) {
    let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a hub's URL");
    let of_regexp = |states: usize| format!("/((?:a?){{{states}}}b)");
    let names: String = (0..PATTERN_GROUPS_MAX).map(|n| format!("/:a{n}")).collect();
    let names_bytes = names.len();
    let whole = [
        ("plain", "https://example.com/books/:id".to_owned(), PATTERNS_OF_REQUEST_MAX),
        ("relative", "books/:id".to_owned(), PATTERNS_OF_REQUEST_MAX),
        ("choices", "/{a}?{b}?{c}?{d}?{e}?{f}?{g}?{h}?".to_owned(), PATTERNS_OF_REQUEST_MAX),
        ("names", names, PATTERN_BYTES_OF_REQUEST_MAX / names_bytes),
        ("wildcards", format!("https://e.x/{}", "*/".repeat(PATTERN_GROUPS_MAX)), PATTERNS_OF_REQUEST_MAX),
        ("small regexps", of_regexp(60), PATTERNS_OF_REQUEST_MAX),
        ("large regexps", of_regexp(2_000), PATTERN_STATES_OF_REQUEST_MAX / 4_000),
        ("regexps of a protocol", "((?:a?){30}b)://*".to_owned(), PATTERN_STATES_OF_REQUEST_MAX / 61),
        ("a large regexp of a protocol", "((?:a?){2000}b)://*".to_owned(), PATTERNS_OF_REQUEST_MAX),
    ];
    let pieces = [
        ("literals", "https://e.x/", "a"),
        ("groups", "https://e.x/", "{a}?"),
        ("escapes", "https://e.x/", "\\:"),
        ("letters to escape", "https://e.x/", "日"),
        ("labels of a host", "https://", "é."),
    ];
    let shortest = PATTERN_BYTES_OF_REQUEST_MAX / PATTERNS_OF_REQUEST_MAX;
    let repeated = pieces.iter().flat_map(|(name, beginning, piece)| {
        [shortest, SELECTOR_BYTES_MAX].map(|bytes| {
            let count = (bytes - beginning.len()) / piece.len();
            let text = format!("{beginning}{}", piece.repeat(count));
            (format!("{name}, {bytes} bytes each"), text, PATTERN_BYTES_OF_REQUEST_MAX / bytes)
        })
    });
    for (name, text, count) in
        whole.map(|(name, text, count)| (name.to_owned(), text, count)).into_iter().chain(repeated)
    {
        let openers = text.bytes().filter(|byte| b":({*".contains(byte)).count();
        let count = count.min(PATTERN_OPENERS_OF_REQUEST_MAX / openers.max(1));
        c.bench_function(&format!("read the patterns of a request/{name}"), |b| {
            b.iter(|| {
                let read = || Selector::parse_matcher(MatcherType::UrlPattern, black_box(&text), &hub);
                (0..count).take_while(|_| read().is_ok()).count()
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = common::brief();
    targets = indexes, at_the_bound, patterns_at_the_bound, reading
}
criterion_main!(benches);
