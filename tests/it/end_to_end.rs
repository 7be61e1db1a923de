//! The hub from outside: the binary, real sockets, several shards. Section numbers refer to the
//! protocol document.

use crate::common;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::common::{Hub, Stream, get, id, post, publisher, token};
use rustix::process::Signal;
use serde_json::json;

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Section 2: the head of the stream, the first comment, the fields in order.
#[test]
fn an_update_reaches_subscribers_on_every_shard() {
    let hub = Hub::start(&[]);
    let mut streams: Vec<Stream> = (0..16).map(|_| hub.subscribe("topic=https://e.x/%7Bid%7D")).collect();
    let stream = &streams[0];
    assert_eq!(stream.status, 200);
    for (name, value) in [
        ("Content-Type", Some("text/event-stream")),
        ("Cache-Control", Some("private, no-cache, no-store, must-revalidate, max-age=0")),
        ("Pragma", Some("no-cache")),
        ("Expires", Some("0")),
        ("X-Accel-Buffering", Some("no")),
        ("Connection", Some("keep-alive")),
        ("Last-Event-ID", None),
    ] {
        assert_eq!(stream.header(name), value, "{name}");
    }
    let made = hub.publish("topic=https://e.x/1&data=a%0D%0Ab&type=t&retry=5");
    assert!(made.starts_with("urn:uuid:"), "{made}");
    for stream in &mut streams {
        let event = stream.next().expect("an event");
        assert_eq!(event, format!("event: t\nretry: 5\nid: {made}\ndata: a\ndata: b\n"));
    }
}

#[test]
fn the_first_bytes_are_a_comment_and_heartbeats_follow() {
    let hub = Hub::start(&[("HEARTBEAT_INTERVAL", "200ms")]);
    let mut client = hub.subscribe("topic=a").client;
    let until = Instant::now() + common::DEADLINE;
    while client.received.len() < 4 * 7 {
        assert!(client.read_some(until));
    }
    assert!(client.received.starts_with(b"2\r\n:\n\r\n2\r\n:\n\r\n2\r\n:\n\r\n"));
}

/// Section 6: a replay, then live updates, without gap or duplicate while updates arrive.
#[test]
fn a_replay_joins_live_without_gap_or_duplicate() {
    let hub = Hub::start(&[("SUBSCRIBER_BUFFER", "4KiB")]);
    for number in 0..200 {
        hub.publish(&format!("topic=a&id=i{number}"));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = hub.connect();
            for number in 200..600 {
                client.send(&post(&format!("topic=a&id=i{number}"), Some(&publisher())));
                assert_eq!(client.answer().body, format!("i{number}"));
            }
        });
        for (query, told, first) in [
            ("topic=a&lastEventID=earliest", "earliest", 0),
            ("topic=a&lastEventID=i99", "i99", 100),
            ("topic=a&Last-Event-ID=i199", "i199", 200),
            ("topic=a&lastEventID=never-seen", "earliest", 0),
        ] {
            let hub = &hub;
            scope.spawn(move || {
                let mut stream = hub.subscribe(query);
                assert_eq!(stream.header("Last-Event-ID"), Some(told));
                let expected: Vec<_> = (first..600).map(|number| format!("i{number}")).collect();
                assert_eq!(stream.ids(expected.len()), expected, "{query}");
            });
        }
    });
    let stream = hub.subscribe_with("topic=a&lastEventID=i5", "Last-Event-ID: i6\r\n");
    assert_eq!(stream.header("Last-Event-ID"), Some("i6"), "the header wins");
}

#[test]
fn a_bounded_history_says_that_it_discarded() {
    // One shard: another shard may lag behind the last update and correctly report "a".
    let hub = Hub::start(&[("HISTORY_SIZE", "2"), ("SHARDS", "1")]);
    for id in ["a", "b", "c"] {
        hub.publish(&format!("topic=t&id={id}"));
    }
    let mut stream = hub.subscribe("topic=t&lastEventID=a");
    assert_eq!(stream.header("Last-Event-ID"), Some("earliest"));
    assert_eq!(stream.ids(2), ["b", "c"]);
}

