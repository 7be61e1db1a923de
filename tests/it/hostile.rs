//! Goal: no client can starve the others, bring the hub down, or get less than the protocol
//! document promises.
//!
//! Method: the binary on one shard, so that all clients share one loop, and clients that misbehave.
//! During each attack, an ordinary publication must reach an ordinary subscriber. Section numbers
//! refer to the protocol document.
//!
//! The modules are the attacks that cost the hub something. Each has a short form, and its full
//! size with `HOSTILE_FULL=1`. Other attacks are elsewhere: tokens in log lines in `logs.rs`, a
//! full disk in `history.rs`, too few threads in `starts.rs`, floods of HTTP/2 in
//! `http2_floods.rs`.

#![expect(clippy::print_stdout, reason = "the measured figures, and why a test is skipped")]

mod bodies;
mod costly;
mod limited;
mod memory;
mod patterns;
mod presence;
mod templates;
mod tokens;
mod witness;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::common::{Client, DEADLINE, Hub, Stream, get, post, publisher};
use petasos::limits::{HEAD_BYTES_MAX, LINGER_BYTES_MAX, SERVE_SLICES_MAX, SERVE_STEPS_MAX};

const ONE_SHARD: (&str, &str) = ("SHARDS", "1");
/// A generous upper bound of what the kernels of both ends buffer for one connection.
const SOCKET_BYTES: usize = 32 << 20;

/// Sends `bytes` repeatedly and discards the responses while `meanwhile` runs; returns the number
/// of bytes sent.
fn flood(hub: &Hub, bytes: &[u8], meanwhile: impl FnOnce()) -> usize {
    let mut socket = TcpStream::connect(hub.address).expect("the hub accepts");
    socket.set_write_timeout(Some(DEADLINE)).expect("a socket");
    let mut answers = socket.try_clone().expect("a descriptor");
    let stops = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            while answers.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
        let flood = scope.spawn(|| {
            let mut sent = 0;
            while !stops.load(Ordering::Relaxed) {
                match socket.write(bytes) {
                    Ok(count) => sent += count,
                    Err(error) => {
                        assert_ne!(error.kind(), ErrorKind::WouldBlock, "the hub neither reads nor closes");
                        break;
                    }
                }
            }
            // The hub may have closed already.
            let _ = socket.shutdown(Shutdown::Both);
            sent
        });
        meanwhile();
        stops.store(true, Ordering::Relaxed);
        flood.join().expect("the flood ends")
    })
}

/// A publication reaches a subscriber, several times, so that the flood has begun for some of them.
fn others_are_served(hub: &Hub) {
    let mut stream = hub.subscribe("topic=a");
    let first: Vec<_> = (0..20).map(|_| hub.publish("topic=a")).collect();
    assert_eq!(stream.ids(20), first);
}

#[test]
fn a_pipeline_without_end_holds_nobody_up() {
    let hub = Hub::start(&[ONE_SHARD, ("MAX_SELECTORS_ANONYMOUS", "1000")]);
    // Refusing these is more work than sending them: the hub never reaches the end of its input.
    let topics: String = (0..300).map(|number| format!("topic=https://e.x/{number}/%7Bid%7D&")).collect();
    let requests = get(&format!("{topics}topic="), "").repeat(20);
    let sent = flood(&hub, requests.as_bytes(), || others_are_served(&hub));
    assert!(sent > 0);
}

/// More connections than a round serves, each with more steps than a slice has. None may be
/// forgotten: epoll does not report their edges again.
#[test]
fn a_crowd_of_pipelines_is_answered_to_the_last_request() {
    const REQUESTS: usize = 5 * SERVE_STEPS_MAX;
    let hub = Hub::start(&[ONE_SHARD]);
    let mut crowd: Vec<_> = (0..SERVE_SLICES_MAX + 50).map(|_| hub.connect()).collect();
    let pipeline = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n".repeat(REQUESTS);
    for client in &mut crowd {
        client.send(&pipeline);
    }
    for client in &mut crowd {
        for _ in 0..REQUESTS {
            assert_eq!(client.answer().body, "ok");
        }
    }
    others_are_served(&hub);
}

