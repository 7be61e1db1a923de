//! A hub embedded in this test program, and the programs in `examples/` that embed one.

mod common;

use std::future::Future as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use common::{Client, KEY, Stream, id, token};
use petasos::error_text::chain;
use petasos::{Builder, CommitError, Draft, EventId, Hub, PublishError, Receipt, StartError, UpdateError};
use serde_json::json;

fn builder() -> Builder {
    Hub::builder()
        .set("ADDR", "127.0.0.1:0")
        .set("JWT_KEY", KEY)
        .set("ALLOW_ANONYMOUS", "1")
        .set("DB_PATH", ":memory:")
        .set("HISTORY_SIZE", "100")
        .set("DRAIN_TIMEOUT", "0s")
}

fn start() -> Hub {
    builder().start().expect("it starts")
}

fn subscribe(address: std::net::SocketAddr, query: &str, headers: &str) -> Stream {
    let mut client = Client::new(std::net::TcpStream::connect(address).expect("it accepts"));
    client.send(&common::get(query, headers));
    Stream::open(client)
}

fn draft<'a>(topics: &'a [&'a str], data: &'a str) -> Draft<'a> {
    Draft { topics, data, ..Draft::default() }
}

#[test]
fn what_the_program_publishes_reaches_subscribers_and_a_stop_ends_their_streams() {
    let hub = start();
    let mut streams: Vec<_> =
        (0..8).map(|_| subscribe(hub.address(), "topic=https://e.x/%7Bid%7D", "")).collect();
    common::eventually("they are counted", || hub.subscribers() == 8);
    let update = Draft {
        id: Some("mine"),
        event_type: Some("t"),
        retry_ms: Some(5),
        ..draft(&["https://e.x/1"], "a\nb")
    };
    let id = hub.publish(&update).expect("taken").wait().expect("stored");
    assert_eq!(id.as_str(), "mine");
    for stream in &mut streams {
        assert_eq!(stream.next().as_deref(), Some("event: t\nretry: 5\nid: mine\ndata: a\ndata: b\n"));
    }
    drop(streams.split_off(4));
    common::eventually("those that left are not", || hub.subscribers() == 4);
    // The hub accepted these before the stop, so it delivers them, acknowledged or not.
    let receipts: Vec<_> =
        (0..50).map(|_| hub.publish(&draft(&["https://e.x/2"], "")).expect("taken")).collect();
    assert!(hub.is_running());
    hub.stop().expect("a clean end");
    let ids: Vec<_> = receipts.into_iter().map(|receipt| receipt.wait().expect("stored")).collect();
    for stream in &mut streams {
        assert_eq!(stream.ids(50), ids.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(stream.next(), None);
    }
}

#[test]
fn a_receipt_can_be_awaited() {
    let hub = start();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let ids = runtime.block_on(async {
        let mut ids = Vec::new();
        for _ in 0..20 {
            let receipt = hub.publish(&draft(&["a"], "")).expect("taken");
            let expected = receipt.id().clone();
            let id = receipt.await.expect("stored");
            assert_eq!(id, expected);
            ids.push(id.to_string());
        }
        ids
    });
    let mut replay = subscribe(hub.address(), "topic=a&lastEventID=earliest", "");
    assert_eq!(replay.ids(20), ids);
}

#[test]
fn the_rules_of_the_protocol_hold_inside_too() {
    let hub = start();
    let mut stranger = subscribe(hub.address(), "topic=a", "");
    let authorization = format!("Authorization: Bearer {}\r\n", token(&json!({ "subscribe": ["a"] }), None));
    let mut granted = subscribe(hub.address(), "topic=a", &authorization);
    let private = Draft { private: true, id: Some("private"), ..draft(&["a"], "") };
    hub.publish(&private).expect("taken").wait().expect("stored");
    hub.publish(&Draft { id: Some("public"), ..draft(&["a"], "") }).expect("taken").wait().expect("stored");
    assert_eq!(granted.ids(2), ["private", "public"]);
    assert_eq!(stranger.ids(1), ["public"]);
    for (wrong, text) in [
        (draft(&[], ""), "Missing \"topic\""),
        (draft(&["*"], ""), "Invalid \"topic\""),
        (draft(&["/.well-known/mercure/subscriptions/a/b"], ""), "own namespace"),
        (Draft { id: Some("#"), ..draft(&["a"], "") }, "Invalid \"id\""),
        (Draft { event_type: Some("a\nb"), ..draft(&["a"], "") }, "Invalid \"type\""),
        (Draft { targets: &["x"], ..draft(&["a"], "") }, "Unsupported \"target\""),
    ] {
        let error = hub.publish(&wrong).expect_err("refused");
        assert!(matches!(&error, PublishError::Invalid(_)) && error.to_string().contains(text), "{error}");
    }
    let targets = builder().set("AUTHORIZATION", "targets").start().expect("a second hub in this program");
    assert!(targets.publish(&private).is_err());
    let targeted = Draft { targets: &["x"], ..draft(&["a"], "") };
    targets.publish(&targeted).expect("taken").wait().expect("stored");
}

#[test]
fn the_largest_body_bounds_what_the_program_publishes_too() {
    let hub = builder().set("MAX_BODY_SIZE", "1000").start().expect("it starts");
    let data = "a".repeat(1_000 - "topic".len() - "other".len() - "id".len() - "type".len());
    let most = Draft { id: Some("id"), event_type: Some("type"), ..draft(&["topic", "other"], &data) };
    hub.publish(&most).expect("taken").wait().expect("stored");
    let more = format!("{data}a");
    for larger in [
        Draft { data: &more, ..most },
        Draft { id: Some("ids"), ..most },
        Draft { event_type: Some("types"), ..most },
        Draft { topics: &["topics", "other"], ..most },
        Draft { targets: &["t"], ..most },
    ] {
        let error = hub.publish(&larger).expect_err("refused");
        assert!(matches!(error, PublishError::TooLarge { bytes: 1_001, bytes_max: 1_000 }), "{error}");
        assert_eq!(error.to_string(), "the update has 1001 bytes, more than MAX_BODY_SIZE (1000)");
    }
    let large = "a".repeat(5_000_000);
    assert!(matches!(start().publish(&draft(&["a"], &large)), Err(PublishError::TooLarge { .. })));
}

#[test]
fn an_id_or_a_type_that_is_empty_is_none() {
    let hub = start();
    let mut stream = subscribe(hub.address(), "topic=a", "");
    let update = Draft { id: Some(""), event_type: Some(""), ..draft(&["a"], "") };
    let id: EventId = hub.publish(&update).expect("taken").wait().expect("stored");
    assert!(id.as_str().starts_with("urn:uuid:"), "{id}");
    assert_eq!(stream.next(), Some(format!("id: {id}\ndata: \n")));
}

#[test]
fn what_is_wrong_is_told_when_it_starts() {
    let errors = |builder: Builder| match builder.start() {
        Err(StartError::Settings(errors)) => errors,
        other => panic!("{other:?}"),
    };
    let all = errors(builder().set("HEARTBEAT_INTERVAL", "soon").set("JWT_ALGORITHM", "none"));
    assert!(
        all.len() == 2 && all.iter().any(|line| line.contains("HEARTBEAT_INTERVAL is \"soon\"")),
        "{all:?}"
    );
    assert_eq!(errors(builder().set("HARTBEAT", "1s")), ["HARTBEAT is no setting"]);
    let of_the_log = errors(builder().set("LOG_LEVEL", "warn").set("LOG_FORMAT", "JSON"));
    assert!(of_the_log.len() == 2, "{of_the_log:?}");
    for (error, name) in of_the_log.iter().zip(["LOG_LEVEL", "LOG_FORMAT"]) {
        assert_eq!(
            *error,
            format!("{name} is of the binary alone: a program with a hub sets up `tracing` itself")
        );
    }
    let first = start();
    let address = first.address().to_string();
    let error = builder().set("ADDR", &address).start().expect_err("the port is taken");
    assert!(error.to_string().contains(&address), "{error}");
    let nowhere = builder().set("DB_PATH", "/nowhere/updates.db").start().expect_err("no such folder");
    assert!(
        matches!(nowhere, StartError::History(_)) && nowhere.to_string().contains("/nowhere"),
        "{nowhere}"
    );
    assert!(builder().set("ADDR", "127.0.0.1:0").start().expect("it starts").warnings().len() == 1);
}

/// The access log goes to the program's own `tracing` subscriber, for all hubs of the process.
#[test]
fn the_access_log_goes_where_the_program_has_its_log() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").write(line)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let (writer, level) = (lines.clone(), tracing::Level::INFO);
    tracing_subscriber::fmt().with_max_level(level).with_writer(move || writer.clone()).init();
    let log = || String::from_utf8(lines.0.lock().expect("no panic").clone()).expect("UTF-8");
    let ask = |hub: &Hub, topic: &str| {
        let stream = subscribe(hub.address(), &format!("topic={topic}"), "");
        assert_eq!(stream.status, 200);
    };
    let (silent, logged) = (start(), builder().set("ACCESS_LOG", "1").start().expect("it starts"));
    ask(&silent, "unheard");
    ask(&logged, "heard");
    common::eventually("it is logged", || log().contains("topic=heard"));
    let log = log();
    let line = log.lines().find(|line| line.contains("topic=heard")).expect("a line");
    assert!(line.contains("INFO") && line.contains("petasos::access"), "{line}");
    assert!(!log.contains("unheard"), "{log}");
}

