//! Goal: what strangers send takes a bounded amount of memory, and it comes back when they leave.
//!
//! Method: requests as large as the hub accepts, full of selectors that are costly to hold, on the
//! streams of a few HTTP/2 connections; the kernel counts the memory.

use crate::common::http2::{Events, Http2};
use crate::hostile::templates::costly;
use crate::hostile::witness::{Answers, AttackedHub, WITNESS_CONNECTIONS, Witness, is_full, size};

const MB: u64 = 1_000_000;
/// The memory of the hub while strangers hold 65 MB of selectors.
const RESIDENT_BYTES_MAX: u64 = 200 * MB;

/// The template that is the most costly to compare.
const SHAPE: &str = "{+a:A,b:B,c:8,d:22}";

/// `count` templates that begin with a text of their own, so that they are cheap to compare.
fn plain(number: usize, count: usize) -> String {
    let template = |at: usize| format!("topic=https://s.example/{number}/{at}/%7Bid%7D");
    (0..count).map(template).collect::<Vec<_>>().join("&")
}

/// Streams of one connection with selectors of 43 KB each, as far as they are accepted.
fn hold(attacked: &AttackedHub, connection: usize, streams: usize) -> (Http2, Vec<Events>, u64) {
    let (client, mut answers, mut sent) = (Http2::connect(attacked.hub()), Answers::default(), 0);
    let mut held = Vec::new();
    for number in 0..streams {
        // A refused one is tried again with selectors that are cheaper to compare, and in smaller
        // sizes: what matters is what the hub holds.
        let number = connection * 256 + number;
        let tries = [(true, 1_000), (false, 1_000), (false, 300), (false, 100), (false, 30)];
        for (is_costly, count) in tries {
            let query = if is_costly { costly(SHAPE, number, count) } else { plain(number, count) };
            let mut events = client.subscribe(&query);
            let status = events.status.as_u16();
            if status == 200 {
                sent += query.len() as u64;
                answers.count(200, "");
                held.push(events);
                break;
            }
            answers.count(status, &events.whole(&client));
        }
    }
    println!("connection {connection}: {answers:?}");
    (client, held, sent)
}

#[test]
fn costly_selectors_take_a_bounded_amount_of_memory_and_give_it_back() {
    let attacked = AttackedHub::start("memory", &[]);
    let mut witness = Witness::new(attacked.hub());
    witness.measure_all("before", 5);
    // Once and away: what the first of its kind needs is not the strangers'.
    drop(hold(&attacked, 0, 2));
    attacked.wait_for_connections(WITNESS_CONNECTIONS);
    let before = attacked.memory_bytes("RssAnon");
    let held: Vec<_> = (0..size(2, 6)).map(|number| hold(&attacked, number, size(64, 250))).collect();
    let sent: u64 = held.iter().map(|(_, _, sent)| sent).sum();
    let during = attacked.memory_bytes("VmRSS");
    let peak = attacked.memory_bytes("VmHWM");
    println!(
        "{sent} bytes of selectors; memory before {before}, while they are there {during}, at most {peak}"
    );
    let may = if is_full() { RESIDENT_BYTES_MAX } else { 40 * MB + 3 * sent };
    assert!(peak <= may, "{sent} bytes of selectors take {peak} bytes of memory; {may} are the bound");
    witness.measure("beside selectors", 27, 5);
    drop(held);
    attacked.wait_for_connections(WITNESS_CONNECTIONS);
    let mut after = 0;
    // The allocator gives memory back after a while.
    let is_back = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        after = attacked.memory_bytes("RssAnon");
        after <= before + before / 10
    });
    println!("memory afterwards {after}");
    assert!(is_back, "{before} bytes before the strangers came, {after} after they left");
    witness.measure("afterwards", 27, 5);
    attacked.finish();
}
