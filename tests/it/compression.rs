//! Goal: a client that accepts a coding gets the same updates, each without delay, in bytes that
//! every decoder reads.
//!
//! Method: the binary over real sockets. Streaming decoders read the bytes as they arrive; at the
//! end, decoders that require a clean end read them again. Then curl, Python and Node read them
//! with their own decoders. Section numbers refer to RFC 9110 and the protocol document.

use crate::common;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::common::{Hub, Stream, get, token};
use rustix::process::Signal;
use serde_json::json;

const CODINGS: [&str; 2] = ["gzip", "zstd"];

/// An update of about 2 KB of JSON, as a form field.
fn books(seed: usize) -> String {
    let book = |number: usize| {
        let number = number * 7_919 + seed * 104_729;
        format!("{{\"@id\":\"/books/{number}\",\"price\":{},\"availability\":\"InStock\"}}", number % 9_973)
    };
    let books: Vec<_> = (0..35).map(book).collect();
    format!("[{}]", books.join(","))
}

fn subscribe(hub: &Hub, query: &str, coding: &str) -> Stream {
    hub.subscribe_with(query, &format!("Accept-Encoding: {coding}\r\n"))
}

/// HTTP/1.0: the body ends with the connection.
fn subscribe_1_0(hub: &Hub, query: &str, coding: &str) -> Stream {
    let mut client = hub.connect();
    client.send(&format!("GET /hub?{query} HTTP/1.0\r\nAccept-Encoding: {coding}\r\n\r\n"));
    Stream::open(client)
}

fn all(hub: &Hub, query: &str) -> Vec<Stream> {
    let both =
        CODINGS.iter().flat_map(|coding| [subscribe(hub, query, coding), subscribe_1_0(hub, query, coding)]);
    both.collect()
}

#[test]
fn the_coding_is_negotiated_and_the_answer_tells_it() {
    let hub = Hub::start(&[]);
    for (accepted, coding) in [
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip, deflate, br", Some("gzip")),
        ("zstd;q=0.1, gzip;q=0.2", Some("gzip")),
        ("*", Some("gzip")),
        ("br", None),
        ("identity", None),
        ("gzip;q=0, identity;q=0", None),
    ] {
        let headers = format!("Accept-Encoding: {accepted}\r\n");
        for request in [get("topic=a", &headers), get("topic=a", &headers).replacen("GET", "HEAD", 1)] {
            let mut client = hub.connect();
            client.send(&request);
            let answer = client.answer();
            assert_eq!(answer.header("Content-Encoding"), coding, "{request}");
            assert_eq!(answer.header("Vary"), Some("Accept-Encoding"), "{request}");
        }
    }
    assert_eq!(
        hub.subscribe("topic=a").header("Vary"),
        Some("Accept-Encoding"),
        "it could have been another one"
    );
}

#[test]
fn vary_names_everything_that_counts_in_one_line() {
    let hub = Hub::start(&[("CORS_ALLOWED_ORIGINS", "https://a.example")]);
    let headers = "Accept-Encoding: gzip\r\nOrigin: https://a.example\r\n";
    let stream = hub.subscribe_with("topic=a", headers);
    let lines = stream.head.lines().filter(|line| line.starts_with("Vary:")).collect::<Vec<_>>();
    assert_eq!(lines, ["Vary: Accept-Encoding, Origin"]);
}

