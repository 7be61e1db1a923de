//! Goal: the hub serves a socket that a service manager holds (sd_listen_fds(3)). Over it, one hub
//! replaces another without a refused connection, a failed publication, or a lost or repeated
//! update: docs/upgrade.md.
//! Method: a launcher in place of the manager keeps the socket and passes it to one process after
//! the other. Publishers use new and kept-alive connections; subscribers reconnect with their last
//! event id. `UPGRADE_SUBSCRIBERS` is their number.

#![expect(clippy::print_stdout, reason = "what a run measures is for whoever runs it")]

use crate::common;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Client, DEADLINE, Hub, Stream, get, id, post, publisher};
use rustix::process::Signal;

const SUBSCRIBERS: usize = 500;
/// Both kinds of publishers together make 50 publications a second.
const PAUSE: Duration = Duration::from_millis(40);
const LAST: &str = "last";

/// A command for a hub with these descriptors at 3 and up, as a service manager passes them.
fn launched(first: OwnedFd, second: Option<OwnedFd>) -> Command {
    let count = 1 + usize::from(second.is_some());
    let script = format!(
        "exec 3<&0 4<&1 0</dev/null 1>/dev/null; [ {count} = 2 ] || exec 4<&-; \
         LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES=whatever exec \"$0\""
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_petasos")]).env_clear();
    command.env("JWT_KEY", common::KEY).env("ALLOW_ANONYMOUS", "1").env("DB_PATH", ":memory:");
    command.stdin(Stdio::from(first));
    command.stdout(second.map_or_else(Stdio::null, Stdio::from));
    command
}

fn held() -> (TcpListener, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let handed = listener.try_clone().expect("a descriptor").into();
    (listener, handed)
}

#[test]
fn a_socket_that_is_handed_over_is_served_by_every_shard() {
    let (listener, handed) = held();
    let address = listener.local_addr().expect("an address");
    // A client that connected before the hub started has waited.
    let mut early = Client::new(TcpStream::connect(address).expect("the backlog takes it"));
    early.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut command = launched(handed, None);
    command.env("SHARDS", "2").env("LOG_LEVEL", "debug").env("DRAIN_TIMEOUT", "100ms");
    let mut hub = Hub::run(command);
    assert_eq!(hub.address, address);
    assert_eq!(early.answer().status, 200);
    let mut streams: Vec<_> = (0..20).map(|_| hub.subscribe("topic=a")).collect();
    let published = hub.publish("topic=a");
    assert!(streams.iter_mut().all(|stream| stream.ids(1) == [published.as_str()]));
    hub.signal(Signal::TERM);
    assert!(hub.wait().success());
    hub.logged();
    assert_eq!(
        ["\"shard\":0", "\"shard\":1"].map(|shard| {
            hub.log.iter().filter(|line| line.contains("ending streams") && line.contains(shard)).count()
        }),
        [1, 1],
        "each shard has streams"
    );
}

#[test]
fn several_sockets_are_served() {
    // As many shards as sockets, and fewer.
    for shards in ["2", "1"] {
        all_sockets_are_served(shards);
    }
}

fn all_sockets_are_served(shards: &str) {
    let (one, handed_one) = held();
    let (other, handed_other) = held();
    let mut command = launched(handed_one, Some(handed_other));
    command.env("SHARDS", shards);
    let hub = Hub::run(command);
    let mut stream = hub.subscribe("topic=a");
    for listener in [&one, &other] {
        let address = listener.local_addr().expect("an address");
        for _ in 0..4 {
            let mut client = Client::new(TcpStream::connect(address).expect("it is served"));
            client.send(&post("topic=a&id=1", Some(&publisher())));
            assert_eq!(client.answer().status, 200);
        }
    }
    assert_eq!(stream.ids(8), ["1"; 8]);
}

#[test]
fn what_is_no_listening_socket_stops_the_start_with_a_sentence() {
    let connected = {
        let (listener, _) = held();
        TcpStream::connect(listener.local_addr().expect("an address")).expect("connected")
    };
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for handed in [OwnedFd::from(connected), OwnedFd::from(datagrams)] {
        let output = launched(handed, None).stderr(Stdio::piped()).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("descriptor 1 of LISTEN_FDS is no listening TCP socket"), "{said}");
    }
}

