//! The client's side of one HTTP/2 connection (RFC 9113): bytes in, events out; requests in, bytes
//! out. It does no I/O.
//!
//! It also checks the server: a frame that the protocol does not allow, data beyond a window, a
//! second head, or anything on a stream that has ended fails the run. Not supported: priorities,
//! pushes, upgrades, and the dynamic table of HPACK.

use std::collections::VecDeque;

use super::frame::{self, Frame, Frames, Header, PAYLOAD_BYTES_MAX, flag, kind};
use super::hpack;
use super::http::ResponseHead;
use super::request;

/// The connection preface (section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `SETTINGS_HEADER_TABLE_SIZE` and `SETTINGS_ENABLE_PUSH`, both 0.
const SETTINGS: &[u8] = &[0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0];
/// `SETTINGS_MAX_CONCURRENT_STREAMS`
const STREAMS_MAX: u16 = 3;
/// `SETTINGS_INITIAL_WINDOW_SIZE`
const INITIAL_WINDOW: u16 = 4;
/// The initial window of a stream and of a connection, in bytes.
const WINDOW_BYTES: i64 = 65_535;
/// The windows of a stream and of the connection, in bytes: as large as those of browsers. A window
/// is refilled when half of it is used.
const STREAM_WINDOW_BYTES: i64 = 1 << 20;
/// See [`STREAM_WINDOW_BYTES`].
const CONNECTION_WINDOW_BYTES: i64 = 16 << 20;
/// A larger window overflows (section 6.9.1).
const WINDOW_BYTES_MAX: i64 = (1 << 31) - 1;
/// The longest response head that is accepted, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Error codes (section 7).
const NO_ERROR: u32 = 0;
/// See [`NO_ERROR`]: the server has not processed the request.
pub(crate) const REFUSED_STREAM: u32 = 7;
/// See [`NO_ERROR`].
const CANCEL: u32 = 8;

/// Something that arrived for the request with this key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// The head of the response.
    Head { key: u64, head: ResponseHead, ends: bool },
    /// A part of its body, and the number of bytes that it took on the wire.
    Data { key: u64, data: &'a [u8], wire_bytes: usize, ends: bool },
    /// The server reset the stream with this error code.
    Reset { key: u64, code: u32 },
}

/// From the head of a request to the end of its response, or until either side resets the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waiting for the head of the response.
    Head,
    /// Receiving its body.
    Body,
    /// The response is complete, or the server reset the stream: any further frame is an error.
    Ended,
    /// This side reset the stream: frames still in flight are ignored.
    Cancelled,
}

#[derive(Debug)]
struct Stream {
    key: u64,
    state: State,
    /// Bytes that the server may still send.
    window: i64,
    window_max: i64,
    /// The window is not refilled.
    is_stalled: bool,
}

/// The part of a request's body that has not been sent.
#[derive(Debug)]
struct Body {
    stream: u32,
    /// Bytes that the server accepts now.
    window: i64,
    bytes: Vec<u8>,
    sent: usize,
}

/// The client's side of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    scheme: &'static str,
    frames: Frames,
    /// Bytes for the server; the socket has taken the first `sent` of them.
    out: Vec<u8>,
    sent: usize,
    /// The streams in the order of their odd numbers.
    streams: Vec<Stream>,
    open: usize,
    /// The maximum number of concurrent streams that the server allows.
    open_max: usize,
    /// The head whose block is being read: its first frame, and the block so far.
    head: Option<(Header, Vec<u8>)>,
    /// Bytes that the server may still send on the connection.
    window: i64,
    /// Bytes that the server accepts on the connection, and on a new stream.
    send_window: i64,
    send_window_of_stream: i64,
    bodies: VecDeque<Body>,
    is_leaving: bool,
    /// Requests that the server will not process, not yet reported as events.
    abandoned: Vec<u64>,
}

impl Session {
    /// A new session, over TLS or not.
    pub(crate) fn new(is_tls: bool) -> Self {
        let mut out = PREFACE.to_vec();
        frame::append(kind::SETTINGS, 0, 0, SETTINGS, &mut out);
        append_window_update(0, CONNECTION_WINDOW_BYTES - WINDOW_BYTES, &mut out);
        Self {
            scheme: if is_tls { "https" } else { "http" },
            frames: Frames::new(),
            out,
            sent: 0,
            streams: Vec::new(),
            open: 0,
            open_max: usize::MAX,
            head: None,
            window: CONNECTION_WINDOW_BYTES,
            send_window: WINDOW_BYTES,
            send_window_of_stream: WINDOW_BYTES,
            bodies: VecDeque::new(),
            is_leaving: false,
            abandoned: Vec::new(),
        }
    }

