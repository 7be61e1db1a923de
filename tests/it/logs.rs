//! Goal: the log names each request and its client, and never a token. A flood of requests does not
//! flood the log. The journal gets its native format. Method: the binary, its standard error, and
//! clients on real sockets.

use std::fs::File;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::http2::{Http2, request};
use crate::common::{Client, DEADLINE, Hub, KEY, command, eventually, get, post, publisher, token};
use serde_json::{Value, json};

const TARGET: &str = "petasos::access";

/// The lines of the access log so far, up to the first that contains this text.
fn access(hub: &mut Hub, text: &str) -> Vec<Value> {
    while !hub.wait_for_log(text).contains(TARGET) {}
    let lines = hub.log.iter().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    lines.filter(|line| line["target"] == TARGET).collect()
}

fn assert_fields(line: &Value, fields: &[(&str, Value)]) {
    for (name, value) in fields {
        assert_eq!(&line[*name], value, "{name} of {line}");
    }
}

#[test]
fn every_request_has_a_line_and_every_stream_two() {
    let mut hub = Hub::start(&[("ACCESS_LOG", "1")]);
    let mut client = hub.connect();
    client.send("GET /healthz?x=1 HTTP/1.1\r\nHost: hub.example\r\nUser-Agent: probe/1 \"x\"\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status, 200);
    let line = access(&mut hub, "answered").remove(0);
    let (method, path, version) = (json!("GET"), json!("/healthz?x=1"), json!("HTTP/1.1"));
    assert_fields(
        &line,
        &[
            ("method", method),
            ("path", path),
            ("version", version),
            ("host", json!("hub.example")),
            ("user_agent", json!("probe/1 \"x\"")),
            ("status", json!(200)),
            ("client", json!(client.socket.local_addr().expect("an address").to_string())),
        ],
    );
    assert!(line["duration_ms"].is_u64() && line["bytes"] == answer.body.len(), "{line}");

    let mut stream = hub.subscribe("topic=a");
    let line = access(&mut hub, "stream began").pop().expect("a line");
    assert_fields(&line, &[("path", json!("/.well-known/mercure?topic=a")), ("status", json!(200))]);
    hub.publish("topic=a&data=0123456789&id=one");
    assert_eq!(stream.ids(1), ["one"]);
    let stream_bytes = stream.body.len();
    drop(stream);
    let line = access(&mut hub, "stream ended").pop().expect("a line");
    assert_fields(&line, &[("path", json!("/.well-known/mercure?topic=a")), ("reason", json!("Gone"))]);
    // The chunk framing counts as bytes too.
    let bytes = stream_bytes as u64;
    assert!(line["bytes"].as_u64().is_some_and(|all| (bytes..bytes + 32).contains(&all)), "{line}");

    let mut client = hub.connect();
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    let line = access(&mut hub, "\"status\":400").pop().expect("a line");
    assert_fields(&line, &[("method", json!("-")), ("path", json!("-")), ("status", json!(400))]);
}

/// The same for streams of one HTTP/2 connection, which also end with `WRITE_TIMEOUT`.
#[test]
fn requests_and_streams_of_http_2_are_told_of_like_others() {
    let settings = [("ACCESS_LOG", "1"), ("USE_FORWARDED_HEADERS", "1"), ("WRITE_TIMEOUT", "1s")];
    let mut hub = Hub::start(&settings);
    let curl = |path: &str| {
        let url = format!("http://{}{path}", hub.address);
        let mut command = Command::new("curl");
        command.args([
            "-sSN",
            "--http2-prior-knowledge",
            "-A",
            "curl/x",
            "-H",
            "X-Forwarded-For: 192.0.2.1",
            &url,
        ]);
        command.output().expect("curl runs")
    };
    assert_eq!(curl("/nothing?authorization=s3cret").status.code(), Some(0));
    let began = Instant::now();
    let output = curl("/.well-known/mercure?topic=a");
    assert_eq!(output.status.code(), Some(0), "a clean end: {output:?}");
    assert!(began.elapsed() >= Duration::from_millis(800), "{:?}", began.elapsed());
    let lines = access(&mut hub, "stream ended");
    let common = [
        ("client", json!("192.0.2.1")),
        ("version", json!("HTTP/2")),
        ("method", json!("GET")),
        ("scheme", json!("http")),
        ("host", json!(hub.address.to_string())),
        ("user_agent", json!("curl/x")),
    ];
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str()).collect();
    assert_eq!(messages, [Some("answered"), Some("stream began"), Some("stream ended")]);
    lines.iter().for_each(|line| assert_fields(line, &common));
    assert_fields(&lines[0], &[("path", json!("/nothing?authorization=***")), ("status", json!(404))]);
    assert_fields(&lines[2], &[("bytes", json!(output.stdout.len())), ("reason", json!("Expired"))]);
}

