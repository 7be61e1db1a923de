//! Goal: no URL Patterns of strangers make the updates of others late, in subscriptions or in
//! access tokens, with regexps of their own or without.
//!
//! Method: a hub that speaks 07 and 08; patterns that stay possible on every byte of a topic and
//! have no text in common ([`super::costly`]). The witness is a client of 07: it notices nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::http2::{self, Http2};
use crate::common::mixed::ISSUER_SETTINGS;
use crate::common::{post, publisher};
use crate::hostile::costly::{self, Costly};
use crate::hostile::witness::{AttackedHub, Witness, size, topic};
use crate::mercure10::access::token_with;

/// Two without a regexp of their own, two with one. What a topic of the witness lacks is at the
/// end.
pub(super) const SHAPES: [Costly; 4] = [
    Costly::pattern("*://*/{a}*{aa}*{aaa}*{a}*A-B"),
    Costly::pattern("https://example.com/(a*a*a*a*a*a*)A-B"),
    Costly::pattern("*://*/*a*:x{a}*A*B"),
    Costly::pattern("*://*/((?:a|aa){1,9})(a{1,9})*A-B"),
];

#[test]
fn one_subscription_of_costly_patterns_delays_nobody() {
    costly::one_of_each("patterns", &ISSUER_SETTINGS, &SHAPES);
}

#[test]
fn many_subscriptions_of_patterns_from_many_addresses_delay_nobody() {
    costly::many_addresses("patterns", &ISSUER_SETTINGS, SHAPES[0]);
}

#[test]
fn streams_of_patterns_on_one_http2_connection_delay_nobody() {
    costly::one_connection("patterns", &ISSUER_SETTINGS, SHAPES[0]);
    costly::one_connection("regexps", &ISSUER_SETTINGS, SHAPES[1]);
}

#[test]
fn streams_of_patterns_on_several_http2_connections_delay_nobody() {
    costly::several_connections("patterns", &ISSUER_SETTINGS, &SHAPES);
}

#[test]
fn patterns_that_come_and_go_delay_nobody_and_their_price_is_given_back() {
    costly::come_and_go("patterns", &ISSUER_SETTINGS, SHAPES[3]);
}

/// A valid token with this many costly patterns; no two numbers have one in common.
fn token_of(number: usize, patterns: usize) -> String {
    let shape = |at: usize| SHAPES[at % SHAPES.len()].text(number, at);
    let topics: Vec<Value> =
        (0..patterns).map(|at| json!({ "match": shape(at), "match_type": "urlpattern" })).collect();
    let detail = json!({
        "type": "https://mercure.rocks/authorization-detail",
        "actions": ["subscribe", "publish"],
        "topics": topics,
    });
    token_with(&[detail], &json!({}))
}

/// Subscribers of an application whose tokens are as costly as an issuer can make them: an update
/// that only they select is compared with all their patterns, since it is private.
#[test]
fn tokens_full_of_costly_patterns_delay_nobody() {
    let attacked = AttackedHub::start("patterns-tokens", &ISSUER_SETTINGS);
    let mut witness = Witness::new(attacked.hub());
    let (client, mut held) = (Http2::connect(attacked.hub()), Vec::new());
    let open = |number: usize, patterns: usize| {
        let bearer = format!("Bearer {}", token_of(number, patterns));
        client.open(http2::get("match=*").header("authorization", bearer))
    };
    let mut patterns = 400;
    while open(0, patterns).status != 200 {
        patterns = patterns * 3 / 4;
    }
    let began = Instant::now();
    // Their events are not read: the publications of the witness are theirs, too.
    held.extend((0..size(8, 32)).map(|number| open(number, patterns)));
    println!("{} subscribers with tokens of {patterns} patterns came in {:?}", held.len(), began.elapsed());
    assert!(patterns > 1 && held.iter().all(|events| events.status == 200));
    // Private updates, to a topic that takes each pattern to its end.
    let private = post(&format!("topic={}&private=on", topic(1_020)), Some(&publisher()));
    for _ in 0..size(5, 50) {
        let mut publishing = attacked.hub().connect();
        publishing.send(&private.repeat(2));
        witness.measure("beside private updates", 1_020, 2);
        assert_eq!([publishing.answer().status, publishing.answer().status], [200, 200]);
    }
    drop((held, client));
    attacked.finish();
}

/// A flood of large tokens that an issuer has not signed costs a check of the signature each.
#[test]
fn a_flood_of_access_tokens_that_nobody_has_signed_delays_nobody() {
    let attacked = AttackedHub::start("patterns-unsigned", &ISSUER_SETTINGS);
    let mut witness = Witness::new(attacked.hub());
    let patterns = (1..=500).rev().find(|count| token_of(0, *count).len() < 40 << 10).expect("a token");
    let forged = format!("{}x", token_of(0, patterns));
    let of_other_issuer =
        token_with(&[], &json!({ "iss": format!("https://{}.example", "x".repeat(30_000)) }));
    let requests: String = [forged, of_other_issuer]
        .iter()
        .map(|token| crate::common::get("match=a", &format!("Authorization: Bearer {token}\r\n")))
        .collect();
    let until = Instant::now() + Duration::from_millis(500);
    let sent = super::flood(attacked.hub(), requests.as_bytes(), || {
        while Instant::now() < until {
            witness.measure("beside the flood", 1_020, 5);
        }
    });
    assert!(sent > 4 * requests.len(), "nobody attacks: {sent} bytes");
    attacked.finish();
}