#[test]
fn no_secret_is_printed_with_the_settings() {
    let secrets = builder()
        .set("PUBLISHER_JWT_KEY", "s3cret one")
        .set("SUBSCRIBER_JWKS_URL", "https://a.example/keys?s3cret")
        .set("JWT_SECRET", "s3cret two");
    for text in [format!("{secrets:?}"), format!("{secrets:#?}")] {
        assert!(!text.contains("s3cret") && !text.contains(KEY), "{text}");
        for shown in ["PUBLISHER_JWT_KEY: \"********\"", "JWT_SECRET", "ADDR: \"127.0.0.1:0\""] {
            assert!(text.contains(shown), "{text}");
        }
    }
}

#[test]
fn a_dropped_hub_frees_its_port_and_its_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("updates.db");
    let on_disk = || builder().set("DB_PATH", file.to_str().expect("UTF-8"));
    let first = on_disk().start().expect("it starts");
    let address = first.address().to_string();
    first.publish(&Draft { id: Some("kept"), ..draft(&["a"], "") }).expect("taken").wait().expect("stored");
    drop(first);
    let until = std::time::Instant::now() + common::DEADLINE;
    let second = loop {
        match on_disk().set("ADDR", &address).start() {
            Ok(hub) => break hub,
            Err(error) => assert!(std::time::Instant::now() < until, "{error}"),
        }
    };
    assert_eq!(subscribe(second.address(), "topic=a&lastEventID=earliest", "").ids(1), ["kept"]);
    let receipt = second.publish(&draft(&["a"], "")).expect("taken");
    second.stop().expect("a clean end");
    assert!(receipt.wait().is_ok());
}

