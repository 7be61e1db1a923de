//! The fan-out without a kernel: `Shard::take` and `Shard::flush` for 1,000 and 10,000 subscribers
//! of one topic, with a wire in memory. This measures the hub's own work per send: finding the
//! subscribers, queueing the update, and handing over the bytes.
//!
//! The time is that of one delivery (`Throughput::Elements`). For comparison: the same bytes copied
//! once per subscriber, the least work that a kernel does for a send; and four updates flushed
//! together, in one send.

mod common;

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use petasos::history::{HistorySlice, Position, SequencedUpdate};
use petasos::hub::client::ClientKey;
use petasos::hub::shard::{Joining, Shard, ShardSettings};
use petasos::hub::tail::TailBounds;
use petasos::limits::{FLUSH_BATCH_MAX, SUBSCRIBER_BUFFER_DEFAULT, TAIL_UPDATES_MAX};
use petasos::mercure::audience::Authorization;
use petasos::mercure::grant::Grant;
use petasos::mercure::selector::Selector;
use petasos::mercure::subscription::SubscriberId;
use petasos::mercure::token::{LegacyClaims, MercureClaim};
use petasos::mercure::update::Update;
use petasos::sse::frame::Frame;
use petasos::sse::framing::Framing;
use petasos::sse::wire::{Sent, Wire};
use petasos::time::Now;

const TOPIC: &str = "https://example.com/books/1";
const NOW: Now = Now { ms: 1, unix_ms: 1_700_000_000_000 };
const SUBSCRIBERS: [usize; 2] = [1_000, 10_000];

/// A wire that accepts and counts everything.
#[derive(Default)]
struct Memory {
    sends: u64,
    bytes: u64,
}

impl Wire for Memory {
    fn send(&mut self, _slot: u32, bytes: &[u8]) -> Sent {
        self.sends += 1;
        self.bytes += black_box(bytes).len() as u64;
        Sent::Bytes(bytes.len())
    }
}

/// Updates with distinct ids, as many as a shard's tail holds. When they are used again, the tail
/// has dropped them.
fn frames(private: &str) -> Vec<Arc<Frame>> {
    let body = format!("topic={TOPIC}&data={}{private}", "x".repeat(200));
    let frame = |number: usize| {
        let random = (number as u128).to_be_bytes();
        let update = Update::parse(body.as_bytes(), Authorization::Selectors, random).expect("a publication");
        Arc::new(Frame::encode(update))
    };
    (0..TAIL_UPDATES_MAX).map(frame).collect()
}

/// The grant of a subscriber that may receive private updates of its topic.
fn grant() -> Grant {
    let mercure = MercureClaim { subscribe: Some(vec![TOPIC.to_owned()]), ..MercureClaim::default() };
    Grant::from_claims(&LegacyClaims { mercure, exp_ms: None }.into(), Authorization::Selectors)
        .expect("a grant")
}

struct Fanout<'f> {
    shard: Shard,
    wire: Memory,
    frames: &'f [Arc<Frame>],
    position: Position,
}

impl<'f> Fanout<'f> {
    /// One in `share` subscribers selects the topic; each of the others selects a different topic.
    fn new(subscribers: usize, share: usize, frames: &'f [Arc<Frame>]) -> Self {
        let settings = ShardSettings {
            heartbeat_ms: 15_000,
            dispatch_timeout_ms: 30_000,
            subscriber_buffer_bytes: SUBSCRIBER_BUFFER_DEFAULT,
            tail: TailBounds::default(),
            tracks_subscriptions: false,
        };
        let mut shard = Shard::new(settings, &HistorySlice::empty(), NOW);
        for number in 0..subscribers {
            let own = format!("https://example.com/users/{number}");
            let selector = if number % share == 0 { TOPIC } else { &own };
            let joining = Joining {
                key: None,
                selectors: vec![Selector::parse(selector).expect("a selector")],
                announcements: Box::default(),
                grant: Rc::new(grant()),
                expires_ms: u64::MAX,
                framing: Framing::CHUNKED,
                id: SubscriberId::from_random_bytes([0; 16]),
                client: ClientKey::Unknown,
                resume_point: None,
                opening: Framing::CHUNKED.opening().into(),
            };
            shard.join(joining, NOW);
        }
        let wire = Memory::default();
        let mut this = Self { shard, wire, frames, position: Position::START };
        this.flush();
        this
    }

    fn take(&mut self) {
        self.position = self.position.next();
        let frame = Arc::clone(&self.frames[self.position.get() as usize % self.frames.len()]);
        self.shard.take(&SequencedUpdate { position: self.position, frame, first_of_id: true });
    }

    fn flush(&mut self) {
        while self.shard.has_work() {
            self.shard.flush(FLUSH_BATCH_MAX, NOW, &mut self.wire);
        }
    }

    /// Delivers `updates` updates in one flush.
    fn deliver(&mut self, updates: usize) {
        (0..updates).for_each(|_| self.take());
        self.flush();
    }

    /// Checks that one round does what its name says.
    fn check(&mut self, updates: usize, sends: u64) {
        let (sent, bytes) = (self.wire.sends, self.wire.bytes);
        self.deliver(updates);
        let chunk = self.frames[0].chunk().len() as u64;
        assert_eq!(
            (self.wire.sends - sent, self.wire.bytes - bytes),
            (sends, sends * chunk * updates as u64)
        );
    }
}

fn fanout(c: &mut Criterion) {
    let (public, private) = (frames(""), frames("&private=on"));
    let mut group = c.benchmark_group("fan-out, per delivery");
    for subscribers in SUBSCRIBERS {
        let rounds = [
            ("one update", 1, 1, &public),
            ("four updates in a send", 4, 1, &public),
            ("private", 1, 1, &private),
            ("to one in a hundred", 1, 100, &public),
        ];
        for (name, updates, share, frames) in rounds {
            let mut fanout = Fanout::new(subscribers, share, frames);
            let receivers = (subscribers / share) as u64;
            fanout.check(updates, receivers);
            group.throughput(Throughput::Elements(receivers * updates as u64));
            group.bench_function(BenchmarkId::new(name, subscribers), |b| b.iter(|| fanout.deliver(updates)));
        }
        let frame = &public[0];
        let mut places: Vec<Box<[u8]>> = vec![vec![0; frame.chunk().len()].into(); subscribers];
        group.throughput(Throughput::Elements(subscribers as u64));
        group.bench_function(BenchmarkId::new("the bytes copied", subscribers), |b| {
            b.iter(|| {
                for place in &mut places {
                    place.copy_from_slice(black_box(frame.chunk()));
                }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = common::brief();
    targets = fanout
}
criterion_main!(benches);
