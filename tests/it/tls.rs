//! Goal: TLS changes nothing else, and a client gains nothing by breaking it off, stalling or
//! sending invalid records.
//!
//! Method: the binary with certificates made when the test runs. Clients are rustls or bare
//! sockets. A client fails when its connection ends without a close_notify.

use crate::common;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::common::tls::{DAY, Files, Pair, any, trusting};
use crate::common::{Client, DEADLINE, HttpResponse, Hub, Stream, command, get, post, publisher};
use petasos::limits::{CERTIFICATE_LOOK_MS, TLS_STREAM_BYTES_MAX};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind};

/// A hub on one shard, so that all clients share one loop.
fn hub(name: &str, settings: &[(&str, &str)]) -> Hub {
    let pair = Pair::new();
    let mut all = vec![("SHARDS", "1")];
    all.extend(settings);
    Files::new(name, &pair).start(&all, &any(&pair))
}

fn others_are_served(hub: &Hub) {
    let mut stream = hub.subscribe("topic=a");
    let ids: Vec<_> = (0..5).map(|_| hub.publish("topic=a")).collect();
    assert_eq!(stream.ids(5), ids);
}

fn connection(client: &Client) -> &ClientConnection {
    client.tls.as_deref().expect("TLS")
}

fn health(hub: &Hub) -> (Client, HttpResponse) {
    let mut client = hub.connect();
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    (client, answer)
}

/// Everything that a bare socket receives until its end; a reset counts as an end.
fn rest(mut socket: &TcpStream) -> Vec<u8> {
    socket.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let mut received = Vec::new();
    if let Err(error) = socket.read_to_end(&mut received) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the hub does not close");
    }
    received
}

/// The first flight of a client.
fn client_hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let name = "localhost".try_into().expect("a name");
    let mut connection = ClientConnection::new(Arc::clone(config), name).expect("a configuration");
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).expect("written");
    hello
}

