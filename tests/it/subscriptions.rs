//! The events of active subscriptions from outside (PROTOCOL section 7). The binary, real sockets,
//! two shards if there are two cores.

use crate::common;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::http2::{self, Http2};
use crate::common::subscriptions::{EVENTS, PATH, ask, bearer, hub, list, members, told, wait_for};
use crate::common::{DEADLINE, Hub, id, token};
use petasos::limits::{
    SUBSCRIPTION_EVENTS_BATCH_BYTES, SUBSCRIPTION_EVENTS_COMMIT_BYTES,
    SUBSCRIPTION_EVENTS_NETWORK_BURST_BYTES, SUBSCRIPTION_EVENTS_NETWORK_BYTES_PER_S,
};
use rustix::process::Signal;
use serde_json::{Value, json};

#[test]
fn a_subscription_that_begins_and_ends_is_told_of_and_listed_meanwhile() {
    let hub = hub(&[]);
    let mut watcher = hub.subscribe_with(EVENTS, &bearer(&["*"]));
    let selector = "/.well-known/mercure/subscriptions{/topic}{/subscriber}";
    let (_, own) = told(&mut watcher);
    assert_eq!((&own["topic"], &own["active"], own.get("payload")), (&json!(selector), &json!(true), None));

    let claim = json!({ "subscribe": [], "payload": { "user": "é\"\n", "n": [1, null] } });
    let authorization = format!("Authorization: Bearer {}\r\n", token(&claim, None));
    let books = "https://example.com/books/{id}?x=1&y=%2F";
    let query = "topic=https://example.com/books/%7Bid%7D?x%3D1%26y%3D%252F&topic=*&topic=*";
    let subscriber = hub.subscribe_with(query, &authorization);
    let (_, first) = told(&mut watcher);
    let (newest, second) = told(&mut watcher);
    let urn = first["subscriber"].as_str().expect("a subscriber").to_owned();
    assert!(urn.starts_with("urn:uuid:") && urn.as_bytes()[9 + 14] == b'4', "{urn}");
    let encoded = "https%3A%2F%2Fexample.com%2Fbooks%2F%7Bid%7D%3Fx%3D1%26y%3D%252F";
    let path = format!("{PATH}/{encoded}/{}", urn.replace(':', "%3A"));
    let expected = json!({
        "@context": "https://mercure.rocks/", "id": path, "type": "Subscription", "topic": books,
        "subscriber": urn, "active": true, "payload": claim["payload"],
    });
    assert_eq!(first, expected);
    assert_eq!(
        (&second["topic"], &second["subscriber"]),
        (&json!("*"), &first["subscriber"]),
        "one for both"
    );

    let all = wait_for(&hub, PATH, 3);
    assert_eq!((&all["id"], &all["type"]), (&json!(PATH), &json!("Subscriptions")));
    assert_eq!(all["@context"], json!("https://mercure.rocks/"));
    assert_eq!(all["lastEventID"], json!(newest));
    let of_books = list(&hub, &format!("{PATH}/{encoded}"));
    let mut member = expected.clone();
    member.as_object_mut().expect("an object").remove("@context");
    assert_eq!(members(&of_books), &[member]);
    let one = ask(&hub, &path);
    let mut document = expected.clone();
    document["lastEventID"] = json!(newest);
    assert_eq!(serde_json::from_str::<Value>(&one.body).expect("JSON"), document);

    drop(subscriber);
    let ended: BTreeSet<_> = (0..2)
        .map(|_| {
            let (_, data) = told(&mut watcher);
            assert_eq!((&data["active"], &data["subscriber"]), (&json!(false), &first["subscriber"]));
            data["topic"].as_str().expect("a selector").to_owned()
        })
        .collect();
    assert_eq!(ended, BTreeSet::from([books.to_owned(), "*".to_owned()]));
    wait_for(&hub, PATH, 1);
    assert_eq!(ask(&hub, &path).status, 404);
}

