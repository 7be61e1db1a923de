//! Presence in the form of draft 08: events, lists, payloads (tests 103 to 114 of MERCURE-1.0,
//! section 13), and beside draft 07 (test 125).

use serde_json::{Value, json};

use super::access::{
    bearer, detail, document, encoded, exact, field, hub, mixed_hub, pattern, post, token, with_payload,
};
use crate::common::subscriptions::{PATH, ask_with, members};
use crate::common::{HttpResponse, Hub, Stream, eventually};

const EACH: &str = "/.well-known/mercure/subscriptions/:match_type/:match/:subscriber";

fn everything() -> String {
    bearer(&token(&[detail(&["subscribe"], &[exact("*")])]))
}

/// A stream of the events about subscriptions. Its own event has been taken.
fn watcher(hub: &Hub) -> Stream {
    let mut stream = hub.subscribe_with(&format!("match_urlpattern={EACH}"), &everything());
    let own = document(&stream.next().expect("its own event"));
    assert_eq!((&own["match_type"], &own["match"]), (&json!("urlpattern"), &json!(EACH)));
    stream
}

/// The list at this path, once it has this many members.
fn listed(hub: &Hub, path: &str, count: usize) -> HttpResponse {
    let mut answer = ask_with(hub, path, &everything());
    eventually("the list is complete", || {
        answer = ask_with(hub, path, &everything());
        assert_eq!(answer.status, 200, "{path}");
        members(&json_of(&answer)).len() == count
    });
    answer
}

fn json_of(answer: &HttpResponse) -> Value {
    serde_json::from_str(&answer.body).expect("JSON")
}

/// Tests 103, 104, 105, 107 and 108 of MERCURE-1.0, section 13.
#[test]
fn a_subscription_is_announced_when_it_begins_and_when_it_ends() {
    let hub = hub(&[]);
    let mut watcher = watcher(&hub);
    for (query, match_type, text, path) in [
        ("match=a", "exact", "a", "exact/a"),
        ("match_exact=a%2525b", "exact", "a%25b", "exact/a%2525b"),
        ("match=a%25b", "exact", "a%b", "exact/a%25b"),
        ("match=*", "exact", "*", "exact/%2A"),
        ("match_urlpattern=*", "urlpattern", "*", "urlpattern/%2A"),
        (
            "match_urlpattern=https://e.x/:a",
            "urlpattern",
            "https://e.x/:a",
            "urlpattern/https%3A%2F%2Fe.x%2F%3Aa",
        ),
    ] {
        let stream = hub.subscribe(query);
        let mut begins = document(&watcher.next().expect("it begins"));
        let subscriber = begins["subscriber"].as_str().expect("an id").to_owned();
        assert!(subscriber.starts_with("urn:uuid:"), "{subscriber}");
        let id = format!("{PATH}/{path}/{}", encoded(&subscriber));
        let expected = json!({
            "id": id, "type": "subscription", "match_type": match_type, "match": text,
            "subscriber": subscriber, "active": true,
        });
        assert_eq!(begins, expected);
        let one = ask_with(&hub, &id, &everything());
        assert_eq!((one.status, json_of(&one)), (200, begins.clone()), "the document of the event");
        drop(stream);
        let ends = document(&watcher.next().expect("it ends"));
        begins["active"] = json!(false);
        assert_eq!(ends, begins);
        assert_eq!(ask_with(&hub, &id, &everything()).status, 404);
    }
}

/// Test 106 of MERCURE-1.0, section 13.
#[test]
fn events_about_subscriptions_are_private() {
    let hub = hub(&[]);
    let mut stranger = hub.subscribe("match=*");
    let mut other = hub.subscribe_with("match=*", &bearer(&token(&[detail(&["subscribe"], &[exact("a")])])));
    let _begins = hub.subscribe("match=a");
    let publisher = bearer(&token(&[detail(&["publish"], &[exact("*")])]));
    // The events are in the history, and so are before what is published now.
    listed(&hub, &format!("{PATH}/exact/a"), 1);
    hub.request(&post("topic=last", &publisher));
    for stream in [&mut stranger, &mut other] {
        assert_eq!(field(&stream.next().expect("an update"), "event"), None);
    }
}

