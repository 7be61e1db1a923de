//! Responses on plain HTTP, without a socket; `tests/it/acme.rs` tests with sockets.

use super::*;
use crate::http::h1::head::parse_head;

fn handler() -> Handler {
    let challenges = Arc::new(Challenges::default());
    challenges.respond_http("token", "token.thumbprint");
    Handler { hosts: vec!["a.example".to_owned(), "b.example".to_owned()], challenges }
}

/// The status, and the redirect target.
fn respond(line: &str, host: &str) -> (u16, Option<String>) {
    let head = format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let (head, _) = parse_head(head.as_bytes()).expect("a head").expect("a whole one");
    let response = handler().respond(&head.request);
    let location = response.fields().find(|(name, _)| *name == &LOCATION);
    (response.status().as_u16(), location.map(|(_, value)| value.to_str().expect("ASCII").to_owned()))
}

#[test]
fn a_challenge_is_answered_on_any_host() {
    for host in ["a.example", "192.0.2.1:80"] {
        assert_eq!(respond("GET /.well-known/acme-challenge/token", host), (200, None));
        assert_eq!(respond("GET /.well-known/acme-challenge/other", host), (404, None));
        assert_eq!(respond("GET /.well-known/acme-challenge/", host), (404, None));
        assert_eq!(respond("POST /.well-known/acme-challenge/token", host), (405, None));
    }
    let handler = handler();
    handler.challenges.clear();
    assert_eq!(handler.challenges.text("token"), None);
}

#[test]
fn everything_else_is_at_https() {
    let to = |text: &str| (308, Some(text.to_owned()));
    assert_eq!(respond("GET /hub?topic=a%20b", "a.example"), to("https://a.example/hub?topic=a%20b"));
    assert_eq!(respond("POST /", "B.Example:80"), to("https://b.example/"));
    assert_eq!(respond("HEAD /x?", "a.example:8080"), to("https://a.example/x?"));
    assert_eq!(respond("GET //evil.example/x", "a.example"), to("https://a.example//evil.example/x"));
    assert_eq!(respond("GET http://b.example/x", "a.example"), to("https://b.example/x"));
    assert_eq!(respond("GET /\u{e9}", "a.example"), to("https://a.example/%C3%A9"));
}

#[test]
fn no_other_host_is_sent_anywhere() {
    for host in ["evil.example", "a.example.evil.example", "192.0.2.1", "[2001:db8::1]:80", "[::1]"] {
        assert_eq!(respond("GET /", host), (400, None), "{host}");
    }
    assert_eq!(respond("OPTIONS *", "a.example"), (400, None));
    assert_eq!(respond("GET http://evil.example/", "a.example"), (400, None));
}