/// Section 4, with selectors.
#[test]
fn private_updates_reach_only_those_with_a_grant_and_no_longer_than_it_lasts() {
    let hub = Hub::start(&[]);
    let granted = token(&json!({ "subscribe": ["/s/{x}"] }), None);
    let mut with = hub.subscribe_with("topic=*", &format!("Authorization: Bearer {granted}\r\n"));
    let mut by_query = hub.subscribe(&format!("topic=*&authorization={granted}"));
    let mut by_cookie = hub.subscribe_with("topic=*", &format!("Cookie: mercureAuthorization={granted}\r\n"));
    let mut without = hub.subscribe("topic=*");
    let exp = unix_s() + 2;
    let short = token(&json!({ "subscribe": ["*"] }), Some(exp));
    let mut expiring = hub.subscribe_with("topic=*", &format!("Authorization: Bearer {short}\r\n"));
    for (id, topic, private) in
        [("1", "/s/1", "&private=on"), ("2", "/t/1", "&private"), ("3", "/s/1", ""), ("4", "/x", "")]
    {
        hub.publish(&format!("topic={topic}&id={id}{private}"));
    }
    for stream in [&mut with, &mut by_query, &mut by_cookie] {
        assert_eq!(stream.ids(3), ["1", "3", "4"]);
    }
    assert_eq!(without.ids(2), ["3", "4"]);
    assert_eq!(expiring.ids(4), ["1", "2", "3", "4"]);
    assert_eq!(expiring.next(), None, "a clean end");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let (earliest, latest) = (Duration::from_millis(exp * 1_000 - 300), Duration::from_secs(exp + 3));
    assert!(now >= earliest && now < latest, "not at {exp}: {now:?}");
    hub.publish("topic=/s/9&id=5&private=on");
    let mut later = hub.subscribe("topic=*&lastEventID=earliest");
    assert_eq!(later.ids(2), ["3", "4"], "a replay is filtered by the grant held now");
}

/// `WRITE_TIMEOUT`: no update is lost, since a client reconnects with its last event id.
#[test]
fn a_stream_ends_when_its_time_is_over_and_goes_on_where_it_ended() {
    let hub = Hub::start(&[("WRITE_TIMEOUT", "1s")]);
    let began = Instant::now();
    let mut streams: Vec<_> = (0..4).map(|_| hub.subscribe("topic=a")).collect();
    hub.publish("topic=a&data=1&id=one");
    for stream in &mut streams {
        assert_eq!(stream.ids(1), ["one"]);
        assert_eq!(stream.next(), None, "a clean end");
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(800), "{took:?}");
    hub.publish("topic=a&data=2&id=two");
    let mut again = hub.subscribe_with("topic=a", "Last-Event-ID: one\r\n");
    assert_eq!(again.ids(1), ["two"]);
}

/// Section 4, with targets (draft-04), at the hub's 2019 URL.
#[test]
fn targets_decide_when_the_hub_is_told_so() {
    let hub = Hub::start(&[("AUTHORIZATION", "targets")]);
    let listed = token(&json!({ "subscribe": ["x"] }), None);
    let mut stream = hub.subscribe_with("topic=a", &format!("Authorization: Bearer {listed}\r\n"));
    let post = |body: &str, publish: serde_json::Value| {
        let token = token(&json!({ "publish": publish }), None);
        hub.request(&post(body, Some(&token)).replace("/.well-known/mercure", "/hub")).status
    };
    assert_eq!(post("topic=a&data=&id=1", json!([])), 200);
    assert_eq!(post("topic=a&data=&id=2&target=x", json!([])), 403);
    assert_eq!(post("topic=a&data=&id=3&target=x&target=y", json!(["x"])), 403);
    assert_eq!(post("topic=a&data=&id=4&target=y", json!(["*"])), 200);
    assert_eq!(post("topic=a&data=&id=5&target=x", json!(["x"])), 200);
    assert_eq!(post("topic=a&id=6", json!(["*"])), 400);
    assert_eq!(post("topic=a&data=&id=7&private=on", json!(["*"])), 400);
    assert_eq!(stream.ids(2), ["1", "5"]);
}

