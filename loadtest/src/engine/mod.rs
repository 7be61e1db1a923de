//! The generator: one thread, one epoll set, thousands of subscribers and a few publishers.
//!
//! A scenario drives the engine: it subscribes, publishes, and calls [`Engine::poll`] in between.
//! The engine does not know what is measured. Over HTTP/2 the sockets are those of `shared`, and
//! each subscriber has a stream of one.

mod shared;
mod subscriber;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::book::Book;
use crate::load::Load;
use crate::net::{self, Connection, Interest, Poll};
use crate::progress::Progress;
use crate::publisher::{PublishResult, Publisher};
use crate::wire::http::ResponseHead;
use crate::wire::request::{Publication, Wire};
use shared::Shared;
use subscriber::{Phase, StreamTransport, Subscriber};

pub(crate) use subscriber::{Start, Subscription};

/// Bytes read at once from a socket.
const READ_BYTES: usize = 64 << 10;
/// Connections that may be in the middle of connecting at the same time.
const CONNECTING_MAX: usize = 128;
/// A wait fails after this time without progress.
const PATIENCE_NS: u64 = 5_000_000_000;
/// Marks the key of a publisher in the epoll set.
const PUBLISHER: u64 = 1 << 32;
/// Marks the key of a shared connection.
const SHARED: u64 = 1 << 33;

