//! Goal: the clients of Mercure 1.0 that are in the field work with the hub.
//! Method: the requests that they send, written from their documentation (MERCURE-1.0, section
//! 7.5): Laravel's broadcaster with Echo, Symfony's component and bundle, API Platform.

use serde_json::{Value, json};

use super::access::{
    bearer, cookie, detail, document, encoded, exact, field, hub, pattern, post, token, token_with,
    with_payload,
};
use crate::common::subscriptions::{PATH, ask_with, members};
use crate::common::{Hub, Stream, id};

const APP: &str = "https://app.e.x";

fn channel(name: &str) -> String {
    format!("https://laravel.alt/echo/channel/{}", encoded(name))
}

fn whisper(name: &str) -> String {
    format!("https://laravel.alt/echo/whisper/{}", encoded(name))
}

/// The URL Pattern of the events about those who are in a presence channel.
fn presence_pattern(topic: &str, subscriber: &str) -> String {
    format!("{PATH}/:match_type/{}{subscriber}", encoded(topic))
}

/// The cookie that Laravel gives a user of some private channels and one presence channel.
fn laravel_token(presence: &str, user: &Value, others: &Value) -> String {
    let topic = channel(presence);
    let details = [
        detail(&["subscribe"], &[exact(&channel("private-orders.7"))]),
        with_payload(
            detail(&["subscribe"], &[exact(&topic), pattern(&presence_pattern(&topic, "{/:subscriber}?"))]),
            user.clone(),
        ),
        detail(&["subscribe", "publish"], &[exact(&whisper(presence))]),
    ];
    token_with(&details, others)
}

/// The stream of Echo: the channels, and for the presence channel its events.
fn echo(hub: &Hub, presence: &str, token: &str) -> Stream {
    let topic = channel(presence);
    let query = format!(
        "match={}&match={}&match_urlpattern={}",
        encoded(&channel("private-orders.7")),
        encoded(&topic),
        encoded(&presence_pattern(&topic, "/:subscriber")),
    );
    hub.subscribe_with(&query, &format!("{}Origin: {APP}\r\nAccept: text/event-stream\r\n", cookie(token)))
}

fn laravel_hub() -> Hub {
    hub(&[("CORS_ALLOWED_ORIGINS", APP), ("PUBLISH_ALLOWED_ORIGINS", APP)])
}

/// Test 115 of MERCURE-1.0, section 13: the member list.
#[test]
fn laravel_lists_the_members_of_a_presence_channel_once_the_stream_is_open() {
    let hub = laravel_hub();
    // The name needs encoding, and its topic again.
    let presence = "presence-room 1";
    let (anna, ben) = (json!({"user_id": 1, "user_info": {"name": "Anna"}}), json!({"user_id": "2"}));
    let (of_anna, of_ben) =
        (laravel_token(presence, &anna, &json!({})), laravel_token(presence, &ben, &json!({})));

    let mut first = echo(&hub, presence, &of_anna);
    assert_eq!((first.status, first.header("Access-Control-Allow-Origin")), (200, Some(APP)));
    let topic = channel(presence);
    let list_path = format!("{PATH}/exact/{}", encoded(&topic));
    let listed = |token: &str| {
        let answer = ask_with(&hub, &list_path, &format!("{}Origin: {APP}\r\n", cookie(token)));
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/json")));
        members(&serde_json::from_str(&answer.body).expect("JSON")).clone()
    };
    let alone = listed(&of_anna);
    assert_eq!(alone.len(), 1, "the caller itself: {alone:?}");
    assert_eq!((&alone[0]["match_type"], &alone[0]["match"]), (&json!("exact"), &json!(topic)));
    assert_eq!((&alone[0]["active"], &alone[0]["payload"]), (&json!(true), &anna));
    let own = document(&first.next().expect("its own event"));
    assert_eq!(own, alone[0], "the document of the event");

    let second = echo(&hub, presence, &of_ben);
    assert_eq!(listed(&of_ben).len(), 2);
    let joined = document(&first.next().expect("Ben comes"));
    assert_eq!(
        (&joined["active"], &joined["payload"], &joined["match"]),
        (&json!(true), &ben, &json!(topic))
    );
    assert_ne!(joined["subscriber"], own["subscriber"]);
    drop(second);
    let left = document(&first.next().expect("Ben goes"));
    assert_eq!((&left["active"], &left["id"]), (&json!(false), &joined["id"]));

    // A member of another channel reads neither.
    let stranger = laravel_token("presence-other", &ben, &json!({}));
    assert_eq!(ask_with(&hub, &list_path, &cookie(&stranger)).status, 403);
}

