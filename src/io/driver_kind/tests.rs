//! Both drivers on real sockets.

use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, shutdown, socketpair,
    sockopt,
};

use super::*;
use crate::io::driver::{Event, Send};
use crate::io::socket::Socket;
use crate::io::waker::ShardWaker;
use crate::limits::{EVENTS_MAX, FLUSH_BATCH_RING_MAX};
use crate::sse::wire::Sent;

/// The hub's socket and its client's.
fn pair() -> (Socket, OwnedFd) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let (ours, theirs) = pair.expect("a pair");
    (ours.into(), theirs)
}

/// Whether the host refuses a ring: by a filter or a switch, or because it has none.
fn is_refusal(error: &io::Error) -> bool {
    let code = rustix::io::Errno::from_io_error(error);
    matches!(code, Some(rustix::io::Errno::PERM | rustix::io::Errno::NOSYS))
}

/// Every driver that this host allows: epoll, and io_uring unless the host refuses it.
fn drivers() -> Vec<Box<dyn Driver>> {
    let mut drivers = vec![DriverKind::Epoll.open().expect("epoll")];
    match DriverKind::Uring.open() {
        Ok(uring) => drivers.push(uring),
        // The tests of the hub as a process print that they leave out the ring.
        Err(error) if is_refusal(&error) => {}
        Err(error) => panic!("a ring: {error}"),
    }
    drivers
}

fn events_of(driver: &mut dyn Driver, wait_ms: u64) -> Vec<Event> {
    let mut events = Vec::with_capacity(EVENTS_MAX);
    driver.wait(&mut events, Some(wait_ms));
    events
}

#[test]
fn every_wake_of_a_waker_that_is_announced_is_an_event() {
    for mut driver in drivers() {
        let waker = ShardWaker::new().expect("a waker");
        driver.add_waker(&waker, 9).expect("added");
        for _ in 0..3 {
            waker.wake();
            assert_eq!(events_of(&mut *driver, 1), [], "it is awake");
            waker.announce();
            waker.wake();
            waker.wake();
            let events = events_of(&mut *driver, 1_000);
            assert_eq!(events.iter().map(|event| event.key).collect::<Vec<_>>(), [9]);
            waker.awake();
        }
    }
}

#[test]
fn data_an_end_and_room_are_events_and_each_is_reported_once() {
    for mut driver in drivers() {
        let (ours, theirs) = pair();
        driver.add(&ours, 7).expect("added");
        assert_eq!(events_of(&mut *driver, 0), [], "room is no event unless it is asked for");
        send(&theirs, b"x", SendFlags::empty()).expect("sent");
        let readable = Event { key: 7, is_readable: true, is_writable: false, has_ended: false };
        assert_eq!(events_of(&mut *driver, 1_000), [readable]);
        assert_eq!(events_of(&mut *driver, 0), []);
        driver.await_writable(&ours, 7).expect("modified");
        assert_eq!(events_of(&mut *driver, 1_000), [Event { is_writable: true, ..readable }]);
        drop(theirs);
        let [event] = <[Event; 1]>::try_from(events_of(&mut *driver, 1_000)).expect("one");
        assert!(event.has_ended, "{event:?}");
    }
}

/// Reads everything that has arrived.
fn arrived(socket: &OwnedFd) -> usize {
    let (mut bytes, mut buffer) = (0, vec![0; 1 << 16]);
    while let Ok((count @ 1.., _)) = recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
        bytes += count;
    }
    bytes
}

#[test]
fn sends_that_are_made_together_have_the_results_that_each_would_have_alone() {
    const LARGE: usize = 4 << 20;
    for mut driver in drivers() {
        let (free, full, short, gone) = (pair(), pair(), pair(), pair());
        while full.0.send(&[0; 4_096]) != Sent::Full {}
        sockopt::set_socket_send_buffer_size(short.0.descriptor().expect("of the kernel"), 100_000)
            .expect("set");
        shutdown(&gone.1, Shutdown::Both).expect("shut down");
        let (line, large) = (b"data: x\n\n".to_vec(), vec![1; LARGE]);
        let sends = [(&free, &line), (&full, &line), (&short, &large), (&gone, &line)];
        let sends = sends.map(|(pair, bytes)| Send { socket: &pair.0, bytes });
        let mut results = vec![Sent::Full];
        driver.send_all(&sends, &mut results);
        let [_, to_free, to_full, to_short, to_gone] = <[Sent; 5]>::try_from(results).expect("all");
        assert_eq!((to_free, to_full, to_gone), (Sent::Bytes(line.len()), Sent::Full, Sent::Gone));
        assert_eq!(arrived(&free.1), line.len());
        let Sent::Bytes(taken) = to_short else { panic!("{to_short:?}") };
        assert!((1..LARGE).contains(&taken), "{taken}");
        assert_eq!(arrived(&short.1), taken, "what it said it has taken");
    }
}

#[test]
fn more_sends_than_a_ring_has_entries_are_all_made() {
    for mut driver in drivers() {
        let pairs: Vec<_> = (0..FLUSH_BATCH_RING_MAX + 7).map(|_| pair()).collect();
        let texts: Vec<_> = (0..pairs.len()).map(|number| format!("{number}\n")).collect();
        let sends = pairs.iter().zip(&texts);
        let sends: Vec<_> =
            sends.map(|(pair, text)| Send { socket: &pair.0, bytes: text.as_bytes() }).collect();
        let (mut alone, mut together) = (Vec::new(), Vec::new());
        sends.iter().for_each(|send| driver.send_all(&[*send], &mut alone));
        driver.send_all(&sends, &mut together);
        assert_eq!(together, alone);
        for (pair, text) in pairs.iter().zip(&texts) {
            let mut buffer = [0; 64];
            let (count, _) = recv(&pair.1, &mut buffer[..], RecvFlags::DONTWAIT).expect("arrived");
            assert_eq!(buffer[..count], *text.repeat(2).as_bytes());
        }
    }
}
