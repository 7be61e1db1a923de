//! Goal: HTTP/2 streams behave as HTTP/1.1 connections do, independently of the other streams of
//! their connection.
//!
//! Method: the binary over real sockets, plain and with TLS, and the client of the `h2` crate,
//! which reads only inside a wait. Section numbers refer to the protocol document, or to RFC 9113
//! where it is named.

use crate::common;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::common::frames::{GOAWAY, PING, Raw, SETTINGS};
use crate::common::http2::{
    Events, Http2, ONE_SHARD, both, field, get, numbered, post, request, send_all, tls_hub,
};
use crate::common::tls::trusting;
use crate::common::{Client, Hub, id, token};
use bytes::Bytes;
use h2::Reason;
use petasos::http::h2::request::PREFACE;
use petasos::limits::{HEAD_BYTES_MAX, HTTP2_BODIES_MAX};
use rustix::process::Signal;
use rustls::version::{TLS12, TLS13};
use serde_json::json;

/// Publishes updates of this size on a separate connection.
fn publish(hub: &Hub, range: std::ops::Range<usize>, data_bytes: usize) -> Vec<String> {
    let client = Http2::connect(hub);
    let data = "x".repeat(data_bytes);
    let published = range.map(|number| client.publish(&format!("topic=a&id={number}&data={data}")));
    published.collect()
}

/// Section 2: the head of the stream, the first comment, the fields in order.
#[test]
fn an_update_published_on_a_connection_reaches_a_stream_of_it() {
    for hub in both("publish", &[]) {
        let client = Http2::connect(&hub);
        let mut stream = client.subscribe("topic=https://e.x/%7Bid%7D");
        assert_eq!(stream.status, 200);
        for (name, value) in [
            ("content-type", Some("text/event-stream")),
            ("cache-control", Some("private, no-cache, no-store, must-revalidate, max-age=0")),
            ("x-accel-buffering", Some("no")),
            ("x-content-type-options", Some("nosniff")),
            // RFC 9113, section 8.2.2: connection-specific fields are forbidden.
            ("connection", None),
            ("transfer-encoding", None),
            ("content-length", None),
            ("last-event-id", None),
        ] {
            assert_eq!(field(&stream.headers, name), value, "{name}");
        }
        assert!(stream.headers.contains_key("date"));
        let made = client.publish("topic=https://e.x/1&data=a%0D%0Ab&type=t&retry=5");
        let event = stream.next(&client).expect("an event");
        assert_eq!(event, format!("event: t\nretry: 5\nid: {made}\ndata: a\ndata: b\n"));
    }
}

#[test]
fn a_hundred_streams_of_one_connection_get_every_update_in_order() {
    for hub in both("hundred", &[]) {
        let client = Http2::connect(&hub);
        let mut streams: Vec<_> = (0..100).map(|_| client.subscribe("topic=a")).collect();
        let first: Vec<_> = (0..25).map(|_| client.publish("topic=a&data=x")).collect();
        let second = publish(&hub, 0..25, 500);
        for stream in &mut streams {
            assert_eq!(stream.ids(&client, 50), [first.clone(), second.clone()].concat());
        }
    }
}