/// Test 115 of MERCURE-1.0, section 13: broadcasts, and whispers between browsers.
#[test]
fn laravel_broadcasts_and_whispers_arrive() {
    let hub = laravel_hub();
    let presence = "presence-room.1";
    let of_anna = laravel_token(presence, &json!({"user_id": 1}), &json!({}));
    let of_ben = laravel_token(presence, &json!({"user_id": 2}), &json!({}));
    let orders = channel("private-orders.7");
    let query = format!("match={}", encoded(&orders));
    let mut channels = hub.subscribe_with(&query, &cookie(&of_anna));
    let mut whispers =
        hub.subscribe_with(&format!("match={}", encoded(&whisper(presence))), &cookie(&of_ben));
    let mut anonymous = hub.subscribe("match=*");

    let server = token(&[detail(&["publish"], &[exact("*")])]);
    let data = json!({"event": "OrderShipped", "data": {"id": 7}}).to_string();
    let body = format!("topic={}&data={}&private=on", encoded(&orders), encoded(&data));
    let answer = hub.request(&post(&body, &bearer(&server)));
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("text/plain; charset=utf-8")));
    let event = channels.next().expect("the broadcast");
    assert_eq!((field(&event, "data"), id(&event)), (Some(&*data), answer.body));
    assert_eq!(field(&event, "event"), None);

    // A simple request of the page: the cookie and its origin, no preflight.
    let body = format!("topic={}&data=%7B%22typing%22%3Atrue%7D&private=on", encoded(&whisper(presence)));
    let from = |headers: &str| hub.request(&post(&body, &format!("{}{headers}", cookie(&of_anna)))).status;
    assert_eq!(from(&format!("Origin: {APP}\r\n")), 200);
    let event = whispers.next().expect("the whisper");
    assert_eq!(field(&event, "data"), Some("{\"typing\":true}"));
    assert_eq!(from("Origin: https://evil.example\r\n"), 403);
    assert_eq!(from(""), 403);
    let elsewhere = format!("topic={}&data=x&private=on", encoded(&orders));
    let headers = format!("{}Origin: {APP}\r\n", cookie(&of_anna));
    assert_eq!(hub.request(&post(&elsewhere, &headers)).status, 403, "a browser may only whisper");

    // Whoever has no token has received none of this.
    hub.request(&post("topic=public&data=last", &bearer(&server)));
    assert_eq!(field(&anonymous.next().expect("an update"), "data"), Some("last"));
}

/// Test 115 of MERCURE-1.0, section 13: an expired cookie. Laravel authenticates again at 401.
#[test]
fn laravel_gets_401_for_an_expired_cookie_and_resumes_with_a_new_one() {
    let hub = laravel_hub();
    let presence = "presence-room.1";
    let expired = laravel_token(presence, &json!({}), &json!({"exp": 1_000_000_000}));
    let stale = echo(&hub, presence, &expired);
    assert_eq!(stale.status, 401);
    let list_path = format!("{PATH}/exact/{}", encoded(&channel(presence)));
    assert_eq!(ask_with(&hub, &list_path, &cookie(&expired)).status, 401);
    let headers = format!("{}Origin: {APP}\r\n", cookie(&expired));
    let whisper_body = format!("topic={}&data=x", encoded(&whisper(presence)));
    assert_eq!(hub.request(&post(&whisper_body, &headers)).status, 401);

    let server = token(&[detail(&["publish"], &[exact("*")])]);
    let orders = encoded(&channel("private-orders.7"));
    let publish = |data: &str| {
        let body = format!("topic={orders}&data={data}&private=on");
        hub.request(&post(&body, &bearer(&server))).body
    };
    let seen = publish("seen");
    publish("missed");
    let renewed = laravel_token(presence, &json!({}), &json!({}));
    let query = format!("match={orders}&last_event_id={}", encoded(&seen));
    let mut stream = hub.subscribe_with(&query, &cookie(&renewed));
    assert_eq!(stream.header("Mercure-Last-Event-ID"), Some(&*seen));
    assert_eq!(field(&stream.next().expect("what was missed"), "data"), Some("missed"));
}