#[test]
fn nothing_of_it_is_there_when_it_is_switched_off() {
    let hub = Hub::start(&[]);
    let mut stream = hub.subscribe_with("topic=*", &bearer(&["*"]));
    drop(hub.subscribe("topic=b"));
    assert_eq!(ask(&hub, PATH).status, 404);
    assert_eq!(hub.request(&format!("POST {PATH} HTTP/1.1\r\nHost: hub\r\n\r\n")).status, 404);
    hub.publish("topic=a&id=1");
    assert_eq!(id(&stream.next().expect("an event")), "1", "no event came before");
}

#[test]
fn who_was_not_told_of_is_forgotten_without_a_word() {
    let hub = hub(&[("SHARDS", "1")]);
    let query: Vec<_> = (0..100).map(|number| format!("topic={number}")).collect();
    let mut watcher = hub.subscribe_with(EVENTS, &bearer(&["*"]));
    for _ in 0..200 {
        drop(hub.subscribe(&query.join("&")));
    }
    wait_for(&hub, PATH, 1);
    let last = hub.subscribe("topic=last");
    let mut active = BTreeSet::new();
    loop {
        let (_, data) = told(&mut watcher);
        let path = data["id"].as_str().expect("a path").to_owned();
        if data["topic"] == json!("last") {
            break;
        }
        match data["active"] == json!(true) {
            true => assert!(active.insert(path), "it begins once"),
            false => assert!(active.remove(&path), "it ends after it began"),
        }
    }
    drop(last);
    // The subscriptions that began before the last one end after it.
    while active.len() > 1 {
        let (_, data) = told(&mut watcher);
        if data["active"] == json!(false) {
            active.remove(data["id"].as_str().expect("a path"));
        }
    }
}

/// The README's promise: a list, and the events from its last event id on, miss nothing while
/// clients come and go.
#[test]
fn a_list_and_the_events_behind_it_miss_nothing() {
    let hub = hub(&[]);
    let watch = bearer(&["*"]);
    let mut kept = Vec::new();
    std::thread::scope(|scope| {
        let churn = scope.spawn(|| {
            let mut streams = Vec::new();
            for number in 0..300 {
                streams.push(hub.subscribe(&format!("topic=t{number}&topic=u{}", number % 7)));
                if number % 3 > 0 {
                    streams.remove(number % streams.len());
                }
            }
            streams
        });
        let mut lists = Vec::new();
        while !churn.is_finished() {
            lists.push(list(&hub, PATH));
        }
        kept = churn.join().expect("no panic");
        // The last list ends the comparison of the others.
        let until = Instant::now() + DEADLINE;
        let paths = |list: &Value| -> BTreeSet<String> {
            members(list).iter().map(|one| one["id"].as_str().expect("a path").to_owned()).collect()
        };
        let truth = loop {
            let now = list(&hub, PATH);
            if members(&now).len() == 2 * kept.len() {
                break paths(&now);
            }
            assert!(Instant::now() < until, "{} of {}", members(&now).len(), 2 * kept.len());
        };
        let last = hub.publish("topic=last");
        for list in lists.iter().step_by((lists.len() / 40).max(1)) {
            let from = list["lastEventID"].as_str().expect("an id");
            let mut known = paths(list);
            let query = format!("{EVENTS}&topic=last&lastEventID={from}");
            let mut stream = hub.subscribe_with(&query, &watch);
            loop {
                let event = stream.next().expect("an event");
                if id(&event) == last {
                    break;
                }
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
                let data: Value = serde_json::from_str(data).expect("JSON");
                let path = data["id"].as_str().expect("a path").to_owned();
                // The watchers are listed too.
                if !data["topic"].as_str().is_some_and(|topic| topic.starts_with(['t', 'u'])) {
                    continue;
                }
                match data["active"] == json!(true) {
                    true => known.insert(path),
                    false => known.remove(&path),
                };
            }
            known.retain(|path| path.contains("/t") || path.contains("/u"));
            assert_eq!(known, truth, "from {from}");
        }
    });
}

