//! Goal: an application moves from one protocol to the other and back, as docs/migration.md says.
//! Method: hubs with one history, one after the other, with the settings of each step. Clients of
//! both protocols go on after events that they received through the other one.

use serde_json::json;

use super::access::{ISSUER, ISSUER_KEY, PUBLIC_URL, bearer, detail, encoded, exact, field, post, token};
use crate::common::{Hub, KEY, command, id, token as legacy_token};

const OLD_KEYS: &[(&str, &str)] = &[("JWT_KEY", KEY)];
const NEW_KEYS: &[(&str, &str)] = &[
    ("PUBLIC_URL", PUBLIC_URL),
    ("ISSUER", ISSUER),
    ("ISSUER_PUBLISHER_KEY", ISSUER_KEY),
    ("ISSUER_SUBSCRIBER_KEY", ISSUER_KEY),
];

fn started(path: &str, settings: &[&[(&str, &str)]]) -> Hub {
    let mut command = command();
    command.env("ADDR", "127.0.0.1:0").env("DB_PATH", path);
    command.envs(settings.concat());
    Hub::run(command)
}

/// A private update of the topic `a`.
fn publish(hub: &Hub, data: &str, token: &str) -> String {
    let answer = hub.request(&post(&format!("topic=a&private=on&data={data}"), &bearer(token)));
    assert_eq!(answer.status, 200, "{data}: {answer:?}");
    answer.body
}

/// What follows an event, and its ids; by either protocol.
fn after(hub: &Hub, parameter: &str, last: &str, token: &str, count: usize) -> Vec<(String, String)> {
    let (cursor, name) = match parameter {
        "topic" => ("lastEventID", "Last-Event-ID"),
        _ => ("last_event_id", "Mercure-Last-Event-ID"),
    };
    let query = format!("{parameter}=a&{cursor}={}", encoded(last));
    let mut stream = hub.subscribe_with(&query, &bearer(token));
    assert_eq!((stream.status, stream.header(name)), (200, Some(last)), "{query}");
    let event = |event: String| (id(&event), field(&event, "data").expect("data").to_owned());
    (0..count).map(|_| event(stream.next().expect("an update"))).collect()
}

fn access_token() -> String {
    token(&[detail(&["publish", "subscribe"], &[exact("a")])])
}

#[test]
fn an_application_moves_to_1_0_and_back_with_one_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("updates.db");
    let path = path.to_str().expect("UTF-8");
    let old = legacy_token(&json!({ "publish": ["a"], "subscribe": ["a"] }), None);
    let new = access_token();

    let hub = started(path, &[OLD_KEYS]);
    let first = publish(&hub, "first", &old);
    assert_eq!(hub.request(&post("topic=a&data=x", &bearer(&new))).status, 401);
    drop(hub);

    // Both: what one publishes, the other receives, and each goes on after an event of the other.
    let hub = started(path, &[OLD_KEYS, NEW_KEYS]);
    let second = publish(&hub, "second", &new);
    let third = publish(&hub, "third", &old);
    let wanted = [(second.clone(), "second".to_owned()), (third.clone(), "third".to_owned())];
    assert_eq!(after(&hub, "topic", &first, &old, 2), wanted);
    assert_eq!(after(&hub, "match", &first, &new, 2), wanted);
    // Requests and tokens are independent: an application may change the one before the other.
    assert_eq!(after(&hub, "match", &first, &old, 2), wanted);
    assert_eq!(after(&hub, "topic", &first, &new, 2), wanted);
    drop(hub);

    let hub = started(path, &[NEW_KEYS]);
    assert_eq!(after(&hub, "match", &second, &new, 1), wanted[1..]);
    assert_eq!(hub.subscribe_with("topic=a", &bearer(&new)).status, 400);
    assert_eq!(hub.subscribe_with("match=a", &bearer(&old)).status, 401);
    let fourth = publish(&hub, "fourth", &new);
    drop(hub);

    // Back: with the old keys again, and then without the new ones.
    for settings in [&[OLD_KEYS, NEW_KEYS][..], &[OLD_KEYS]] {
        let hub = started(path, settings);
        assert_eq!(after(&hub, "topic", &third, &old, 1), [(fourth.clone(), "fourth".to_owned())]);
    }
}

#[test]
fn an_application_of_2019_publishes_what_is_restricted_in_both_forms() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("updates.db");
    let hub = started(path.to_str().expect("UTF-8"), &[OLD_KEYS, NEW_KEYS, &[("AUTHORIZATION", "targets")]]);
    let old = legacy_token(&json!({ "publish": ["team"], "subscribe": ["team"] }), None);
    let new = access_token();
    let send = |body: &str, token: &str| hub.request(&post(body, &bearer(token))).status;
    let mut of_2019 = hub.subscribe_with("topic=a", &bearer(&old));
    let mut of_1_0 = hub.subscribe_with("match=a", &bearer(&new));
    assert_eq!(send("topic=a&data=old&target=team", &old), 200);
    assert_eq!(send("topic=a&data=new&private=on", &new), 200);
    assert_eq!(send("topic=a&data=public", &old), 200);
    for (stream, own) in [(&mut of_2019, "old"), (&mut of_1_0, "new")] {
        let seen = [(); 2].map(|()| stream.next().expect("an update"));
        assert_eq!([0, 1].map(|at| field(&seen[at], "data")), [Some(own), Some("public")]);
    }
    // Neither form is published by a token of the other.
    assert_eq!(send("topic=a&data=x&private=on", &old), 400);
    assert_eq!(send("topic=a&data=x&target=team", &new), 400);
}

/// Traps 13 and 14 of MERCURE-1.0, section 9: what draft 08 refuses to take is still delivered from
/// before, but never as an event of the hub.
#[test]
fn a_history_from_before_is_delivered_and_no_event_of_it_passes_for_the_hubs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("updates.db");
    let path = path.to_str().expect("UTF-8");
    let publisher = legacy_token(&json!({ "publish": ["*"] }), None);
    let bodies = ["topic=soft%C2%ADhyphen&data=x&id=format", "topic=a&type=mercure&data=x&id=forged"];
    let statuses = |hub: &Hub| bodies.map(|body| hub.request(&post(body, &bearer(&publisher))).status);

    let hub = started(path, &[OLD_KEYS]);
    assert_eq!(statuses(&hub), [200, 200]);
    drop(hub);

    let hub = started(path, &[OLD_KEYS, NEW_KEYS, &[("ALLOW_ANONYMOUS", "1")]]);
    assert_eq!(statuses(&hub), [400, 400]);
    for parameter in ["match", "topic"] {
        let mut stream = hub.subscribe(&format!("{parameter}=*&lastEventID=earliest"));
        let events = [(); 2].map(|()| stream.next().expect("an update"));
        assert_eq!(events.each_ref().map(|event| field(event, "id")), [Some("format"), Some("forged")]);
        assert_eq!(field(&events[1], "event"), None, "{parameter}: {}", events[1]);
    }
}
