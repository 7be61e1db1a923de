//! How a stream is sent over its connection: the HTTP transfer around the negotiated coding.
//!
//! Invariant: the outputs of a framing (opening, frames, comments, ending) form one well-formed
//! stream in any order that begins with the opening and ends with the ending. All of them are
//! constant, except frames and the gzip trailer.

use crate::limits::COMPRESSED_BYTES_PER_WORK;
use crate::sse::chunk::{Chunk, LAST_CHUNK};
use crate::sse::coding::{Coding, gzip_end};
use crate::sse::crc::{CrcPart, CrcSum};
use crate::sse::frame::{COMMENT, Frame};

/// How the parts of a stream and its end are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// HTTP/1.1: each part is a chunk.
    Chunked,
    /// HTTP/1.0: the bare bytes, until the connection closes. HTTP/2: the same, until the stream
    /// ends.
    Plain,
}

/// The framing of one stream; it does not change until the stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// The transfer, around the coding.
    pub transfer: Transfer,
    /// `Content-Encoding`; `None` sends the events uncompressed.
    pub coding: Option<Coding>,
}

/// The comment in each coding, as a chunk: for deflate a stored block with the two bytes and a
/// flush, for zstd a frame with the two bytes.
const COMMENT_CHUNK: &[u8] = b"2\r\n:\n\r\n";
const COMMENT_CHUNK_GZIP: &[u8] = b"c\r\n\x00\x02\x00\xfd\xff:\n\x00\x00\x00\xff\xff\r\n";
const COMMENT_CHUNK_ZSTD: &[u8] = b"b\r\n\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00:\n\r\n";
/// The gzip header and the comment.
const OPENING_CHUNK_GZIP: &[u8] =
    b"16\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x00\x02\x00\xfd\xff:\n\x00\x00\x00\xff\xff\r\n";

impl Framing {
    /// The number of framings.
    pub const COUNT: usize = 6;
    /// Chunks of uncompressed events.
    pub const CHUNKED: Self = Self { transfer: Transfer::Chunked, coding: None };
    /// The bare events.
    pub const PLAIN: Self = Self { transfer: Transfer::Plain, coding: None };

    /// A number for each framing, below [`Framing::COUNT`].
    pub fn index(self) -> usize {
        let coding = match self.coding {
            None => 0,
            Some(Coding::Gzip) => 1,
            Some(Coding::Zstd) => 2,
        };
        2 * coding + usize::from(self.transfer == Transfer::Plain)
    }

    /// The bytes of a frame in this framing.
    pub fn bytes(self, frame: &Frame) -> &[u8] {
        match (self.coding, self.transfer) {
            (None, Transfer::Chunked) => frame.chunk(),
            (None, Transfer::Plain) => frame.event(),
            (Some(coding), Transfer::Chunked) => frame.encoded(coding).chunk().framed(),
            (Some(coding), Transfer::Plain) => frame.encoded(coding).chunk().content(),
        }
    }

    /// The cost of [`Framing::bytes`] now, in the unit of
    /// [`MATCHING_WORK_MAX`](crate::limits::MATCHING_WORK_MAX): 0 unless the frame must be
    /// compressed first.
    pub fn work(self, frame: &Frame) -> u64 {
        match self.coding {
            Some(coding) if !frame.has_encoded(coding) => {
                (frame.event().len() / COMPRESSED_BYTES_PER_WORK) as u64 + 1
            }
            _ => 0,
        }
    }

