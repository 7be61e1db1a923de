//! Goal: unfinished bodies take a bounded amount of memory together, and end.
//!
//! Method: connections that announce a body, send most of it and then a byte a second, or a byte a
//! second from the beginning. The hub has 96 MiB (`MEMORY_MAX`).

use std::io::Write as _;
use std::time::{Duration, Instant};

use petasos::limits::BODY_BYTES_MAX_DEFAULT;

use crate::common::{Client, publisher};
use crate::hostile::witness::{AttackedHub, WITNESS_CONNECTIONS, Witness, connect, is_closed_within, size};

const MEMORY_MAX: u64 = 96 << 20;
/// The longest time that a body of a byte a second may take before it is ended.
const PATIENCE: Duration = Duration::from_secs(45);

/// The head of a publication with a body of this length.
fn head(body_bytes: usize) -> String {
    format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {}\r\nContent-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {body_bytes}\r\n\r\ntopic=t&data=",
        publisher()
    )
}

/// Sends what the kernel takes within a moment: a hub that reads no more must not hold the test.
fn send_patiently(client: &mut Client, bytes: &[u8]) {
    client.socket.set_write_timeout(Some(Duration::from_millis(200))).expect("a socket");
    // Refused or not read: both are the hub's right.
    let _ = client.socket.write_all(bytes);
}

/// Unfinished bodies that are nearly complete; then a byte of each, for some rounds.
pub(super) fn unfinished(attacked: &AttackedHub, connections: usize) -> Vec<Client> {
    let start = head(BODY_BYTES_MAX_DEFAULT);
    let most = vec![b'x'; BODY_BYTES_MAX_DEFAULT - 1_000];
    let mut crowd: Vec<_> = (0..connections).map(|number| connect(attacked.hub(), number)).collect();
    for client in &mut crowd {
        client.send(&start);
        send_patiently(client, &most);
    }
    crowd
}

/// One more byte on each connection whose socket takes it.
pub(super) fn one_byte_each(crowd: &mut [Client]) {
    for client in crowd {
        client.socket.set_nonblocking(true).expect("a socket");
        let _ = client.socket.write(b"x");
        client.socket.set_nonblocking(false).expect("a socket");
    }
}

#[test]
fn unfinished_bodies_take_a_bounded_amount_of_memory_together() {
    let attacked = AttackedHub::start("bodies", &[("MEMORY_MAX", "96MiB")]);
    let mut witness = Witness::new(attacked.hub());
    let mut crowd = unfinished(&attacked, size(150, 1_500));
    for _ in 0..size(2, 20) {
        one_byte_each(&mut crowd);
        witness.measure("beside unfinished bodies", 27, 5);
    }
    let peak = attacked.memory_bytes("VmHWM");
    println!("{} unfinished bodies; at most {peak} bytes of memory", crowd.len());
    assert!(peak <= MEMORY_MAX, "{peak} bytes of memory, {MEMORY_MAX} are the limit");
    drop(crowd);
    attacked.wait_for_connections(WITNESS_CONNECTIONS);
    witness.measure("afterwards", 27, 5);
    attacked.finish();
}

/// `READ_TIMEOUT` is off by default, so only a minimum rate ends these.
#[test]
fn a_body_of_a_byte_a_second_is_ended_with_a_sentence() {
    let attacked = AttackedHub::start("bodies-slow", &[]);
    let mut witness = Witness::new(attacked.hub());
    let mut crowd: Vec<_> = (0..size(8, 200)).map(|number| connect(attacked.hub(), number)).collect();
    crowd.iter_mut().for_each(|client| client.send(&head(100_000)));
    let began = Instant::now();
    while !crowd.is_empty() {
        one_byte_each(&mut crowd);
        witness.measure("beside slow bodies", 27, 1);
        crowd.retain_mut(|client| {
            let is_open = !is_closed_within(client, Duration::from_millis(2));
            if !is_open {
                let answer = String::from_utf8_lossy(&client.received).into_owned();
                assert!(
                    answer.starts_with("HTTP/1.1 408 ") || answer.starts_with("HTTP/1.1 503 "),
                    "{answer:?}"
                );
            }
            is_open
        });
        assert!(began.elapsed() < PATIENCE, "{} bodies of a byte a second are still open", crowd.len());
        std::thread::sleep(Duration::from_secs(1));
    }
    println!("bodies of a byte a second were ended within {:?}", began.elapsed());
    attacked.finish();
}