#[test]
fn both_versions_subscribe_publish_and_resume() {
    let pair = Pair::new();
    let files = Files::new("versions", &pair);
    let mut hub = files.start(&[], &any(&pair));
    assert!(hub.log.iter().any(|line| line.contains(r#""tls":"yes""#)), "{:?}", hub.log);
    for version in [&TLS12, &TLS13] {
        hub.tls = Some(trusting(&[&pair], &[version], &["http/1.1"]));
        let mut stream = hub.subscribe("topic=a");
        let ids: Vec<_> = (0..20).map(|number| hub.publish(&format!("topic=a&data={number}"))).collect();
        assert_eq!(stream.ids(20), ids);
        let tls = connection(&stream.client);
        assert_eq!(tls.protocol_version(), Some(version.version));
        assert_eq!(tls.alpn_protocol(), Some(b"http/1.1".as_slice()));
        let mut replay = hub.subscribe_with("topic=a", &format!("Last-Event-ID: {}\r\n", ids[4]));
        assert_eq!(replay.ids(15), ids[5..]);
        assert_eq!(replay.header("Last-Event-ID"), Some(ids[4].as_str()));
    }
    // A client that offers no protocol gets HTTP/1.1. A client that offers only unknown ones gets
    // an alert.
    hub.tls = Some(trusting(&[&pair], &[&TLS13], &[]));
    assert_eq!(connection(&health(&hub).0).alpn_protocol(), None);
    let mut client = Client::tls(
        TcpStream::connect(hub.address).expect("the hub accepts"),
        &trusting(&[&pair], &[&TLS13], &["spdy/3"]),
    );
    client.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    let tls = client.tls.as_deref_mut().expect("TLS");
    let error = tls.complete_io(&mut client.socket).expect_err("no protocol in common");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[test]
fn sessions_are_resumed_from_tickets() {
    let pair = Pair::new();
    let files = Files::new("resumption", &pair);
    let mut hub = files.start(&[], &any(&pair));
    for version in [&TLS12, &TLS13] {
        hub.tls = Some(trusting(&[&pair], &[version], &["http/1.1"]));
        for round in 0..3 {
            let kind = connection(&health(&hub).0).handshake_kind();
            assert_eq!(kind == Some(HandshakeKind::Resumed), round > 0, "{version:?}, {round}: {kind:?}");
        }
    }
}

#[test]
fn large_bodies_pipelines_and_keep_alive_work() {
    let hub = hub("bodies", &[]);
    let mut stream = hub.subscribe("topic=a");
    let data: String = (0..70_000).map(|number| format!("{number:09}-")).collect();
    let id = hub.publish(&format!("topic=a&data={data}"));
    let event = stream.next().expect("an event");
    assert_eq!(common::id(&event), id);
    assert!(event.contains(&data), "{} bytes came", event.len());
    let mut client = hub.connect();
    client.send(&"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n".repeat(500));
    for _ in 0..500 {
        assert_eq!(client.answer().body, "ok");
    }
    let body = format!("topic=a&data={}", "x".repeat(20_000));
    client.send(&post(&body, Some(&publisher())).repeat(20));
    for _ in 0..20 {
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(stream.ids(20).len(), 20);
    client.send("GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().body, "ok");
    assert!(client.is_closed(), "with a close_notify");
    let mut old = hub.connect();
    old.send("GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer().body, "ok");
    assert!(old.is_closed());
}

/// The client is owed more than its buffer and the sockets hold, so it falls behind. Then it reads,
/// and misses nothing.
#[test]
fn a_slow_reader_catches_up_and_nobody_else_notices() {
    const UPDATES: usize = 100;
    let hub = hub("slow", &[("SUBSCRIBER_BUFFER", "64KiB"), ("HEARTBEAT_INTERVAL", "100ms")]);
    let mut quick = hub.subscribe("topic=a");
    let mut client = hub.connect();
    set_socket_recv_buffer_size(&client.socket, 32 << 10).expect("a socket");
    client.send(&get("topic=a", ""));
    let mut slow = Stream::open(client);
    let data = "y".repeat(20_000);
    let mut ids = Vec::new();
    for _ in 0..UPDATES {
        ids.push(hub.publish(&format!("topic=a&data={data}")));
        assert_eq!(quick.ids(1), ids[ids.len() - 1..]);
    }
    assert_eq!(slow.ids(UPDATES), ids);
    let last = hub.publish("topic=a");
    assert_eq!((slow.ids(1), quick.ids(1)), (vec![last.clone()], vec![last]));
}

/// Encrypted bytes that wait count as owed: a client that reads nothing cannot hold them for ever.
#[test]
fn a_reader_that_takes_nothing_is_closed() {
    let settings = [("DISPATCH_TIMEOUT", "300ms"), ("HEARTBEAT_INTERVAL", "0s"), ("LOG_LEVEL", "debug")];
    let mut hub = hub("stalled", &settings);
    let mut client = hub.connect();
    set_socket_recv_buffer_size(&client.socket, 8 << 10).expect("a socket");
    client.send(&get("topic=b", ""));
    let _stalled = Stream::open(client);
    for _ in 0..10 {
        hub.publish(&format!("topic=b&data={}", "z".repeat(100_000)));
    }
    let line = hub.wait_for_log("subscription ended");
    assert!(line.contains("Stalled"), "{line}");
    others_are_served(&hub);
}

#[test]
fn a_handshake_that_stalls_is_closed() {
    let hub = hub("stalls", &[("HEADER_TIMEOUT", "300ms")]);
    let hello = client_hello(hub.tls.as_ref().expect("TLS"));
    for length in [0, 1, 5, hello.len() / 2, hello.len()] {
        let mut socket = TcpStream::connect(hub.address).expect("the hub accepts");
        socket.write_all(&hello[..length]).expect("written");
        let began = Instant::now();
        let answer = rest(&socket);
        assert_eq!(answer.is_empty(), length < hello.len(), "{length} bytes were sent");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    // A request that stalls after its handshake is closed too.
    let mut client = hub.connect();
    client.send("GET /healthz HT");
    assert_eq!(client.answer().status, 408);
    assert!(client.is_closed());
    others_are_served(&hub);
}

#[test]
fn plain_http_is_told_that_this_port_takes_tls() {
    let hub = hub("plain", &[]);
    for request in [get("topic=a", ""), post("topic=a", None)] {
        let mut client = Client::new(TcpStream::connect(hub.address).expect("the hub accepts"));
        client.send(&request);
        let answer = client.answer();
        assert_eq!(answer.status, 400);
        assert!(answer.body.ends_with("this port takes HTTPS, not plain HTTP"), "{answer:?}");
        assert!(client.is_closed());
    }
    others_are_served(&hub);
}

#[test]
fn garbage_and_handshakes_that_are_broken_off_harm_nobody() {
    let hub = hub("garbage", &[]);
    let seed = fastrand::u64(..);
    writeln!(std::io::stderr(), "seed {seed}").expect("written");
    let mut random = fastrand::Rng::with_seed(seed);
    let hello = client_hello(hub.tls.as_ref().expect("TLS"));
    for round in 0..100 {
        let mut socket = TcpStream::connect(hub.address).expect("the hub accepts");
        socket.write_all(&hello[..random.usize(..hello.len())]).expect("written");
        if round % 2 == 0 {
            socket.shutdown(Shutdown::Write).expect("a socket");
            rest(&socket);
        }
    }
    for round in 0..100 {
        let mut socket = TcpStream::connect(hub.address).expect("the hub accepts");
        let mut bytes = hello.clone();
        match round % 4 {
            0 => bytes = (0..2_000).map(|_| random.u8(..)).collect(),
            // A record of a valid type with random content.
            1 => bytes = [&[random.u8(20..25), 3, 3, 0x3f, 0xff][..], &[random.u8(..); 0x3fff]].concat(),
            // An endless series of handshake messages, one byte each.
            2 => bytes = [22, 3, 1, 0, 1, 1].repeat(20_000),
            _ => (0..10).for_each(|_| bytes[random.usize(..hello.len())] ^= random.u8(1..)),
        }
        // The hub may close before it has read everything.
        let _ = socket.write_all(&bytes);
        let _ = socket.shutdown(Shutdown::Write);
        rest(&socket);
    }
    others_are_served(&hub);
}

#[test]
fn garbage_behind_a_handshake_ends_the_connection_alone() {
    let hub = hub("behind", &[]);
    let (mut client, _) = health(&hub);
    client.socket.write_all(&[23, 3, 3, 0, 30, 1, 2, 3]).expect("written");
    client.socket.write_all(&[9; 60]).expect("written");
    rest(&client.socket);
    let stream = hub.subscribe("topic=a");
    (&stream.client.socket).write_all(&[23, 3, 3, 0, 30]).expect("written");
    (&stream.client.socket).write_all(&[9; 60]).expect("written");
    rest(&stream.client.socket);
    others_are_served(&hub);
}

#[test]
fn a_client_that_ends_its_half_ends_its_subscription() {
    let hub = hub("half", &[]);
    for shuts_down in [false, true] {
        let mut stream = hub.subscribe("topic=a");
        let tls = stream.client.tls.as_deref_mut().expect("TLS");
        tls.send_close_notify();
        tls.write_tls(&mut stream.client.socket).expect("written");
        if shuts_down {
            stream.client.socket.shutdown(Shutdown::Write).expect("a socket");
        }
        rest(&stream.client.socket);
        // This also holds if the close_notify comes together with the request.
        let mut client = hub.connect();
        let tls = client.tls.as_deref_mut().expect("TLS");
        tls.complete_io(&mut client.socket).expect("a handshake");
        tls.writer().write_all(get("topic=a", "").as_bytes()).expect("room");
        tls.send_close_notify();
        let mut flight = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut flight).expect("written");
        }
        client.socket.write_all(&flight).expect("written");
        rest(&client.socket);
    }
    others_are_served(&hub);
}

#[test]
fn keys_are_updated_on_a_stream_and_a_flood_on_it_is_ended() {
    let hub = hub("keys", &[]);
    let mut stream = hub.subscribe("topic=a");
    for _ in 0..10 {
        stream.client.tls.as_deref_mut().expect("TLS").refresh_traffic_keys().expect("TLS 1.3");
        stream.client.send("x");
        let id = hub.publish("topic=a");
        assert_eq!(stream.ids(1), [id]);
    }
    let socket = stream.client.socket.try_clone().expect("a descriptor");
    socket.set_write_timeout(Some(DEADLINE)).expect("a socket");
    for _ in 0..20 {
        stream.client.send(&"x".repeat(TLS_STREAM_BYTES_MAX));
    }
    rest(&socket);
    others_are_served(&hub);
}

#[test]
fn a_stop_ends_streams_with_their_last_chunk_and_a_close_notify() {
    let mut hub = hub("stop", &[("DRAIN_TIMEOUT", "200ms")]);
    let mut streams: Vec<_> = (0..20).map(|_| hub.subscribe("topic=a")).collect();
    // HTTP/1.0 has no chunks: only the close_notify tells a complete stream from a truncated one.
    let mut client = hub.connect();
    client.send("GET /.well-known/mercure?topic=a HTTP/1.0\r\n\r\n");
    streams.push(Stream::open(client));
    let (mut idle, _) = health(&hub);
    let id = hub.publish("topic=a");
    hub.signal(Signal::TERM);
    for stream in &mut streams {
        assert_eq!(stream.ids(1), std::slice::from_ref(&id));
        assert_eq!(stream.next(), None);
        let until = Instant::now() + DEADLINE;
        assert!(!stream.client.read_some(until), "the end is the end");
    }
    assert!(idle.is_closed());
    assert!(hub.wait().success());
}

/// The certificate that a new connection gets.
fn served(hub: &Hub) -> CertificateDer<'static> {
    let (client, _) = health(hub);
    connection(&client).peer_certificates().expect("certificates")[0].clone().into_owned()
}

#[test]
fn a_new_certificate_is_served_and_no_stream_notices() {
    let pairs = [Pair::new(), Pair::new(), Pair::new()];
    let files = Files::new("reload", &pairs[0]);
    // Fresh clients each time: a resumed session would not show the new certificate.
    let clients = || trusting(&pairs.each_ref(), &[&TLS13, &TLS12], &["http/1.1"]);
    let mut hub = files.start(&[], &clients());
    let mut stream = hub.subscribe("topic=a");
    assert_eq!(served(&hub), pairs[0].der);
    files.write(&pairs[1]);
    hub.signal(Signal::HUP);
    hub.wait_for_log("new connections get the certificate");
    hub.tls = Some(clients());
    assert_eq!(served(&hub), pairs[1].der);
    // Without a signal, one file after the other.
    files.put("key.pem", &pairs[2].key);
    files.put("cert.pem", &pairs[2].certificate);
    hub.wait_for_log("new connections get the certificate");
    hub.tls = Some(clients());
    assert_eq!(served(&hub), pairs[2].der);
    let id = hub.publish("topic=a");
    assert_eq!(stream.ids(1), [id]);
}

/// Pairs that cannot be served, with the expected error for each.
fn unfit(files: &Files, write: &mut dyn FnMut(&str, &str, &str)) {
    let (pair, other) = (Pair::new(), Pair::new());
    let expired = Pair::until(SystemTime::now() - DAY);
    files.write(&pair);
    write(&pair.certificate, &other.key, "is not that of the certificate in");
    write(&expired.certificate, &expired.key, "cert.pem expired at");
    write("", &pair.key, "cert.pem holds no certificate");
    write(&pair.key, &pair.key, "cert.pem holds no certificate");
    write(&pair.certificate, "", "key.pem holds no private key");
    write("-----BEGIN CERTIFICATE-----\nAAAA\n", &pair.key, "cert.pem is not in PEM form");
    let empty = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    write(empty, &pair.key, "cert.pem holds a certificate that cannot be understood");
    let wrong = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    write(&pair.certificate, wrong, "key.pem holds a private key that cannot be used");
    // As `openssl ec -aes256` writes it.
    let locked = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMAA=\n-----END EC PRIVATE KEY-----\n";
    write(&pair.certificate, locked, "key.pem holds no private key in PEM form without a passphrase");
}

#[test]
fn a_start_with_files_that_cannot_be_served_names_the_file() {
    let files = Files::new("unfit", &Pair::new());
    let start = |cert: &str, key: &str| {
        let mut hub: Command = command();
        hub.env("ADDR", "127.0.0.1:0").env("JWT_KEY", common::KEY).env("DB_PATH", ":memory:");
        hub.env("CERT_FILE", cert).env("KEY_FILE", key).stdin(Stdio::null());
        let output = hub.output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    unfit(&files, &mut |certificate, key, expected| {
        files.put("cert.pem", certificate);
        files.put("key.pem", key);
        let (code, log) = start(&files.path("cert.pem"), &files.path("key.pem"));
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains(expected), "{expected}: {log}");
    });
    files.write(&Pair::new());
    let (code, log) = start(&files.path("cert.pem"), "/nowhere/key.pem");
    assert!(code == Some(1) && log.contains("/nowhere/key.pem cannot be read"), "{log}");
    let (code, log) = start("/", &files.path("key.pem"));
    assert!(code == Some(1) && log.contains("/ cannot be read"), "{log}");
    let (code, log) = start("/dev/zero", &files.path("key.pem"));
    assert!(code == Some(1) && log.contains("/dev/zero has more than"), "{log}");
    let (code, log) = start(&files.path("cert.pem"), "");
    assert!(code == Some(2) && log.contains("KEY_FILE"), "{log}");
}

#[test]
fn a_reload_of_files_that_cannot_be_served_keeps_the_certificate() {
    let pair = Pair::new();
    let files = Files::new("kept", &pair);
    let mut hub = files.start(&[], &any(&pair));
    let mut stream = hub.subscribe("topic=a");
    unfit(&files, &mut |certificate, key, expected| {
        files.put("cert.pem", certificate);
        files.put("key.pem", key);
        hub.signal(Signal::HUP);
        let line = hub.wait_for_log("the certificate stays as it was");
        assert!(line.contains(expected) && line.contains("WARN"), "{line}");
        assert_eq!(served(&hub), pair.der);
    });
    // A missing file is reported without a signal, once.
    fs::remove_file(files.path("key.pem")).expect("removed");
    let line = hub.wait_for_log("the certificate stays as it was");
    assert!(line.contains("key.pem cannot be read"), "{line}");
    std::thread::sleep(Duration::from_millis(2 * CERTIFICATE_LOOK_MS));
    let id = hub.publish("topic=a");
    assert_eq!(stream.ids(1), [id]);
    hub.signal(Signal::TERM);
    hub.wait_for_log("stopping");
    assert_eq!(
        hub.log.iter().filter(|line| line.contains("key.pem cannot be read")).count(),
        1,
        "{:#?}",
        hub.log
    );
}

#[test]
fn a_certificate_that_expires_within_a_week_is_warned_of() {
    let pair = Pair::until(SystemTime::now() + 3 * DAY);
    let files = Files::new("soon", &pair);
    let mut hub = files.start(&[], &any(&pair));
    let line = hub.wait_for_log("expires at");
    assert!(line.contains("WARN") && line.contains("cert.pem"), "{line}");
    let later = Files::new("later", &Pair::until(SystemTime::now() + 8 * DAY));
    let mut hub = later.start(&[], &any(&pair));
    hub.signal(Signal::TERM);
    hub.wait_for_log("stopped");
    assert!(!hub.log.iter().any(|line| line.contains("expires at")), "{:#?}", hub.log);
}
