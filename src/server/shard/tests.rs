//! Requests on connections of both HTTP versions, without the binary: real sockets and a real
//! poller, a ring and a history in memory, and no thread but the test's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Receiver;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use serde_json::json;

use super::exchange::Reply;
use super::request_id::RequestId;
use super::*;
use crate::api::handler::ApiSettings;
use crate::history::memory::MemoryHistory;
use crate::history::{History as _, HistorySlice, Retention};
use crate::http::headers::cors::{Cors, OriginList};
use crate::hub::sequencer::{Publication, ReplyTo, Sequencer};
use crate::hub::shard::ShardSettings;
use crate::hub::tail::TailBounds;
use crate::io::transport::Transport;
use crate::limits::{BODY_BYTES_MAX_DEFAULT, RING_ENTRIES, SELECTORS_MAX_DEFAULT};
use crate::mercure::audience::Authorization;
use crate::mercure::token::{Algorithm, VerificationKey, sign};
use crate::mercure::update::Update;
use crate::ring::{Producer, ring};
use crate::server::history_worker::{self, HistoryWorker};
use crate::server::http1::Http1Conn;
use crate::server::permits::PerClient;
use crate::sse::frame::Frame;
use crate::time::Now;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A shard without a thread, and the other ends of what it is connected to.
struct Harness {
    connections: Connections,
    shared: Shared,
    sequencer: Sequencer,
    ring: Producer<RingEntry>,
    queue: Receiver<Publication>,
    /// Reads the history, once it is run.
    worker: Option<HistoryWorker>,
}

impl Harness {
    fn new(per_client: PerClient) -> Self {
        let key = || VerificationKey::new(Algorithm::HS256, KEY).expect("a key").into();
        let handler = RequestHandler::new(ApiSettings {
            authorization: Authorization::Selectors,
            allow_anonymous: true,
            publisher_key: key(),
            subscriber_key: key(),
            cors: Cors::parse("https://app.example").expect("an origin"),
            publish_origins: OriginList::default(),
            cookie_name: "mercureAuthorization".to_owned(),
            selectors_max: SELECTORS_MAX_DEFAULT,
            body_bytes_max: BODY_BYTES_MAX_DEFAULT as u64,
            compress: false,
            demo: None,
            subscriptions: true,
        });
        let settings = ShardSettings {
            heartbeat_ms: 15_000,
            dispatch_timeout_ms: 0,
            subscriber_buffer_bytes: 1 << 20,
            tail: TailBounds::default(),
            tracks_subscriptions: true,
        };
        let waker = Arc::new(ShardWaker::new().expect("a waker"));
        let history = MemoryHistory::new(Retention::default());
        let (client, worker) = history_worker::open(history.reader(), Arc::clone(&waker));
        let newest = HistorySlice::empty();
        let sequencer = Sequencer::new(Box::new(history), newest.range.before_oldest);
        let (producer, mut consumers) = ring(RING_ENTRIES, 1);
        let (queue, publications) = Queue::new();
        let now = Now { ms: 1_000, unix_ms: 1_700_000_000_000 };
        let log = ShardLog {
            shard: 0,
            log_updates: false,
            rules: Rules { is_logged: false, trusts_proxy: true },
            recorder: Recorder::new(Arc::default()),
            samplers: Samplers::default(),
        };
        let mut budget = Budget::default();
        budget.renew();
        let shared = Shared {
            number: 0,
            now,
            budget,
            timeouts: Timeouts { header_ms: 10_000, read_ms: 0, write_ms: 0, response_ms: 0 },
            handler,
            streams: Streams::new(Shard::new(settings, &newest, now)),
            publications: Publications::new(queue),
            history: client,
            ring: consumers.remove(0),
            mailbox: Mailbox::open(&[waker]).remove(0),
            listings: Listings::default(),
            events: SubscriptionEvents::default(),
            quotas: Quotas::new(100, per_client, true),
            shutdown: Shutdown::new(0),
            log,
            poller: Poller::new().expect("an epoll set"),
            read_buffer: vec![0; READ_BYTES_MAX].into(),
            date: DateCache::default(),
            serials: Serials::default(),
        };
        let connections = Connections::default();
        Self { connections, shared, sequencer, ring: producer, queue: publications, worker: Some(worker) }
    }

