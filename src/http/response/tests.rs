//! Responses: compared byte by byte where the protocol fixes the bytes, and parsed by httparse
//! where HTTP does.

use proptest::prelude::*;

use super::*;
use crate::http::headers::names::LINK;
use crate::sse::coding::Coding;

const KEPT: Http1<'static> =
    Http1 { version: Version::Http11, head_only: false, keep_alive: true, date: None };

fn encode(response: &Response, http1: &Http1<'_>) -> String {
    let mut out = Vec::new();
    response.encode(http1, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

/// The fields, as HTTP/1.1 has them.
fn fields(response: &Response) -> impl Iterator<Item = (&'static str, &str)> {
    response
        .fields()
        .map(|(name, value)| (name.as_str(), std::str::from_utf8(value.as_bytes()).expect("UTF-8")))
}

fn value<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    fields(response).find(|(other, _)| *other == name).map(|(_, value)| value)
}

fn event_id(text: &str) -> EventId {
    EventId::parse(text).expect("an event id")
}

/// One of each way to make a response.
fn all() -> Vec<Response> {
    vec![
        Response::published(&event_id("a")),
        Response::stream(None, Dialect::Draft07),
        Response::text(StatusCode::OK, "text"),
        Response::empty(StatusCode::NO_CONTENT),
        Response::empty(StatusCode::NOT_MODIFIED),
        Response::status_only(StatusCode::NOT_FOUND),
        Response::request_error(RequestError::Chunk),
        Response::bad_request(&"why"),
        Response::unauthorized(Challenge::Missing),
        Response::unauthorized(Challenge::InvalidToken),
        Response::method_not_allowed("GET"),
        Response::unavailable(1),
        Response::healthy(),
    ]
}

#[test]
fn the_head_of_a_stream_is_that_of_protocol_section_2() {
    let common = "HTTP/1.1 200 OK\r\n\
        X-Content-Type-Options: nosniff\r\n\
        X-Frame-Options: DENY\r\n\
        Content-Security-Policy: default-src 'self'\r\n\
        Content-Type: text/event-stream\r\n\
        Cache-Control: private, no-cache, no-store, must-revalidate, max-age=0\r\n\
        Pragma: no-cache\r\n\
        Expires: 0\r\n\
        X-Accel-Buffering: no\r\n";
    let stream = Response::stream(None, Dialect::Draft07);
    let kept = format!("{common}Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(encode(&stream, &KEPT), kept);
    assert_eq!(encode(&stream, &Http1 { head_only: true, ..KEPT }), kept, "a HEAD is told the same");
    let old = Http1 { version: Version::Http10, keep_alive: false, ..KEPT };
    assert_eq!(encode(&stream, &old), format!("{common}Connection: close\r\n\r\n"));
    let asked = Http1 { keep_alive: false, ..KEPT };
    assert_eq!(
        encode(&stream, &asked),
        format!("{common}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
    );
}

#[test]
fn a_stream_tells_from_where_it_starts_only_when_it_was_asked() {
    let id = event_id("urn:é");
    for (precedes, expected) in [
        (None, None),
        (Some(Precedes::Earliest), Some("earliest")),
        (Some(Precedes::Event(&id)), Some("urn:é")),
    ] {
        assert_eq!(value(&Response::stream(precedes, Dialect::Draft07), "Last-Event-ID"), expected);
    }
}

#[test]
fn every_answer_carries_the_security_headers_once() {
    for response in all() {
        for (name, expected) in [
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Content-Security-Policy", "default-src 'self'"),
        ] {
            let values: Vec<_> = fields(&response).filter(|(other, _)| *other == name).collect();
            assert_eq!(values, [(name, expected)], "{response:?}");
        }
    }
    let mut debugger = Response::text(StatusCode::OK, "<p>");
    debugger.set(&CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'unsafe-inline'"));
    let policies = debugger.fields().filter(|(name, _)| *name == &CONTENT_SECURITY_POLICY);
    assert_eq!(policies.count(), 1, "a page's own policy stands alone: two would both be enforced");
    assert_eq!(fields(&debugger).filter(|(name, _)| name.starts_with("X-")).count(), 2);
}

#[test]
fn a_head_request_is_told_the_length_and_sent_no_body() {
    let response = Response::text(StatusCode::OK, "hello");
    let full = encode(&response, &KEPT);
    assert!(full.ends_with("Content-Length: 5\r\n\r\nhello"), "{full}");
    let head = encode(&response, &Http1 { head_only: true, ..KEPT });
    assert_eq!(head, full.strip_suffix("hello").expect("the body"));
}

#[test]
fn an_answer_that_cannot_have_a_body_has_neither_length_nor_body() {
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
        for response in [Response::empty(status), Response::text(status, "not sent")] {
            let text = encode(&response, &KEPT);
            assert!(!text.contains("Content-Length") && !text.contains("Transfer-Encoding"), "{text}");
            assert!(text.ends_with("\r\n\r\n"), "{text}");
        }
    }
    let empty = encode(&Response::empty(StatusCode::OK), &KEPT);
    assert!(empty.contains("\r\nContent-Length: 0\r\n"), "{empty}");
}

#[test]
fn the_connection_is_told_closed_or_left_to_the_default() {
    let response = Response::text(StatusCode::OK, "ok");
    for (version, keep_alive, closes) in [
        (Version::Http11, true, false),
        (Version::Http11, false, true),
        (Version::Http10, false, true),
        // If it were kept open, a client of 1.0 would still wait for the end of the connection.
        (Version::Http10, true, true),
    ] {
        let text = encode(&response, &Http1 { version, keep_alive, ..KEPT });
        assert_eq!(text.contains("\r\nConnection: close\r\n"), closes, "{text}");
        assert_eq!(text.matches("Connection:").count(), usize::from(closes), "{text}");
    }
}

#[test]
fn the_date_is_the_callers() {
    let date = HttpDate::from_unix_s(784_111_777);
    let text = encode(&Response::healthy(), &Http1 { date: Some(&date), ..KEPT });
    assert!(text.contains("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "{text}");
    assert!(!encode(&Response::healthy(), &KEPT).contains("Date:"));
}

#[test]
fn a_value_with_a_control_character_cannot_be_made() {
    for byte in (0..0x20_u8).filter(|&byte| byte != b'\t').chain([0x7f]) {
        let text = format!("a{}b", char::from(byte));
        assert!(HeaderValue::try_from(text).is_err(), "{byte:#x}");
    }
    for text in ["", "a", "a\tb", "é", "a: b"] {
        assert_eq!(HeaderValue::try_from(text.to_owned()).expect("a value").as_bytes(), text.as_bytes());
    }
}

#[test]
fn a_published_update_is_answered_with_its_id_alone() {
    let response = Response::published(&event_id("urn:uuid:1"));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.body(), Some(&b"urn:uuid:1"[..]));
    assert_eq!(value(&response, "Content-Type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn a_401_challenges_and_never_says_why() {
    for (challenge, expected) in
        [(Challenge::Missing, "Bearer"), (Challenge::InvalidToken, "Bearer error=\"invalid_token\"")]
    {
        let response = Response::unauthorized(challenge);
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(value(&response, "WWW-Authenticate"), Some(expected));
        assert_eq!(response.body(), Some(&b"Unauthorized"[..]));
    }
}

/// HTTP/1.1 writes the phrases of RFC 9110, section 15, and RFC 6585.
#[test]
fn every_status_has_its_phrase() {
    for (status, phrase) in [
        (200, "OK"),
        (204, "No Content"),
        (304, "Not Modified"),
        (308, "Permanent Redirect"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (408, "Request Timeout"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (415, "Unsupported Media Type"),
        (417, "Expectation Failed"),
        (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
        (501, "Not Implemented"),
        (503, "Service Unavailable"),
        (505, "HTTP Version Not Supported"),
    ] {
        let response = Response::empty(StatusCode::from_u16(status).expect("a status"));
        let text = encode(&response, &KEPT);
        assert!(text.starts_with(&format!("HTTP/1.1 {status} {phrase}\r\n")), "{text}");
    }
}

#[test]
fn errors_name_what_a_client_can_do() {
    assert_eq!(value(&Response::unavailable(7), "Retry-After"), Some("7"));
    assert_eq!(value(&Response::method_not_allowed("GET, HEAD"), "Allow"), Some("GET, HEAD"));
    assert_eq!(value(&Response::healthy(), "Cache-Control"), Some("no-store"));
    let refused = Response::request_error(RequestError::BodyTooLarge);
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(refused.body(), Some(&b"The request body is too large."[..]));
}

#[test]
fn a_successful_answer_to_a_url_with_a_token_is_private() {
    let mut published = Response::published(&event_id("a"));
    published.mark_private();
    assert_eq!(value(&published, "Cache-Control"), Some("private"));
    let mut healthy = Response::healthy();
    healthy.mark_private();
    assert_eq!(healthy.fields().filter(|(name, _)| *name == &CACHE_CONTROL).count(), 1);
    let mut stream = Response::stream(None, Dialect::Draft07);
    let before = stream.clone();
    stream.mark_private();
    assert_eq!(stream, before, "a stream says so already, and more");
    let mut error = Response::status_only(StatusCode::FORBIDDEN);
    error.mark_private();
    assert_eq!(value(&error, "Cache-Control"), None);
}

#[test]
fn there_is_one_vary_with_everything_that_counts() {
    let mut response = Response::stream(None, Dialect::Draft07);
    response.set_coding(Negotiated { varies: true, coding: Some(Coding::Zstd) });
    response.vary("Origin");
    let fields: Vec<_> = fields(&response).filter(|(name, _)| *name == "Vary").collect();
    assert_eq!(fields, [("Vary", "Accept-Encoding, Origin")]);
    assert_eq!(value(&response, "Content-Encoding"), Some("zstd"));
}

#[test]
fn a_field_is_added_or_replaced() {
    let mut response = Response::empty(StatusCode::OK);
    response.append(&VARY, HeaderValue::from_static("Origin"));
    response.append(&VARY, HeaderValue::from_static("Accept"));
    assert_eq!(fields(&response).filter(|(name, _)| *name == "Vary").count(), 2);
    response.set(&VARY, HeaderValue::from_static("*"));
    let left: Vec<_> = fields(&response).filter(|(name, _)| *name == "Vary").collect();
    assert_eq!(left, [("Vary", "*")]);
}

#[test]
fn every_answer_reads_as_http() {
    for response in all() {
        assert_reads_back(&response, &KEPT);
    }
}

/// Reads the encoded response with httparse, and checks the status, every field, and the length of
/// the body.
fn assert_reads_back(response: &Response, http1: &Http1<'_>) {
    let mut out = b"before".to_vec();
    response.encode(http1, &mut out);
    let encoded = out.strip_prefix(b"before").expect("what was there stays");
    let mut fields = [httparse::EMPTY_HEADER; 24];
    let mut parsed = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head_bytes) = parsed.parse(encoded).expect("HTTP") else {
        panic!("an incomplete head");
    };
    assert_eq!(parsed.version, Some(1));
    assert_eq!(parsed.code, Some(response.status().as_u16()));
    assert_eq!(parsed.reason, Some(reason(response.status())));
    let read: Vec<_> = parsed.headers.iter().map(|field| (field.name, field.value)).collect();
    for (name, value) in response.fields() {
        let (name, trimmed) = (name.as_str(), value.as_bytes().trim_ascii());
        assert!(read.contains(&(name, trimmed)), "{name}: {value:?} in {}", encoded.escape_ascii());
    }
    let of_the_message = ["Content-Length", "Transfer-Encoding", "Connection", "Date"];
    let others = read.iter().filter(|(name, _)| !of_the_message.contains(name)).count();
    assert_eq!(others, response.fields().count(), "no field came from a value");
    let sent = encoded.len() - head_bytes;
    assert_eq!(sent, response.content_length().filter(|_| !http1.head_only).unwrap_or_default());
}

proptest! {
    #[test]
    fn no_value_starts_a_line_of_its_own(text in any::<String>(), id in any::<String>(), head_only: bool) {
        let mut response = match EventId::parse(&id) {
            Ok(id) => Response::stream(Some(Precedes::Event(&id)), Dialect::Draft07),
            Err(_) => Response::text(StatusCode::OK, id),
        };
        if let Ok(value) = HeaderValue::try_from(text) {
            response.append(&LINK, value);
        }
        assert_reads_back(&response, &Http1 { head_only, ..KEPT });
    }
}

/// Tests 85, 86, 80 and 89 of MERCURE-1.0, section 13.
#[test]
fn a_challenge_of_draft_08_names_the_error_and_the_metadata() {
    for (challenge, status, expected) in [
        (Challenge::Missing, 401, "Bearer resource_metadata=\"https://h/m\""),
        (Challenge::InvalidToken, 401, "Bearer error=\"invalid_token\", resource_metadata=\"https://h/m\""),
        (
            Challenge::InsufficientScope,
            403,
            "Bearer error=\"insufficient_scope\", resource_metadata=\"https://h/m\"",
        ),
        (
            Challenge::InvalidRequest,
            400,
            "Bearer error=\"invalid_request\", resource_metadata=\"https://h/m\"",
        ),
    ] {
        let response = Response::challenge(challenge, "https://h/m");
        assert_eq!(
            (response.status().as_u16(), value(&response, "WWW-Authenticate")),
            (status, Some(expected))
        );
    }
    let bare = Response::unauthorized(Challenge::InsufficientScope);
    assert_eq!((bare.status(), value(&bare, "WWW-Authenticate")), (StatusCode::FORBIDDEN, None));
}

/// Tests 96 and 102 of MERCURE-1.0, section 13.
#[test]
fn a_stream_of_draft_08_names_its_cursor_in_a_field_of_its_own() {
    let id = event_id("\u{e9}");
    let stream = Response::stream(Some(Precedes::Event(&id)), Dialect::Draft08);
    let sent = stream.fields().find(|(name, _)| name.as_str() == "Mercure-Last-Event-ID");
    assert_eq!(sent.map(|(_, value)| value.as_bytes()), Some("\u{e9}".as_bytes()));
    assert_eq!(value(&stream, "Last-Event-ID"), None);
}
