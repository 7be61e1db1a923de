//! Properties that hold for any bytes: the bodies of the fuzz targets.
//!
//! Each target is a function that takes bytes and panics where a property does not hold. libFuzzer
//! calls it from `fuzz/fuzz_targets`; `tests/fuzz` calls it on a stable toolchain, with the seeds
//! and with mutations of them. The oracles are shared with `tests/http_machine.rs`,
//! `tests/selectors.rs` and `tests/simulation`.

pub mod accept_encoding;
pub mod cors;
pub mod date;
pub mod etag;
pub mod form;
pub mod forwarded;
pub mod http1;
pub mod http2;
pub mod pattern;
pub mod record;
pub mod redact;
pub mod stream;
pub mod stream_oracle;
pub mod template;
pub mod token;
pub mod update;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its libFuzzer binary, its seeds and its dictionary.
    pub name: &'static str,
    /// Panics where the property does not hold for these bytes.
    pub check: fn(&[u8]),
    /// The longest useful input, in bytes.
    pub input_bytes_max: usize,
}

/// Every target.
pub const TARGETS: [Target; 15] = [
    Target { name: "accept_encoding", check: accept_encoding::check, input_bytes_max: 512 },
    Target { name: "cors", check: cors::check, input_bytes_max: 512 },
    Target { name: "date", check: date::check, input_bytes_max: 8 },
    Target { name: "etag", check: etag::check, input_bytes_max: 512 },
    Target { name: "form", check: form::check, input_bytes_max: 4 << 10 },
    Target { name: "forwarded", check: forwarded::check, input_bytes_max: 512 },
    Target { name: "http1", check: http1::check, input_bytes_max: 8 << 10 },
    Target { name: "http2", check: http2::check, input_bytes_max: 16 << 10 },
    Target { name: "pattern", check: pattern::check, input_bytes_max: 2 << 10 },
    Target { name: "record", check: record::check, input_bytes_max: 2 << 10 },
    Target { name: "redact", check: redact::check, input_bytes_max: 1 << 10 },
    Target { name: "stream", check: stream::check, input_bytes_max: 2 << 10 },
    Target { name: "template", check: template::check, input_bytes_max: 2 << 10 },
    Target { name: "token", check: token::check, input_bytes_max: 4 << 10 },
    Target { name: "update", check: update::check, input_bytes_max: 4 << 10 },
];

/// Bytes of an input that choose what happens, one after the other; zeros after its end.
pub(crate) struct Choices<'b>(&'b [u8]);

impl<'b> Choices<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn next(&mut self) -> usize {
        self.take(1).first().copied().unwrap_or_default().into()
    }

    /// One of these.
    pub(crate) fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.next() % values.len()]
    }

    /// The next bytes; fewer at the end.
    pub(crate) fn take(&mut self, count: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Pieces of `bytes`, of lengths that depend on the bytes alone, so that a failure replays.
pub(crate) fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    let mut state = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    let mut rest = bytes;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Short pieces and long ones.
        let longest = 1_usize << ((state >> 60) % 10);
        let length = 1 + (state >> 33) as usize % longest;
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}
