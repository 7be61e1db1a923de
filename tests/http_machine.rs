//! Goal: the events of the HTTP/1 machine depend on the bytes of a connection, not on how the
//! network splits them.
//!
//! Method: every pipeline, valid or not, is fed whole, byte by byte, and cut in two and in three at
//! every place. Random valid pipelines are also compared with their source. Only public items are
//! used, as `server` uses them. The fuzz target `http1` does the same with any bytes.

use http::Method;
use petasos::http::request::Version;
use petasos::http::request_error::RequestError;
use petasos::limits::EMPTY_LINES_MAX;
use petasos_fuzz_properties::http1::{self, BODY_BYTES_MAX, Told};
use proptest::prelude::*;

fn drive<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Told> {
    http1::drive(pieces).told
}

fn whole(bytes: &[u8]) -> Vec<Told> {
    drive(std::iter::once(bytes))
}

/// Checks every cut in two, a sample of the cuts in three, and single bytes; returns the events,
/// which are the same each time.
fn however_cut(bytes: &[u8]) -> Vec<Told> {
    let expected = whole(bytes);
    assert_eq!(drive(bytes.chunks(1)), expected, "byte by byte: {}", bytes.escape_ascii());
    for first in 0..=bytes.len() {
        let (start, rest) = bytes.split_at(first);
        assert_eq!(drive([start, rest].into_iter()), expected, "cut at {first}: {}", bytes.escape_ascii());
        for second in [1, 2, 3, rest.len() / 2] {
            let (middle, end) = rest.split_at(second.min(rest.len()));
            let told = drive([start, middle, end].into_iter());
            assert_eq!(told, expected, "cut at {first} and {second} behind: {}", bytes.escape_ascii());
        }
    }
    expected
}

