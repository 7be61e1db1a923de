//! Goal: with an io_uring, one system call makes many sends, and none is made otherwise. Method: a
//! fan-out to a thousand subscribers, and the hub's own counters.

use std::io::Write as _;

use crate::common::Hub;
use crate::metrics::Metered;

const SUBSCRIBERS: usize = 1_000;
const UPDATES: usize = 20;

#[test]
fn a_fan_out_takes_at_most_one_call_for_256_deliveries() {
    let settings = [("METRICS_ADDR", "127.0.0.1:0"), ("SHARDS", "1"), ("IO", "auto")];
    let mut metered = Metered::of(Hub::start(&settings));
    if metered.hub.logged().iter().any(|line| line.contains("epoll is used instead of io_uring")) {
        writeln!(std::io::stderr(), "SKIPPED: a_fan_out_takes…: this host refuses io_uring")
            .expect("written");
        return;
    }
    let mut subscribers: Vec<_> = (0..SUBSCRIBERS).map(|_| metered.hub.subscribe("topic=a")).collect();
    metered.expect(&[("mercure_subscribers_connected", SUBSCRIBERS as f64)]);
    let before = metered.scrape();
    for number in 0..UPDATES {
        metered.hub.publish(&format!("topic=a&data=x&id=update-{number}"));
        // One at a time, so that each update is a fan-out of its own.
        for subscriber in &mut subscribers {
            let event = subscriber.next().expect("the stream goes on");
            assert!(event.contains(&format!("id: update-{number}\n")), "{event}");
        }
    }
    let deliveries = (SUBSCRIBERS * UPDATES) as f64;
    metered.expect(&[("petasos_deliveries_total", deliveries)]);
    let after = metered.scrape();
    let grown = |name: &str| after[name] - before[name];
    assert_eq!(grown("petasos_io_uring_sends_total"), deliveries);
    let calls = grown("petasos_io_uring_calls_total");
    assert!(deliveries / calls >= 256.0, "{calls} calls for {deliveries} deliveries");
}
