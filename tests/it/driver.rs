//! Goal: with an io_uring, one system call makes many sends, and none is made otherwise, whatever
//! carries the streams. Method: a fan-out to many subscribers, and the hub's own counters.

use std::io::Write as _;

use crate::common::frames::{self, DATA, HEADERS, Raw};
use crate::common::tls::{Files, Pair, any};
use crate::common::{Hub, Stream};
use crate::metrics::Metered;

const SETTINGS: [(&str, &str); 3] = [("METRICS_ADDR", "127.0.0.1:0"), ("SHARDS", "1"), ("IO", "auto")];
const UPDATES: usize = 20;

/// A fan-out to clients that have connected, each with so many streams, each update by itself;
/// `receive` waits for the one with this id. `calls_max` is what one update may take.
fn fan_out<C>(
    mut hub: Hub,
    (count, streams): (usize, usize),
    calls_max: usize,
    connect: impl Fn(&Hub) -> C,
    receive: impl Fn(&mut C, &str),
) {
    if hub.logged().iter().any(|line| line.contains("epoll is used instead of io_uring")) {
        writeln!(std::io::stderr(), "SKIPPED: a_fan_out…: this host refuses io_uring").expect("written");
        return;
    }
    let metered = Metered::of(hub);
    let mut clients: Vec<C> = (0..count).map(|_| connect(&metered.hub)).collect();
    metered.expect(&[("mercure_subscribers_connected", (count * streams) as f64)]);
    let before = metered.scrape();
    for number in 0..UPDATES {
        let id = format!("update-{number}");
        metered.hub.publish(&format!("topic=a&data=x&id={id}"));
        // One at a time, so that each update is a fan-out of its own.
        for client in &mut clients {
            receive(client, &id);
        }
    }
    metered.expect(&[("petasos_deliveries_total", (count * streams * UPDATES) as f64)]);
    let after = metered.scrape();
    let grown = |name: &str| after[name] - before[name];
    assert_eq!(grown("petasos_io_uring_sends_total"), (count * UPDATES) as f64);
    let calls = grown("petasos_io_uring_calls_total");
    assert!(calls <= (calls_max * UPDATES) as f64, "{calls} calls for {UPDATES} updates");
}

fn receive_event(stream: &mut Stream, id: &str) {
    let event = stream.next().expect("the stream goes on");
    assert!(event.contains(&format!("id: {id}\n")), "{event}");
}

#[test]
fn a_fan_out_takes_at_most_one_call_for_256_deliveries() {
    fan_out(Hub::start(&SETTINGS), (1_000, 1), 1_000 / 256, |hub| hub.subscribe("topic=a"), receive_event);
}

#[test]
fn a_fan_out_over_tls_takes_as_few_calls() {
    let pair = Pair::new();
    let hub = Files::new("driver", &pair).start(&SETTINGS, &any(&pair));
    fan_out(hub, (512, 1), 2, |hub| hub.subscribe("topic=a"), receive_event);
}

/// Connections with so many streams each.
fn fan_out_over_http2(count: usize, streams: usize) {
    let connect = |hub: &Hub| {
        let mut raw = Raw::open(hub, &[]);
        for number in 0..streams as u32 {
            let request = frames::get(2 * number + 1, "/.well-known/mercure?topic=a");
            assert!(raw.send(&request), "the hub has closed");
            raw.next_of(HEADERS);
        }
        raw
    };
    let receive = |raw: &mut Raw, id: &str| {
        let id = format!("id: {id}\n");
        for _ in 0..streams {
            // The opening of a stream comes before.
            while !String::from_utf8_lossy(&raw.next_of(DATA).payload).contains(&id) {}
        }
    };
    fan_out(Hub::start(&SETTINGS), (count, streams), 2, connect, receive);
}

#[test]
fn a_fan_out_over_http2_takes_as_few_calls() {
    fan_out_over_http2(512, 1);
}

/// More streams than are written to at once, so those of a connection could be apart. (The test for
/// both drivers is in `src/server/shard/tests/http2_sends.rs`.)
#[test]
fn a_fan_out_to_many_streams_of_a_connection_is_one_send_to_it() {
    fan_out_over_http2(128, 10);
}
