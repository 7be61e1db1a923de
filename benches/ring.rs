//! The cross-core ring beside a crossbeam channel that carries the same entries, as the sequencer
//! and a shard use it.
//!
//! - `hop`: one entry to another thread and one back, both sides spinning. This is twice the way of
//!   one entry between two cores.
//! - `stream`: a producer at full speed, and a consumer on another thread that drains batches. This
//!   is the cost of one entry.
//! - `batch`: a full batch pushed and drained by one thread: the same without any traffic between
//!   cores.
//!
//! Each side is pinned to its own core. With fewer idle cores than threads, `hop` and `stream`
//! mostly measure the scheduler; a thread that waits long yields, so that the runs end.
//!
//! A channel needs one copy of the entry, and one channel, for each reader; the ring needs neither.
//! `stream` with several consumers, which runs if there are cores for them, shows that.

mod common;

use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use crossbeam_channel::{Receiver, Sender, bounded};
use petasos::history::{Position, SequencedUpdate};
use petasos::hub::sequencer::{ReplyTo, RingEntry};
use petasos::limits::{RING_BATCH_MAX, RING_ENTRIES};
use petasos::mercure::audience::Authorization;
use petasos::mercure::update::Update;
use petasos::ring::{Consumer, DrainStep, Producer, ring};
use petasos::sse::frame::Frame;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const REPLY_TO: ReplyTo = ReplyTo::Request { shard: 0, connection: 0, serial: 0 };

fn frame() -> Arc<Frame> {
    let body = format!("topic=https://example.com/books/1&data={}", "x".repeat(200));
    let update = Update::parse(body.as_bytes(), Authorization::Selectors, [7; 16]).expect("a publication");
    Arc::new(Frame::encode(update))
}

fn entry(number: u64, frame: &Arc<Frame>) -> RingEntry {
    let update =
        SequencedUpdate { position: Position::new(number), frame: Arc::clone(frame), first_of_id: true };
    RingEntry::Published { update, reply_to: REPLY_TO }
}

fn position(entry: &RingEntry) -> u64 {
    match entry {
        RingEntry::Published { update, .. } => update.position.get(),
        RingEntry::Rejected { .. } | RingEntry::Discarded { .. } | RingEntry::End => 0,
    }
}

/// What is compared: a way to pass entries from one thread to another without waiting.
trait Way: Sized {
    type Out: Outlet;
    /// One end to write and `readers` to read.
    fn open(readers: usize) -> (Self, Vec<Self::Out>);
    /// Spins until there is room, then hands an entry to every reader.
    fn put(&mut self, number: u64, frame: &Arc<Frame>);
}

trait Outlet: Send + 'static {
    /// Takes up to one batch; returns the number of entries and the last position.
    fn take(&mut self) -> (u64, u64);
}

impl Way for Producer<RingEntry> {
    type Out = Consumer<RingEntry>;

    fn open(readers: usize) -> (Self, Vec<Self::Out>) {
        ring(RING_ENTRIES, readers)
    }

    fn put(&mut self, number: u64, frame: &Arc<Frame>) {
        let mut patience = Patience::default();
        let mut waiting = entry(number, frame);
        while let Err(back) = self.push(waiting) {
            waiting = back;
            patience.wait();
        }
    }
}

impl Outlet for Consumer<RingEntry> {
    fn take(&mut self) -> (u64, u64) {
        let mut last = 0;
        let count = self.drain(RING_BATCH_MAX, |entry| {
            last = position(entry);
            DrainStep::GoOn
        });
        (count as u64, last)
    }
}

impl Way for Vec<Sender<RingEntry>> {
    type Out = Receiver<RingEntry>;

    fn open(readers: usize) -> (Self, Vec<Self::Out>) {
        (0..readers).map(|_| bounded(RING_ENTRIES)).unzip()
    }

    fn put(&mut self, number: u64, frame: &Arc<Frame>) {
        for sender in self {
            let mut patience = Patience::default();
            let mut waiting = entry(number, frame);
            while let Err(back) = sender.try_send(waiting) {
                waiting = back.into_inner();
                patience.wait();
            }
        }
    }
}

impl Outlet for Receiver<RingEntry> {
    fn take(&mut self) -> (u64, u64) {
        self.try_iter().take(RING_BATCH_MAX).fold((0, 0), |(count, _), entry| (count + 1, position(&entry)))
    }
}

/// Waits a moment by spinning; after many waits in a row, it yields to other threads.
#[derive(Default)]
struct Patience(u32);