/// Sections 1, 3, 4 and 8.
#[test]
fn answers_are_those_of_http_1() {
    let settings = [("CORS_ALLOWED_ORIGINS", "https://a.example"), ("ALLOW_ANONYMOUS", "0")];
    let hub = Hub::start(&settings);
    let client = Http2::connect(&hub);
    let mute = token(&json!({ "subscribe": ["*"] }), None);
    let bearer = format!("Bearer {mute}");
    let form = "application/x-www-form-urlencoded";
    let hub_url = "/.well-known/mercure";
    for (asked, body, status, text) in [
        (request("GET", "/healthz"), "", 200, "ok"),
        (request("HEAD", &format!("{hub_url}?topic=a")).header("authorization", &bearer), "", 200, ""),
        (request("HEAD", "/nowhere"), "", 404, ""),
        (get("topic=a"), "", 401, "Unauthorized"),
        (get("").header("authorization", &bearer), "", 400, common::mixed::missing_selectors()),
        (request("POST", hub_url).header("content-type", form), "topic=a", 401, "Unauthorized"),
        (
            request("POST", hub_url).header("content-type", form).header("authorization", &bearer),
            "topic=a",
            403,
            "Forbidden",
        ),
        (request("GET", "/nowhere"), "", 404, "Not Found"),
        (request("DELETE", hub_url), "", 405, "Method Not Allowed"),
        (post().header("x", "y"), "data=b", 400, "Missing \"topic\" parameter"),
    ] {
        let shown = format!("{asked:?}");
        let reply = client.ask(asked.header("origin", "https://a.example"), body);
        assert_eq!(reply.status, status, "{shown}: {reply:?}");
        assert!(reply.body.starts_with(text), "{shown}: {reply:?}");
        assert!(!text.is_empty() || reply.body.is_empty(), "{shown}: {reply:?}");
        let origin = field(&reply.headers, "access-control-allow-origin");
        assert_eq!(origin, Some("https://a.example"), "{shown}");
        assert_eq!(
            field(&reply.headers, "www-authenticate").is_some(),
            common::mixed::has_challenge(status),
            "{shown}"
        );
        assert_eq!(field(&reply.headers, "allow").is_some(), status == 405, "{shown}");
    }
    let other = request("POST", hub_url).header("authorization", format!("Bearer {}", common::publisher()));
    assert_eq!(client.ask(other.header("content-type", "application/json"), "{}").status, 415);
    let preflight = request("OPTIONS", hub_url)
        .header("origin", "https://a.example")
        .header("access-control-request-method", "POST");
    let reply = client.ask(preflight, "");
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert_eq!(field(&reply.headers, "access-control-max-age"), Some("86400"));
    assert_eq!(field(&reply.headers, "access-control-allow-credentials"), Some("true"));
    assert!(
        field(&reply.headers, "access-control-allow-headers").is_some_and(|it| it.contains("last-event-id"))
    );
}

/// Section 3: 413 as soon as the size is known. The client sees it before it has sent the whole
/// body, and the connection goes on.
#[test]
fn a_body_that_is_too_large_is_refused_and_the_connection_goes_on() {
    for hub in both("large", &[("MAX_BODY_SIZE", "1000")]) {
        let client = Http2::connect(&hub);
        for (length, size) in
            [(Some(1_001), 1_001), (None, 1_001), (Some(1_500_000), 1_500_000), (None, 1_500_000)]
        {
            let asked = match length {
                Some(length) => post().header("content-length", length),
                None => post(),
            };
            let reply = client.ask(asked, "x".repeat(size));
            assert_eq!(reply.status, 413, "{size} bytes: {reply:?}");
        }
        let body = format!("topic=a&id=i&data={}", "x".repeat(982));
        assert_eq!(client.publish(&body), "i", "{} bytes", body.len());
    }
}

#[test]
fn a_large_body_and_its_event_flow_through_windows() {
    for hub in both("flow", &[]) {
        let client = Http2::connect(&hub);
        let mut stream = client.subscribe("topic=a");
        let data: String = (0..90_000).map(|number| format!("{number:09}-")).collect();
        client.publish(&format!("topic=a&id=i&data={data}"));
        let event = stream.next(&client).expect("an event");
        assert!(event == format!("id: i\ndata: {data}\n"), "{} bytes came", event.len());
    }
}

#[test]
fn two_hundred_publications_at_once_are_all_answered() {
    for hub in both("at-once", &[]) {
        let client = Http2::connect(&hub);
        let mut stream = client.subscribe("topic=a");
        let asked =
            (0..200).map(|number| (post(), format!("topic=a&id={number}&data={}", "x".repeat(2_000))));
        let replies = client.ask_all(asked);
        let ids: Vec<_> = replies.iter().map(|reply| reply.body.clone()).collect();
        assert!(replies.iter().all(|reply| reply.status == 200));
        assert_eq!(ids, numbered(0..200));
        let mut received = stream.ids(&client, 200);
        received.sort_by_key(|id| id.parse::<usize>().expect("a number"));
        assert_eq!(received, ids);
    }
}