#[test]
fn events_are_private_and_nobody_else_may_publish_them() {
    let hub = hub(&[]);
    let mut stranger = hub.subscribe(&format!("{EVENTS}&topic=end"));
    let mut limited = hub.subscribe_with(
        &format!("{EVENTS}&topic=end"),
        &bearer(&["/.well-known/mercure/subscriptions/mine{/subscriber}"]),
    );
    drop((hub.subscribe("topic=mine"), hub.subscribe("topic=yours")));
    wait_for(&hub, &format!("{PATH}/yours"), 0);
    let forged =
        hub.request(&common::post(&format!("topic={PATH}/a/b&data=forged"), Some(&common::publisher())));
    assert_eq!(forged.status, common::mixed::reserved_topic_status());
    hub.publish("topic=end&id=end");
    for active in [true, false] {
        let (_, data) = told(&mut limited);
        assert_eq!((&data["topic"], &data["active"]), (&json!("mine"), &json!(active)));
    }
    assert_eq!(id(&stranger.next().expect("an event")), "end");
}

/// The hub stops: a client that reconnects after the restart finds in the history that all
/// subscriptions ended.
#[test]
fn subscriptions_end_with_the_hub_and_the_history_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("updates.db");
    let path = path.to_str().expect("UTF-8");
    let settings = [("DB_PATH", path), ("DRAIN_TIMEOUT", "100ms")];
    let mut first = hub(&settings);
    let mut watcher = first.subscribe_with(EVENTS, &bearer(&["*"]));
    let mut streams: Vec<_> = (0..20).map(|_| first.subscribe("topic=a")).collect();
    wait_for(&first, PATH, 21);
    first.signal(Signal::TERM);
    assert_eq!(first.wait().code(), Some(0));
    let mut active: i32 = 0;
    let mut events = 0;
    while let Some(event) = watcher.next() {
        events += 1;
        active += if event.contains("\"active\":true") { 1 } else { -1 };
    }
    assert_eq!((events, active), (42, 0));
    assert!(streams.iter_mut().all(|stream| stream.next().is_none()));
    let second = hub(&settings);
    assert_eq!(members(&list(&second, PATH)).len(), 0);
    let mut replay = second.subscribe_with(&format!("{EVENTS}&lastEventID=earliest"), &bearer(&["*"]));
    let replayed: i32 =
        (0..42).map(|_| if told(&mut replay).1["active"] == json!(true) { 1 } else { -1 }).sum();
    assert_eq!(replayed, 0);
}

#[test]
fn streams_of_http_2_are_subscriptions_like_others() {
    let hub = hub(&[]);
    let client = Http2::connect(&hub);
    let mut streams: Vec<_> = (0..30).map(|_| client.subscribe("topic=a")).collect();
    let authorization = format!("Bearer {}", token(&json!({ "subscribe": ["*"] }), None));
    let ask =
        |path: &str| client.ask(http2::request("GET", path).header("authorization", &authorization), "");
    let all = ask(PATH);
    assert_eq!((all.status, http2::field(&all.headers, "content-type")), (200, Some("application/ld+json")));
    assert_eq!(members(&serde_json::from_str(&all.body).expect("JSON")).len(), 30);
    streams.truncate(10);
    let until = Instant::now() + DEADLINE;
    while members(&serde_json::from_str(&ask(&format!("{PATH}/a")).body).expect("JSON")).len() != 10 {
        assert!(Instant::now() < until);
    }
    assert_eq!(ask(&format!("{PATH}/a/b")).status, 404);
    loop {
        let newest = ask(PATH);
        let tag = http2::field(&newest.headers, "etag").expect("a tag");
        let again =
            http2::request("GET", PATH).header("authorization", &authorization).header("if-none-match", tag);
        let again = client.ask(again, "");
        if again.status == 304 {
            assert_eq!(&*again.body, "");
            break;
        }
        assert!(Instant::now() < until, "those that were reset are told of, and then nothing changes");
    }
}

#[test]
fn what_tells_of_one_client_is_bounded() {
    let hub = hub(&[]);
    let claim = json!({ "subscribe": [], "payload": "x".repeat(9_000) });
    let authorization = format!("Authorization: Bearer {}\r\n", token(&claim, None));
    let topics: Vec<_> = (0..1_000).map(|number| format!("topic={number}")).collect();
    let answer = hub.request(&common::get(&topics.join("&"), &authorization));
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("4194304 bytes"), "{answer:?}");
    let stream = hub.subscribe_with(&topics[..100].join("&"), &authorization);
    assert_eq!(stream.status, 200);
}

