//! Goal: at a limit, a new client is refused at once and existing clients are not affected. One
//! address and one token get no more than their share. The connection of a vanished peer is freed.
//! Method: the binary on two shards, so that a count kept per shard would show, and clients on real
//! sockets. A vanished peer is simulated by a network namespace whose link is taken down.

#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

use crate::common;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::common::{Client, DEADLINE, HttpResponse, Hub, Stream, get, post, publisher, token};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::json;

const TWO_SHARDS: (&str, &str) = ("SHARDS", "2");

/// The response on a connection that has sent nothing, which must then be closed.
fn told(hub: &Hub) -> HttpResponse {
    let mut client = Client::new(TcpStream::connect(hub.address).expect("the kernel accepts"));
    let answer = client.answer();
    assert!(client.is_closed(), "a connection that is refused stays open");
    answer
}

/// Waits until a connection is free and a client is served.
fn is_served_soon(hub: &Hub) -> Client {
    let until = Instant::now() + DEADLINE;
    loop {
        let mut client = Client::new(TcpStream::connect(hub.address).expect("the kernel accepts"));
        client.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        if client.answer().status == 200 {
            return client;
        }
        assert!(Instant::now() < until, "no place becomes free");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn beyond_max_connections_a_client_is_told_503_and_others_never_notice() {
    let mut hub = Hub::start(&[TWO_SHARDS, ("MAX_CONNECTIONS", "8")]);
    let mut publishing = is_served_soon(&hub);
    let mut streams: Vec<_> = (0..7).map(|_| hub.subscribe("topic=a")).collect();
    for _ in 0..100 {
        let answer = told(&hub);
        assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("10")), "{answer:?}");
        assert_eq!(answer.header("Connection"), Some("close"));
    }
    hub.wait_for_log("the connection limit is reached");
    publishing.send(&post("topic=a&id=1", Some(&publisher())));
    assert_eq!(publishing.answer().status, 200);
    assert!(streams.iter_mut().all(|stream| stream.ids(1) == ["1"]));
    drop(streams.pop());
    is_served_soon(&hub);
}

/// A client that has sent its request before the refusal still reads the reason: the hub reads its
/// bytes before it closes the connection.
#[test]
fn a_client_that_speaks_first_reads_why_it_is_refused() {
    let hub = Hub::start(&[TWO_SHARDS, ("MAX_CONNECTIONS", "1")]);
    let _stream = hub.subscribe("topic=a");
    let body = "x".repeat(100_000);
    for _ in 0..20 {
        let answer = hub.request(&post(&format!("topic=a&data={body}"), Some(&publisher())));
        assert_eq!(answer.status, 503, "{answer:?}");
    }
}

/// More refused connections than the hub keeps open for reading: other clients do not wait, and the
/// number of open descriptors stays bounded.
#[test]
fn a_crowd_that_is_refused_and_never_reads_takes_nothing() {
    let hub = Hub::start(&[TWO_SHARDS, ("MAX_CONNECTIONS", "2")]);
    let stream = hub.subscribe("topic=a");
    let mut publishing = is_served_soon(&hub);
    let crowd: Vec<_> = (0..300).map(|_| TcpStream::connect(hub.address).expect("a connection")).collect();
    for mut socket in crowd {
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let mut first = [0; 12];
        socket.read_exact(&mut first).expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 503");
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", hub.pid())).expect("the hub runs").count();
    assert!(open < 64 + 32 + 2, "{open} descriptors");
    publishing.send(&post("topic=a", Some(&publisher())));
    assert_eq!(publishing.answer().status, 200);
    drop(stream);
}

#[test]
fn beyond_the_limit_a_client_of_tls_is_closed_without_a_handshake() {
    let pair = common::tls::Pair::new();
    let files = common::tls::Files::new("limits", &pair);
    let mut hub = files.start(&[("MAX_CONNECTIONS", "1")], &common::tls::any(&pair));
    let stream = hub.subscribe("topic=a");
    let mut socket = TcpStream::connect(hub.address).expect("the kernel accepts");
    socket.set_read_timeout(Some(DEADLINE)).expect("a socket");
    assert!(matches!(socket.read(&mut [0; 16]), Ok(0)), "it is not closed");
    hub.wait_for_log("the connection limit is reached");
    drop(stream);
}

/// DESIGN, "Failure, in one table": the limit of open files is lower than expected.
#[test]
fn without_a_descriptor_a_client_is_told_503_all_the_same() {
    let mut hub = Hub::start(&[TWO_SHARDS]);
    let mut stream = hub.subscribe("topic=a");
    let mut publishing = is_served_soon(&hub);
    // The limit is just above the highest open descriptor; a crowd takes the free ones below it.
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", hub.pid())).expect("the hub runs");
    let numbers = descriptors.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok());
    let limit = numbers.max().expect("a descriptor") + 1;
    let pid = Pid::from_raw(hub.pid() as i32);
    // The hub inherits its hard limit from this process.
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let before = prlimit(pid, Resource::Nofile, Rlimit { current: Some(limit), maximum });
    let before = before.expect("the limit of a child");
    // A shard that wakes up frees a descriptor for a moment, so a few clients may be accepted.
    let (mut crowd, mut refused) = (Vec::new(), 0);
    while refused < 20 {
        let mut client = Client::new(TcpStream::connect(hub.address).expect("the kernel accepts"));
        client.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer = client.answer();
        match answer.status {
            200 => crowd.push(client),
            503 => refused += 1,
            _ => panic!("{answer:?}"),
        }
        assert!((crowd.len() as u64) < limit, "there is no limit");
    }
    hub.wait_for_log("new connections are refused");
    publishing.send(&post("topic=a&id=1", Some(&publisher())));
    assert_eq!(publishing.answer().status, 200);
    assert_eq!(stream.ids(1), ["1"]);
    prlimit(pid, Resource::Nofile, before).expect("the limit of a child");
    is_served_soon(&hub);
}

