//! Goal: the client handles everything that a server may do; anything forbidden fails the run.
//!
//! Method: a scripted server. Its frames are fed in pieces of every length, and the resulting
//! events are compared.

use super::*;

const GET: &[u8] = b"GET /hub?topic=a HTTP/1.1\r\nHost: example.com\r\nAccept: text/event-stream\r\n\r\n";
/// `:status: 200` and `content-type: text/event-stream`.
const HEAD: &[u8] = b"\x88\x0f\x10\x11text/event-stream";

fn frames(of: &[(u8, u8, u32, &[u8])]) -> Vec<u8> {
    let mut wire = Vec::new();
    for (kind, flags, stream, payload) in of {
        frame::append(*kind, *flags, *stream, payload, &mut wire);
    }
    wire
}

/// The connection, and the events that it produced.
struct Client {
    session: Session,
    events: Vec<String>,
}

impl Client {
    /// A connection with this many open requests, after the server's SETTINGS; sent bytes are
    /// dropped.
    fn asking(requests: u64) -> Self {
        let mut session = Session::new(false);
        for key in 0..requests {
            session.request(key, GET, true).expect("a stream");
        }
        let mut client = Self { session, events: Vec::new() };
        client.feed(&[(kind::SETTINGS, 0, 0, b"")]).expect("valid");
        client.sent();
        client
    }

    fn feed(&mut self, of: &[(u8, u8, u32, &[u8])]) -> Result<(), String> {
        self.feed_pieces(&frames(of), usize::MAX)
    }

    fn feed_pieces(&mut self, wire: &[u8], step: usize) -> Result<(), String> {
        for piece in wire.chunks(step) {
            let mut input = piece;
            while let Some(event) = self.session.next(&mut input)? {
                self.events.push(match event {
                    Event::Head { key, head, ends } => format!("{key} {} {ends}", head.status),
                    Event::Data { key, data, ends, .. } => {
                        format!("{key} {} {ends}", String::from_utf8_lossy(data))
                    }
                    Event::Reset { key, code } => format!("{key} reset {code}"),
                });
            }
        }
        Ok(())
    }

    /// The frames sent since the last call, as (type, flags, stream, payload).
    fn sent(&mut self) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let mut wire = self.session.to_send().to_vec();
        self.session.taken(wire.len());
        if wire.starts_with(PREFACE) {
            wire.drain(..PREFACE.len());
        }
        let mut sent = Vec::new();
        while let Some((head, rest)) = wire.split_first_chunk::<9>() {
            let bytes = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            sent.push((head[3], head[4], stream, rest[..bytes].to_vec()));
            wire = rest[bytes..].to_vec();
        }
        sent
    }

    /// The window increments sent since the last call, by stream.
    fn enlarged(&mut self) -> Vec<(u32, u32)> {
        let updates = self.sent().into_iter().filter(|frame| frame.0 == kind::WINDOW_UPDATE);
        updates.map(|(_, _, stream, payload)| (stream, word(&payload).expect("a number"))).collect()
    }
}

#[track_caller]
fn refused(of: &[(u8, u8, u32, &[u8])]) {
    assert!(Client::asking(2).feed(of).is_err(), "{of:?}");
}

#[test]
fn a_connection_opens_with_preface_settings_and_window_and_its_first_request() {
    let mut session = Session::new(true);
    assert_eq!(session.request(7, GET, true), Ok(1));
    assert!(session.to_send().starts_with(PREFACE));
    let sent = Client { session, events: Vec::new() }.sent();
    let kinds: Vec<_> = sent.iter().map(|(kind, flags, stream, _)| (*kind, *flags, *stream)).collect();
    let end = flag::END_HEADERS | flag::END_STREAM;
    let expected = [
        (kind::SETTINGS, 0, 0),
        (kind::WINDOW_UPDATE, 0, 0),
        (kind::HEADERS, end, 1),
        (kind::WINDOW_UPDATE, 0, 1),
    ];
    assert_eq!(kinds, expected);
    let text = |of: &str| of.as_bytes().to_vec();
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/hub?topic=a"),
        ("accept", "text/event-stream"),
    ];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (text(name), text(value))).collect();
    assert_eq!(hpack::decode(&sent[2].3), Ok(fields));
}