/// Symfony's component makes tokens with fractional times, separate entries for publishing and
/// subscribing, exact entries without a type, and a payload of any kind: an empty array of PHP.
#[test]
fn symfony_publishes_and_subscribes() {
    const INTERNAL: &str = "http://mercure/.well-known/mercure";
    let hub = hub(&[("AUDIENCES", INTERNAL)]);
    let details = [
        detail(
            &["publish"],
            &[exact("https://example.com/books/1"), pattern("https://example.com/users/:id")],
        ),
        with_payload(
            detail(
                &["subscribe"],
                &[exact("https://example.com/books/1"), pattern("https://example.com/users/:id")],
            ),
            json!([]),
        ),
    ];
    // In Docker, the publisher knows the hub by another URL than the browser.
    let publisher = token_with(
        &details,
        &json!({"aud": [INTERNAL], "iat": 1_700_000_000.123_456, "exp": 4_102_444_800.654_321}),
    );
    let browser = token(&details);
    let mut stream = hub.subscribe_with(
        "match=https%3A%2F%2Fexample.com%2Fbooks%2F1&match_urlpattern=https%3A%2F%2Fexample.com%2Fusers%2F%3Aid",
        &cookie(&browser),
    );
    assert_eq!(stream.status, 200);
    for (body, data) in [
        ("topic=https%3A%2F%2Fexample.com%2Fbooks%2F1&data=public", "public"),
        (
            "topic=https%3A%2F%2Fexample.com%2Fbooks%2F1&topic=https%3A%2F%2Fexample.com%2Fusers%2F7\
             &data=private&private=on&id=urn%3Ax%3A1&type=book&retry=1000",
            "private",
        ),
    ] {
        assert_eq!(hub.request(&post(body, &bearer(&publisher))).status, 200, "{body}");
        let event = stream.next().expect("an update");
        assert_eq!(field(&event, "data"), Some(data));
        if data == "private" {
            let fields = ["id", "event", "retry"].map(|name| field(&event, name));
            assert_eq!(fields, [Some("urn:x:1"), Some("book"), Some("1000")]);
        }
    }
    let other = hub.request(&post("topic=https%3A%2F%2Fexample.com%2Fbooks%2F2&data=x", &bearer(&publisher)));
    assert_eq!(other.status, 403);
    assert!(other.header("WWW-Authenticate").is_some_and(|value| value.contains("insufficient_scope")));
    let elsewhere = token_with(&details, &json!({"aud": "http://mercure/"}));
    assert_eq!(hub.request(&post("topic=a&data=x", &bearer(&elsewhere))).status, 401);
    let all = token(&[detail(&["subscribe"], &[exact("*")])]);
    let list = ask_with(
        &hub,
        &format!("{PATH}/urlpattern/{}", encoded("https://example.com/users/:id")),
        &bearer(&all),
    );
    let list: Value = serde_json::from_str(&list.body).expect("JSON");
    assert_eq!(members(&list)[0]["payload"], json!([]));
}

/// API Platform's client sends its cursor twice.
#[test]
fn api_platform_resumes_by_header_and_parameter() {
    let hub = hub(&[]);
    let server = token(&[detail(&["publish"], &[exact("*")])]);
    let topic = "https%3A%2F%2Fapi.example.com%2Fbooks%2F1";
    let publish =
        |data: &str| hub.request(&post(&format!("topic={topic}&data={data}"), &bearer(&server))).body;
    let (first, second) = (publish("first"), publish("second"));
    publish("third");
    let query = format!("match={topic}&last_event_id={}", encoded(&first));
    let mut stream = hub.subscribe_with(&query, &format!("Last-Event-Id: {second}\r\n"));
    assert_eq!(stream.header("Mercure-Last-Event-ID"), Some(&*second), "the header goes first");
    assert_eq!(field(&stream.next().expect("an update"), "data"), Some("third"));
}
