//! Group C of MERCURE-1.0, section 13: the fields of a publication, with a grant for every topic.

use super::access::{bearer, detail, encoded, exact, field, hub, pattern, post, publish, token};

/// Tests 48 to 54 and 56 to 58 of MERCURE-1.0, section 13. An empty `retry` counts as absent.
#[test]
fn the_fields_of_a_publication_have_rules() {
    let hub = hub(&[]);
    let topic = |text: &str| format!("topic={}&data=x", encoded(text));
    let second = |text: &str| format!("topic=a&topic={}&data=x", encoded(text));
    let mut rows: Vec<(u8, String, u16)> = [
        (48, "topic=a&id=%23a", 400),
        (48, "topic=a&id=earliest", 400),
        (49, "topic=a&id=a%E2%80%8Db", 400),
        (49, "topic=a&type=a%E2%80%8Db", 400),
        (49, "topic=a%E2%80%8Db", 400),
        (49, "topic=a&topic=a%E2%80%8Db", 400),
        (49, "topic=a&data=a%E2%80%8Db", 200),
        (50, "topic=a&type=mercure", 400),
        (50, "topic=a&type=Mercure", 200),
        (51, "topic=a&retry=-1", 400),
        (51, "topic=a&retry=1.5", 400),
        (51, "topic=a&retry=%201", 400),
        (51, "topic=a&retry=%EF%BC%91", 400),
        (51, "topic=a&retry=", 200),
        (51, "topic=a&retry=10", 200),
        (52, "topic=a&topic=*", 400),
        (52, "topic=*", 400),
        (56, "topic=a&foo=bar&match=b", 200),
        (57, "topic=a&target=x", 400),
    ]
    .into_iter()
    .map(|(number, body, status)| (number, body.to_owned(), status))
    .collect();
    for text in [
        "/.well-known/mercure",
        "https://other.example/.well-known/mercure/x",
        "/.well-known/%6Dercure/x",
        "/.well-known/x/../mercure/y",
        "",
    ] {
        rows.extend([(53, topic(text), 400), (53, second(text), 400)]);
    }
    for text in ["/.well-known/mercurette", "https://x/hub", "/a/.well-known/mercure"] {
        rows.extend([(54, topic(text), 200), (54, second(text), 200)]);
    }
    rows.push((58, vec!["topic=a"; 1_001].join("&"), 413));
    rows.push((58, format!("topic=a&data={}", "a".repeat((1 << 20) + 1)), 413));
    for (number, body, status) in rows {
        let answer = publish(&hub, &body);
        let short = &body[..body.len().min(80)];
        assert_eq!(answer.status, status, "test {number}: {short}: {answer:?}");
        assert!(answer.header("WWW-Authenticate").is_none(), "test {number}: {short}");
    }
}

/// What comparing the topics with the token costs is bounded before it is begun.
#[test]
fn topics_that_cost_too_much_to_compare_with_the_token_are_413_with_the_bound() {
    let hub = hub(&[]);
    let patterns: Vec<_> =
        (0..12).map(|number| pattern(&format!("https://e.x/{number}/(a*b*[ab]*a*b*[ab]*)"))).collect();
    let costly = bearer(&token(&[detail(&["publish"], &patterns)]));
    let topic = |number: usize| format!("topic=https://e.x/{number}/{}", "ab".repeat(400));
    let topics = |count: usize| (0..count).map(|_| topic(1)).collect::<Vec<_>>().join("&");
    assert_eq!(hub.request(&post(&topics(1), &costly)).status, 200);
    let answer = hub.request(&post(&topics(900), &costly));
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(answer.body.contains("more than 300000"), "{}", answer.body);
    assert!(answer.header("WWW-Authenticate").is_none());
}

/// Trap 1 of MERCURE-1.0, section 9: a client that chooses the `Host` does not choose what a
/// relative pattern of its token grants.
#[test]
fn a_relative_pattern_of_a_token_is_of_the_public_url_whatever_the_host() {
    let hub = hub(&[]);
    let relative = bearer(&token(&[detail(&["publish"], &[pattern("/users/:id")])]));
    for (topic, status) in [
        ("https://victim.example/users/1", 403),
        ("https://hub.e.x/users/1", 200),
        ("/users/1", 200),
        ("//victim.example/users/1", 403),
    ] {
        for host in ["hub", "victim.example", "hub.e.x"] {
            let request = post(&format!("topic={}", encoded(topic)), &relative);
            let request = request.replacen("Host: hub", &format!("Host: {host}"), 1);
            assert_eq!(hub.request(&request).status, status, "{topic} at {host}");
        }
    }
}

/// Tests 47, 59 and 60 of MERCURE-1.0, section 13.
#[test]
fn an_update_arrives_as_it_was_published() {
    let hub = hub(&[]);
    let mut stream = hub.subscribe("match=a");
    for (number, body, event) in [
        (47, "topic=a&id=urn:x:1&data=x", "id: urn:x:1\ndata: x\n"),
        (
            59,
            "topic=a&id=urn:x:2&data=a%0D%0Aid:%20evil%0Db",
            "id: urn:x:2\ndata: a\ndata: id: evil\ndata: b\n",
        ),
    ] {
        let answer = publish(&hub, body);
        let content_type = answer.header("Content-Type");
        assert_eq!((answer.status, content_type), (200, Some("text/plain; charset=utf-8")), "test {number}");
        assert_eq!(stream.next().as_deref(), Some(event), "test {number}");
        assert_eq!(field(event, "id"), Some(&*answer.body), "test {number}");
    }
    let made = publish(&hub, "topic=a").body;
    let event = stream.next().expect("an update");
    assert_eq!(field(&event, "id"), Some(&*made), "test 60");
    assert!(event.lines().any(|line| line.trim_end() == "data:"), "test 60: {event}");
}

/// Test 55 of MERCURE-1.0, section 13.
#[test]
fn the_presence_of_private_makes_an_update_private() {
    let hub = hub(&[]);
    let granted = bearer(&token(&[detail(&["subscribe"], &[exact("a")])]));
    let mut reader = hub.subscribe_with("match=a", &granted);
    let mut anonymous = hub.subscribe("match=a");
    for private in ["private", "private=", "private=false", "private=0", "private=on"] {
        assert_eq!(publish(&hub, &format!("topic=a&data={}&{private}", encoded(private))).status, 200);
        let event = reader.next().expect("a private update");
        assert_eq!(field(&event, "data"), Some(private));
    }
    publish(&hub, "topic=a&data=public");
    assert_eq!(field(&anonymous.next().expect("the public update"), "data"), Some("public"));
}