#[test]
fn an_address_has_its_share_of_connections() {
    let hub = Hub::start(&[TWO_SHARDS, ("MAX_CONNECTIONS_PER_ADDRESS", "3")]);
    let mut streams: Vec<_> = (0..3).map(|_| hub.subscribe("topic=a")).collect();
    for _ in 0..20 {
        let answer = told(&hub);
        assert_eq!((answer.status, answer.header("Retry-After")), (429, Some("10")), "{answer:?}");
    }
    drop(streams.pop());
    is_served_soon(&hub);
}

/// The proxy's own connections are not counted. The streams of each client are.
#[test]
fn behind_a_proxy_the_client_that_it_names_has_its_share_of_streams() {
    let hub = Hub::start(&[TWO_SHARDS, ("MAX_CONNECTIONS_PER_ADDRESS", "2"), ("USE_FORWARDED_HEADERS", "1")]);
    let subscribe = |client: &str| hub.subscribe_with("topic=a", &format!("X-Forwarded-For: {client}\r\n"));
    let mut streams: Vec<_> = (0..2).map(|_| subscribe("2001:db8::1")).collect();
    streams.extend((0..2).map(|_| subscribe("192.0.2.1")));
    assert!(streams.iter().all(|stream| stream.status == 200));
    // Another host of the same network.
    assert_eq!(subscribe("2001:db8::2").status, 429);
    assert_eq!(subscribe("192.0.2.2").status, 200);
    streams.remove(0);
    eventually_subscribes(|| subscribe("2001:db8::2"));
}

#[test]
fn a_token_has_its_share_of_subscriptions() {
    let hub = Hub::start(&[TWO_SHARDS, ("MAX_SUBSCRIPTIONS_PER_TOKEN", "2")]);
    let bearer = |name: &str| {
        let token = token(&json!({ "subscribe": [name] }), None);
        format!("Authorization: Bearer {token}\r\n")
    };
    let (one, other) = (bearer("one"), bearer("other"));
    let mut streams: Vec<_> = (0..2).map(|_| hub.subscribe_with("topic=a", &one)).collect();
    let mut refused = hub.connect();
    refused.send(&get("topic=a", &one));
    let answer = refused.answer();
    assert_eq!((answer.status, answer.header("Retry-After")), (429, Some("10")), "{answer:?}");
    // Its connection goes on, and a HEAD does not count as a subscription.
    refused.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(refused.answer().status, 200);
    let head = get("topic=a", &one).replacen("GET", "HEAD", 1);
    assert_eq!(hub.request(&head).status, 200);
    streams.push(hub.subscribe_with("topic=a", &other));
    streams.extend((0..3).map(|_| hub.subscribe("topic=a")));
    assert!(streams.iter().all(|stream| stream.status == 200), "others have theirs, and who has no token");
    streams.remove(0);
    eventually_subscribes(|| hub.subscribe_with("topic=a", &one));
}

/// Each stream of an HTTP/2 connection counts as a subscription.
#[test]
fn streams_of_one_http2_connection_count_for_their_token() {
    let hub = Hub::start(&[TWO_SHARDS, ("MAX_SUBSCRIPTIONS_PER_TOKEN", "2")]);
    let token = token(&json!({ "subscribe": ["a"] }), None);
    let url = format!("http://{}/.well-known/mercure?topic=a", hub.address);
    let mut command = Command::new("curl");
    command.args(["-sN", "--http2-prior-knowledge", "--parallel", "--parallel-immediate", "--max-time", "4"]);
    command.args(["-H", &format!("Authorization: Bearer {token}"), "-w", "%{http_code}\n"]);
    for _ in 0..3 {
        command.args(["-o", "/dev/null", &url]);
    }
    let output = command.output().expect("curl is there: tests/run installs it");
    let mut codes: Vec<_> = std::str::from_utf8(&output.stdout).expect("UTF-8").lines().collect();
    codes.sort_unstable();
    assert_eq!(codes, ["200", "200", "429"], "{output:?}");
}