/// The end of a client's bytes is reported once. It used to be lost if it came before the stream
/// began; the stream then stayed as long as the client kept its other half open.
#[test]
fn who_has_left_before_its_stream_begins_gets_none() {
    let hub = Hub::start(&[ONE_SHARD]);
    hub.publish("topic=b");
    for query in ["topic=a", "topic=a&lastEventID=never"] {
        for _ in 0..50 {
            let mut client = hub.connect();
            client.send(&get(query, ""));
            client.socket.shutdown(Shutdown::Write).expect("a socket");
            let until = Instant::now() + DEADLINE;
            while client.read_some(until) {}
        }
    }
}

#[test]
fn a_refused_client_that_never_stops_sending_is_closed_and_holds_nobody_up() {
    let hub = Hub::start(&[ONE_SHARD]);
    let mut socket = TcpStream::connect(hub.address).expect("the hub accepts");
    socket.set_write_timeout(Some(DEADLINE)).expect("a socket");
    let garbage = vec![b'\n'; 1 << 20];
    let sent = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut sent = 0;
            loop {
                match socket.write(&garbage) {
                    Ok(count) => sent += count,
                    Err(error) => {
                        assert_ne!(error.kind(), ErrorKind::WouldBlock, "the hub neither reads nor closes");
                        return sent;
                    }
                }
            }
        });
        others_are_served(&hub);
        flood.join().expect("the flood ends")
    });
    assert!(sent <= LINGER_BYTES_MAX + SOCKET_BYTES, "{sent} bytes were read and thrown away");
}

/// Each request used to be handled inside the handling of the one before it, until the shard's
/// stack was used up.
#[test]
fn a_pipeline_of_head_requests_does_not_bring_the_hub_down() {
    let hub = Hub::start(&[ONE_SHARD]);
    let requests = "HEAD /hub?topic=a HTTP/1.1\r\nHost: h\r\n\r\n".repeat(50_000);
    let mut client = hub.connect();
    let mut reader = Client::new(client.socket.try_clone().expect("a descriptor"));
    std::thread::scope(|scope| {
        scope.spawn(|| client.send(&requests));
        for number in 0..50_000 {
            assert_eq!(reader.answer().status, 200, "the {number}th");
        }
    });
    others_are_served(&hub);
}

/// Section 8: CORS headers on every response, errors included. If the `Origin` field comes after
/// the part that cannot be read, `*` needs no origin, and a list guarantees nothing.
#[test]
fn a_page_may_read_why_its_request_was_refused() {
    let listed = Hub::start(&[("CORS_ALLOWED_ORIGINS", "https://a.example"), ("HEADER_TIMEOUT", "300ms")]);
    let any = Hub::start(&[("CORS_ALLOWED_ORIGINS", "*"), ("MAX_BODY_SIZE", "10")]);
    let get =
        |line: &str, more: &str| format!("{line}\r\nHost: h\r\nOrigin: https://a.example\r\n{more}\r\n");
    for (request, status, found) in [
        (get("GET / HTTP/1.1", "Host: h\r\n"), 400, true),
        (get("GET / HTTP/1.1", "Content-Length: x\r\n"), 400, true),
        (get("GET / HTTP/1.1", "Expect: x\r\n"), 417, true),
        (get("GET / HTTP/1.1", "Bad Name: x\r\n"), 400, true),
        (get("GET / HTTP/1.1", &"X: y\r\n".repeat(100)), 431, true),
        (get("GET / HTTP/1.1", &format!("X: {}\r\n", "y".repeat(HEAD_BYTES_MAX))), 431, true),
        (get("GET / HTTP/2.0", ""), 505, true),
        (get("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked\r\n"), 501, true),
        (get("get / HTTP/1.1", ""), 501, true),
        (get("DELETE /hub HTTP/1.1", ""), 405, true),
        (get("GET /nowhere HTTP/1.1", ""), 404, true),
        (get("POST /hub HTTP/1.1", ""), 401, true),
        ("GET / HTTP/1.1\r\nHost: h\r\nOrigin: https://a.example\r\nX".to_owned(), 408, true),
        (get(&format!("GET /{} HTTP/1.1", "x".repeat(60_000)), ""), 414, false),
        (get("GET / HTTP/1.1", "Origin: https://a.example\r\n"), 400, false),
        ("GET / HTTP/1.1\nOrigin: https://a.example\r\n\r\n".to_owned(), 400, false),
    ] {
        let answer = listed.request(&request);
        let shown = &request[..request.len().min(200)];
        assert_eq!(answer.status, status, "{shown:?}: {answer:?}");
        let origin = found.then_some("https://a.example");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), origin, "{shown:?}: {answer:?}");
        assert_eq!(answer.header("Vary"), Some("Origin"), "{shown:?}");
        if status != 408 {
            let answer = any.request(&request);
            assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"), "{shown:?}: {answer:?}");
        }
    }
    let too_large = any.request(&post("topic=a&data=0123456789", Some(&publisher())));
    assert_eq!((too_large.status, too_large.header("Access-Control-Allow-Origin")), (413, Some("*")));
}

