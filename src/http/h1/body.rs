//! The body of an HTTP/1 request: a fixed length, or chunks (RFC 9112, sections 6 and 7).
//!
//! ```text
//! Fixed:   Data ──all bytes──▶ Done
//! Chunked: Size ──CR──▶ SizeLf ──▶ Data ──▶ DataCr ──▶ DataLf ──▶ Size …
//!            └─;─▶ Extension ──CR──▶ SizeLf
//!          SizeLf of the chunk of size 0 ──▶ LineStart ──CR──▶ EndLf ──▶ Done
//!                                              └─▶ Trailer ──CR──▶ TrailerLf ──▶ LineStart
//! ```
//!
//! Invariants: the body never exceeds its bound, and a larger one is refused before its bytes are
//! read; every line ends with exactly CR LF; extensions and trailers are skipped, within bounds,
//! and never used.

use crate::http::request_error::RequestError;
use crate::limits::{CHUNK_EXTENSIONS_BYTES_MAX, TRAILERS_BYTES_MAX};

/// Digits of a chunk size: as many as fit in a `u64`, so that none can overflow.
const CHUNK_SIZE_DIGITS_MAX: u8 = 16;

/// The framing of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body, or its length is 0.
    Empty,
    /// `Content-Length`, in bytes.
    Fixed(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// The state machine that reads one body.
#[derive(Clone, Debug)]
pub struct BodyReader {
    state: BodyState,
    /// Bytes that may still be added to the body.
    room_bytes: u64,
    extension_bytes_left: usize,
    trailer_bytes_left: usize,
}

#[derive(Clone, Copy, Debug)]
enum BodyState {
    Fixed { left: u64 },
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    LineStart,
    Trailer,
    TrailerLf,
    EndLf,
    Done,
}

impl BodyReader {
    /// A reader for a body of at most `body_bytes_max` bytes, after decoding of the chunks.
    ///
    /// # Errors
    /// [`RequestError::BodyTooLarge`] if the known length exceeds that.
    pub fn new(length: BodyLength, body_bytes_max: u64) -> Result<Self, RequestError> {
        let state = match length {
            BodyLength::Empty | BodyLength::Fixed(0) => BodyState::Done,
            BodyLength::Fixed(bytes) if bytes > body_bytes_max => return Err(RequestError::BodyTooLarge),
            BodyLength::Fixed(left) => BodyState::Fixed { left },
            BodyLength::Chunked => BodyState::Size { digits: 0, size: 0 },
        };
        Ok(Self {
            state,
            room_bytes: body_bytes_max,
            extension_bytes_left: CHUNK_EXTENSIONS_BYTES_MAX,
            trailer_bytes_left: TRAILERS_BYTES_MAX,
        })
    }

    /// Reads the bytes of `input` that belong to the body and appends the content to `out`. Returns
    /// how many bytes it took, and whether the body is complete. It takes all of `input` unless the
    /// body is complete.
    ///
    /// # Errors
    /// [`RequestError::Chunk`], [`RequestError::ChunkOverhead`] and [`RequestError::BodyTooLarge`].
    /// Do not call it again after an error.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(usize, bool), RequestError> {
        let mut rest = input;
        loop {
            if matches!(self.state, BodyState::Done) {
                return Ok((input.len() - rest.len(), true));
            }
            let Some(&byte) = rest.first() else { return Ok((input.len(), false)) };
            let taken = match self.state {
                BodyState::Fixed { left } => {
                    reserve(rest.len(), left, out);
                    let (taken, left) = copy(rest, left, out);
                    self.state = if left == 0 { BodyState::Done } else { BodyState::Fixed { left } };
                    taken
                }
                BodyState::Data { left } => {
                    let (taken, left) = copy(rest, left, out);
                    self.state = if left == 0 { BodyState::DataCr } else { BodyState::Data { left } };
                    taken
                }
                _ => {
                    self.state = self.step(byte)?;
                    1
                }
            };
            rest = &rest[taken..];
        }
    }

    /// The state after one byte of the framing.
    fn step(&mut self, byte: u8) -> Result<BodyState, RequestError> {
        match (self.state, byte) {
            (BodyState::Size { digits: 1.., size }, b'\r') => {
                self.size_known(size).map(|()| BodyState::SizeLf { size })
            }
            (BodyState::Size { digits: 1.., size }, b';') => {
                self.size_known(size)?;
                count(&mut self.extension_bytes_left)?;
                Ok(BodyState::Extension { size })
            }
            (BodyState::Size { digits, size }, _) if digits < CHUNK_SIZE_DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16).ok_or(RequestError::Chunk)?;
                Ok(BodyState::Size { digits: digits + 1, size: size << 4 | u64::from(digit) })
            }
            (BodyState::Extension { size }, b'\r') => Ok(BodyState::SizeLf { size }),
            (BodyState::Extension { size }, _) if is_text(byte) => {
                count(&mut self.extension_bytes_left)?;
                Ok(BodyState::Extension { size })
            }
            (BodyState::SizeLf { size: 0 }, b'\n') | (BodyState::TrailerLf, b'\n') => {
                Ok(BodyState::LineStart)
            }
            (BodyState::SizeLf { size }, b'\n') => Ok(BodyState::Data { left: size }),
            (BodyState::DataCr, b'\r') => Ok(BodyState::DataLf),
            (BodyState::DataLf, b'\n') => Ok(BodyState::Size { digits: 0, size: 0 }),
            (BodyState::LineStart, b'\r') => Ok(BodyState::EndLf),
            // A folded line continues the line before; as the first line it continues nothing. No
            // client sends either.
            (BodyState::LineStart, b' ' | b'\t') => Err(RequestError::Chunk),
            (BodyState::Trailer, b'\r') => Ok(BodyState::TrailerLf),
            (BodyState::LineStart | BodyState::Trailer, _) if is_text(byte) => {
                count(&mut self.trailer_bytes_left)?;
                Ok(BodyState::Trailer)
            }
            (BodyState::EndLf, b'\n') => Ok(BodyState::Done),
            _ => Err(RequestError::Chunk),
        }
    }

    /// Refuses a chunk that makes the body too large as soon as its size is known.
    fn size_known(&mut self, size: u64) -> Result<(), RequestError> {
        self.room_bytes = self.room_bytes.checked_sub(size).ok_or(RequestError::BodyTooLarge)?;
        Ok(())
    }
}

/// Makes room for the next bytes: as a `Vec` grows, but not beyond the `left` bytes that follow.
fn reserve(next_bytes: usize, left: u64, out: &mut Vec<u8>) {
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    let needed = out.len() + next_bytes.min(left);
    if needed > out.capacity() {
        let capacity = needed.max((2 * out.capacity()).min(out.len().saturating_add(left)));
        out.reserve_exact(capacity - out.len());
    }
}

/// Copies at most `left` bytes. Returns how many it copied, and how many then remain.
fn copy(input: &[u8], left: u64, out: &mut Vec<u8>) -> (usize, u64) {
    // A length beyond the address space means that all of the input belongs to the body.
    let taken = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
    out.extend_from_slice(&input[..taken]);
    (taken, left - taken as u64)
}

fn count(left: &mut usize) -> Result<(), RequestError> {
    *left = left.checked_sub(1).ok_or(RequestError::ChunkOverhead)?;
    Ok(())
}

/// Whether a byte may occur in an extension or a trailer: no control character except the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests;
