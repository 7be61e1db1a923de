//! RFC 9112 allows a recipient to repair some errors; the hub refuses them all. Each refusal is a
//! vector, and each bound is tested on both sides.

use crate::limits::EMPTY_LINES_MAX;
use http::StatusCode;

use super::*;
use crate::limits::{HEAD_BYTES_MAX, REQUEST_TARGET_BYTES_MAX};

fn parse(head: &[u8]) -> Result<Head<'_>, RequestError> {
    parse_head(head).map(|found| {
        let (head_found, length) = found.expect("a complete head");
        assert_eq!(length, head.len());
        head_found
    })
}

/// A `POST` with these field lines, each with its line ending.
fn post(fields: &str) -> String {
    format!("POST /hub HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

/// A request with this request line.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

fn assert_refused(head: impl AsRef<[u8]>, expected: RequestError) {
    let head = head.as_ref();
    assert_eq!(parse(head), Err(expected), "{}", head.escape_ascii());
    // A part of the head is either not judged yet, or gets the same result.
    for end in 0..head.len().min(512) {
        if let Err(error) = parse_head(&head[..end]) {
            assert_eq!(error, expected, "{}", head[..end].escape_ascii());
        }
    }
}

#[test]
fn a_request_is_read_whole() {
    let bytes = b"POST /hub?topic=a HTTP/1.1\r\nhOST: e.example:3000\r\nContent-Length: 5 \r\n\
        Authorization:Bearer x\r\nX-Unknown: \xe9\r\nlast-event-id: \xc3\xa9\r\nExpect: 100-continue\r\n\r\n";
    let head = parse(bytes).expect("a head");
    assert_eq!(head.body_length, BodyLength::Fixed(5), "white space around a value is not part of it");
    assert!(head.keep_alive);
    let request = head.request;
    assert_eq!((request.method, request.version), (Method::POST, Version::Http11));
    assert_eq!((request.path, request.query), ("/hub", Some("topic=a")));
    assert_eq!(request.host, Some("e.example:3000"));
    assert_eq!(request.authorization, Single::One(b"Bearer x"));
    assert_eq!(request.last_event_id, Some("é"));
    assert!(request.expect_continue);
}

/// A character that httparse took for a method and `http` did not would change the status.
#[test]
fn every_token_is_a_method_and_nothing_else_is() {
    for byte in (0..=u8::MAX).filter(|byte| !b" \r\n".contains(byte)) {
        let is_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        for name in [vec![byte], vec![byte; 40]] {
            let head = [&*name, b" /hub HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
            match parse(&head) {
                Ok(head) => assert_eq!((head.request.method.as_str().as_bytes(), is_token), (&*name, true)),
                Err(error) => assert_eq!((error, is_token), (RequestError::RequestLine, false), "{byte}"),
            }
        }
    }
}

#[test]
fn a_head_that_is_not_complete_is_not_an_error() {
    let head = post("Content-Length: 5\r\n");
    for end in 0..head.len() {
        assert_eq!(parse_head(&head.as_bytes()[..end]), Ok(None), "{end}");
    }
    let (_, length) = parse_head(format!("{head}hello").as_bytes()).expect("no refusal").expect("a head");
    assert_eq!(length, head.len(), "the body is not part of it");
}

#[test]
fn a_line_that_ends_without_cr_is_refused() {
    for head in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\nContent-Length: 5\r\n\r\n",
    ] {
        assert_refused(head, RequestError::LineEnding);
    }
    // A CR alone is a control character wherever it stands.
    assert_refused(post("X: a\rb\r\n"), RequestError::FieldValue);
    assert_refused(post("X: a\rContent-Length: 5\r\n"), RequestError::FieldValue);
    assert_refused(post("X: a\r\r\n"), RequestError::FieldValue);
    assert_refused("GET / HTTP/1.1\rHost: a\r\n\r\n", RequestError::LineEnding);
    assert_refused("GET / HTTP/1.1\r\nHost: a\r\n\r\r\n\r\n", RequestError::LineEnding);
}

#[test]
fn a_folded_line_is_refused() {
    for fields in [
        "X: a\r\n b\r\n",
        "X: a\r\n\tb\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "X: a\r\n Content-Length: 5\r\n",
        "X: a\r\n \r\n",
    ] {
        assert_refused(post(fields), RequestError::FieldName);
    }
    assert_refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n", RequestError::FieldName);
}

#[test]
fn a_field_name_that_is_not_a_token_is_refused() {
    for fields in [
        "X : a\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        "Host\u{b}: b\r\n",
        ": a\r\n",
        "no colon\r\n",
        "nocolon\r\n",
        "X\0: a\r\n",
        "X(y): a\r\n",
        "é: a\r\n",
    ] {
        assert_refused(post(fields), RequestError::FieldName);
    }
}

#[test]
fn a_control_character_in_a_value_is_refused() {
    for byte in (0..=0x1f).filter(|byte| !b"\t\r\n".contains(byte)).chain([0x7f]) {
        for fields in [format!("X: a{}b\r\n", char::from(byte)), format!("X: {}\r\n", char::from(byte))] {
            assert_refused(post(&fields), RequestError::FieldValue);
        }
    }
    assert!(parse(post("X: a\tb\r\n").as_bytes()).is_ok());
}

#[test]
fn a_content_length_is_digits_once() {
    for value in [
        "",
        "+5",
        "-5",
        "5 5",
        "5,",
        "5, 5",
        "5, 6",
        ",5",
        "0x5",
        "5.0",
        "5e0",
        "٥",
        "five",
        "18446744073709551616",
        "99999999999999999999999",
        "5;",
        "\"5\"",
    ] {
        assert_refused(post(&format!("Content-Length: {value}\r\n")), RequestError::ContentLength);
    }
    for second in ["5", "6", "", "05"] {
        let twice = format!("Content-Length: 5\r\nX: y\r\ncontent-length: {second}\r\n");
        assert_refused(post(&twice), RequestError::ContentLength);
    }
    for (value, expected) in [
        ("0", BodyLength::Empty),
        ("000", BodyLength::Empty),
        ("05", BodyLength::Fixed(5)),
        ("18446744073709551615", BodyLength::Fixed(u64::MAX)),
    ] {
        let head = post(&format!("Content-Length: {value}\r\n"));
        assert_eq!(parse(head.as_bytes()).map(|head| head.body_length), Ok(expected), "{value}");
    }
}

#[test]
fn a_length_beside_a_coding_is_refused() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "transfer-encoding: chunked\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: x\r\nTransfer-Encoding: identity\r\n",
    ] {
        assert_refused(post(fields), RequestError::LengthAndCoding);
    }
}

