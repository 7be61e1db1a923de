//! Content codings: an event is compressed by itself, once, for all its subscribers.
//!
//! Invariants: an [`EncodedFrame`] may follow any other and ends at a byte boundary. So streams of
//! any updates are put together from shared encoded frames, and each update can be read as soon as
//! its own bytes arrive. An event that compression would make longer is stored: an encoded frame is
//! at most [`ENCODED_OVERHEAD_BYTES`] longer than its event, for each block of at least 64 KiB.

use std::cell::RefCell;
use std::sync::OnceLock;

use flate2::{Compress, Compression, FlushCompress};

use crate::limits::{COMPRESSED_BYTES_MAX, COMPRESSED_BYTES_MIN, COPIES_OF_AN_UPDATE_MAX};
use crate::sse::chunk::Chunk;
use crate::sse::crc::{CrcPart, CrcSum};
use crate::sse::held::HeldBytes;

/// The header of gzip (RFC 1952, section 2.3): deflate, no flag, no time, an unknown system.
pub const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Overhead of a stored block of gzip with the flush after it, or of a frame of zstd with one
/// stored block.
pub const ENCODED_OVERHEAD_BYTES: usize = 10;

/// An empty stored block, as a flush of zlib makes it. A decoder may hold back decoded bytes until
/// there is one. Go's decoder does, and so do proxies written in Go, which request gzip even if
/// their client did not.
const DEFLATE_FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];
/// The last block of deflate, empty: the fixed codes, then the end of the block (RFC 1951, section
/// 3.2.6).
const DEFLATE_END: [u8; 2] = [3, 0];
/// Content of a stored block of deflate. Its length has sixteen bits (RFC 1951, section 3.2.4).
const DEFLATE_STORED_MAX: usize = 0xffff;
/// The levels. Halving an update is enough, and both levels do it in a few microseconds.
const DEFLATE_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;
/// The start of a stored frame of zstd: the magic number, no flag, and a window of one block.
const ZSTD_STORED_HEADER: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
/// Content of a block of zstd (RFC 8878, section 3.1.1.2.4).
const ZSTD_BLOCK_MAX: usize = 128 << 10;

/// A content coding (RFC 9110, section 8.4.1) that is offered for streams and pages.
///
/// Brotli is not offered: its stream has a header and a state that continues from one flush to the
/// next, and the available libraries give no control over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// RFC 1952. A stream is one member, since browsers read no second one: one header, and at the
    /// end an empty block and the trailer ([`crate::sse::crc`]). An encoded frame is blocks of
    /// deflate (RFC 1951) that refer to nothing before them.
    Gzip,
    /// RFC 8878, with a window of 8 MiB at most, as RFC 9659 requires. An encoded frame is a frame
    /// of zstd; consecutive frames are one stream (RFC 8878, section 3.1).
    Zstd,
}

const _: () = assert!(COPIES_OF_AN_UPDATE_MAX == 1 + Coding::ALL.len());

/// One event in one coding.
///
/// Attacks such as CRIME and BREACH guess a secret from how well it compresses together with text
/// that the attacker chose. Here only the fields of one update compress together; no header, token
/// or other update shares a window with it. So private updates are compressed as well. If a
/// publisher puts a secret and another party's text into one update, its length gives hints to
/// anyone who sees the traffic; `COMPRESS=0` avoids that.
#[derive(Debug)]
pub struct EncodedFrame {
    chunk: Chunk,
    crc_part: CrcPart,
    /// Counts its memory.
    _held: HeldBytes,
}

/// The encoded frames of one event, each made at its first use. Two shards may make the same one at
/// the same time. That costs a few microseconds, and no shard waits for another core.
#[derive(Debug, Default)]
pub struct EncodedFrames {
    gzip: OnceLock<Box<EncodedFrame>>,
    zstd: OnceLock<Box<EncodedFrame>>,
}

/// The contexts of the compressors: large, and reused for every update. Each thread that compresses
/// has one set.
#[derive(Default)]
struct Contexts {
    deflate: Option<Compress>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> = RefCell::default();
}

impl Coding {
    /// Every coding.
    pub const ALL: [Self; 2] = [Self::Gzip, Self::Zstd];

    /// Its name in `Content-Encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// A whole body in this coding.
    pub fn encode(self, body: &[u8]) -> Vec<u8> {
        let encoded = compress(self, body);
        match self {
            Self::Zstd => encoded,
            Self::Gzip => {
                let mut crc_sum = CrcSum::default();
                crc_sum.add(CrcPart::of(body));
                [&GZIP_HEADER, &*encoded, &gzip_end(crc_sum)].concat()
            }
        }
    }
}

/// The end of a gzip stream with this checksum.
pub fn gzip_end(crc_sum: CrcSum) -> [u8; 10] {
    let mut end = [0; 10];
    end[..2].copy_from_slice(&DEFLATE_END);
    end[2..].copy_from_slice(&crc_sum.trailer());
    end
}

