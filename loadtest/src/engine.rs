//! The generator: one thread, one epoll set, thousands of subscribers and a few publishers.
//!
//! A scenario drives it: it subscribes, publishes when it likes, and calls [`Engine::poll`] in between. Nothing here knows
//! what is being measured.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::book::{Book, Reader};
use crate::net::{self, Connection, Interest, Poll};
use crate::progress::Progress;
use crate::publisher::{Answer, Publisher};
use crate::wire::chunked::Chunked;
use crate::wire::coding;
use crate::wire::http::AnswerHead;
use crate::wire::request::{Publication, Wire};
use crate::wire::sse::Decoder;

/// Bytes read at once from a socket.
const READ_BYTES: usize = 64 << 10;
/// Connections being established at the same time.
const CONNECTING_MAX: usize = 128;
/// How long nothing may happen before a wait is given up.
const PATIENCE_NS: u64 = 5_000_000_000;
/// Marks the key of a publisher in the epoll set.
const PUBLISHER: u64 = 1 << 32;

/// What to subscribe to, and what the book should expect of it.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    /// The topic selector.
    pub(crate) selector: String,
    /// Further selectors, which only a Mercure hub takes.
    pub(crate) further: Vec<String>,
    /// The token; `None`: anonymous.
    pub(crate) token: Option<String>,
    /// The streams of the book that it has a claim to.
    pub(crate) streams: Range<u32>,
    /// Checked, but not measured.
    pub(crate) background: bool,
    /// What it begins with.
    pub(crate) start: Start,
    /// `SO_RCVBUF`; `None`: the system's.
    pub(crate) receive_bytes: Option<usize>,
}

/// What a subscriber begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// What is published from now on.
    Live,
    /// Everything that the hub has, which is all that was published on its streams: its last event id is `earliest`.
    Earliest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Head,
    Live { chunked: bool },
    Closed,
}

struct Subscriber {
    socket: Option<Connection>,
    phase: Phase,
    request: Vec<u8>,
    head: Vec<u8>,
    chunks: Chunked,
    coding: Option<Box<coding::Decoder>>,
    events: Decoder,
    reader: Reader,
    subscription: Subscription,
}

/// The generator and its book.
pub(crate) struct Engine {
    poll: Poll,
    wire: Wire,
    progress: Progress,
    subscribers: Vec<Subscriber>,
    publishers: Vec<Publisher>,
    /// What is published on each stream, ready but for the stamp.
    publications: Vec<Publication>,
    /// Publishers whose last publication was answered.
    idle: VecDeque<usize>,
    pending: usize,
    started: Instant,
    buffer: Vec<u8>,
    keys: Vec<u64>,
    /// Bytes that subscribers read, but for the heads.
    wire_bytes: u64,
    pub(crate) book: Book,
}