    /// The first bytes of every stream. They end with a comment, so that the client's `open` event
    /// fires at once.
    pub fn opening(self) -> &'static [u8] {
        match self.coding {
            Some(Coding::Gzip) => self.part_of(OPENING_CHUNK_GZIP, 4),
            None | Some(Coding::Zstd) => self.comment(),
        }
    }

    /// The comment that is sent as a heartbeat.
    pub fn comment(self) -> &'static [u8] {
        let chunk = match self.coding {
            None => COMMENT_CHUNK,
            Some(Coding::Gzip) => COMMENT_CHUNK_GZIP,
            Some(Coding::Zstd) => COMMENT_CHUNK_ZSTD,
        };
        self.part_of(chunk, 3)
    }

    /// The end of a stream with this checksum; empty if the end of the connection or of the HTTP/2
    /// stream is enough.
    pub fn ending(self, carried: CrcSum) -> Vec<u8> {
        let mut ending = Vec::new();
        if self.is_summed() {
            let end = Chunk::new(&gzip_end(carried));
            ending.extend_from_slice(match self.transfer {
                Transfer::Chunked => end.framed(),
                Transfer::Plain => end.content(),
            });
        }
        if self.transfer == Transfer::Chunked {
            ending.extend_from_slice(LAST_CHUNK);
        }
        ending
    }

    /// Whether the end of the stream contains a checksum of its content.
    pub fn is_summed(self) -> bool {
        self.coding == Some(Coding::Gzip)
    }

    /// The effect of a frame on the checksum of the stream; empty if the framing has none.
    pub fn crc_part(self, frame: &Frame) -> CrcPart {
        match self.coding {
            Some(coding) if self.is_summed() => frame.encoded(coding).crc_part(),
            _ => CrcPart::EMPTY,
        }
    }

    /// The same for a comment.
    pub fn comment_crc(self) -> CrcPart {
        if self.is_summed() { CrcPart::of(COMMENT) } else { CrcPart::EMPTY }
    }

    fn part_of(self, chunk: &'static [u8], head_bytes: usize) -> &'static [u8] {
        match self.transfer {
            Transfer::Chunked => chunk,
            Transfer::Plain => &chunk[head_bytes..chunk.len() - 2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::coding::{EncodedFrame, GZIP_HEADER};

    #[test]
    fn the_constants_are_what_the_compressors_would_make() {
        for (coding, comment) in [(Coding::Gzip, COMMENT_CHUNK_GZIP), (Coding::Zstd, COMMENT_CHUNK_ZSTD)] {
            let chunked = Framing { transfer: Transfer::Chunked, coding: Some(coding) };
            let plain = Framing { transfer: Transfer::Plain, coding: Some(coding) };
            assert_eq!(chunked.comment(), comment);
            assert_eq!(chunked.comment(), Chunk::new(plain.comment()).framed());
            assert_eq!(chunked.opening(), Chunk::new(plain.opening()).framed());
            if coding == Coding::Gzip {
                assert_eq!(plain.comment(), EncodedFrame::new(coding, COMMENT).chunk().content());
                assert_eq!(plain.opening(), [&GZIP_HEADER, plain.comment()].concat());
            } else {
                assert_eq!(zstd::bulk::decompress(plain.comment(), 2).expect("a frame"), COMMENT);
            }
        }
        assert_eq!(Framing::CHUNKED.opening(), Chunk::new(COMMENT).framed());
        assert_eq!(Framing::PLAIN.opening(), COMMENT);
    }

    #[test]
    fn only_what_has_no_end_of_its_own_ends_with_the_connection() {
        let mut carried = CrcSum::default();
        carried.add(CrcPart::of(COMMENT));
        for coding in [None, Some(Coding::Gzip), Some(Coding::Zstd)] {
            let plain = Framing { transfer: Transfer::Plain, coding }.ending(carried);
            let chunked = Framing { transfer: Transfer::Chunked, coding }.ending(carried);
            assert_eq!(plain.is_empty(), coding != Some(Coding::Gzip));
            assert!(chunked.ends_with(LAST_CHUNK));
            assert_eq!(chunked.len() > LAST_CHUNK.len(), coding == Some(Coding::Gzip));
        }
    }

    #[test]
    fn every_framing_has_a_number_of_its_own() {
        let mut seen = [false; Framing::COUNT];
        for transfer in [Transfer::Chunked, Transfer::Plain] {
            for coding in [None, Some(Coding::Gzip), Some(Coding::Zstd)] {
                let framing = Framing { transfer, coding };
                assert!(!std::mem::replace(&mut seen[framing.index()], true), "{framing:?}");
            }
        }
        assert_eq!(seen, [true; Framing::COUNT]);
    }
}
