//! Goal: whatever clients send or hold back, the hub keeps to `MEMORY_MAX`, serves on, says why it
//! refuses, and gives the memory back when they have left.
//! Method: the binary with a small `MEMORY_MAX`, clients that hold as much as they can, and a
//! witness that subscribes and publishes meanwhile. Resident memory is that of `/proc`, without
//! files.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use petasos::http::h2::request::PREFACE;
use petasos::limits::{BODY_BYTES_PER_S_MIN, BODY_GRACE_MS};
use serde_json::{Value, json};

use crate::common::frames::{CONTINUATION, END_STREAM, HEADERS, Raw, frame, literal, request, settings};
use crate::common::http2::{self, Http2};
use crate::common::{Client, DEADLINE, Hub, Stream, eventually, get, post, publisher, token};

const MIB: u64 = 1 << 20;
const REASON: &str = "the hub's memory limit (MEMORY_MAX) is reached";
/// What a debug build and the allocator may take beyond the account between two looks at it.
const SLACK_BYTES: u64 = 16 * MIB;

/// Resident memory without files.
fn memory_bytes(hub: &Hub) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{}/statm", hub.pid())).expect("the hub runs");
    let pages: Vec<u64> = statm.split_ascii_whitespace().map(|it| it.parse().expect("a number")).collect();
    (pages[1] - pages[2]) * rustix::param::page_size() as u64
}