/// A client can send these headers too. They are used only if the operator declares that a proxy
/// sets them.
#[test]
fn a_proxy_names_the_client_when_it_is_trusted_and_not_before() {
    let request = |headers: &str| format!("GET /healthz HTTP/1.1\r\nHost: hub\r\n{headers}\r\n");
    let by_proxy = "X-Forwarded-For: 198.51.100.7, 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\n";
    let garbage = "X-Forwarded-For: garbage\r\nForwarded: \"\r\nX-Forwarded-Host: a/b\r\nX-Real-IP: \r\n";
    for (is_trusted, client_of_proxy, scheme, host) in
        [("0", None, "http", "hub"), ("1", Some("192.0.2.1"), "https", "a.example")]
    {
        let mut hub = Hub::start(&[("ACCESS_LOG", "1"), ("USE_FORWARDED_HEADERS", is_trusted)]);
        let mut client = hub.connect();
        let peer = client.socket.local_addr().expect("an address").to_string();
        // On one connection, since a proxy sends the requests of many clients on one.
        for headers in [by_proxy, "", garbage] {
            client.send(&request(headers));
            assert_eq!(client.answer().status, 200, "{headers}");
        }
        let lines: Vec<_> = (0..3).map(|_| access(&mut hub, "answered").pop().expect("a line")).collect();
        let of_proxy = client_of_proxy.unwrap_or(&peer);
        assert_fields(
            &lines[0],
            &[("client", json!(of_proxy)), ("scheme", json!(scheme)), ("host", json!(host))],
        );
        for line in &lines[1..] {
            assert_fields(
                line,
                &[("client", json!(peer)), ("scheme", json!("http")), ("host", json!("hub"))],
            );
        }
    }
}

/// `LOG_LEVEL` applies to all other lines.
#[test]
fn the_access_log_is_written_whatever_the_level() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let mut command = command();
    command.env("DEMO", "1").env("DB_PATH", ":memory:").env("ADDR", free.to_string());
    command.env("LOG_LEVEL", "error").env("ACCESS_LOG", "1");
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut client = None;
    eventually("the hub does not listen", || {
        client = TcpStream::connect(free).ok();
        client.is_some()
    });
    let mut client = Client::new(client.expect("connected"));
    client.send("GET /nothing HTTP/1.1\r\nHost: hub\r\n\r\n");
    assert_eq!(client.answer().status, 404);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .expect("it runs");
    let mut log = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut log).expect("UTF-8");
    child.wait().expect("it ends");
    assert!(log.lines().count() == 1 && log.contains(" INFO answered client="), "{log}");
}

