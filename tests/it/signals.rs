//! Goal: each signal does what the manual says. SIGHUP reloads what can change and never ends the
//! hub. The first SIGTERM ends the hub in order; new clients are sent elsewhere during the stop.
//! The second one ends it at once. Method: the binary, and clients on real sockets.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{DEADLINE, Hub, Stream, get, id, post, publisher, token};
use petasos::limits::SIGNAL_ECHO_MS;
use petasos::mercure::token::{Algorithm, sign};
use rustix::process::Signal;
use serde_json::json;

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
const READY: &str = "GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn a_second_signal_ends_the_hub_at_once_with_status_1() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut hub = Hub::start(&[("DRAIN_TIMEOUT", "10m")]);
        let _streams: Vec<_> = (0..4).map(|_| hub.subscribe("topic=a")).collect();
        hub.signal(Signal::TERM);
        hub.wait_for_log("ending streams");
        // An earlier signal would count as a repetition of the first.
        std::thread::sleep(Duration::from_millis(SIGNAL_ECHO_MS));
        hub.signal(signal);
        let told = Instant::now();
        assert_eq!(hub.wait().code(), Some(1));
        assert!(told.elapsed() < DEADLINE / 2, "it takes {:?}", told.elapsed());
        assert!(hub.logged().iter().any(|line| line.contains("stopped at once by a second signal")));
    }
}

/// `timeout`, supervisors and init systems signal a process and its group: this is one orderly
/// stop.
#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let mut hub = Hub::start(&[("DRAIN_TIMEOUT", "300ms")]);
    let mut stream = hub.subscribe("topic=a");
    let id = hub.publish("topic=a");
    for signal in [Signal::TERM, Signal::TERM, Signal::INT] {
        hub.signal(signal);
    }
    assert_eq!(stream.ids(1), [id]);
    assert_eq!(stream.next(), None);
    assert_eq!(hub.wait().code(), Some(0));
}

#[test]
fn a_publication_whose_body_is_on_its_way_is_finished() {
    let mut hub = Hub::start(&[("DRAIN_TIMEOUT", "5s")]);
    let mut stream = hub.subscribe("topic=a");
    let request = post(&format!("topic=a&id=slow&data={}", "x".repeat(100_000)), Some(&publisher()));
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    let (beginning, end) = body.split_at(body.len() - 4);
    let mut client = hub.connect();
    client.send(&format!("{head}\r\nExpect: 100-continue\r\n\r\n"));
    assert_eq!(client.answer().status, 100, "the head was read, and the body is waited for");
    client.send(beginning);
    hub.signal(Signal::TERM);
    hub.wait_for_log("stopping");
    assert_eq!(hub.request(&post("topic=a", Some(&publisher()))).status, 503, "nothing new begins");
    client.send(end);
    let answer = client.answer();
    assert_eq!((answer.status, &*answer.body), (200, "slow"));
    assert_eq!(stream.ids(1), ["slow"]);
    assert_eq!(stream.next(), None);
    assert_eq!(hub.wait().code(), Some(0));
}