#[test]
fn what_is_no_stream_and_no_page_is_sent_as_it_is() {
    let hub = Hub::start(&[]);
    let accept = "Accept-Encoding: gzip, zstd\r\nRange: bytes=0-3\r\n";
    for (request, status) in [
        (format!("GET /healthz HTTP/1.1\r\nHost: h\r\n{accept}\r\n"), 200),
        (format!("GET /nothing HTTP/1.1\r\nHost: h\r\n{accept}\r\n"), 404),
        (format!("OPTIONS /hub HTTP/1.1\r\nHost: h\r\n{accept}\r\n"), 204),
        (format!("PUT /hub HTTP/1.1\r\nHost: h\r\n{accept}\r\n"), 405),
        (get("", accept), 400),
        (get("topic=a", &format!("{accept}Authorization: Bearer x\r\n")), 401),
        (
            common::post("topic=a&id=i", Some(&common::publisher())).replacen(
                "Host",
                &format!("{accept}Host"),
                1,
            ),
            200,
        ),
    ] {
        let answer = hub.request(&request);
        assert_eq!(answer.status, status, "{request}");
        assert_eq!((answer.header("Content-Encoding"), answer.header("Vary")), (None, None), "{request}");
    }
}

#[test]
fn a_page_is_compressed_whole() {
    let hub = Hub::start(&[]);
    let fetch = |method: &str, headers: &str| {
        let mut client = hub.connect();
        client.send(&format!("{method} / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n"));
        while client.read_some(Instant::now() + common::DEADLINE) {}
        let end = client.received.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        let body = client.received.split_off(end);
        (String::from_utf8(client.received).expect("UTF-8"), body)
    };
    let (_, expected) = fetch("GET", "");
    assert!(expected.starts_with(b"<!doctype html>"));
    // A request that comes from another site gets the page uncompressed.
    for (referer, is_ours) in
        [("http://h/other", true), ("http://h:81/", false), ("https://a.example/", false), ("garbage", false)]
    {
        let (head, body) = fetch("GET", &format!("Accept-Encoding: gzip\r\nReferer: {referer}\r\n"));
        assert_eq!(head.contains("Content-Encoding: gzip"), is_ours, "{referer}: {head}");
        assert!(head.contains("Vary: Accept-Encoding") && (is_ours || body == expected), "{referer}: {head}");
    }
    for coding in CODINGS {
        // The request asks for a part; a whole response is allowed (section 14.2).
        let (head, body) = fetch("GET", &format!("Accept-Encoding: {coding}\r\nRange: bytes=0-3\r\n"));
        let mut page = Vec::new();
        match coding {
            "gzip" => _ = flate2::read::GzDecoder::new(&*body).read_to_end(&mut page).expect("gzip"),
            _ => page = zstd::decode_all(&*body).expect("zstd"),
        }
        assert_eq!(page, expected, "{coding}");
        assert!(body.len() < expected.len(), "{coding}");
        let (only_head, nothing) = fetch("HEAD", &format!("Accept-Encoding: {coding}\r\n"));
        for head in [head, only_head] {
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            assert!(head.contains(&format!("\r\nContent-Encoding: {coding}\r\n")), "{head}");
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        }
        assert!(nothing.is_empty());
    }
}

#[test]
fn each_update_can_be_read_when_it_is_there_and_the_end_is_clean() {
    let mut hub = Hub::start(&[("DRAIN_TIMEOUT", "0s")]);
    let mut streams = all(&hub, "topic=a");
    let mut plain = hub.subscribe("topic=a");
    for number in 0..20 {
        // Short updates are stored, long ones are compressed. Lines that look like a comment are
        // data.
        let data = if number % 3 == 0 { format!("{number}%0A:%0A") } else { books(number) };
        hub.publish(&format!("topic=a&id=i{number}&data={data}"));
        let expected = plain.next();
        for stream in &mut streams {
            assert_eq!(stream.next(), expected, "{}", stream.head);
        }
    }
    hub.signal(Signal::TERM);
    assert_eq!(plain.next(), None);
    for stream in &mut streams {
        assert_eq!(stream.next(), None);
        assert_eq!(stream.whole(), plain.whole(), "{}", stream.head);
        assert!(stream.body.len() * 2 < plain.body.len(), "{} of {}", stream.body.len(), plain.body.len());
    }
    assert!(hub.wait().success());
}