    /// Sends a request, which is written as for HTTP/1.1, and returns its stream. `is_long`: the
    /// response may be long, so the stream's window is enlarged at once.
    pub(crate) fn request(&mut self, key: u64, request: &[u8], is_long: bool) -> Result<u32, String> {
        let mut block = if self.streams.is_empty() { vec![hpack::NO_TABLE] } else { Vec::new() };
        let body = &request[request::encode_fields(request, self.scheme, &mut block)?..];
        let stream = u32::try_from(2 * self.streams.len() + 1).map_err(|_| "no streams are left")?;
        let end = if body.is_empty() { flag::END_STREAM } else { 0 };
        let mut pieces = block.chunks(PAYLOAD_BYTES_MAX).peekable();
        let mut kind = kind::HEADERS;
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
            let flags = if kind == kind::HEADERS { end | last } else { last };
            frame::append(kind, flags, stream, piece, &mut self.out);
            kind = kind::CONTINUATION;
        }
        let window_max = if is_long { STREAM_WINDOW_BYTES } else { WINDOW_BYTES };
        if is_long {
            append_window_update(stream, window_max - WINDOW_BYTES, &mut self.out);
        }
        self.streams.push(Stream {
            key,
            state: State::Head,
            window: window_max,
            window_max,
            is_stalled: false,
        });
        self.open += 1;
        self.check_open()?;
        if !body.is_empty() {
            let window = self.send_window_of_stream;
            self.bodies.push_back(Body { stream, window, bytes: body.to_vec(), sent: 0 });
            self.send_bodies();
        }
        Ok(stream)
    }

    /// Resets the stream of a request, unless it has ended.
    pub(crate) fn cancel(&mut self, stream: u32) {
        let Some(entry) = entry(&mut self.streams, stream) else { return };
        if matches!(entry.state, State::Head | State::Body) {
            entry.state = State::Cancelled;
            self.open -= 1;
            self.bodies.retain(|body| body.stream != stream);
            frame::append(kind::RST_STREAM, 0, stream, &CANCEL.to_be_bytes(), &mut self.out);
        }
    }

    /// Stops refilling the window of a stream, or refills it again.
    pub(crate) fn stall(&mut self, stream: u32, is_stalled: bool) {
        if let Some(entry) = entry(&mut self.streams, stream) {
            entry.is_stalled = is_stalled;
            entry.refill(stream, &mut self.out);
        }
    }

    /// The bytes that wait for the socket.
    pub(crate) fn to_send(&self) -> &[u8] {
        &self.out[self.sent..]
    }

    /// Removes the bytes that the socket took.
    pub(crate) fn taken(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
    }

    /// Whether the server has sent a GOAWAY and takes no more requests.
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// The keys of the requests whose responses have not ended.
    pub(crate) fn unanswered(&self) -> Vec<u64> {
        let open = self.streams.iter().filter(|stream| matches!(stream.state, State::Head | State::Body));
        open.map(|stream| stream.key).collect()
    }

    /// Parses `input` up to the next event; `None` when all of it is used.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, String> {
        loop {
            if let Some(key) = self.abandoned.pop() {
                return Ok(Some(Event::Reset { key, code: REFUSED_STREAM }));
            }
            let event = match self.frames.next(input)? {
                None => return Ok(None),
                Some(Frame::Data { stream, data, window_bytes, wire_bytes, ends }) => self
                    .data(stream, window_bytes as i64, ends)?
                    .map(|key| Event::Data { key, data, wire_bytes, ends }),
                Some(Frame::Other(header)) => self.other(header)?,
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// Handles a part of a DATA frame. Returns the key of its request.
    fn data(&mut self, stream: u32, bytes: i64, ends: bool) -> Result<Option<u64>, String> {
        if self.head.is_some() {
            return Err("a frame in the midst of a head".to_owned());
        }
        self.window -= bytes;
        let entry = entry(&mut self.streams, stream).ok_or("data of a stream that nobody opened")?;
        entry.window -= bytes;
        if self.window < 0 || entry.window < 0 {
            return Err(format!("stream {stream}: more data than its window or the connection's allows"));
        }
        if self.window <= CONNECTION_WINDOW_BYTES / 2 {
            append_window_update(0, CONNECTION_WINDOW_BYTES - self.window, &mut self.out);
            self.window = CONNECTION_WINDOW_BYTES;
        }
        match entry.state {
            State::Head => return Err(format!("stream {stream}: data before a head")),
            State::Ended => return Err(format!("stream {stream}: data behind its end")),
            State::Cancelled => return Ok(None),
            State::Body => {}
        }
        let key = entry.key;
        if ends {
            entry.state = State::Ended;
            self.open -= 1;
        } else {
            entry.refill(stream, &mut self.out);
        }
        Ok(Some(key))
    }

    /// Handles a frame other than DATA.
    fn other<'a>(&mut self, header: Header) -> Result<Option<Event<'a>>, String> {
        if self
            .head
            .as_ref()
            .is_some_and(|(first, _)| header.kind != kind::CONTINUATION || header.stream != first.stream)
        {
            return Err("a frame in the midst of a head".to_owned());
        }
        let payload = self.frames.payload();
        match header.kind {
            kind::HEADERS => {
                let block = unpadded(header, payload).ok_or("a HEADERS frame that is too short")?.to_vec();
                self.head(header, (header, block))
            }
            kind::CONTINUATION => {
                let (first, mut block) = self.head.take().ok_or("a CONTINUATION frame of nothing")?;
                block.extend_from_slice(payload);
                self.head(header, (first, block))
            }
            kind::RST_STREAM => self.reset(header.stream),
            kind::SETTINGS => self.settings(header),
            kind::PUSH_PROMISE => Err("a push, which was declined".to_owned()),
            kind::PING if payload.len() != 8 || header.stream != 0 => Err("a malformed PING".to_owned()),
            kind::PING => {
                if !header.has(flag::ACK) {
                    frame::append(kind::PING, flag::ACK, 0, payload, &mut self.out);
                }
                Ok(None)
            }
            kind::GOAWAY => self.goaway(),
            kind::WINDOW_UPDATE => self.window_update(header.stream),
            // Extensions (section 5.5) and priorities are ignored.
            _ => Ok(None),
        }
    }

    /// Handles a frame of a head. `head`: its first frame, and the block up to and including this
    /// one.
    fn head<'a>(&mut self, frame: Header, head: (Header, Vec<u8>)) -> Result<Option<Event<'a>>, String> {
        let (first, block) = &head;
        if block.len() > HEAD_BYTES_MAX {
            return Err("an answer head without end".to_owned());
        }
        if !frame.has(flag::END_HEADERS) {
            self.head = Some(head);
            return Ok(None);
        }
        let (number, ends) = (first.stream, first.has(flag::END_STREAM));
        let fields = hpack::decode(block).map_err(|_| format!("stream {number}: a head that is no HPACK"))?;
        let stream = entry(&mut self.streams, number).ok_or("a head of a stream that nobody opened")?;
        let key = stream.key;
        let event = match stream.state {
            State::Cancelled => return Ok(None),
            State::Ended => return Err(format!("stream {number}: a head behind its end")),
            // Trailers are ignored.
            State::Body if ends => Event::Data { key, data: &[], wire_bytes: 0, ends },
            State::Body => return Err(format!("stream {number}: a second head")),
            State::Head => {
                let head = ResponseHead::of_fields(&fields)?;
                match head.status {
                    100..200 if ends => return Err(format!("stream {number}: an answer without a head")),
                    100..200 => return Ok(None),
                    _ => Event::Head { key, head, ends },
                }
            }
        };
        stream.state = if ends { State::Ended } else { State::Body };
        self.open -= usize::from(ends);
        Ok(Some(event))
    }

    fn reset<'a>(&mut self, number: u32) -> Result<Option<Event<'a>>, String> {
        let code = word(self.frames.payload()).ok_or("a malformed RST_STREAM")?;
        let stream = entry(&mut self.streams, number).ok_or("the reset of a stream that nobody opened")?;
        match stream.state {
            // A server that needs no more of a request may reset its stream (section 8.1).
            State::Ended | State::Cancelled => Ok(None),
            State::Head | State::Body => {
                stream.state = State::Ended;
                self.open -= 1;
                self.bodies.retain(|body| body.stream != number);
                Ok(Some(Event::Reset { key: stream.key, code }))
            }
        }
    }

    fn settings<'a>(&mut self, header: Header) -> Result<Option<Event<'a>>, String> {
        let (settings, rest) = self.frames.payload().as_chunks::<6>();
        if header.stream != 0 || !rest.is_empty() || (header.has(flag::ACK) && !settings.is_empty()) {
            return Err("malformed SETTINGS".to_owned());
        }
        if header.has(flag::ACK) {
            return Ok(None);
        }
        for &[a, b, c, d, e, f] in settings {
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                STREAMS_MAX => self.open_max = value as usize,
                INITIAL_WINDOW if i64::from(value) > WINDOW_BYTES_MAX => {
                    return Err("SETTINGS with a window that is too large".to_owned());
                }
                INITIAL_WINDOW => {
                    let more = i64::from(value) - self.send_window_of_stream;
                    self.send_window_of_stream = value.into();
                    self.bodies.iter_mut().for_each(|body| body.window += more);
                }
                _ => {}
            }
        }
        frame::append(kind::SETTINGS, flag::ACK, 0, b"", &mut self.out);
        self.check_open()?;
        self.send_bodies();
        Ok(None)
    }

    fn goaway<'a>(&mut self) -> Result<Option<Event<'a>>, String> {
        let payload = self.frames.payload();
        let (Some(last), Some(code)) = (word(payload), word(payload.get(4..).unwrap_or_default())) else {
            return Err("a malformed GOAWAY".to_owned());
        };
        if code != NO_ERROR {
            let text = String::from_utf8_lossy(&payload[8..]);
            return Err(format!("the server gave a connection up with error {code} {text}"));
        }
        self.is_leaving = true;
        for (number, stream) in (1_u32..).step_by(2).zip(&mut self.streams) {
            if number > last & 0x7fff_ffff && matches!(stream.state, State::Head | State::Body) {
                stream.state = State::Ended;
                self.open -= 1;
                self.bodies.retain(|body| body.stream != number);
                self.abandoned.push(stream.key);
            }
        }
        Ok(None)
    }

    fn window_update<'a>(&mut self, stream: u32) -> Result<Option<Event<'a>>, String> {
        let more = word(self.frames.payload()).map_or(0, |word| i64::from(word & 0x7fff_ffff));
        let mut nobody = 0;
        let window = match self.bodies.iter_mut().find(|body| body.stream == stream) {
            _ if stream == 0 => &mut self.send_window,
            Some(body) => &mut body.window,
            None => &mut nobody,
        };
        *window += more;
        if more == 0 || *window > WINDOW_BYTES_MAX {
            return Err(format!("stream {stream}: a WINDOW_UPDATE of {more} bytes"));
        }
        self.send_bodies();
        Ok(None)
    }

    /// Sends as much of the waiting bodies as the windows allow.
    fn send_bodies(&mut self) {
        let (out, connection) = (&mut self.out, &mut self.send_window);
        self.bodies.retain_mut(|body| {
            while body.sent < body.bytes.len() {
                let rest = &body.bytes[body.sent..];
                let room = usize::try_from(body.window.min(*connection)).unwrap_or(0);
                let bytes = rest.len().min(room).min(PAYLOAD_BYTES_MAX);
                if bytes == 0 {
                    return true;
                }
                let flags = if bytes == rest.len() { flag::END_STREAM } else { 0 };
                frame::append(kind::DATA, flags, body.stream, &rest[..bytes], out);
                body.sent += bytes;
                body.window -= bytes as i64;
                *connection -= bytes as i64;
            }
            false
        });
    }

    fn check_open(&self) -> Result<(), String> {
        if self.open <= self.open_max {
            return Ok(());
        }
        Err(format!(
            "the server allows {} streams per connection, and {} are open: --streams-per-connection {0}",
            self.open_max, self.open
        ))
    }
}

