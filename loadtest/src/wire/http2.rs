//! The client's side of one HTTP/2 connection (RFC 9113), with the `h2` crate: bytes in, events
//! out; requests in, bytes out. It does no I/O.
//!
//! There is no runtime: the session polls `h2` after each input, and once more after calls that
//! give it something to send. A frame that the protocol does not allow, also one that breaks only
//! a stream, fails the run. Not supported: pushes, upgrades, and the text of trailers.

mod pipe;
mod wake_list;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{Request, Uri, Version};
use slab::Slab;

use super::http::{HeadError, ResponseHead};
use pipe::Pipe;
use wake_list::WakeList;

/// The window of a stream whose response may be long, in bytes: as large as those of browsers.
pub(crate) const LONG_WINDOW_BYTES: u32 = 1 << 20;
/// The window of a stream unless SETTINGS change it, in bytes.
pub(crate) const SHORT_WINDOW_BYTES: u32 = 65_535;
/// The window of the connection, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// The longest response head that is accepted, in bytes.
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// The maximum number of header fields of a request.
const HEADERS_MAX: usize = 32;
/// The header of a frame, in bytes (section 4.1).
const FRAME_HEADER_BYTES: usize = 9;
/// Frames of a stream that this side has reset are ignored for this time. Later ones are errors.
const RESET_MEMORY: Duration = Duration::from_secs(30);
/// Streams that are remembered for that time, at most.
const RESET_STREAMS_MAX: usize = 1 << 20;

/// Something that arrived for the request with this key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The head of the response; boxed, because data is much more frequent.
    Head { key: u64, head: Box<ResponseHead> },
    /// A DATA frame of its body, and the bytes that it took on the wire, without padding.
    Data { key: u64, data: Bytes, wire_bytes: usize },
    /// The end of the response.
    End { key: u64 },
    /// The server has reset the stream, or will not process it after a GOAWAY (`REFUSED_STREAM`).
    Reset { key: u64, reason: Reason },
}

impl Event {
    /// The key of its request.
    pub(crate) fn key(&self) -> u64 {
        match self {
            Self::Head { key, .. } | Self::Data { key, .. } | Self::End { key } | Self::Reset { key, .. } => {
                *key
            }
        }
    }
}

/// A request whose response is not complete.
struct Exchange {
    key: u64,
    response: Response,
    /// Its data stays in `h2`, so its window is not refilled.
    is_stalled: bool,
    /// Bytes that were read, but not returned to the windows.
    unreleased: usize,
}

enum Response {
    /// Waiting for its head.
    Head(ResponseFuture),
    /// Receiving its body.
    Body(RecvStream),
}

