//! Goal: the session handles everything that a server may do; anything forbidden fails the run.
//!
//! Method: scripted frames, fed in pieces of every length, as no sound server sends them.

mod server;

use super::*;
use crate::error_text::chain;

const GET: &[u8] = b"GET /hub?topic=a HTTP/1.1\r\nHost: example.com\r\nAccept: text/event-stream\r\n\r\n";
/// `:status: 200` and `content-type: text/event-stream`.
const HEAD: &[u8] = b"\x88\x0f\x10\x11text/event-stream";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PAYLOAD_BYTES_MAX: usize = 16_384;

/// Types of frames (section 6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PUSH_PROMISE: u8 = 5;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const CONTINUATION: u8 = 9;
}

/// Flags of frames (section 6).
mod flag {
    pub(super) const ACK: u8 = 0x01;
    pub(super) const END_STREAM: u8 = 0x01;
    pub(super) const END_HEADERS: u8 = 0x04;
    pub(super) const PADDED: u8 = 0x08;
    pub(super) const PRIORITY: u8 = 0x20;
}

/// A frame: type, flags, stream, payload.
type Script<'a> = (u8, u8, u32, &'a [u8]);

fn frames(of: &[Script<'_>]) -> Vec<u8> {
    let mut wire = Vec::new();
    for (kind, flags, stream, payload) in of {
        wire.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        wire.extend_from_slice(&[*kind, *flags]);
        wire.extend_from_slice(&stream.to_be_bytes());
        wire.extend_from_slice(payload);
    }
    wire
}

/// A session, and what it produced.
struct Client {
    session: Session,
    events: Vec<String>,
    data_bytes: usize,
    wire_bytes: usize,
}

impl Client {
    fn new(stream_window_bytes: u32) -> Self {
        let session = Session::new(false, stream_window_bytes).expect("a session");
        Self { session, events: Vec::new(), data_bytes: 0, wire_bytes: 0 }
    }

    /// A connection with this many open requests, after the server's SETTINGS and its
    /// acknowledgement; sent bytes are dropped.
    fn asking(requests: u64) -> Self {
        let mut client = Self::new(LONG_WINDOW_BYTES);
        for key in 0..requests {
            client.session.request(key, GET).expect("a stream");
        }
        client.feed(&[(kind::SETTINGS, 0, 0, b""), (kind::SETTINGS, flag::ACK, 0, b"")]).expect("valid");
        client.sent();
        client
    }

    fn feed(&mut self, of: &[Script<'_>]) -> Result<(), SessionError> {
        self.receive(&frames(of), usize::MAX)
    }

    fn receive(&mut self, wire: &[u8], step: usize) -> Result<(), SessionError> {
        for piece in wire.chunks(step) {
            let mut input = piece.to_vec();
            self.session.receive(&mut input, piece.len())?;
            assert_eq!(input, piece, "the buffer comes back");
            self.take_events()?;
        }
        Ok(())
    }

    fn take_events(&mut self) -> Result<(), SessionError> {
        while let Some(event) = self.session.next()? {
            self.events.push(match event {
                Event::Head { key, head } => format!("{key} {}", head.status),
                Event::Data { key, data, wire_bytes } => {
                    self.data_bytes += data.len();
                    self.wire_bytes += wire_bytes;
                    format!("{key} {}", String::from_utf8_lossy(&data))
                }
                Event::End { key } => format!("{key} end"),
                Event::Reset { key, reason } => format!("{key} reset {reason:?}"),
            });
        }
        Ok(())
    }

    /// The bytes sent since the last call.
    fn sent_bytes(&mut self) -> Vec<u8> {
        self.session.write_pending().expect("valid");
        let mut wire = Vec::new();
        while !self.session.unsent().is_empty() {
            wire.extend_from_slice(self.session.unsent());
            let bytes = self.session.unsent().len();
            self.session.taken(bytes);
        }
        wire
    }

    /// The frames sent since the last call, as (type, flags, stream, payload).
    fn sent(&mut self) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let wire = self.sent_bytes();
        let mut rest = wire.strip_prefix(PREFACE).unwrap_or(&wire);
        let mut sent = Vec::new();
        while let Some((head, after)) = rest.split_first_chunk::<9>() {
            let bytes = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            sent.push((head[3], head[4], stream, after[..bytes].to_vec()));
            rest = &after[bytes..];
        }
        sent
    }

    /// The sum of the window increments sent for this stream since the last call.
    fn enlarged(&mut self, of: u32) -> u32 {
        let updates = self.sent().into_iter().filter(|frame| frame.0 == kind::WINDOW_UPDATE && frame.2 == of);
        updates.map(|frame| u32::from_be_bytes(*frame.3.first_chunk().expect("a number"))).sum()
    }
}

#[track_caller]
fn refused(of: &[Script<'_>]) {
    assert!(Client::asking(2).feed(of).is_err(), "{of:?}");
}

#[test]
fn a_connection_opens_with_preface_settings_and_window_and_its_first_request() {
    let mut client = Client::new(LONG_WINDOW_BYTES);
    assert!(client.session.unsent().starts_with(PREFACE));
    client.session.request(7, GET).expect("a stream");
    let sent = client.sent();
    let kinds: Vec<_> = sent.iter().map(|(kind, flags, stream, _)| (*kind, *flags, *stream)).collect();
    let end = flag::END_HEADERS | flag::END_STREAM;
    for expected in [(kind::SETTINGS, 0, 0), (kind::WINDOW_UPDATE, 0, 0), (kind::HEADERS, end, 1)] {
        assert!(kinds.contains(&expected), "no {expected:?} in {kinds:?}");
    }
}

#[test]
fn streams_are_told_apart_however_the_bytes_are_cut() {
    let wire = frames(&[
        (kind::SETTINGS, 0, 0, b"\0\x03\0\0\0\x64"),
        (kind::HEADERS, flag::END_HEADERS, 1, HEAD),
        (kind::HEADERS, flag::END_HEADERS, 3, b"\x08\x03103"),
        (kind::DATA, 0, 1, b"a"),
        (kind::HEADERS, flag::PADDED | flag::PRIORITY, 3, b"\x02\0\0\0\0\x10\x88\x0f\0\0"),
        (kind::CONTINUATION, 0, 3, b"\x10\x11text/event"),
        (kind::CONTINUATION, flag::END_HEADERS, 3, b"-stream"),
        (0x42, 0xff, 3, b"an extension"),
        (kind::DATA, flag::PADDED, 3, b"\x01b\0"),
        (kind::DATA, flag::END_STREAM, 1, b"c"),
        (kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 3, b"\0\x01a\x01b"),
        (kind::RST_STREAM, 0, 1, b"\0\0\0\0"),
    ]);
    let of_stream = |client: &Client, key: &str| -> Vec<String> {
        client.events.iter().filter(|event| event.starts_with(key)).cloned().collect()
    };
    for step in 1..=wire.len() {
        let mut client = Client::asking(2);
        client.receive(&wire, step).expect("valid");
        assert_eq!(of_stream(&client, "0"), ["0 200", "0 a", "0 c", "0 end"], "cut every {step}");
        assert_eq!(of_stream(&client, "1"), ["1 200", "1 b", "1 end"], "cut every {step}");
        assert_eq!((client.data_bytes, client.wire_bytes), (3, 3 + 3 * FRAME_HEADER_BYTES));
    }
}

#[test]
fn a_ping_is_acknowledged_without_any_request() {
    let mut client = Client::asking(0);
    client.feed(&[(kind::PING, 0, 0, b"12345678")]).expect("valid");
    assert_eq!(client.sent(), [(kind::PING, flag::ACK, 0, b"12345678".to_vec())]);
}

#[test]
fn a_window_is_filled_again_unless_the_stream_stalls() {
    let piece = [b'x'; PAYLOAD_BYTES_MAX];
    let data = |stream| (kind::DATA, 0, stream, &piece[..]);
    let pieces = LONG_WINDOW_BYTES as usize / PAYLOAD_BYTES_MAX;
    let mut client = Client::asking(2);
    for stream in [1, 3] {
        client.feed(&[(kind::HEADERS, flag::END_HEADERS, stream, HEAD)]).expect("valid");
    }
    client.session.stall(1, true);
    for _ in 0..pieces {
        client.feed(&[data(1), data(3)]).expect("valid");
    }
    assert_eq!(client.events.iter().filter(|event| event.starts_with("0 x")).count(), pieces);
    assert!(!client.events.iter().any(|event| event.starts_with("1 x")), "a stalled stream was read");
    let mut overrun = Client::asking(2);
    overrun.feed(&[(kind::HEADERS, flag::END_HEADERS, 3, HEAD)]).expect("valid");
    overrun.session.stall(1, true);
    for _ in 0..pieces {
        overrun.feed(&[data(3)]).expect("valid");
    }
    assert_eq!(overrun.enlarged(3), 0);
    assert!(overrun.feed(&[data(3)]).is_err(), "beyond the window");

    client.session.stall(1, false);
    client.take_events().expect("valid");
    assert_eq!(client.events.iter().filter(|event| event.starts_with("1 x")).count(), pieces);
    let sent = client.sent();
    let enlarged = |of| sent.iter().any(|frame| frame.0 == kind::WINDOW_UPDATE && frame.2 == of);
    assert!(enlarged(1) && enlarged(3), "a window was not filled again");
}

#[test]
fn the_window_of_the_connection_is_filled_again_whatever_becomes_of_the_streams() {
    let piece = [b'x'; PAYLOAD_BYTES_MAX];
    let mut client = Client::asking(32);
    let pieces = LONG_WINDOW_BYTES as usize / 2 / PAYLOAD_BYTES_MAX;
    let mut enlarged = 0;
    for (slot, stream) in (1..65).step_by(2).enumerate() {
        client.feed(&[(kind::HEADERS, flag::END_HEADERS, stream, HEAD)]).expect("valid");
        client.session.cancel(slot);
        assert!(client.sent().contains(&(kind::RST_STREAM, 0, stream, vec![0, 0, 0, 8])));
        for _ in 0..pieces {
            client.feed(&[(kind::DATA, 0, stream, &piece)]).expect("under way");
        }
        enlarged += client.enlarged(0);
    }
    assert_eq!(client.data_bytes, 0, "data of streams that were reset");
    assert!(enlarged >= CONNECTION_WINDOW_BYTES / 2, "{enlarged}");
}

#[test]
fn a_body_waits_for_the_windows_of_the_connection_and_of_its_stream() {
    let body = "y".repeat(70_000);
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n{body}");
    let mut client = Client::asking(0);
    client.feed(&[(kind::SETTINGS, 0, 0, b"\0\x04\0\0\0\0")]).expect("a window of nothing");
    client.sent();
    client.session.request(0, request.as_bytes()).expect("a stream");
    let mut sent = |of: &[Script<'_>]| {
        client.feed(of).expect("valid");
        let data: Vec<_> = client.sent().into_iter().filter(|frame| frame.0 == kind::DATA).collect();
        (data.iter().map(|frame| frame.3.len()).sum(), data.last().is_some_and(|frame| frame.1 != 0))
    };
    assert_eq!(sent(&[]), (0, false));
    assert_eq!(sent(&[(kind::WINDOW_UPDATE, 0, 1, b"\0\0\0\x0a")]), (10, false));
    assert_eq!(sent(&[(kind::SETTINGS, 0, 0, b"\0\x04\0\0\0\x05")]), (5, false));
    assert_eq!(sent(&[(kind::WINDOW_UPDATE, 0, 1, b"\0\x02\0\0")]), (65_520, false));
    assert_eq!(sent(&[(kind::WINDOW_UPDATE, 0, 0, b"\0\0\xff\xff")]), (4_465, true));
}

#[test]
fn a_reset_and_a_goodbye_break_off_the_streams_they_name_alone() {
    let mut client = Client::asking(4);
    client.feed(&[(kind::HEADERS, flag::END_HEADERS, 1, HEAD)]).expect("valid");
    client.feed(&[(kind::RST_STREAM, 0, 1, b"\0\0\0\x0b")]).expect("valid");
    assert!(!client.session.is_leaving());
    client.feed(&[(kind::GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0")]).expect("valid");
    assert!(client.session.is_leaving());
    client.feed(&[(kind::GOAWAY, 0, 0, b"\0\0\0\x03\0\0\0\0bye")]).expect("valid");
    client.feed(&[(kind::HEADERS, flag::END_HEADERS, 3, HEAD)]).expect("one that it still answers");
    client.events.sort();
    let refused = ["2 reset REFUSED_STREAM", "3 reset REFUSED_STREAM"];
    assert_eq!(client.events, [&["0 200", "0 reset ENHANCE_YOUR_CALM", "1 200"][..], &refused].concat());
    assert_eq!(client.session.unanswered(), [1]);
    assert!(!client.session.is_over());
    client.feed(&[(kind::DATA, flag::END_STREAM, 3, b"x")]).expect("valid");
    assert!(client.session.is_over(), "the last stream has ended");
}

#[test]
fn a_goodbye_with_an_error_fails_the_run() {
    refused(&[(kind::GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\x01")]);
    refused(&[(kind::GOAWAY, 0, 0, b"\0\0\0\0")]);
    let mut client = Client::asking(1);
    client.feed(&[(kind::GOAWAY, 0, 0, b"\0\0\0\x01\0\0\0\x02oops")]).expect("the stream may end");
    assert!(chain(&client.session.end().expect_err("an error")).contains("oops"));
}

#[test]
fn more_streams_than_the_server_allows_are_told() {
    let fault = Client::asking(2).feed(&[(kind::SETTINGS, 0, 0, b"\0\x03\0\0\0\x01")]);
    assert!(fault.expect_err("too many").to_string().contains("--streams-per-connection 1"));
    let mut client = Client::asking(0);
    client.feed(&[(kind::SETTINGS, 0, 0, b"\0\x03\0\0\0\x01")]).expect("valid");
    let first = client.session.request(0, GET).expect("the first");
    client.session.cancel(first);
    client.session.request(1, GET).expect("another in its place");
    assert!(client.session.request(2, GET).is_err());
}

#[test]
fn what_the_protocol_does_not_allow_fails_the_run() {
    let head = (kind::HEADERS, flag::END_HEADERS, 1, HEAD);
    let data = (kind::DATA, 0, 1, &b"a"[..]);
    let last = (kind::DATA, flag::END_STREAM, 1, &b"a"[..]);
    let begun = (kind::HEADERS, 0, 1, HEAD);
    refused(&[data]);
    refused(&[head, last, data]);
    refused(&[head, last, head]);
    refused(&[head, head]);
    refused(&[begun, data]);
    refused(&[begun, (kind::PING, 0, 0, b"12345678")]);
    refused(&[begun, (kind::CONTINUATION, flag::END_HEADERS, 3, b"")]);
    refused(&[(kind::CONTINUATION, flag::END_HEADERS, 1, HEAD)]);
    refused(&[(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, b"\x08\x03103")]);
    refused(&[(kind::HEADERS, flag::END_HEADERS, 1, b"\xff\xff\xff\x7f")]);
    refused(&[(kind::HEADERS, flag::PADDED, 1, b"\x05\x88")]);
    refused(&[(kind::PUSH_PROMISE, flag::END_HEADERS, 1, b"\0\0\0\x02\x88")]);
    refused(&[(kind::PING, 0, 0, b"1234567")]);
    refused(&[(kind::SETTINGS, 0, 0, b"12345")]);
    refused(&[(kind::WINDOW_UPDATE, 0, 0, b"\0\0\0\0")]);
    refused(&[(kind::WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")]);
    refused(&[(kind::SETTINGS, 0, 0, b"\0\x04\x80\0\0\0")]);
    for stream in [0, 2, 5] {
        refused(&[(kind::DATA, 0, stream, b"a")]);
        refused(&[(kind::HEADERS, flag::END_HEADERS, stream, HEAD)]);
        refused(&[(kind::RST_STREAM, 0, stream, b"\0\0\0\0")]);
    }
    assert!(Client::asking(0).receive(b"HTTP/1.1 400 Bad Request\r\n\r\n", 64).is_err());
}

#[test]
fn fields_of_a_head_are_held_to_the_rules_of_http2() {
    for fields in [
        // No status; a status that is no number; a field in upper case; those of a connection.
        &b"\x0f\x10\x11text/event-stream"[..],
        b"\x08\x032OO",
        b"\x88\x00\x01A\x01b",
        b"\x88\x00\x0aconnection\x0akeep-alive",
        b"\x88\x00\x11transfer-encoding\x07chunked",
        // A length that the body does not have.
        b"\x88\x0f\x0d\x0210",
    ] {
        let head = (kind::HEADERS, flag::END_HEADERS, 1, fields);
        refused(&[head, (kind::DATA, flag::END_STREAM, 1, b"a")]);
    }
}

#[test]
fn the_end_of_the_connection_is_not_the_end_of_its_responses() {
    let mut client = Client::asking(2);
    client.feed(&[(kind::HEADERS, flag::END_HEADERS, 1, HEAD), (kind::DATA, 0, 1, b"a")]).expect("valid");
    client.session.end().expect("valid");
    client.take_events().expect("valid");
    assert_eq!(client.events, ["0 200", "0 a"]);
    assert!(client.session.is_over() && client.session.is_leaving());
    assert_eq!(client.session.unanswered(), [0, 1]);
}
