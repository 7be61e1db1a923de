//! How often the sockets of HTTP/2 connections are written to. The sockets keep the bounds between
//! sends, so that a client can count them.

use super::http2::ScriptedPeer;
use super::*;
use crate::limits::FLUSH_BATCH_MAX;

const CONNECTIONS: usize = 20;
const STREAMS: u32 = 10;
const UPDATES: usize = 3;

/// Both drivers; epoll alone if the host refuses a ring.
fn drivers() -> impl Iterator<Item = DriverKind> {
    [DriverKind::Epoll, DriverKind::Uring].into_iter().filter(|kind| match kind.open() {
        Ok(_) => true,
        Err(error) => {
            let errno = Errno::from_io_error(&error);
            assert!(matches!(errno, Some(Errno::PERM | Errno::NOSYS)), "{kind:?}: {error}");
            false
        }
    })
}

/// The numbers of the streams of one client.
fn streams() -> impl Iterator<Item = u32> {
    (0..STREAMS).map(|nth| 2 * nth + 1)
}

/// Clients whose streams are opened in turn: two streams of one connection never follow each other.
fn clients(hub: &mut Harness) -> Vec<ScriptedPeer> {
    let mut clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| ScriptedPeer::on(hub.connect_with(SocketType::SEQPACKET), 1 << 16))
        .collect();
    for stream in streams() {
        clients.iter_mut().for_each(|client| client.subscribe(hub, stream));
    }
    clients
}

#[test]
fn an_update_for_many_streams_of_a_connection_is_one_send() {
    assert!(CONNECTIONS * STREAMS as usize > 2 * FLUSH_BATCH_MAX, "more than one round");
    for driver in drivers() {
        let mut hub = Harness::with(Setup { driver, ..Setup::default() });
        let mut clients = clients(&mut hub);
        // What opens the streams is sent.
        for _ in 0..STREAMS {
            hub.round();
            clients.iter_mut().for_each(|client| while client.read() {});
        }
        let publisher = ScriptedPeer::on(hub.connect(), 1 << 16);
        for number in 0..UPDATES {
            publisher.publish(2 * number as u32 + 1, &format!("topic=a&data=x&id={number}"));
            let event = format!("id: {number}\ndata: x\n\n");
            let mut sends = [0; CONNECTIONS];
            hub.round_until("an update on every stream", |hub| {
                hub.sequence();
                for (client, count) in clients.iter_mut().zip(&mut sends) {
                    *count += usize::from(client.read());
                }
                clients.iter().all(|client| streams().all(|stream| client.data(stream).ends_with(&event)))
            });
            assert_eq!(sends, [1; CONNECTIONS], "{driver:?}");
        }
    }
}