/// RFC 9110, section 9.3.2: the request of a response decides whether it has a body, not the
/// request before it.
#[test]
fn a_refusal_behind_a_head_request_has_its_text_and_one_of_a_head_request_has_none() {
    let hub = Hub::start(&[]);
    let mut client = hub.connect();
    client.send("HEAD /hub?topic=a HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    let refused = client.answer();
    assert_eq!((refused.status, &*refused.body), (400, "Missing, repeated or invalid Host."));
    let mut client = hub.connect();
    client.send("HEAD / HTTP/1.1\r\n\r\n");
    let head = Stream::open(client);
    assert_eq!(head.status, 400);
    let mut client = head.client;
    assert!(client.is_closed(), "the refusal of a HEAD has a body");
}

/// Sections 2 and 6: an id that no event can have is unknown, however it is sent, and the response
/// says so.
#[test]
fn a_last_event_id_that_no_event_can_have_gets_the_whole_history() {
    let hub = Hub::start(&[("SHARDS", "1")]);
    hub.publish("topic=t&id=a%EF%BF%BD");
    hub.publish("topic=t&id=b");
    for value in [b"\xff".as_slice(), b"a\xff", b"\xe9"] {
        let mut client = hub.connect();
        let head = b"GET /hub?topic=t&lastEventID=b HTTP/1.1\r\nHost: h\r\nLast-Event-ID: ";
        let request = [head.as_slice(), value, b"\r\n\r\n"].concat();
        client.socket.write_all(&request).expect("sent");
        let mut stream = Stream::open(client);
        assert_eq!((stream.status, stream.header("Last-Event-ID")), (200, Some("earliest")), "{value:?}");
        assert_eq!(stream.ids(2), ["a\u{fffd}", "b"], "{value:?}");
    }
    for query in ["topic=t&lastEventID=%20b", "topic=t&lastEventID=b+", "topic=t&Last-Event-ID=%20"] {
        let mut stream = hub.subscribe(query);
        assert_eq!(stream.header("Last-Event-ID"), Some("earliest"), "{query}");
        assert_eq!(stream.ids(2), ["a\u{fffd}", "b"], "{query}");
    }
    let mut stream = hub.subscribe_with("topic=t", "Last-Event-ID:  a\u{fffd} \t\r\n");
    assert_eq!(
        stream.header("Last-Event-ID"),
        Some("a\u{fffd}"),
        "white space around a field is not part of it"
    );
    assert_eq!(stream.ids(1), ["b"]);
}

/// RFC 9110, section 5.5: a client could never resume from an id that begins or ends with a space.
#[test]
fn an_id_that_a_header_would_change_is_refused() {
    let hub = Hub::start(&[]);
    for id in ["+x", "x+", "%20", "x%09"] {
        let answer = hub.request(&post(&format!("topic=t&id={id}"), Some(&publisher())));
        assert_eq!(answer.status, 400, "{id:?}");
        assert!(answer.body.starts_with("Invalid \"id\" parameter: "), "{answer:?}");
    }
    assert_eq!(hub.publish("topic=t&id=x+y"), "x y");
}

/// A few kilobytes of templates would cost milliseconds for every update.
#[test]
fn one_subscription_cannot_make_every_update_costly() {
    let hub = Hub::start(&[("MAX_SELECTORS_ANONYMOUS", "1000"), ("MAX_SELECTOR_BYTES_ANONYMOUS", "48KiB")]);
    let template = |number: usize| format!("topic=%7B;a,b,x{number}%7D");
    let few: Vec<_> = (0..3).map(template).collect();
    assert_eq!(hub.subscribe(&few.join("&")).status, 200);
    let many: Vec<_> = (0..80).map(template).collect();
    let answer = hub.request(&get(&many.join("&"), ""));
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.body.starts_with("Invalid \"topic\" parameter: together"), "{answer:?}");
    let plain: Vec<_> = (0..1_000).map(|number| format!("topic=https://e.x/{number}/%7Bid%7D")).collect();
    assert_eq!(hub.subscribe(&plain.join("&")).status, 200, "what a client may really ask for");
}
