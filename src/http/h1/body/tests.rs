//! Bodies, whole and byte by byte: both ways of feeding must give the same result.

use proptest::prelude::*;

use super::*;

const BOUND: u64 = 32;

/// The content, and the number of bytes taken.
type Outcome = Result<(Vec<u8>, usize), RequestError>;

/// Feeds pieces until the body is complete, fails, or the input ends; `None` if it is then
/// incomplete.
fn feed<'a>(length: BodyLength, bound: u64, pieces: impl Iterator<Item = &'a [u8]>) -> Option<Outcome> {
    let mut body = match BodyReader::new(length, bound) {
        Ok(body) => body,
        Err(error) => return Some(Err(error)),
    };
    let (mut content, mut total) = (Vec::new(), 0);
    for piece in std::iter::once(&[][..]).chain(pieces) {
        match body.feed(piece, &mut content) {
            Ok((taken, is_complete)) => {
                total += taken;
                assert!(content.len() as u64 <= bound, "the bound holds at every step");
                if is_complete {
                    return Some(Ok((content, total)));
                }
                assert_eq!(taken, piece.len());
            }
            Err(error) => return Some(Err(error)),
        }
    }
    None
}

/// The outcome, which must be the same whole and byte by byte.
fn chunked(input: &[u8]) -> Option<Outcome> {
    let whole = feed(BodyLength::Chunked, BOUND, std::iter::once(input));
    assert_eq!(feed(BodyLength::Chunked, BOUND, input.chunks(1)), whole, "{}", input.escape_ascii());
    whole
}

fn assert_refused(input: impl AsRef<[u8]>, expected: RequestError) {
    let input = input.as_ref();
    assert_eq!(chunked(input), Some(Err(expected)), "{}", input.escape_ascii());
}

#[test]
fn a_fixed_length_takes_its_bytes_and_no_more() {
    let input = &b"helloGET / HTTP/1.1"[..];
    for pieces in [vec![input], input.chunks(1).collect(), input.chunks(3).collect()] {
        let (content, _) =
            feed(BodyLength::Fixed(5), BOUND, pieces.into_iter()).expect("complete").expect("a body");
        assert_eq!(content, b"hello");
    }
    assert_eq!(feed(BodyLength::Fixed(5), BOUND, std::iter::once(&b"hell"[..])), None);
    for length in [BodyLength::Empty, BodyLength::Fixed(0)] {
        assert_eq!(feed(length, 0, std::iter::empty()), Some(Ok((Vec::new(), 0))));
    }
}

#[test]
fn a_fixed_length_beyond_the_bound_is_refused_before_its_bytes() {
    assert_eq!(BodyReader::new(BodyLength::Fixed(BOUND + 1), BOUND).err(), Some(RequestError::BodyTooLarge));
    assert_eq!(BodyReader::new(BodyLength::Fixed(u64::MAX), BOUND).err(), Some(RequestError::BodyTooLarge));
    assert!(BodyReader::new(BodyLength::Fixed(BOUND), BOUND).is_ok());
    assert!(BodyReader::new(BodyLength::Fixed(u64::MAX), u64::MAX).is_ok());
}

#[test]
fn chunks_are_joined_and_what_follows_is_left() {
    for (input, content) in [
        (&b"0\r\n\r\n"[..], &b""[..]),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"1\r\na\r\nA\r\n0123456789\r\n0\r\n\r\n", b"a0123456789"),
        (b"00000005\r\nhello\r\n000\r\n\r\n", b"hello"),
        (b"0000000000000001\r\na\r\n0\r\n\r\n", b"a"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"1;x\r\na\r\n0;y=\"z\"\r\n\r\n", b"a"),
        (b"1;\r\na\r\n0\r\n\r\n", b"a"),
        (b"1\r\na\r\n0\r\nX: y\r\nZ:\tz\r\n\r\n", b"a"),
    ] {
        assert_eq!(chunked(input), Some(Ok((content.to_vec(), input.len()))), "{}", input.escape_ascii());
        let mut more = input.to_vec();
        more.extend_from_slice(b"\r\nGET / HTTP/1.1\r\n");
        assert_eq!(chunked(&more), Some(Ok((content.to_vec(), input.len()))));
        for end in 0..input.len() {
            assert_eq!(chunked(&input[..end]), None, "{}", input[..end].escape_ascii());
        }
    }
}