impl Stream {
    /// Refills the window once half of it is used.
    fn refill(&mut self, number: u32, out: &mut Vec<u8>) {
        if self.window <= self.window_max / 2 && !self.is_stalled && self.state == State::Body {
            append_window_update(number, self.window_max - self.window, out);
            self.window = self.window_max;
        }
    }
}

/// The entry of a stream; `None` if the client has not opened it.
fn entry(streams: &mut [Stream], number: u32) -> Option<&mut Stream> {
    if number.is_multiple_of(2) { None } else { streams.get_mut(number as usize / 2) }
}

fn append_window_update(stream: u32, bytes: i64, out: &mut Vec<u8>) {
    let bytes = u32::try_from(bytes).unwrap_or(0);
    frame::append(kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes(), out);
}

/// The block in the payload of a HEADERS frame (section 6.2).
fn unpadded(header: Header, payload: &[u8]) -> Option<&[u8]> {
    let (padding, payload) = match header.has(flag::PADDED) {
        true => payload.split_first().map(|(padding, rest)| (usize::from(*padding), rest))?,
        false => (0, payload),
    };
    let payload = if header.has(flag::PRIORITY) { payload.get(5..)? } else { payload };
    payload.get(..payload.len().checked_sub(padding)?)
}

/// The first four bytes as a number.
fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|word| u32::from_be_bytes(*word))
}

#[cfg(test)]
#[path = "http2_tests.rs"]
mod tests;
