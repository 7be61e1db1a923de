//! The stop of a shard: what has begun is finished, the streams end spread over the drain time, and
//! the loop ends whatever clients do.

use super::*;
use crate::limits::{DRAIN_GRACE_MS, HANDOVER_MS};

impl Harness {
    /// Begins the stop.
    fn stop(&self) {
        self.shard.stopping.store(true, Ordering::SeqCst);
    }

    /// Runs rounds, beside a sequencer, until the streams end.
    fn stop_until_drain(&mut self) {
        self.stop();
        self.round_until("the drain begins", |hub| {
            hub.sequence();
            matches!(hub.shard.shared.shutdown.stop(), Stop::Draining { .. })
        });
    }

    /// A client with an open stream.
    fn subscriber(&mut self) -> OwnedFd {
        let client = self.connect();
        send(&client, &subscription("topic=a"), SendFlags::empty()).expect("sent");
        assert_eq!(status(&self.receive(&client, "\r\n\r\n")), "200");
        client
    }
}

#[test]
fn streams_end_spread_over_the_drain_time_and_then_the_loop_ends() {
    let mut hub = Harness::with(Setup { drain_ms: 1_000, ..Setup::default() });
    let clients: Vec<_> = (0..10).map(|_| hub.subscriber()).collect();
    hub.stop_until_drain();
    let mut texts = vec![String::new(); clients.len()];
    for step in 0..=10 {
        // An end is written in the round after the one that decides it.
        let stopped = (0..3).any(|_| hub.round());
        assert_eq!(stopped, step == 10, "after {step} of 10");
        for (client, text) in clients.iter().zip(&mut texts) {
            text.push_str(&received(client));
        }
        let ended = clients.iter().filter(|client| is_over(client)).count();
        assert_eq!(ended, step, "streams have ended after {step} of 10");
        hub.pass(100);
    }
    assert!(texts.iter().all(|text| text.ends_with("0\r\n\r\n")), "{texts:?}");
}

#[test]
fn a_request_that_comes_while_streams_end_is_refused() {
    let mut hub = Harness::with(Setup { drain_ms: 1_000, ..Setup::default() });
    let _subscriber = hub.subscriber();
    hub.stop_until_drain();
    let (late, silent) = (hub.dial(), hub.dial());
    hub.round_until("both are accepted", |hub| hub.shard.connections.len() == 3);
    for _ in 0..3 {
        hub.round();
    }
    assert!(!is_over(&late), "it may still send its request");
    send(&late, &publication("topic=a"), SendFlags::empty()).expect("sent");
    let refused = hub.receive(&late, "\r\n\r\n");
    assert_eq!(status(&refused), "503");
    assert!(refused.contains("Connection: close\r\n"), "{refused}");
    drop(late);
    // A response would tell a browser that the stream is refused for good; it reconnects instead.
    let late = hub.dial();
    send(&late, &subscription("topic=a"), SendFlags::empty()).expect("sent");
    hub.round_until("closed without a response", |_| is_over(&late));

    hub.pass(1_000);
    hub.round_until_stopped();
    assert!(is_over(&silent), "at the end, who has sent nothing is not waited for");
}

#[test]
fn a_request_that_is_never_complete_delays_the_end_no_longer_than_its_bound() {
    let mut hub = Harness::new();
    let client = hub.connect();
    send(&client, b"GET /.well-known/merc", SendFlags::empty()).expect("sent");
    hub.round();
    hub.stop_until_drain();
    hub.pass(DRAIN_GRACE_MS - 1);
    assert!(!(0..3).any(|_| hub.round()), "the request may still be completed");
    hub.pass(1);
    assert!(hub.round(), "the loop ends");
}

#[test]
fn the_sequencer_goes_on_until_a_publication_that_began_before_the_stop_is_settled() {
    let mut hub = Harness::new();
    let publisher = hub.connect();
    send(&publisher, &publication("topic=a"), SendFlags::empty()).expect("sent");
    hub.round();
    hub.stop();
    for _ in 0..3 {
        hub.round();
    }
    assert!(hub.shard.shared.publications.queue().is_some(), "the sequencer may not end yet");
    hub.sequence();
    let response = hub.receive(&publisher, "\r\n\r\n");
    assert_eq!(status(&response), "200");
    assert!(response.contains("Connection: close\r\n"), "{response}");
    hub.round();
    assert!(hub.shard.shared.publications.queue().is_none());
}

#[test]
fn a_stream_gets_what_was_published_before_the_stop_and_then_its_end() {
    let mut hub = Harness::new();
    let (subscriber, publisher) = (hub.subscriber(), hub.connect());
    send(&publisher, &publication("topic=a&data=x&id=1"), SendFlags::empty()).expect("sent");
    hub.round();
    hub.stop();
    hub.sequence();
    assert_eq!(status(&hub.receive(&publisher, "\r\n\r\n")), "200");
    drop(publisher);
    hub.round_until_stopped();
    assert_eq!(received(&subscriber), "f\r\nid: 1\ndata: x\n\n\r\n0\r\n\r\n");
}

#[test]
fn a_held_socket_is_left_at_once_and_open_connections_get_a_last_response() {
    let any_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let (address, held) = listener::bind_one(any_port).expect("a port");
    let mut setup = Setup::default();
    let listeners = listener::share(std::slice::from_ref(&held), &[Arc::clone(&setup.waker)], 5_000);
    setup.listener = listeners.expect("descriptors").remove(0);
    let mut hub = Harness::with(setup);
    let publisher = hub.dial();
    hub.round_until("accepted", |hub| hub.shard.connections.len() == 1);
    hub.stop();
    hub.round();
    let next = dial(address);
    for _ in 0..3 {
        hub.round();
    }
    assert_eq!(hub.shard.connections.len(), 1, "the connection waits for the next hub");
    rustix::net::accept(&held).expect("it waits in the held socket");
    drop(next);

    send(&publisher, &publication("topic=a&id=1"), SendFlags::empty()).expect("sent");
    let mut response = String::new();
    hub.round_until("a response", |hub| {
        hub.sequence();
        response.push_str(&received(&publisher));
        response.contains("\r\n\r\n")
    });
    assert_eq!(status(&response), "200", "open connections are still served");
    assert!(response.contains("Connection: close\r\n"), "{response}");
    drop(publisher);
    assert!(matches!(hub.shard.shared.shutdown.stop(), Stop::HandingOver { .. }));
    hub.pass(HANDOVER_MS);
    hub.round_until_stopped();
}