#[test]
fn a_chunk_size_is_hexadecimal_digits_and_nothing_else() {
    for size in [
        "",
        "+1",
        "-1",
        "0x1",
        "1 ",
        " 1",
        "1\t",
        "g",
        "1g",
        "1_0",
        "\0",
        "\u{ff11}",
        "1,1",
        "00000000000000001",
        "ffffffffffffffff0",
        "\r",
    ] {
        assert_refused(format!("{size}\r\na\r\n0\r\n\r\n"), RequestError::Chunk);
    }
}

#[test]
fn a_line_of_the_chunked_coding_ends_with_cr_lf() {
    for input in [
        "1\na\r\n0\r\n\r\n",
        "1\ra\r\n0\r\n\r\n",
        "1\r\r\na\r\n0\r\n\r\n",
        "1;x\na\r\n0\r\n\r\n",
        "1;x\r\r\na\r\n0\r\n\r\n",
        "1;\0\r\na\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\na\r0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
        // One wrong byte; all others are correct.
        "1\rxa\r\n0\r\n\r\n",
        "1\r\nax\n0\r\n\r\n",
        "1\r\na\rx0\r\n\r\n",
        "0\rx\r\n",
        "0\r\nx\rx\r\n",
        "0\r\n\rx",
        "0\n\r\n",
        "0\r\n\n",
        "0\r\n\r\r",
        "0\r\nX: y\n\r\n",
        "0\r\nX: y\rZ\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX: y\r\n\tz\r\n\r\n",
    ] {
        assert_refused(input, RequestError::Chunk);
    }
}

#[test]
fn the_chunk_that_makes_a_body_too_large_is_refused_at_its_size() {
    assert_refused("21\r", RequestError::BodyTooLarge);
    assert_refused("21;", RequestError::BodyTooLarge);
    assert_refused("ffffffffffffffff\r", RequestError::BodyTooLarge);
    assert_refused("8000000000000000\r", RequestError::BodyTooLarge);
    let full = format!("20\r\n{}\r\n", "a".repeat(BOUND as usize));
    assert_refused(format!("{full}1\r"), RequestError::BodyTooLarge);
    assert_eq!(chunked(format!("{full}0\r\n\r\n").as_bytes()).map(|outcome| outcome.is_ok()), Some(true));
}

#[test]
fn sizes_that_sum_up_beyond_64_bits_do_not_wrap_around() {
    let mut body = BodyReader::new(BodyLength::Chunked, u64::MAX).expect("no length is known");
    let mut content = Vec::new();
    body.feed(b"1\r\na\r\n", &mut content).expect("a chunk");
    assert_eq!(body.feed(b"ffffffffffffffff\r\n", &mut content), Err(RequestError::BodyTooLarge));
}

#[test]
fn extensions_are_bounded_over_all_chunks() {
    let longest = "x".repeat(CHUNK_EXTENSIONS_BYTES_MAX - 1);
    let most = format!("1;{longest}\r\na\r\n");
    assert_eq!(chunked(format!("{most}0\r\n\r\n").as_bytes()).map(|outcome| outcome.is_ok()), Some(true));
    assert_refused(format!("{most}0;"), RequestError::ChunkOverhead);
    assert_refused(format!("1;{longest}x"), RequestError::ChunkOverhead);
}

#[test]
fn trailers_are_bounded() {
    let most = format!("0\r\n{}\r\n", "x".repeat(TRAILERS_BYTES_MAX));
    assert_eq!(chunked(format!("{most}\r\n").as_bytes()).map(|outcome| outcome.is_ok()), Some(true));
    assert_refused(format!("{most}x"), RequestError::ChunkOverhead);
    let many = "x\r\n".repeat(TRAILERS_BYTES_MAX + 1);
    assert_refused(format!("0\r\n{many}\r\n"), RequestError::ChunkOverhead);
}

proptest! {
    #[test]
    fn any_chunking_gives_the_content_back(
        chunks in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..8), "(;[a-z=\" ]{0,6})?"), 0..4),
        trailers in "([A-Z]: [a-z]{0,3}\r\n){0,2}",
        piece_bytes in 1_usize..16,
    ) {
        let (mut input, mut expected) = (Vec::new(), Vec::new());
        for (content, extension) in &chunks {
            input.extend_from_slice(format!("{:X}{extension}\r\n", content.len()).as_bytes());
            input.extend_from_slice(content);
            input.extend_from_slice(b"\r\n");
            expected.extend_from_slice(content);
        }
        input.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        let outcome = feed(BodyLength::Chunked, BOUND, input.chunks(piece_bytes));
        prop_assert_eq!(outcome, Some(Ok((expected, input.len()))));
    }

    #[test]
    fn any_bytes_come_to_the_same_end_however_cut(input in "[0-2a;x\r\n:\0 ]{0,24}") {
        chunked(input.as_bytes());
    }
}
