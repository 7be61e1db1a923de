//! The loop of a shard without the binary: real sockets and epoll, a ring and a history in
//! memory, and no thread but the test's. A test runs the loop round by round, plays the sequencer,
//! and sets the time.

mod accept;
mod http2;
mod http2_sends;
mod memory;
mod queries;
mod requests;
mod stop;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, getsockname, recv, send, socketpair,
};
use serde_json::json;

use super::*;
use crate::api::handler::settings_for_tests;
use crate::history::memory::MemoryHistory;
use crate::history::{History as _, HistorySlice, Retention};
use crate::hub::sequencer::{Publication, Sequencer};
use crate::hub::shard::ShardSettings;
use crate::hub::tail::TailBounds;
use crate::io::ProcessRole;
use crate::io::driver_kind::DriverKind;
use crate::io::listener;
use crate::io::socket::Socket;
use crate::io::transport::Transport;
use crate::limits::{BODY_BYTES_MAX_DEFAULT, PUBLISH_QUEUE_BYTES_MAX, RING_ENTRIES};
use crate::mercure::audience::Authorization;
use crate::mercure::dialect::Dialects;
use crate::mercure::token::{Algorithm, sign};
use crate::ring::{Producer, ring};
use crate::server::history_worker::{self, HistoryWorker};
use crate::server::http1::Http1Conn;
use crate::server::memory::{MemoryAccount, ShardMemory};
use crate::server::permits::PerClient;
use crate::time::Now;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
const CONNECTIONS_MAX: usize = 100;
/// How long a test waits for a socket.
const DEADLINE: Duration = Duration::from_secs(20);

/// What a test chooses.
struct Setup {
    quotas: Quotas,
    memory: ShardMemory,
    drain_ms: u64,
    dialects: Dialects,
    waker: Arc<ShardWaker>,
    listener: Listener,
    driver: DriverKind,
}

impl Default for Setup {
    fn default() -> Self {
        let waker = Arc::new(ShardWaker::new().expect("a waker"));
        let any_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let opened = listener::open(any_port, &[Arc::clone(&waker)], 15_000, ProcessRole::Program);
        let (_, mut listeners) = opened.expect("a port");
        Self {
            quotas: Quotas::new(CONNECTIONS_MAX, PerClient::default(), true),
            memory: no_limit(),
            drain_ms: 0,
            dialects: Dialects::legacy(Authorization::Selectors),
            waker,
            listener: listeners.remove(0),
            driver: DriverKind::Epoll,
        }
    }
}

/// A memory without a bound.
fn no_limit() -> ShardMemory {
    ShardMemory::new(MemoryAccount::new(u64::MAX))
}

/// A shard without a thread, and the other ends of what it is connected to.
struct Harness {
    shard: ShardLoop,
    address: SocketAddr,
    sequencer: Sequencer,
    ring: Producer<RingEntry>,
    queue: Receiver<Publication>,
    /// The sequencer has pushed its last entry.
    has_sequenced_all: bool,
    /// Reads the history, once it is run.
    worker: Option<HistoryWorker>,
}

impl Harness {
    fn new() -> Self {
        Self::with(Setup::default())
    }

    fn with(Setup { quotas, memory, drain_ms, dialects, waker, listener, driver }: Setup) -> Self {
        let settings = ShardSettings {
            heartbeat_ms: 15_000,
            dispatch_timeout_ms: 0,
            subscriber_buffer_bytes: 1 << 20,
            tail: TailBounds::default(),
            tracks_subscriptions: true,
        };
        let address = address_of(&listener.sockets[0]);
        let history = MemoryHistory::new(Retention::default());
        let (client, worker) = history_worker::open(history.reader(), Arc::clone(&waker));
        let newest = HistorySlice::empty();
        let sequencer = Sequencer::new(Box::new(history), newest.range.before_oldest);
        let (producer, mut consumers) = ring(RING_ENTRIES, 1);
        let (queue, publications) = Queue::new(PUBLISH_QUEUE_BYTES_MAX);
        let now = Now { ms: 1_000, unix_ms: 1_700_000_000_000 };
        let mut shard = ShardLoop::new(ShardDeps {
            number: 0,
            listener,
            tls: None,
            shard: Shard::new(settings, &newest, now),
            handler: handler(dialects),
            ring: consumers.remove(0),
            queue,
            history_client: client,
            mailbox: Mailbox::open(&[Arc::clone(&waker)]).remove(0),
            waker,
            stopping: Arc::default(),
            clock: Clock::new(Instant::now(), Arc::default()),
            timeouts: Timeouts { header_ms: 10_000, read_ms: 0, write_ms: 0, response_ms: 0 },
            drain_ms,
            log_updates: false,
            access: Rules { is_logged: false, trusts_proxy: true },
            quotas,
            memory,
            recorder: Recorder::new(Arc::default()),
            batch_bytes_max: usize::MAX,
            driver: driver.open().expect("a driver"),
            random: Random::Host,
        })
        .expect("a descriptor");
        shard.shared.now = now;
        Self {
            shard,
            address,
            sequencer,
            ring: producer,
            queue: publications,
            has_sequenced_all: false,
            worker: Some(worker),
        }
    }

    /// A connection of a client that the shard has already; returns the client's socket.
    fn connect(&mut self) -> OwnedFd {
        self.connect_with(SocketType::STREAM)
    }

