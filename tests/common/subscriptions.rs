//! Active subscriptions, as a client lists them and receives their events.

use std::time::Instant;

use serde_json::{Value, json};

use super::{DEADLINE, HttpResponse, Hub, Stream, id, token};

pub(crate) const PATH: &str = "/.well-known/mercure/subscriptions";
pub(crate) const EVENTS: &str = "topic=/.well-known/mercure/subscriptions%7B/topic%7D%7B/subscriber%7D";

pub(crate) fn hub(settings: &[(&str, &str)]) -> Hub {
    Hub::start(&[&[("SUBSCRIPTIONS", "1")], settings].concat())
}

pub(crate) fn bearer(selectors: &[&str]) -> String {
    format!("Authorization: Bearer {}\r\n", token(&json!({ "subscribe": selectors }), None))
}

pub(crate) fn ask_with(hub: &Hub, path: &str, headers: &str) -> HttpResponse {
    hub.request(&format!("GET {path} HTTP/1.1\r\nHost: hub\r\n{headers}\r\n"))
}

pub(crate) fn ask(hub: &Hub, path: &str) -> HttpResponse {
    ask_with(hub, path, &bearer(&["*"]))
}

pub(crate) fn list(hub: &Hub, path: &str) -> Value {
    let answer = ask(hub, path);
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/ld+json")));
    serde_json::from_str(&answer.body).expect("JSON")
}

pub(crate) fn members(list: &Value) -> &Vec<Value> {
    list["subscriptions"].as_array().expect("a list")
}

/// Asks for a list that the client has, until the hub responds 304: no shard has further changes.
pub(crate) fn unchanged(hub: &Hub, path: &str, tag: &str) -> HttpResponse {
    let until = Instant::now() + DEADLINE;
    loop {
        let answer = ask_with(hub, path, &format!("{}If-None-Match: {tag}\r\n", bearer(&["*"])));
        if answer.status == 304 {
            return answer;
        }
        assert_eq!(answer.status, 200);
        assert!(Instant::now() < until, "{path} changes on and on");
    }
}

/// The tag of the list, once no shard has further changes.
pub(crate) fn quiet_tag(hub: &Hub) -> String {
    let until = Instant::now() + DEADLINE;
    loop {
        let tag = ask(hub, PATH).header("ETag").expect("a tag").to_owned();
        if ask_with(hub, PATH, &format!("{}If-None-Match: {tag}\r\n", bearer(&["*"]))).status == 304 {
            return tag;
        }
        assert!(Instant::now() < until, "the list changes on and on");
    }
}

/// Waits until `count` subscriptions are listed.
pub(crate) fn wait_for(hub: &Hub, path: &str, count: usize) -> Value {
    let until = Instant::now() + DEADLINE;
    loop {
        let list = list(hub, path);
        if members(&list).len() == count {
            return list;
        }
        assert!(Instant::now() < until, "not {count}: {list}");
    }
}

/// The next event, as its id and its data.
pub(crate) fn told(stream: &mut Stream) -> (String, Value) {
    let event = stream.next().expect("an event");
    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    (id(&event), serde_json::from_str(data).expect("JSON"))
}
