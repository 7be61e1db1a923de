//! Reads a stream back as its client would: chunks, events, heartbeats. It shares no code with the encoder.

use petasos::hub::outbox::Framing;

/// The ids of the events that arrived as a whole; a part of one at the end is left out.
pub(crate) fn ids(received: &[u8], framing: Framing) -> Vec<&str> {
    let mut text = std::str::from_utf8(received).expect("UTF-8");
    text = match text.strip_prefix("HEAD\n") {
        Some(rest) => rest,
        None => return Vec::new(),
    };
    let mut ids = Vec::new();
    let event = |event: &'_ str| match event.strip_prefix("id: ") {
        Some(rest) => rest.lines().next().map(str::len),
        None => {
            assert_eq!(event, ":\n", "neither an event nor a heartbeat");
            None
        }
    };
    match framing {
        Framing::Chunked => {
            while let Some((size, rest)) = text.split_once("\r\n") {
                let size = usize::from_str_radix(size, 16).expect("a chunk size");
                let Some(chunk) = rest.get(..size).filter(|_| rest.len() >= size + 2) else { break };
                assert_eq!(&rest[size..size + 2], "\r\n");
                if size > 0 {
                    ids.extend(event(chunk).map(|id| &chunk[4..4 + id]));
                }
                text = &rest[size + 2..];
            }
        }
        Framing::Plain => {
            while !text.is_empty() {
                let end = if text.starts_with(':') { Some(2) } else { text.find("\n\n").map(|at| at + 2) };
                let Some(whole) = end.and_then(|end| text.get(..end)) else { break };
                ids.extend(event(whole).map(|id| &whole[4..4 + id]));
                text = &text[whole.len()..];
            }
        }
    }
    ids
}
