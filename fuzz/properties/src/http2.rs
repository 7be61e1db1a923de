//! HTTP/2: whatever frames arrive, and however they are cut, the connection does not panic, comes
//! to rest, sends well-formed frames, and neither works nor sends without bound.

use petasos::http::h2::request::PREFACE;
use petasos::limits::HTTP2_STREAMS_MAX;
use petasos::server::http2::probe::{EVENT, EVENTS_MAX, Http2Probe, LONG_BODY, ProbeOutcome};

use crate::pieces;

/// The client's preface and empty settings (RFC 9113, section 3.4).
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const FRAME_HEADER_BYTES: usize = 9;
/// What the hub sends at most for one byte of a client, besides responses: the acknowledgement of a
/// ping is as long as the ping; a reset has 13 bytes, and its cause at least nine.
const SENT_PER_BYTE: usize = 4;
/// The hub's settings, window and farewell.
const SENT_MAX: usize = 500;
/// The head of a response, and its frames.
const RESPONSE_BYTES_MAX: usize = LONG_BODY.len() + 1_000;
const _: () = assert!(EVENT.len() * EVENTS_MAX < LONG_BODY.len());

/// The property, for any frames. The preface and empty settings are added where they are missing.
///
/// # Panics
/// It does not hold.
pub fn check(bytes: &[u8]) {
    let begun = bytes.starts_with(PREFACE);
    let input = if begun { bytes.to_vec() } else { [PREFACE, SETTINGS, bytes].concat() };
    run(&input, std::iter::once(&*input));
    run(&input, pieces(&input));
    if input.len() <= 256 {
        run(&input, input.chunks(1));
    }
}

fn run<'b>(input: &'b [u8], pieces: impl Iterator<Item = &'b [u8]>) {
    let mut probe = Http2Probe::new().expect("a pair of sockets");
    pieces.for_each(|piece| probe.receive(piece));
    check_outcome(input.len(), probe.outcome());
}

fn check_outcome(received_bytes: usize, outcome: &ProbeOutcome) {
    let ProbeOutcome { sent, requests, refused, polls, open_max, .. } = outcome;
    let responses = requests + refused;
    assert!(*open_max <= HTTP2_STREAMS_MAX as usize, "{open_max} streams are open");
    assert!(responses <= received_bytes / FRAME_HEADER_BYTES, "a request takes a frame");
    let polls_max = 100 + 8 * received_bytes + 100 * responses;
    assert!(*polls <= polls_max, "{polls} polls for {received_bytes} bytes and {responses} requests");
    let sent_max = SENT_MAX + SENT_PER_BYTE * received_bytes + responses * RESPONSE_BYTES_MAX;
    assert!(sent.len() <= sent_max, "{} bytes sent for {received_bytes}", sent.len());
    check_frames(sent);
}

/// What was sent is whole frames of known kinds, none longer than a client has to take.
fn check_frames(mut sent: &[u8]) {
    while let Some(([high, middle, low, kind, ..], rest)) = sent.split_first_chunk::<FRAME_HEADER_BYTES>() {
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        assert!(*kind <= 9, "a frame of kind {kind}");
        assert!(length <= 1 << 24, "its length has 24 bits");
        assert!(rest.len() >= length, "a frame is cut");
        sent = &rest[length..];
    }
    assert!(sent.is_empty(), "{} bytes are no frame", sent.len());
}