    /// The same, with sockets of this type.
    fn connect_with(&mut self, kind: SocketType) -> OwnedFd {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, flags, None).expect("a pair");
        let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4_000);
        let ShardLoop { connections, shared, .. } = &mut self.shard;
        let conn = Http1Conn::new(Transport::new(ours, None), Some(peer), shared.now.ms);
        let permit = shared.quotas.connect(Some(peer.ip())).expect("room");
        connections.open(conn, permit, shared).expect("watched");
        theirs
    }

    /// Sends bytes of a client, and handles the events of all sockets.
    fn request(&mut self, theirs: &OwnedFd, bytes: &[u8]) -> String {
        send(theirs, bytes, SendFlags::empty()).expect("sent");
        self.shard.shared.budget.renew();
        self.shard.take_events();
        received(theirs)
    }

    /// Commits what waits for the sequencer, and lets the shard take it from the ring.
    fn commit(&mut self) {
        let batch: Vec<Publication> = self.queue.try_iter().collect();
        let (entries, error) = self.sequencer.commit(&batch, self.shard.shared.now.unix_ms);
        assert!(error.is_none(), "the memory refuses nothing");
        self.push(entries);
    }

    /// The store refuses what waits for the sequencer.
    fn reject(&mut self) {
        let batch: Vec<Publication> = self.queue.try_iter().collect();
        self.push(Sequencer::reject(&batch));
    }

    fn push(&mut self, entries: Vec<RingEntry>) {
        self.put_on_ring(entries);
        let ShardLoop { connections, shared, .. } = &mut self.shard;
        inbox::take_entries(connections, shared, usize::MAX);
        shared.streams.write(&mut *shared.driver, &shared.history, shared.now);
        connections.close_ended(shared);
        connections.poll_written(shared);
    }

    fn put_on_ring(&mut self, entries: Vec<RingEntry>) {
        for entry in entries {
            assert!(self.ring.push(entry).is_ok(), "the ring has room");
        }
    }

    /// One round of the loop; returns whether the shard has stopped.
    fn round(&mut self) -> bool {
        self.shard.shared.budget.renew();
        self.shard.round();
        self.shard.advance_stop()
    }

    /// Runs rounds until this holds.
    fn round_until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let until = Instant::now() + DEADLINE;
        while !holds(self) {
            assert!(Instant::now() < until, "in vain: {what}");
            self.round();
            std::thread::yield_now();
        }
    }

    /// Runs rounds until the shard has stopped, beside a sequencer.
    fn round_until_stopped(&mut self) {
        let until = Instant::now() + DEADLINE;
        while !self.round() {
            assert!(Instant::now() < until, "the shard does not stop");
            self.sequence();
            std::thread::yield_now();
        }
    }

    /// What the sequencer's thread does: commits what waits, and ends after the last publication.
    fn sequence(&mut self) {
        let mut batch = Vec::new();
        let is_last = loop {
            match self.queue.try_recv() {
                Ok(publication) => batch.push(publication),
                Err(TryRecvError::Empty) => break false,
                Err(TryRecvError::Disconnected) => break true,
            }
        };
        let (entries, error) = self.sequencer.commit(&batch, self.shard.shared.now.unix_ms);
        assert!(error.is_none(), "the memory refuses nothing");
        self.put_on_ring(entries);
        if is_last && !std::mem::replace(&mut self.has_sequenced_all, true) {
            self.put_on_ring(vec![RingEntry::End]);
        }
    }

    /// Connects to the listener; returns the client's socket.
    fn dial(&self) -> OwnedFd {
        dial(self.address)
    }

    /// Runs rounds until a client has received this text; returns all that it has received.
    fn receive(&mut self, theirs: &OwnedFd, end: &str) -> String {
        let mut text = String::new();
        self.round_until(end, |_| {
            text.push_str(&received(theirs));
            text.contains(end)
        });
        text
    }

    fn pass(&mut self, ms: u64) {
        self.shard.shared.now.ms += ms;
        self.shard.shared.now.unix_ms += ms;
    }
}

fn handler(dialects: Dialects) -> RequestHandler {
    RequestHandler::new(settings_for_tests(dialects, KEY))
}

/// The address of a listening socket.
fn address_of(socket: &Socket) -> SocketAddr {
    let address = getsockname(socket.descriptor().expect("of the kernel"));
    address.and_then(SocketAddr::try_from).expect("an address")
}

fn dial(address: SocketAddr) -> OwnedFd {
    TcpStream::connect(address).expect("it listens").into()
}

/// What a client has received.
fn received(theirs: &OwnedFd) -> String {
    String::from_utf8(received_bytes(theirs)).expect("UTF-8")
}

fn received_bytes(theirs: &OwnedFd) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    match recv(theirs, &mut bytes, RecvFlags::DONTWAIT) {
        Ok((count, _)) => bytes[..count].to_vec(),
        Err(Errno::AGAIN) => Vec::new(),
        Err(error) => panic!("{error}"),
    }
}

/// Whether the hub has closed the connection, and the client has read everything.
fn is_over(theirs: &OwnedFd) -> bool {
    let peeked = recv(theirs, &mut [0; 1][..], RecvFlags::DONTWAIT | RecvFlags::PEEK);
    matches!(peeked, Ok((0, _)) | Err(Errno::CONNRESET))
}

fn token(claim: &serde_json::Value) -> String {
    sign(&json!({ "mercure": claim }), KEY, Algorithm::HS256).expect("signed")
}

fn publication(body: &str) -> Vec<u8> {
    let token = token(&json!({ "publish": ["*"] }));
    let length = body.len();
    let head = format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n\
        Authorization: Bearer {token}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
        Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

fn subscription(query: &str) -> Vec<u8> {
    format!("GET /.well-known/mercure?{query} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

fn status(response: &str) -> &str {
    response.split(' ').nth(1).unwrap_or_default()
}
