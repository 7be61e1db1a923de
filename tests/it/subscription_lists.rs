//! Lists of active subscriptions from outside (PROTOCOL section 7): authorization, content, and 304
//! responses.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::common::mixed::challenge;
use crate::common::subscriptions::{
    EVENTS, PATH, ask, ask_with, bearer, hub, list, members, quiet_tag, told, unchanged, wait_for,
};
use crate::common::{DEADLINE, Hub, token};
use serde_json::{Value, json};

#[test]
fn a_list_is_for_those_whose_token_grants_its_path() {
    let hub = hub(&[]);
    let _subscriber = hub.subscribe("topic=a/b");
    let all = wait_for(&hub, PATH, 1);
    let one = members(&all)[0]["id"].as_str().expect("a path").to_owned();
    let of_topic = format!("{PATH}/a%2Fb");
    for (selectors, statuses) in [
        (&["*"][..], [200, 200, 200]),
        (&[PATH], [200, 403, 403]),
        (&["/.well-known/mercure/subscriptions{/topic}{/subscriber}"], [200, 200, 200]),
        (&["/.well-known/mercure/subscriptions/{topic}"], [403, 200, 403]),
        (&["/.well-known/mercure/subscriptions/a%2Fb{/subscriber}"], [403, 200, 200]),
        (&["/.well-known/mercure/subscriptions/{topic}/{subscriber}"], [403, 403, 200]),
        (&[&one], [403, 403, 200]),
        (&["a/b", "/hub/subscriptions"], [403, 403, 403]),
        (&[], [403, 403, 403]),
    ] {
        for (path, status) in [PATH, &of_topic, &one].into_iter().zip(statuses) {
            // The hub has two paths, and each path has several spellings: none of them avoids the
            // check.
            let other = path.replace("/.well-known/mercure", "/hub").replace("%3A", ":");
            for path in [path, &other] {
                assert_eq!(ask_with(&hub, path, &bearer(selectors)).status, status, "{selectors:?} {path}");
            }
        }
    }
    let unnamed = ask_with(&hub, PATH, "");
    assert_eq!((unnamed.status, unnamed.header("WWW-Authenticate")), (401, Some(&*challenge(&[]))));
    let forged = ask_with(&hub, PATH, "Authorization: Bearer a.b.c\r\n");
    assert_eq!(forged.status, 401);
    let in_url =
        ask_with(&hub, &format!("{PATH}?authorization={}", token(&json!({ "subscribe": ["*"] }), None)), "");
    assert_eq!((in_url.status, in_url.header("Cache-Control")), (200, Some("private, no-cache")));
    let cookie = format!("Cookie: mercureAuthorization={}\r\n", token(&json!({ "subscribe": ["*"] }), None));
    assert_eq!(ask_with(&hub, PATH, &cookie).status, 200);
}

#[test]
fn what_is_not_there_is_not_found() {
    let hub = hub(&[]);
    let _subscriber = hub.subscribe("topic=a");
    let all = wait_for(&hub, PATH, 1);
    let one = members(&all)[0]["id"].as_str().expect("a path").to_owned();
    assert_eq!(members(&list(&hub, &format!("{PATH}/b"))).len(), 0, "a collection may be empty");
    for path in [
        format!("{PATH}/"),
        format!("{PATH}//x"),
        format!("{PATH}/a/"),
        format!("{PATH}/a/b/c"),
        format!("{PATH}/%FF"),
        format!("{PATH}/a/urn%3Auuid%3A00000000-0000-4000-8000-000000000000"),
        one.replace("/a/", "/b/"),
        one.to_uppercase()
            .replace("/.WELL-KNOWN/MERCURE/SUBSCRIPTIONS/A/", "/.well-known/mercure/subscriptions/a/"),
        format!("{one}0"),
    ] {
        let answer = ask(&hub, &path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("no such active subscription"), "{answer:?}");
    }
    assert_eq!(ask(&hub, &format!("{PATH}x")).status, 404);
    let wrong = hub.request(&format!("DELETE {PATH} HTTP/1.1\r\nHost: hub\r\n\r\n"));
    assert_eq!((wrong.status, wrong.header("Allow")), (405, Some("GET, HEAD, OPTIONS")));
}

