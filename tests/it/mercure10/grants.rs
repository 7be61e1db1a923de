//! What a grant of draft 08 lets through: all topics of a publication, any topic of a private
//! update, now and for as long as the token lasts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::access::{bearer, detail, exact, hub, pattern, post, publish, token, token_with};
use crate::common::get;

const MINE: &str = "https://e.x/u/42/*";

/// Test 80 of MERCURE-1.0, section 13.
#[test]
fn a_publication_needs_a_grant_for_every_topic() {
    let hub = hub(&[]);
    let mut streams = ["match=a", "match=b"].map(|query| hub.subscribe(query));
    let granted = bearer(&token(&[detail(&["publish"], &[exact("a")])]));
    let answer = hub.request(&post("topic=a&topic=b&data=x&id=refused", &granted));
    let challenge = answer.header("WWW-Authenticate").unwrap_or_default();
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
    assert_eq!(hub.request(&post("topic=a&data=x&id=one", &granted)).status, 200);
    assert_eq!(publish(&hub, "topic=b&data=x&id=two").status, 200);
    for (stream, id) in streams.iter_mut().zip(["one", "two"]) {
        assert_eq!(stream.ids(1), [id], "nothing was dispatched");
    }
    let mut all = hub.subscribe("match=*&lastEventID=earliest");
    assert_eq!(all.ids(2), ["one", "two"], "nothing was stored");
}

/// Tests 81 to 83 of MERCURE-1.0, section 13.
#[test]
fn a_private_update_needs_a_grant_for_one_of_its_topics_and_a_replay_the_grant_of_now() {
    let hub = hub(&[]);
    let subscriber = |topic| bearer(&token(&[detail(&["subscribe"], &[topic])]));
    let granted = subscriber(pattern(MINE));
    let mut by_other_topic = hub.subscribe_with("match=book", &granted);
    let mut not_granted = hub.subscribe_with("match=book", &subscriber(pattern("https://e.x/u/43/*")));
    let mut anonymous = hub.subscribe("match=book");
    for body in [
        "topic=book&topic=https://e.x/u/42/b&private&data=x&id=mine",
        "topic=book&private&data=x&id=routed",
        "topic=book&data=x&id=public",
    ] {
        assert_eq!(publish(&hub, body).status, 200, "{body}");
    }
    assert_eq!(by_other_topic.ids(2), ["mine", "public"], "test 81");
    assert_eq!(not_granted.ids(1), ["public"], "test 82");
    assert_eq!(anonymous.ids(1), ["public"], "test 82, without a token");
    let replay = "match=book&lastEventID=earliest";
    assert_eq!(hub.subscribe_with(replay, &granted).ids(2), ["mine", "public"]);
    let narrower = subscriber(exact("https://e.x/u/42/other"));
    assert_eq!(hub.subscribe_with(replay, &narrower).ids(1), ["public"], "test 83");
}

/// Test 84 of MERCURE-1.0, section 13.
#[test]
fn a_stream_ends_when_its_token_expires() {
    let hub = hub(&[]);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    // Symfony's tokens have fractions.
    let exp = now().as_secs_f64() + 1.654_321;
    let short = token_with(&[detail(&["subscribe"], &[exact("a")])], &json!({ "exp": exp }));
    let mut stream = hub.subscribe_with("match=a", &bearer(&short));
    assert_eq!(publish(&hub, "topic=a&private&data=x&id=one").status, 200);
    assert_eq!(stream.ids(1), ["one"]);
    assert_eq!(stream.next(), None, "a clean end");
    let ended = now();
    let exp = Duration::from_secs_f64(exp);
    assert!(ended + Duration::from_millis(300) > exp, "long before it expires");
    assert!(ended < exp + Duration::from_secs(3), "{:?} after it expired", ended - exp);
    std::thread::sleep(exp.saturating_sub(now()));
    assert_eq!(hub.request(&get("match=a", &bearer(&short))).status, 401);
}
