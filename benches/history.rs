//! The history in its file: the cost of a commit of one update and of 64, with and without waiting
//! for the disk; the cost of finding an id, known or not, and of reading a slice. The time of a
//! commit is that of one update (`Throughput::Elements`).
//!
//! For comparison: the same bytes appended to a plain file, with and without waiting for the disk.
//! This is the least work that a history could do.

mod common;

use std::hint::black_box;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use petasos::history::redb::{HistorySync, RedbHistory};
use petasos::history::{History as _, Position, Retention};
use petasos::limits::{CATCH_UP_BYTES, CATCH_UP_UPDATES};
use petasos::mercure::audience::Authorization;
use petasos::mercure::update::Update;
use petasos::sse::frame::Frame;

/// Updates in the file before the measurement; `HISTORY_HELD` sets another number.
const HELD: usize = 100_000;
const BATCH: usize = 64;
const NOW_MS: u64 = 1_700_000_000_000;

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn folder(name: &str) -> Folder {
    let path = std::env::temp_dir().join(format!("petasos-bench-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a folder");
    Folder(path)
}

/// An update of 200 bytes with an id that its publisher has chosen.
fn frame_with_id(random: &mut fastrand::Rng) -> Arc<Frame> {
    let body =
        format!("topic=https://example.com/books/1&data={}&id={:032x}", "x".repeat(142), random.u128(..));
    let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("a valid body");
    Arc::new(Frame::encode(update))
}

/// An update of 200 bytes with an id like those that the hub generates.
fn frame(random: &mut fastrand::Rng) -> Arc<Frame> {
    let body = format!("topic=https://example.com/books/1&data={}", "x".repeat(142));
    let id = random.u128(..).to_ne_bytes();
    let update = Update::parse(body.as_bytes(), Authorization::Selectors, id).expect("a valid body");
    Arc::new(Frame::encode(update))
}

fn frames(random: &mut fastrand::Rng, count: usize) -> Vec<Arc<Frame>> {
    (0..count).map(|_| frame(random)).collect()
}

fn history(folder: &Folder, sync: HistorySync, random: &mut fastrand::Rng) -> RedbHistory {
    let file = folder.0.join("updates.db");
    let mut filled = RedbHistory::open(&file, Retention::default(), HistorySync::Never).expect("a new file");
    let held = std::env::var("HISTORY_HELD").map_or(HELD, |text| text.parse().expect("a number"));
    for _ in 0..held / 10_000 {
        filled.append(&frames(random, 10_000), NOW_MS).expect("room");
    }
    drop(filled);
    RedbHistory::open(&file, Retention::default(), sync).expect("ours")
}

fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    for (name, sync) in [("never", HistorySync::Never), ("always", HistorySync::Always)] {
        let mut random = fastrand::Rng::with_seed(1);
        let folder = folder(name);
        let mut history = history(&folder, sync, &mut random);
        for count in [1, BATCH] {
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter_batched(
                    || frames(&mut random, count),
                    |batch| history.append(&batch, NOW_MS).expect("room"),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    {
        let mut random = fastrand::Rng::with_seed(1);
        let folder = folder("ids");
        let mut history = history(&folder, HistorySync::Never, &mut random);
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(BenchmarkId::new("ids of publishers, never", BATCH), |bencher| {
            bencher.iter_batched(
                || (0..BATCH).map(|_| frame_with_id(&mut random)).collect::<Vec<_>>(),
                |batch| history.append(&batch, NOW_MS).expect("room"),
                BatchSize::SmallInput,
            );
        });
    }
    for (name, waits) in [("a plain file, never", false), ("a plain file, always", true)] {
        let mut random = fastrand::Rng::with_seed(1);
        let folder = folder("plain");
        let mut file = std::fs::File::create(folder.0.join("plain")).expect("a new file");
        for count in [1, BATCH] {
            let frames = frames(&mut random, count);
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| {
                    let batch: Vec<u8> = frames.iter().flat_map(|frame| frame.event()).copied().collect();
                    file.write_all(&batch).expect("room");
                    if waits {
                        file.sync_data().expect("a disk");
                    }
                });
            });
        }
    }
    group.finish();
}

fn reads(criterion: &mut Criterion) {
    let mut random = fastrand::Rng::with_seed(1);
    let folder = folder("reads");
    let history = history(&folder, HistorySync::Never, &mut random);
    let reader = history.reader();
    let known = reader.newest(1, 1).expect("readable").updates[0].frame.id().clone();
    let mut group = criterion.benchmark_group("read");
    group.bench_function("a known id", |bencher| bencher.iter(|| black_box(reader.locate(known.as_str()))));
    group.bench_function("an unknown id", |bencher| bencher.iter(|| black_box(reader.locate("urn:uuid:no"))));
    group.bench_function("a stretch", |bencher| {
        bencher.iter(|| black_box(reader.read(Position::new(1_000), CATCH_UP_UPDATES, CATCH_UP_BYTES)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = common::brief();
    targets = commits, reads
}
criterion_main!(benches);
