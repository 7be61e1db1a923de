//! Goal: with active subscriptions (`SUBSCRIPTIONS=1`), strangers that come and go neither write to
//! the disk without limit nor push updates out of a bounded history.
//!
//! Method: strangers subscribe with as many selectors as they may, leave, and come back, from many
//! addresses, while the kernel counts what the hub writes. Then a subscriber returns.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Hub, Stream, get};
use crate::hostile::witness::{AttackedHub, Witness, connect, size};

/// Selectors of one subscription that fill a request target.
const SELECTORS_MAX: usize = 1_000;
/// What strangers may make the hub write, in bytes per second.
const DISK_BYTES_PER_S: u64 = 1_000_000;
/// What may come on top of it once: the burst of a budget, and the growth of the file.
const DISK_BYTES_ONCE: u64 = 2_000_000;

/// A hub whose history is on a disk, in a folder that is removed with the value.
fn start(name: &str, settings: &[(&str, &str)]) -> (AttackedHub, tempfile::TempDir) {
    // The folder for temporary files may be in memory, where nothing is written to a disk.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let file = folder.path().join("updates.db");
    let path = file.to_str().expect("UTF-8");
    let all = [&[("SUBSCRIPTIONS", "1"), ("DB_PATH", path)], settings].concat();
    (AttackedHub::start(name, &all), folder)
}

/// A subscription with `count` exact selectors that no other number has.
fn query(number: usize, count: usize) -> String {
    let selector = |at: usize| format!("topic=https://s.example/{number}/{at}");
    (0..count).map(selector).collect::<Vec<_>>().join("&")
}

/// Subscribes, and leaves if the hub has accepted; whether it has.
fn come_and_go(hub: &Hub, number: usize, count: usize) -> bool {
    let mut client = connect(hub, number % 2_000);
    client.send(&get(&query(number, count), ""));
    Stream::open(client).status == 200
}

/// The largest number of selectors that a stranger may have.
fn largest(hub: &Hub) -> usize {
    let mut count = SELECTORS_MAX;
    while count > 1 && !come_and_go(hub, 1_999, count) {
        count /= 2;
    }
    count
}

/// Strangers come and go for some time, on four threads; returns how many were accepted.
fn churn(hub: &Hub, time: Duration) -> usize {
    let (count, next, accepted) = (largest(hub), AtomicUsize::new(0), AtomicUsize::new(0));
    let until = Instant::now() + time;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while Instant::now() < until {
                    let is_accepted = come_and_go(hub, next.fetch_add(1, Ordering::Relaxed), count);
                    accepted.fetch_add(usize::from(is_accepted), Ordering::Relaxed);
                }
            });
        }
    });
    let (all, accepted) = (next.into_inner(), accepted.into_inner());
    println!("{all} subscriptions of {count} selectors, {accepted} accepted, in {time:?}");
    accepted
}

#[test]
fn strangers_that_come_and_go_write_no_more_than_their_budget_to_the_disk() {
    let (attacked, _folder) = start("presence-disk", &[]);
    let mut witness = Witness::new(attacked.hub());
    witness.measure("before", 27, 5);
    let time = Duration::from_secs(size(12, 60) as u64);
    let (began, before) = (Instant::now(), attacked.disk_bytes());
    let accepted = churn(attacked.hub(), time);
    let (bytes, took) = (attacked.disk_bytes() - before, began.elapsed());
    let may = DISK_BYTES_ONCE + (took.as_secs_f64() * DISK_BYTES_PER_S as f64) as u64;
    println!("{:.3} MB/s to the disk", bytes as f64 / 1e6 / took.as_secs_f64());
    assert!(accepted > 0, "no stranger may subscribe");
    assert!(bytes <= may, "{bytes} bytes to the disk in {took:?}, {may} are the budget");
    witness.measure("afterwards", 27, 5);
    attacked.finish();
}

/// A crowd that stays counts as well as one that leaves: events announce both.
#[test]
fn strangers_push_no_update_out_of_a_bounded_history() {
    let updates = size(500, 10_000);
    let bound = updates.to_string();
    let (attacked, _folder) =
        start("presence-history", &[("HISTORY_SIZE", &bound), ("HISTORY_SYNC", "interval")]);
    let hub = attacked.hub();
    let missed: Vec<_> = (0..updates).map(|number| hub.publish(&format!("topic=t&id=i{number}"))).collect();
    let count = largest(hub);
    let crowd: Vec<_> = (0..70)
        .map(|number| {
            let mut client = connect(hub, number);
            client.send(&get(&query(number, count), ""));
            Stream::open(client)
        })
        .collect();
    churn(hub, Duration::from_secs(size(3, 20) as u64));
    drop(crowd);
    // All but the first: its event is the oldest that the history holds.
    let mut returning = hub.subscribe(&format!("topic=t&lastEventID={}", missed[0]));
    assert_eq!(returning.header("Last-Event-ID"), Some(missed[0].as_str()), "updates were pushed out");
    assert_eq!(returning.ids(updates - 1), missed[1..]);
    attacked.finish();
}

/// Each stream of a connection is a subscription, and a reset ends it: no handshake is needed.
#[test]
fn a_listing_client_is_served_while_strangers_come_and_go() {
    let (attacked, _folder) = start("presence-list", &[]);
    let hub = attacked.hub();
    let stops = AtomicBool::new(false);
    let mut witness = Witness::new(hub);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stops.load(Ordering::Relaxed) {
                churn(hub, Duration::from_secs(1));
            }
        });
        witness.measure_all("beside strangers that come and go", size(5, 50));
        let one = "/.well-known/mercure/subscriptions/https%3A%2F%2Fexample.com%2F";
        let answer = crate::common::subscriptions::ask(hub, one);
        assert_eq!(answer.status, 200, "{answer:?}");
        stops.store(true, Ordering::Relaxed);
    });
    attacked.finish();
}
