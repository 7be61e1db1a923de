//! Goal: over any time, with every transport and coding, while clients leave and come back, each
//! subscriber gets each update that it selected and may read exactly once and in order, and the
//! events of active subscriptions agree with their list.
//!
//! Method: two hubs as processes, one in clear text and one with TLS. In each round of a few
//! seconds publishers publish, and subscribers over HTTP/1.1 and HTTP/2, with and without
//! compression, read, break off, and resume from their last event id. Half of the clients speak
//! draft 07, the others draft 08 (`match`, URL Patterns, access tokens). A mark ends the round;
//! then the oracle compares what each has received with what was published. `SOAK_SECONDS` (60 by
//! default) says how long; `SOAK_SEED` repeats the choices of a run, which has printed it, but not
//! its timing.

#![expect(clippy::print_stdout, reason = "the seed and the counts")]

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod generation;
mod observer;
mod oracle;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use clients::{Counts, Group, Publisher, Subscriber, publish_mark};
use common::Hub;
use common::tls::{Files, Pair, trusting};
use fastrand::Rng;
use generation::{Generation, ISSUER_SETTINGS};
use observer::Observer;
use oracle::Oracle;
use rustls::version::TLS13;

const PUBLISHERS: usize = 4;
/// Subscribers with a connection of their own, over HTTP/1.1.
const ALONE: usize = 8;
/// HTTP/2 connections, and the subscribers on each.
const GROUPS: usize = 3;
const GROUP: usize = 3;
const ROUND: Duration = Duration::from_secs(3);
/// How long the events of subscriptions may take after a round: the hub may pace them.
const PRESENCE_PATIENCE: Duration = Duration::from_secs(90);
/// The history holds several rounds, so that a subscriber never comes too late.
const SETTINGS: [(&str, &str); 3] = [("SUBSCRIPTIONS", "1"), ("HISTORY_SIZE", "100000"), ("SHARDS", "2")];

/// A number from the environment.
fn given(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: expected a number")))
}

fn soak(name: &str, hub: &Hub) {
    let seed = given("SOAK_SEED").unwrap_or_else(|| fastrand::u64(..));
    let time = Duration::from_secs(given("SOAK_SECONDS").unwrap_or(60));
    println!("{name}: SOAK_SEED={seed} SOAK_SECONDS={}", time.as_secs());
    let mut rng = Rng::with_seed(seed);
    let generations = [Generation::Old, Generation::New];
    let mut observers = generations.map(|generation| Observer::new(hub, generation));
    let [mut auditor, mut second_auditor] =
        generations.map(|generation| Subscriber::auditor(generation, rng.fork()));
    let mut publishers: Vec<_> = (0..PUBLISHERS).map(|number| Publisher::new(number, rng.fork())).collect();
    let mut alone: Vec<_> =
        (0..ALONE).map(|number| Subscriber::new(Generation::of(number), rng.fork())).collect();
    let mut groups: Vec<_> = (0..GROUPS)
        .map(|_| {
            let one = |number| Subscriber::new(Generation::of(number), rng.fork());
            Group::new((0..GROUP).map(one).collect())
        })
        .collect();
    // Each observer knows the subscriptions of its version alone.
    let selectors = generations.map(|generation| {
        let all = alone.iter().chain(groups.iter().flat_map(|group| &group.subscribers));
        let all = all.chain([&auditor, &second_auditor]).filter(|it| it.generation == generation);
        all.map(|subscriber| subscriber.selectors).sum::<usize>() + observer::SELECTORS
    });
    let (oracle, mut counts, began, mut rounds) =
        (Mutex::new(Oracle::default()), Counts::default(), Instant::now(), 0_u64);
    while began.elapsed() < time {
        rounds += 1;
        let mark = &format!("mark-{rounds}");
        let until = Instant::now() + ROUND.min(time);
        std::thread::scope(|scope| {
            let oracle = &oracle;
            let publishing: Vec<_> = publishers
                .iter_mut()
                .map(|publisher| scope.spawn(move || publisher.run(hub, until, oracle)))
                .collect();
            let mut reading: Vec<_> =
                groups.iter_mut().map(|group| scope.spawn(move || group.run(hub, mark))).collect();
            reading.extend(alone.iter_mut().chain([&mut auditor, &mut second_auditor]).map(|subscriber| {
                scope.spawn(move || {
                    let mut counts = Counts::default();
                    subscriber.run(hub, None, mark, &mut counts);
                    counts
                })
            }));
            for observer in &mut observers {
                scope.spawn(|| observer.run(mark));
            }
            for thread in publishing {
                counts.add(thread.join().expect("the publishers go on"));
            }
            // Published also when a subscriber has failed: the others then end, and the test.
            publish_mark(hub, mark);
            for thread in reading {
                counts.add(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
        });
        let mut oracle = oracle.lock().expect("no panic");
        let order = std::mem::take(&mut auditor.received);
        let failed = |fault: String| panic!("{name}, round {rounds}, SOAK_SEED={seed}: {fault}");
        oracle.check_order(&order).unwrap_or_else(failed);
        let all = alone.iter_mut().chain(groups.iter_mut().flat_map(|group| &mut group.subscribers));
        let all = all.chain([&mut second_auditor]);
        for (number, subscriber) in all.enumerate() {
            let received = std::mem::take(&mut subscriber.received);
            let fault = oracle.check(&subscriber.selection, &order, &received);
            fault.unwrap_or_else(|fault| failed(format!("subscriber {number}: {fault}")));
        }
        oracle.next_round(&order);
        for (observer, selectors) in observers.iter_mut().zip(selectors) {
            observer.check(hub, selectors, PRESENCE_PATIENCE);
        }
    }
    println!("{name}: {rounds} rounds in {:?}: {counts:?}", began.elapsed());
    for kind in ["identity", "gzip", "zstd", "HTTP/1.1", "HTTP/2", "07", "08"] {
        assert!(counts.opened.contains_key(kind), "no stream had {kind}");
    }
    assert!(counts.published > 0 && counts.received > 0 && counts.resumed > 0, "nothing was exercised");
}

#[test]
fn updates_and_presence_are_true_for_as_long_as_it_takes_in_clear_text() {
    soak("clear text", &Hub::start(&[&SETTINGS[..], &ISSUER_SETTINGS].concat()));
}

#[test]
fn updates_and_presence_are_true_for_as_long_as_it_takes_over_tls() {
    let pair = Pair::new();
    // For HTTP/2 the clients offer that.
    let clients = trusting(&[&pair], &[&TLS13], &["http/1.1"]);
    soak("TLS", &Files::new("soak", &pair).start(&[&SETTINGS[..], &ISSUER_SETTINGS].concat(), &clients));
}