#[test]
fn heartbeats_are_part_of_the_stream() {
    let mut hub = Hub::start(&[("HEARTBEAT_INTERVAL", "100ms"), ("DRAIN_TIMEOUT", "0s")]);
    let mut streams = all(&hub, "topic=a");
    streams.iter_mut().for_each(|stream| stream.wait_for(":\n:\n:\n"));
    hub.publish(&format!("topic=a&id=i&data={}", books(1)));
    for stream in &mut streams {
        assert_eq!(stream.ids(1), ["i"]);
        stream.wait_for(":\n:\n");
    }
    hub.signal(Signal::TERM);
    for stream in &mut streams {
        assert_eq!(stream.next(), None);
        let whole = stream.whole();
        assert!(whole.starts_with(":\n:\n:\nid") || whole.starts_with(":\n:\n:\n:\n"), "{whole}");
        assert_eq!(whole.matches("data").count(), 1);
    }
    assert!(hub.wait().success());
}

#[test]
fn a_replay_joins_live_in_the_same_stream() {
    let mut hub = Hub::start(&[("DRAIN_TIMEOUT", "0s")]);
    let publish =
        |hub: &Hub, number: usize| hub.publish(&format!("topic=a&id=i{number}&data={}", books(number)));
    (0..100).for_each(|number| assert_eq!(publish(&hub, number), format!("i{number}")));
    let mut streams = all(&hub, "topic=a&lastEventID=i9");
    publish(&hub, 100);
    hub.signal(Signal::TERM);
    let expected: Vec<_> = (10..=100).map(|number| format!("i{number}")).collect();
    for stream in &mut streams {
        assert_eq!(stream.header("Last-Event-ID"), Some("i9"));
        assert_eq!(stream.ids(expected.len()), expected);
        assert_eq!(stream.next(), None);
        assert!(stream.whole().ends_with("\n\n"));
    }
    assert!(hub.wait().success());
}

/// A client that reads nothing for a while is served from the history, in the same compressed
/// stream: the checksum at its end shows that nothing was lost or repeated.
#[test]
fn a_slow_reader_catches_up_in_the_same_stream() {
    let mut hub = Hub::start(&[("DRAIN_TIMEOUT", "0s"), ("SUBSCRIBER_BUFFER", "64KiB")]);
    let mut streams = all(&hub, "topic=a");
    let mut rng = fastrand::Rng::with_seed(3);
    let mut client = hub.connect();
    let mut noise = || -> String { (0..30_000).map(|_| rng.alphanumeric()).collect() };
    // More than the socket buffers of both ends hold.
    for number in 0..300 {
        client.send(&common::post(
            &format!("topic=a&id=i{number}&data={}", noise()),
            Some(&common::publisher()),
        ));
        assert_eq!(client.answer().body, format!("i{number}"));
    }
    let expected: Vec<_> = (0..300).map(|number| format!("i{number}")).collect();
    for stream in &mut streams {
        assert_eq!(stream.ids(expected.len()), expected);
    }
    hub.signal(Signal::TERM);
    for stream in &mut streams {
        assert_eq!(stream.next(), None);
        assert_eq!(stream.whole().matches("data: ").count(), 300);
    }
    assert!(hub.wait().success());
}

#[test]
fn a_token_that_expires_ends_the_stream_cleanly() {
    let hub = Hub::start(&[]);
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let short = token(&json!({ "subscribe": ["*"] }), Some(now_s + 2));
    let mut streams = all(&hub, &format!("topic=a&authorization={short}"));
    hub.publish(&format!("topic=a&id=i&private=on&data={}", books(1)));
    for stream in &mut streams {
        assert_eq!(stream.ids(1), ["i"]);
        assert_eq!(stream.next(), None, "it outlived its token");
        assert_eq!(stream.whole().matches("data").count(), 1);
    }
}