impl EncodedFrame {
    /// Compresses an event. An event is stored when it is too small to gain, too large to be
    /// compressed in passing, or does not become shorter.
    pub fn new(coding: Coding, event: &[u8]) -> Self {
        // Only gzip needs the checksum at the end.
        let crc_part = if coding == Coding::Gzip { CrcPart::of(event) } else { CrcPart::EMPTY };
        let chunk = Chunk::new(&compress(coding, event));
        let held = HeldBytes::new(size_of::<Self>() + chunk.framed().len());
        Self { chunk, crc_part, _held: held }
    }

    /// The encoded event: as one HTTP/1.1 chunk, and bare.
    pub fn chunk(&self) -> &Chunk {
        &self.chunk
    }

    /// Its part of the checksum of a gzip stream.
    pub fn crc_part(&self) -> CrcPart {
        self.crc_part
    }
}

impl EncodedFrames {
    /// The encoded frame of this event, which has to be the same event each time.
    pub fn get_or_make(&self, coding: Coding, event: &[u8]) -> &EncodedFrame {
        let place = self.place(coding);
        if let Some(encoded) = place.get() {
            return encoded;
        }
        // Made outside the lock, so a second caller makes its own frame instead of waiting.
        let made = Box::new(EncodedFrame::new(coding, event));
        place.get_or_init(|| made)
    }

    /// Whether it exists already.
    pub fn has(&self, coding: Coding) -> bool {
        self.place(coding).get().is_some()
    }

    /// Memory of the encoded frames now, in bytes.
    pub fn bytes_held(&self) -> usize {
        let encoded = Coding::ALL.iter().filter_map(|coding| self.place(*coding).get());
        encoded.map(|encoded| size_of::<EncodedFrame>() + encoded.chunk.framed().len()).sum()
    }

    fn place(&self, coding: Coding) -> &OnceLock<Box<EncodedFrame>> {
        match coding {
            Coding::Gzip => &self.gzip,
            Coding::Zstd => &self.zstd,
        }
    }
}

fn compress(coding: Coding, text: &[u8]) -> Vec<u8> {
    let compressed = match text.len() {
        COMPRESSED_BYTES_MIN..=COMPRESSED_BYTES_MAX => CONTEXTS.with_borrow_mut(|contexts| match coding {
            Coding::Gzip => contexts.deflate(text),
            Coding::Zstd => contexts.zstd(text),
        }),
        _ => None,
    };
    compressed.unwrap_or_else(|| match coding {
        Coding::Gzip => deflate_stored(text),
        Coding::Zstd => zstd_stored(text),
    })
}

impl Contexts {
    /// Blocks of deflate, ended by a flush. `None` when they would not be shorter than the text.
    fn deflate(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let context =
            self.deflate.get_or_insert_with(|| Compress::new(Compression::new(DEFLATE_LEVEL), false));
        // After the reset there is no earlier text to refer to, so a flush that keeps the window is
        // as good as one that clears it.
        context.reset();
        let mut out = Vec::with_capacity(text.len());
        context.compress_vec(text, &mut out, FlushCompress::Sync).ok()?;
        // The flush is complete only if there is room left in the buffer.
        (context.total_in() == text.len() as u64 && out.len() < out.capacity() && out.len() < text.len())
            .then_some(out)
    }

    /// A frame of zstd. `None` when it would not be shorter than the text.
    fn zstd(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        if self.zstd.is_none() {
            self.zstd = Some(zstd::bulk::Compressor::new(ZSTD_LEVEL).ok()?);
        }
        let mut out = Vec::with_capacity(text.len());
        let bytes = self.zstd.as_mut()?.compress_to_buffer(text, &mut out).ok()?;
        (bytes < text.len()).then_some(out)
    }
}

/// Stored blocks of deflate, which end at a byte boundary, and a flush.
fn deflate_stored(text: &[u8]) -> Vec<u8> {
    let blocks = text.len().div_ceil(DEFLATE_STORED_MAX);
    let mut out = Vec::with_capacity(text.len() + (blocks + 1) * DEFLATE_FLUSH.len());
    for block in text.chunks(DEFLATE_STORED_MAX) {
        let length = u16::try_from(block.len()).expect("a block has DEFLATE_STORED_MAX bytes at most");
        out.push(0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&DEFLATE_FLUSH);
    out
}

/// A frame of zstd with raw blocks.
fn zstd_stored(text: &[u8]) -> Vec<u8> {
    // Every frame has a last block, even if it is empty.
    let blocks = text.len().div_ceil(ZSTD_BLOCK_MAX).max(1);
    let mut out = Vec::with_capacity(ZSTD_STORED_HEADER.len() + text.len() + blocks * 3);
    out.extend_from_slice(&ZSTD_STORED_HEADER);
    for number in 0..blocks {
        let block = &text[number * ZSTD_BLOCK_MAX..text.len().min((number + 1) * ZSTD_BLOCK_MAX)];
        // Little-endian, in 24 bits: the length, two bits for the type (raw is 0), one for the last
        // block.
        let head = (block.len() as u32) << 3 | u32::from(number + 1 == blocks);
        out.extend_from_slice(&head.to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
    out
}

#[cfg(test)]
mod tests;