#[test]
fn streams_are_told_apart_however_the_bytes_are_cut() {
    let wire = frames(&[
        (kind::SETTINGS, 0, 0, b"\0\x03\0\0\0\x64"),
        (kind::SETTINGS, flag::ACK, 0, b""),
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
    let expected = ["0 200 false", "0 a false", "1 200 false", "1 b false", "0 c true", "1  true"];
    for step in 1..=wire.len() {
        let mut client = Client::asking(2);
        client.feed_pieces(&wire, step).expect("valid");
        // A piece that holds only padding carries no data.
        client.events.retain(|event| !event.ends_with("  false"));
        assert_eq!(client.events, expected, "cut every {step}");
    }
}

#[test]
fn a_ping_and_settings_are_acknowledged_and_their_acknowledgements_are_not() {
    let mut client = Client::asking(0);
    client.feed(&[(kind::PING, 0, 0, b"12345678"), (kind::PING, flag::ACK, 0, b"12345678")]).expect("valid");
    client.feed(&[(kind::SETTINGS, 0, 0, b""), (kind::SETTINGS, flag::ACK, 0, b"")]).expect("valid");
    let expected =
        [(kind::PING, flag::ACK, 0, b"12345678".to_vec()), (kind::SETTINGS, flag::ACK, 0, Vec::new())];
    assert_eq!(client.sent(), expected);
    refused(&[(kind::PING, 0, 0, b"1234567")]);
    refused(&[(kind::PING, 0, 1, b"12345678")]);
    refused(&[(kind::SETTINGS, 0, 0, b"12345")]);
    refused(&[(kind::SETTINGS, 0, 1, b"")]);
}

#[test]
fn a_window_is_filled_again_when_half_of_it_is_used_unless_the_stream_stalls() {
    let piece = [b'x'; PAYLOAD_BYTES_MAX];
    let data = |stream| (kind::DATA, 0, stream, &piece[..]);
    let mut client = Client::asking(2);
    for stream in [1, 3] {
        client.feed(&[(kind::HEADERS, flag::END_HEADERS, stream, HEAD)]).expect("valid");
    }
    client.session.stall(3, true);
    let pieces_of_half = STREAM_WINDOW_BYTES / 2 / PAYLOAD_BYTES_MAX as i64;
    for _ in 1..pieces_of_half {
        client.feed(&[data(1), data(3)]).expect("valid");
    }
    assert_eq!(client.enlarged(), []);
    client.feed(&[data(1), data(3)]).expect("valid");
    let half = (STREAM_WINDOW_BYTES / 2) as u32;
    assert_eq!(client.enlarged(), [(1, half)]);
    for _ in 0..pieces_of_half {
        client.feed(&[data(3)]).expect("valid");
    }
    assert_eq!(client.enlarged(), []);
    assert!(client.feed(&[(kind::DATA, 0, 3, b"x")]).is_err(), "beyond the window");
    let mut client = Client::asking(1);
    client.feed(&[(kind::HEADERS, flag::END_HEADERS, 1, HEAD)]).expect("valid");
    client.session.stall(1, true);
    for _ in 0..2 * pieces_of_half {
        client.feed(&[data(1)]).expect("valid");
    }
    client.session.stall(1, false);
    assert_eq!(client.enlarged(), [(1, 2 * half)]);
}

#[test]
fn the_window_of_the_connection_is_filled_again_whatever_becomes_of_the_streams() {
    let piece = [b'x'; PAYLOAD_BYTES_MAX];
    let mut client = Client::asking(64);
    let pieces = STREAM_WINDOW_BYTES / 2 / PAYLOAD_BYTES_MAX as i64;
    for stream in (1..33).step_by(2) {
        client.feed(&[(kind::HEADERS, flag::END_HEADERS, stream, HEAD)]).expect("valid");
        client.session.cancel(stream);
        assert_eq!(client.sent(), [(kind::RST_STREAM, 0, stream, vec![0, 0, 0, 8])]);
        for _ in 0..pieces {
            client.feed(&[(kind::DATA, 0, stream, &piece)]).expect("under way");
        }
    }
    assert_eq!(client.events.iter().filter(|event| !event.contains("200")).count(), 0);
    assert_eq!(client.enlarged(), [(0, (CONNECTION_WINDOW_BYTES / 2) as u32)]);
}

#[test]
fn a_body_waits_for_the_windows_of_the_connection_and_of_its_stream() {
    let body = "y".repeat(70_000);
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n{body}");
    let mut client = Client::asking(0);
    client.feed(&[(kind::SETTINGS, 0, 0, b"\0\x04\0\0\0\0")]).expect("a window of nothing");
    client.sent();
    client.session.request(0, request.as_bytes(), false).expect("a stream");
    let mut sent = |of: &[(u8, u8, u32, &[u8])]| {
        client.feed(of).expect("valid");
        let data: Vec<_> = client.sent().into_iter().filter(|frame| frame.0 == kind::DATA).collect();
        (data.iter().map(|frame| frame.3.len()).sum(), data.last().is_some_and(|frame| frame.1 != 0))
    };
    assert_eq!(sent(&[]), (0, false));
    assert_eq!(sent(&[(kind::WINDOW_UPDATE, 0, 1, b"\0\0\0\x0a")]), (10, false));
    assert_eq!(sent(&[(kind::SETTINGS, 0, 0, b"\0\x04\0\0\0\x05")]), (5, false));
    assert_eq!(sent(&[(kind::WINDOW_UPDATE, 0, 1, b"\0\x02\0\0")]), (65_520, false));
    assert_eq!(sent(&[(kind::WINDOW_UPDATE, 0, 0, b"\0\0\xff\xff")]), (4_465, true));
    assert_eq!(sent(&[(kind::WINDOW_UPDATE, 0, 1, b"\0\0\0\x01")]), (0, false));
    refused(&[(kind::WINDOW_UPDATE, 0, 0, b"\0\0\0\0")]);
    refused(&[(kind::WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")]);
    refused(&[(kind::SETTINGS, 0, 0, b"\0\x04\x80\0\0\0")]);
}

#[test]
fn a_long_head_is_continued() {
    let target = "t".repeat(40_000);
    let request = format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut client = Client::asking(0);
    client.session.request(0, request.as_bytes(), false).expect("a stream");
    let sent = client.sent();
    let kinds: Vec<_> = sent.iter().map(|frame| (frame.0, frame.1)).collect();
    let continued = kind::CONTINUATION;
    assert_eq!(kinds, [(kind::HEADERS, flag::END_STREAM), (continued, 0), (continued, flag::END_HEADERS)]);
    let block: Vec<u8> = sent.into_iter().flat_map(|frame| frame.3).collect();
    assert_eq!(hpack::decode(&block).expect("valid")[3].1.len(), 40_001);
}

#[test]
fn a_reset_and_a_goodbye_break_off_the_streams_they_name_alone() {
    let mut client = Client::asking(4);
    client.feed(&[(kind::HEADERS, flag::END_HEADERS, 1, HEAD)]).expect("valid");
    client.feed(&[(kind::RST_STREAM, 0, 1, b"\0\0\0\x0b")]).expect("valid");
    client.feed(&[(kind::GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0")]).expect("valid");
    assert!(client.session.is_leaving());
    client.feed(&[(kind::GOAWAY, 0, 0, b"\0\0\0\x03\0\0\0\0bye")]).expect("valid");
    client.feed(&[(kind::HEADERS, flag::END_HEADERS, 3, HEAD)]).expect("one that it still answers");
    client.events.sort();
    assert_eq!(client.events, ["0 200 false", "0 reset 11", "1 200 false", "2 reset 7", "3 reset 7"]);
    assert_eq!(client.session.unanswered(), [1]);
    refused(&[(kind::GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\x01")]);
    refused(&[(kind::GOAWAY, 0, 0, b"\0\0\0\0")]);
}

#[test]
fn more_streams_than_the_server_allows_are_told() {
    let fault = Client::asking(2).feed(&[(kind::SETTINGS, 0, 0, b"\0\x03\0\0\0\x01")]);
    assert!(fault.expect_err("too many").contains("--streams-per-connection 1"));
    let mut client = Client::asking(0);
    client.feed(&[(kind::SETTINGS, 0, 0, b"\0\x03\0\0\0\x01")]).expect("valid");
    client.session.request(0, GET, true).expect("the first");
    client.session.cancel(1);
    client.session.request(1, GET, true).expect("another in its place");
    assert!(client.session.request(2, GET, true).is_err());
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
    refused(&[(kind::HEADERS, flag::END_HEADERS, 1, b"\xbe")]);
    refused(&[(kind::HEADERS, flag::PADDED, 1, b"\x05\x88")]);
    refused(&[(kind::PUSH_PROMISE, flag::END_HEADERS, 1, b"\0\0\0\x02\x88")]);
    for stream in [0, 2, 5] {
        refused(&[(kind::DATA, 0, stream, b"a")]);
        refused(&[(kind::HEADERS, flag::END_HEADERS, stream, HEAD)]);
        refused(&[(kind::RST_STREAM, 0, stream, b"\0\0\0\0")]);
    }
}
