//! Encoded frames, read back with the kinds of decoders that other programs use: streaming, and fed
//! in pieces of any size.

use std::io::{Read as _, Write as _};

use fastrand::Rng;

use super::*;

/// A typical update, of the kind that compression is for.
fn json(rng: &mut Rng, bytes: usize) -> Vec<u8> {
    let mut text = b"id: urn:uuid:5e94c686-2c0b-4f9b-958c-92ccc3bbb4eb\ndata: [".to_vec();
    while text.len() < bytes {
        let (id, price) = (rng.u32(..), rng.u32(..100_000));
        let item = format!("{{\"@id\":\"/books/{id}\",\"price\":{price},\"availability\":\"InStock\"}},");
        text.extend_from_slice(item.as_bytes());
    }
    text.truncate(bytes);
    text
}

fn noise(rng: &mut Rng, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|_| rng.u8(..)).collect()
}

/// The whole stream of these texts.
fn stream(coding: Coding, texts: &[&[u8]]) -> Vec<u8> {
    let mut stream = if coding == Coding::Gzip { GZIP_HEADER.to_vec() } else { Vec::new() };
    let mut crc_sum = CrcSum::default();
    for text in texts {
        let encoded = EncodedFrame::new(coding, text);
        stream.extend_from_slice(encoded.chunk().content());
        crc_sum.add(encoded.crc_part());
    }
    if coding == Coding::Gzip {
        stream.extend_from_slice(&gzip_end(crc_sum));
    }
    stream
}

/// The output of a decoder for a whole stream. The decoder has to end where the stream ends.
fn decoded(coding: Coding, stream: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        Coding::Gzip => {
            // Not the decoder for several members: a browser reads only one, and may or may not
            // check its trailer.
            let mut decoder = flate2::read::GzDecoder::new(stream);
            decoder.read_to_end(&mut out).expect("one member of gzip, with its trailer");
            assert!(decoder.into_inner().is_empty(), "bytes behind the trailer");
        }
        Coding::Zstd => {
            zstd::stream::read::Decoder::new(stream)
                .expect("a decoder")
                .read_to_end(&mut out)
                .expect("frames");
        }
    }
    out
}

#[test]
fn pieces_follow_each_other_in_any_order_and_number() {
    let mut rng = Rng::with_seed(7);
    let mut texts = vec![b":\n".to_vec()];
    for bytes in [1, 40, COMPRESSED_BYTES_MIN - 1, COMPRESSED_BYTES_MIN, 500, 2_000, 70_000, 200_000] {
        texts.push(json(&mut rng, bytes));
        texts.push(noise(&mut rng, bytes));
    }
    for coding in Coding::ALL {
        for _ in 0..60 {
            let some: Vec<&[u8]> = (0..rng.usize(1..12)).map(|_| &*texts[rng.usize(..texts.len())]).collect();
            assert_eq!(decoded(coding, &stream(coding, &some)), some.concat(), "{coding:?}");
        }
    }
}

/// A client shows an update when its frame arrives, not when the next one does.
#[test]
fn each_piece_can_be_read_as_soon_as_it_is_there() {
    let mut rng = Rng::with_seed(8);
    let texts: Vec<_> = [2, 60, 2_000, 130, 100_000].map(|bytes| json(&mut rng, bytes)).into();
    for coding in Coding::ALL {
        let mut gzip = flate2::write::GzDecoder::new(Vec::new());
        let mut zstd = zstd::stream::write::Decoder::new(Vec::new()).expect("a decoder");
        gzip.write_all(&GZIP_HEADER).expect("a header");
        let mut before = 0;
        for text in &texts {
            let encoded = EncodedFrame::new(coding, text);
            if coding == Coding::Gzip {
                // Go's decoder holds back decoded bytes until there is a flush.
                assert!(encoded.chunk().content().ends_with(&DEFLATE_FLUSH[1..]), "no flush");
            }
            let out = match coding {
                Coding::Gzip => {
                    gzip.write_all(encoded.chunk().content()).expect("deflate");
                    gzip.flush().expect("deflate");
                    gzip.get_ref()
                }
                Coding::Zstd => {
                    zstd.write_all(encoded.chunk().content()).expect("zstd");
                    zstd.flush().expect("zstd");
                    zstd.get_ref()
                }
            };
            assert_eq!(&out[before..], text, "{coding:?}");
            before = out.len();
        }
    }
}