/// A load balancer checks new connections, and a publisher is told to retry. A browser's
/// `EventSource` never reconnects after an error response, but it does after a closed connection.
#[test]
fn while_the_hub_drains_whoever_comes_is_told_to_go_elsewhere() {
    let mut hub = Hub::start(&[("DRAIN_TIMEOUT", "5s"), ("SHARDS", "1")]);
    let mut streams: Vec<_> = (0..4).map(|_| hub.subscribe("topic=a")).collect();
    assert_eq!(hub.request(READY).status, 200);
    hub.signal(Signal::TERM);
    hub.wait_for_log("stopping");
    for _ in 0..3 {
        assert_eq!(hub.request(HEALTH).status, 200);
        let ready = hub.request(READY);
        assert_eq!((ready.status, ready.header("Connection")), (503, Some("close")), "{ready:?}");
        let answer = hub.request(&post("topic=a", Some(&publisher())));
        assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")), "{answer:?}");
        assert_eq!(answer.header("Connection"), Some("close"));
        let mut subscriber = hub.connect();
        subscriber.send(&get("topic=a", ""));
        assert!(subscriber.is_closed());
    }
    // A silent client does not delay the stop.
    let _silent = hub.connect();
    assert!(streams.iter_mut().all(|stream| stream.next().is_none()), "each ends with its last chunk");
    assert_eq!(hub.wait().code(), Some(0));
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn status(hub: &Hub, secret: &str) -> u16 {
    let token = sign(&json!({ "mercure": { "publish": ["*"] } }), secret.as_bytes(), Algorithm::HS256);
    hub.request(&post("topic=a", Some(&token.expect("signed")))).status
}

#[test]
fn sighup_reads_the_keys_again_and_one_that_is_wrong_changes_nothing() {
    let (old, new) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    let file = folder("signals").join("key");
    let write = |secret: &str| std::fs::write(&file, secret).expect("written");
    write(&format!("{old}\n"));
    let path = file.to_str().expect("UTF-8");
    let mut hub = Hub::start(&[("JWT_KEY", ""), ("JWT_KEY_FILE", path), ("SHARDS", "2")]);
    let mut stream = hub.subscribe("topic=a");
    let claim = json!({ "mercure": { "subscribe": ["*"] } });
    let claim = sign(&claim, old.as_bytes(), Algorithm::HS256).expect("signed");
    let mut theirs = hub.subscribe_with("topic=b", &format!("Authorization: Bearer {claim}\r\n"));
    assert_eq!([old, new].map(|secret| status(&hub, secret)), [200, 401]);
    write(&format!("{new}\n"));
    hub.signal(Signal::HUP);
    hub.wait_for_log("tokens are verified with JWT_KEY_FILE as it is now");
    assert_eq!(theirs.next(), None, "the stream of the old key ends");
    for _ in 0..8 {
        assert_eq!([old, new].map(|secret| status(&hub, secret)), [401, 200]);
    }
    let wrong: [&dyn Fn(&Path); 3] = [
        &|file| std::fs::write(file, "").expect("written"),
        &|file| std::fs::write(file, [0xff, 0xfe]).expect("written"),
        &|file| std::fs::remove_file(file).expect("removed"),
    ];
    for spoil in wrong {
        spoil(&file);
        hub.signal(Signal::HUP);
        let line = hub.wait_for_log("the key stays as it was");
        assert!(line.contains("JWT_KEY_FILE") && line.contains(path), "{line}");
        assert_eq!([old, new].map(|secret| status(&hub, secret)), [401, 200]);
    }
    assert_eq!(stream.ids(2).len(), 2, "the stream goes on");
}

#[test]
fn sighup_ends_no_hub_that_has_nothing_to_read_again() {
    let mut hub = Hub::start(&[]);
    let mut stream = hub.subscribe("topic=a");
    hub.signal(Signal::HUP);
    hub.wait_for_log("nothing to read again");
    let published = hub.publish("topic=a");
    assert_eq!(stream.ids(1), [published]);
}

/// A key set is fetched every few minutes; SIGHUP fetches it at once.
#[test]
fn sighup_fetches_key_sets() {
    let issuer = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/keys", issuer.local_addr().expect("an address"));
    let fetched = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for _ in 0..2 {
            let (mut socket, _) = issuer.accept().expect("it is fetched");
            socket.set_read_timeout(Some(DEADLINE)).expect("a socket");
            let _ = socket.read(&mut [0; 4_096]).expect("a request");
            let body = r#"{"keys":[]}"#;
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            socket.write_all(format!("{head}{body}").as_bytes()).expect("an answer");
        }
    });
    let mut hub = Hub::start(&[("JWT_KEY", ""), ("JWKS_URL", &url)]);
    hub.wait_for_log("the key set has no key");
    hub.signal(Signal::HUP);
    let until = Instant::now() + DEADLINE;
    while !fetched.is_finished() {
        assert!(Instant::now() < until, "it is not fetched a second time");
        std::thread::sleep(Duration::from_millis(10));
    }
    fetched.join().expect("two fetches");
    let claim = token(&json!({ "publish": ["*"] }), None);
    assert_eq!(hub.request(&post("topic=a", Some(&claim))).status, 401);
}

/// DESIGN, "Failure, in one table": SIGTERM.
#[test]
fn a_stop_delivers_what_was_acknowledged_and_ends_streams() {
    let mut hub = Hub::start(&[("DRAIN_TIMEOUT", "500ms")]);
    let streams: Vec<Stream> = (0..20).map(|_| hub.subscribe("topic=a")).collect();
    let count = AtomicUsize::new(0);
    let acknowledged = std::thread::scope(|scope| {
        let (hub, count) = (&hub, &count);
        let publishers: Vec<_> = (0..4)
            .map(|publisher_number| {
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    let mut client = hub.connect();
                    for number in 0.. {
                        let id = format!("{publisher_number}-{number}");
                        client.send(&post(&format!("topic=a&id={id}"), Some(&publisher())));
                        let until = Instant::now() + DEADLINE;
                        while client.received.is_empty() && client.read_some(until) {}
                        if client.received.is_empty() || client.answer().status != 200 {
                            return acknowledged;
                        }
                        acknowledged.push(id);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    acknowledged
                })
            })
            .collect();
        let until = Instant::now() + DEADLINE;
        while count.load(Ordering::Relaxed) < 50 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        hub.signal(Signal::TERM);
        publishers.into_iter().flat_map(|thread| thread.join().expect("a publisher")).collect::<Vec<_>>()
    });
    assert!(acknowledged.len() >= 50, "{}", acknowledged.len());
    for mut stream in streams {
        let mut ids: Vec<_> = std::iter::from_fn(|| stream.next()).map(|event| id(&event)).collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "a duplicate");
        for id in &acknowledged {
            assert!(ids.binary_search(id).is_ok(), "{id} was acknowledged and not delivered");
        }
    }
    assert_eq!(hub.wait().code(), Some(0));
}