/// Sections 1, 3 and 4: every refusal, with its text where the document gives one.
#[test]
fn refusals_have_the_status_of_the_document() {
    let mut hub = Hub::start(&[("ALLOW_ANONYMOUS", "0"), ("MAX_BODY_SIZE", "100"), ("MAX_SELECTORS", "2")]);
    let (any, nothing) = (publisher(), token(&json!({ "publish": [] }), None));
    let (some, old) =
        (token(&json!({ "publish": ["/x/{y}"] }), None), token(&json!({ "publish": ["*"] }), Some(1)));
    let subscriber = token(&json!({ "subscribe": ["*"] }), None);
    let auth = format!("Authorization: Bearer {subscriber}\r\n");
    let plain = "GET / HTTP/1.1\r\nHost: h\r\n";
    for (request, status, body) in [
        (get("topic=a", ""), 401, "Unauthorized"),
        (get("", &auth), 400, common::mixed::missing_selectors()),
        (get("topic=a&topic=b&topic=c", &auth), 400, ""),
        (get("topic=%ff", &auth), 400, ""),
        (get(&format!("topic={}", "x".repeat(4_097)), &auth), 400, ""),
        (get("topic=a", &format!("{auth}{auth}")), 401, "Unauthorized"),
        (post("topic=a", None), 401, "Unauthorized"),
        (post("topic=a", Some("a.b.c")), 401, "Unauthorized"),
        (post("topic=a", Some(&old)), 401, "Unauthorized"),
        (post("topic=a", Some(&nothing)), 403, "Forbidden"),
        (post("topic=a", Some(&subscriber)), 403, "Forbidden"),
        (post("topic=/x/1&topic=/z", Some(&some)), 403, "Forbidden"),
        (post("data=a", Some(&any)), 400, "Missing \"topic\" parameter"),
        (post("topic=a&retry=x", Some(&any)), 400, "Invalid \"retry\" parameter"),
        (post("topic=a&id=%23x", Some(&any)), 400, ""),
        (post("topic=a&target=x", Some(&any)), 400, ""),
        (post("topic=/.well-known/mercure/x", Some(&any)), common::mixed::reserved_topic_status(), ""),
        (post("topic=a&data=%ff", Some(&any)), 400, ""),
        (post(&"x".repeat(101), Some(&any)), 413, ""),
        (post("topic=a", Some(&any)).replace("x-www-form-urlencoded", "json"), 415, ""),
        (format!("{plain}\r\n").replace("GET /", "GET /nowhere"), 404, ""),
        (format!("{plain}\r\n").replace("GET /", "DELETE /hub"), 405, ""),
        (format!("{plain}\r\n").replace("GET", "get"), 501, ""),
        (format!("{plain}\r\n").replace("1.1", "2.0"), 505, ""),
        (format!("{plain}\r\n").replace("GET /", &format!("GET /{}", "x".repeat(60_000))), 414, ""),
        (format!("{plain}{}\r\n", "X: y\r\n".repeat(101)), 431, ""),
        (format!("{plain}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), 400, ""),
        (format!("{plain}Content-Length: +1\r\n\r\nx"), 400, ""),
        (format!("{plain}Host: h\r\n\r\n"), 400, ""),
        ("GET / HTTP/1.1\nHost: h\n\n".to_owned(), 400, ""),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, ""),
    ] {
        let answer = hub.request(&request);
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
        assert!(body.is_empty() || answer.body == body, "{request:?}: {answer:?}");
        for (name, value) in [
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Content-Security-Policy", "default-src 'self'"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{request:?}");
        }
    }
    let refused = hub.request(&post("topic=a", Some("a.b.c")));
    assert_eq!(
        refused.header("WWW-Authenticate"),
        Some(&*common::mixed::challenge(&["error=\"invalid_token\""]))
    );
    for reason in ["no token", "expired", "topic not granted", "malformed"] {
        assert!(
            hub.log.iter().any(|line| line.contains(reason)) || hub.wait_for_log(reason).contains(reason)
        );
    }
    let secrets = [&any, &nothing, &some, &old, &subscriber];
    assert!(hub.log.iter().all(|line| secrets.iter().all(|token| !line.contains(token.as_str()))));
}

#[test]
fn what_could_hide_a_second_request_closes_the_connection() {
    let hub = Hub::start(&[]);
    for request in [
        "POST /hub HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /",
        "POST /hub HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /hub HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
    ] {
        let mut client = hub.connect();
        client.send(&format!("{request}GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"));
        let answer = client.answer();
        assert!(answer.status >= 400, "{request:?}: {answer:?}");
        assert_eq!(answer.header("Connection"), Some("close"));
        assert!(client.is_closed(), "{request:?}");
    }
}

