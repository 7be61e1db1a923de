//! The protocol of 2019 (draft-04) end to end: the hub at `/hub`, authorization by targets, its
//! names and its examples. Sections are those of that draft; `AUTHORIZATION=targets` selects it.

use crate::common::{HttpResponse, Hub, Stream, post, publisher, token};
use serde_json::{Value, json};

/// A topic of the draft's examples, and two of its targets.
const BOOK: &str = "https://example.com/books/1";
const USER: &str = "https://example.com/user/kevin";
const GROUP: &str = "https://example.com/groups/123";

fn hub() -> Hub {
    Hub::start(&[("AUTHORIZATION", "targets")])
}

/// The form of an update. The tests publish no `+`, `&`, `=` or `%`.
fn form(id: &str, targets: &[&str]) -> String {
    let targets: String = targets.iter().map(|target| format!("&target={target}")).collect();
    format!("topic={BOOK}&data={{\"id\":\"{id}\"}}&id={id}{targets}")
}

/// Publishes at `/hub` with a token whose claim `mercure.publish` is `claim`.
fn publish(hub: &Hub, form: &str, claim: &Value) -> HttpResponse {
    let claim = if claim.is_null() { json!({}) } else { json!({ "publish": claim }) };
    let request = post(form, Some(&token(&claim, None)));
    hub.request(&request.replacen("/.well-known/mercure", "/hub", 1))
}

/// Subscribes at `/hub`, with these header lines.
fn subscribe(hub: &Hub, query: &str, headers: &str) -> Stream {
    let mut client = hub.connect();
    client.send(&format!("GET /hub?{query} HTTP/1.1\r\nHost: hub\r\n{headers}\r\n"));
    Stream::open(client)
}

fn bearer(targets: &Value) -> String {
    format!("Authorization: Bearer {}\r\n", token(&json!({ "subscribe": targets }), None))
}

/// "Publication": the first topic is the canonical one; the body of the response is the id.
#[test]
fn an_update_reaches_the_subscribers_of_each_of_its_topics_once() {
    let hub = hub();
    let mut canonical = subscribe(&hub, "topic=https://example.com/foo", "");
    let mut alternate =
        subscribe(&hub, "topic=https://example.com/bar/%7Bid%7D&topic=https://example.com/foo", "");
    let body =
        "topic=https://example.com/foo&topic=https://example.com/bar/1&data=the%0Acontent&type=t&retry=9";
    let answer = publish(&hub, body, &json!([]));
    assert_eq!(answer.status, 200, "{answer:?}");
    let last = publish(&hub, "topic=https://example.com/foo&data=2&id=last", &json!([]));
    assert_eq!((last.status, last.body.as_str()), (200, "last"));
    for stream in [&mut canonical, &mut alternate] {
        let event = format!("event: t\nretry: 9\nid: {}\ndata: the\ndata: content\n", answer.body);
        assert_eq!(stream.next(), Some(event));
        assert_eq!(stream.ids(1), ["last"]);
    }
}

/// "Authorization", publishers: every target must be in the list; `[]` allows only public updates;
/// `*` allows all.
#[test]
fn a_publisher_may_address_the_targets_of_its_token() {
    let hub = hub();
    let all: &[&str] = &[USER, GROUP];
    for (number, (claim, targets, status)) in [
        (json!(["*"]), all, 200),
        (json!(["*"]), &[], 200),
        (json!([USER, GROUP]), all, 200),
        (json!([USER, GROUP]), &[GROUP], 200),
        (json!([USER]), &[USER], 200),
        (json!([USER]), &[], 200),
        (json!([USER]), all, 403),
        (json!([USER]), &[GROUP], 403),
        (json!([]), &[], 200),
        (json!([]), &[USER], 403),
        (Value::Null, &[], 403),
        (Value::Null, &[USER], 403),
        // A target is a string, not a template.
        (json!(["https://example.com/user/{name}"]), &[USER], 403),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = publish(&hub, &form(&format!("i{number}"), targets), &claim);
        assert_eq!(answer.status, status, "{claim} {targets:?}: {answer:?}");
    }
    let nobody = hub.request(&post(&form("none", &[]), None));
    assert_eq!(nobody.status, 401);
    // Exactly the updates that got 200 are stored.
    let mut everything =
        subscribe(&hub, &format!("topic={BOOK}&Last-Event-ID=earliest"), &bearer(&json!(["*"])));
    assert_eq!(everything.ids(7), ["i0", "i1", "i2", "i3", "i4", "i5", "i8"]);
}