/// RFC 9110, sections 8.8.3 and 13.1.2.
#[test]
fn an_unchanged_list_is_not_sent_again() {
    let hub = hub(&[]);
    let empty = ask(&hub, PATH);
    assert_eq!(empty.header("ETag"), Some("\"earliest\""));
    assert_eq!(serde_json::from_str::<Value>(&empty.body).expect("JSON")["lastEventID"], json!("earliest"));
    let _subscriber = hub.subscribe("topic=a");
    let one = members(&wait_for(&hub, PATH, 1))[0]["id"].as_str().expect("a path").to_owned();
    for (id, tag) in [("x", "\"x\""), ("a b\"é", "\"a%20b%22%C3%A9\"")] {
        hub.publish(&format!("topic=a&id={id}"));
        for path in [PATH, &format!("{PATH}/a"), &one] {
            let fresh = ask(&hub, path);
            assert_eq!(
                (fresh.status, fresh.header("ETag"), fresh.header("Cache-Control")),
                (200, Some(tag), Some("private, no-cache"))
            );
            for known in [tag, &format!("\"y\", W/{tag}"), "*"] {
                let answer = unchanged(&hub, path, known);
                assert_eq!((answer.header("ETag"), &*answer.body), (Some(tag), ""), "{path}");
                assert_eq!(answer.header("Content-Length"), None);
            }
            let stale = ask_with(&hub, path, &format!("{}If-None-Match: \"y\"\r\n", bearer(&["*"])));
            assert_eq!(stale.status, 200);
        }
    }
    let gone = format!("{PATH}/a/urn%3Auuid%3A00000000-0000-4000-8000-000000000000");
    let answer = ask_with(&hub, &gone, &format!("{}If-None-Match: *\r\n", bearer(&["*"])));
    assert_eq!(answer.status, 404, "a condition is for what is there");
    let forbidden = ask_with(&hub, PATH, &format!("{}If-None-Match: *\r\n", bearer(&["a"])));
    assert_eq!(forbidden.status, 403);
}

/// The list may have changed while the newest update is the same: its tag then proves nothing.
#[test]
fn a_list_that_changed_is_sent_though_the_newest_update_is_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("updates.db");
    let settings = [("DB_PATH", path.to_str().expect("UTF-8"))];
    let first = hub(&settings);
    let _subscribers: Vec<_> = (0..5).map(|_| first.subscribe("topic=a")).collect();
    wait_for(&first, PATH, 5);
    first.publish("topic=a&id=same");
    let of =
        |hub: &Hub, tag: &str| ask_with(hub, PATH, &format!("{}If-None-Match: {tag}\r\n", bearer(&["*"])));
    let tag = quiet_tag(&first);
    assert_eq!(tag, "\"same\"");
    // A repeated id names its first update, so no client could resume from the second.
    let late = first.subscribe("topic=late");
    wait_for(&first, PATH, 6);
    first.publish("topic=a&id=same");
    let answer = of(&first, &tag);
    assert_eq!(answer.status, 200);
    assert_ne!(answer.header("ETag"), Some(&*tag));
    drop(late);
    wait_for(&first, PATH, 5);
    first.publish("topic=a&id=last");
    let tag = quiet_tag(&first);
    // Killed, the hub does not report that they are gone.
    drop(first);
    let second = hub(&settings);
    let answer = of(&second, &tag);
    assert_eq!((answer.status, answer.header("ETag")), (200, Some(&*tag)));
    assert_eq!(members(&serde_json::from_str(&answer.body).expect("JSON")).len(), 0);
    second.publish("topic=a&id=new");
    assert_eq!(quiet_tag(&second), "\"new\"");
}

/// The history has discarded the id, so a publisher may use it again. The tag is then the same as
/// before, but must not match the older list.
#[test]
fn an_id_that_comes_again_after_it_was_discarded_does_not_stand_for_the_list_of_before() {
    let hub = hub(&[("HISTORY_SIZE", "1")]);
    hub.publish("topic=a&id=same");
    let tag = quiet_tag(&hub);
    assert_eq!((&*tag, unchanged(&hub, PATH, &tag).status), ("\"same\"", 304), "nothing was ever discarded");
    let _subscriber = hub.subscribe("topic=a");
    wait_for(&hub, PATH, 1);
    let made = quiet_tag(&hub);
    assert_eq!(unchanged(&hub, PATH, &made).status, 304, "the hub makes no id twice");
    // The event of the subscription discards no update.
    hub.publish("topic=a&id=other");
    hub.publish("topic=a&id=same");
    let answer = ask_with(&hub, PATH, &format!("{}If-None-Match: {tag}\r\n", bearer(&["*"])));
    assert_eq!((answer.status, answer.header("ETag")), (200, Some(&*tag)));
    assert_eq!(members(&serde_json::from_str(&answer.body).expect("JSON")).len(), 1);
}

