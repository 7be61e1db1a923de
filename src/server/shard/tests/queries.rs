//! Subscriptions of draft 08, by `GET` and by `QUERY` (RFC 10008).

use super::*;

fn on_draft08() -> Harness {
    let dialects = Dialects::with_draft08(Some(Authorization::Selectors));
    Harness::with(Setup { dialects, ..Setup::default() })
}

fn query(target: &str, fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "QUERY /.well-known/mercure{target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    )
    .into_bytes()
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// Publishes to these topics, and commits.
fn publish(hub: &mut Harness, topics: &[&str]) {
    for topic in topics {
        let publisher = hub.connect();
        hub.request(&publisher, &publication(&format!("topic={topic}&id={topic}")));
        hub.commit();
        assert_eq!(status(&received(&publisher)), "200");
    }
}

/// Tests 37 and 38 of MERCURE-1.0, section 13.
#[test]
fn a_query_streams_what_its_url_and_its_body_name() {
    let mut hub = on_draft08();
    let subscriber = hub.connect();
    // The body comes in two parts: it is complete with the second.
    let request = query("?match=a", FORM, "match=b&match_exact=c");
    let (first, second) = request.split_at(request.len() - 5);
    assert_eq!(hub.request(&subscriber, first), "");
    assert_eq!(hub.request(&subscriber, second), "", "the head waits for the next write");
    hub.push(Vec::new());
    let head = received(&subscriber);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("text/event-stream"), "{head}");
    assert!(!head.contains("Last-Event-ID"), "{head}");
    publish(&mut hub, &["a", "b", "c", "d"]);
    let stream = received(&subscriber);
    for id in ["id: a\n", "id: b\n", "id: c\n"] {
        assert_eq!(stream.matches(id).count(), 1, "{stream}");
    }
    assert!(!stream.contains("id: d"), "{stream}");
}

/// Test 39 of MERCURE-1.0, section 13, and tests 96 and 97.
#[test]
fn a_query_resumes_and_names_its_cursor() {
    let mut hub = on_draft08();
    publish(&mut hub, &["a", "b"]);
    for (target, body, cursor, replayed) in [
        ("?last_event_id=a", "match=*&last_event_id=b", "a", true),
        ("", "match=*&last_event_id=b", "b", false),
        ("?match=*&last_event_id=", "", "end", false),
    ] {
        let subscriber = hub.connect();
        hub.request(&subscriber, &query(target, FORM, body));
        // What is replayed comes before what is published from now on.
        publish(&mut hub, &["end"]);
        let stream = hub.receive(&subscriber, "id: end\n");
        assert!(stream.contains(&format!("\r\nMercure-Last-Event-ID: {cursor}\r\n")), "{stream}");
        assert!(!stream.contains("\r\nLast-Event-ID"), "{stream}");
        assert_eq!(stream.contains("id: b\n"), replayed, "{stream}");
    }
}

/// Test 99 of MERCURE-1.0, section 13: the history is empty.
#[test]
fn an_empty_cursor_on_an_empty_history_is_the_earliest() {
    let mut hub = on_draft08();
    let subscriber = hub.connect();
    let request = "GET /.well-known/mercure?match=a&last_event_id= HTTP/1.1\r\nHost: a\r\n\r\n";
    hub.request(&subscriber, request.as_bytes());
    hub.push(Vec::new());
    let head = received(&subscriber);
    assert!(head.contains("\r\nMercure-Last-Event-ID: earliest\r\n"), "{head}");
}

/// Tests 40 to 42 of MERCURE-1.0, section 13.
#[test]
fn a_query_that_breaks_a_rule_is_refused_and_the_connection_goes_on() {
    let mut hub = on_draft08();
    let client = hub.connect();
    for (fields, body, expected) in [
        ("", "match=a", "400"),
        ("Content-Type: application/json\r\n", "{}", "415"),
        (FORM, "Match=a", "400"),
        (FORM, "", "400"),
    ] {
        let response = hub.request(&client, &query("", fields, body));
        assert_eq!(status(&response), expected, "{fields} {body}");
    }
    let length = BODY_BYTES_MAX_DEFAULT + 1;
    let head =
        format!("QUERY /.well-known/mercure HTTP/1.1\r\nHost: a\r\n{FORM}Content-Length: {length}\r\n\r\n");
    assert_eq!(status(&hub.request(&client, head.as_bytes())), "413");
}

#[test]
fn without_draft_08_a_query_is_405() {
    let mut hub = Harness::new();
    let client = hub.connect();
    let response = hub.request(&client, &query("?topic=a", FORM, ""));
    assert_eq!(status(&response), "405");
    assert!(response.contains("\r\nAllow: GET, HEAD, POST, OPTIONS\r\n"), "{response}");
}