#[test]
fn a_hub_that_stops_takes_nothing_more() {
    let hub = Arc::new(builder().set("DRAIN_TIMEOUT", "500ms").start().expect("it starts"));
    let mut stream = subscribe(hub.address(), "topic=a", "");
    let publisher = Arc::clone(&hub);
    let count = std::thread::spawn(move || {
        let mut count = 0_usize;
        loop {
            match publisher.publish(&draft(&["a"], "")) {
                Ok(receipt) => match receipt.wait() {
                    Ok(_) => count += 1,
                    Err(CommitError::Stopped) => return count,
                    Err(error) => panic!("{error}"),
                },
                Err(PublishError::Refused(CommitError::Stopped)) => return count,
                Err(error) => panic!("{error}"),
            }
        }
    });
    stream.ids(10);
    hub.begin_stop();
    let count = count.join().expect("no panic");
    let mut received = 10;
    while stream.next().is_some() {
        received += 1;
    }
    assert_eq!(received, count, "what was acknowledged was delivered");
}

/// An executor may run a task on the thread that wakes it: here the hub's own thread, which then
/// publishes to itself.
#[test]
fn whoever_is_woken_may_publish_at_once_and_a_panic_there_is_the_programs_own() {
    struct Again {
        hub: Arc<Hub>,
        receipts: Sender<Receipt>,
    }
    impl Wake for Again {
        fn wake(self: Arc<Self>) {
            let receipt = self.hub.publish(&draft(&["again"], "")).expect("taken");
            self.receipts.send(receipt).expect("the test waits");
            panic!("what the program does is its own affair");
        }
    }
    let hub = Arc::new(start());
    let (receipts, again) = channel();
    let waker = Waker::from(Arc::new(Again { hub: Arc::clone(&hub), receipts }));
    let mut receipt = std::pin::pin!(hub.publish(&draft(&["a"], "")).expect("taken"));
    let mut context = Context::from_waker(&waker);
    if receipt.as_mut().poll(&mut context).is_pending() {
        let second = again.recv_timeout(common::DEADLINE).expect("it was woken");
        second.wait().expect("stored");
    }
    common::eventually("the first one is stored", || receipt.as_mut().poll(&mut context).is_ready());
    hub.publish(&draft(&["a"], "")).expect("taken").wait().expect("the sequencer lives");
}

