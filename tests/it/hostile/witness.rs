//! The hub under attack, and the ordinary clients beside the attack: one publisher, and subscribers
//! with exact selectors and plain templates.
//!
//! A test fails here if an ordinary publication is refused, if an update arrives seconds late, if
//! the watchdog misses a beat, or if the hub ends. The exact delays are measured by
//! `petasos-loadtest hostile`.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};

use crate::common::{Client, Hub, Stream, eventually, post, publisher};
use crate::metrics::Metered;
use crate::systemd::{Manager, WATCHDOG};

/// The longest time from a publication to its event that a test accepts, on a busy machine and with
/// a binary that is not optimized.
const DELAY_MAX: Duration = Duration::from_secs(2);
/// The same for half of the events of several updates: a pause of the whole machine does not change
/// it.
const DELAY_USUAL: Duration = Duration::from_millis(500);
/// Lengths of topics.
pub(super) const TOPIC_BYTES: [usize; 4] = [27, 71, 220, 1_020];
/// Subscribers of the witness with each kind of selector.
const SUBSCRIBERS: usize = 4;
/// The connections of a witness: its subscribers, and its publisher.
pub(super) const WITNESS_CONNECTIONS: f64 = 2.0 * SUBSCRIBERS as f64 + 1.0;

/// Whether the tests run in their full size (`tests/run --long`).
pub(super) fn is_full() -> bool {
    std::env::var_os("HOSTILE_FULL").is_some_and(|value| value == "1")
}

/// The size for CI, or the full one.
pub(super) fn size(short: usize, full: usize) -> usize {
    if is_full() { full } else { short }
}

/// One attack at a time: they take the machine's processors from each other, and from the witness.
static ATTACK: Mutex<()> = Mutex::new(());

/// A hub with metrics and a watchdog.
pub(super) struct AttackedHub {
    metered: Metered,
    beats: Option<JoinHandle<Duration>>,
    is_over: Arc<AtomicBool>,
    _alone: MutexGuard<'static, ()>,
}

impl AttackedHub {
    /// Starts it on one shard, so that all clients share one loop. `name` is unique to the test.
    pub(super) fn start(name: &str, settings: &[(&str, &str)]) -> Self {
        Self::with(name, settings, Hub::run)
    }

    /// The same; `run` starts the prepared command.
    pub(super) fn with(
        name: &str,
        settings: &[(&str, &str)],
        run: impl FnOnce(std::process::Command) -> Hub,
    ) -> Self {
        // A test that failed holds nothing of it.
        let alone = ATTACK.lock().unwrap_or_else(PoisonError::into_inner);
        let manager = Manager::new(name);
        let hub = manager
            .start_hub_with(&[&[("SHARDS", "1"), ("METRICS_ADDR", "127.0.0.1:0")], settings].concat(), run);
        let is_over = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&is_over);
        let beats = Some(std::thread::spawn(move || longest_pause(&manager, &stops)));
        Self { metered: Metered::of(hub), beats, is_over, _alone: alone }
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.metered.hub
    }

    /// The end of the attack: the hub must be well, and must have been all the time.
    pub(super) fn finish(mut self) {
        assert_eq!(self.hub().request("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
        self.is_over.store(true, Ordering::Relaxed);
        let pause = self.beats.take().expect("it is joined once").join().expect("no panic");
        assert!(pause <= WATCHDOG, "no beat of the watchdog for {pause:?}");
        let found = self.metered.scrape();
        let round = Duration::from_secs_f64(found["petasos_shard_round_max_seconds{shard=\"0\"}"]);
        println!("longest round {round:?}, {} long ones", found["petasos_long_rounds_total"]);
        assert!(round < DELAY_MAX, "one round took {round:?}");
    }

    /// Bytes that the process has caused to be written to a disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        numbered(&format!("/proc/{}/io", self.hub().pid()), "write_bytes:")
    }

    /// A line of its `/proc/PID/status`, in bytes: `VmRSS`, `VmHWM`, `RssAnon`.
    pub(super) fn memory_bytes(&self, line: &str) -> u64 {
        numbered(&format!("/proc/{}/status", self.hub().pid()), &format!("{line}:")) * 1_024
    }

    /// Waits until the clients that left are gone from its books.
    pub(super) fn wait_for_connections(&self, count: f64) {
        eventually("the connections of clients that left stay", || {
            let found = self.metered.scrape();
            let open = found.iter().filter(|(name, _)| name.starts_with("petasos_connections{"));
            open.map(|(_, value)| value).sum::<f64>() <= count
        });
    }
}

/// The number after `name` in a file of `/proc`.
fn numbered(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).expect("the hub runs");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel has it");
    line.split_ascii_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