#[test]
fn a_transfer_coding_is_chunked_once_or_refused() {
    for value in [
        "",
        "xchunked",
        "chunkedx",
        "chunked, identity",
        "chunked,chunked",
        "gzip, chunked, chunked",
        "chunked, gzip, chunked",
        ",chunked",
        "chunked,",
        "identity",
        "gzip",
        "chunked;q=1",
        "\"chunked\"",
        "chunked chunked",
        "chun ked",
        "x chunked",
    ] {
        assert_refused(post(&format!("Transfer-Encoding: {value}\r\n")), RequestError::TransferEncoding);
    }
    for value in ["gzip, chunked", "identity, chunked", "x,y,chunked"] {
        assert_refused(post(&format!("Transfer-Encoding: {value}\r\n")), RequestError::UnknownCoding);
    }
    for second in ["chunked", "identity", ""] {
        let twice = format!("Transfer-Encoding: chunked\r\nTransfer-encoding: {second}\r\n");
        assert_refused(post(&twice), RequestError::TransferEncoding);
    }
    for value in ["chunked", "Chunked", " \tCHUNKED\t "] {
        let head = post(&format!("Transfer-Encoding:{value}\r\n"));
        assert_eq!(parse(head.as_bytes()).map(|head| head.body_length), Ok(BodyLength::Chunked));
    }
    // HTTP/1.0 has no chunks: a proxy that forwards them in 1.0 has misunderstood them (RFC 9112,
    // 6.1).
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_refused(old, RequestError::TransferEncoding);
}