    /// A connection of a client; returns the client's socket.
    fn connect(&mut self) -> OwnedFd {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a pair");
        let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4_000);
        let conn = Http1Conn::new(Transport::new(ours, None), Some(peer), self.shared.now.ms);
        let permit = self.shared.quotas.connect(Some(peer.ip())).expect("room");
        self.connections.open(conn, permit, &mut self.shared).expect("watched");
        theirs
    }

    /// Sends bytes of a client, and handles the events of all sockets.
    fn request(&mut self, theirs: &OwnedFd, bytes: &[u8]) -> String {
        send(theirs, bytes, SendFlags::empty()).expect("sent");
        self.take_events();
        received(theirs)
    }

    fn take_events(&mut self) {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        self.shared.poller.take(&mut events, 0);
        for event in events {
            let (data, flags) = (event.data, event.flags);
            self.connections.on_event(data.u64(), flags, &mut self.shared);
        }
    }

    /// Commits what waits for the sequencer, and lets the shard take it from the ring.
    fn commit(&mut self) {
        let batch: Vec<Publication> = self.queue.try_iter().collect();
        let (entries, error) = self.sequencer.commit(&batch, self.shared.now.unix_ms);
        assert!(error.is_none(), "the memory refuses nothing");
        self.push(entries);
    }

    /// The store refuses what waits for the sequencer.
    fn reject(&mut self) {
        let batch: Vec<Publication> = self.queue.try_iter().collect();
        self.push(Sequencer::reject(&batch));
    }

    fn push(&mut self, entries: Vec<RingEntry>) {
        for entry in entries {
            assert!(self.ring.push(entry).is_ok(), "the ring has room");
        }
        let Self { connections, shared, .. } = self;
        inbox::take_entries(connections, shared, usize::MAX);
        shared.streams.write(&shared.history, shared.now);
        connections.close_ended(shared);
        connections.poll_written(shared);
    }
}

