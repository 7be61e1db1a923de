//! A whole hub, in this process, on a disk that fails during use.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use petasos::config::{Config, Environment, Options};
use petasos::history::redb::{HistorySync, RedbHistory};
use petasos::history::{
    Appended, HeldCounts, History, HistoryError, HistoryRange, HistoryReader, HistorySlice, Position,
    Retention,
};
use petasos::sse::frame::Frame;
use petasos::{RunError, server};
use rustix::process::{Signal, getpid, kill_process};

use crate::common::{Client, DEADLINE, KEY, Stream, eventually, get, id, post, publisher};
use crate::storage::Faults;
use crate::{Directory, faulty};

/// Counts the reads of the store.
struct Counted {
    inner: Arc<dyn HistoryReader>,
    reads: Arc<AtomicU64>,
}

impl Counted {
    fn count(&self) -> &dyn HistoryReader {
        self.reads.fetch_add(1, Ordering::SeqCst);
        &*self.inner
    }
}

impl HistoryReader for Counted {
    fn locate(&self, id: &str) -> Result<Option<Position>, HistoryError> {
        self.count().locate(id)
    }

    fn read(
        &self,
        after: Position,
        updates_max: usize,
        bytes_max: usize,
    ) -> Result<HistorySlice, HistoryError> {
        self.count().read(after, updates_max, bytes_max)
    }

    fn newest(&self, updates_max: usize, bytes_max: usize) -> Result<HistorySlice, HistoryError> {
        self.inner.newest(updates_max, bytes_max)
    }

    fn range(&self) -> Result<HistoryRange, HistoryError> {
        self.count().range()
    }
}

/// A history whose reads are counted.
struct Watched {
    inner: RedbHistory,
    reads: Arc<AtomicU64>,
}

impl History for Watched {
    fn append(&mut self, batch: &[Arc<Frame>], unix_ms: u64) -> Result<Appended, HistoryError> {
        self.inner.append(batch, unix_ms)
    }

    fn needs_upkeep(&self) -> bool {
        self.inner.needs_upkeep()
    }

    fn maintain(&mut self, unix_ms: u64) -> Result<Position, HistoryError> {
        self.inner.maintain(unix_ms)
    }

    fn held(&self) -> HeldCounts {
        self.inner.held()
    }

    fn reader(&self) -> Arc<dyn HistoryReader> {
        Arc::new(Counted { inner: self.inner.reader(), reads: Arc::clone(&self.reads) })
    }
}

/// A hub in this process.
struct InProcess {
    address: SocketAddr,
    ended: JoinHandle<Result<(), RunError>>,
    reads: Arc<AtomicU64>,
}

impl InProcess {
    fn start(history: RedbHistory) -> Self {
        let mut options = Options::default();
        for (name, value) in
            [("ADDR", "127.0.0.1:0"), ("JWT_KEY", KEY), ("ALLOW_ANONYMOUS", "1"), ("DRAIN_TIMEOUT", "0s")]
        {
            options.set(name, value).expect("a setting");
        }
        let read_file = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        let environment = Environment { read_file: &read_file, cpus: &[0], memory: None, variables: &[] };
        let config = Config::read(&options, &environment).unwrap_or_else(|errors| panic!("{errors:?}"));
        let reads = Arc::new(AtomicU64::new(0));
        let watched = Watched { inner: history, reads: Arc::clone(&reads) };
        let (tell, started) = channel();
        let ended = std::thread::spawn(move || {
            server::start::run(
                &config.settings,
                || Ok(Box::new(watched)),
                |address| {
                    tell.send(address).expect("the test waits");
                },
            )
        });
        let address = started.recv_timeout(DEADLINE).expect("the hub starts");
        Self { address, ended, reads }
    }

    fn connect(&self) -> Client {
        Client::new(std::net::TcpStream::connect(self.address).expect("the hub accepts"))
    }

    fn subscribe(&self, headers: &str) -> Stream {
        let mut client = self.connect();
        client.send(&get("topic=t", headers));
        Stream::open(client)
    }

    /// Publishes on this connection; returns the status.
    fn publish(client: &mut Client, id: &str) -> u16 {
        client.send(&post(&format!("topic=t&data=x&id={id}"), Some(&publisher())));
        client.answer().status
    }

    fn stop(self) {
        kill_process(getpid(), Signal::TERM).expect("this process");
        self.ended.join().expect("no panic").expect("a clean stop");
    }
}

