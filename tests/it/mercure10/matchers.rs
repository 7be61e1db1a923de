//! Group A of MERCURE-1.0, section 13: what matchers match, and which are refused.

use super::access::{bearer, detail, encoded, exact, field, hub, post, publish, publisher, token};
use crate::common::{Hub, get};

/// The topic that ends each list of expected events.
const END: &str = "urn:x:end";

/// The data of the events that a subscription with this query receives of one update of each of
/// these lists of topics.
fn received(hub: &Hub, query: &str, updates: &[&[&str]]) -> Vec<String> {
    let mut stream = hub.subscribe(&format!("{query}&match={END}"));
    assert_eq!(stream.status, 200, "{query}");
    for topics in updates {
        let fields: String = topics.iter().map(|topic| format!("topic={}&", encoded(topic))).collect();
        let answer = publish(hub, &format!("{fields}data={}", encoded(topics[0])));
        assert_eq!(answer.status, 200, "{topics:?}: {answer:?}");
    }
    assert_eq!(publish(hub, &format!("topic={END}&data={END}")).status, 200);
    let next = || Some(field(&stream.next()?, "data")?.to_owned());
    std::iter::from_fn(next).take_while(|data| data != END).collect()
}

/// Tests 1 to 16, 18 to 21 and 35 of MERCURE-1.0, section 13.
#[test]
fn each_matcher_receives_what_it_matches() {
    let hub = hub(&[]);
    // Number; parameter; its value; topics of updates that arrive; topics of those that do not.
    type Row<'r> = (u8, &'r str, &'r str, &'r [&'r str], &'r [&'r str]);
    let rows: &[Row<'_>] = &[
        (1, "match", "a", &["a"], &["b"]),
        (2, "match", "https://e.x/A", &[], &["https://e.x/a"]),
        (3, "match_exact", "a", &["a"], &["A", "/a"]),
        (4, "match", "https://e.x/{id}", &["https://e.x/{id}"], &["https://e.x/1"]),
        (5, "match_urlpattern", "https://e.x/books/:id", &["https://e.x/books/1"], &[]),
        (6, "match_urlpattern", "https://e.x/books/:id", &[], &["https://e.x/books/1/2"]),
        (7, "match_urlpattern", "https://e.x/books/:id", &[], &["https://e.x/books/"]),
        (8, "match_urlpattern", "https://e.x/books/:id", &["https://e.x/books/1?x#y"], &[]),
        (9, "match_urlpattern", "https://e.x/books/:id", &["https://E.X/books/1"], &[]),
        (10, "match_urlpattern", "https://e.x/books/:id", &[], &["https://e.x/Books/1"]),
        (11, "match_urlpattern", "https://e.x:443/a", &["https://e.x/a", "https://e.x:443/a"], &[]),
        (12, "match_urlpattern", "/a{/:b}?", &["https://hub.e.x/a", "https://hub.e.x/a/1"], &[]),
        (13, "match_urlpattern", "https://e.x/a/*", &["https://e.x/a/b/c"], &["https://e.x/a"]),
        (14, "match_urlpattern", "https://e.x/:t(news|alerts)", &["https://e.x/news"], &["https://e.x/x"]),
        (15, "match_urlpattern", "/x/:id", &["/x/1"], &[]),
        (16, "match_urlpattern", "/x/:id", &["https://hub.e.x/x/1"], &["https://other/x/1"]),
        (18, "match_urlpattern", r"urn\:uuid\:*", &["urn:uuid:1"], &[]),
        (19, "match_urlpattern", "urn:uuid:*", &[], &["urn:uuid:1"]),
        (19, "match_urlpattern", "urn:*", &["urn:uuid:1"], &[]),
        (20, "match_urlpattern", "*://*/*", &["http://e.x/"], &["http://["]),
        (20, "match", "*", &["http://["], &[]),
        (21, "match_urlpattern", "https://e.x/(a)", &["https://e.x/a"], &["https://e.x/(a)"]),
        (22, "match", "*", &["a", "https://e.x/1"], &[]),
        (22, "match_urlpattern", "*", &["a", "https://e.x/1"], &[]),
        (35, "match", "a;b", &["a;b"], &["a", "b"]),
    ];
    for (number, name, value, arrive, others) in rows {
        let query = format!("{name}={}", encoded(value));
        let updates: Vec<&[&str]> = arrive.iter().chain(*others).map(std::slice::from_ref).collect();
        assert_eq!(received(&hub, &query, &updates), *arrive, "test {number}: {query}");
    }
    // As a browser sends them, not encoded.
    let raw = [("match=a;b", "a;b"), ("match=a+b", "a b")];
    for (query, topic) in raw {
        assert_eq!(received(&hub, query, &[&["a"], &["b"], &[topic]]), [topic], "test 35: {query}");
    }
}

/// Test 17 of MERCURE-1.0, section 13: the base of relative patterns is `PUBLIC_URL`.
#[test]
fn the_base_of_a_pattern_does_not_follow_the_host_of_the_request() {
    let hub = hub(&[]);
    let mut stream = {
        let mut client = hub.connect();
        client.send(&get("match_urlpattern=/x/:id", "").replacen("Host: hub", "Host: other", 1));
        crate::common::Stream::open(client)
    };
    for topic in ["https://other/x/1", "https://hub.e.x/x/1"] {
        let body = format!("topic={}&data={topic}", encoded(topic));
        let request = post(&body, &bearer(&publisher())).replacen("Host: hub", "Host: other", 1);
        assert_eq!(hub.request(&request).status, 200);
    }
    assert_eq!(field(&stream.next().expect("an update"), "data"), Some("https://hub.e.x/x/1"));
}

/// Test 23 of MERCURE-1.0, section 13.
#[test]
fn an_update_that_two_matchers_match_arrives_once() {
    let query = "match=a&match_urlpattern=https://e.x/*";
    assert_eq!(received(&hub(&[]), query, &[&["a", "https://e.x/1"]]), ["a"]);
}

/// In a debug build, this pattern makes the library panic that reads it. No client may write lines
/// of errors with that.
#[test]
fn a_pattern_that_makes_its_parser_panic_is_refused_and_not_logged_as_a_panic() {
    let mut hub = hub(&[("ACCESS_LOG", "1")]);
    for _ in 0..3 {
        let answer = hub.request(&get("match_urlpattern=%3A%2F%2F%5D", ""));
        assert_eq!(answer.status, 400, "{answer:?}");
        hub.wait_for_log("answered");
    }
    let is_panic = |line: &&String| line.contains("panic") || line.contains("ERROR");
    assert_eq!(hub.logged().iter().find(is_panic), None);
}

/// Tests 24 to 34 of MERCURE-1.0, section 13.
#[test]
fn what_is_no_matcher_is_refused() {
    let hub = hub(&[]);
    let everything = bearer(&token(&[detail(&["subscribe"], &[exact("*")])]));
    let pattern = |text: &str| format!("match_urlpattern={}", encoded(text));
    let rows: Vec<(u8, String)> = [
        (24, "match_regexp=a"),
        (25, "Match=a"),
        (25, "match_URLPattern=a"),
        (25, "MATCH=a"),
        (26, "match=a&matching=b"),
        (26, "match[]=a"),
        (26, "match%5B%5D=a"),
        (26, "match_=a"),
        (27, ""),
        (27, "x=y"),
        (28, "match="),
        (28, "match"),
        (28, "match=a&match_urlpattern="),
        (29, "topic=a"),
        (29, "match=a&topic=b"),
        (32, "match=a%0A"),
        (32, "match=%7F"),
        (32, "match=%C2%85"),
        (32, "match=%E2%80%8B"),
        (32, "match=%C2%AD"),
        (32, "match_urlpattern=/%E2%80%8B"),
        (33, "match=%FF"),
    ]
    .into_iter()
    .map(|(number, query)| (number, query.to_owned()))
    .chain([
        (30, pattern("https://e.x/(")),
        (31, pattern("https://e.x/(a(?=b).*)")),
        (31, pattern("https://e.x/(?:a)")),
        (34, vec!["match=a"; 1_001].join("&")),
        (34, format!("match={}", "a".repeat(4_097))),
        (34, pattern("https://e.x/(a{1000}b{1000}c{1000}d{1000}e{1000})")),
    ])
    .collect();
    for (number, query) in rows {
        let answer = hub.request(&get(&query, &everything));
        let short = &query[..query.len().min(80)];
        assert_eq!(answer.status, 400, "test {number}: {short}: {answer:?}");
        assert!(answer.header("WWW-Authenticate").is_none(), "test {number}: {short}");
        let is_plain = !answer.body.contains("src/") && !answer.body.contains("Error {");
        assert!(is_plain && answer.body.len() < 400, "test {number}: {}", answer.body);
    }
}

/// Test 36 of MERCURE-1.0, section 13. The time is bounded by the deadline of the client.
#[test]
fn a_pattern_with_much_backtracking_is_matched_in_bounded_time() {
    let hub = hub(&[]);
    let longest = format!("https://e.x/{}", "a".repeat(15_000));
    let matching = format!("{longest}b");
    let query = format!("match_urlpattern={}", encoded("https://e.x/(a*a*a*a*a*a*)b"));
    assert_eq!(received(&hub, &query, &[&[&longest], &["https://e.x/aab"]]), ["https://e.x/aab"]);
    let found = received(&hub, &query, &[&[&matching]]);
    assert!(found.is_empty() || found == [matching], "either it matches or its cost is above the limit");
    let too_long = format!("topic={}", "a".repeat(1 << 20));
    assert_eq!(publish(&hub, &too_long).status, 413);
}