/// Tests 109 and 110 of MERCURE-1.0, section 13.
#[test]
fn the_payload_is_that_of_the_first_entry_that_matches() {
    let hub = hub(&[]);
    let mut watcher = watcher(&hub);
    let special = || detail(&["subscribe"], &[pattern("https://e.x/books/:id")]);
    let any = || detail(&["subscribe"], &[exact("*")]);
    let publish = || detail(&["publish"], &[exact("*")]);
    for (details, payload) in [
        (
            vec![with_payload(special(), json!({"n": 1})), with_payload(any(), json!(2))],
            Some(json!({"n": 1})),
        ),
        (vec![with_payload(any(), json!(2)), with_payload(special(), json!({"n": 1}))], Some(json!(2))),
        (vec![special(), with_payload(any(), json!(2))], None),
        (vec![with_payload(publish(), json!(0)), with_payload(any(), json!(2))], Some(json!(2))),
        (vec![publish()], None),
    ] {
        let stream = hub.subscribe_with("match_urlpattern=https://e.x/books/:id", &bearer(&token(&details)));
        for _ in ["begin", "end"] {
            let event = document(&watcher.next().expect("an event"));
            assert_eq!(event.get("payload"), payload.as_ref(), "{details:?}");
            if event["active"] == json!(true) {
                let list =
                    listed(&hub, &format!("{PATH}/urlpattern/{}", encoded("https://e.x/books/:id")), 1);
                assert_eq!(members(&json_of(&list))[0], event);
                // It ends with its socket.
                stream.client.socket.shutdown(std::net::Shutdown::Both).expect("a socket");
            }
        }
    }
}

/// Tests 111 and 114 of MERCURE-1.0, section 13.
#[test]
fn a_list_has_its_cursor_in_the_link_also_when_it_has_not_changed() {
    let hub = hub(&[]);
    let _streams = [hub.subscribe("match=a&match_urlpattern=/b/:c"), hub.subscribe("match=a")];
    for (path, count) in
        [(PATH.to_owned(), 3), (format!("{PATH}/exact/a"), 2), (format!("{PATH}/exact/b"), 0)]
    {
        let answer = listed(&hub, &path, count);
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        let list = json_of(&answer);
        assert_eq!((&list["id"], &list["type"]), (&json!(path), &json!("subscriptions")));
        assert_eq!(list.as_object().map(serde_json::Map::len), Some(3), "no cursor in the body");
        let link = answer.header("Link").expect("a link");
        let start = "<https://hub.e.x/.well-known/mercure>; rel=\"mercure\"; last-event-id=\"urn:uuid:";
        assert!(link.starts_with(start), "{link}");
        assert!(link.ends_with("\"; type=\"mercure\"; content-type=\"application/json\""), "{link}");
        // The last events may still be on their way round.
        eventually("304", || {
            let now = ask_with(&hub, &path, &everything());
            let tag = now.header("ETag").expect("a tag");
            let again = ask_with(&hub, &path, &format!("{}If-None-Match: {tag}\r\n", everything()));
            if again.status == 304 {
                assert_eq!(again.header("Link"), now.header("Link"));
            }
            again.status == 304
        });
    }
}