/// What a client has received.
fn received(theirs: &OwnedFd) -> String {
    let mut bytes = vec![0; 1 << 20];
    match recv(theirs, &mut bytes, RecvFlags::DONTWAIT) {
        Ok((count, _)) => String::from_utf8(bytes[..count].to_vec()).expect("UTF-8"),
        Err(Errno::AGAIN) => String::new(),
        Err(error) => panic!("{error}"),
    }
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

#[test]
fn an_update_is_acknowledged_and_delivered_only_when_its_entry_comes_round_the_ring() {
    let mut hub = Harness::new(PerClient::default());
    let subscriber = hub.connect();
    assert_eq!(hub.request(&subscriber, &subscription("topic=a")), "", "the head waits for the next write");
    hub.push(Vec::new());
    assert_eq!(status(&received(&subscriber)), "200");

    let publisher = hub.connect();
    assert_eq!(hub.request(&publisher, &publication("topic=a&data=x&id=1")), "", "not stored yet");
    assert_eq!(received(&subscriber), "");
    hub.commit();
    let response = received(&publisher);
    assert_eq!(status(&response), "200");
    assert!(response.ends_with("\r\n\r\n1"), "{response}");
    assert_eq!(received(&subscriber), "f\r\nid: 1\ndata: x\n\n\r\n");
}

#[test]
fn a_refused_commit_and_a_full_queue_are_503_with_the_cors_headers_of_the_request() {
    let mut hub = Harness::new(PerClient::default());
    let publisher = hub.connect();
    hub.request(&publisher, &publication("topic=a"));
    hub.reject();
    let refused = received(&publisher);

    let update = Update::parse(b"topic=a", Authorization::Selectors, [0; 16]).expect("a publication");
    let frame = Arc::new(Frame::encode(update));
    let elsewhere = ReplyTo::Request { shard: 9, connection: 0, serial: 0 };
    while hub.shared.publications.offer(Arc::clone(&frame), elsewhere).is_ok() {}
    let full = hub.request(&publisher, &publication("topic=a"));
    for response in [refused, full] {
        assert_eq!(status(&response), "503");
        assert!(response.contains("Access-Control-Allow-Origin: https://app.example\r\n"), "{response}");
        assert!(response.contains("Retry-After: 1\r\n"), "{response}");
    }
}

/// The number of a connection is used again: the reply to a request of the one before is not for
/// the request of the next.
#[test]
fn a_reply_with_another_serial_answers_nothing() {
    let mut hub = Harness::new(PerClient::default());
    let publisher = hub.connect();
    hub.request(&publisher, &publication("topic=a&id=1"));
    let batch: Vec<Publication> = hub.queue.try_iter().collect();
    let ReplyTo::Request { connection, serial, .. } = batch[0].reply_to else { panic!("of a request") };
    for reply in [Reply::Committed { is_stored: true }, Reply::Committed { is_stored: false }] {
        let stale = RequestId { connection, serial: serial.wrapping_sub(1) };
        hub.connections.on_reply(stale, reply, &mut hub.shared);
        assert_eq!(received(&publisher), "");
    }
    let (entries, _) = hub.sequencer.commit(&batch, 0);
    hub.push(entries);
    assert!(received(&publisher).ends_with("\r\n\r\n1"));
}

#[test]
fn a_token_at_its_limit_gets_429_and_a_head_request_needs_no_permit() {
    let limit = PerClient { connections_per_address: 0, subscriptions_per_token: 1 };
    let mut hub = Harness::new(limit);
    let bearer = format!("Authorization: Bearer {}\r\n\r\n", token(&json!({ "subscribe": ["*"] })));
    let request = |method: &str| {
        format!("{method} /.well-known/mercure?topic=a HTTP/1.1\r\nHost: a\r\n{bearer}").into_bytes()
    };
    let first = hub.connect();
    hub.request(&first, &request("GET"));
    hub.push(Vec::new());
    assert_eq!(status(&received(&first)), "200");
    let second = hub.connect();
    assert_eq!(status(&hub.request(&second, &request("HEAD"))), "200");
    assert_eq!(status(&hub.request(&second, &request("GET"))), "429");
    hub.shared.streams.shard.close_all();
    hub.push(Vec::new());
    hub.request(&second, &request("GET"));
    hub.push(Vec::new());
    assert_eq!(status(&received(&second)), "200", "its place is free again");
}

#[test]
fn the_history_is_asked_where_a_stream_resumes_and_the_head_says_what_precedes_it() {
    let mut hub = Harness::new(PerClient::default());
    let publisher = hub.connect();
    for id in ["1", "2"] {
        hub.request(&publisher, &publication(&format!("topic=a&id={id}&data=x")));
        hub.commit();
        received(&publisher);
    }
    let worker = hub.worker.take().expect("not started yet");
    let thread = std::thread::spawn(move || worker.run());
    let subscriber = hub.connect();
    let asked = subscription("topic=a&lastEventID=unknown");
    assert_eq!(hub.request(&subscriber, &asked), "", "the head waits for the history");
    let until = Instant::now() + Duration::from_secs(20);
    while !inbox::take_replies(&mut hub.connections, &mut hub.shared) {
        assert!(Instant::now() < until, "the history does not reply");
        std::thread::yield_now();
    }
    let mut stream = String::new();
    while !stream.contains("id: 2") {
        assert!(Instant::now() < until, "the history is not replayed: {stream}");
        inbox::take_replies(&mut hub.connections, &mut hub.shared);
        hub.push(Vec::new());
        stream.push_str(&received(&subscriber));
    }
    assert!(stream.contains("Last-Event-ID: earliest\r\n"), "{stream}");
    assert!(stream.find("id: 1") < stream.find("id: 2"), "{stream}");
    // The worker ends with its shard.
    drop(hub);
    thread.join().expect("it ends");
}

#[test]
fn a_list_of_subscriptions_waits_for_every_shard_and_names_the_newest_update() {
    let mut hub = Harness::new(PerClient::default());
    let subscriber = hub.connect();
    hub.request(&subscriber, &subscription("topic=a"));
    offer_subscription_events(&mut hub.shared);
    hub.commit();
    let token = token(&json!({ "subscribe": ["/.well-known/mercure/subscriptions"] }));
    let request = format!(
        "GET /.well-known/mercure/subscriptions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let client = hub.connect();
    assert_eq!(hub.request(&client, request.as_bytes()), "", "the shards are asked first");
    let mut rounds = 0;
    while inbox::take_messages(&mut hub.connections, &mut hub.shared) {
        rounds += 1;
        assert!(rounds < 10, "the list is never complete");
    }
    let response = received(&client);
    assert_eq!(status(&response), "200");
    assert!(response.contains("\"topic\":\"a\""), "{response}");
}