fn eventually_subscribes(subscribe: impl Fn() -> Stream) {
    let until = Instant::now() + DEADLINE;
    while subscribe().status != 200 {
        assert!(Instant::now() < until, "a place is not given back");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A network namespace with a link to this one; dropping it removes both.
struct Namespace {
    name: String,
}

/// The addresses of the link's two ends. Each process uses a different network, since a killed one
/// may leave its own configured.
fn ends() -> [String; 2] {
    let number = std::process::id();
    [1, 2].map(|end| format!("198.18.{}.{}", number / 64 % 256, number % 64 * 4 + end))
}

impl Namespace {
    /// `None` if this process may not create one.
    fn new() -> Option<Self> {
        let name = format!("petasos-{}", std::process::id());
        let (ours, theirs) = (format!("pt{}", std::process::id()), format!("pp{}", std::process::id()));
        let made = ip(&["netns", "add", &name])
            && ip(&["link", "add", &ours, "type", "veth", "peer", "name", &theirs, "netns", &name]);
        let this = Self { name };
        let is_up = made
            && ip(&["addr", "add", &format!("{}/30", ends()[0]), "dev", &ours])
            && ip(&["link", "set", &ours, "up"])
            && ip(&["-n", &this.name, "addr", "add", &format!("{}/30", ends()[1]), "dev", &theirs])
            && ip(&["-n", &this.name, "link", "set", &theirs, "up"]);
        is_up.then_some(this)
    }

    /// A subscriber in the namespace.
    fn subscriber(&self, port: u16) -> Subscriber {
        let url = format!("http://{}:{port}/.well-known/mercure?topic=a", ends()[0]);
        let arguments = ["netns", "exec", &self.name, "curl", "-sN", "--max-time", "20", &url];
        let child = Command::new("ip").args(arguments).stdout(Stdio::piped()).spawn();
        Subscriber(child.expect("ip and curl are there"))
    }

    /// From now on packets are dropped without any notice.
    fn cut(&self) {
        let theirs = format!("pp{}", std::process::id());
        assert!(ip(&["-n", &self.name, "link", "set", &theirs, "down"]), "the link cannot be cut");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The link is removed with it. If the namespace was not created, this does nothing.
        ip(&["netns", "del", &self.name]);
    }
}

/// A process in the namespace, which would keep the namespace alive. It ends with the test, even
/// one that fails.
struct Subscriber(Child);

impl Drop for Subscriber {
    fn drop(&mut self) {
        // It has ended already, or ends now: SIGKILL cannot be ignored.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `ip` with a time limit.
fn ip(arguments: &[&str]) -> bool {
    let output = Command::new("timeout").args(["-s", "KILL", "2", "ip"]).args(arguments).output();
    output.is_ok_and(|output| {
        if !output.status.success() {
            println!("ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        output.status.success()
    })
}

/// The time limit of the whole test.
const VANISHING: Duration = Duration::from_secs(25);

/// Kills the test's own processes after `left`; everything that waits for them then ends and fails.
/// Dropping the returned sender cancels it.
fn watchdog(processes: [u32; 2], left: Duration) -> mpsc::Sender<()> {
    let (over, watched) = mpsc::channel();
    std::thread::spawn(move || {
        if watched.recv_timeout(left) == Err(mpsc::RecvTimeoutError::Timeout) {
            for process in processes.into_iter().filter_map(|process| Pid::from_raw(process as i32)) {
                // It may have ended already.
                let _ = kill_process(process, Signal::KILL);
            }
        }
    });
    over
}

/// A peer that vanishes sends no FIN. It differs from a silent peer by the bytes that it does not
/// acknowledge.
///
/// The test ends soon after [`VANISHING`], whatever hangs, and removes its namespace.
#[test]
fn a_peer_that_vanishes_gives_its_place_back_within_two_heartbeats() {
    const HEARTBEAT: Duration = Duration::from_secs(5);
    let began = Instant::now();
    let Some(namespace) = Namespace::new() else {
        // Written to stderr directly: the harness hides the output of a test that passes.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: a_peer_that_vanishes…: this process may not make a network namespace"
        );
        return;
    };
    let heartbeat = format!("{}s", HEARTBEAT.as_secs());
    let settings =
        [("ADDR", "0.0.0.0:0"), ("HEARTBEAT_INTERVAL", heartbeat.as_str()), ("MAX_CONNECTIONS", "1")];
    let hub = Hub::start(&settings);
    let local = std::net::SocketAddr::from(([127, 0, 0, 1], hub.address.port()));
    let mut subscriber = namespace.subscriber(hub.address.port());
    let _over = watchdog([hub.pid(), subscriber.0.id()], VANISHING.saturating_sub(began.elapsed()));
    let mut first = [0; 2];
    subscriber.0.stdout.as_mut().expect("a pipe").read_exact(&mut first).expect("the stream begins");
    let is_full = || {
        let mut client = Client::new(TcpStream::connect(local).expect("the kernel accepts"));
        client.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        client.answer().status == 503
    };
    assert!(is_full());
    namespace.cut();
    let cut = Instant::now();
    while is_full() {
        assert!(began.elapsed() < VANISHING, "it takes too long");
        // The second allows for the clocks of the hub and of a busy machine.
        assert!(cut.elapsed() < 2 * HEARTBEAT + Duration::from_secs(1), "its place is not given back");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(cut.elapsed() > Duration::from_secs(1), "it was not given up because of its silence");
}