/// The generator and its book.
pub(crate) struct Engine {
    poll: Poll,
    wire: Wire,
    progress: Progress,
    subscribers: Vec<Subscriber>,
    publishers: Vec<Publisher>,
    /// HTTP/2 connections.
    shared: Vec<Shared>,
    /// The indexes in `shared` of the publishers' connections, in order. Several publishers share
    /// each.
    publisher_homes: Vec<usize>,
    /// The publication of each stream, complete except for the stamp.
    publications: Vec<Publication>,
    /// Publishers whose last publication was answered.
    idle: VecDeque<usize>,
    pending: usize,
    started: Instant,
    buffer: Vec<u8>,
    keys: Vec<u64>,
    /// Bytes that subscribers have read, without the heads.
    wire_bytes: u64,
    /// The server's name for itself, from the first response that has one.
    server: Option<String>,
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
            shared: Vec::new(),
            publisher_homes: Vec::new(),
            idle: VecDeque::new(),
            pending: 0,
            started: Instant::now(),
            buffer: vec![0; READ_BYTES],
            keys: Vec::with_capacity(net::EVENTS_MAX),
            wire_bytes: 0,
            server: None,
        })
    }

    /// Nanoseconds of the run's clock.
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Bytes of the streams, as received on the wire.
    pub(crate) fn wire_bytes(&self) -> u64 {
        self.wire_bytes
    }

    /// The load on the server so far.
    pub(crate) fn load(&self) -> Load {
        Load {
            subscribers: self.subscribers.len(),
            publishers: self.publishers.len(),
            data_bytes: self.book.data_bytes(),
            event_bytes: self.book.event_bytes(),
            wire_bytes: self.wire_bytes,
            deliveries: self.book.tally().received,
            server: self.server.clone(),
        }
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Subscribes all of them and waits until every stream is open.
    pub(crate) fn subscribe(
        &mut self,
        subscriptions: impl ExactSizeIterator<Item = Subscription>,
    ) -> Result<(), String> {
        let count = subscriptions.len();
        self.progress.begin("subscribing", count as u64, "streams");
        // Over HTTP/2 consecutive subscribers use different connections: a stalled stream then
        // shares its connection with streams that are read.
        let first = self.shared.len();
        let connections = self.wire.streams_per_connection.map_or(0, |streams| count.div_ceil(streams));
        for _ in 0..connections {
            self.start_shared(false)?;
        }
        for (number, subscription) in subscriptions.enumerate() {
            self.await_subscribed(number, CONNECTING_MAX - 1)?;
            let home = first + number.checked_rem(connections).unwrap_or(0);
            self.subscribers.push(Subscriber::new(subscription, home, &mut self.book));
            self.open(self.subscribers.len() - 1)?;
        }
        self.await_subscribed(count, 0)
    }

    /// Waits until at most `pending_max` of the `started` streams are still being opened, and shows
    /// how many are open.
    fn await_subscribed(&mut self, started: usize, pending_max: usize) -> Result<(), String> {
        while self.pending > pending_max {
            self.progress.set(started.saturating_sub(self.pending) as u64);
            self.await_progress()?;
        }
        self.progress.set(started.saturating_sub(self.pending) as u64);
        Ok(())
    }

    /// Waits until every stream that is being opened is open.
    pub(crate) fn await_open(&mut self) -> Result<(), String> {
        while self.pending > 0 {
            self.await_progress()?;
        }
        Ok(())
    }

    /// Drops the stream of a subscriber, if it has one, and reconnects with its last event id.
    pub(crate) fn reconnect(&mut self, number: usize) -> Result<(), String> {
        self.close(number)?;
        self.open(number)
    }

    /// Drops the stream of a subscriber, and its connection unless it is shared.
    fn close(&mut self, number: usize) -> Result<(), String> {
        let subscriber = &mut self.subscribers[number];
        if matches!(subscriber.phase, Phase::Connecting | Phase::Head) {
            self.pending -= 1;
        }
        subscriber.phase = Phase::Closed;
        match std::mem::replace(&mut subscriber.transport, StreamTransport::None) {
            StreamTransport::Shared { connection, stream } => self.cancel(connection, stream),
            StreamTransport::Own(_) | StreamTransport::None => Ok(()),
        }
    }

    /// Stops reading a subscriber's stream.
    pub(crate) fn stall(&mut self, number: usize) -> Result<(), String> {
        match &self.subscribers[number].transport {
            StreamTransport::Own(socket) => {
                self.poll.remove(socket).map_err(|error| format!("epoll: {error}"))
            }
            StreamTransport::Shared { connection, stream } => self.stall_stream(*connection, *stream, true),
            StreamTransport::None => Ok(()),
        }
    }

    /// Reads a stalled subscriber's stream again.
    pub(crate) fn resume(&mut self, number: usize) -> Result<(), String> {
        match &self.subscribers[number].transport {
            StreamTransport::Own(socket) => self
                .poll
                .add(socket, number as u64, Interest::Read)
                .map_err(|error| format!("epoll: {error}")),
            StreamTransport::Shared { connection, stream } => self.stall_stream(*connection, *stream, false),
            StreamTransport::None => Ok(()),
        }
    }

    /// Sets the publication of the next stream of the book.
    pub(crate) fn add_stream(&mut self, topic: &str, private: bool, token: &str, data_bytes: usize) {
        let mut publication = self.wire.publication(topic, private, token, data_bytes);
        let stream = u32::try_from(self.publications.len()).unwrap_or(u32::MAX);
        self.book.set_data_bytes(stream, publication.data_bytes());
        publication.fill(self.book.padding());
        self.publications.push(publication);
    }

    /// Adds a publisher, on its own connection or on one that publishers share.
    pub(crate) fn add_publisher(&mut self) -> Result<(), String> {
        let number = self.publishers.len();
        self.publishers.push(Publisher::new(self.wire.publishers(), self.wire.tls.clone()));
        match self.wire.streams_per_connection {
            None => self.connect_publisher(number)?,
            Some(streams) if number.is_multiple_of(streams) => {
                let home = self.start_shared(true)?;
                self.publisher_homes.push(home);
            }
            Some(_) => {}
        }
        self.idle.push_back(number);
        Ok(())
    }

    /// Takes the publisher that has been idle for the longest time, so that all connections are
    /// used.
    pub(crate) fn take_idle(&mut self) -> Option<usize> {
        self.idle.pop_front()
    }

    /// Takes a publisher, waiting until one is idle.
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

    /// The number of publications that await their answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.publishers.len() - self.idle.len()
    }

    /// Whether any publication awaits its answer.
    pub(crate) fn is_publishing(&self) -> bool {
        self.unanswered() > 0
    }

    /// Publishes on `stream` through a publisher that was taken; it was due at `due_ns`.
    ///
    /// Order within a stream is guaranteed only if each update waits for the answer to the one
    /// before: each stream belongs to one publisher.
    pub(crate) fn publish(&mut self, publisher: usize, stream: u32, due_ns: u64) -> Result<(), String> {
        if self.wire.streams_per_connection.is_none() {
            self.connect_publisher(publisher)?;
        }
        let stamp = self.book.publish(stream, due_ns);
        self.publications[stream as usize].stamp(&stamp);
        self.publishers[publisher].begin(stamp);
        match self.wire.streams_per_connection {
            None => self.publishers[publisher].send(self.publications[stream as usize].request()),
            Some(streams) => self.publish_shared(publisher, stream, streams),
        }
    }

    /// Handles ready sockets, waiting for them until `deadline_ns` of the run's clock at most.
    pub(crate) fn poll(&mut self, deadline_ns: u64) -> Result<(), String> {
        let timeout = Duration::from_nanos(deadline_ns.saturating_sub(self.now_ns()));
        let mut keys = std::mem::take(&mut self.keys);
        keys.clear();
        self.poll.wait(Some(timeout), &mut keys).map_err(|error| format!("epoll: {error}"))?;
        for &key in &keys {
            if key & SHARED != 0 {
                self.shared_ready((key ^ SHARED) as usize)?;
            } else if key & PUBLISHER != 0 {
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

    /// Polls until every publication is answered and every expected delivery has arrived; gives up
    /// after a time without progress. Deliveries still missing then are lost.
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
        if self.wire.streams_per_connection.is_some() {
            return self.open_stream(number);
        }
        let subscriber = &mut self.subscribers[number];
        let Subscription { selector, further, token, receive_bytes, .. } = &subscriber.subscription;
        let address = self.wire.subscribers();
        let socket = Connection::start(address, number, *receive_bytes, self.wire.tls.as_ref())
            .map_err(|error| format!("connection {number} to {address}: {error}"))?;
        self.poll.add(&socket, number as u64, Interest::Write).map_err(|error| format!("epoll: {error}"))?;
        subscriber.request =
            self.wire.subscription(selector, further, token.as_deref(), subscriber.events.id());
        subscriber.restart();
        subscriber.transport = StreamTransport::Own(socket);
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
        if let Some(answer) = self.publishers[number].ready()? {
            self.answered(number, answer);
        }
        Ok(())
    }

    /// Records the answer to the publication of a publisher, which is then idle.
    fn answered(&mut self, publisher: usize, answer: PublishResult) {
        let stamp = self.publishers[publisher].answered();
        if self.server.is_none() {
            self.server = self.publishers[publisher].take_server();
        }
        if answer == PublishResult::Refused {
            self.book.refuse(stamp.stream, stamp.sequence);
        }
        let now = self.now_ns();
        self.book.times.answer.saturating_record(now.saturating_sub(stamp.due_ns));
        self.idle.push_back(publisher);
    }

    fn subscriber_ready(&mut self, number: usize) -> Result<(), String> {
        // An event of a connection replaced within the same batch finds its successor or nothing.
        let subscriber = &mut self.subscribers[number];
        let StreamTransport::Own(socket) = &mut subscriber.transport else { return Ok(()) };
        if subscriber.phase == Phase::Connecting {
            socket.established().map_err(|error| format!("connection {number}: {error}"))?;
            // A request head fits into any fresh socket buffer.
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
                let Some(head) = ResponseHead::parse(&subscriber.head)? else { return Ok(()) };
                subscriber.open(&head)?;
                self.pending -= 1;
                let mut bytes = std::mem::take(&mut subscriber.head);
                bytes.drain(..head.bytes);
                self.server = self.server.take().or(head.server);
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
            return Err(format!("subscription {number} was broken off instead of answered"));
        }
        self.book.disconnect();
        self.close(number)
    }
}
