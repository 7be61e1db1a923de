//! Goal: a browser with very many presence channels of Laravel is served like one with a few.
//! Method: the requests and the cookie of MERCURE-1.0, section 7.5, for 100 channels: 200 matchers,
//! and a token of 101 entries.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::access::{cookie, detail, document, encoded, exact, hub, pattern, token, with_payload};
use crate::common::http2::{Http2, get};
use crate::common::subscriptions::{PATH, ask_with, members};
use crate::common::{Hub, Stream};

const CHANNELS: usize = 100;

fn topic(kind: &str, number: usize) -> String {
    // As long as the names of rooms of a real application are.
    let name = format!("presence-App.Models.Organization.123e4567-e89b-12d3-a456-42661417{number:04}");
    format!("https://laravel.alt/echo/{kind}/{}", encoded(&name))
}

fn events(number: usize, subscriber: &str) -> String {
    format!("{PATH}/:match_type/{}{subscriber}", encoded(&topic("channel", number)))
}

fn user(id: usize) -> Value {
    json!({"user_id": id, "user_info": {"id": id, "name": "Anna Example", "avatar": format!("https://e.x/{id}.png")}})
}

/// The token of a user of all channels.
fn token_of(id: usize) -> String {
    let entry = |number| {
        let topics = [exact(&topic("channel", number)), pattern(&events(number, "{/:subscriber}?"))];
        with_payload(detail(&["subscribe"], &topics), user(id))
    };
    let whispers: Vec<_> = (0..CHANNELS).map(|number| exact(&topic("whisper", number))).collect();
    let mut details: Vec<_> = (0..CHANNELS).map(entry).collect();
    details.push(detail(&["subscribe", "publish"], &whispers));
    token(&details)
}

fn query() -> String {
    let of_channel = |number| {
        let topic = encoded(&topic("channel", number));
        format!("match={topic}&match_urlpattern={}", encoded(&events(number, "/:subscriber")))
    };
    (0..CHANNELS).map(of_channel).collect::<Vec<_>>().join("&")
}

/// Reads the events that say that a user is in every channel.
fn joined(id: usize, next: &mut impl FnMut() -> String) {
    let mut missing: BTreeSet<String> = (0..CHANNELS).map(|number| topic("channel", number)).collect();
    while !missing.is_empty() {
        let event = document(&next());
        assert_eq!((&event["match_type"], &event["active"]), (&json!("exact"), &json!(true)), "{event}");
        assert_eq!(event["payload"], user(id));
        let channel = event["match"].as_str().expect("a topic");
        assert!(missing.remove(channel), "twice: {event}");
    }
}

fn subscribed(hub: &Hub, token: &str) -> Stream {
    let stream = hub.subscribe_with(&query(), &cookie(token));
    assert_eq!(stream.status, 200, "{:?}", stream.head);
    stream
}

/// Test 115 of MERCURE-1.0, section 13, a hundred times.
#[test]
fn laravel_has_a_hundred_presence_channels_in_one_stream() {
    let hub = hub(&[]);
    let (of_anna, of_ben) = (token_of(1), token_of(2));
    assert!(of_anna.len() > 80_000, "as large as it may get: {}", of_anna.len());
    let mut anna = subscribed(&hub, &of_anna);
    joined(1, &mut || anna.next().expect("Anna is there"));
    for number in [0, CHANNELS / 2, CHANNELS - 1] {
        let channel = topic("channel", number);
        let list = ask_with(&hub, &format!("{PATH}/exact/{}", encoded(&channel)), &cookie(&of_anna));
        assert_eq!(list.status, 200, "{list:?}");
        let list: Value = serde_json::from_str(&list.body).expect("JSON");
        let [own] = &members(&list)[..] else { panic!("{list}") };
        assert_eq!((&own["match"], &own["payload"]), (&json!(channel), &user(1)));
    }
    // Another user comes, by HTTP/2.
    let client = Http2::connect(&hub);
    let name = "__Secure-mercure_access_token";
    let mut ben = client.open(get(&query()).header("cookie", format!("{name}={of_ben}")));
    assert_eq!(ben.status, 200);
    joined(2, &mut || anna.next().expect("Ben comes"));
    joined(2, &mut || ben.next(&client).expect("Ben is there"));
}

/// Whoever asks for more than the token can answer at a bounded cost is told so.
#[test]
fn payloads_that_cost_too_much_to_choose_are_a_clear_error() {
    let hub = hub(&[]);
    // Nothing tells these apart but a comparison with each.
    let entry = |number: usize| {
        let costly = pattern(&format!("/*/{number}{{/:a}}?{{/:b}}?"));
        with_payload(detail(&["subscribe"], &[costly]), json!(number))
    };
    let costly = token(&(0..100).map(entry).collect::<Vec<_>>());
    let matchers = |count: usize| {
        let topics = (0..count).map(|number| format!("match=/{}/{number}x", "a/".repeat(40)));
        topics.collect::<Vec<_>>().join("&")
    };
    assert_eq!(hub.subscribe_with(&matchers(2), &cookie(&costly)).status, 200);
    let headers = format!("{}\r\n", cookie(&costly).trim_end());
    let refused = hub.request(&crate::common::get(&matchers(500), &headers));
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.body.contains("cost too much to choose"), "{}", refused.body);
    assert_eq!(
        hub.subscribe_with(&query(), "").status,
        400,
        "more patterns than one without a token may have"
    );
}