/// RFC 9112, section 9.3: a connection's responses come in the order of its requests.
#[test]
fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let hub = Hub::start(&[]);
    let mut client = hub.connect();
    let mut pipeline = String::new();
    for number in 0..50 {
        pipeline.push_str(&post(&format!("topic=a&id=p{number}"), Some(&publisher())));
        pipeline.push_str("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    client.send(&pipeline);
    for number in 0..50 {
        assert_eq!(client.answer().body, format!("p{number}"));
        assert_eq!(client.answer().body, "ok");
    }
    assert_eq!(hub.subscribe("topic=a&lastEventID=earliest").ids(50).len(), 50);
}

#[test]
fn the_body_is_asked_for_only_when_it_is_wanted() {
    let hub = Hub::start(&[("MAX_BODY_SIZE", "100")]);
    let expect = |body: &str, token: Option<&str>| {
        let request = post(body, token).replace("Content-Type", "Expect: 100-continue\r\nContent-Type");
        let (head, body) = request.split_once("\r\n\r\n").expect("a head");
        let mut client = hub.connect();
        client.send(&format!("{head}\r\n\r\n"));
        let first = client.answer();
        if first.status == 100 {
            client.send(body);
            return (100, client.answer().status);
        }
        (0, first.status)
    };
    assert_eq!(expect("topic=a", Some(&publisher())), (100, 200));
    assert_eq!(expect("topic=a", None), (0, 401));
    assert_eq!(expect(&"x".repeat(101), Some(&publisher())), (0, 413));
    let head = post("", Some(&publisher())).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let mut client = hub.connect();
    client.send(&format!("{head}3\r\ntop\r\n4;x=y\r\nic=a\r\n0\r\nTrailer: x\r\n\r\n"));
    assert_eq!(client.answer().status, 200, "a chunked body");
}

#[test]
fn http_1_0_gets_a_stream_that_ends_with_the_connection() {
    let hub = Hub::start(&[("DRAIN_TIMEOUT", "0s")]);
    let mut client = hub.connect();
    client.send("GET /.well-known/mercure?topic=a HTTP/1.0\r\n\r\n");
    let mut stream = Stream::open(client);
    assert_eq!((stream.status, stream.header("Transfer-Encoding")), (200, None));
    assert_eq!(stream.header("Connection"), Some("close"));
    hub.publish("topic=a&id=1");
    assert_eq!(stream.ids(1), ["1"]);
    hub.signal(Signal::TERM);
    assert_eq!(stream.next(), None);
}

#[test]
fn head_and_options_answer_without_a_subscription() {
    let hub = Hub::start(&[("CORS_ALLOWED_ORIGINS", "https://a.example")]);
    let mut client = hub.connect();
    client.send(&get("topic=a&lastEventID=x", "").replace("GET", "HEAD"));
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Last-Event-ID")), (200, Some("earliest")));
    client.send("OPTIONS * HTTP/1.1\r\nHost: h\r\nOrigin: https://a.example\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status, 204, "on the same connection");
    assert_eq!(
        answer.header("Access-Control-Allow-Headers"),
        Some("authorization, cache-control, last-event-id, content-type")
    );
    client.send("POST /hub HTTP/1.1\r\nHost: h\r\nOrigin: https://a.example\r\n\r\n");
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.header("Access-Control-Allow-Origin")),
        (401, Some("https://a.example"))
    );
    assert_eq!(answer.header("Access-Control-Allow-Credentials"), Some("true"));
}

#[test]
fn a_cookie_publishes_only_from_a_listed_origin() {
    let hub = Hub::start(&[("PUBLISH_ALLOWED_ORIGINS", "https://a.example"), ("COOKIE_NAME", "c")]);
    let status = |lines: &str| {
        let request =
            post("topic=a", None).replace("Host", &format!("Cookie: c={}\r\n{lines}Host", publisher()));
        hub.request(&request).status
    };
    assert_eq!(status("Origin: https://a.example\r\n"), 200);
    assert_eq!(status("Referer: https://a.example/page\r\n"), 200);
    assert_eq!(status("Origin: https://b.example\r\nReferer: https://a.example/\r\n"), 403);
    assert_eq!(status("Origin: null\r\n"), 403);
    assert_eq!(status(""), 403);
}

#[test]
fn slow_heads_get_408_and_silent_connections_are_closed() {
    let hub = Hub::start(&[("HEADER_TIMEOUT", "300ms"), ("READ_TIMEOUT", "400ms")]);
    let (mut partial, mut silent, mut body) = (hub.connect(), hub.connect(), hub.connect());
    partial.send("GET / HTTP/1.1\r\nHo");
    body.send(&post("topic=a", Some(&publisher())).replace("topic=a", "top"));
    assert_eq!(partial.answer().status, 408);
    assert!(partial.is_closed());
    assert!(silent.is_closed());
    assert_eq!(body.answer().status, 408);
}