#[test]
fn no_token_is_ever_in_a_line() {
    let mut hub = Hub::start(&[
        ("ACCESS_LOG", "1"),
        ("LOG_LEVEL", "trace"),
        ("PUBLISH_ALLOWED_ORIGINS", "https://a.example"),
    ]);
    let subscriber = token(&json!({ "subscribe": ["*"] }), None);
    let publisher = publisher();
    let stream = hub.subscribe(&format!("topic=a&authorization={subscriber}"));
    assert_eq!(stream.status, 200);
    drop(hub.subscribe(&format!("topic=b&%61uthorization={subscriber}")));
    let cookie = format!(
        "Cookie: mercureAuthorization={subscriber}\r\nReferer: https://a.example/?x={subscriber}\r\n"
    );
    drop(hub.subscribe_with("topic=c", &cookie));
    assert_eq!(hub.request(&post("topic=a", Some(&publisher))).status, 200);
    assert_eq!(hub.request(&post("topic=a", Some(&format!("{publisher}x")))).status, 401);
    assert_eq!(hub.request(&format!("GET /{publisher} HTTP/1.1\r\nHost: hub\r\n\r\n")).status, 404);
    assert_eq!(hub.request(&get(&format!("topic=d&authorization={publisher}x"), "")).status, 401);
    hub.wait_for_log("topic=d&authorization=***");
    assert!(hub.log.iter().any(|line| line.contains("topic=a&authorization=***")), "{:#?}", hub.log);
    for secret in [&subscriber, &publisher] {
        let signature = secret.rsplit('.').next().expect("a signature");
        assert!(hub.log.iter().all(|line| !line.contains(signature)), "{:#?}", hub.log);
    }
    assert!(hub.log.iter().all(|line| !line.contains(KEY)));
}

/// 16 characters of the payload or of the signature in one of these lines, which may also be
/// percent-encoded there.
fn part_of_token(lines: &[String], token: &str) -> Option<String> {
    let parts = token.split('.').skip(1).flat_map(|part| part.as_bytes().windows(16));
    let parts: std::collections::HashSet<_> = parts.collect();
    lines.iter().find_map(|line| {
        let mut text = line.as_bytes().to_vec();
        loop {
            if text.windows(16).any(|window| parts.contains(window)) {
                return Some(line.clone());
            }
            let decoded: Vec<u8> = percent_encoding::percent_decode(&text).collect();
            if decoded == text {
                return None;
            }
            text = decoded;
        }
    })
}

/// In each place of a request whose text reaches the log, over both versions of HTTP, and in
/// contents of updates (`DEBUG`).
#[test]
fn no_token_is_in_a_line_however_it_is_spelled() {
    let settings =
        [("ACCESS_LOG", "1"), ("LOG_LEVEL", "debug"), ("DEBUG", "1"), ("USE_FORWARDED_HEADERS", "1")];
    let mut hub = Hub::start(&settings);
    let token = token(&json!({ "subscribe": ["*"], "publish": ["a"] }), None);
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let spellings = [
        token.clone(),
        encoded(&token),
        encoded(&encoded(&token)).to_lowercase(),
        token.replace('.', "%2e"),
        token.replacen('e', "%252565", 1),
    ];
    let mut targets = Vec::new();
    for token in &spellings {
        for query in ["a?authorization=", "a%26authorization%3D", "a;authorization=", "a&authorization:"] {
            targets.push(format!("/.well-known/mercure?topic={query}{token}"));
        }
        for value in ["%22{}%22", "Bearer:{}", "Bearer%20{}", "({})", "eyJ{}", "%6{}", "{}%"] {
            targets.push(format!("/nothing?topic=a&x={}", value.replace("{}", token)));
        }
        for path in ["/{}", "/hub={}/z", "/hub;authorization={};a", "/.well-known/mercure/{}"] {
            targets.push(path.replace("{}", token));
        }
    }
    let fields = |token: &str| {
        [
            ("user-agent", format!("app (token={token})")),
            ("user-agent", format!("Bearer {token}")),
            ("referer", format!("https://a.example/?x={token}")),
            ("origin", format!("https://{token}")),
            ("cookie", format!("mercureAuthorization=\"{token}\"; x={token}")),
            ("authorization", format!("Basic {token}")),
            ("authorization", format!("Bearer {token}x")),
            ("last-event-id", token.to_owned()),
            ("forwarded", format!("for={token};host={token}")),
            ("x-forwarded-for", token.to_owned()),
            ("x-forwarded-host", token.to_owned()),
        ]
    };
    let http2 = Http2::connect(&hub);
    for target in &targets {
        hub.request(&format!("GET {target} HTTP/1.1\r\nHost: hub\r\n\r\n"));
        http2.ask(request("HEAD", target), "");
    }
    for (name, value) in spellings.iter().flat_map(|token| fields(token)) {
        let target = "/.well-known/mercure?topic=a";
        hub.request(&format!("GET {target} HTTP/1.1\r\nHost: hub\r\n{name}: {value}\r\n\r\n"));
        http2.ask(request("HEAD", target).header(name, value), "");
    }
    hub.request(&format!("GET /healthz HTTP/1.1\r\nHost: {token}\r\n\r\n"));
    // As text of an update, as its id, and as a topic that is not granted.
    let publishes = publisher();
    for token in &spellings {
        let body = format!("topic=a&data={token}&id=x{token}");
        assert_eq!(hub.request(&post(&body, Some(&publishes))).status, 200);
        drop(hub.subscribe_with("topic=a", &format!("Last-Event-ID: x{token}\r\n")));
    }
    // Lines about refused requests are bounded in a second: this may have to be asked for again.
    let until = Instant::now() + DEADLINE;
    for number in 0.. {
        assert!(Instant::now() < until, "no line about a topic that is not granted");
        assert_eq!(hub.request(&post(&format!("topic={token}&data=x"), Some(&token))).status, 403);
        let last = format!("/the-last-one-{number}");
        hub.request(&format!("GET {last} HTTP/1.1\r\nHost: hub\r\n\r\n"));
        while !hub.wait_for_log(&last).contains(TARGET) {}
        if hub.log.iter().any(|line| line.contains("topic not granted: ")) {
            break;
        }
    }
    let masked = hub.log.iter().filter(|line| line.contains("***")).count();
    assert!(masked >= 2 * targets.len(), "{masked} lines of {}", hub.log.len());
    let texts =
        ["\"request\"", "answered", "stream began", "\"update\"", "subscribed", "topic not granted: "];
    for text in texts {
        assert!(hub.log.iter().any(|line| line.contains(text)), "{text} is not in the log: {:#?}", hub.log);
    }
    assert_eq!(part_of_token(&hub.log, &token), None);
    assert_eq!(part_of_token(&hub.log, &publishes), None);
}