/// A program that reports an error with its sources must not print the cause twice.
#[test]
fn an_error_says_its_cause_once() {
    fn once(error: &dyn std::error::Error, cause: &str) {
        let text = error.to_string();
        assert!(text.matches(cause).count() == 1 && error.source().is_none(), "{text}");
    }
    let hub = start();
    let address = hub.address().to_string();
    once(&builder().set("ADDR", &address).start().expect_err("the port is taken"), &address);
    match builder().set("DB_PATH", "/").start() {
        Err(StartError::History(cause)) => {
            let text = chain(&cause).to_string();
            once(&StartError::History(cause), &text);
        }
        other => panic!("{other:?}"),
    }
    let error = hub.publish(&draft(&[], "")).expect_err("refused");
    assert!(matches!(error, PublishError::Invalid(UpdateError::MissingTopic)), "{error}");
    once(&error, &UpdateError::MissingTopic.to_string());
    hub.begin_stop();
    common::eventually("it takes nothing more", || {
        let refused = hub.publish(&draft(&["a"], "")).err();
        refused.iter().for_each(|error| once(error, &CommitError::Stopped.to_string()));
        refused.is_some()
    });
}

#[test]
fn a_hub_that_has_stopped_leaves_its_place_to_the_next_one_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("updates.db");
    let on_disk = builder().set("DB_PATH", file.to_str().expect("UTF-8"));
    let mut address = "127.0.0.1:0".to_owned();
    for _ in 0..5 {
        let hub = on_disk.clone().set("ADDR", &address).start().expect("the place is free");
        address = hub.address().to_string();
        let _stream = subscribe(hub.address(), "topic=a", "");
        hub.publish(&draft(&["a"], "")).expect("taken").wait().expect("stored");
        hub.stop().expect("a clean end");
    }
}

#[test]
fn a_hub_and_a_receipt_can_be_printed() {
    let hub = start();
    let printed = format!("{hub:?}");
    assert!(
        printed.contains(&hub.address().to_string()) && printed.contains("is_running: true"),
        "{printed}"
    );
    assert!(!printed.contains(KEY), "{printed}");
    let receipt = hub.publish(&Draft { id: Some("mine"), ..draft(&["a"], "") }).expect("taken");
    assert!(format!("{receipt:?}").contains("mine"), "{receipt:?}");
}

/// A program that keeps running after the stop gets its ports back.
#[test]
fn a_hub_that_has_stopped_leaves_nothing_behind() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    for _ in 0..3 {
        let hub = builder().set("METRICS_ADDR", free.to_string()).start().expect("it starts");
        std::net::TcpStream::connect(free).expect("metrics are served");
        hub.stop().expect("a clean end");
        assert!(std::net::TcpStream::connect(free).is_err(), "metrics are served by nobody");
    }
}