#[test]
fn host_is_there_once_and_is_a_host() {
    for fields in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host:\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: http://a\r\n",
        "Host: a@b\r\n",
        "Host: a,b c\r\n",
        "Host: a:port\r\n",
        "Host: [::1\r\n",
        "Host: é\r\n",
    ] {
        assert_refused(format!("GET / HTTP/1.1\r\n{fields}\r\n"), RequestError::Host);
        // An absolute target does not replace it.
        assert_refused(format!("GET http://a/ HTTP/1.1\r\n{fields}\r\n"), RequestError::Host);
    }
    assert_eq!(parse(b"GET / HTTP/1.0\r\n\r\n").map(|head| head.request.host), Ok(None));
    assert_refused("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", RequestError::Host);
    assert_refused("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", RequestError::Host);
}

#[test]
fn the_authority_of_an_absolute_target_replaces_host() {
    let head = parse(b"GET http://b.example:8080/hub?x HTTP/1.1\r\nHost: a\r\n\r\n").expect("a head");
    assert_eq!(head.request.host, Some("b.example:8080"));
    assert_eq!((head.request.path, head.request.query), ("/hub", Some("x")));
}

#[test]
fn targets_have_the_form_their_method_allows() {
    for target in ["GET *", "POST *", "CONNECT a.example:443", "GET a.example:443", "GET hub", "GET ftp://a/"]
    {
        assert_refused(line(&format!("{target} HTTP/1.1")), RequestError::Target);
    }
    assert_refused(line("GET /a#b HTTP/1.1"), RequestError::Target);
    let head = line("OPTIONS * HTTP/1.1");
    assert_eq!(parse(head.as_bytes()).map(|head| head.request.path), Ok("*"));
}

#[test]
fn what_is_not_a_request_line_is_400() {
    for bad in [
        "GET",
        "GET /",
        "GET / ",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /a b HTTP/2.0",
        "G(T / HTTP/1.1",
        "GET /\u{1} HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.",
        "GET / HTTP/11",
        "GET / HTTP/1,1",
        "GET / HTTP/x.1",
        "GET / HTTPS/1.1",
        "GET / ICY",
        "{\"json\": true}",
        "HTTP/1.1 200 OK",
    ] {
        assert_refused(line(bad), RequestError::RequestLine);
    }
    for bad in ["GET / HTTP/1.1 ", "GET / HTTP/1.1x", "GET / HTTP/1.10"] {
        let error = parse(line(bad).as_bytes()).expect_err("not a request line");
        assert_eq!(error.status(), StatusCode::BAD_REQUEST, "{bad}");
    }
    // A TLS client on a plain port is refused before it waits for a reply to its hello.
    assert_eq!(parse_head(b"\x16"), Err(RequestError::RequestLine));
    assert_eq!(parse_head(b" GET"), Err(RequestError::RequestLine));
}

#[test]
fn another_version_is_505() {
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3.0", "HTTP/9.9"] {
        assert_refused(line(&format!("GET / {version}")), RequestError::Version);
    }
    assert_refused("PRI * HTTP/2.0\r\n\r\n", RequestError::Version);
    assert_eq!(RequestError::Version.status(), StatusCode::HTTP_VERSION_NOT_SUPPORTED);
}

#[test]
fn an_unknown_expectation_is_417() {
    for value in ["200-ok", "", "100-continue, x", "100-continue=1"] {
        assert_refused(post(&format!("Expect: {value}\r\n")), RequestError::Expectation);
    }
    assert_eq!(RequestError::Expectation.status(), StatusCode::EXPECTATION_FAILED);
    let old = parse(b"POST / HTTP/1.0\r\nExpect: x\r\n\r\n").expect("ignored in HTTP/1.0");
    assert!(!old.request.expect_continue);
}

#[test]
fn a_target_beyond_its_bound_is_414() {
    let target = format!("/{}", "a".repeat(REQUEST_TARGET_BYTES_MAX - 1));
    assert!(parse(line(&format!("OPTIONS {target} HTTP/1.1")).as_bytes()).is_ok());
    let longer = line(&format!("GET {target}a HTTP/1.1"));
    assert_eq!(parse(longer.as_bytes()), Err(RequestError::TargetTooLong));
    assert_eq!(RequestError::TargetTooLong.status(), StatusCode::URI_TOO_LONG);
    // The error is known before the line ends.
    let endless = format!("GET /{}", "a".repeat(REQUEST_TARGET_BYTES_MAX + 64));
    assert_eq!(parse_head(endless.as_bytes()), Err(RequestError::TargetTooLong));
}