/// A client that lists, and then follows from the cursor of the list, misses nothing.
#[test]
fn the_cursor_of_a_list_is_where_its_events_go_on() {
    let hub = hub(&[]);
    let first = hub.subscribe("match=a");
    let list = listed(&hub, PATH, 1);
    let link = list.header("Link").expect("a link").to_owned();
    let id = link.split("last-event-id=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id");
    drop(first);
    let query = format!("match_urlpattern={EACH}&last_event_id={}", encoded(id));
    let mut stream = hub.subscribe_with(&query, &everything());
    assert_eq!(stream.header("Mercure-Last-Event-ID"), Some(id));
    let ended = loop {
        let event = document(&stream.next().expect("an event"));
        if event["active"] == json!(false) {
            break event;
        }
    };
    assert_eq!(ended["id"], members(&json_of(&list))[0]["id"]);
}

/// Test 112 of MERCURE-1.0, section 13.
#[test]
fn a_token_has_to_grant_the_path_of_the_list() {
    let hub = hub(&[]);
    let _stream = hub.subscribe("match=a");
    let to_a = format!("{PATH}/exact/a");
    let one = members(&json_of(&listed(&hub, &to_a, 1)))[0]["id"].as_str().expect("a path").to_owned();
    let both = format!("{PATH}/:match_type/a{{/:subscriber}}?");
    for (topics, statuses) in [
        (vec![exact("*")], [200, 200, 200]),
        (vec![pattern(EACH)], [403, 403, 200]),
        (vec![pattern(&both)], [403, 200, 200]),
        (vec![exact(PATH)], [200, 403, 403]),
        (vec![exact("a"), exact("/hub/subscriptions")], [403, 403, 403]),
    ] {
        let token = bearer(&token(&[detail(&["subscribe"], &topics)]));
        for (path, status) in [PATH, &to_a, &one].into_iter().zip(statuses) {
            assert_eq!(ask_with(&hub, path, &token).status, status, "{topics:?} {path}");
            let other = path.replace("%3A", "%3a").replace("/exact/a", "/exact/%61");
            assert_eq!(ask_with(&hub, &other, &token).status, status, "{topics:?} {other}");
        }
    }
    let publisher = bearer(&token(&[detail(&["publish"], &[exact("*")])]));
    assert_eq!(ask_with(&hub, PATH, &publisher).status, 403);
    let unnamed = ask_with(&hub, PATH, "");
    let challenge = unnamed.header("WWW-Authenticate").expect("a challenge");
    assert_eq!(unnamed.status, 401);
    assert!(challenge.starts_with("Bearer resource_metadata=\"https://hub.e.x/"), "{challenge}");
}

/// Test 113 of MERCURE-1.0, section 13.
#[test]
fn what_does_not_exist_is_not_found() {
    let on = hub(&[]);
    let _stream = on.subscribe("match=a");
    listed(&on, PATH, 1);
    for path in [
        "/exact/a/urn%3Auuid%3A00000000-0000-4000-8000-000000000000",
        "/exact",
        "/regexp/a",
        "/a",
        "/exact/a/b/c",
    ] {
        assert_eq!(ask_with(&on, &format!("{PATH}{path}"), &everything()).status, 404, "{path}");
    }
    let off = hub(&[("SUBSCRIPTIONS", "0")]);
    for path in ["", "/exact/a"] {
        assert_eq!(ask_with(&off, &format!("{PATH}{path}"), &everything()).status, 404);
    }
}

