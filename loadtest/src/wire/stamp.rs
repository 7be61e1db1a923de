//! The stamp at the start of every update's data: its run, its stream, its place in the stream, and
//! the time it was due.
//!
//! `rrrrrrrr.sssss.nnnnnnnnnn.tttttttttttttttt.` and then padding: fixed widths, and no byte that a
//! form must escape.

/// Length of a stamp, including its last dot.
pub(crate) const STAMP_BYTES: usize = 8 + 1 + 5 + 1 + 10 + 1 + 16 + 1;

/// The byte after the stamp, repeated.
pub(crate) const PADDING: u8 = b'x';

/// JSON, cut at this length: changing numbers under constant names, as in typical updates. No byte
/// of it must be escaped in a form.
pub(crate) fn json(bytes: usize) -> Vec<u8> {
    let mut out = b"[".to_vec();
    let mut number = 1_u32;
    while out.len() < bytes {
        // Any sequence that does not repeat soon.
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (price, stock) = (number >> 8 & 0xffff, number >> 24);
        let item = format!(
            "{{\"@id\":\"/books/{number}\",\"price\":{price},\"currency\":\"EUR\",\"stock\":{stock}}},"
        );
        out.extend_from_slice(item.as_bytes());
    }
    out.truncate(bytes);
    out
}

/// The identification of one update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The run that published it: updates of other runs are not judged.
    pub(crate) run: u32,
    /// The stream (a topic or a publisher) that it belongs to; at most 99,999.
    pub(crate) stream: u32,
    /// Its place in the stream, from 0.
    pub(crate) sequence: u64,
    /// The time at which it was due, in nanoseconds of the run's clock.
    pub(crate) due_ns: u64,
}

impl Stamp {
    /// Writes the stamp at the start of `data`; the caller pads the rest.
    ///
    /// # Panics
    /// If `data` is shorter than [`STAMP_BYTES`].
    pub(crate) fn write(&self, data: &mut [u8]) {
        let Self { run, stream, sequence, due_ns } = self;
        let text = format!("{run:08}.{stream:05}.{sequence:010}.{due_ns:016}.");
        data[..STAMP_BYTES].copy_from_slice(text.as_bytes());
    }

    /// Appends the stamp and the padding that makes it `data_bytes` long.
    #[cfg(test)]
    pub(crate) fn append(&self, data_bytes: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + data_bytes.max(STAMP_BYTES), PADDING);
        self.write(&mut out[start..]);
    }

    /// The first stamp of `run` anywhere in `data`, for servers that wrap published data.
    pub(crate) fn find(data: &[u8], run: u32) -> Option<Self> {
        let mark = format!("{run:08}.");
        memchr::memmem::find_iter(data, &mark).find_map(|at| Self::read(&data[at..]))
    }

    /// The stamp at the start of `data`; `None` if there is none.
    pub(crate) fn read(data: &[u8]) -> Option<Self> {
        let head: &[u8; STAMP_BYTES] = data.first_chunk()?;
        if [head[8], head[14], head[25], head[42]] != [b'.'; 4] {
            return None;
        }
        Some(Self {
            run: u32::try_from(number(&head[..8])?).ok()?,
            stream: u32::try_from(number(&head[9..14])?).ok()?,
            sequence: number(&head[15..25])?,
            due_ns: number(&head[26..42])?,
        })
    }
}

/// The value of at most 16 ASCII digits.
fn number(digits: &[u8]) -> Option<u64> {
    let mut bad = false;
    let value = digits.iter().fold(0_u64, |value, byte| {
        bad |= !byte.is_ascii_digit();
        value * 10 + u64::from(byte & 0x0f)
    });
    (!bad).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote_at_any_size() {
        let stamp =
            Stamp { run: 12_345_678, stream: 99_999, sequence: 9_876_543_210, due_ns: 1_234_567_890_123_456 };
        for bytes in [0, STAMP_BYTES, 142, 5_000] {
            let mut data = Vec::new();
            stamp.append(bytes, &mut data);
            assert_eq!(data.len(), bytes.max(STAMP_BYTES));
            assert_eq!(Stamp::read(&data), Some(stamp));
        }
    }

    #[test]
    fn does_not_take_other_data_for_a_stamp() {
        let mut data = Vec::new();
        Stamp { run: 1, stream: 2, sequence: 3, due_ns: 4 }.append(64, &mut data);
        assert_eq!(Stamp::read(&data[..STAMP_BYTES - 1]), None);
        for at in 0..STAMP_BYTES {
            let mut spoilt = data.clone();
            spoilt[at] = b'a';
            assert_eq!(Stamp::read(&spoilt), None, "byte {at}");
        }
    }

    #[test]
    fn finds_a_stamp_inside_a_wrapping() {
        let stamp = Stamp { run: 7, stream: 2, sequence: 3, due_ns: 4 };
        let mut data = br#"{"run":"00000007.","data":""#.to_vec();
        stamp.append(60, &mut data);
        data.extend_from_slice(b"\"}");
        assert_eq!((Stamp::read(&data), Stamp::find(&data, 7)), (None, Some(stamp)));
        assert_eq!(Stamp::find(&data, 8), None);
    }
}
