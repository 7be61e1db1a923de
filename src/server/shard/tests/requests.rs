//! The life of a request: what is published, and what a stream receives, comes round the ring; the
//! history and other shards are asked without waiting.

use super::*;
use crate::hub::sequencer::ReplyTo;
use crate::mercure::update::Update;
use crate::server::shard::exchange::Reply;
use crate::server::shard::request_id::RequestId;
use crate::sse::frame::Frame;

#[test]
fn an_update_is_acknowledged_and_delivered_only_when_its_entry_comes_round_the_ring() {
    let mut hub = Harness::new();
    let subscriber = hub.connect();
    assert_eq!(hub.request(&subscriber, &subscription("topic=a")), "", "the head waits for the next write");
    hub.push(Vec::new());
    assert_eq!(status(&received(&subscriber)), "200");

    let publisher = hub.connect();
    assert_eq!(hub.request(&publisher, &publication("topic=a&data=x&id=1")), "", "not stored yet");
    assert_eq!(received(&subscriber), "");
    hub.commit();
    let response = received(&publisher);
    assert_eq!(status(&response), "200");
    assert!(response.ends_with("\r\n\r\n1"), "{response}");
    assert_eq!(received(&subscriber), "f\r\nid: 1\ndata: x\n\n\r\n");
}

#[test]
fn a_refused_commit_and_a_full_queue_are_503_with_the_cors_headers_of_the_request() {
    let mut hub = Harness::new();
    let publisher = hub.connect();
    hub.request(&publisher, &publication("topic=a"));
    hub.reject();
    let refused = received(&publisher);

    let update = Update::parse(b"topic=a", Authorization::Selectors, [0; 16]).expect("a publication");
    let frame = Arc::new(Frame::encode(update));
    let elsewhere = ReplyTo::Request { shard: 9, connection: 0, serial: 0 };
    while hub.shard.shared.publications.offer(Arc::clone(&frame), elsewhere).is_ok() {}
    let full = hub.request(&publisher, &publication("topic=a"));
    for response in [refused, full] {
        assert_eq!(status(&response), "503");
        assert!(response.contains("Access-Control-Allow-Origin: https://app.example\r\n"), "{response}");
        assert!(response.contains("Retry-After: 1\r\n"), "{response}");
    }
}

/// The number of a connection is used again: the reply to a request of the one before is not for
/// the request of the next.
#[test]
fn a_reply_with_another_serial_answers_nothing() {
    let mut hub = Harness::new();
    let publisher = hub.connect();
    hub.request(&publisher, &publication("topic=a&id=1"));
    let batch: Vec<Publication> = hub.queue.try_iter().collect();
    let ReplyTo::Request { connection, serial, .. } = batch[0].reply_to else { panic!("of a request") };
    for reply in [Reply::Committed { is_stored: true }, Reply::Committed { is_stored: false }] {
        let stale = RequestId { connection, serial: serial.wrapping_sub(1) };
        hub.shard.connections.on_reply(stale, reply, &mut hub.shard.shared);
        assert_eq!(received(&publisher), "");
    }
    let (entries, _) = hub.sequencer.commit(&batch, 0);
    hub.push(entries);
    assert!(received(&publisher).ends_with("\r\n\r\n1"));
}

#[test]
fn a_token_at_its_limit_gets_429_and_a_head_request_needs_no_permit() {
    let limit = PerClient { connections_per_address: 0, subscriptions_per_token: 1 };
    let quotas = Quotas::new(CONNECTIONS_MAX, limit, true);
    let mut hub = Harness::with(Setup { quotas, ..Setup::default() });
    let bearer = format!("Authorization: Bearer {}\r\n\r\n", token(&json!({ "subscribe": ["*"] })));
    let request = |method: &str| {
        format!("{method} /.well-known/mercure?topic=a HTTP/1.1\r\nHost: a\r\n{bearer}").into_bytes()
    };
    let first = hub.connect();
    hub.request(&first, &request("GET"));
    hub.push(Vec::new());
    assert_eq!(status(&received(&first)), "200");
    let second = hub.connect();
    assert_eq!(status(&hub.request(&second, &request("HEAD"))), "200");
    assert_eq!(status(&hub.request(&second, &request("GET"))), "429");
    hub.shard.shared.streams.shard.close_all();
    hub.push(Vec::new());
    hub.request(&second, &request("GET"));
    hub.push(Vec::new());
    assert_eq!(status(&received(&second)), "200", "its place is free again");
}