/// Connections that come and go with as many selectors as a client without a token may have, from
/// one address. Each would cause 200 updates.
#[test]
fn events_of_a_client_that_comes_and_goes_are_paced_and_others_are_announced_beside_it() {
    const BYTES_MIN: u64 = 800;
    let hub = hub(&[("USE_FORWARDED_HEADERS", "1"), ("SHARDS", "2"), ("METRICS_ADDR", "127.0.0.1:0")]);
    let mut watcher = hub.subscribe_with(EVENTS, &bearer(&["*"]));
    told(&mut watcher);
    let query: Vec<_> = (0..100).map(|number| format!("topic=https://example.com/{number}")).collect();
    let (query, from) = (query.join("&"), |address: &str| format!("X-Forwarded-For: {address}\r\n"));
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let (mut events, mut streams) = (0, Vec::new());
    std::thread::scope(|scope| {
        let churn = || {
            while !stop.load(Ordering::Relaxed) {
                let stream = hub.subscribe_with(&query, &from("192.0.2.1"));
                assert_eq!(stream.status, 200);
                // It stays until some of its events are published.
                std::thread::sleep(Duration::from_millis(100));
            }
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(churn)).collect();
        // Its burst is spent.
        while events < 4_000 {
            told(&mut watcher);
            events += 1;
        }
        let user = json!({ "subscribe": [] });
        let user = format!("Authorization: Bearer {}\r\n", token(&user, None));
        for (topic, headers) in [("neighbour", from("192.0.2.2")), ("user", from("192.0.2.1") + &user)] {
            let asked = Instant::now();
            streams.push(hub.subscribe_with(&format!("topic={topic}"), &headers));
            loop {
                let (_, data) = told(&mut watcher);
                events += 1;
                if data["topic"] == json!(topic) {
                    break;
                }
            }
            assert!(asked.elapsed() < DEADLINE / 2, "{topic} after {:?}", asked.elapsed());
        }
        let until = Instant::now() + Duration::from_secs(4);
        while Instant::now() < until {
            told(&mut watcher);
            events += 1;
        }
        let paced = SUBSCRIPTION_EVENTS_NETWORK_BYTES_PER_S * began.elapsed().as_millis() as u64 / 1_000;
        let batches = 2 * (SUBSCRIPTION_EVENTS_BATCH_BYTES + SUBSCRIPTION_EVENTS_COMMIT_BYTES);
        let most = (SUBSCRIPTION_EVENTS_NETWORK_BURST_BYTES + paced + batches) / BYTES_MIN;
        stop.store(true, Ordering::Relaxed);
        assert!(events < most, "{events} events in {:?}: at most {most}", began.elapsed());
        threads.into_iter().for_each(|thread| thread.join().expect("every subscription begins"));
    });
    assert!(streams.iter().all(|stream| stream.status == 200));
}

#[test]
fn without_a_token_fewer_and_shorter_selectors_are_allowed() {
    let hub = Hub::start(&[]);
    let query = |count: usize, bytes: usize| {
        let topics: Vec<_> = (0..count).map(|number| format!("topic={number:0bytes$}")).collect();
        topics.join("&")
    };
    let with_token = bearer(&["*"]);
    for (query, text) in [
        (query(101, 1), "More than 100 \"topic\" parameters"),
        (query(5, 4_000), "The \"topic\" parameters have more than 16384 bytes together"),
    ] {
        let answer = hub.request(&common::get(&query, ""));
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.body.contains(text), "{answer:?}");
        assert_eq!(hub.subscribe_with(&query, &with_token).status, 200);
    }
    for allowed in [query(100, 163), query(4, 4_096)] {
        assert_eq!(hub.subscribe(&allowed).status, 200);
    }
    let hub = Hub::start(&[
        ("MAX_SELECTORS", "300"),
        ("MAX_SELECTORS_ANONYMOUS", "4096"),
        ("MAX_SELECTOR_BYTES_ANONYMOUS", "20000"),
    ]);
    assert_eq!(hub.subscribe(&query(300, 1)).status, 200);
    assert_eq!(hub.subscribe(&query(5, 4_000)).status, 200);
    let answer = hub.request(&common::get(&query(301, 1), ""));
    assert_eq!((answer.status, &*answer.body), (400, "More than 300 \"topic\" parameters."));
}