/// Test 125 of MERCURE-1.0, section 13.
#[test]
fn in_a_mixed_hub_each_subscription_is_shown_in_its_own_form() {
    let hub = mixed_hub();
    let mut watcher = watcher(&hub);
    let legacy =
        format!("Authorization: Bearer {}\r\n", crate::common::token(&json!({ "subscribe": ["*"] }), None));
    let mut legacy_watcher =
        hub.subscribe_with("topic=/.well-known/mercure/subscriptions%7B/topic%7D%7B/subscriber%7D", &legacy);
    let old = document_of_07(&legacy_watcher.next().expect("its own event"));
    assert_eq!((&old["@context"], &old["type"]), (&json!("https://mercure.rocks/"), &json!("Subscription")));
    let _new = hub.subscribe("match=b");
    let new = document(&watcher.next().expect("an event"));
    assert_eq!((&new["type"], new.get("@context")), (&json!("subscription"), None), "nothing of the other");
    // Each list has the subscriptions of its own form.
    let list = listed(&hub, PATH, 2);
    assert_eq!(list.header("Content-Type"), Some("application/json"));
    let of_07 = ask_with(&hub, PATH, &legacy);
    assert_eq!((of_07.status, of_07.header("Content-Type")), (200, Some("application/ld+json")));
    assert_eq!(members(&json_of(&of_07)).len(), 1);
    // Below the name of a matcher type all is of draft 08, whatever the token.
    let of_b = ask_with(&hub, &format!("{PATH}/exact/b"), &legacy);
    assert_eq!((of_b.status, of_b.header("Content-Type")), (200, Some("application/json")));
    for topic in ["exact", "urlpattern"] {
        let refused = hub.request(&crate::common::get(&format!("topic={topic}"), ""));
        assert_eq!(refused.status, 400, "{topic}");
    }
}

/// Draft 04 has no active subscriptions; those of draft 08 beside it are announced as ever.
#[test]
fn beside_draft_04_the_subscriptions_of_draft_08_are_announced() {
    let hub = hub(&[("JWT_KEY", crate::common::KEY), ("AUTHORIZATION", "targets")]);
    let mut watcher = watcher(&hub);
    let of_04 = bearer(&crate::common::token(&json!({ "subscribe": ["*"] }), None));
    let mut old = hub.subscribe_with("topic=a&topic=exact", &of_04);
    assert_eq!(old.status, 200);
    let stream = hub.subscribe("match=b");
    let mut next = || document(&watcher.next().expect("an event"));
    let begins = next();
    assert_eq!((&begins["match"], &begins["active"]), (&json!("b"), &json!(true)), "nothing of draft 04");
    drop(stream);
    assert_eq!(next()["active"], json!(false));
    listed(&hub, PATH, 1);
    assert_eq!(ask_with(&hub, PATH, &of_04).status, 403, "a grant of targets");
    assert_eq!(ask_with(&hub, &format!("{PATH}/a"), &everything()).status, 404);
    let publisher = bearer(&token(&[detail(&["publish"], &[exact("*")])]));
    assert_eq!(hub.request(&post("topic=a&data=public", &publisher)).status, 200);
    assert_eq!(field(&old.next().expect("an update"), "data"), Some("public"), "and no event");
}

/// What is announced is a URL that a client reads as it is written.
#[test]
fn a_matcher_that_no_url_can_name_is_refused_where_it_would_be_announced() {
    let off = hub(&[("SUBSCRIPTIONS", "0")]);
    let on = hub(&[]);
    for matcher in ["match=..", "match=.", "match_exact=%2E%2E"] {
        let answer = on.request(&crate::common::get(matcher, ""));
        assert_eq!(answer.status, 400, "{matcher}");
        assert!(answer.body.contains("cannot be announced"), "{}", answer.body);
        assert_eq!(off.subscribe(matcher).status, 200, "{matcher}");
    }
    assert_eq!(on.subscribe("match=...").status, 200);
}

/// Trap 23, in another spelling of the name.
#[test]
fn a_list_is_of_draft_08_however_its_path_is_spelled() {
    let hub = mixed_hub();
    for path in ["/exact/x", "/%65xact/x"] {
        let answer = hub.request(&format!("GET {PATH}{path} HTTP/1.1\r\nHost: hub\r\n\r\n"));
        assert_eq!(answer.status, 401, "{path}");
        let challenge = answer.header("WWW-Authenticate").expect("a challenge");
        assert!(challenge.contains("resource_metadata="), "{path}: {challenge}");
    }
}

fn document_of_07(event: &str) -> Value {
    assert_eq!(field(event, "event"), None, "{event}");
    serde_json::from_str(field(event, "data").expect("data")).expect("JSON")
}
