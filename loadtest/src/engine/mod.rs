//! The generator: one thread, one epoll set, thousands of subscribers and a few publishers.
//!
//! A scenario drives the engine: it subscribes, publishes, and calls [`Engine::poll`] in between.
//! The engine does not know what is measured. Over HTTP/2 the sockets are those of `shared`: the
//! streams of many subscribers share one, and the publications of many publishers another.

mod error;
mod publishers;
mod shared;
mod subscriber;

use std::time::{Duration, Instant};

use crate::book::Book;
use crate::connection::Connection;
use crate::load::Load;
use crate::net::{self, Interest, Poll};
use crate::progress::Progress;
use crate::publisher::PublishResult;
use crate::wire::http2::{Event, LONG_WINDOW_BYTES, SHORT_WINDOW_BYTES};
use crate::wire::request::Wire;
use publishers::{PUBLISHER, Publishers};
use shared::{Route, SHARED, SharedConnections};
use subscriber::{Phase, StreamTransport, Subscriber};

pub(crate) use error::EngineError;
pub(crate) use subscriber::{Start, Subscription};

/// One second of the run's clock.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// Bytes read at once from a socket.
const READ_BYTES: usize = 64 << 10;
/// Connections that may be in the middle of connecting at the same time.
const CONNECTING_MAX: usize = 128;
/// A wait fails after this time without progress.
const PATIENCE_NS: u64 = error::PATIENCE_S * SECOND_NS;

