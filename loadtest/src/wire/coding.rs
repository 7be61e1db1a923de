//! The content codings of a stream, read by streaming decoders as the bytes arrive (RFC 1952,
//! RFC 8878).

use std::io::Write as _;

/// The coding that a subscription asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Coding {
    /// `zstd`
    Zstd,
    /// `gzip`
    Gzip,
}

/// The coding is not the requested one, or its bytes are malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadCoding;

/// A decoder of one stream.
pub(crate) enum Decoder {
    Zstd(zstd::stream::write::Decoder<'static, Vec<u8>>),
    Gzip(flate2::write::GzDecoder<Vec<u8>>),
}

impl Coding {
    /// Its name in a header.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The coding that a `Content-Encoding` names.
    ///
    /// # Errors
    /// Another coding, which no subscription asks for.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, CodingError> {
        let known = [Self::Zstd, Self::Gzip];
        let found = known.into_iter().find(|coding| value.eq_ignore_ascii_case(coding.name().as_bytes()));
        found.ok_or_else(|| CodingError::Unknown(String::from_utf8_lossy(value).into_owned()))
    }
}

/// Why a stream's coding cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodingError {
    /// No subscription asks for it.
    #[error("an unknown Content-Encoding {0:?}")]
    Unknown(String),
    #[error("a decoder of zstd")]
    Decoder(#[source] std::io::Error),
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub(crate) fn new(coding: Coding) -> Result<Self, CodingError> {
        Ok(match coding {
            Coding::Zstd => {
                let decoder = zstd::stream::write::Decoder::new(Vec::new());
                Self::Zstd(decoder.map_err(CodingError::Decoder)?)
            }
            Coding::Gzip => Self::Gzip(flate2::write::GzDecoder::new(Vec::new())),
        })
    }

    /// Decodes these bytes, and returns all output available so far.
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> Result<Vec<u8>, BadCoding> {
        let (outcome, out) = match self {
            Self::Zstd(decoder) => {
                (decoder.write_all(bytes).and_then(|()| decoder.flush()), decoder.get_mut())
            }
            Self::Gzip(decoder) => {
                (decoder.write_all(bytes).and_then(|()| decoder.flush()), decoder.get_mut())
            }
        };
        outcome.map_err(|_| BadCoding)?;
        Ok(std::mem::take(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_is_there_and_refuses_what_is_not_its_coding() {
        // A zstd frame, and an incomplete gzip member, each with the two bytes ":\n".
        let zstd = b"\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00:\n";
        let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x00\x02\x00\xfd\xff:\n";
        for (coding, bytes, other) in
            [(Coding::Zstd, &zstd[..], &gzip[..]), (Coding::Gzip, &gzip[..], &zstd[..])]
        {
            let mut decoder = Decoder::new(coding).expect("a decoder");
            let text: Vec<u8> =
                bytes.chunks(1).flat_map(|byte| decoder.decode(byte).expect("valid")).collect();
            assert_eq!(text, b":\n");
            assert_eq!(Decoder::new(coding).expect("a decoder").decode(other), Err(BadCoding));
            let parsed = Coding::parse(coding.name().to_uppercase().as_bytes());
            assert_eq!(parsed.expect("a coding"), coding);
        }
        assert!(Coding::parse(b"br").is_err());
    }
}