/// The client's side of one connection.
pub(crate) struct Session {
    scheme: &'static str,
    pipe: Pipe,
    connection: Connection<Pipe, Bytes>,
    requests: SendRequest<Bytes>,
    exchanges: Slab<Exchange>,
    wakes: Arc<WakeList>,
    connection_waker: Waker,
    /// The waker of each slot of `exchanges`.
    wakers: Vec<Waker>,
    /// Exchanges that may have something to read; those before `next_ready` have been read.
    ready: Vec<usize>,
    next_ready: usize,
    /// Bytes for the server; the socket has taken the first `sent` of them.
    out: Vec<u8>,
    sent: usize,
    /// No input has arrived.
    is_new: bool,
    /// The connection has ended.
    is_over: bool,
}

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("HTTP/2: no handshake")]
    Handshake,
    #[error("HTTP/2")]
    Protocol(#[from] h2::Error),
    #[error("the server does not speak HTTP/2")]
    NotHttp2,
    #[error("HTTP/2: {0} bytes were not read")]
    Unread(usize),
    #[error(
        "the server allows {open_max} streams per connection, and {open} are open: --streams-per-connection {open_max}"
    )]
    Streams { open: usize, open_max: usize },
    #[error("a request that HTTP/2 cannot carry: it is incomplete")]
    Incomplete,
    #[error("a request that HTTP/2 cannot carry")]
    Unreadable(#[source] httparse::Error),
    #[error("a request that HTTP/2 cannot carry")]
    Request(#[source] http::Error),
    #[error(transparent)]
    Head(#[from] HeadError),
}

impl Session {
    /// A new session, over TLS or not, with this window for each stream.
    pub(crate) fn new(is_tls: bool, stream_window_bytes: u32) -> Result<Self, SessionError> {
        let pipe = Pipe::default();
        let handshake = Builder::new()
            .enable_push(false)
            .initial_window_size(stream_window_bytes)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEAD_BYTES_MAX)
            // Until the server has named a limit, there is none.
            .initial_max_send_streams(usize::MAX)
            .max_concurrent_reset_streams(RESET_STREAMS_MAX)
            .reset_stream_duration(RESET_MEMORY)
            // `h2` would only reset a stream on which the server broke the protocol.
            .max_local_error_reset_streams(Some(0))
            // Small frames are the rule in an event stream; the windows bound them.
            .data_frame_budget(usize::MAX)
            .handshake(pipe.clone());
        // It only writes the connection preface, so it is ready at once.
        let handshake = pin!(handshake).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(handshake) = handshake else { return Err(SessionError::Handshake) };
        let (requests, connection) = handshake?;
        let wakes = Arc::new(WakeList::default());
        let mut session = Self {
            scheme: if is_tls { "https" } else { "http" },
            pipe,
            connection,
            requests,
            exchanges: Slab::new(),
            connection_waker: WakeList::connection_waker(&wakes),
            wakes,
            wakers: Vec::new(),
            ready: Vec::new(),
            next_ready: 0,
            out: Vec::new(),
            sent: 0,
            is_new: true,
            is_over: false,
        };
        session.poll()?;
        Ok(session)
    }

    /// Sends a request, which is written as for HTTP/1.1, and returns its stream.
    pub(crate) fn request(&mut self, key: u64, request: &[u8]) -> Result<usize, SessionError> {
        self.check_open(self.exchanges.len() + 1)?;
        // A stream that was reset counts until its reset is written.
        self.write_pending()?;
        let (head, body) = parse_request(request, self.scheme)?;
        let (response, mut sender) = self.requests.send_request(head, body.is_empty())?;
        if !body.is_empty() {
            // `h2` keeps what the windows do not allow yet.
            sender.send_data(Bytes::copy_from_slice(body), true)?;
        }
        let response = Response::Head(response);
        let stream = self.exchanges.insert(Exchange { key, response, is_stalled: false, unreleased: 0 });
        while self.wakers.len() <= stream {
            self.wakers.push(WakeList::stream_waker(&self.wakes, self.wakers.len()));
        }
        // The first poll leaves the waker.
        self.ready.push(stream);
        Ok(stream)
    }

    /// Resets the stream of a request, unless it has ended.
    pub(crate) fn cancel(&mut self, stream: usize) {
        self.exchanges.try_remove(stream);
    }

    /// Stops reading a stream, or reads it again.
    pub(crate) fn stall(&mut self, stream: usize, is_stalled: bool) {
        if let Some(exchange) = self.exchanges.get_mut(stream) {
            exchange.is_stalled = is_stalled;
            self.ready.push(stream);
        }
    }

    /// Reads the first `bytes` bytes of `input`; [`Self::next`] then returns what they hold.
    pub(crate) fn receive(&mut self, input: &mut Vec<u8>, bytes: usize) -> Result<(), SessionError> {
        if std::mem::take(&mut self.is_new) && input[..bytes].starts_with(b"HTTP/1") {
            return Err(SessionError::NotHttp2);
        }
        self.pipe.lend(input, bytes);
        let polled = self.poll();
        let unread = self.pipe.take_back(input);
        polled?;
        if unread > 0 && !self.is_over {
            return Err(SessionError::Unread(unread));
        }
        self.check_open(self.exchanges.len())
    }

    /// The server has closed the connection.
    pub(crate) fn end(&mut self) -> Result<(), SessionError> {
        self.pipe.end();
        self.poll()?;
        self.is_over = true;
        Ok(())
    }

    /// Writes what the last calls have left to write.
    pub(crate) fn write_pending(&mut self) -> Result<(), SessionError> {
        if self.wakes.take_connection() { self.poll() } else { Ok(()) }
    }

    /// The bytes that wait for the socket.
    pub(crate) fn unsent(&mut self) -> &[u8] {
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
            self.pipe.take_output(&mut self.out);
        }
        &self.out[self.sent..]
    }

    /// Removes the bytes that the socket took.
    pub(crate) fn taken(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    /// Whether the connection takes no more requests: it has ended, or the server has sent a
    /// GOAWAY.
    pub(crate) fn is_leaving(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.is_over || matches!(self.requests.poll_ready(&mut context), Poll::Ready(Err(_)))
    }

    /// Whether the connection has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The keys of the requests whose responses have not ended.
    pub(crate) fn unanswered(&self) -> Vec<u64> {
        self.exchanges.iter().map(|(_, exchange)| exchange.key).collect()
    }

    /// The next event of the input; `None` when all of it is used.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, SessionError> {
        loop {
            if self.next_ready == self.ready.len() {
                self.ready.clear();
                self.next_ready = 0;
                self.wakes.take_streams(&mut self.ready);
            }
            let Some(&stream) = self.ready.get(self.next_ready) else { return Ok(None) };
            let event = match self.exchanges.get_mut(stream) {
                Some(exchange) => exchange.poll(&mut Context::from_waker(&self.wakers[stream]))?,
                None => None,
            };
            match event {
                None => self.next_ready += 1,
                Some(event @ (Event::End { .. } | Event::Reset { .. })) => {
                    self.exchanges.remove(stream);
                    return Ok(Some(event));
                }
                event => return Ok(event),
            }
        }
    }

    fn poll(&mut self) -> Result<(), SessionError> {
        if self.is_over {
            return Ok(());
        }
        match Pin::new(&mut self.connection).poll(&mut Context::from_waker(&self.connection_waker)) {
            Poll::Pending => {}
            Poll::Ready(Err(error)) if !error.is_io() => return Err(error.into()),
            Poll::Ready(_) => self.is_over = true,
        }
        Ok(())
    }

    fn check_open(&self, open: usize) -> Result<(), SessionError> {
        let open_max = self.connection.max_concurrent_send_streams();
        if open <= open_max {
            return Ok(());
        }
        Err(SessionError::Streams { open, open_max })
    }
}