/// The variables are only for the process that they name.
#[test]
fn sockets_of_another_process_are_left_alone() {
    let mut command = common::command();
    command.env("ADDR", "127.0.0.1:0").env("JWT_KEY", common::KEY).env("DB_PATH", ":memory:");
    command.env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    let hub = Hub::run(command);
    assert_eq!(hub.request("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
}

/// Publishes until it is stopped; returns the acknowledged ids and the longest response time.
fn publish(
    address: std::net::SocketAddr,
    name: &str,
    keeps: bool,
    stops: &AtomicBool,
) -> (Vec<String>, Duration) {
    let (mut acknowledged, mut slowest) = (Vec::new(), Duration::ZERO);
    let mut client: Option<Client> = None;
    while !stops.load(Ordering::Relaxed) {
        let began = Instant::now();
        let id = format!("{name}-{}", acknowledged.len());
        let mut connected = client
            .take()
            .unwrap_or_else(|| Client::new(TcpStream::connect(address).expect("no connection is refused")));
        connected.send(&post(&format!("topic=a&id={id}&data={id}"), Some(&publisher())));
        let answer = connected.answer();
        assert_eq!(answer.status, 200, "a publication failed: {answer:?}");
        slowest = slowest.max(began.elapsed());
        acknowledged.push(id);
        client = Some(connected).filter(|_| keeps && answer.header("Connection") != Some("close"));
        std::thread::sleep(PAUSE.saturating_sub(began.elapsed()));
    }
    (acknowledged, slowest)
}

/// Subscribes, and again with the last event id when the stream ends; returns all ids and the
/// number of connections.
fn subscribe(address: std::net::SocketAddr, began: &AtomicUsize) -> (Vec<String>, usize) {
    let mut ids: Vec<String> = Vec::new();
    for connections in 1.. {
        let mut client = Client::new(TcpStream::connect(address).expect("no connection is refused"));
        let after = ids.last().map_or("earliest", String::as_str);
        client.send(&get("topic=a", &format!("Last-Event-ID: {after}\r\n")));
        let mut stream = Stream::open(client);
        assert_eq!(stream.status, 200);
        if connections == 1 {
            began.fetch_add(1, Ordering::Relaxed);
        }
        while let Some(event) = stream.next() {
            let id = id(&event);
            if id == LAST {
                return (ids, connections);
            }
            ids.push(id);
        }
    }
    unreachable!("the last event ends it");
}

#[test]
fn an_upgrade_under_load_fails_no_publication_and_no_client_loses_or_repeats_an_update() {
    let subscribers = std::env::var("UPGRADE_SUBSCRIBERS").ok().and_then(|text| text.parse().ok());
    let subscribers: usize = subscribers.unwrap_or(SUBSCRIBERS);
    let (listener, _) = held();
    let address = listener.local_addr().expect("an address");
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("upgrade.db");
    // It may exist from an earlier run.
    let _ = std::fs::remove_file(&file);
    let start = || {
        let handed = listener.try_clone().expect("a descriptor").into();
        let mut command = launched(handed, None);
        command.env("DB_PATH", &file).env("DRAIN_TIMEOUT", "500ms").env("SHARDS", "2");
        Hub::run(command)
    };
    let mut old = start();
    let (stops, began) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let streams: Vec<_> = (0..subscribers).map(|_| scope.spawn(|| subscribe(address, &began))).collect();
        let until = Instant::now() + 3 * DEADLINE;
        while began.load(Ordering::Relaxed) < subscribers {
            assert!(Instant::now() < until, "not everybody subscribes");
            std::thread::sleep(Duration::from_millis(10));
        }
        let stops = &stops;
        let publishers = [("fresh", false), ("kept", true)]
            .map(|(name, keeps)| scope.spawn(move || publish(address, name, keeps, stops)));
        std::thread::sleep(Duration::from_secs(2));
        old.signal(Signal::TERM);
        let told = Instant::now();
        assert!(old.wait().success());
        let stopped = told.elapsed();
        let new = start();
        println!(
            "the old hub stopped in {stopped:?}, the new one served {:?} after",
            told.elapsed() - stopped
        );
        std::thread::sleep(Duration::from_secs(2));
        stops.store(true, Ordering::Relaxed);
        let mut published = Vec::new();
        for publisher in publishers {
            let (acknowledged, slowest) = publisher.join().expect("no publication failed");
            println!("{} publications, the slowest took {slowest:?}", acknowledged.len());
            assert!(acknowledged.len() > 20);
            published.extend(acknowledged);
        }
        new.publish(&format!("topic=a&id={LAST}"));
        published.sort_unstable();
        let mut order: Option<Vec<String>> = None;
        for stream in streams {
            let (ids, connections) = stream.join().expect("a subscriber");
            assert_eq!(connections, 2, "a stream ends once");
            let order = order.get_or_insert_with(|| ids.clone());
            assert_eq!(&ids, order, "two subscribers saw different streams");
        }
        let mut received = order.expect("a subscriber");
        received.sort_unstable();
        assert_eq!(received, published, "lost or repeated");
    });
}
