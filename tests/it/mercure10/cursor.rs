//! Group F of MERCURE-1.0, section 13: the last event id.

use super::access::{encoded, field, hub, publish};
use crate::common::Hub;

/// Events of subscriptions would be in the history, too.
const WITHOUT_EVENTS: [(&str, &str); 1] = [("SUBSCRIPTIONS", "0")];
const HEADER: &str = "Mercure-Last-Event-ID";

/// Subscribes to `a`; returns the header of the response, and the data of what arrives until an
/// update that is published afterwards.
fn resumed(hub: &Hub, query: &str, headers: &str) -> (Option<String>, Vec<String>) {
    let mut stream = hub.subscribe_with(&format!("match=a{query}&match=end"), headers);
    assert_eq!(stream.status, 200, "{query} {headers}");
    assert!(stream.header("Last-Event-ID").is_none(), "the name of draft 07: {}", stream.head);
    assert_eq!(publish(hub, "topic=live&topic=end&data=live&id=live").status, 200);
    let answer = stream.header(HEADER).map(str::to_owned);
    let next = || Some(field(&stream.next()?, "data")?.to_owned());
    (answer, std::iter::from_fn(next).take_while(|data| data != "live").collect())
}

/// Tests 96 to 102 of MERCURE-1.0, section 13.
#[test]
fn a_cursor_says_where_the_stream_starts_and_the_response_where_it_started() {
    // What ends the list of a row comes after these four, so it also ends the list of later rows.
    let hub_with_history = || {
        let hub = hub(&WITHOUT_EVENTS);
        for (id, data) in [("1", "first"), ("2", "second"), ("1", "third"), ("%C3%A9", "fourth")] {
            let answer = publish(&hub, &format!("topic=a&data={data}&id={id}"));
            assert_eq!((answer.status, encoded(&answer.body)), (200, id.to_owned()), "test 102");
        }
        hub
    };
    let all = &["first", "second", "third", "fourth"][..];
    let hub = hub_with_history();
    for (number, query, headers, cursor, arrive) in [
        (96, "&last_event_id=2", "", Some("2"), &all[2..]),
        (97, "&last_event_id=earliest", "", Some("earliest"), all),
        (97, "&last_event_id=unknown", "", Some("earliest"), all),
        (98, "&last_event_id=1", "Last-Event-ID: 2\r\n", Some("2"), &all[2..]),
        (98, "", "Last-Event-ID: 2\r\n", Some("2"), &all[2..]),
        (100, "", "", None, &[]),
        // An empty parameter of an older client is no cursor.
        (100, "&lastEventID=", "", None, &[]),
        (100, "&Last-Event-ID=&lastEventId=", "", None, &[]),
        (101, "&last_event_id=1", "", Some("1"), &all[1..]),
        (102, "&last_event_id=%C3%A9", "", Some("é"), &[]),
        (102, "", "Last-Event-ID: é\r\n", Some("é"), &[]),
    ] {
        let (answer, received) = resumed(&hub, query, headers);
        assert_eq!(answer.as_deref(), cursor, "test {number}: {query} {headers}");
        assert_eq!(received, arrive, "test {number}: {query} {headers}");
    }
    let hub = hub_with_history();
    for (query, headers) in [("&last_event_id=", ""), ("&last_event_id", ""), ("", "Last-Event-ID: \r\n")] {
        let newest = publish(&hub, "topic=a&data=newest").body;
        let (answer, received) = resumed(&hub, query, headers);
        assert_eq!((answer, received), (Some(newest), Vec::new()), "test 99: {query} {headers}");
    }
}

/// Tests 97 and 99 of MERCURE-1.0, section 13.
#[test]
fn an_empty_history_starts_at_the_earliest_event() {
    let hub = hub(&WITHOUT_EVENTS);
    for (number, query, headers) in [
        (97, "&last_event_id=earliest", ""),
        (97, "&last_event_id=unknown", ""),
        (99, "&last_event_id=", ""),
        (99, "", "Last-Event-ID:\r\n"),
    ] {
        let stream = hub.subscribe_with(&format!("match=a{query}"), headers);
        assert_eq!(stream.header(HEADER), Some("earliest"), "test {number}: {query} {headers}");
    }
}
