//! Acknowledged updates survive SIGKILL.
//!
//! Goal: an id that got a 200 is in the history after a crash, once and in order; a subscriber that
//! reconnects with its last event id gets each update exactly once. Method: a publisher journals
//! every
//! 200. The hub is killed at a random moment and restarted on the same file and port, for
//!      `CRASH_ROUNDS` rounds (default 30). `CRASH_SEED` replays the moments.

use crate::common;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::common::{Hub, get, id, post, publisher};
use rustix::process::Signal;

const DEADLINE: Duration = Duration::from_secs(20);
/// Longer than a start of the hub: a socket silent for this time belongs to a killed hub.
const QUIET: Duration = Duration::from_millis(500);

fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn start(database: &Path, address: &str) -> Hub {
    Hub::start(&[("DB_PATH", database.to_str().expect("UTF-8")), ("ADDR", address)])
}

/// Sends a request, and passes the response so far to `hear` until that returns true or the hub is
/// gone.
fn exchange(address: SocketAddr, request: &str, mut hear: impl FnMut(&str) -> bool) {
    let Ok(mut socket) = TcpStream::connect(address) else {
        // The hub is starting. A refused connection costs nothing, so yield before the next
        // attempt.
        std::thread::yield_now();
        return;
    };
    socket.set_read_timeout(Some(QUIET)).expect("a timeout");
    if socket.write_all(request.as_bytes()).is_err() {
        return;
    }
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = socket.read(&mut buffer) {
        text.push_str(std::str::from_utf8(&buffer[..count]).expect("ASCII"));
        if count == 0 || hear(&text) {
            return;
        }
    }
}

/// Publishes one id after the other. An id without a 200 may be stored or not, so it is never
/// reused.
fn publish(address: SocketAddr, stop: &AtomicBool, journal: &Sender<String>) {
    let token = publisher();
    let mut number = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        number += 1;
        let id = format!("update-{number}");
        let request = post(&format!("topic=t&data=x&id={id}"), Some(&token));
        let mut acknowledged = false;
        exchange(address, &request, |text| {
            acknowledged = text.starts_with("HTTP/1.1 200 ") && text.ends_with(&id);
            acknowledged
        });
        if acknowledged {
            journal.send(id).expect("the test listens");
        }
    }
}

/// Stays subscribed through every crash; sends each received id to `seen`.
fn follow(address: SocketAddr, stop: &AtomicBool, seen: &Sender<String>) {
    let mut last = "earliest".to_owned();
    while !stop.load(Ordering::SeqCst) {
        let request = get("topic=t", &format!("Last-Event-ID: {last}\r\n"));
        let mut done = 0;
        exchange(address, &request, |text| {
            // An event is complete with its empty line; only then is it the last one seen.
            while let Some(end) = text[done..].find("\ndata: x\n\n") {
                let event = &text[done..done + end];
                last = event.rsplit("id: ").next().expect("an id").to_owned();
                seen.send(last.clone()).expect("the test listens");
                done += end + "\ndata: x\n\n".len();
            }
            stop.load(Ordering::SeqCst)
        });
    }
}

fn wait_for(ids: &Receiver<String>, wanted: &str, into: &mut Vec<String>) {
    let until = Instant::now() + DEADLINE;
    while into.last().is_none_or(|last| last != wanted) {
        let left = until.saturating_duration_since(Instant::now());
        into.push(
            ids.recv_timeout(left).unwrap_or_else(|_| panic!("{wanted} never came: {:?}", into.last())),
        );
    }
}

#[test]
fn what_was_acknowledged_survives_sigkill_and_reaches_a_returning_subscriber_exactly_once() {
    let rounds = from_environment("CRASH_ROUNDS").unwrap_or(30);
    let seed = from_environment("CRASH_SEED").unwrap_or_else(|| fastrand::u64(..));
    // A failed test can be replayed from this seed.
    let _ = writeln!(std::io::stderr(), "CRASH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let directory = std::env::temp_dir().join(format!("petasos-crash-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory");
    let database = directory.join("updates.db");

    let mut hub = start(&database, "127.0.0.1:0");
    let address = hub.address;
    let (stop, follower_stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let (journal, acknowledged) = channel();
    let (tell, seen) = channel();
    let (mut journalled, mut received) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| publish(address, &stop, &journal));
        let follower = scope.spawn(|| follow(address, &follower_stop, &tell));
        for _ in 0..rounds {
            // Each round gets some updates through, then kills the hub at a random moment.
            journalled.push(acknowledged.recv_timeout(DEADLINE).expect("the hub serves again"));
            std::thread::sleep(Duration::from_micros(random.u64(0..60_000)));
            hub.signal(Signal::KILL);
            hub.wait();
            hub = start(&database, &address.to_string());
        }
        journalled.push(acknowledged.recv_timeout(DEADLINE).expect("the hub serves again"));
        stop.store(true, Ordering::SeqCst);
        publisher.join().expect("the publisher ends");
        journalled.extend(acknowledged.try_iter());
        wait_for(&seen, journalled.last().expect("at least one"), &mut received);
        follower_stop.store(true, Ordering::SeqCst);
        follower.join().expect("the follower ends");
    });

    let count = journalled.len();
    assert!(count > rounds, "{count} updates in {rounds} rounds");
    // One more update: the replay is complete when it arrives.
    hub.publish("topic=t&data=x&id=end");
    let mut replay = hub.subscribe_with("topic=t", "Last-Event-ID: earliest\r\n");
    let mut stored = Vec::new();
    while stored.last().is_none_or(|last| last != "end") {
        stored.push(id(&replay.next().expect("an event")));
    }
    stored.pop();
    let number = |id: &String| id["update-".len()..].parse::<u64>().expect("a number");
    assert!(stored.is_sorted_by_key(number), "out of order: {stored:?}");
    assert!(stored.windows(2).all(|pair| pair[0] != pair[1]), "twice in the history: {stored:?}");
    let lost: Vec<_> = journalled.iter().filter(|id| !stored.contains(id)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let until = received.len().min(stored.len());
    assert_eq!(received[..until], stored[..until], "the subscriber saw something else than what is stored");
    let _ = std::fs::remove_dir_all(&directory);
}

#[test]
fn a_hub_that_was_killed_while_it_made_its_file_starts_again() {
    let directory = std::env::temp_dir().join(format!("petasos-first-start-{}", std::process::id()));
    for round in 0..20 {
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("a directory");
        let database = directory.join("updates.db");
        let mut first = common::command();
        first.env("ADDR", "127.0.0.1:0").env("JWT_KEY", common::KEY).env("DB_PATH", &database);
        let mut first = first.stderr(Stdio::null()).spawn().expect("the binary starts");
        // Killed as soon as there is any file, a little later each round.
        let until = Instant::now() + DEADLINE;
        while std::fs::read_dir(&directory).expect("a directory").next().is_none() {
            assert!(Instant::now() < until, "the hub makes no file");
        }
        let kill_at = Instant::now() + Duration::from_micros(round * 500);
        while Instant::now() < kill_at {
            std::hint::spin_loop();
        }
        first.kill().expect("a child");
        first.wait().expect("a child");
        drop(start(&database, "127.0.0.1:0"));
    }
    std::fs::remove_dir_all(&directory).expect("a directory");
}