#[test]
fn a_pipeline_is_told_alike_however_it_is_cut() {
    let told = however_cut(
        b"\r\n\r\n\r\n\r\nGET /1?a=b HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\n\
        POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n\
        HEAD http://b/4 HTTP/1.1\r\nHost: a\r\nX:  \t \r\n\r\n\
        OPTIONS * HTTP/1.0\r\n\r\nGET /ignored HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let paths: Vec<_> = told
        .iter()
        .filter_map(|told| match told {
            Told::Head { path, .. } => Some(path.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(paths, ["/1", "/2", "/3", "/4", "*"], "in order, and none behind the end");
    assert_eq!(told.last(), Some(&Told::Answered { keep_alive: false }));
    let bodies: Vec<_> = told.iter().filter(|told| matches!(told, Told::Body(_))).cloned().collect();
    assert_eq!(bodies, ["", "hello", "hello!", "", ""].map(|body| Told::Body(body.into())));
}

#[test]
fn a_refusal_is_told_alike_however_it_is_cut() {
    for (bytes, error) in [
        ("GET / HTTP/1.1\nHost: a\n\n", RequestError::LineEnding),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", RequestError::LineEnding),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", RequestError::FieldValue),
        ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", RequestError::FieldName),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", RequestError::FieldName),
        ("GET / HTTP/1.1\r\n\r\n", RequestError::Host),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", RequestError::RequestLine),
        ("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", RequestError::Target),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", RequestError::Version),
        ("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestError::RequestLine),
        ("\r\n\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestError::RequestLine),
        ("\u{16}\u{3}\u{1}", RequestError::RequestLine),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            RequestError::ContentLength,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 41\r\n\r\na", RequestError::BodyTooLarge),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n28\r\n",
            RequestError::BodyTooLarge,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", RequestError::Chunk),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n", RequestError::Chunk),
    ] {
        for before in ["", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
            let told = however_cut(format!("{before}{bytes}").as_bytes());
            let end = [Told::Refused(error), Told::Answered { keep_alive: false }];
            assert!(told.ends_with(&end), "{bytes:?}: {told:?}");
        }
    }
}

/// PROTOCOL section 8: errors need cross-origin headers too, so the origin must be recovered from a
/// bad head.
#[test]
fn what_is_salvaged_from_a_refused_head_does_not_depend_on_its_cuts() {
    let origin = "Origin: https://a.example\r\n";
    for (bytes, is_head, found) in [
        (format!("GET / HTTP/1.1\r\n{origin}\r\n"), false, true),
        (format!("HEAD / HTTP/2.0\r\nHost: a\r\n{origin}\r\n"), true, true),
        (format!("GET / HTTP/1.1\r\n{origin}X: y\n{origin}\r\n"), false, true),
        (format!("GET / HTTP/1.1\r\nX: y\n{origin}\r\n"), false, false),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{origin}{origin}\r\n"), false, false),
        (format!("HEAD / HTTP/1.1\n{origin}\r\n"), true, false),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{origin}{}\r\n", "X: y\r\n".repeat(100)), false, true),
    ] {
        let told = however_cut(format!("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n{bytes}").as_bytes());
        let origin = found.then(|| b"https://a.example".to_vec());
        assert_eq!(told[told.len() - 3], Told::RecoveredHead { is_head, origin }, "{bytes:?}");
    }
}

#[test]
fn a_request_smuggled_into_a_body_is_a_body() {
    let inner = "GET /x HTTP/1.1\r\nHost: b\r\n\r\n";
    let fixed = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
    let chunk = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    let chunked = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    for bytes in [fixed, chunked] {
        let told = however_cut(bytes.as_bytes());
        assert_eq!(told[1..], [Told::Body(inner.into()), Told::Answered { keep_alive: true }]);
    }
}

/// One valid request: its bytes, and its expected events.
#[derive(Clone, Debug)]
struct Sample {
    bytes: Vec<u8>,
    told: Vec<Told>,
}

#[derive(Clone, Debug)]
enum Framing {
    None,
    Fixed,
    Chunks { bytes_each: usize, extension: String, trailers: String },
}

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![
        Just(Framing::None),
        Just(Framing::Fixed),
        (1_usize..20, "(;[a-z]{1,4}(=[a-z]{1,4})?)?", "(X-[a-z]{1,4}: [a-z ]{0,4}\r\n){0,2}").prop_map(
            |(bytes_each, extension, trailers)| Framing::Chunks { bytes_each, extension, trailers }
        ),
    ]
}

prop_compose! {
    fn sample()(
        (name, method) in prop::sample::select(vec![
            ("GET", Method::GET), ("POST", Method::POST), ("PUT", Method::PUT), ("PURGE", Method::from_bytes(b"PURGE").expect("a token")),
        ]),
        empty_lines in 0..=EMPTY_LINES_MAX,
        path in "/[a-z%~{}é]{0,8}",
        query in prop::option::of("[a-z=&?/%]{0,8}"),
        fields in "(X-[A-Za-z]{1,6}:[ \t]{0,2}[!-~é]{0,6}[ \t]{0,2}\r\n){0,4}",
        framing in framing(),
        content in prop::collection::vec(any::<u8>(), 0..=BODY_BYTES_MAX as usize),
        closes in prop::bool::weighted(0.1),
    ) -> Sample {
        let target = query.as_ref().map_or(path.clone(), |query| format!("{path}?{query}"));
        let close = if closes { "Connection: close\r\n" } else { "" };
        let start = format!("{}{name} {target} HTTP/1.1\r\n{fields}Host: a\r\n{close}", "\r\n".repeat(empty_lines));
        let mut bytes = start.into_bytes();
        let content = match framing {
            Framing::None => {
                bytes.extend_from_slice(b"\r\n");
                Vec::new()
            }
            Framing::Fixed => {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", content.len()).as_bytes());
                bytes.extend_from_slice(&content);
                content
            }
            Framing::Chunks { bytes_each, extension, trailers } => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in content.chunks(bytes_each) {
                    bytes.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
                content
            }
        };
        let head = Told::Head { method, version: Version::Http11, path, query, host: Some("a".to_owned()) };
        Sample { bytes, told: vec![head, Told::Body(content), Told::Answered { keep_alive: !closes }] }
    }
}

proptest! {
    #[test]
    fn a_valid_pipeline_is_told_as_it_was_made(
        samples in prop::collection::vec(sample(), 1..6),
        cuts in prop::collection::vec(1_usize..64, 1..32),
    ) {
        let bytes = samples.iter().flat_map(|sample| sample.bytes.iter().copied()).collect::<Vec<_>>();
        let mut expected = Vec::new();
        for sample in samples {
            expected.extend(sample.told);
            if expected.last() == Some(&Told::Answered { keep_alive: false }) {
                break;
            }
        }
        prop_assert_eq!(whole(&bytes), expected.clone());
        let mut cuts = cuts.into_iter().cycle();
        let mut rest = &bytes[..];
        let pieces = std::iter::from_fn(|| {
            let (piece, behind) = rest.split_at(cuts.next()?.min(rest.len()));
            rest = behind;
            (!piece.is_empty()).then_some(piece)
        });
        prop_assert_eq!(drive(pieces), expected);
    }

    #[test]
    fn any_bytes_are_told_alike_whole_and_byte_by_byte(
        pieces in prop::collection::vec(
            prop_oneof![
                8 => prop::sample::select(vec![
                    "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "Host: a\r\n", "\r\n", "Content-Length: 3\r\n",
                    "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n", "0\r\n\r\n", "abc", "\r", "\n", " ", "HTTP/2.0\r\n",
                ]).prop_map(|text| text.as_bytes().to_vec()),
                1 => prop::collection::vec(any::<u8>(), 0..4),
            ],
            0..12,
        ),
    ) {
        let bytes = pieces.concat();
        prop_assert_eq!(drive(bytes.chunks(1)), whole(&bytes));
    }
}