impl Engine {
    /// A generator that speaks as `wire` says, with a book of `streams` streams.
    pub(crate) fn new(wire: Wire, streams: u32, progress: Progress) -> Result<Self, String> {
        let run = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |since| since.subsec_nanos() ^ std::process::id());
        Ok(Self {
            poll: Poll::new().map_err(|error| format!("epoll: {error}"))?,
            book: Book::new(run, streams, wire.wraps_data),
            wire,
            progress,
            publications: Vec::new(),
            subscribers: Vec::new(),
            publishers: Vec::new(),
            idle: VecDeque::new(),
            pending: 0,
            started: Instant::now(),
            buffer: vec![0; READ_BYTES],
            keys: Vec::with_capacity(net::EVENTS_MAX),
            wire_bytes: 0,
        })
    }

    /// Nanoseconds of the run's clock.
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Bytes of the streams, as they came over the wire.
    pub(crate) fn wire_bytes(&self) -> u64 {
        self.wire_bytes
    }

    /// What the run says of itself while it lasts.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Subscribes them all and waits until every stream is open.
    pub(crate) fn subscribe(
        &mut self,
        subscriptions: impl ExactSizeIterator<Item = Subscription>,
    ) -> Result<(), String> {
        self.progress.begin("subscribing", subscriptions.len() as u64);
        for (number, subscription) in subscriptions.enumerate() {
            self.progress.set(number as u64);
            while self.pending >= CONNECTING_MAX {
                self.await_progress()?;
            }
            let (streams, background) = (subscription.streams.clone(), subscription.background);
            let (reader, events) = match subscription.start {
                Start::Live => (self.book.join(streams, background), Decoder::default()),
                Start::Earliest => {
                    (self.book.join_from_start(streams, background), Decoder::after(b"earliest"))
                }
            };
            self.subscribers.push(Subscriber {
                socket: None,
                phase: Phase::Closed,
                request: Vec::new(),
                head: Vec::new(),
                chunks: Chunked::new(),
                coding: None,
                events,
                reader,
                subscription,
            });
            self.open(self.subscribers.len() - 1)?;
        }
        self.await_open()
    }

    /// Waits until every stream that is being opened is open.
    pub(crate) fn await_open(&mut self) -> Result<(), String> {
        while self.pending > 0 {
            self.await_progress()?;
        }
        Ok(())
    }

    /// Drops the connection of a subscriber, if it has one, and comes back with its last event id.
    pub(crate) fn reconnect(&mut self, number: usize) -> Result<(), String> {
        self.close(number);
        self.open(number)
    }

    /// Drops the connection of a subscriber.
    pub(crate) fn close(&mut self, number: usize) {
        let subscriber = &mut self.subscribers[number];
        if matches!(subscriber.phase, Phase::Connecting | Phase::Head) {
            self.pending -= 1;
        }
        subscriber.phase = Phase::Closed;
        subscriber.socket = None;
    }

    /// Stops reading a subscriber's socket.
    pub(crate) fn stall(&mut self, number: usize) -> Result<(), String> {
        match &self.subscribers[number].socket {
            Some(socket) => self.poll.remove(socket).map_err(|error| format!("epoll: {error}")),
            None => Ok(()),
        }
    }

    /// Reads a stalled subscriber's socket again.
    pub(crate) fn resume(&mut self, number: usize) -> Result<(), String> {
        match &self.subscribers[number].socket {
            Some(socket) => self
                .poll
                .add(socket, number as u64, Interest::Read)
                .map_err(|error| format!("epoll: {error}")),
            None => Ok(()),
        }
    }

    /// Says what is published on the next stream of the book.
    pub(crate) fn add_stream(&mut self, topic: &str, private: bool, token: &str, data_bytes: usize) {
        let mut publication = self.wire.publication(topic, private, token, data_bytes);
        let stream = u32::try_from(self.publications.len()).unwrap_or(u32::MAX);
        self.book.set_data_bytes(stream, publication.data_bytes());
        publication.fill(self.book.padding());
        self.publications.push(publication);
    }

    /// Adds a publisher on a connection of its own.
    pub(crate) fn add_publisher(&mut self) -> Result<(), String> {
        let number = self.publishers.len();
        self.publishers.push(Publisher::new(self.wire.publishers(), self.wire.tls.clone()));
        self.connect_publisher(number)?;
        self.idle.push_back(number);
        Ok(())
    }

    /// Takes the publisher that has been idle for longest, so that all connections are used.
    pub(crate) fn take_idle(&mut self) -> Option<usize> {
        self.idle.pop_front()
    }

    /// Takes a publisher as soon as one has its answer.
    pub(crate) fn await_idle(&mut self) -> Result<usize, String> {
        let deadline = self.now_ns() + PATIENCE_NS;
        loop {
            if let Some(publisher) = self.idle.pop_front() {
                return Ok(publisher);
            }
            self.poll_before(deadline)?;
        }
    }

    /// Polls until every publication is answered.
    pub(crate) fn await_answers(&mut self) -> Result<(), String> {
        let deadline = self.now_ns() + PATIENCE_NS;
        while self.is_publishing() {
            self.poll_before(deadline)?;
        }
        Ok(())
    }

    fn poll_before(&mut self, deadline_ns: u64) -> Result<(), String> {
        if self.now_ns() > deadline_ns {
            return Err(format!(
                "the hub left a publication unanswered for {} s",
                PATIENCE_NS / 1_000_000_000
            ));
        }
        self.poll(deadline_ns)
    }

    /// Publications that await their answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.publishers.len() - self.idle.len()
    }

    /// Whether any publication awaits its answer.
    pub(crate) fn is_publishing(&self) -> bool {
        self.unanswered() > 0
    }

    /// Publishes on `stream` through a publisher that was taken; it was due at `due_ns`.
    ///
    /// The order of a stream is promised to nobody unless each of its updates waits for the answer to the one before: a
    /// stream belongs to one publisher.
    pub(crate) fn publish(&mut self, publisher: usize, stream: u32, due_ns: u64) -> Result<(), String> {
        self.connect_publisher(publisher)?;
        let stamp = self.book.publish(stream, due_ns);
        self.publishers[publisher].send(self.publications[stream as usize].stamped(&stamp), stamp)
    }

    /// Handles what is ready, waiting for it until `deadline_ns` of the run's clock at most.
    pub(crate) fn poll(&mut self, deadline_ns: u64) -> Result<(), String> {
        let timeout = Duration::from_nanos(deadline_ns.saturating_sub(self.now_ns()));
        let mut keys = std::mem::take(&mut self.keys);
        keys.clear();
        self.poll.wait(Some(timeout), &mut keys).map_err(|error| format!("epoll: {error}"))?;
        for &key in &keys {
            if key & PUBLISHER != 0 {
                self.publisher_ready((key ^ PUBLISHER) as usize)?;
            } else {
                self.subscriber_ready(key as usize)?;
            }
        }
        self.keys = keys;
        Ok(())
    }

    /// Polls until `deadline_ns`.
    pub(crate) fn poll_until(&mut self, deadline_ns: u64) -> Result<(), String> {
        while self.now_ns() < deadline_ns {
            self.poll(deadline_ns)?;
        }
        Ok(())
    }

    /// Polls until every publication is answered and every expected delivery has come; gives up when nothing has come
    /// for a while. Deliveries that still lack afterwards are lost.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        let mut received = self.book.tally().received;
        let mut deadline = self.now_ns() + PATIENCE_NS;
        while self.is_publishing() || self.book.tally().lost > 0 {
            self.poll(self.now_ns() + 10_000_000)?;
            let now = self.book.tally().received;
            if now != received {
                received = now;
                deadline = self.now_ns() + PATIENCE_NS;
            } else if self.now_ns() > deadline {
                break;
            }
        }
        self.await_answers()?;
        self.book.give_up();
        Ok(())
    }

    fn await_progress(&mut self) -> Result<(), String> {
        let before = self.pending;
        let deadline = self.now_ns() + PATIENCE_NS;
        while self.pending == before {
            if self.now_ns() > deadline {
                return Err(format!(
                    "{before} subscriptions were not answered within {} s",
                    PATIENCE_NS / 1_000_000_000
                ));
            }
            self.poll(deadline)?;
        }
        Ok(())
    }

    fn open(&mut self, number: usize) -> Result<(), String> {
        let subscriber = &mut self.subscribers[number];
        let Subscription { selector, further, token, receive_bytes, .. } = &subscriber.subscription;
        let address = self.wire.subscribers();
        let socket = Connection::start(address, number, *receive_bytes, self.wire.tls.as_ref())
            .map_err(|error| format!("connection {number} to {address}: {error}"))?;
        self.poll.add(&socket, number as u64, Interest::Write).map_err(|error| format!("epoll: {error}"))?;
        subscriber.request =
            self.wire.subscription(selector, further, token.as_deref(), subscriber.events.id());
        subscriber.events.restart();
        subscriber.chunks = Chunked::new();
        subscriber.coding = None;
        subscriber.head.clear();
        subscriber.socket = Some(socket);
        subscriber.phase = Phase::Connecting;
        self.pending += 1;
        Ok(())
    }

    fn connect_publisher(&mut self, number: usize) -> Result<(), String> {
        match self.publishers[number].connect()? {
            Some(socket) => self
                .poll
                .add(socket, PUBLISHER | number as u64, Interest::Read)
                .map_err(|error| format!("epoll: {error}")),
            None => Ok(()),
        }
    }

    fn publisher_ready(&mut self, number: usize) -> Result<(), String> {
        let publisher = &mut self.publishers[number];
        let Some(answer) = publisher.ready()? else { return Ok(()) };
        let stamp = publisher.answered();
        if answer == Answer::Refused {
            self.book.refuse(stamp.stream, stamp.sequence);
        }
        let now = self.now_ns();
        self.book.times.answer.saturating_record(now.saturating_sub(stamp.due_ns));
        self.idle.push_back(number);
        Ok(())
    }

    fn subscriber_ready(&mut self, number: usize) -> Result<(), String> {
        // An event of a connection that was replaced within the same batch finds its successor or nothing.
        let subscriber = &mut self.subscribers[number];
        let Some(socket) = &mut subscriber.socket else { return Ok(()) };
        if subscriber.phase == Phase::Connecting {
            socket.established().map_err(|error| format!("connection {number}: {error}"))?;
            // A request head fits any fresh socket buffer.
            if socket.send(&subscriber.request).ok() != Some(subscriber.request.len()) {
                return Err(format!("connection {number}: the request was not taken"));
            }
            subscriber.request = Vec::new();
            subscriber.phase = Phase::Head;
            return self
                .poll
                .change(&*socket, number as u64, Interest::Read)
                .map_err(|error| format!("epoll: {error}"));
        }
        let bytes = match socket.receive(&mut self.buffer) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(()),
            Err(_) => 0,
        };
        if bytes == 0 {
            return self.ended(number);
        }
        let now_ns = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let body = match subscriber.phase {
            Phase::Head => {
                subscriber.head.extend_from_slice(&self.buffer[..bytes]);
                let Some(head) = AnswerHead::parse(&subscriber.head)? else { return Ok(()) };
                if head.status != 200 {
                    return Err(format!("a subscription was answered with status {}", head.status));
                }
                if !head.is_event_stream {
                    return Err(
                        "a subscription was answered with something else than text/event-stream".into()
                    );
                }
                self.pending -= 1;
                subscriber.phase = Phase::Live { chunked: head.chunked };
                if let Some(coding) = head.coding {
                    subscriber.coding = Some(Box::new(coding::Decoder::new(coding)?));
                }
                let mut bytes = std::mem::take(&mut subscriber.head);
                bytes.drain(..head.bytes);
                subscriber.read(&bytes, now_ns, &mut self.book)
            }
            _ => {
                self.wire_bytes += bytes as u64;
                subscriber.read(&self.buffer[..bytes], now_ns, &mut self.book)
            }
        };
        body.map_err(|fault| format!("subscriber {number}: {fault}"))?;
        if subscriber.chunks.is_done() { self.ended(number) } else { Ok(()) }
    }

    /// The hub ended a stream, or it broke.
    fn ended(&mut self, number: usize) -> Result<(), String> {
        let subscriber = &self.subscribers[number];
        if subscriber.phase == Phase::Head {
            return Err(format!("connection {number} was closed instead of answered"));
        }
        self.book.disconnect();
        self.close(number);
        Ok(())
    }
}

impl Subscriber {
    fn read(&mut self, bytes: &[u8], now_ns: u64, book: &mut Book) -> Result<(), &'static str> {
        let mut input = bytes;
        if self.phase == (Phase::Live { chunked: false }) {
            return self.read_events(input, now_ns, book);
        }
        while let Some(data) = self.chunks.next(&mut input).map_err(|_| "the chunks are malformed")? {
            self.read_events(data, now_ns, book)?;
        }
        Ok(())
    }

    fn read_events(&mut self, data: &[u8], now_ns: u64, book: &mut Book) -> Result<(), &'static str> {
        let decoded;
        let mut data = match &mut self.coding {
            None => data,
            Some(decoder) => {
                decoded = decoder.decode(data).map_err(|_| "the coding is malformed")?;
                &decoded
            }
        };
        while self.events.next(&mut data).map_err(|_| "an event is too long")? {
            book.deliver(&self.reader, self.events.data(), now_ns);
        }
        Ok(())
    }
}
