//! How connections come in: limits, a listener that fails, a socket that all shards share.

use rustix::net::socket_with;

use super::*;
use crate::limits::ACCEPT_PAUSE_MS;

fn health_request() -> &'static [u8] {
    b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
}

#[test]
fn beyond_the_limit_of_the_hub_a_connection_gets_503_and_the_others_are_served() {
    let quotas = Quotas::new(1, PerClient::default(), true);
    let mut hub = Harness::with(Setup { quotas, ..Setup::default() });
    let first = hub.dial();
    hub.round_until("accepted", |hub| hub.shard.connections.len() == 1);
    let second = hub.dial();
    let refused = hub.receive(&second, "\r\n\r\n");
    assert_eq!(status(&refused), "503");
    assert!(refused.contains("Retry-After: "), "{refused}");
    assert!(refused.contains("Connection: close\r\n"), "{refused}");

    send(&first, &subscription("topic=a"), SendFlags::empty()).expect("sent");
    assert_eq!(status(&hub.receive(&first, "\r\n\r\n")), "200");
    drop([first, second]);
    hub.round_until("both are closed", |hub| hub.shard.connections.is_empty());
    let third = hub.dial();
    send(&third, health_request(), SendFlags::empty()).expect("sent");
    assert_eq!(status(&hub.receive(&third, "\r\n\r\n")), "200", "there is room again");
}

#[test]
fn beyond_the_limit_of_an_address_a_connection_gets_429() {
    let per_client = PerClient { connections_per_address: 1, subscriptions_per_token: 0 };
    let quotas = Quotas::new(CONNECTIONS_MAX, per_client, false);
    let mut hub = Harness::with(Setup { quotas, ..Setup::default() });
    let first = hub.dial();
    hub.round_until("accepted", |hub| hub.shard.connections.len() == 1);
    let second = hub.dial();
    assert_eq!(status(&hub.receive(&second, "\r\n\r\n")), "429");
    send(&first, health_request(), SendFlags::empty()).expect("sent");
    assert_eq!(status(&hub.receive(&first, "\r\n\r\n")), "200");
}

/// The events are edge-triggered: what waited while accepting paused must not be forgotten.
#[test]
fn a_listener_that_fails_pauses_accepting_and_the_connections_that_wait_are_accepted_later() {
    let mut setup = Setup::default();
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // It does not listen, so `accept` fails on it. The two are tried in turn, this one first.
    let broken = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a socket");
    setup.listener.sockets.push(broken.into());
    setup.listener.sockets.rotate_right(1);
    let address = address_of(&setup.listener.sockets[1]);
    let mut hub = Harness::with(setup);
    let client = dial(address);
    hub.round_until("accepting pauses", |hub| hub.shard.accept.pauses() == 1);
    assert!(hub.shard.connections.is_empty());
    assert_eq!(hub.shard.accept.paused_until_ms(), Some(hub.shard.shared.now.ms + ACCEPT_PAUSE_MS));

    hub.pass(ACCEPT_PAUSE_MS - 1);
    hub.round();
    assert!(hub.shard.connections.is_empty(), "the pause is not over");
    assert_eq!(hub.shard.accept.pauses(), 1, "it does not try again");
    hub.pass(1);
    hub.round_until("accepted", |hub| hub.shard.connections.len() == 1);
    send(&client, health_request(), SendFlags::empty()).expect("sent");
    assert_eq!(status(&hub.receive(&client, "\r\n\r\n")), "200");
}

#[test]
fn the_shard_that_accepts_from_a_held_socket_hands_every_other_connection_to_the_other_shard() {
    let any_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let (address, held) = listener::bind_one(any_port).expect("a port");
    let wakers = [(); 2].map(|()| Arc::new(ShardWaker::new().expect("a waker")));
    let listeners = listener::share(&[held], &wakers, 5_000).expect("descriptors");
    let mut hubs = wakers.into_iter().zip(listeners).map(|(waker, listener)| {
        let quotas = Quotas::new(CONNECTIONS_MAX, PerClient::default(), true);
        Harness::with(Setup { quotas, waker, listener, ..Setup::default() })
    });
    let (mut first, mut second) = (hubs.next().expect("a hub"), hubs.next().expect("another"));
    let clients = [(); 4].map(|()| dial(address));
    let mut rounds = 0;
    first.round_until("all are accepted", |hub| {
        rounds += 1;
        hub.shard.connections.len() == 2 && (rounds > 2 || second.shard.accept.has_handed_off())
    });
    assert!(second.shard.is_called(), "it may not sleep");
    assert!(second.shard.connections.is_empty());
    second.round();
    assert_eq!(second.shard.connections.len(), 2);
    for client in &clients {
        send(client, health_request(), SendFlags::empty()).expect("sent");
        let mut response = String::new();
        first.round_until("a response", |_| {
            second.round();
            response.push_str(&received(client));
            response.contains("\r\n\r\n")
        });
        assert_eq!(status(&response), "200");
    }
}
