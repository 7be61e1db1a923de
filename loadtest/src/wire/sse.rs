//! An event stream decoder (HTML Living Standard, section 9.2.6), one event at a time.
//!
//! Lines end in LF, CR or CR LF. An empty line dispatches an event that has a `data` field. The id
//! persists from one event to the next. `event` and `retry` are ignored: the judge needs neither.

/// The longest line or event data that is accepted, in bytes.
pub(crate) const EVENT_BYTES_MAX: usize = 16 << 20;

/// A line or an event is longer than [`EVENT_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// A decoder of one stream.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The beginning of an incomplete line.
    partial: Vec<u8>,
    data: Vec<u8>,
    id: Vec<u8>,
    has_data: bool,
    /// The last event was returned: the next byte clears its data.
    dispatched: bool,
    /// The last line ended in CR: a following LF belongs to it.
    after_return: bool,
    /// A byte of the stream was read: a byte order mark is no longer possible.
    started: bool,
    /// Length of the event so far, without comments.
    event_bytes: usize,
}

impl Decoder {
    /// Parses `input` up to the end of the next event; true if there is one, false when `input` is
    /// used up.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<bool, TooLong> {
        if self.dispatched {
            self.data.clear();
            self.has_data = false;
            self.dispatched = false;
            self.event_bytes = 0;
        }
        while !input.is_empty() {
            if self.after_return {
                self.after_return = false;
                if input[0] == b'\n' {
                    self.event_bytes += usize::from(self.event_bytes > 0);
                    *input = &input[1..];
                    continue;
                }
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', input) else {
                self.keep(input)?;
                *input = &[];
                return Ok(false);
            };
            let end_bytes = if input[end..].starts_with(b"\r\n") { 2 } else { 1 };
            self.after_return = input[end] == b'\r' && end_bytes == 1;
            let line = &input[..end];
            *input = &input[end + end_bytes..];
            if self.partial.is_empty() {
                self.line(line, end_bytes)?;
            } else {
                self.keep(line)?;
                let whole = std::mem::take(&mut self.partial);
                let outcome = self.line(&whole, end_bytes);
                self.partial = whole;
                self.partial.clear();
                outcome?;
            }
            if self.dispatched {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The data of the event that [`Self::next`] found, its lines joined by LF.
    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// The length of that event in the stream, from its first field to its empty line, without
    /// comments. It is one byte too short if the input was cut within the final CR LF.
    pub(crate) fn event_bytes(&self) -> usize {
        self.event_bytes
    }

    /// A decoder of a stream that continues after this event id.
    pub(crate) fn after(id: &[u8]) -> Self {
        Self { id: id.to_vec(), ..Self::default() }
    }

    /// The last event id of the stream so far; empty when none was given.
    pub(crate) fn id(&self) -> &[u8] {
        &self.id
    }

    /// Forgets an incomplete event, as a client that lost its connection does, but keeps the last
    /// event id.
    pub(crate) fn restart(&mut self) {
        let id = std::mem::take(&mut self.id);
        *self = Self { id, ..Self::default() };
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.partial.len() + bytes.len() > EVENT_BYTES_MAX {
            return Err(TooLong);
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, line: &[u8], end_bytes: usize) -> Result<(), TooLong> {
        let line = if self.started { line } else { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) };
        self.started = true;
        if line.first() != Some(&b':') {
            self.event_bytes += line.len() + end_bytes;
        }
        if line.is_empty() {
            self.dispatched = self.has_data;
            if !self.dispatched {
                self.event_bytes = 0;
            }
            return Ok(());
        }
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"data" => {
                if self.data.len() + value.len() >= EVENT_BYTES_MAX {
                    return Err(TooLong);
                }
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            b"id" if !value.contains(&0) => {
                self.id.clear();
                self.id.extend_from_slice(value);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every event of `wire` as (id, data), fed in pieces of `step` bytes.
    fn decode(wire: &[u8], step: usize) -> Vec<(String, String)> {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        for piece in wire.chunks(step) {
            let mut input = piece;
            while decoder.next(&mut input).expect("short") {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
                events.push((text(decoder.id()), text(decoder.data())));
            }
        }
        events
    }

    fn events(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(id, data)| ((*id).to_owned(), (*data).to_owned())).collect()
    }

    #[test]
    fn decodes_the_same_however_the_bytes_are_cut() {
        let wire = b"\xef\xbb\xbf:\n\nid: 1\ndata: a\ndata:b\n\nevent: x\r\nid: 2\r\ndata:  c\r\n\r\ndata\r\rid\ndata: d\n\n";
        let expected = events(&[("1", "a\nb"), ("2", " c"), ("2", ""), ("", "d")]);
        for step in 1..=wire.len() {
            assert_eq!(decode(wire, step), expected, "cut every {step}");
        }
    }

    #[test]
    fn an_event_without_data_is_not_dispatched_and_an_unfinished_one_neither() {
        assert_eq!(decode(b"id: 1\n\n: comment\n\ndata: x\n\ndata: lost\n", 7), events(&[("1", "x")]));
    }

    #[test]
    fn an_id_with_a_null_is_ignored() {
        assert_eq!(decode(b"id: 1\nid: a\0b\ndata: x\n\n", 64), events(&[("1", "x")]));
    }

    #[test]
    fn a_lost_connection_keeps_the_last_event_id_alone() {
        let mut decoder = Decoder::default();
        let mut input: &[u8] = b"id: 7\ndata: x\n\nid: 7\ndata: unfin";
        while decoder.next(&mut input).expect("short") {}
        decoder.restart();
        let mut input: &[u8] = b"data: y\n\n";
        assert!(decoder.next(&mut input).expect("short"));
        assert_eq!((decoder.id(), decoder.data()), (&b"7"[..], &b"y"[..]));
    }

    #[test]
    fn an_event_is_as_long_as_its_fields_and_its_empty_line() {
        let lengths = |wire: &[u8], step: usize| {
            let mut decoder = Decoder::default();
            let mut lengths = Vec::new();
            for piece in wire.chunks(step) {
                let mut input = piece;
                while decoder.next(&mut input).expect("short") {
                    lengths.push(decoder.event_bytes());
                }
            }
            lengths
        };
        for step in 1..20 {
            let wire = b"\r\n:\n\nid: 1\ndata: a\n\n:\ndata: bc\n: x\n\n";
            assert_eq!(lengths(wire, step), [15, 10], "cut every {step}");
        }
        let wire = b": hi\r\n\r\nid: 1\r\ndata: a\r\n\r\n";
        for step in 1..wire.len() {
            let is_cut_in_the_last_end = (wire.len() - 1).is_multiple_of(step);
            assert_eq!(lengths(wire, step), [18 - usize::from(is_cut_in_the_last_end)], "cut every {step}");
        }
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut decoder = Decoder::default();
        let block = vec![b'x'; 1 << 20];
        let outcome = (0..=16).try_for_each(|_| decoder.next(&mut &block[..]).map(|_| ()));
        assert_eq!(outcome, Err(TooLong));
    }
}