fn history(directory: &Directory, faults: &Arc<Faults>) -> RedbHistory {
    let file = faulty(&directory.file(), faults);
    let on = move || file.clone();
    RedbHistory::on_storage("a faulty disk", on, Retention::default(), HistorySync::Always).expect("ours")
}

/// The effect of a fault on a hub in use: publishers get 200 or 503, streams stay open.
fn serves_through(writes_left: i64, syncs_left: i64, short: bool) {
    const PUBLISHERS: usize = 4;
    const ATTEMPTS_MAX: u64 = 1_000_000;
    let directory = Directory::new("hub");
    let faults = Faults::none(short);
    let hub = InProcess::start(history(&directory, &faults));
    let mut stream = hub.subscribe("");
    let sound_again = AtomicBool::new(false);
    let met: Vec<_> = (0..PUBLISHERS).map(|_| AtomicBool::new(false)).collect();
    let (mut streamed, mut acknowledged): (Vec<String>, Vec<String>) = std::thread::scope(|scope| {
        let (hub, sound_again) = (&hub, &sound_again);
        let publishers = met.iter().enumerate().map(|(publisher, met)| {
            scope.spawn(move || {
                let mut client = hub.connect();
                let mut acknowledged = Vec::new();
                // Each publisher sees service before the fault, the fault, and service after it.
                for number in 0.. {
                    let id = format!("{publisher}-{number}");
                    let is_sound = sound_again.load(Ordering::SeqCst);
                    match InProcess::publish(&mut client, &id) {
                        200 => {
                            acknowledged.push(id);
                            if is_sound {
                                break;
                            }
                        }
                        // After a failure the store is not tried again for a moment.
                        503 => {
                            met.store(true, Ordering::SeqCst);
                            assert!(number < ATTEMPTS_MAX, "service does not resume");
                        }
                        status => panic!("{status}"),
                    }
                }
                acknowledged
            })
        });
        let publishers: Vec<_> = publishers.collect();
        let streamed = vec![id(&stream.next().expect("updates get through"))];
        faults.set(writes_left, syncs_left);
        eventually("every publisher meets the fault", || met.iter().all(|met| met.load(Ordering::SeqCst)));
        faults.lift();
        sound_again.store(true, Ordering::SeqCst);
        let acknowledged = publishers.into_iter().flat_map(|thread| thread.join().expect("a publisher"));
        (streamed, acknowledged.collect())
    });
    streamed.extend(stream.ids(acknowledged.len() - 1));
    let replayed = hub.subscribe("Last-Event-ID: earliest\r\n").ids(streamed.len());
    assert_eq!(replayed, streamed, "the history and the stream are one order");
    acknowledged.sort_unstable();
    let mut sorted = streamed;
    sorted.sort_unstable();
    assert_eq!(sorted, acknowledged, "what got a 200 was delivered, and nothing else");
    hub.stop();
    let reopened = history(&directory, &Faults::none(false));
    assert_eq!(crate::held(&*reopened.reader()), replayed, "after a restart");
}

/// After a restart, clients whose last event id is near the end of the file are served from memory.
fn a_storm_reads_nothing() {
    const UPDATES: u64 = 50;
    const CLIENTS: usize = 1_000;
    let directory = Directory::new("storm");
    let faults = Faults::none(false);
    let hub = InProcess::start(history(&directory, &faults));
    let mut client = hub.connect();
    (0..UPDATES).for_each(|number| assert_eq!(InProcess::publish(&mut client, &number.to_string()), 200));
    drop(client);
    hub.stop();
    let hub = InProcess::start(history(&directory, &faults));
    let mut streams: Vec<_> = (0..CLIENTS).map(|_| hub.subscribe("Last-Event-ID: 0\r\n")).collect();
    for stream in &mut streams {
        assert_eq!(stream.header("Last-Event-ID"), Some("0"));
        assert_eq!(stream.ids(UPDATES as usize - 1).last().map(String::as_str), Some("49"));
    }
    assert_eq!(hub.reads.load(Ordering::SeqCst), 0, "reads of the store");
    // The counter works.
    hub.subscribe("Last-Event-ID: earliest\r\n").ids(1);
    assert!(hub.reads.load(Ordering::SeqCst) > 0);
    drop(streams);
    hub.stop();
}

/// One test, since all hubs of a process receive the same signal.
#[test]
fn a_hub_refuses_what_it_cannot_store_and_resumes_and_serves_a_storm_from_memory() {
    serves_through(0, -1, false);
    serves_through(3, -1, true);
    serves_through(-1, 0, false);
    serves_through(-1, 1, false);
    a_storm_reads_nothing();
}