/// The memory for incomplete bodies is bounded for each connection. Beyond it, requests get 503
/// with Retry-After.
#[test]
fn bodies_that_are_not_ended_are_bounded_together() {
    const BODY_BYTES: usize = 100_000;
    let hub = Hub::start(&[ONE_SHARD, ("MAX_BODY_SIZE", &BODY_BYTES.to_string())]);
    let client = Http2::connect(&hub);
    let begun: Vec<_> = (0..2 * HTTP2_BODIES_MAX)
        .map(|_| {
            let (response, mut upload) = client.begin(post(), false);
            client.wait(async {
                // As `send_all`, without the end of the body.
                let mut left = BODY_BYTES - 1_000;
                while left > 0 {
                    upload.reserve_capacity(left);
                    let room = std::future::poll_fn(|context| upload.poll_capacity(context)).await;
                    let room = room.expect("it is open").expect("it is open").min(left);
                    upload.send_data(Bytes::from(vec![b'x'; room]), false).expect("it is open");
                    left -= room;
                }
            });
            (response, upload)
        })
        .collect();
    let mut refused = 0;
    for (response, mut upload) in begun {
        // The end of each body brings its answer, unless the answer is already there.
        let _ = upload.send_data(Bytes::from_static(b"&topic=a"), true);
        let head = client.wait(response).expect("an answer");
        match head.status().as_u16() {
            200 => {}
            503 => {
                assert!(head.headers().contains_key("retry-after"));
                refused += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(refused > 0, "all of them were held");
    assert_eq!(client.publish("topic=a&id=i"), "i");
}

/// RFC 9113, section 8.2.3: a browser splits its cookies into several fields. Section 4: one of
/// them is the token.
#[test]
fn a_cookie_in_several_fields_authorizes() {
    let hub = Hub::start(&[("ALLOW_ANONYMOUS", "0")]);
    let client = Http2::connect(&hub);
    let cookie = format!("mercureAuthorization={}", token(&json!({ "subscribe": ["*"] }), None));
    let asked = get("topic=a").header("cookie", "a=1").header("cookie", cookie).header("cookie", "b=2; c=3");
    let mut stream = client.open(asked);
    assert_eq!(stream.status, 200);
    client.publish("topic=a&id=i&private=on");
    assert_eq!(stream.ids(&client, 1), ["i"]);
    let without = client.ask(get("topic=a").header("cookie", "a=1").header("cookie", "b=2"), "");
    assert_eq!(without.status, 401);
}

/// Section 6.
#[test]
fn a_stream_resumes_where_its_request_says() {
    for hub in both("resume", &[]) {
        let client = Http2::connect(&hub);
        let ids = publish(&hub, 0..200, 2_000);
        for (asked, told, first) in [
            (get("topic=a").header("last-event-id", "99"), "99", 100),
            (get("topic=a&lastEventID=earliest"), "earliest", 0),
            (get("topic=a&Last-Event-ID=198"), "198", 199),
            (get("topic=a").header("last-event-id", "never"), "earliest", 0),
            (get("topic=a&lastEventID=5").header("last-event-id", "150"), "150", 151),
        ] {
            let mut stream = client.open(asked);
            assert_eq!(field(&stream.headers, "last-event-id"), Some(told));
            assert_eq!(stream.ids(&client, 200 - first), ids[first..]);
        }
        let head = request("HEAD", "/.well-known/mercure?topic=a&lastEventID=99");
        assert_eq!(field(&client.ask(head, "").headers, "last-event-id"), Some("99"));
    }
}

#[test]
fn streams_are_compressed_as_each_asks() {
    for mut hub in both("compressed", &[("DRAIN_TIMEOUT", "0s")]) {
        let client = Http2::connect(&hub);
        let accept = |coding: &str| get("topic=a").header("accept-encoding", coding);
        let mut streams =
            [client.open(accept("zstd")), client.open(accept("gzip")), client.subscribe("topic=a")];
        let codings = streams.each_ref().map(|stream| field(&stream.headers, "content-encoding"));
        assert_eq!(codings, [Some("zstd"), Some("gzip"), None]);
        let ids = publish(&hub, 0..40, 3_000);
        for stream in &mut streams {
            assert_eq!(stream.ids(&client, 40), ids);
        }
        hub.signal(Signal::TERM);
        for stream in &mut streams {
            assert_eq!(stream.next(&client), None);
        }
        assert!(hub.wait().success());
    }
}

/// Section 4: disconnected at `exp`. RFC 9113, section 8.1: the stream ends normally, without a
/// reset.
#[test]
fn a_token_that_expires_ends_its_stream_alone() {
    let hub = Hub::start(&[ONE_SHARD]);
    let client = Http2::connect(&hub);
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let expires = token(&json!({ "subscribe": ["*"] }), Some(now_s + 2));
    let mut short = client.open(get("topic=a").header("authorization", format!("Bearer {expires}")));
    let mut long = client.subscribe("topic=a");
    client.publish("topic=a&id=1");
    assert_eq!(short.ids(&client, 1), ["1"]);
    assert_eq!(short.next(&client), None);
    client.publish("topic=a&id=2");
    assert_eq!(long.ids(&client, 2), ["1", "2"]);
}

/// Every stream gets every acknowledged update and then ends; the connection ends with the last
/// stream.
#[test]
fn a_stop_gives_every_stream_what_was_acknowledged_and_says_goodbye() {
    for mut hub in both("stop", &[("DRAIN_TIMEOUT", "300ms")]) {
        let client = Http2::connect(&hub);
        let mut streams: Vec<_> = (0..50).map(|_| client.subscribe("topic=a")).collect();
        let idle = Http2::connect(&hub);
        assert_eq!(idle.ask(request("GET", "/healthz"), "").body, "ok");
        let count = AtomicUsize::new(0);
        let acknowledged = std::thread::scope(|scope| {
            let (hub, count) = (&hub, &count);
            let publisher = scope.spawn(move || {
                let client = Http2::connect(hub);
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    let Some(id) = client.try_publish(&format!("topic=a&id={number}")) else { break };
                    acknowledged.push(id);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            });
            let until = Instant::now() + common::DEADLINE;
            while count.load(Ordering::Relaxed) < 10 && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            hub.signal(Signal::TERM);
            publisher.join().expect("a publisher")
        });
        assert!(acknowledged.len() >= 10, "{}", acknowledged.len());
        for stream in &mut streams {
            let ids: Vec<_> = std::iter::from_fn(|| stream.next(&client)).map(|event| id(&event)).collect();
            assert!(ids.starts_with(&acknowledged), "{} of {}", ids.len(), acknowledged.len());
        }
        assert_eq!(client.end(), Some(Reason::NO_ERROR));
        assert_eq!(idle.end(), Some(Reason::NO_ERROR));
        assert!(hub.wait().success());
    }
}

#[test]
fn a_stream_that_its_client_resets_is_gone_and_no_other() {
    let mut hub = Hub::start(&[ONE_SHARD, ("LOG_LEVEL", "debug")]);
    let client = Http2::connect(&hub);
    let mut streams: Vec<_> = (0..10).map(|_| client.subscribe("topic=a")).collect();
    // The client resets a stream when it drops it.
    drop(streams.remove(4));
    client.publish("topic=b");
    let line = hub.wait_for_log("subscription ended");
    assert!(line.contains(r#""slot":4"#) && line.contains("Gone"), "{line}");
    streams.push(client.subscribe("topic=a"));
    let id = client.publish("topic=a");
    for stream in &mut streams {
        assert_eq!(stream.ids(&client, 1), std::slice::from_ref(&id));
    }
}

#[test]
fn the_two_versions_share_a_port() {
    let (mut hub, pair) = tls_hub("versions", &[]);
    let plain = Hub::start(&[ONE_SHARD]);
    let http2 = [Http2::connect(&hub), Http2::connect(&plain)];
    // A client that offers only HTTP/1.1 gets it (RFC 7301), with each version of TLS. HTTP/2 is
    // negotiated with both too.
    hub.tls = Some(trusting(&[&pair], &[&TLS12], &["h2"]));
    assert_eq!(Http2::connect(&hub).ask(request("GET", "/healthz"), "").body, "ok");
    hub.tls = Some(trusting(&[&pair], &[&TLS12, &TLS13], &["http/1.1"]));
    for (hub, client) in [&hub, &plain].into_iter().zip(&http2) {
        let mut old = hub.subscribe("topic=a");
        let mut new = client.subscribe("topic=a");
        let ids = [client.publish("topic=a"), hub.publish("topic=a")];
        assert_eq!(old.ids(2), ids);
        assert_eq!(new.ids(client, 2), ids);
    }
}

/// RFC 9113, section 3.4. Bytes that only begin like a preface are a malformed HTTP/1 request.
#[test]
fn a_preface_may_come_in_pieces_and_nothing_else_will_do() {
    let hub = Hub::start(&[ONE_SHARD]);
    let mut socket = TcpStream::connect(hub.address).expect("the hub accepts");
    socket.set_nodelay(true).expect("a socket");
    let bytes = [PREFACE, &common::frames::settings(&[]), &common::frames::get(1, "/healthz")].concat();
    for byte in bytes {
        socket.write_all(&[byte]).expect("the hub reads");
    }
    let answer = Raw::on(socket).next_of(common::frames::HEADERS);
    assert_eq!((answer.stream, answer.payload[0]), (1, 0x88), "200 has an index of its own");
    for garbage in [
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        "PRI * HTTP/2.0\r\nHost: h\r\n\r\n",
        "PRJ * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = Client::new(TcpStream::connect(hub.address).expect("the hub accepts"));
        client.send(garbage);
        let answer = client.answer();
        assert!(matches!(answer.status, 400 | 501 | 505), "{garbage:?}: {answer:?}");
        assert!(client.is_closed(), "{garbage:?}");
    }
    // After a correct preface, the rest must be HTTP/2.
    let mut raw = Raw::on(TcpStream::connect(hub.address).expect("the hub accepts"));
    raw.send(&[PREFACE, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"].concat());
    while raw.next().is_some() {}
}

#[test]
fn a_connection_that_asks_for_nothing_is_told_to_go() {
    let hub = Hub::start(&[ONE_SHARD, ("HEADER_TIMEOUT", "300ms")]);
    // One client answers the hub's pings, as every client does; the other does nothing at all.
    let client = Http2::connect(&hub);
    assert_eq!(client.end(), Some(Reason::NO_ERROR));
    let began = Instant::now();
    let mut raw = Raw::open(&hub, &[]);
    raw.next_of(SETTINGS);
    raw.next_of(GOAWAY);
    while raw.next().is_some() {}
    assert!(began.elapsed() > Duration::from_millis(250), "{:?}", began.elapsed());
    // Pings do not count as requests.
    let mut raw = Raw::open(&hub, &[]);
    let mut reader = raw.reader();
    std::thread::scope(|scope| {
        let pings = scope.spawn(move || {
            while raw.send(&common::frames::frame(PING, 0, 0, &[0; 8])) {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        reader.next_of(GOAWAY);
        while reader.next().is_some() {}
        pings.join().expect("the connection ends");
    });
    // A subscriber does not count as idle.
    let client = Http2::connect(&hub);
    let mut stream: Events = client.subscribe("topic=a");
    std::thread::sleep(Duration::from_millis(600));
    let id = client.publish("topic=a");
    assert_eq!(stream.ids(&client, 1), [id]);
}

/// The bounds of a head are those of HTTP/1.1. Only its stream is refused.
#[test]
fn a_head_that_is_too_large_is_refused_and_the_connection_goes_on() {
    let hub = Hub::start(&[ONE_SHARD]);
    let client = Http2::connect(&hub);
    let many = (0..101).fold(get("topic=a"), |request, number| request.header(format!("x-{number}"), "y"));
    let large = get("topic=a").header("x", "y".repeat(HEAD_BYTES_MAX));
    for (request, status) in [(many, 431), (large, 431), (get(&format!("topic={}", "x".repeat(60_000))), 414)]
    {
        assert_eq!(client.ask(request, "").status, status);
    }
    assert_eq!(client.publish("topic=a&id=i"), "i");
}

/// A client may end its half of a publication late, or never; it still gets the response.
#[test]
fn a_refusal_does_not_wait_for_the_body() {
    let hub = Hub::start(&[ONE_SHARD]);
    let client = Http2::connect(&hub);
    let (response, upload) = client.begin(request("POST", "/.well-known/mercure"), false);
    assert_eq!(client.wait(response).expect("an answer").status(), 401);
    // The hub discards the rest of the body.
    client.wait(send_all(upload, Bytes::from(vec![b'x'; 300_000]))).expect("it is read");
    assert_eq!(client.publish("topic=a&id=i"), "i");
}