#[test]
fn a_head_beyond_its_bound_is_431() {
    let filler = HEAD_BYTES_MAX - post("X: \r\n").len();
    let longest = post(&format!("X: {}\r\n", "a".repeat(filler)));
    assert_eq!(longest.len(), HEAD_BYTES_MAX);
    assert!(parse(longest.as_bytes()).is_ok());
    assert_eq!(parse_head(&longest.as_bytes()[..HEAD_BYTES_MAX - 1]), Ok(None));
    let longer = post(&format!("X: {}\r\n", "a".repeat(filler + 1)));
    assert_eq!(parse(longer.as_bytes()), Err(RequestError::HeadTooLong));
    assert_eq!(parse_head(&longer.as_bytes()[..HEAD_BYTES_MAX]), Err(RequestError::HeadTooLong));
    assert_eq!(RequestError::HeadTooLong.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[test]
fn fields_beyond_their_number_are_431() {
    let most = post(&"X: y\r\n".repeat(HEADERS_MAX - 1));
    assert!(parse(most.as_bytes()).is_ok());
    let more = post(&"X: y\r\n".repeat(HEADERS_MAX));
    assert_eq!(parse(more.as_bytes()), Err(RequestError::TooManyFields));
    assert_eq!(RequestError::TooManyFields.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    // The error is known before the head ends.
    assert_eq!(parse_head(&more.as_bytes()[..more.len() - 2]), Err(RequestError::TooManyFields));
}

#[test]
fn a_few_empty_lines_before_a_request_are_skipped() {
    let head = line("GET / HTTP/1.1");
    let with_lines = |lines: usize| format!("{}{head}", "\r\n".repeat(lines));
    assert!(parse(with_lines(EMPTY_LINES_MAX).as_bytes()).is_ok());
    assert_refused(with_lines(EMPTY_LINES_MAX + 1), RequestError::RequestLine);
    assert_refused(format!("\r{head}"), RequestError::RequestLine);
    assert_refused(format!("\n{head}"), RequestError::RequestLine);
}

#[test]
fn the_connection_is_kept_by_http_1_1_that_does_not_say_close() {
    for (fields, expected) in [
        ("", true),
        ("Connection: keep-alive\r\n", true),
        ("Connection: close\r\n", false),
        ("Connection: CLOSE\r\n", false),
        ("Connection: keep-alive, Close\r\n", false),
        ("Connection: keep-alive\r\nConnection: x,close\r\n", false),
        ("Connection: closed\r\n", true),
        ("Connection: upgrade\r\nUpgrade: websocket\r\n", true),
    ] {
        assert_eq!(parse(post(fields).as_bytes()).map(|head| head.keep_alive), Ok(expected), "{fields}");
    }
    for fields in ["", "Connection: keep-alive\r\n"] {
        let old = format!("GET / HTTP/1.0\r\n{fields}\r\n");
        assert_eq!(parse(old.as_bytes()).map(|head| head.keep_alive), Ok(false));
    }
}

#[test]
fn a_field_that_may_be_given_once_is_refused_twice_except_authorization() {
    assert_refused(post("Origin: a\r\nOrigin: a\r\n"), RequestError::Repeated("Origin"));
    assert_refused(
        post("Last-Event-ID: \u{e9}\r\nLast-Event-ID: a\r\n"),
        RequestError::Repeated("Last-Event-ID"),
    );
    assert_refused(
        b"GET / HTTP/1.1\r\nHost: a\r\nLast-Event-ID: \xff\r\nLast-Event-ID: a\r\n\r\n",
        RequestError::Repeated("Last-Event-ID"),
    );
    let twice = post("Authorization: Bearer a\r\nAuthorization: Bearer a\r\n");
    assert_eq!(parse(twice.as_bytes()).map(|head| head.request.authorization), Ok(Single::Several));
}