#[test]
fn what_cannot_be_compressed_is_stored_and_grows_by_a_few_bytes_for_a_block() {
    let mut rng = Rng::with_seed(9);
    for coding in Coding::ALL {
        for bytes in
            [1, 2, 100, 128, 2_000, 65_535, 65_536, 131_072, 131_073, 1 << 20, COMPRESSED_BYTES_MAX + 1]
        {
            let text = noise(&mut rng, bytes);
            let encoded = EncodedFrame::new(coding, &text);
            let grown = encoded.chunk().content().len() - bytes;
            let blocks = bytes.div_ceil(DEFLATE_STORED_MAX);
            assert!(grown <= ENCODED_OVERHEAD_BYTES * blocks, "{coding:?}: {bytes} bytes grow by {grown}");
            assert_eq!(decoded(coding, &stream(coding, &[&text])), text);
        }
    }
}

#[test]
fn an_update_of_json_takes_half_and_a_huge_one_is_stored() {
    let mut rng = Rng::with_seed(10);
    for coding in Coding::ALL {
        let text = json(&mut rng, 2_000);
        let bytes = EncodedFrame::new(coding, &text).chunk().content().len();
        assert!(bytes <= text.len() / 2, "{coding:?}: {bytes}");
        let huge = json(&mut rng, COMPRESSED_BYTES_MAX + 1);
        let bytes = EncodedFrame::new(coding, &huge).chunk().content().len();
        assert!(bytes > huge.len(), "{coding:?}: {bytes}");
        let large = json(&mut rng, COMPRESSED_BYTES_MAX);
        assert!(EncodedFrame::new(coding, &large).chunk().content().len() < large.len() / 2, "{coding:?}");
        assert_eq!(decoded(coding, &stream(coding, &[&large, &huge])), [large, huge].concat());
    }
}

#[test]
fn an_encoded_frame_knows_nothing_of_the_one_before() {
    let mut rng = Rng::with_seed(11);
    let (first, second) = (json(&mut rng, 2_000), json(&mut rng, 2_000));
    for coding in Coding::ALL {
        let alone = EncodedFrame::new(coding, &second).chunk().content().to_vec();
        EncodedFrame::new(coding, &first);
        assert_eq!(EncodedFrame::new(coding, &second).chunk().content(), alone, "{coding:?}");
        let twice = EncodedFrame::new(coding, &second).chunk().content().to_vec();
        assert_eq!(twice, alone, "not even that it was the same");
    }
}

#[test]
fn a_window_is_no_larger_than_a_browser_accepts() {
    /// RFC 9659, section 3.
    const WINDOW_BYTES_MAX: u32 = 8 << 20;
    let mut rng = Rng::with_seed(12);
    for bytes in [1, 2_000, 1 << 20, COMPRESSED_BYTES_MAX, 9 << 20] {
        let text = json(&mut rng, bytes);
        let stream = stream(Coding::Zstd, &[&text]);
        let mut decoder = zstd::stream::read::Decoder::new(&*stream).expect("a decoder");
        decoder.window_log_max(WINDOW_BYTES_MAX.ilog2()).expect("a parameter");
        let mut out = Vec::new();
        decoder.read_to_end(&mut out).expect("a small window");
        assert_eq!(out, text);
    }
}

#[test]
fn a_whole_body_is_a_whole_stream() {
    let mut rng = Rng::with_seed(13);
    for coding in Coding::ALL {
        for bytes in [0, 20, 3_000] {
            let text = json(&mut rng, bytes);
            assert_eq!(decoded(coding, &coding.encode(&text)), text, "{coding:?}");
        }
    }
}

#[test]
fn an_encoded_frame_is_made_once_and_counted() {
    let encoded = EncodedFrames::default();
    assert_eq!(encoded.bytes_held(), 0);
    let text = json(&mut Rng::with_seed(14), 2_000);
    for coding in Coding::ALL {
        assert!(!encoded.has(coding));
        let made = std::ptr::from_ref(encoded.get_or_make(coding, &text));
        assert!(encoded.has(coding));
        assert_eq!(std::ptr::from_ref(encoded.get_or_make(coding, &text)), made);
    }
    let held: usize =
        Coding::ALL.iter().map(|it| encoded.get_or_make(*it, &text).chunk().framed().len()).sum();
    assert!(encoded.bytes_held() >= held);
}
