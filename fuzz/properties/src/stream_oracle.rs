//! Reads a stream back as its client would: chunks, codings, events, heartbeats. It shares no code
//! with the encoder. Streaming decoders read gzip and zstd from the bytes that have arrived.

use std::io::{Read as _, Write as _};

use petasos::sse::coding::Coding;
use petasos::sse::framing::{Framing, Transfer};

/// One event, as a browser dispatches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The last event id after it.
    pub id: String,
    /// `message` if the event names none.
    pub event_type: String,
    /// The lines of its data.
    pub data: String,
    /// The reconnection time that it sets.
    pub retry_ms: Option<u64>,
}

/// The events that arrived completely; an incomplete one at the end is left out. `body` begins with
/// [`Framing::opening`].
///
/// # Panics
/// The bytes are not a stream of this framing, or hold anything but events and heartbeats.
pub fn events(body: &[u8], framing: Framing) -> Vec<Event> {
    let (parts, has_ended) = match framing.transfer {
        Transfer::Chunked => chunks(body),
        Transfer::Plain => (vec![body], false),
    };
    let text = match framing.coding {
        None => {
            // Each chunk is an event or a comment, so a client that looks at chunks sees complete
            // events.
            if framing.transfer == Transfer::Chunked {
                assert!(parts.iter().all(|part| *part == b":\n" || part.ends_with(b"\n\n")));
            }
            parts.concat()
        }
        Some(coding) => {
            let text = decode(coding, &parts);
            if has_ended {
                assert_eq!(decode_whole(coding, &parts.concat()), text, "the stream ends cleanly");
            }
            text
        }
    };
    // The end may be inside a character.
    let valid = match std::str::from_utf8(&text) {
        Ok(text) => text,
        Err(error) => {
            assert!(error.error_len().is_none(), "UTF-8");
            std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default()
        }
    };
    parse(valid)
}

/// The chunks that arrived completely, and whether the last one is among them.
fn chunks(mut body: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut chunks = Vec::new();
    while let Some(line) = body.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&body[..line]).expect("a chunk size");
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        let Some(chunk) = body.get(line + 2..line + 2 + size + 2) else { break };
        assert_eq!(&chunk[size..], b"\r\n");
        body = &body[line + 2 + size + 2..];
        if size == 0 {
            assert!(body.is_empty(), "something follows the last chunk");
            return (chunks, true);
        }
        chunks.push(&chunk[..size]);
    }
    (chunks, false)
}

/// The text that a client sees of an unfinished stream.
fn decode(coding: Coding, parts: &[&[u8]]) -> Vec<u8> {
    match coding {
        Coding::Zstd => {
            let mut decoder = zstd::stream::write::Decoder::new(Vec::new()).expect("a decoder");
            for part in parts {
                decoder.write_all(part).expect("frames of zstd");
            }
            decoder.flush().expect("frames of zstd");
            decoder.into_inner()
        }
        Coding::Gzip => {
            let mut decoder = flate2::write::GzDecoder::new(Vec::new());
            for part in parts {
                decoder.write_all(part).expect("a member of gzip");
                decoder.flush().expect("a member of gzip");
            }
            decoder.get_ref().clone()
        }
    }
}

/// The text that a client sees that requires a complete stream.
fn decode_whole(coding: Coding, body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match coding {
        Coding::Zstd => text = zstd::decode_all(body).expect("whole frames of zstd"),
        Coding::Gzip => {
            flate2::read::GzDecoder::new(body).read_to_end(&mut text).expect("a whole member of gzip");
        }
    }
    text
}

/// The events of a text (WHATWG HTML, section 9.2.6). Heartbeats are between events only.
fn parse(mut text: &str) -> Vec<Event> {
    let mut events = Vec::new();
    while !text.is_empty() {
        if let Some(rest) = text.strip_prefix(":\n") {
            text = rest;
            continue;
        }
        let Some(end) = text.find("\n\n") else { break };
        let (whole, rest) = (&text[..end], &text[end + 2..]);
        assert!(!whole.contains('\r'), "the only line end is LF");
        let field =
            |name| whole.split('\n').filter_map(move |line| line.strip_prefix(name)?.strip_prefix(": "));
        let known = ["id: ", "event: ", "retry: ", "data: "];
        for line in whole.split('\n') {
            assert!(known.iter().any(|name| line.starts_with(name)), "no line of an event: {line:?}");
        }
        let (mut ids, mut types, mut retries) = (field("id"), field("event"), field("retry"));
        events.push(Event {
            id: ids.next().expect("an event has an id").to_owned(),
            event_type: types.next().unwrap_or("message").to_owned(),
            data: field("data").collect::<Vec<_>>().join("\n"),
            retry_ms: retries.next().map(|digits| digits.parse().expect("a number")),
        });
        assert!(ids.next().is_none() && types.next().is_none() && retries.next().is_none(), "one of each");
        text = rest;
    }
    events
}
