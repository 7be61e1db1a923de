//! HTTP/2 connections, with a client that writes its frames by hand (RFC 9113, section 4).

use super::*;
use crate::http::h2::request::PREFACE;
use crate::limits::HTTP2_CREDIT_REFILLED_MAX;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

const INITIAL_WINDOW_SIZE: u16 = 4;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;
/// `:status: 200`, indexed (RFC 7541, appendix A).
const STATUS_200: u8 = 0x88;

/// A frame that the hub has sent.
#[derive(Debug)]
struct RawFrame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// The client of a connection.
pub(super) struct ScriptedPeer {
    pub(super) socket: OwnedFd,
    /// Received bytes that are not a whole frame yet.
    rest: Vec<u8>,
    seen: Vec<RawFrame>,
}

impl ScriptedPeer {
    /// Opens a connection, with a window for each of its streams, in bytes.
    fn connect(hub: &mut Harness, window_bytes: u32) -> Self {
        Self::on(hub.connect(), window_bytes)
    }

    /// The same, on a socket that the hub has already.
    pub(super) fn on(socket: OwnedFd, window_bytes: u32) -> Self {
        let peer = Self { socket, rest: Vec::new(), seen: Vec::new() };
        let window = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window_bytes.to_be_bytes()].concat();
        peer.send(&[PREFACE, &frame(SETTINGS, 0, 0, &window)].concat());
        peer
    }

    fn send(&self, bytes: &[u8]) {
        assert_eq!(send(&self.socket, bytes, SendFlags::NOSIGNAL), Ok(bytes.len()));
    }

    /// Runs rounds until the frames that it has seen pass.
    fn wait(&mut self, hub: &mut Harness, what: &str, holds: impl Fn(&Self) -> bool) {
        hub.round_until(what, |_| {
            self.read();
            holds(self)
        });
    }

    /// Reads once; returns whether there was anything.
    pub(super) fn read(&mut self) -> bool {
        let received = received_bytes(&self.socket);
        let has_read = !received.is_empty();
        self.rest.extend(received);
        while let Some((head, _)) = self.rest.split_first_chunk::<9>() {
            let [high, middle, low, kind, flags, stream @ ..] = *head;
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            if self.rest.len() < 9 + length {
                break;
            }
            let payload = self.rest.drain(..9 + length).skip(9).collect();
            self.seen.push(RawFrame { kind, flags, stream: u32::from_be_bytes(stream), payload });
        }
        has_read
    }

    fn find(&self, kind: u8, stream: u32) -> Option<&RawFrame> {
        self.seen.iter().find(|frame| frame.kind == kind && frame.stream == stream)
    }

    /// The content of a stream so far.
    pub(super) fn data(&self, stream: u32) -> String {
        let frames = self.seen.iter().filter(|frame| frame.kind == DATA && frame.stream == stream);
        String::from_utf8(frames.flat_map(|frame| frame.payload.clone()).collect()).expect("UTF-8")
    }

    pub(super) fn has_ended(&self, stream: u32) -> bool {
        let ends =
            |frame: &RawFrame| frame.stream == stream && frame.kind == DATA && frame.flags & END_STREAM != 0;
        self.seen.iter().any(ends)
    }

    /// The error code of the last `GOAWAY`.
    fn goaway_code(&self) -> Option<u32> {
        let last = self.seen.iter().rev().find(|frame| frame.kind == GOAWAY)?;
        Some(u32::from_be_bytes(last.payload[4..8].try_into().expect("four bytes")))
    }

    /// Begins a stream of updates, and waits for its head.
    pub(super) fn subscribe(&mut self, hub: &mut Harness, stream: u32) {
        self.send(&frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &head("GET", "/.well-known/mercure?topic=a"),
        ));
        self.wait(hub, "a head", |peer| peer.find(HEADERS, stream).is_some());
        let head = self.find(HEADERS, stream).expect("it was found");
        assert_eq!((head.payload[0], head.flags & END_STREAM), (STATUS_200, 0));
    }

    fn query(&self, stream: u32, path: &str, body: &str) {
        let fields =
            [head("QUERY", path), literal("content-type", "application/x-www-form-urlencoded")].concat();
        self.send(&frame(HEADERS, END_HEADERS, stream, &fields));
        self.send(&frame(DATA, END_STREAM, stream, body.as_bytes()));
    }

    pub(super) fn publish(&self, stream: u32, body: &str) {
        let authorization = format!("Bearer {}", token(&json!({ "publish": ["*"] })));
        let fields = [
            head("POST", "/.well-known/mercure"),
            literal("authorization", &authorization),
            literal("content-type", "application/x-www-form-urlencoded"),
        ];
        self.send(&frame(HEADERS, END_HEADERS, stream, &fields.concat()));
        self.send(&frame(DATA, END_STREAM, stream, body.as_bytes()));
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&[length[1], length[2], length[3], kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// A string of HPACK without Huffman coding (RFC 7541, section 5.2).
fn string(text: &str) -> Vec<u8> {
    let mut bytes = vec![text.len().min(127) as u8];
    if let Some(mut rest) = text.len().checked_sub(127) {
        while rest >= 128 {
            bytes.push(rest as u8 | 128);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// A literal field without indexing (RFC 7541, section 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    [vec![0], string(name), string(value)].concat()
}

fn head(method: &str, target: &str) -> Vec<u8> {
    let fields = [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", target)];
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

#[test]
fn an_update_reaches_a_stream_and_its_publisher_only_round_the_ring() {
    let mut hub = Harness::new();
    let mut peer = ScriptedPeer::connect(&mut hub, 1 << 16);
    peer.subscribe(&mut hub, 1);
    let before = peer.data(1);
    peer.publish(3, "topic=a&data=x&id=1");
    for _ in 0..3 {
        hub.round();
    }
    peer.read();
    assert_eq!(peer.data(1), before);
    assert!(peer.find(HEADERS, 3).is_none(), "not stored yet");

    hub.sequence();
    peer.wait(&mut hub, "an acknowledgement", |peer| peer.has_ended(3));
    assert_eq!(peer.find(HEADERS, 3).expect("a head").payload[0], STATUS_200);
    assert_eq!(peer.data(3), "1");
    assert_eq!(peer.data(1), format!("{before}id: 1\ndata: x\n\n"));
    assert!(!peer.has_ended(1));
}

#[test]
fn a_stream_takes_no_more_than_its_window_and_delays_no_other() {
    let mut hub = Harness::new();
    let mut peer = ScriptedPeer::connect(&mut hub, 20);
    peer.subscribe(&mut hub, 1);
    let mut other = ScriptedPeer::connect(&mut hub, 1 << 16);
    other.subscribe(&mut hub, 1);
    let event = format!("id: 1\ndata: {}\n\n", "x".repeat(200));
    other.publish(3, &format!("topic=a&id=1&data={}", "x".repeat(200)));
    hub.round();
    hub.sequence();
    other.wait(&mut hub, "the update", |other| other.data(1).ends_with(&event));
    for _ in 0..3 {
        hub.round();
    }
    peer.read();
    assert_eq!(peer.data(1).len(), 20, "what its window takes");
    peer.send(&frame(WINDOW_UPDATE, 0, 1, &1_000_u32.to_be_bytes()));
    peer.wait(&mut hub, "the rest", |peer| peer.data(1).ends_with(&event));
}

#[test]
fn at_the_stop_a_connection_gets_goaway_and_ends_with_its_last_stream() {
    let mut hub = Harness::with(Setup { drain_ms: 1_000, ..Setup::default() });
    let mut peer = ScriptedPeer::connect(&mut hub, 1 << 16);
    let mut idle = ScriptedPeer::connect(&mut hub, 1 << 16);
    peer.subscribe(&mut hub, 1);
    hub.shard.stopping.store(true, Ordering::SeqCst);
    peer.wait(&mut hub, "GOAWAY", |peer| peer.goaway_code() == Some(0));
    idle.wait(&mut hub, "GOAWAY", |idle| idle.goaway_code() == Some(0) && is_over(&idle.socket));
    hub.round_until("the drain begins", |hub| {
        hub.sequence();
        matches!(hub.shard.shared.shutdown.stop(), Stop::Draining { .. })
    });
    peer.read();
    assert!(!peer.has_ended(1), "the drain takes its time");
    // The client acknowledges, so no request can be on its way any more.
    let ping = peer.find(PING, 0).expect("a PING after the first GOAWAY").payload.clone();
    peer.send(&frame(PING, ACK, 0, &ping));
    hub.pass(1_000);
    peer.wait(&mut hub, "the end", |peer| peer.has_ended(1) && is_over(&peer.socket));
    drop((peer, idle));
    hub.round_until_stopped();
}

/// Sends this again and again until the hub closes the connection; returns the error code, and how
/// often it was sent.
fn flood(hub: &mut Harness, mut next: impl FnMut(u32) -> Vec<u8>) -> (Option<u32>, u64) {
    let mut peer = ScriptedPeer::connect(hub, 1 << 16);
    hub.round();
    let mut sent = 0;
    let mut rest = Vec::new();
    while peer.goaway_code().is_none() {
        assert!(sent < 10 * HTTP2_CREDIT_REFILLED_MAX, "the hub does not mind");
        if rest.is_empty() {
            rest = (0..20).flat_map(|nth| next(sent as u32 + nth)).collect();
            sent += 20;
        }
        // A slice of the hub's work is bounded in time, so the socket may be full.
        match send(&peer.socket, &rest, SendFlags::NOSIGNAL) {
            Ok(count) => drop(rest.drain(..count)),
            Err(error) => assert_eq!(error, Errno::AGAIN),
        }
        hub.round();
        peer.read();
    }
    peer.wait(hub, "the connection is closed", |peer| is_over(&peer.socket));
    (peer.goaway_code(), sent)
}

#[test]
fn a_client_that_floods_is_disconnected_and_the_others_notice_nothing() {
    let mut hub = Harness::new();
    let mut other = ScriptedPeer::connect(&mut hub, 1 << 16);
    other.subscribe(&mut hub, 1);
    let (code, sent) = flood(&mut hub, |_| frame(PING, 0, 0, &[0; 8]));
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    assert!(sent >= HTTP2_CREDIT_REFILLED_MAX, "a client may send {HTTP2_CREDIT_REFILLED_MAX} of them");
    // CVE-2023-44487: requests that are reset as soon as they are sent.
    let (code, _) = flood(&mut hub, |count| {
        let stream = 2 * count + 1;
        let request =
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", "/.well-known/mercure?topic=a"));
        [request, frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
    });
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));

    other.publish(3, "topic=a&data=x&id=1");
    hub.round();
    hub.sequence();
    other.wait(&mut hub, "the update", |other| {
        other.data(1).ends_with("id: 1\ndata: x\n\n") && other.has_ended(3)
    });
}

/// Tests 37 and 38 of MERCURE-1.0, section 13, on HTTP/2.
#[test]
fn a_query_becomes_a_stream_when_its_body_is_complete() {
    let dialects = Dialects::with_draft08(Some(Authorization::Selectors));
    let mut hub = Harness::with(Setup { dialects, ..Setup::default() });
    let mut peer = ScriptedPeer::connect(&mut hub, 65_535);
    peer.query(1, "/.well-known/mercure?match=a", "match=b");
    peer.wait(&mut hub, "a head", |peer| peer.find(HEADERS, 1).is_some());
    let head = peer.find(HEADERS, 1).expect("it was found");
    assert_eq!((head.payload[0], head.flags & END_STREAM), (STATUS_200, 0));
    for (stream, topic) in [(3, "a"), (5, "b"), (7, "c")] {
        peer.publish(stream, &format!("topic={topic}&id={topic}"));
        hub.round_until("a publication", |hub| {
            hub.sequence();
            peer.read();
            peer.has_ended(stream)
        });
    }
    peer.wait(&mut hub, "two updates", |peer| peer.data(1).contains("id: b\n"));
    assert!(peer.data(1).contains("id: a\n") && !peer.data(1).contains("id: c\n"), "{}", peer.data(1));
    // What is refused with its body is a response like any other.
    peer.query(9, "/.well-known/mercure", "topic=a");
    peer.wait(&mut hub, "a refusal", |peer| peer.has_ended(9));
    assert!(peer.data(9).starts_with("Unsupported \"topic\" parameter"), "{}", peer.data(9));
}