/// The generator and its book.
pub(crate) struct Engine {
    poll: Poll,
    wire: Wire,
    progress: Progress,
    subscribers: Vec<Subscriber>,
    publishers: Publishers,
    /// HTTP/2 connections.
    shared: SharedConnections,
    /// The window of a subscriber's stream over HTTP/2.
    stream_window_bytes: u32,
    /// Subscriptions that are not answered.
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
    pub(crate) fn new(wire: Wire, streams: u32, progress: Progress) -> Result<Self, EngineError> {
        let run = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |since| since.subsec_nanos() ^ std::process::id());
        let route = Route {
            address: wire.publishers(),
            tls: wire.tls.clone(),
            stream_window_bytes: SHORT_WINDOW_BYTES,
        };
        Ok(Self {
            poll: Poll::new().map_err(EngineError::Poll)?,
            book: Book::new(run, streams, wire.wraps_data),
            publishers: Publishers::new(route, wire.streams_per_connection),
            wire,
            progress,
            subscribers: Vec::new(),
            shared: SharedConnections::default(),
            stream_window_bytes: LONG_WINDOW_BYTES,
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

    /// Over HTTP/2, gives the streams of connections that are opened from now on a small window: a
    /// stream that is not read then soon takes nothing more.
    pub(crate) fn use_short_windows(&mut self) {
        self.stream_window_bytes = SHORT_WINDOW_BYTES;
    }

    /// Subscribes all of them and waits until every stream is open.
    pub(crate) fn subscribe(
        &mut self,
        subscriptions: impl ExactSizeIterator<Item = Subscription>,
    ) -> Result<(), EngineError> {
        let count = subscriptions.len();
        self.progress.begin("subscribing", count as u64, "streams");
        // Over HTTP/2 consecutive subscribers use different connections: a stalled stream then
        // shares its connection with streams that are read.
        let connections = self.wire.streams_per_connection.map_or(0, |streams| count.div_ceil(streams));
        let homes: Vec<usize> = (0..connections).map(|_| self.start_shared()).collect::<Result<_, _>>()?;
        for (number, subscription) in subscriptions.enumerate() {
            self.await_subscribed(number, CONNECTING_MAX - 1)?;
            let home = number.checked_rem(connections).map_or(0, |at| homes[at]);
            self.subscribers.push(Subscriber::new(subscription, home, &mut self.book));
            self.open(self.subscribers.len() - 1)?;
        }
        self.await_subscribed(count, 0)
    }

    /// Waits until at most `pending_max` of the `started` streams are still being opened, and shows
    /// how many are open.
    fn await_subscribed(&mut self, started: usize, pending_max: usize) -> Result<(), EngineError> {
        while self.pending > pending_max {
            self.progress.set(started.saturating_sub(self.pending) as u64);
            self.await_progress()?;
        }
        self.progress.set(started.saturating_sub(self.pending) as u64);
        Ok(())
    }

    /// Waits until every stream that is being opened is open.
    pub(crate) fn await_open(&mut self) -> Result<(), EngineError> {
        while self.pending > 0 {
            self.await_progress()?;
        }
        Ok(())
    }

    /// Drops the stream of a subscriber, if it has one, and reconnects with its last event id.
    pub(crate) fn reconnect(&mut self, number: usize) -> Result<(), EngineError> {
        self.close(number)?;
        self.open(number)
    }

    /// Drops the stream of a subscriber, and its connection unless it is shared.
    fn close(&mut self, number: usize) -> Result<(), EngineError> {
        let subscriber = &mut self.subscribers[number];
        if matches!(subscriber.phase, Phase::Connecting | Phase::Head) {
            self.pending -= 1;
        }
        subscriber.phase = Phase::Closed;
        match std::mem::replace(&mut subscriber.transport, StreamTransport::None) {
            StreamTransport::Shared(stream) => self.shared.cancel(&self.poll, stream),
            StreamTransport::Own(_) | StreamTransport::None => Ok(()),
        }
    }

    /// Stops reading a subscriber's stream.
    pub(crate) fn stall(&mut self, number: usize) -> Result<(), EngineError> {
        match &self.subscribers[number].transport {
            StreamTransport::Own(socket) => self.poll.remove(socket).map_err(EngineError::Poll),
            StreamTransport::Shared(stream) => {
                self.shared.stall(*stream);
                Ok(())
            }
            StreamTransport::None => Ok(()),
        }
    }

    /// Reads a stalled subscriber's stream again.
    pub(crate) fn resume(&mut self, number: usize) -> Result<(), EngineError> {
        match &self.subscribers[number].transport {
            StreamTransport::Own(socket) => {
                self.poll.add(socket, number as u64, Interest::Read).map_err(EngineError::Poll)
            }
            StreamTransport::Shared(stream) => {
                let connection = self.shared.resume(*stream);
                self.read_shared(connection, self.now_ns())
            }
            StreamTransport::None => Ok(()),
        }
    }

    /// Sets the publication of the next stream of the book.
    pub(crate) fn add_stream(&mut self, topic: &str, private: bool, token: &str, data_bytes: usize) {
        let mut publication = self.wire.publication(topic, private, token, data_bytes);
        self.book.set_data_bytes(self.publishers.next_stream(), publication.data_bytes());
        publication.fill(self.book.padding());
        self.publishers.add_publication(publication);
    }

    /// Adds a publisher, on its own connection or on one that publishers share.
    pub(crate) fn add_publisher(&mut self) -> Result<(), EngineError> {
        self.publishers.add(&self.poll, &mut self.shared)
    }

    /// Takes the publisher that has been idle for the longest time, so that all connections are
    /// used.
    pub(crate) fn take_idle(&mut self) -> Option<usize> {
        self.publishers.take_idle()
    }

    /// Takes a publisher, waiting until one is idle.
    pub(crate) fn await_idle(&mut self) -> Result<usize, EngineError> {
        let deadline = self.now_ns() + PATIENCE_NS;
        loop {
            if let Some(publisher) = self.publishers.take_idle() {
                return Ok(publisher);
            }
            self.poll_before(deadline)?;
        }
    }

    /// Polls until every publication is answered.
    pub(crate) fn await_answers(&mut self) -> Result<(), EngineError> {
        let deadline = self.now_ns() + PATIENCE_NS;
        while self.is_publishing() {
            self.poll_before(deadline)?;
        }
        Ok(())
    }

    fn poll_before(&mut self, deadline_ns: u64) -> Result<(), EngineError> {
        if self.now_ns() > deadline_ns {
            return Err(EngineError::NoAnswer);
        }
        self.poll(deadline_ns)
    }

    /// The number of publications that await their answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.publishers.unanswered()
    }

    /// Whether any publication awaits its answer.
    pub(crate) fn is_publishing(&self) -> bool {
        self.unanswered() > 0
    }

    /// Publishes on `stream` through a publisher that was taken; it was due at `due_ns`.
    ///
    /// Order within a stream is guaranteed only if each update waits for the answer to the one
    /// before: each stream belongs to one publisher.
    pub(crate) fn publish(&mut self, publisher: usize, stream: u32, due_ns: u64) -> Result<(), EngineError> {
        self.publishers.connect(&self.poll, publisher)?;
        let stamp = self.book.publish(stream, due_ns);
        self.publishers.publish(&self.poll, &mut self.shared, publisher, stamp)
    }

    /// Handles ready sockets, waiting for them until `deadline_ns` of the run's clock at most.
    pub(crate) fn poll(&mut self, deadline_ns: u64) -> Result<(), EngineError> {
        let timeout = Duration::from_nanos(deadline_ns.saturating_sub(self.now_ns()));
        let mut keys = std::mem::take(&mut self.keys);
        keys.clear();
        self.poll.wait(Some(timeout), &mut keys).map_err(EngineError::Poll)?;
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
    pub(crate) fn poll_until(&mut self, deadline_ns: u64) -> Result<(), EngineError> {
        while self.now_ns() < deadline_ns {
            self.poll(deadline_ns)?;
        }
        Ok(())
    }

    /// Polls until every publication is answered and every expected delivery has arrived; gives up
    /// after a time without progress. Deliveries still missing then are lost.
    pub(crate) fn settle(&mut self) -> Result<(), EngineError> {
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

    fn await_progress(&mut self) -> Result<(), EngineError> {
        let before = self.pending;
        let deadline = self.now_ns() + PATIENCE_NS;
        while self.pending == before {
            if self.now_ns() > deadline {
                return Err(EngineError::Unanswered(before));
            }
            self.poll(deadline)?;
        }
        Ok(())
    }

    fn open(&mut self, number: usize) -> Result<(), EngineError> {
        let subscriber = &mut self.subscribers[number];
        let Subscription { selector, further, token, receive_bytes, .. } = &subscriber.subscription;
        let request = self.wire.subscription(selector, further, token.as_deref(), subscriber.events.id());
        if self.wire.streams_per_connection.is_some() {
            let stream = self.shared.request(&self.poll, subscriber.home, number as u64, &request)?;
            subscriber.transport = StreamTransport::Shared(stream);
            subscriber.phase = Phase::Head;
        } else {
            let address = self.wire.subscribers();
            let socket = Connection::start(address, number, *receive_bytes, self.wire.tls.as_ref())
                .map_err(|error| EngineError::Connect(number, address, error))?;
            self.poll.add(&socket, number as u64, Interest::Write).map_err(EngineError::Poll)?;
            subscriber.request = request;
            subscriber.transport = StreamTransport::Own(socket);
            subscriber.phase = Phase::Connecting;
        }
        subscriber.restart();
        self.pending += 1;
        Ok(())
    }

    /// Starts a connection that subscribers share, and returns its number.
    fn start_shared(&mut self) -> Result<usize, EngineError> {
        let (address, tls) = (self.wire.subscribers(), self.wire.tls.clone());
        let route = Route { address, tls, stream_window_bytes: self.stream_window_bytes };
        self.shared.start(&self.poll, route)
    }

    fn publisher_ready(&mut self, number: usize) -> Result<(), EngineError> {
        if let Some(answer) = self.publishers.ready(number)? {
            self.answered(number, answer);
        }
        Ok(())
    }

    /// Records the answer to the publication of a publisher, which is then idle.
    fn answered(&mut self, publisher: usize, answer: PublishResult) {
        let (stamp, server) = self.publishers.answered(publisher);
        self.server = self.server.take().or(server);
        if answer == PublishResult::Refused {
            self.book.refuse(stamp.stream, stamp.sequence);
        }
        let now = self.now_ns();
        self.book.times.answer.saturating_record(now.saturating_sub(stamp.due_ns));
    }

    fn subscriber_ready(&mut self, number: usize) -> Result<(), EngineError> {
        // An event of a connection replaced within the same batch finds its successor or nothing.
        let subscriber = &mut self.subscribers[number];
        let StreamTransport::Own(socket) = &mut subscriber.transport else { return Ok(()) };
        if subscriber.phase == Phase::Connecting {
            socket.established().map_err(|error| EngineError::Established(number, error))?;
            // A request head fits into any fresh socket buffer.
            if socket.send(&subscriber.request).ok() != Some(subscriber.request.len()) {
                return Err(EngineError::Untaken(number));
            }
            subscriber.request = Vec::new();
            subscriber.phase = Phase::Head;
            return self.poll.change(&*socket, number as u64, Interest::Read).map_err(EngineError::Poll);
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
        let was_open = subscriber.phase != Phase::Head;
        if was_open {
            self.wire_bytes += bytes as u64;
        }
        let server = subscriber
            .receive(&self.buffer[..bytes], now_ns, &mut self.book)
            .map_err(|error| EngineError::Subscriber(number as u64, error))?;
        self.server = self.server.take().or(server);
        let is_done = subscriber.chunks.is_done();
        self.pending -= usize::from(!was_open && subscriber.phase != Phase::Head);
        if is_done { self.ended(number) } else { Ok(()) }
    }

    fn shared_ready(&mut self, number: usize) -> Result<(), EngineError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let received = self.shared.receive(number, &mut buffer);
        let now_ns = self.now_ns();
        let parsed = match received {
            Ok(Some(bytes)) => self.shared.parse(number, &mut buffer, bytes).map_err(EngineError::from),
            other => other.map(|_| ()),
        };
        self.buffer = buffer;
        let read = parsed.and_then(|()| self.read_shared(number, now_ns));
        read.map_err(|error| EngineError::Shared(number, Box::new(error)))
    }

    /// Handles the events of a shared connection, whose bytes arrived at `now_ns`.
    fn read_shared(&mut self, number: usize, now_ns: u64) -> Result<(), EngineError> {
        while let Some(event) = self.shared.next(number)? {
            let key = event.key();
            if key & PUBLISHER != 0 {
                let publisher = (key ^ PUBLISHER) as usize;
                if let Some(answer) = self.publishers.receive(publisher, event)? {
                    self.answered(publisher, answer);
                }
                continue;
            }
            let subscriber = &mut self.subscribers[key as usize];
            match event {
                Event::Data { data, wire_bytes, .. } => {
                    self.wire_bytes += wire_bytes as u64;
                    subscriber
                        .read(&data, now_ns, &mut self.book)
                        .map_err(|error| EngineError::Subscriber(key, error))?;
                }
                Event::Head { head, .. } => {
                    subscriber.open(&head)?;
                    self.pending -= 1;
                    self.server = self.server.take().or(head.server);
                }
                Event::End { .. } | Event::Reset { .. } => self.ended(key as usize)?,
            }
        }
        self.shared.flush(&self.poll, number)?;
        for key in self.shared.close_ended(number) {
            if key & PUBLISHER != 0 {
                return Err(EngineError::Closed);
            }
            self.ended(key as usize)?;
        }
        Ok(())
    }

    /// The hub ended a stream, or it broke.
    fn ended(&mut self, number: usize) -> Result<(), EngineError> {
        let subscriber = &self.subscribers[number];
        if subscriber.phase == Phase::Head {
            return Err(EngineError::BrokenOff(number));
        }
        self.book.disconnect();
        self.close(number)
    }
}
