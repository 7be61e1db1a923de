//! Goal: a closed HTTP/2 window or a full socket makes only its own streams slow, no others.
//!
//! Method: as in tests/it/http2.rs. Unread data keeps windows closed, or fills the socket that
//! streams share.

use crate::common::http2::{Http2, both, builder, numbered};
use h2::Reason;

/// A window is to its stream what a socket is to a connection: closed, it makes only that
/// subscriber slow.
#[test]
fn a_stream_whose_window_is_shut_catches_up_and_no_other_notices() {
    const UPDATES: usize = 300;
    for hub in both("window", &[("SUBSCRIBER_BUFFER", "64KiB")]) {
        let client = Http2::connect(&hub);
        let mut slow = client.subscribe("topic=a");
        slow.releases = false;
        let mut quick: Vec<_> = (0..5).map(|_| client.subscribe("topic=a")).collect();
        let data = "x".repeat(4_000);
        for number in 0..UPDATES {
            client.publish(&format!("topic=a&id={number}&data={data}"));
            for stream in &mut quick {
                assert_eq!(stream.ids(&client, 1), [number.to_string()]);
            }
        }
        slow.hold(&client, 65_535);
        slow.release();
        assert_eq!(slow.ids(&client, UPDATES), numbered(0..UPDATES));
        let last = client.publish("topic=a&data=x");
        assert_eq!(slow.ids(&client, 1), [last]);
    }
}

#[test]
fn a_stream_whose_window_stays_shut_is_reset_alone() {
    let settings = [("DISPATCH_TIMEOUT", "500ms"), ("HEARTBEAT_INTERVAL", "0s"), ("LOG_LEVEL", "debug")];
    for mut hub in both("stalled", &settings) {
        let client = Http2::connect(&hub);
        let mut shut: Vec<_> = (0..3).map(|_| client.subscribe("topic=a")).collect();
        let mut quick = client.subscribe("topic=a");
        shut.iter_mut().for_each(|stream| stream.releases = false);
        let data = "x".repeat(10_000);
        let ids: Vec<_> = (0..20).map(|_| client.publish(&format!("topic=a&data={data}"))).collect();
        assert_eq!(quick.ids(&client, 20), ids);
        for stream in &mut shut {
            assert_eq!(stream.end(&client), Err(Reason::CANCEL));
        }
        let line = hub.wait_for_log("subscription ended");
        assert!(line.contains("Stalled"), "{line}");
        let id = client.publish("topic=a");
        assert_eq!(quick.ids(&client, 1), [id]);
    }
}

/// The client does not read the socket that its streams share: all of them fall behind, and all
/// catch up.
#[test]
fn streams_of_an_unread_socket_miss_nothing() {
    const UPDATES: usize = 100;
    let settings = [("SUBSCRIBER_BUFFER", "64KiB"), ("HEARTBEAT_INTERVAL", "100ms")];
    for hub in both("unread", &settings) {
        let mut wide = builder();
        wide.initial_window_size(8 << 20);
        let client = Http2::with(&hub, &wide, Some(32 << 10));
        let mut unread: Vec<_> = (0..10).map(|_| client.subscribe("topic=a")).collect();
        let reader = Http2::connect(&hub);
        let mut quick = reader.subscribe("topic=a");
        let data = "x".repeat(20_000);
        for number in 0..UPDATES {
            reader.publish(&format!("topic=a&id={number}&data={data}"));
            assert_eq!(quick.ids(&reader, 1), [number.to_string()]);
        }
        for stream in &mut unread {
            assert_eq!(stream.ids(&client, UPDATES), numbered(0..UPDATES));
        }
        let last = client.publish("topic=a");
        for stream in &mut unread {
            assert_eq!(stream.ids(&client, 1), std::slice::from_ref(&last));
        }
    }
}

#[test]
fn streams_of_a_socket_that_stays_unread_are_closed() {
    let settings = [("DISPATCH_TIMEOUT", "300ms"), ("HEARTBEAT_INTERVAL", "0s"), ("LOG_LEVEL", "debug")];
    for mut hub in both("never-read", &settings) {
        let mut wide = builder();
        wide.initial_window_size(8 << 20);
        let client = Http2::with(&hub, &wide, Some(8 << 10));
        let unread: Vec<_> = (0..3).map(|_| client.subscribe("topic=a")).collect();
        let other = Http2::connect(&hub);
        let mut quick = other.subscribe("topic=a");
        let data = "x".repeat(100_000);
        for _ in 0..10 {
            let id = other.publish(&format!("topic=a&data={data}"));
            assert_eq!(quick.ids(&other, 1), [id]);
        }
        for _ in &unread {
            hub.wait_for_log("subscription ended");
        }
        let id = other.publish("topic=a");
        assert_eq!(quick.ids(&other, 1), [id]);
        drop(unread);
        client.end();
    }
}
