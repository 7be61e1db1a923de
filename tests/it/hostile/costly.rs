//! Strangers with selectors that are costly to compare, of whatever kind: their subscriptions over
//! HTTP/1.1, from many addresses, and on the streams of one HTTP/2 connection. Each is as large as
//! the hub accepts.

use std::time::Instant;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::common::http2::{Events, Http2};
use crate::common::{Client, DEADLINE, Hub, Stream, get};
use crate::hostile::witness::{Answers, AttackedHub, WITNESS_CONNECTIONS, Witness, connect, size};

/// Selectors of one subscription that fill a request target.
const SELECTORS_MAX: usize = 1_000;
/// Updates for each length of topics.
const UPDATES: usize = 5;
/// What a query cannot hold as it is.
const ENCODED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'#').add(b'%').add(b'&').add(b'+').add(b'\\').add(b'{').add(b'|').add(b'}');

/// A kind of costly selectors. In its shape, `A` and `B` are replaced by two numbers, which make
/// each selector unique.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costly {
    parameter: &'static str,
    shape: &'static str,
}

impl Costly {
    pub(super) const fn template(shape: &'static str) -> Self {
        Self { parameter: "topic", shape }
    }

    pub(super) const fn pattern(shape: &'static str) -> Self {
        Self { parameter: "match_urlpattern", shape }
    }

    /// `count` selectors, none of which another number has.
    pub(super) fn query(self, number: usize, count: usize) -> String {
        let selector = |at: usize| format!("{}={}", self.parameter, self.encoded(number, at));
        (0..count).map(selector).collect::<Vec<_>>().join("&")
    }

    fn encoded(self, number: usize, at: usize) -> String {
        utf8_percent_encode(&self.text(number, at), ENCODED).to_string()
    }

    /// One of them.
    pub(super) fn text(self, number: usize, at: usize) -> String {
        let (a, b) = ((1_000 + at).to_string(), (9_999 - number).to_string());
        self.shape.replace('A', &a).replace('B', &b)
    }

    /// The largest number of them that the hub accepts in one subscription; at least 1.
    pub(super) fn largest(self, attacked: &AttackedHub) -> usize {
        let is_accepted = |count: usize| {
            let mut client = connect(attacked.hub(), 9_000);
            client.send(&get(&self.query(9_000, count), ""));
            Stream::open(client).status == 200
        };
        let mut count = SELECTORS_MAX;
        while count > 1 && !is_accepted(count) {
            count = count * 3 / 4;
        }
        // What was tried is given back before the attack begins.
        attacked.wait_for_connections(WITNESS_CONNECTIONS);
        count
    }

    /// Strangers that hold subscriptions of `count` selectors over HTTP/1.1, each from an address
    /// of its own.
    pub(super) fn subscribe(self, hub: &Hub, count: usize, strangers: usize) -> (Vec<Stream>, Answers) {
        let (mut answers, mut streams) = (Answers::default(), Vec::new());
        for number in 0..strangers {
            let mut client: Client = connect(hub, number);
            client.send(&get(&self.query(number, count), ""));
            let mut stream = Stream::open(client);
            let body = if stream.status == 200 { String::new() } else { refusal(&mut stream) };
            answers.count(stream.status, &body);
            if stream.status == 200 {
                streams.push(stream);
            }
        }
        let shape = self.shape;
        println!("{shape}: {count} of them each, {strangers} strangers over HTTP/1.1: {answers:?}");
        (streams, answers)
    }

    /// Strangers on the streams of one HTTP/2 connection.
    fn subscribe_on_one(
        self,
        attacked: &AttackedHub,
        count: usize,
        strangers: usize,
    ) -> (Http2, Vec<Events>, Answers) {
        let (mut answers, mut streams) = (Answers::default(), Vec::new());
        let client = Http2::connect(attacked.hub());
        for number in 0..strangers {
            let mut events = client.subscribe(&self.query(number, count));
            let status = events.status.as_u16();
            let body = if status == 200 { String::new() } else { events.whole(&client) };
            answers.count(status, &body);
            if status == 200 {
                streams.push(events);
            }
        }
        let shape = self.shape;
        println!("{shape}: {count} of them each, {strangers} streams of one connection: {answers:?}");
        (client, streams, answers)
    }
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

/// One subscription of each kind delays no other client.
pub(super) fn one_of_each(name: &str, settings: &[(&str, &str)], kinds: &[Costly]) {
    for (number, kind) in kinds.iter().enumerate() {
        let attacked = AttackedHub::start(&format!("{name}-one-{number}"), settings);
        let mut witness = Witness::new(attacked.hub());
        let (streams, answers) = kind.subscribe(attacked.hub(), kind.largest(&attacked), 1);
        assert_eq!(answers.accepted, 1, "nobody attacks");
        witness.measure_all(kind.shape, UPDATES);
        drop(streams);
        attacked.finish();
    }
}

/// Many subscriptions, each from an address of its own, delay no other client.
pub(super) fn many_addresses(name: &str, settings: &[(&str, &str)], kind: Costly) {
    let attacked = AttackedHub::start(&format!("{name}-many"), settings);
    let mut witness = Witness::new(attacked.hub());
    let count = kind.largest(&attacked);
    let (streams, answers) = kind.subscribe(attacked.hub(), count, size(64, 512));
    assert!(answers.accepted > 0, "nobody attacks");
    witness.measure_all("strangers over HTTP/1.1", UPDATES);
    // The strangers have used up what they may: others are still welcome.
    Witness::new(attacked.hub()).measure_all("a witness that came later", UPDATES);
    drop(streams);
    attacked.finish();
}

/// Streams of one HTTP/2 connection delay no other client.
pub(super) fn one_connection(name: &str, settings: &[(&str, &str)], kind: Costly) {
    let attacked = AttackedHub::start(&format!("{name}-http2"), settings);
    let mut witness = Witness::new(attacked.hub());
    let count = kind.largest(&attacked);
    let (client, streams, answers) = kind.subscribe_on_one(&attacked, count, size(64, 250));
    assert!(answers.accepted > 0, "nobody attacks");
    witness.measure_all("strangers on one connection", UPDATES);
    drop((streams, client));
    attacked.finish();
}

/// Of every kind, on the streams of a few connections.
pub(super) fn several_connections(name: &str, settings: &[(&str, &str)], kinds: &[Costly; 4]) {
    let attacked = AttackedHub::start(&format!("{name}-http2-several"), settings);
    let mut witness = Witness::new(attacked.hub());
    let counts = kinds.map(|kind| kind.largest(&attacked));
    let held: Vec<_> = (0..size(2, 4))
        .map(|number| kinds[number].subscribe_on_one(&attacked, counts[number], size(32, 128)))
        .collect();
    witness.measure_all("strangers on several connections", UPDATES);
    drop(held);
    attacked.finish();
}

/// Strangers that come and go while updates are published: the price is given back each time.
pub(super) fn come_and_go(name: &str, settings: &[(&str, &str)], kind: Costly) {
    let attacked = AttackedHub::start(&format!("{name}-churn"), settings);
    let mut witness = Witness::new(attacked.hub());
    let (count, mut first) = (kind.largest(&attacked), None);
    for _ in 0..size(3, 20) {
        let (streams, answers) = kind.subscribe(attacked.hub(), count, size(16, 64));
        witness.measure("strangers that come and go", 220, 2);
        let accepted = *first.get_or_insert(answers.accepted);
        assert_eq!(answers.accepted, accepted, "the price of those who left is kept");
        drop(streams);
        attacked.wait_for_connections(WITNESS_CONNECTIONS);
    }
    attacked.finish();
}
