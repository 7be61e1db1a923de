//! One subscriber: its subscription, the state of its stream, and the decoding of bytes into
//! deliveries.

use std::ops::Range;

use super::error::StreamError;
use super::shared::SharedStream;
use crate::book::{Book, Reader};
use crate::connection::Connection;
use crate::wire::chunked::Chunked;
use crate::wire::coding;
use crate::wire::http::ResponseHead;
use crate::wire::sse::Decoder;

/// A subscription, and the deliveries that the book should expect of it.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    /// The topic selector.
    pub(crate) selector: String,
    /// Further selectors, which only a Mercure hub supports.
    pub(crate) further: Vec<String>,
    /// The token; `None` if anonymous.
    pub(crate) token: Option<String>,
    /// The streams of the book that it may receive.
    pub(crate) streams: Range<u32>,
    /// Its deliveries are checked, but not measured.
    pub(crate) background: bool,
    /// The first updates that it receives.
    pub(crate) start: Start,
    /// `SO_RCVBUF`; `None`: the system's default. A shared connection ignores it.
    pub(crate) receive_bytes: Option<usize>,
}

/// The first updates that a subscriber receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Only updates published from now on.
    Live,
    /// The whole history, which has everything published on its streams: its last event id is
    /// `earliest`.
    Earliest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its own connection is being established.
    Connecting,
    /// Waiting for the head of the response.
    Head,
    /// The stream is open.
    Live { chunked: bool },
    /// There is no stream.
    Closed,
}

/// The transport of a stream.
pub(super) enum StreamTransport {
    /// None, while it is closed.
    None,
    /// A separate connection.
    Own(Connection),
    /// A stream of a shared connection.
    Shared(SharedStream),
}

pub(super) struct Subscriber {
    pub(super) transport: StreamTransport,
    /// The shared connection on which it opens its streams, over HTTP/2.
    pub(super) home: usize,
    pub(super) phase: Phase,
    pub(super) request: Vec<u8>,
    pub(super) head: Vec<u8>,
    pub(super) chunks: Chunked,
    coding: Option<Box<coding::Decoder>>,
    pub(super) events: Decoder,
    reader: Reader,
    pub(super) subscription: Subscription,
}

impl Subscriber {
    /// A subscriber that the book knows, without a stream yet.
    pub(super) fn new(subscription: Subscription, home: usize, book: &mut Book) -> Self {
        let (streams, background) = (subscription.streams.clone(), subscription.background);
        let (reader, events) = match subscription.start {
            Start::Live => (book.join(streams, background), Decoder::default()),
            Start::Earliest => (book.join_from_start(streams, background), Decoder::after(b"earliest")),
        };
        Self {
            transport: StreamTransport::None,
            home,
            phase: Phase::Closed,
            request: Vec::new(),
            head: Vec::new(),
            chunks: Chunked::new(),
            coding: None,
            events,
            reader,
            subscription,
        }
    }

    /// Forgets the last stream except for its last event id.
    pub(super) fn restart(&mut self) {
        self.events.restart();
        self.chunks = Chunked::new();
        self.coding = None;
        self.head.clear();
    }

    /// Reads the head of its response: the stream is open.
    pub(super) fn open(&mut self, head: &ResponseHead) -> Result<(), StreamError> {
        if head.status != 200 {
            return Err(StreamError::Status(head.status));
        }
        if !head.is_event_stream {
            return Err(StreamError::ContentType);
        }
        self.phase = Phase::Live { chunked: head.chunked };
        if let Some(coding) = head.coding {
            self.coding = Some(Box::new(coding::Decoder::new(coding)?));
        }
        Ok(())
    }

    /// Reads these bytes of its own connection. Returns the server's name for itself, if they
    /// complete a head that has it.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        now_ns: u64,
        book: &mut Book,
    ) -> Result<Option<String>, StreamError> {
        if self.phase != Phase::Head {
            self.read(bytes, now_ns, book)?;
            return Ok(None);
        }
        self.head.extend_from_slice(bytes);
        let Some(head) = ResponseHead::parse(&self.head)? else { return Ok(None) };
        self.open(&head)?;
        let received = std::mem::take(&mut self.head);
        self.read(&received[head.bytes..], now_ns, book)?;
        Ok(head.server)
    }

    /// Delivers the events that these bytes of its stream complete.
    pub(super) fn read(&mut self, bytes: &[u8], now_ns: u64, book: &mut Book) -> Result<(), StreamError> {
        let mut input = bytes;
        if self.phase == (Phase::Live { chunked: false }) {
            return self.read_events(input, now_ns, book);
        }
        while let Some(data) = self.chunks.next(&mut input).map_err(|_| StreamError::Chunks)? {
            self.read_events(data, now_ns, book)?;
        }
        Ok(())
    }

    fn read_events(&mut self, data: &[u8], now_ns: u64, book: &mut Book) -> Result<(), StreamError> {
        let decoded;
        let mut data = match &mut self.coding {
            None => data,
            Some(decoder) => {
                decoded = decoder.decode(data).map_err(|_| StreamError::Coding)?;
                &decoded
            }
        };
        while self.events.next(&mut data).map_err(|_| StreamError::TooLong)? {
            book.deliver_event(&self.reader, self.events.data(), self.events.event_bytes(), now_ns);
        }
        Ok(())
    }
}