/// A fifth of the clients reset, half-close or stop reading while updates flow. The other streams
/// are not affected.
#[test]
fn bad_neighbours_change_nobody_elses_stream() {
    const UPDATES: usize = 400;
    // On a busy machine, the updates take longer than a client may take no byte.
    let hub = Hub::start(&[("DISPATCH_TIMEOUT", "1h")]);
    let mut streams: Vec<Stream> = (0..100).map(|_| hub.subscribe("topic=a")).collect();
    let bad: Vec<Stream> = streams.drain(..20).collect();
    let data = "x".repeat(4_000);
    let mut client = hub.connect();
    let (mut half_closed, mut stalled) = (Vec::new(), Vec::new());
    let mut bad = bad.into_iter().enumerate();
    for number in 0..UPDATES {
        client.send(&post(&format!("topic=a&id={number}&data={data}"), Some(&publisher())));
        assert_eq!(client.answer().status, 200);
        if number % 10 == 0
            && let Some((nth, stream)) = bad.next()
        {
            match nth % 3 {
                // Unread bytes make this a reset.
                0 => drop(stream),
                1 => {
                    stream.client.socket.shutdown(std::net::Shutdown::Write).expect("a socket");
                    half_closed.push(stream);
                }
                _ => stalled.push(stream),
            }
        }
        // The good clients read after every update; the bad ones have not read a byte.
        for stream in &mut streams {
            assert_eq!(id(&stream.next().expect("an event")), number.to_string());
        }
    }
    // A client that stopped reading misses nothing when it reads again: the history serves it.
    let mut back = stalled.pop().expect("one that stalled");
    let expected: Vec<_> = (0..UPDATES).map(|number| number.to_string()).collect();
    assert_eq!(back.ids(UPDATES), expected);
}

/// DESIGN, "Failure, in one table": out of file descriptors.
#[test]
fn without_descriptors_new_connections_are_refused_and_old_ones_never_notice() {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 120 && exec \"$0\"", env!("CARGO_BIN_EXE_petasos")]);
    command.env("ADDR", "127.0.0.1:0").env("JWT_KEY", common::KEY).env("ALLOW_ANONYMOUS", "1");
    command.env("DB_PATH", ":memory:");
    let mut hub = Hub::run(command);
    let mut publishing = hub.connect();
    // The answer shows that the hub has accepted the connection.
    publishing.send(&post("topic=b", Some(&publisher())));
    assert_eq!(publishing.answer().status, 200);
    let mut first = hub.subscribe("topic=a");
    let crowd: Vec<_> = (0..150).map(|_| hub.connect()).collect();
    hub.wait_for_log("new connections are refused");
    publishing.send(&post("topic=a&id=1", Some(&publisher())));
    assert_eq!(publishing.answer().status, 200);
    assert_eq!(first.ids(1), ["1"]);
    drop(crowd);
    let until = Instant::now() + common::DEADLINE;
    let mut later = loop {
        let later = hub.subscribe("topic=a");
        if later.status == 200 {
            break later;
        }
        assert!(Instant::now() < until, "no place becomes free");
    };
    publishing.send(&post("topic=a&id=2", Some(&publisher())));
    assert_eq!(later.ids(1), ["2"]);
}

#[test]
fn a_second_hub_on_the_port_stops_with_a_sentence() {
    let hub = Hub::start(&[]);
    let output = common::command()
        .env("ADDR", hub.address.to_string())
        .env("JWT_KEY", common::KEY)
        .env("DB_PATH", ":memory:")
        .output()
        .expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("cannot listen on {}", hub.address)), "{text}");
}

#[test]
fn garbage_harms_nobody() {
    let hub = Hub::start(&[]);
    let mut stream = hub.subscribe("topic=a");
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let mut client = hub.connect();
        let bytes: Vec<u8> = (0..rng.usize(1..3_000)).map(|_| rng.u8(..)).collect();
        // The hub may have closed already.
        let _ = client.socket.write_all(&bytes);
    }
    hub.publish("topic=a&id=1");
    assert_eq!(stream.ids(1), ["1"]);
}
