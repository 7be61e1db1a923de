//! The frames of HTTP/2 (RFC 9113, section 4), read strictly: a hub with bad framing must fail.
//!
//! The payload of a DATA frame is passed on as it comes. Other payloads are collected first.

/// Length of a frame's header.
pub(crate) const HEADER_BYTES: usize = 9;
/// The default maximum payload of both sides (`SETTINGS_MAX_FRAME_SIZE`), which the generator
/// keeps.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 16_384;

/// Types of frames (section 6).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of frames (section 6).
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 0x01;
    pub(crate) const END_STREAM: u8 = 0x01;
    pub(crate) const END_HEADERS: u8 = 0x04;
    pub(crate) const PADDED: u8 = 0x08;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// The length of its payload.
    pub(crate) bytes: usize,
    /// Its type, one of [`kind`] or an unknown one.
    pub(crate) kind: u8,
    /// Its flags.
    pub(crate) flags: u8,
    /// Its stream; 0 is the connection.
    pub(crate) stream: u32,
}

/// A part of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A part of the data of a stream.
    Data {
        stream: u32,
        data: &'a [u8],
        /// Bytes that it takes from the windows: the data, and any padding.
        window_bytes: usize,
        /// Bytes on the wire; the first part of a frame includes its header.
        wire_bytes: usize,
        /// Whether it ends the stream.
        ends: bool,
    },
    /// Another frame; its payload is [`Frames::payload`].
    Other(Header),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a header.
    Header,
    /// In the payload of a DATA frame.
    Data,
    /// In the payload of another frame.
    Payload,
}

/// A reader of the frames of one connection; the first frame must be SETTINGS.
#[derive(Debug)]
pub(crate) struct Frames {
    state: State,
    /// The header that is being read.
    head: [u8; HEADER_BYTES],
    head_bytes: usize,
    header: Header,
    /// Bytes of the payload not yet read.
    left: usize,
    /// The length of the padding at its end; `None` until it is read.
    padding: Option<usize>,
    /// No part of this frame has been passed on.
    is_new: bool,
    payload: Vec<u8>,
    is_started: bool,
}

impl Header {
    /// The bytes on the wire.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let [_, a, b, c] = (self.bytes as u32).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }

    fn decode([a, b, c, kind, flags, d, e, f, g]: [u8; HEADER_BYTES]) -> Self {
        Self {
            bytes: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([d & 0x7f, e, f, g]),
        }
    }

    /// Whether a flag is set.
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl Frames {
    /// A reader at the start of a connection.
    pub(crate) fn new() -> Self {
        Self {
            state: State::Header,
            head: [0; HEADER_BYTES],
            head_bytes: 0,
            header: Header::default(),
            left: 0,
            padding: None,
            is_new: false,
            payload: Vec::new(),
            is_started: false,
        }
    }

    /// The payload of the frame that [`Self::next`] returned last.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Parses `input` up to the end of the next part of data or of the next frame; `None` when all
    /// of it is used.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Frame<'a>>, &'static str> {
        loop {
            match self.state {
                State::Header => {
                    let bytes = take(input, HEADER_BYTES - self.head_bytes);
                    self.head[self.head_bytes..][..bytes.len()].copy_from_slice(bytes);
                    self.head_bytes += bytes.len();
                    if self.head_bytes < HEADER_BYTES {
                        return Ok(None);
                    }
                    self.head_bytes = 0;
                    self.begin(Header::decode(self.head))?;
                }
                State::Data => return self.data(input),
                State::Payload => {
                    let bytes = take(input, self.left);
                    self.payload.extend_from_slice(bytes);
                    self.left -= bytes.len();
                    if self.left > 0 {
                        return Ok(None);
                    }
                    self.state = State::Header;
                    return Ok(Some(Frame::Other(self.header)));
                }
            }
        }
    }

