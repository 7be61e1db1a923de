//! Reads a stream back as its client would: chunks, codings, events, heartbeats. It shares no code
//! with the encoder. Streaming decoders read gzip and zstd from the bytes that have arrived.

use std::io::{Read as _, Write as _};

use petasos::sse::coding::Coding;
use petasos::sse::framing::{Framing, Transfer};

/// The ids of the events that arrived completely; an incomplete one at the end is left out.
pub(crate) fn ids(received: &[u8], framing: Framing) -> Vec<String> {
    let Some(body) = received.strip_prefix(b"HEAD\n") else { return Vec::new() };
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
    events(std::str::from_utf8(&text).expect("UTF-8"))
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

fn events(mut text: &str) -> Vec<String> {
    let mut ids = Vec::new();
    while !text.is_empty() {
        let end = if text.starts_with(':') { Some(2) } else { text.find("\n\n").map(|at| at + 2) };
        let Some(whole) = end.and_then(|end| text.get(..end)) else { break };
        match whole.strip_prefix("id: ") {
            Some(event) => ids.extend(event.lines().next().map(str::to_owned)),
            None => assert_eq!(whole, ":\n", "neither an event nor a heartbeat"),
        }
        text = &text[whole.len()..];
    }
    ids
}