#[test]
fn a_flood_of_refused_requests_is_no_flood_of_lines() {
    let mut hub = Hub::start(&[("SHARDS", "1")]);
    let mut client = hub.connect();
    let mut requests = 0_u64;
    let flood = "GET /nothing HTTP/1.1\r\nHost: hub\r\n\r\n".repeat(400);
    // The line after the flood says how many requests were not logged.
    let until = Instant::now() + DEADLINE;
    let told = loop {
        assert!(Instant::now() < until, "every one of {requests} requests had a line");
        client.send(&flood);
        (0..400).for_each(|_| assert_eq!(client.answer().status, 404));
        requests += 400;
        let lines = hub.logged();
        let told = lines.iter().rev().find(|line| line.contains("left_out")).cloned();
        if let Some(told) = told {
            break told;
        }
    };
    let told: Value = serde_json::from_str(&told).expect("a JSON line");
    let left_out = told["left_out"].as_u64().expect("a number");
    let written = hub.log.iter().filter(|line| line.contains("refused")).count() as u64;
    assert!(left_out > 0 && written < requests && left_out <= requests, "{told}, {written} of {requests}");
}

#[test]
fn the_journal_gets_priorities_and_no_second_time() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let path = std::env::temp_dir().join(format!("petasos-journal-{}", std::process::id()));
    let logged = |is_named: bool| {
        let file = File::create(&path).expect("a file");
        let stat = file.metadata().expect("a file");
        let named = format!("{}:{}", stat.dev(), stat.ino() + u64::from(!is_named));
        let mut command = command();
        command
            .env("DEMO", "1")
            .env("DB_PATH", ":memory:")
            .env("ADDR", &address)
            // No line before the error, wherever the tests run.
            .env("IO", "epoll")
            .env("JOURNAL_STREAM", named);
        let status = command.stderr(Stdio::from(file)).status().expect("the binary runs");
        assert_eq!(status.code(), Some(1));
        let mut text = String::new();
        File::open(&path).and_then(|mut file| file.read_to_string(&mut text)).expect("a log");
        text
    };
    let (journal, other) = (logged(true), logged(false));
    std::fs::remove_file(&path).expect("removed");
    assert!(journal.starts_with("<3>cannot listen on"), "{journal}");
    assert!(other.starts_with("20") && other.contains(" ERROR cannot listen on"), "{other}");
}