    fn begin(&mut self, header: Header) -> Result<(), &'static str> {
        if !self.is_started && header.kind != kind::SETTINGS {
            return Err("the server does not speak HTTP/2: its first frame is no SETTINGS");
        }
        if header.bytes > PAYLOAD_BYTES_MAX {
            return Err("a frame is longer than the generator allows");
        }
        self.is_started = true;
        self.header = header;
        self.left = header.bytes;
        self.payload.clear();
        self.is_new = true;
        self.state = State::Payload;
        if header.kind == kind::DATA {
            self.state = State::Data;
            self.padding = if header.has(flag::PADDED) { None } else { Some(0) };
            if self.padding.is_none() && header.bytes == 0 {
                return Err("a frame without room for its padding");
            }
        }
        Ok(())
    }

    fn data<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Frame<'a>>, &'static str> {
        let before = self.left;
        if self.padding.is_none() {
            let [padding] = take(input, 1) else { return Ok(None) };
            self.left -= 1;
            if usize::from(*padding) > self.left {
                return Err("a frame with more padding than payload");
            }
            self.padding = Some(usize::from(*padding));
        }
        let data = take(input, self.left.saturating_sub(self.padding.unwrap_or(0)));
        self.left -= data.len();
        if self.left <= self.padding.unwrap_or(0) {
            self.left -= take(input, self.left).len();
        }
        let window_bytes = before - self.left;
        if window_bytes == 0 && self.left > 0 {
            return Ok(None);
        }
        let ends = self.left == 0 && self.header.has(flag::END_STREAM);
        let wire_bytes = window_bytes + if self.is_new { HEADER_BYTES } else { 0 };
        self.is_new = false;
        if self.left == 0 {
            self.state = State::Header;
        }
        Ok(Some(Frame::Data { stream: self.header.stream, data, window_bytes, wire_bytes, ends }))
    }
}

/// Takes at most `bytes` bytes from the start of `input`.
fn take<'a>(input: &mut &'a [u8], bytes: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(bytes.min(input.len()));
    *input = rest;
    taken
}

/// Appends a frame.
pub(crate) fn append(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&Header { bytes: payload.len(), kind, flags, stream }.encode());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all of `wire`, fed in pieces of `step` bytes: the data of each stream with its byte
    /// counts, and other frames.
    fn read(wire: &[u8], step: usize) -> Result<(Vec<String>, [usize; 2]), &'static str> {
        let (mut frames, mut found, mut counts) = (Frames::new(), Vec::<String>::new(), [0, 0]);
        let mut text = String::new();
        for piece in wire.chunks(step) {
            let mut input = piece;
            while let Some(frame) = frames.next(&mut input)? {
                match frame {
                    Frame::Data { stream, data, window_bytes, wire_bytes, ends } => {
                        text.push_str(std::str::from_utf8(data).expect("UTF-8"));
                        counts = [counts[0] + window_bytes, counts[1] + wire_bytes];
                        if ends {
                            found.push(format!("{stream}: {}", std::mem::take(&mut text)));
                        }
                    }
                    Frame::Other(header) => {
                        found.push(format!("{} {:?}", header.kind, frames.payload()));
                    }
                }
            }
        }
        Ok((found, counts))
    }

    #[test]
    fn reads_the_same_however_the_bytes_are_cut() {
        let mut wire = Vec::new();
        append(kind::SETTINGS, 0, 0, b"", &mut wire);
        append(kind::DATA, 0, 3, b"hello, ", &mut wire);
        append(kind::DATA, flag::PADDED, 3, b"\x02world\0\0", &mut wire);
        append(kind::DATA, flag::PADDED, 3, b"\x01\0", &mut wire);
        append(kind::PING, 0, 0, b"12345678", &mut wire);
        append(kind::DATA, flag::END_STREAM, 3, b"", &mut wire);
        append(0xfa, 0xff, 7, b"x", &mut wire);
        let found = ["4 []", "6 [49, 50, 51, 52, 53, 54, 55, 56]", "3: hello, world", "250 [120]"];
        let counts = [7 + 8 + 2, 7 + 8 + 2 + 4 * HEADER_BYTES];
        for step in 1..=wire.len() {
            assert_eq!(
                read(&wire, step),
                Ok((found.map(str::to_owned).to_vec(), counts)),
                "cut every {step}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_http2_and_what_does_not_fit() {
        assert!(read(b"HTTP/1.1 400 Bad Request\r\n\r\n", 64).is_err());
        for (flags, payload) in
            [(flag::PADDED, &b""[..]), (flag::PADDED, b"\x01"), (0, &[0; PAYLOAD_BYTES_MAX + 1])]
        {
            let mut wire = Vec::new();
            append(kind::SETTINGS, 0, 0, b"", &mut wire);
            append(kind::DATA, flags, 1, payload, &mut wire);
            assert!(read(&wire, 64).is_err(), "{flags} {}", payload.len());
        }
    }
}