impl Patience {
    fn wait(&mut self) {
        self.0 += 1;
        if self.0.is_multiple_of(4_096) {
            std::thread::yield_now();
        } else {
            spin_loop();
        }
    }
}

/// The cores that this process may run on. List them before pinning a thread: a new thread inherits
/// the core of its parent.
#[derive(Clone)]
struct Cores(Vec<usize>);

impl Cores {
    fn all() -> Self {
        let Ok(all) = sched_getaffinity(None) else { return Self(Vec::new()) };
        Self((0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).collect())
    }

    /// Pins this thread to core `n`, modulo the number of cores.
    fn pin(&self, n: usize) {
        let Some(cpu) = self.0.get(n % self.0.len().max(1)) else { return };
        let mut one = CpuSet::new();
        one.set(*cpu);
        // If pinning is not allowed, the kernel chooses the core.
        let _ = sched_setaffinity(None, &one);
    }
}

/// Takes entries until it has the one at this position.
fn take_until(outlet: &mut impl Outlet, number: u64) {
    let mut patience = Patience::default();
    loop {
        match outlet.take() {
            (_, last) if last >= number => return,
            (0, _) => patience.wait(),
            _ => patience = Patience::default(),
        }
    }
}

/// Runs on a separate thread, as the hub's shards do, so that this thread is not pinned.
fn apart(run: impl FnOnce() -> Duration + Send) -> Duration {
    std::thread::scope(|scope| scope.spawn(run).join().expect("it ends"))
}

fn hop<W: Way + Send + 'static>(count: u64) -> Duration {
    let frame = frame();
    let cores = Cores::all();
    cores.pin(0);
    let (mut there, mut arrivals) = W::open(1);
    let (mut back, mut answers) = W::open(1);
    let (mut arrival, mut answer) = (arrivals.remove(0), answers.remove(0));
    let echoed = Arc::clone(&frame);
    let echo = std::thread::spawn(move || {
        cores.pin(1);
        for number in 1..=count {
            take_until(&mut arrival, number);
            back.put(number, &echoed);
        }
    });
    let began = Instant::now();
    for number in 1..=count {
        there.put(number, &frame);
        take_until(&mut answer, number);
    }
    let took = began.elapsed();
    echo.join().expect("the echo ends");
    took
}

fn stream<W: Way>(readers: usize, count: u64) -> Duration {
    let frame = frame();
    let (mut way, outlets) = W::open(readers);
    let cores = Cores::all();
    cores.pin(0);
    let began = Instant::now();
    let read = |(n, mut outlet): (usize, W::Out)| {
        let cores = cores.clone();
        std::thread::spawn(move || {
            cores.pin(n + 1);
            take_until(&mut outlet, count);
        })
    };
    let readers: Vec<_> = outlets.into_iter().enumerate().map(read).collect();
    (1..=count).for_each(|number| way.put(number, &frame));
    for reader in readers {
        reader.join().expect("the reader ends");
    }
    began.elapsed()
}

fn batch<W: Way>(count: u64) -> Duration {
    let frame = frame();
    let (mut way, mut outlets) = W::open(1);
    let batch = RING_BATCH_MAX as u64;
    let began = Instant::now();
    let mut number = 0;
    while number < count {
        let end = count.min(number + batch);
        (number + 1..=end).for_each(|number| way.put(number, &frame));
        black_box(outlets[0].take());
        number = end;
    }
    began.elapsed()
}

fn ways(c: &mut Criterion) {
    let mut group = c.benchmark_group("cross-core");
    group.bench_function("hop/ring", |b| b.iter_custom(|count| apart(|| hop::<Producer<RingEntry>>(count))));
    group.bench_function("hop/channel", |b| {
        b.iter_custom(|count| apart(|| hop::<Vec<Sender<RingEntry>>>(count)));
    });
    // The producer needs a core, too.
    let cores = Cores::all().0.len();
    for readers in (1..=3).take_while(|readers| *readers == 1 || *readers < cores) {
        group.bench_function(format!("stream to {readers}/ring"), |b| {
            b.iter_custom(|count| apart(|| stream::<Producer<RingEntry>>(readers, count)));
        });
        group.bench_function(format!("stream to {readers}/channel"), |b| {
            b.iter_custom(|count| apart(|| stream::<Vec<Sender<RingEntry>>>(readers, count)));
        });
    }
    group.bench_function("batch/ring", |b| b.iter_custom(batch::<Producer<RingEntry>>));
    group.bench_function("batch/channel", |b| b.iter_custom(batch::<Vec<Sender<RingEntry>>>));
    group.finish();
}

criterion_group! {
    name = benches;
    config = common::brief();
    targets = ways
}
criterion_main!(benches);
