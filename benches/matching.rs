//! The topic index: what a publication, an arrival and a departure cost with 10, 10,000 and 1,000,000 selectors held.
//!
//! The bar: matching one exact topic with a million other selectors held, 200,000 of them templates, takes at most 1.2 times
//! what it takes with ten (`match one topic/mixed`). `match many topics` asks for another topic each time, so that it also
//! counts the cache misses of a large index. `tails` are templates of one head, told apart behind their expression.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use petasos::protocol::selector::Selector;
use petasos::protocol::trie::TopicIndex;

const SIZES: [u32; 3] = [10, 10_000, 1_000_000];

#[derive(Clone, Copy)]
enum Kind {
    Exact,
    Templates,
    /// One in five is a template.
    Mixed,
    /// As mixed, but all templates have one head.
    Tails,
}

const KINDS: [(&str, Kind); 4] =
    [("exact", Kind::Exact), ("templates", Kind::Templates), ("mixed", Kind::Mixed), ("tails", Kind::Tails)];

impl Kind {
    fn is_template(self, n: u32) -> bool {
        match self {
            Self::Exact => false,
            Self::Templates => true,
            Self::Mixed | Self::Tails => n.is_multiple_of(5),
        }
    }

    fn selector(self, n: u32) -> Selector {
        let text = match (self, self.is_template(n)) {
            (Self::Tails, true) => format!("https://example.com/{{shelf}}/{n}"),
            (_, true) => format!("https://example.com/books-{n}/{{id}}"),
            (_, false) => self.topic(n),
        };
        Selector::parse(&text).expect("a selector")
    }

    /// A topic that the `n`th selector matches, and no other one.
    fn topic(self, n: u32) -> String {
        match (self, self.is_template(n)) {
            (Self::Tails, true) => format!("https://example.com/a/{n}"),
            _ => format!("https://example.com/books-{n}/1"),
        }
    }
}

fn index(kind: Kind, size: u32) -> TopicIndex {
    let mut index = TopicIndex::new();
    for n in 0..size {
        index.insert(n, &[kind.selector(n)]);
    }
    index
}

fn hits(index: &mut TopicIndex, topic: &str) -> u32 {
    let mut hits = 0;
    index.for_each_match([topic].into_iter(), |slot| hits += black_box(slot) & 1);
    hits
}

fn matching(c: &mut Criterion) {
    for (name, kind) in KINDS {
        for size in SIZES {
            let mut index = index(kind, size);
            let one = kind.topic(size - 3);
            c.bench_with_input(BenchmarkId::new(format!("match one topic/{name}"), size), &one, |b, one| {
                b.iter(|| hits(&mut index, one));
            });
            // A step that shares no factor with the sizes visits all of them, far from each other.
            let many: Vec<String> = (0..size.min(65_536)).map(|n| kind.topic((n * 7_919) % size)).collect();
            let mut next = 0;
            c.bench_with_input(
                BenchmarkId::new(format!("match many topics/{name}"), size),
                &many,
                |b, many| {
                    b.iter(|| {
                        next = (next + 1) % many.len();
                        hits(&mut index, &many[next])
                    });
                },
            );
        }
    }
}

fn coming_and_going(c: &mut Criterion) {
    for (name, kind) in KINDS {
        for size in SIZES {
            let mut index = index(kind, size);
            let mut n = size;
            c.bench_function(&format!("insert and remove/{name}/{size}"), |b| {
                b.iter_batched(
                    || {
                        n += 1;
                        [kind.selector(n)]
                    },
                    |selectors| {
                        index.insert(size, &selectors);
                        index.remove(size);
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = matching, coming_and_going
}
criterion_main!(benches);