/// "Authorization", subscribers: one common target is enough; public updates are for all; live and
/// from the history.
#[test]
fn a_subscriber_receives_what_is_for_its_targets() {
    let hub = hub();
    let query = format!("topic={BOOK}");
    let cookie = |targets: &Value| {
        let token = token(&json!({ "subscribe": targets }), None);
        format!("Cookie: theme=dark; mercureAuthorization={token}; lang=fr\r\n")
    };
    let public = ["public", "end"];
    let cases = [
        (String::new(), public.to_vec()),
        (bearer(&json!([])), public.to_vec()),
        (bearer(&json!(["https://example.com/user/{name}"])), public.to_vec()),
        (bearer(&json!([USER])), vec!["user", "both", "public", "end"]),
        (bearer(&json!([GROUP, "https://example.com/groups/1"])), vec!["both", "group", "public", "end"]),
        (bearer(&json!(["*"])), vec!["user", "both", "group", "public", "end"]),
        (cookie(&json!([USER])), vec!["user", "both", "public", "end"]),
        (cookie(&json!(["*"])), vec!["user", "both", "group", "public", "end"]),
        // A publisher's token does not authorize a subscriber.
        (format!("Authorization: Bearer {}\r\n", publisher()), public.to_vec()),
    ];
    let mut live: Vec<_> = cases.iter().map(|(headers, _)| subscribe(&hub, &query, headers)).collect();
    let updates: [(&str, &[&str]); 5] =
        [("user", &[USER]), ("both", &[USER, GROUP]), ("group", &[GROUP]), ("public", &[]), ("end", &[])];
    for (id, targets) in updates {
        assert_eq!(publish(&hub, &form(id, targets), &json!(["*"])).status, 200, "{id}");
    }
    for (stream, (headers, ids)) in live.iter_mut().zip(&cases) {
        assert_eq!(stream.ids(ids.len()), *ids, "live: {headers}");
        let mut replay = subscribe(&hub, &format!("{query}&Last-Event-ID=earliest"), headers);
        assert_eq!(replay.ids(ids.len()), *ids, "from the history: {headers}");
    }
}

/// "Hub", reconciliation: the query parameter has the name of the header; the header wins.
#[test]
fn a_subscriber_comes_back_by_the_names_of_2019() {
    let hub = hub();
    for id in ["a", "b", "c"] {
        assert_eq!(publish(&hub, &form(id, &[USER]), &json!([USER])).status, 200);
    }
    let headers = bearer(&json!([USER]));
    let query = format!("topic={BOOK}&Last-Event-ID=a");
    let mut by_query = subscribe(&hub, &query, &headers);
    assert_eq!(by_query.header("Last-Event-ID"), Some("a"));
    assert_eq!(by_query.ids(2), ["b", "c"]);
    let mut by_header = subscribe(&hub, &query, &format!("{headers}Last-Event-ID: b\r\n"));
    assert_eq!(by_header.header("Last-Event-ID"), Some("b"));
    assert_eq!(by_header.ids(1), ["c"]);
}

/// An update that selector authorization would keep private is never published to all: `private` is
/// refused, and so is an update without data.
#[test]
fn what_means_something_else_by_now_is_refused() {
    let hub = hub();
    for (body, said) in [
        (format!("{}&private=on", form("1", &[])), "private"),
        (format!("{}&private=on", form("2", &[USER])), "private"),
        (format!("topic={BOOK}&target={USER}"), "data"),
        (format!("data=x&target={USER}"), "topic"),
    ] {
        let answer = publish(&hub, &body, &json!(["*"]));
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.body.contains(said), "{body}: {answer:?}");
    }
    let mut everything = subscribe(&hub, "topic=*&Last-Event-ID=earliest", &bearer(&json!(["*"])));
    assert_eq!(publish(&hub, &form("first", &[]), &json!([])).status, 200);
    assert_eq!(everything.ids(1), ["first"]);
}

/// "Authorization", cookies: a publication with a cookie needs an allowed origin in the browser's
/// headers.
#[test]
fn a_browser_publishes_with_its_cookie_from_a_page_that_may() {
    let hub = Hub::start(&[("AUTHORIZATION", "targets"), ("PUBLISH_ALLOWED_ORIGINS", "https://example.com")]);
    let cookie = format!("Cookie: mercureAuthorization={}\r\n", token(&json!({ "publish": [USER] }), None));
    let send = |origin: &str| {
        let request = post(&form("x", &[USER]), None).replacen("/.well-known/mercure", "/hub", 1);
        hub.request(&request.replacen("Host: hub\r\n", &format!("Host: hub\r\n{cookie}{origin}"), 1)).status
    };
    assert_eq!(send("Origin: https://example.com\r\n"), 200);
    assert_eq!(send("Referer: https://example.com/books/1\r\n"), 200);
    assert_eq!(send("Origin: https://elsewhere.example\r\n"), 403);
    assert_eq!(send(""), 403);
}