/// A program and its output pipe: the program could not go on if the pipe were closed.
struct Program {
    child: Child,
    _printed: BufReader<ChildStdout>,
}

impl Program {
    fn start(name: &str, settings: &[(&str, &str)]) -> (Self, String) {
        let path = Path::new(env!("CARGO_BIN_EXE_petasos")).with_file_name("examples").join(name);
        let mut command = Command::new(path);
        let mut child = command
            .envs(settings.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example is built: `cargo test` does that, for `--test embed` alone `cargo build --examples`");
        let mut line = String::new();
        let mut printed = BufReader::new(child.stdout.take().expect("a pipe"));
        printed.read_line(&mut line).expect("a line");
        (Self { child, _printed: printed }, line.trim().to_owned())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address_of(url: &str) -> std::net::SocketAddr {
    let rest = url.strip_prefix("http://").expect("a URL");
    rest.split('/').next().and_then(|address| address.parse().ok()).expect("an address")
}

#[test]
fn the_example_of_an_axum_application_publishes_what_is_stored_and_stops_its_hub() {
    let (mut program, line) = Program::start("axum", &[("ADDR", "127.0.0.1:0"), ("HUB_ADDR", "127.0.0.1:0")]);
    let (book, hub) = line.split_once(' ').expect("two URLs");
    let mut stream = subscribe(address_of(hub), &format!("topic={book}"), "");
    let application = address_of(book);
    let mut client = std::net::TcpStream::connect(application).expect("it accepts");
    let body = "{\"title\":\"in stock\"}";
    let request = format!(
        "PUT /books/1 HTTP/1.1\r\nHost: {application}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    BufReader::new(client).read_line(&mut answer).expect("an answer");
    assert!(answer.contains(" 204 "), "{answer}");
    let event = stream.next().expect("an event");
    assert!(event.ends_with(&format!("data: {body}\n")), "{event}");
    let process = rustix::process::Pid::from_child(&program.child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("it runs");
    while stream.next().is_some() {}
    assert!(stream.ended, "its hub was stopped");
    let mut status = None;
    common::eventually("it ends", || {
        status = program.child.try_wait().expect("a child");
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

#[test]
fn the_example_of_a_hub_in_a_program_tells_the_time_until_its_input_ends() {
    let (mut program, url) = Program::start("embed", &[("ADDR", "127.0.0.1:0")]);
    let mut stream = subscribe(address_of(&url), "topic=https://example.com/clock", "");
    assert!(id(&stream.next().expect("an event")).starts_with("urn:uuid:"));
    drop(program.child.stdin.take());
    while stream.next().is_some() {}
    assert!(stream.ended);
}

/// By both protocols, with an issuer in the environment.
#[test]
fn the_examples_of_hubs_in_programs_speak_mercure_1_0_too() {
    let issuer = [
        ("ADDR", "127.0.0.1:0"),
        ("HUB_ADDR", "127.0.0.1:0"),
        ("PUBLIC_URL", "https://hub.e.x/.well-known/mercure"),
        ("ISSUER", "https://e.x"),
        ("ISSUER_PUBLISHER_KEY", "fedcba9876543210fedcba9876543210"),
        ("ISSUER_SUBSCRIBER_KEY", "fedcba9876543210fedcba9876543210"),
    ];
    let (_program, url) = Program::start("embed", &issuer);
    for query in ["topic=https://example.com/clock", "match_urlpattern=https://example.com/:name"] {
        let mut stream = subscribe(address_of(&url), query, "");
        assert!(id(&stream.next().expect("an event")).starts_with("urn:uuid:"), "{query}");
    }
    let (_program, line) = Program::start("axum", &issuer);
    let (book, hub) = line.split_once(' ').expect("two URLs");
    for query in [format!("topic={book}"), format!("match={book}")] {
        assert_eq!(subscribe(address_of(hub), &query, "").status, 200, "{query}");
    }
}