impl Exchange {
    /// The next event; `None` if nothing has arrived.
    fn poll(&mut self, context: &mut Context<'_>) -> Result<Option<Event>, SessionError> {
        let key = self.key;
        if self.is_stalled {
            return Ok(None);
        }
        match &mut self.response {
            Response::Head(response) => match Pin::new(response).poll(context) {
                Poll::Ready(Ok(response)) => {
                    let (parts, body) = response.into_parts();
                    self.response = Response::Body(body);
                    let head = ResponseHead::of_fields(parts.status.as_u16(), &parts.headers)?;
                    Ok(Some(Event::Head { key, head: Box::new(head) }))
                }
                Poll::Ready(Err(error)) => broken(key, error),
                Poll::Pending => Ok(None),
            },
            Response::Body(body) => match body.poll_data(context) {
                Poll::Ready(Some(Ok(data))) => {
                    self.unreleased += data.len();
                    let wire_bytes = FRAME_HEADER_BYTES + data.len();
                    Ok(Some(Event::Data { key, data, wire_bytes }))
                }
                Poll::Ready(Some(Err(error))) => broken(key, error),
                Poll::Ready(None) => Ok(Some(Event::End { key })),
                Poll::Pending => {
                    let released = std::mem::take(&mut self.unreleased);
                    body.flow_control().release_capacity(released)?;
                    Ok(None)
                }
            },
        }
    }
}

/// The event of a stream that broke; `None` if its connection did, which is reported otherwise.
fn broken(key: u64, error: h2::Error) -> Result<Option<Event>, SessionError> {
    match error.reason() {
        _ if error.is_io() => Ok(None),
        Some(reason) if error.is_remote() && error.is_reset() => Ok(Some(Event::Reset { key, reason })),
        Some(Reason::NO_ERROR) if error.is_remote() => {
            Ok(Some(Event::Reset { key, reason: Reason::REFUSED_STREAM }))
        }
        _ => Err(error.into()),
    }
}

/// The head of a request that is written as for HTTP/1.1, and its body.
fn parse_request<'a>(request: &'a [u8], scheme: &str) -> Result<(Request<()>, &'a [u8]), SessionError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let bytes = match parsed.parse(request) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) => return Err(SessionError::Incomplete),
        Err(error) => return Err(SessionError::Unreadable(error)),
    };
    let (mut uri, mut head) = (Uri::builder().scheme(scheme), Request::builder().version(Version::HTTP_2));
    for header in parsed.headers.iter() {
        if header.name.eq_ignore_ascii_case("host") {
            uri = uri.authority(header.value);
        } else {
            head = head.header(header.name, header.value);
        }
    }
    let uri = uri.path_and_query(parsed.path.unwrap_or_default()).build();
    let uri = uri.map_err(SessionError::Request)?;
    let head = head.method(parsed.method.unwrap_or_default()).uri(uri).body(());
    let head = head.map_err(SessionError::Request)?;
    Ok((head, &request[bytes..]))
}

#[cfg(test)]
mod tests;