#[test]
fn compress_0_switches_it_off() {
    let hub = Hub::start(&[("COMPRESS", "0")]);
    let mut stream = subscribe(&hub, "topic=a", "gzip, zstd");
    assert_eq!((stream.header("Content-Encoding"), stream.header("Vary")), (None, None));
    hub.publish("topic=a&id=i");
    assert_eq!(stream.ids(1), ["i"]);
}

/// The output of a program, line by line as it comes.
fn read_by(hub: &mut Hub, mut command: Command, lines: usize) -> String {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let (sender, output) = crossbeam_channel::unbounded();
    let stdout = child.stdout.take().expect("a pipe");
    std::thread::spawn(move || {
        use std::io::BufRead as _;
        let lines = std::io::BufReader::new(stdout).lines().map_while(Result::ok);
        lines.for_each(|line| _ = sender.send(line));
    });
    let next = || output.recv_timeout(common::DEADLINE).expect("the program shows what it received");
    assert_eq!(next(), ":", "the first comment is there before any update");
    let mut text = ":\n".to_owned();
    for number in 0..lines {
        hub.publish(&format!("topic=a&id=i{number}&data={}", books(number)));
        let event: Vec<_> = (0..3).map(|_| next()).collect();
        assert_eq!(event[0], format!("id: i{number}"));
        text.push_str(&(event.join("\n") + "\n"));
    }
    hub.signal(Signal::TERM);
    let status = child.wait().expect("the program ends");
    assert!(status.success(), "the program is not content with the end: {status}");
    assert_eq!(output.recv_timeout(Duration::from_secs(1)).ok(), None);
    text
}

fn with(program: &str, arguments: &[&str], url: &str) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).arg(url);
    command
}

fn reads(programs: impl Fn(&str) -> Vec<Command>) {
    for number in 0.. {
        let mut hub = Hub::start(&[("DRAIN_TIMEOUT", "0s")]);
        let url = format!("http://{}/hub?topic=a", hub.address);
        let mut commands = programs(&url);
        if number >= commands.len() {
            break;
        }
        let shown = read_by(&mut hub, commands.swap_remove(number), 5);
        assert_eq!(shown.matches("data: ").count(), 5);
    }
}

#[test]
fn curl_reads_both_codings_as_they_come_and_finds_the_end_clean() {
    reads(|url| {
        let with_coding = |coding: &str| with("curl", &["-sSfN", "--compressed", "-H", coding], url);
        vec![
            with("curl", &["-sSfN", "--compressed"], url),
            with_coding("Accept-Encoding: gzip"),
            with_coding("Accept-Encoding: zstd"),
            with("curl", &["-sSfN0", "--compressed"], url),
        ]
    });
}

/// Python's zlib reads one gzip member, as browsers do, and checks its trailer. Python's HTTP
/// client supports no coding.
#[test]
fn python_reads_gzip_as_it_comes() {
    const SCRIPT: &str = "
import sys, urllib.request, zlib
request = urllib.request.Request(sys.argv[1], headers={'Accept-Encoding': 'gzip'})
decoder = zlib.decompressobj(31)
with urllib.request.urlopen(request) as answer:
    while piece := answer.read1():
        sys.stdout.write(decoder.decompress(piece).decode()); sys.stdout.flush()
assert decoder.eof and not decoder.unused_data
";
    reads(|url| vec![with("python3", &["-c", SCRIPT], url)]);
}

/// Node's `fetch` decodes automatically, as browsers do.
#[test]
fn node_reads_gzip_as_it_comes() {
    const SCRIPT: &str = "
const answer = await fetch(process.argv[1], { headers: { 'Accept-Encoding': 'gzip' } });
if (answer.headers.get('content-encoding') !== 'gzip') process.exit(3);
const decoder = new TextDecoder();
for await (const piece of answer.body) process.stdout.write(decoder.decode(piece, { stream: true }));
";
    reads(|url| vec![with("node", &["--input-type=module", "-e", SCRIPT], url)]);
}
