//! Active subscriptions from outside (PROTOCOL section 7): the binary, real sockets, two shards where there are two cores.

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::http2::{self, Http2};
use common::{Answer, DEADLINE, Hub, Stream, id, token};
use rustix::process::Signal;
use serde_json::{Value, json};

const PATH: &str = "/.well-known/mercure/subscriptions";
const EVENTS: &str = "topic=/.well-known/mercure/subscriptions%7B/topic%7D%7B/subscriber%7D";

fn hub(settings: &[(&str, &str)]) -> Hub {
    Hub::start(&[&[("SUBSCRIPTIONS", "1")], settings].concat())
}

fn bearer(selectors: &[&str]) -> String {
    format!("Authorization: Bearer {}\r\n", token(&json!({ "subscribe": selectors }), None))
}

fn ask_with(hub: &Hub, path: &str, headers: &str) -> Answer {
    hub.request(&format!("GET {path} HTTP/1.1\r\nHost: hub\r\n{headers}\r\n"))
}

fn ask(hub: &Hub, path: &str) -> Answer {
    ask_with(hub, path, &bearer(&["*"]))
}

fn list(hub: &Hub, path: &str) -> Value {
    let answer = ask(hub, path);
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/ld+json")));
    serde_json::from_str(&answer.body).expect("JSON")
}

fn members(list: &Value) -> &Vec<Value> {
    list["subscriptions"].as_array().expect("a list")
}

/// Asks for a list that the client has, until no shard has anything more to tell.
fn unchanged(hub: &Hub, path: &str, tag: &str) -> Answer {
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

/// The tag of the list once no shard has anything more to tell.
fn quiet_tag(hub: &Hub) -> String {
    let until = Instant::now() + DEADLINE;
    loop {
        let tag = ask(hub, PATH).header("ETag").expect("a tag").to_owned();
        if ask_with(hub, PATH, &format!("{}If-None-Match: {tag}\r\n", bearer(&["*"]))).status == 304 {
            return tag;
        }
        assert!(Instant::now() < until, "the list changes on and on");
    }
}

/// Waits until so many subscriptions are listed.
fn wait_for(hub: &Hub, path: &str, count: usize) -> Value {
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
fn told(stream: &mut Stream) -> (String, Value) {
    let event = stream.next().expect("an event");
    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    (id(&event), serde_json::from_str(data).expect("JSON"))
}

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
            // The hub has two names, and a path more spellings than one: none of them is a way around.
            let other = path.replace("/.well-known/mercure", "/hub").replace("%3A", ":");
            for path in [path, &other] {
                assert_eq!(ask_with(&hub, path, &bearer(selectors)).status, status, "{selectors:?} {path}");
            }
        }
    }
    let nobody = ask_with(&hub, PATH, "");
    assert_eq!((nobody.status, nobody.header("WWW-Authenticate")), (401, Some("Bearer")));
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

/// The newest update may be the same though the list is not: then a tag that names it proves nothing.
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
    // An id that was there before names its first update, and nobody could go on from the second.
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
    // Killed, it tells nobody that they are gone.
    drop(first);
    let second = hub(&settings);
    let answer = of(&second, &tag);
    assert_eq!((answer.status, answer.header("ETag")), (200, Some(&*tag)));
    assert_eq!(members(&serde_json::from_str(&answer.body).expect("JSON")).len(), 0);
    second.publish("topic=a&id=new");
    assert_eq!(quiet_tag(&second), "\"new\"");
}

#[test]
fn who_was_not_told_of_is_forgotten_without_a_word() {
    let hub = hub(&[("SHARDS", "1")]);
    let query: Vec<_> = (0..1_000).map(|number| format!("topic={number}")).collect();
    let mut watcher = hub.subscribe_with(EVENTS, &bearer(&["*"]));
    for _ in 0..20 {
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
    // What was begun before the last one came is ended behind it.
    while active.len() > 1 {
        let (_, data) = told(&mut watcher);
        if data["active"] == json!(false) {
            active.remove(data["id"].as_str().expect("a path"));
        }
    }
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

/// Publishers, subscribers and who asks for lists may be on any shard: who was answered finds what it did.
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
    // Many publishers and many who are written to, so that shards lag behind the ring.
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

/// The README's promise: a list, and the events from its last event id on, miss nothing, while clients come and go.
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
        // The last one ends what the others are compared with.
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
                // Those who look are there, too.
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
    assert_eq!(forged.status, 403);
    hub.publish("topic=end&id=end");
    for active in [true, false] {
        let (_, data) = told(&mut limited);
        assert_eq!((&data["topic"], &data["active"]), (&json!("mine"), &json!(active)));
    }
    assert_eq!(id(&stranger.next().expect("an event")), "end");
}

/// The hub stops: a client that comes back after the restart finds in the history that all subscriptions ended.
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

/// 20,000 subscriptions: 20 clients with 1,000 selectors each. The bar is a second; here there is room for a busy machine.
#[test]
fn a_long_list_is_complete_and_delivery_goes_on_meanwhile() {
    let hub = hub(&[]);
    let query = |client: usize| {
        let topics: Vec<_> =
            (0..1_000).map(|number| format!("topic=https://example.com/{client}/{number}")).collect();
        topics.join("&")
    };
    let streams: Vec<_> = (0..20).map(|client| hub.subscribe(&query(client))).collect();
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
