//! The chunked transfer coding (RFC 9112, section 7.1), read strictly: a hub with bad framing must
//! fail.

/// The state of the decoder between two reads of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the hexadecimal size; true after a digit.
    Size(bool),
    /// In an extension, which is skipped.
    Extension,
    /// After the carriage return of the size line.
    SizeEnd,
    /// In the data, `left` bytes of which remain.
    Data,
    /// After the data: its carriage return, then its line feed.
    DataReturn,
    DataEnd,
    /// In the trailer section; true at the start of a line.
    Trailer(bool),
    /// After the carriage return of a trailer line; true when the line was empty.
    TrailerEnd(bool),
    /// After the last chunk.
    Done,
}

/// A byte that the coding does not allow at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadChunk;

/// A decoder of one body.
#[derive(Debug)]
pub(crate) struct Chunked {
    state: State,
    left: u64,
}

impl Chunked {
    /// A decoder at the start of a body.
    pub(crate) fn new() -> Self {
        Self { state: State::Size(false), left: 0 }
    }

    /// True after the last chunk and its trailer section.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Parses `input` up to and including the next part of data and returns it; `None` when `input`
    /// is used up or the body has ended.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BadChunk> {
        loop {
            if self.state == State::Data && !input.is_empty() {
                let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
                let (data, rest) = input.split_at(take);
                *input = rest;
                self.left -= take as u64;
                if self.left == 0 {
                    self.state = State::DataReturn;
                }
                return Ok(Some(data));
            }
            if self.state == State::Done {
                return Ok(None);
            }
            let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
            *input = rest;
            self.state = self.step(byte)?;
        }
    }

    fn step(&mut self, byte: u8) -> Result<State, BadChunk> {
        match (self.state, byte) {
            (State::Size(_), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if self.left >= 1 << 56 {
                    return Err(BadChunk);
                }
                let digit = (byte as char).to_digit(16).ok_or(BadChunk)?;
                self.left = self.left * 16 + u64::from(digit);
                Ok(State::Size(true))
            }
            (State::Size(true), b'\r') | (State::Extension, b'\r') => Ok(State::SizeEnd),
            (State::Size(true), b';' | b' ' | b'\t') => Ok(State::Extension),
            (State::Extension, b'\n') => Err(BadChunk),
            (State::Extension, _) => Ok(State::Extension),
            (State::SizeEnd, b'\n') if self.left == 0 => Ok(State::Trailer(true)),
            (State::SizeEnd, b'\n') => Ok(State::Data),
            (State::DataReturn, b'\r') => Ok(State::DataEnd),
            (State::DataEnd, b'\n') => Ok(State::Size(false)),
            (State::Trailer(empty), b'\r') => Ok(State::TrailerEnd(empty)),
            (State::Trailer(_), b'\n') => Err(BadChunk),
            (State::Trailer(_), _) => Ok(State::Trailer(false)),
            (State::TrailerEnd(true), b'\n') => Ok(State::Done),
            (State::TrailerEnd(false), b'\n') => Ok(State::Trailer(true)),
            _ => Err(BadChunk),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `wire` in pieces of `step` bytes.
    fn decode(wire: &[u8], step: usize) -> Result<(Vec<u8>, bool), BadChunk> {
        let mut decoder = Chunked::new();
        let mut out = Vec::new();
        for piece in wire.chunks(step) {
            let mut input = piece;
            while let Some(data) = decoder.next(&mut input)? {
                out.extend_from_slice(data);
            }
        }
        Ok((out, decoder.is_done()))
    }

    #[test]
    fn decodes_the_same_however_the_bytes_are_cut() {
        let wire = b"5\r\nhello\r\n00A ; x=y\r\n, worldly!\r\n0\r\nX: y\r\n\r\n";
        for step in 1..=wire.len() {
            assert_eq!(decode(wire, step), Ok((b"hello, worldly!".to_vec(), true)), "cut every {step}");
        }
    }

    #[test]
    fn refuses_what_the_coding_does_not_allow() {
        for wire in [
            "\r\n",
            "g\r\n",
            "5\nhello",
            "1\r\nab\r\n",
            "1\r\na\n",
            "0\r\n\n",
            "fffffffffffffffff\r\n",
            "-1\r\n",
        ] {
            assert_eq!(decode(wire.as_bytes(), 1), Err(BadChunk), "{wire:?}");
        }
    }

    #[test]
    fn an_open_stream_is_not_done() {
        assert_eq!(decode(b"2\r\n:\n\r\n", 3), Ok((b":\n".to_vec(), false)));
    }
}