fn is_given_back(hub: &Hub, before: u64) {
    let until = Instant::now() + DEADLINE;
    let max = before + before / 10 + 4 * MIB;
    while memory_bytes(hub) > max {
        assert!(
            Instant::now() < until,
            "{before} bytes before, and {} when the clients have left",
            memory_bytes(hub)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_healthy(hub: &Hub) {
    let answer = hub.request("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Publications reach a subscriber that was there before, and new connections are served.
fn is_served(hub: &Hub, witness: &mut Stream) {
    for _ in 0..10 {
        let id = hub.publish("topic=witness");
        assert_eq!(witness.ids(1), [id]);
    }
    is_healthy(hub);
}

fn subscriber() -> String {
    format!("Authorization: Bearer {}\r\n", token(&json!({ "subscribe": [] }), None))
}

/// A connection with the beginning of a publication of this many bytes.
fn begun_body(hub: &Hub, length: usize, sent: usize) -> TcpStream {
    let head = post("", Some(&publisher())).replace("Length: 0", &format!("Length: {length}"));
    let mut socket = TcpStream::connect(hub.address).expect("the hub accepts");
    socket.set_write_timeout(Some(DEADLINE)).expect("a socket");
    // It may be refused before the end.
    let _ = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&vec![b'x'; sent]));
    socket
}

#[test]
fn unfinished_bodies_leave_room_for_others_and_give_their_memory_back() {
    let hub = Hub::start(&[("MEMORY_MAX", "48MiB")]);
    let mut witness = hub.subscribe("topic=witness");
    is_served(&hub, &mut witness);
    let before = memory_bytes(&hub);
    let mut sockets: Vec<_> = (0..100).map(|_| begun_body(&hub, 1_000_000, 900_000)).collect();
    is_served(&hub, &mut witness);
    let mut refused = 0;
    eventually("no body is refused", || {
        for socket in &mut sockets {
            socket.set_nonblocking(true).expect("a socket");
            let mut answer = vec![0; 4_096];
            if let Ok(count @ 1..) = socket.read(&mut answer) {
                let answer = String::from_utf8_lossy(&answer[..count]);
                assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
                assert!(answer.contains("Retry-After: 10") && answer.ends_with(REASON), "{answer}");
                refused += 1;
            }
        }
        refused > 0
    });
    let held = memory_bytes(&hub);
    assert!(held < 48 * MIB + SLACK_BYTES, "{held} bytes");
    is_served(&hub, &mut witness);
    drop(sockets);
    is_given_back(&hub, before);
}

#[test]
fn unfinished_bodies_over_http2_are_in_the_same_account() {
    let hub = Hub::start(&[("MEMORY_MAX", "48MiB")]);
    let mut witness = hub.subscribe("topic=witness");
    let before = memory_bytes(&hub);
    let clients: Vec<_> = (0..12).map(|_| Http2::connect(&hub)).collect();
    let mut refused = 0;
    let mut begun: Vec<_> = clients
        .iter()
        .map(|client| {
            let (mut response, mut upload) = client.begin(http2::post(), false);
            client.wait(async {
                let mut left: usize = 1_000_000;
                while left > 0 {
                    upload.reserve_capacity(left);
                    // A refused body is reset, or its window stays closed.
                    tokio::select! {
                        room = std::future::poll_fn(|context| upload.poll_capacity(context)) => {
                            let Some(Ok(room)) = room else { break };
                            let room = room.min(left);
                            if upload.send_data(Bytes::from(vec![b'x'; room]), false).is_err() {
                                break;
                            }
                            left -= room;
                        }
                        head = &mut response => {
                            let head = head.expect("an answer");
                            assert_eq!(head.status(), 503);
                            assert!(head.headers().contains_key("retry-after"));
                            refused += 1;
                            break;
                        }
                    }
                }
            });
            (response, upload)
        })
        .collect();
    // The refusal of a body can come after its last byte was sent.
    let until = Instant::now() + DEADLINE;
    while refused == 0 {
        assert!(Instant::now() < until, "all of them were held");
        for (client, (response, _)) in clients.iter().zip(&mut begun) {
            let head = client.wait(async { tokio::time::timeout(Duration::from_millis(10), response).await });
            if let Ok(head) = head {
                assert_eq!(head.expect("an answer").status(), 503);
                refused += 1;
            }
        }
    }
    is_served(&hub, &mut witness);
    drop((begun, clients));
    is_given_back(&hub, before);
}

/// `h2` holds the pieces of a head until the last one.
#[test]
fn unfinished_heads_over_http2_are_in_the_same_account() {
    let max = 64 * MIB;
    let hub = Hub::start(&[("MEMORY_MAX", "64MiB"), ("SHARDS", "1")]);
    let mut witness = hub.subscribe("topic=witness");
    let before = memory_bytes(&hub);
    let first = frame(HEADERS, END_STREAM, 1, &request("GET", "/.well-known/mercure?topic=a"));
    let piece = frame(CONTINUATION, 0, 1, &literal("x", &"y".repeat(16_000)));
    let head = [first, piece.repeat(8)].concat();
    let mut held = Vec::new();
    // 130 MB together, if all were held.
    for _ in 0..1_000 {
        // A hub that is full refuses them.
        let Ok(socket) = TcpStream::connect(hub.address) else { continue };
        let mut raw = Raw::on(socket);
        raw.send(&[PREFACE, &settings(&[]), &head].concat());
        held.push(raw);
        let now = memory_bytes(&hub);
        assert!(now <= max + SLACK_BYTES, "{now} bytes with {} connections", held.len());
    }
    // A publisher that is refused makes room for the next try.
    let publication = post("topic=witness", Some(&publisher()));
    eventually("no publication is accepted", || hub.request(&publication).status == 200);
    assert!(witness.next().is_some(), "the subscriber of before is served");
    drop(held);
    is_given_back(&hub, before);
}

/// The whole of the test takes a little longer than the grace: the clients wait side by side.
#[test]
fn a_body_must_arrive_at_the_least_rate_and_a_slow_line_has_it() {
    let hub = Hub::start(&[("READ_TIMEOUT", "0s")]);
    std::thread::scope(|scope| {
        for is_chunked in [false, true] {
            let hub = &hub;
            scope.spawn(move || {
                let mut client = hub.connect();
                let head = post("", Some(&publisher()));
                let length = if is_chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 900000" };
                client.send(&head.replace("Content-Length: 0", length));
                let began = Instant::now();
                client.socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket");
                let mut answer = vec![0; 4_096];
                let count = loop {
                    client.send(if is_chunked { "1\r\nx\r\n" } else { "x" });
                    match client.socket.read(&mut answer) {
                        Ok(count) => break count,
                        Err(_) => assert!(began.elapsed() < DEADLINE, "it is never ended"),
                    }
                };
                assert!(began.elapsed() >= Duration::from_millis(BODY_GRACE_MS), "{:?}", began.elapsed());
                let answer = String::from_utf8_lossy(&answer[..count]);
                assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
                assert!(answer.contains("1024 bytes a second"), "{answer}");
            });
        }
        scope.spawn(|| {
            let client = Http2::connect(&hub);
            let (response, mut upload) = client.begin(http2::post(), false);
            upload.send_data(Bytes::from_static(b"x"), false).expect("it is open");
            let head = client.wait(response).expect("an answer");
            assert_eq!(head.status(), 408);
        });
        // A modem of 14,400 bits a second.
        scope.spawn(|| {
            let body = format!("topic=a&data={}", "x".repeat(20_000));
            let mut client = hub.connect();
            let request = post(&body, Some(&publisher()));
            for piece in request.as_bytes().chunks(360) {
                client.socket.write_all(piece).expect("sent");
                std::thread::sleep(Duration::from_millis(250));
            }
            assert_eq!(client.answer().status, 200);
            assert!(
                body.len() as u64 * 1_000 > BODY_GRACE_MS * BODY_BYTES_PER_S_MIN,
                "longer than the grace"
            );
        });
    });
}

#[test]
fn at_the_limit_new_subscriptions_are_refused_and_old_ones_are_served() {
    let hub = Hub::start(&[("MEMORY_MAX", "40MiB")]);
    let mut witness = hub.subscribe("topic=witness");
    let subscribe = |number: usize| {
        let topics = |topic: usize| format!("topic=https://example.com/{number}/{topic:04}");
        let query: Vec<_> = (0..1_000).map(topics).collect();
        let mut client = hub.connect();
        client.send(&get(&query.join("&"), &subscriber()));
        Stream::open(client)
    };
    let mut streams = Vec::new();
    let mut refused = loop {
        assert!(streams.len() < 1_000, "nothing is refused");
        let stream = subscribe(streams.len());
        match stream.status {
            200 => streams.push(stream),
            _ => break stream,
        }
    };
    assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("10")), "{}", refused.head);
    refused.wait_for(REASON);
    assert!(memory_bytes(&hub) < 40 * MIB + SLACK_BYTES, "{} bytes", memory_bytes(&hub));
    is_served(&hub, &mut witness);
    drop((streams, refused));
    eventually("nobody is served again", || subscribe(0).status == 200);
}

#[test]
fn as_many_subscribers_as_fit_stay_and_the_rest_are_refused() {
    let hub = Hub::start(&[("MEMORY_MAX", "32MiB")]);
    let mut witness = hub.subscribe("topic=witness");
    let before = memory_bytes(&hub);
    let mut streams = Vec::new();
    let mut refused = 0;
    while refused < 10 {
        assert!(streams.len() < 8_000, "nothing is refused");
        let mut client = hub.connect();
        client.send(&get("topic=other", ""));
        let stream = Stream::open(client);
        match stream.status {
            200 => streams.push(stream),
            503 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(streams.len() > 500, "{} fit", streams.len());
    is_served(&hub, &mut witness);
    let id = hub.publish("topic=other");
    for stream in &mut streams {
        assert_eq!(stream.ids(1), std::slice::from_ref(&id), "none of them was ended");
    }
    drop(streams);
    is_given_back(&hub, before);
}

#[test]
fn slow_readers_of_large_updates_do_not_take_more_than_there_is() {
    let hub = Hub::start(&[("MEMORY_MAX", "48MiB"), ("HISTORY_MAX_BYTES", "4MiB")]);
    let mut witness = hub.subscribe("topic=large&topic=witness");
    let slow: Vec<_> = (0..60).map(|_| hub.subscribe("topic=large")).collect();
    let body = format!("topic=large&data={}", "x".repeat(200_000));
    for _ in 0..200 {
        let until = Instant::now() + DEADLINE;
        // At the second mark a publication is refused until there is room again.
        while hub.request(&post(&body, Some(&publisher()))).status != 200 {
            assert!(Instant::now() < until, "nothing is published any more");
            std::thread::sleep(Duration::from_millis(20));
        }
        witness.ids(1);
    }
    let held = memory_bytes(&hub);
    assert!(held < 48 * MIB + SLACK_BYTES, "{held} bytes");
    is_served(&hub, &mut witness);
    drop(slow);
    is_served(&hub, &mut witness);
}

/// Connections that say nothing are the first to go when room is needed.
#[test]
fn idle_connections_make_room_for_requests() {
    let hub = Hub::start(&[("MEMORY_MAX", "32MiB"), ("HEADER_TIMEOUT", "0s")]);
    let mut witness = hub.subscribe("topic=witness");
    let connect = |_| TcpStream::connect(hub.address).expect("the kernel accepts");
    let idle: Vec<_> = (0..6_000).map(connect).collect();
    let answered = || {
        let mut client = Client::new(connect(0));
        client.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        client.answer().status == 200
    };
    eventually("no request is served", answered);
    eventually("no connection makes room", || {
        let closed = |socket: &&TcpStream| {
            socket.set_nonblocking(true).expect("a socket");
            (&**socket).read(&mut [0; 64]).is_ok()
        };
        idle.iter().filter(closed).count() > 0
    });
    // Connections that wait in the backlog are accepted meanwhile.
    eventually("publications are refused", || {
        (0..10).all(|_| hub.request(&post("topic=other", Some(&publisher()))).status == 200)
    });
    is_served(&hub, &mut witness);
}

#[test]
fn the_limit_in_force_and_its_source_are_shown() {
    let config = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_petasos"));
        command.env_clear().env("DEMO", "1").arg("config").args(arguments);
        let output = command.output().expect("the binary runs");
        assert!(output.status.success(), "{output:?}");
        let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        document["settings"]["MEMORY_MAX"].clone()
    };
    let default = config(&["--json"]);
    assert_eq!(default["source"], "default");
    assert!(default["note"].as_str().is_some_and(|note| note.starts_with("from the ")), "{default}");
    let given = config(&["--json", "--memory-max", "96MiB"]);
    assert_eq!(given, json!({ "value": "96MiB", "source": "flag" }));
    let mut hub = Hub::start(&[("MEMORY_MAX", "96MiB")]);
    let line = hub.logged().iter().find(|line| line.contains("petasos serves")).expect("logged").clone();
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&line["memory_max"], &line["memory_max_from"]), (&json!(96 * MIB), &json!("MEMORY_MAX")));
}
