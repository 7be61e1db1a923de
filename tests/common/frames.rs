//! Frames of HTTP/2 (RFC 9113, section 4), written and read by hand: tests can send frames that no
//! library would.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use petasos::http::h2::request::PREFACE;

use super::{DEADLINE, Hub, publisher};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const SETTINGS_HEADER_TABLE_SIZE: u16 = 1;
pub(crate) const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// One frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of a `RST_STREAM` or a `GOAWAY`.
    pub(crate) fn code(&self) -> u32 {
        let last = self.payload.len().min(if self.kind == GOAWAY { 8 } else { 4 });
        u32::from_be_bytes(self.payload[last - 4..last].try_into().expect("four bytes"))
    }
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head, &stream.to_be_bytes()[..], payload].concat()
}

pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let value = |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &values.iter().flat_map(value).collect::<Vec<_>>())
}

pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

pub(crate) fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// A string of HPACK without Huffman coding (RFC 7541, section 5.2).
fn string(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match text.len() {
        length @ 0..127 => bytes.push(length as u8),
        length => {
            bytes.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                bytes.push(rest as u8 | 128);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
    }
    bytes.extend_from_slice(text);
    bytes
}

/// A literal field without indexing (RFC 7541, section 6.2.2).
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    [vec![0], string(name.as_bytes()), string(value.as_bytes())].concat()
}

/// A literal field with incremental indexing: its index is 62 (RFC 7541, section 6.2.1).
pub(crate) fn remembered(name: &str, value: &str) -> Vec<u8> {
    [vec![0x40], string(name.as_bytes()), string(value.as_bytes())].concat()
}

/// The fields that every request has.
pub(crate) fn request(method: &str, target: &str) -> Vec<u8> {
    let fields = [(":method", method), (":scheme", "http"), (":authority", "hub"), (":path", target)];
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// A complete request without a body.
pub(crate) fn get(stream: u32, target: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", target))
}

/// The head of a publication.
pub(crate) fn post(stream: u32) -> Vec<u8> {
    let authorization = literal("authorization", &format!("Bearer {}", publisher()));
    let form = literal("content-type", "application/x-www-form-urlencoded");
    let fields = [request("POST", "/.well-known/mercure"), authorization, form].concat();
    frame(HEADERS, END_HEADERS, stream, &fields)
}

/// A connection.
pub(crate) struct Raw {
    pub(crate) socket: TcpStream,
    received: Vec<u8>,
}

impl Raw {
    /// Begins a connection with these settings.
    pub(crate) fn open(hub: &Hub, values: &[(u16, u32)]) -> Self {
        let socket = TcpStream::connect(hub.address).expect("the hub accepts");
        let mut raw = Self::on(socket);
        assert!(raw.send(PREFACE) && raw.send(&settings(values)), "the hub reads");
        raw
    }

    /// A connection on a socket that has not been read.
    pub(crate) fn on(socket: TcpStream) -> Self {
        socket.set_nodelay(true).expect("a socket");
        socket.set_write_timeout(Some(DEADLINE)).expect("a socket");
        Self { socket, received: Vec::new() }
    }

    /// Another handle of it, for a thread that reads.
    pub(crate) fn reader(&self) -> Self {
        assert!(self.received.is_empty(), "it was read from");
        Self::on(self.socket.try_clone().expect("a descriptor"))
    }

    /// Sends; false if the hub has closed.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = self.socket.write_all(bytes);
        if let Err(error) = &sent {
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "the hub neither reads nor closes");
        }
        sent.is_ok()
    }

    /// The next frame; `None` at the end or after a reset.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the hub neither sends nor closes");
            self.socket.set_read_timeout(Some(left)).expect("a socket");
            let mut buffer = [0; 65_536];
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the hub neither sends nor closes: {error}"),
            }
        }
    }

    /// The next frame of this kind; earlier ones are dropped.
    pub(crate) fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().expect("the hub has closed");
            if frame.kind == kind && (kind != SETTINGS || frame.flags & ACK == 0) {
                return frame;
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let [high, middle, low, kind, flags, stream @ ..] = *self.received.first_chunk::<9>()?;
        let end = 9 + u32::from_be_bytes([0, high, middle, low]) as usize;
        if self.received.len() < end {
            return None;
        }
        let payload = self.received[9..end].to_vec();
        self.received.drain(..end);
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }
}
