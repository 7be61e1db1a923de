//! Goal: no selectors of strangers make the updates of others late, however many there are and on
//! whatever connections.
//!
//! Method: URI Templates that begin with an expression and have no text in common stay possible on
//! every byte of a topic. Subscriptions full of them come over HTTP/1.1, from many addresses, and
//! on the streams of one HTTP/2 connection. Each is as large as the hub accepts.

use std::time::Instant;

use crate::common::http2::{Events, Http2};
use crate::common::{Client, DEADLINE, Hub, Stream, get};
use crate::hostile::witness::{Answers, AttackedHub, WITNESS_CONNECTIONS, Witness, connect, size};

/// Templates of one subscription that fill a request target.
const TEMPLATES_MAX: usize = 1_000;
/// Updates for each length of topics.
const UPDATES: usize = 5;

/// Shapes of templates; `A` and `B` are replaced by two numbers, which make each template unique.
const SHAPES: [&str; 4] = ["{+a:A,b:B,c:8,d:22}", "{+aA}x{bB}", "{aA}{+bB}", "{+aA*,bB:7}"];

/// `count` templates of the shape, none of which another number has.
pub(super) fn costly(shape: &str, number: usize, count: usize) -> String {
    let template = |at: usize| {
        let (a, b) = ((1_000 + at).to_string(), (9_999 - number).to_string());
        let text = shape.replace('A', &a).replace('B', &b);
        let text = text.replace('{', "%7B").replace('}', "%7D").replace('+', "%2B");
        format!("topic={text}")
    };
    (0..count).map(template).collect::<Vec<_>>().join("&")
}

/// The largest number of templates of the shape that the hub accepts in one subscription; at
/// least 1.
pub(super) fn largest(attacked: &AttackedHub, shape: &str) -> usize {
    let is_accepted = |count: usize| {
        let mut client = connect(attacked.hub(), 9_000);
        client.send(&get(&costly(shape, 9_000, count), ""));
        Stream::open(client).status == 200
    };
    let mut count = TEMPLATES_MAX;
    while count > 1 && !is_accepted(count) {
        count /= 2;
    }
    // What was tried is given back before the attack begins.
    attacked.wait_for_connections(WITNESS_CONNECTIONS);
    count
}

/// Strangers that hold subscriptions of `count` templates over HTTP/1.1, each from an address of
/// its own.
pub(super) fn subscribe(hub: &Hub, shape: &str, count: usize, strangers: usize) -> (Vec<Stream>, Answers) {
    let (mut answers, mut streams) = (Answers::default(), Vec::new());
    for number in 0..strangers {
        let mut client: Client = connect(hub, number);
        client.send(&get(&costly(shape, number, count), ""));
        let mut stream = Stream::open(client);
        let body = if stream.status == 200 { String::new() } else { refusal(&mut stream) };
        answers.count(stream.status, &body);
        if stream.status == 200 {
            streams.push(stream);
        }
    }
    println!("{shape}: {count} templates each, {strangers} strangers over HTTP/1.1: {answers:?}");
    (streams, answers)
}

/// The text of a refusal.
fn refusal(stream: &mut Stream) -> String {
    let length = stream.header("Content-Length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let until = Instant::now() + DEADLINE;
    while stream.body.len() < length && stream.client.read_some(until) {
        stream.body.append(&mut stream.client.received);
    }
    String::from_utf8_lossy(&stream.body).into_owned()
}

/// Strangers on the streams of one HTTP/2 connection.
fn subscribe_on_one(
    attacked: &AttackedHub,
    shape: &str,
    count: usize,
    strangers: usize,
) -> (Http2, Vec<Events>) {
    let (mut answers, mut streams) = (Answers::default(), Vec::new());
    let client = Http2::connect(attacked.hub());
    for number in 0..strangers {
        let mut events = client.subscribe(&costly(shape, number, count));
        let status = events.status.as_u16();
        let body = if status == 200 { String::new() } else { events.whole(&client) };
        answers.count(status, &body);
        if status == 200 {
            streams.push(events);
        }
    }
    println!("{shape}: {count} templates each, {strangers} streams of one connection: {answers:?}");
    (client, streams)
}

#[test]
fn one_costly_subscription_delays_nobody() {
    for (number, shape) in SHAPES.into_iter().enumerate() {
        let attacked = AttackedHub::start(&format!("templates-one-{number}"), &[]);
        let mut witness = Witness::new(attacked.hub());
        let (streams, _) = subscribe(attacked.hub(), shape, largest(&attacked, shape), 1);
        witness.measure_all(shape, UPDATES);
        drop(streams);
        attacked.finish();
    }
}

#[test]
fn many_costly_subscriptions_from_many_addresses_delay_nobody() {
    let attacked = AttackedHub::start("templates-many", &[]);
    let mut witness = Witness::new(attacked.hub());
    let count = largest(&attacked, SHAPES[0]);
    let (streams, _) = subscribe(attacked.hub(), SHAPES[0], count, size(64, 512));
    witness.measure_all("strangers over HTTP/1.1", UPDATES);
    // The strangers have used up what they may: others are still welcome.
    Witness::new(attacked.hub()).measure_all("a witness that came later", UPDATES);
    drop(streams);
    attacked.finish();
}

#[test]
fn costly_streams_of_one_http2_connection_delay_nobody() {
    let attacked = AttackedHub::start("templates-http2", &[]);
    let mut witness = Witness::new(attacked.hub());
    let count = largest(&attacked, SHAPES[0]);
    let (client, streams) = subscribe_on_one(&attacked, SHAPES[0], count, size(64, 250));
    witness.measure_all("strangers on one connection", UPDATES);
    drop((streams, client));
    attacked.finish();
}

/// Of every shape, on the streams of a few connections.
#[test]
fn costly_streams_of_several_http2_connections_delay_nobody() {
    let attacked = AttackedHub::start("templates-http2-several", &[]);
    let mut witness = Witness::new(attacked.hub());
    let counts = SHAPES.map(|shape| largest(&attacked, shape));
    let held: Vec<_> = (0..size(2, 4))
        .map(|number| subscribe_on_one(&attacked, SHAPES[number], counts[number], size(32, 128)))
        .collect();
    witness.measure_all("strangers on several connections", UPDATES);
    drop(held);
    attacked.finish();
}

/// Strangers that come and go while updates are published: the price is given back each time.
#[test]
fn costly_subscriptions_that_come_and_go_delay_nobody_and_their_price_is_given_back() {
    let attacked = AttackedHub::start("templates-churn", &[]);
    let mut witness = Witness::new(attacked.hub());
    let (count, mut first) = (largest(&attacked, SHAPES[1]), None);
    for _ in 0..size(3, 20) {
        let (streams, answers) = subscribe(attacked.hub(), SHAPES[1], count, size(16, 64));
        witness.measure("strangers that come and go", 220, 2);
        let accepted = *first.get_or_insert(answers.accepted);
        assert_eq!(answers.accepted, accepted, "the price of those who left is kept");
        drop(streams);
        attacked.wait_for_connections(WITNESS_CONNECTIONS);
    }
    attacked.finish();
}
