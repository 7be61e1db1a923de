//! Group B of MERCURE-1.0, section 13: QUERY, the header Accept, and requests of other origins.

use super::access::{bearer, cookie, detail, exact, field, hub, publish, token};
use crate::common::{Hub, Stream, get};

const APP: &str = "https://app.e.x";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

fn query(hub: &Hub, query: &str, headers: &str, body: &str) -> Stream {
    let mut client = hub.connect();
    client.send(&format!(
        "QUERY /.well-known/mercure{query} HTTP/1.1\r\nHost: hub\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    Stream::open(client)
}

/// Tests 37 to 39 of MERCURE-1.0, section 13.
#[test]
fn a_query_subscribes_to_what_its_url_and_its_body_name() {
    let hub = hub(&[]);
    for (number, url, topics) in [(37, "", &["b"][..]), (38, "?match=a", &["a", "b"])] {
        let mut stream = query(&hub, url, FORM, "match=b");
        let head = (stream.status, stream.header("Content-Type"));
        assert_eq!(head, (200, Some("text/event-stream")), "test {number}");
        for topic in ["c", "a", "b"] {
            publish(&hub, &format!("topic={topic}&data={topic}"));
        }
        for topic in topics {
            let event = stream.next().expect("an update");
            assert_eq!(field(&event, "data"), Some(*topic), "test {number}");
        }
    }
    for id in ["X", "Y", "Z"] {
        publish(&hub, &format!("topic=a&data={id}&id={id}"));
    }
    for (headers, cursor) in [("", "X"), ("Last-Event-ID: Z\r\n", "Z")] {
        let headers = format!("{FORM}{headers}");
        let stream = query(&hub, "?last_event_id=X", &headers, "match=a&last_event_id=Y");
        assert_eq!(stream.header("Mercure-Last-Event-ID"), Some(cursor), "test 39");
    }
}

/// Tests 40 to 43 of MERCURE-1.0, section 13.
#[test]
fn a_query_that_is_no_form_and_a_client_that_wants_no_stream_are_refused() {
    let hub = hub(&[]);
    let large = format!("match=a&x={}", "a".repeat(1 << 20));
    for (number, headers, body, status) in [
        (40, "", "match=a", 400),
        (40, "Content-Type: application/json\r\n", "match=a", 415),
        (41, FORM, "Match=a", 400),
        (41, FORM, "topic=a", 400),
        (42, FORM, &large, 413),
    ] {
        assert_eq!(query(&hub, "", headers, body).status, status, "test {number}: {headers}");
    }
    for (accept, status) in [
        ("Accept: application/json\r\n", 406),
        ("Accept: text/event-stream;q=0\r\n", 406),
        ("Accept: */*\r\n", 200),
        ("", 200),
        ("Accept: text/*\r\n", 200),
    ] {
        assert_eq!(hub.subscribe_with("match=a", accept).status, status, "test 43: {accept}");
        let headers = format!("{FORM}{accept}");
        assert_eq!(query(&hub, "", &headers, "match=a").status, status, "test 43, QUERY: {accept}");
    }
}

/// Tests 44 to 46 of MERCURE-1.0, section 13.
#[test]
fn a_listed_origin_may_query_and_read_the_cursor_and_another_may_not() {
    let hub = hub(&[("CORS_ALLOWED_ORIGINS", APP)]);
    let preflight = hub.request(&format!(
        "OPTIONS /.well-known/mercure HTTP/1.1\r\nHost: hub\r\nOrigin: {APP}\r\n\
         Access-Control-Request-Method: QUERY\r\nAccess-Control-Request-Headers: content-type\r\n\r\n"
    ));
    assert!((200..300).contains(&preflight.status), "test 44: {preflight:?}");
    let methods = preflight.header("Access-Control-Allow-Methods");
    assert!(methods.is_some_and(|methods| methods.contains("QUERY")), "test 44: {preflight:?}");
    assert_eq!(preflight.header("Access-Control-Allow-Origin"), Some(APP), "test 44");

    let stream = hub.subscribe_with("match=a&last_event_id=X", &format!("Origin: {APP}\r\n"));
    let exposed = stream.header("Access-Control-Expose-Headers").expect("exposed headers");
    for name in ["Link", "Mercure-Last-Event-ID"] {
        assert!(exposed.split(", ").any(|exposed| exposed == name), "test 45: {exposed}");
    }
    let credential = cookie(&token(&[detail(&["subscribe"], &[exact("a")])]));
    let headers = format!("{credential}Origin: https://evil.example\r\n");
    let stream = hub.subscribe_with("match=a", &headers);
    assert!(stream.header("Access-Control-Allow-Origin").is_none(), "test 46: {}", stream.head);
    let invalid = hub.request(&get("match=a", &format!("{}Origin: {APP}\r\n", bearer("x"))));
    let allowed = invalid.header("Access-Control-Allow-Origin");
    assert_eq!((invalid.status, allowed), (401, Some(APP)), "a page can read why it is refused");
}