/// Reads the beats of the hub; returns the longest pause between two of them.
fn longest_pause(manager: &Manager, is_over: &AtomicBool) -> Duration {
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    while !is_over.load(Ordering::Relaxed) {
        let has_come = manager.hears(Duration::from_millis(50)).is_some();
        longest = longest.max(last.elapsed());
        if has_come {
            last = Instant::now();
        }
    }
    longest
}

/// One publisher, and subscribers that must receive each of its updates.
pub(super) struct Witness {
    hub: SocketAddr,
    streams: Vec<Stream>,
}

/// The times from a publication to its events, sorted.
pub(super) struct Delays(Vec<Duration>);

impl Delays {
    fn quantile(&self, share: f64) -> Duration {
        let at = (self.0.len() as f64 * share).ceil() as usize;
        self.0[at.clamp(1, self.0.len()) - 1]
    }
}

impl std::fmt::Display for Delays {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| self.quantile(share));
        write!(out, "p50 {p50:?}, p99 {p99:?}, max {max:?}")
    }
}

/// A topic of this length, which the templates of the witness select, too.
pub(super) fn topic(bytes: usize) -> String {
    let head = "https://example.com/";
    format!("{head}{}", "a".repeat(bytes - head.len()))
}

impl Witness {
    pub(super) fn new(hub: &Hub) -> Self {
        let exact: Vec<_> = TOPIC_BYTES.iter().map(|bytes| format!("topic={}", topic(*bytes))).collect();
        let queries = [exact.join("&"), "topic=https://example.com/%7Bid%7D".to_owned()];
        let streams = queries.iter().cycle().take(2 * SUBSCRIBERS).map(|query| hub.subscribe(query));
        let streams: Vec<_> = streams.collect();
        assert!(streams.iter().all(|stream| stream.status == 200), "ordinary subscribers are welcome");
        Self { hub: hub.address, streams }
    }

    /// Publishes `count` updates one at a time; each must reach every subscriber soon.
    pub(super) fn measure(&mut self, what: &str, bytes: usize, count: usize) {
        let request = post(&format!("topic={}&data=x", topic(bytes)), Some(&publisher()));
        // The hub closes a connection that was idle while the strangers came.
        let dial = || Client::new(TcpStream::connect(self.hub).expect("the hub accepts"));
        let mut publishing = dial();
        let mut delays = Vec::new();
        for _ in 0..count {
            let began = Instant::now();
            publishing.send(&request);
            let answer = publishing.answer();
            assert_eq!(answer.status, 200, "an ordinary publication is refused: {answer:?}");
            for stream in &mut self.streams {
                assert_eq!(stream.ids(1), [answer.body.as_str()]);
                delays.push(began.elapsed());
            }
            // Where memory is scarce, the hub keeps no idle connection.
            if answer.header("Connection") == Some("close") {
                publishing = dial();
            }
        }
        delays.sort_unstable();
        let delays = Delays(delays);
        println!("{what}, topic of {bytes} bytes: {delays}");
        let is_usual = count < 5 || delays.quantile(0.5) < DELAY_USUAL;
        let is_soon = is_usual && delays.quantile(1.0) < DELAY_MAX;
        assert!(is_soon, "{what}, topic of {bytes} bytes: {delays}");
    }

    /// The same for each length of topics.
    pub(super) fn measure_all(&mut self, what: &str, count: usize) {
        TOPIC_BYTES.iter().for_each(|bytes| self.measure(what, *bytes, count));
    }
}

/// What the strangers were answered.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) accepted: usize,
    pub(super) refused: usize,
}

impl Answers {
    /// Counts an answer. A refusal must have a status that fits, and a sentence.
    pub(super) fn count(&mut self, status: u16, body: &str) {
        if status == 200 {
            self.accepted += 1;
            return;
        }
        self.refused += 1;
        assert!(
            matches!(status, 400 | 408 | 413 | 414 | 429 | 431 | 503),
            "a stranger gets {status} {body:?}"
        );
        assert!(body.split(' ').count() > 3, "a refusal has a sentence: {status} {body:?}");
    }
}

/// A connection of stranger `number`, which has an address of its own.
pub(super) fn connect(hub: &Hub, number: usize) -> Client {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    let own = SocketAddr::from(([127, 1, (number / 250) as u8, (number % 250) as u8 + 1], 0));
    rustix::net::bind(&socket, &own).expect("a loopback address");
    rustix::net::connect(&socket, &hub.address).expect("the hub accepts");
    Client::new(TcpStream::from(socket))
}

/// Reads what a hub has sent on a connection until it closes it or sends nothing more; returns
/// whether it was closed.
pub(super) fn is_closed_within(client: &mut Client, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    let mut buffer = [0; 4_096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        client.socket.set_read_timeout(Some(left)).expect("a socket");
        match client.socket.read(&mut buffer) {
            Ok(0) => return true,
            Ok(count) => client.received.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return true,
            Err(_) => return false,
        }
    }
}