/// Templates that begin with an expression are compared with every topic: what they cost is bounded
/// for a client over all its connections, and for all clients together.
#[test]
fn costly_templates_are_refused_where_they_add_to_the_price_of_matching() {
    let mut hub = Harness::new();
    let subscribe = |token: Option<&str>, template: &str| {
        let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let target = format!("/.well-known/mercure?topic={template}");
        format!("GET {target} HTTP/1.1\r\nHost: a\r\n{bearer}\r\n").into_bytes()
    };
    let mut ask = |token: Option<&str>, template: &str| {
        let connection = hub.connect();
        let mut response = hub.request(&connection, &subscribe(token, template));
        hub.push(Vec::new());
        response.push_str(&received(&connection));
        (connection, response)
    };
    let costly = |number: u32| format!("%7B%2Ba:9000,b{number}:9999,c:8,d:22%7D");
    let mut streams = Vec::new();
    let refused = loop {
        let (connection, response) = ask(None, &costly(streams.len() as u32));
        if status(&response) != "200" {
            break response;
        }
        streams.push(connection);
        assert!(streams.len() < 100, "nothing is bounded");
    };
    assert!(streams.len() > 1);
    assert_eq!(status(&refused), "503");
    assert!(refused.contains("\r\nRetry-After: 10\r\n"), "{refused}");
    assert!(refused.contains("this client's subscriptions together cost too much to match"), "{refused}");
    // What adds nothing is not refused, nor is another client.
    assert_eq!(status(&ask(None, &costly(0)).1), "200");
    assert_eq!(status(&ask(None, "https://example.com/%7Bid%7D").1), "200");
    let tokens: Vec<_> = (0..20).map(|n| token(&json!({ "subscribe": [format!("{n}")] }))).collect();
    assert_eq!(status(&ask(Some(&tokens[0]), &costly(1_000)).1), "200");
    let mut number = 2_000;
    let refused = 'all: loop {
        for token in &tokens {
            number += 1;
            let (connection, response) = ask(Some(token), &costly(number));
            if response.contains("all subscriptions together") {
                break 'all response;
            }
            streams.push(connection);
        }
        assert!(number < 3_000, "nothing is bounded");
    };
    assert_eq!(status(&refused), "503");
    assert!(ask(None, &costly(5_000)).1.contains("all subscriptions together"));
    assert_eq!(status(&ask(None, "exact").1), "200");
    // One subscription alone can cost too much.
    let alone = (0..40).map(costly).collect::<Vec<_>>().join("&topic=");
    let (_, response) = ask(None, &alone);
    assert_eq!(status(&response), "400");
    assert!(response.contains("together, the URI Templates cost too much to match"), "{response}");
    // Who leaves makes room.
    hub.shard.shared.streams.shard.close_all();
    hub.push(Vec::new());
    assert_eq!(hub.shard.shared.streams.shard.price(), crate::limits::MATCH_COST_NODE);
    let connection = hub.connect();
    let mut response = hub.request(&connection, &subscribe(None, &costly(1)));
    hub.push(Vec::new());
    response.push_str(&received(&connection));
    assert_eq!(status(&response), "200");
}

#[test]
fn the_history_is_asked_where_a_stream_resumes_and_the_head_says_what_precedes_it() {
    let mut hub = Harness::new();
    let publisher = hub.connect();
    for id in ["1", "2"] {
        hub.request(&publisher, &publication(&format!("topic=a&id={id}&data=x")));
        hub.commit();
        received(&publisher);
    }
    let worker = hub.worker.take().expect("not started yet");
    let thread = std::thread::spawn(move || worker.run());
    let subscriber = hub.connect();
    let asked = subscription("topic=a&lastEventID=unknown");
    assert_eq!(hub.request(&subscriber, &asked), "", "the head waits for the history");
    let until = Instant::now() + Duration::from_secs(20);
    while !inbox::take_replies(&mut hub.shard.connections, &mut hub.shard.shared) {
        assert!(Instant::now() < until, "the history does not reply");
        std::thread::yield_now();
    }
    let mut stream = String::new();
    while !stream.contains("id: 2") {
        assert!(Instant::now() < until, "the history is not replayed: {stream}");
        inbox::take_replies(&mut hub.shard.connections, &mut hub.shard.shared);
        hub.push(Vec::new());
        stream.push_str(&received(&subscriber));
    }
    assert!(stream.contains("Last-Event-ID: earliest\r\n"), "{stream}");
    assert!(stream.find("id: 1") < stream.find("id: 2"), "{stream}");
    // The worker ends with its shard.
    drop(hub);
    thread.join().expect("it ends");
}

#[test]
fn a_list_of_subscriptions_waits_for_every_shard_and_names_the_newest_update() {
    let mut hub = Harness::new();
    let subscriber = hub.connect();
    hub.request(&subscriber, &subscription("topic=a"));
    offer_subscription_events(&mut hub.shard.shared);
    hub.commit();
    let token = token(&json!({ "subscribe": ["/.well-known/mercure/subscriptions"] }));
    let request = format!(
        "GET /.well-known/mercure/subscriptions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let client = hub.connect();
    assert_eq!(hub.request(&client, request.as_bytes()), "", "the shards are asked first");
    let mut rounds = 0;
    while inbox::take_messages(&mut hub.shard.connections, &mut hub.shard.shared) {
        rounds += 1;
        assert!(rounds < 10, "the list is never complete");
    }
    let response = received(&client);
    assert_eq!(status(&response), "200");
    assert!(response.contains("\"topic\":\"a\""), "{response}");
}

#[test]
fn a_subscription_that_must_wait_for_events_is_told_which_bound_it_met() {
    let handler = handler(Dialects::legacy(Authorization::Selectors));
    for (is_own, status, bound) in [(true, 429, "16777216 bytes"), (false, 503, "33554432 bytes")] {
        let api_response = handler.events_wait(is_own, handler.context(None));
        assert_eq!(api_response.response.status().as_u16(), status);
        let text = api_response.refusal.expect("a refusal").text;
        assert!(text.contains(bound), "{text}");
    }
}