#[test]
fn a_head_is_answered_without_the_list_and_other_origins_may_read_it() {
    let hub = hub(&[("CORS_ALLOWED_ORIGINS", "https://a.example")]);
    let _subscriber = hub.subscribe("topic=a");
    wait_for(&hub, PATH, 1);
    quiet_tag(&hub);
    let headers = format!("{}Origin: https://a.example\r\n", bearer(&["*"]));
    let full = ask_with(&hub, PATH, &headers);
    assert_eq!(full.header("Access-Control-Allow-Origin"), Some("https://a.example"));
    let mut client = hub.connect();
    client.send(&format!("HEAD {PATH} HTTP/1.1\r\nHost: hub\r\n{headers}Connection: close\r\n\r\n"));
    while client.read_some(Instant::now() + DEADLINE) {}
    let head = String::from_utf8(client.received).expect("UTF-8").to_lowercase();
    assert!(
        head.ends_with("\r\n\r\n") && head.contains(&format!("content-length: {}", full.body.len())),
        "{head}"
    );
}

/// Publishers, subscribers and clients that list may be on any shard: after a response, the next
/// list shows its effect.
#[test]
fn who_was_answered_finds_it_in_the_next_list() {
    let hub = hub(&[]);
    let mut watcher = hub.subscribe_with(EVENTS, &bearer(&["*"]));
    let mut streams = Vec::new();
    for number in 0..100 {
        streams.push(hub.subscribe(&format!("topic=t{number}")));
        wait_for(&hub, PATH, number + 2);
    }
    for _ in 0..=streams.len() {
        told(&mut watcher);
    }
    // Many publishers and many receivers, so that shards lag behind the ring.
    let mut order = hub.subscribe("topic=a");
    let crowd: Vec<_> = (0..400).map(|_| hub.subscribe("topic=a")).collect();
    for _ in 0..=crowd.len() {
        told(&mut watcher);
    }
    let pairs: Vec<(String, String)> = std::thread::scope(|scope| {
        let publish = |publisher: usize| {
            let hub = &hub;
            let one = move |number: usize| {
                let id = hub.publish(&format!("topic=a&id={publisher}-{number}"));
                let newest = list(hub, PATH)["lastEventID"].as_str().expect("an id").to_owned();
                (id, newest)
            };
            scope.spawn(move || (0..60).map(one).collect::<Vec<_>>())
        };
        let threads: Vec<_> = (0..6).map(publish).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    let order = order.ids(pairs.len());
    let place = |id: &str| order.iter().position(|other| other == id).expect("it was delivered");
    for (id, newest) in pairs {
        assert!(place(&newest) >= place(&id), "{newest} is older than {id}");
    }
}

/// 20,000 subscriptions: 20 users with 1,000 selectors each. The target is one second; the limit
/// here is wider, for a busy machine.
#[test]
fn a_long_list_is_complete_and_delivery_goes_on_meanwhile() {
    let hub = hub(&[]);
    let query = |client: usize| {
        let topics: Vec<_> =
            (0..1_000).map(|number| format!("topic=https://example.com/{client}/{number}")).collect();
        topics.join("&")
    };
    let user = |client: usize| {
        let claim = json!({ "subscribe": [], "payload": client });
        format!("Authorization: Bearer {}\r\n", token(&claim, None))
    };
    let streams: Vec<_> = (0..20).map(|client| hub.subscribe_with(&query(client), &user(client))).collect();
    let all = wait_for(&hub, PATH, 20_000);
    let paths: BTreeSet<_> = members(&all).iter().map(|one| one["id"].as_str().expect("a path")).collect();
    assert_eq!(paths.len(), 20_000);
    let mut listener = hub.subscribe("topic=tick");
    std::thread::scope(|scope| {
        let lists = scope.spawn(|| {
            for _ in 0..5 {
                let began = Instant::now();
                let answer = ask(&hub, PATH);
                assert_eq!(answer.status, 200);
                assert!(began.elapsed() < DEADLINE / 4, "{:?}", began.elapsed());
            }
        });
        while !lists.is_finished() {
            let began = Instant::now();
            let id = hub.publish("topic=tick");
            assert_eq!(listener.ids(1), [id]);
            assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        }
    });
    drop(streams);
    wait_for(&hub, PATH, 1);
}
