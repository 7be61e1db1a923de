//! Goal: what strangers send takes a bounded amount of memory, and it comes back when they leave.
//!
//! Method: requests as large as the hub accepts, full of selectors that are costly to hold, on the
//! streams of a few HTTP/2 connections; the kernel counts the memory.

use crate::common::http2::{Events, Http2};
use crate::common::mixed::ISSUER_SETTINGS;
use crate::hostile::costly::Costly;
use crate::hostile::witness::{Answers, AttackedHub, WITNESS_CONNECTIONS, Witness, is_full, size};
use crate::hostile::{patterns, templates};

const MB: u64 = 1_000_000;
/// The memory of the hub while strangers hold 65 MB of selectors.
const RESIDENT_BYTES_MAX: u64 = 200 * MB;

/// Selectors that begin with a text of their own, so that they are cheap to compare.
const PLAIN_TEMPLATE: Costly = Costly::template("https://s.example/B/A/{id}");
const PLAIN_PATTERN: Costly = Costly::pattern("https://s.example/B/A/:id");
/// The same with a program of dozens of states behind that text.
const LARGE_PATTERN: Costly = Costly::pattern("https://s.example/B/A/(a*b*c*d*e*)x");

/// Selectors and their number, in the order in which they are tried: what matters is what the hub
/// holds.
type Tries<'t> = &'t [(Costly, usize)];

/// Streams of one connection with as many selectors as are accepted. Returns the bytes of all
/// queries that were sent, and of those that were accepted.
fn hold(
    attacked: &AttackedHub,
    tries: Tries<'_>,
    connection: usize,
    streams: usize,
) -> (Http2, Vec<Events>, [u64; 2]) {
    let (client, mut answers, mut bytes) = (Http2::connect(attacked.hub()), Answers::default(), [0; 2]);
    let mut held = Vec::new();
    for number in 0..streams {
        let number = connection * 256 + number;
        for (kind, count) in tries {
            let query = kind.query(number, *count);
            bytes[0] += query.len() as u64;
            let mut events = client.subscribe(&query);
            let status = events.status.as_u16();
            if status == 200 {
                bytes[1] += query.len() as u64;
                answers.count(200, "");
                held.push(events);
                break;
            }
            answers.count(status, &events.whole(&client));
        }
    }
    println!("connection {connection}: {answers:?}");
    (client, held, bytes)
}

/// Strangers hold selectors, and leave.
fn is_bounded_and_given_back(name: &str, settings: &[(&str, &str)], tries: Tries<'_>, connections: usize) {
    let attacked = AttackedHub::start(name, settings);
    let mut witness = Witness::new(attacked.hub());
    witness.measure_all("before", 5);
    // Once and away: what the first of its kind needs is not the strangers'.
    drop(hold(&attacked, tries, 0, 2));
    attacked.wait_for_connections(WITNESS_CONNECTIONS);
    let before = attacked.memory_bytes("RssAnon");
    let held: Vec<_> = (0..connections).map(|number| hold(&attacked, tries, number, size(64, 250))).collect();
    let [sent, accepted] = [0, 1].map(|at| held.iter().map(|(_, _, bytes)| bytes[at]).sum::<u64>());
    let during = attacked.memory_bytes("VmRSS");
    let peak = attacked.memory_bytes("VmHWM");
    println!(
        "{sent} bytes of selectors, {accepted} accepted; memory before {before}, while they are there {during}, at most {peak}"
    );
    let may = if is_full() { RESIDENT_BYTES_MAX } else { 40 * MB + 3 * accepted };
    assert!(peak <= may, "{accepted} bytes of selectors take {peak} bytes of memory; {may} are the bound");
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

#[test]
fn costly_templates_take_a_bounded_amount_of_memory_and_give_it_back() {
    let plain = [1_000, 300, 100, 30].map(|count| (PLAIN_TEMPLATE, count));
    let tries = [&[(templates::SHAPES[0], 1_000)], &plain[..]].concat();
    is_bounded_and_given_back("memory-templates", &[], &tries, size(2, 6));
}

#[test]
fn costly_patterns_take_a_bounded_amount_of_memory_and_give_it_back() {
    let costly = [(patterns::SHAPES[0], 100), (LARGE_PATTERN, 100), (LARGE_PATTERN, 30)];
    let tries = [&costly[..], &[(PLAIN_PATTERN, 100), (PLAIN_PATTERN, 30)]].concat();
    is_bounded_and_given_back("memory-patterns", &ISSUER_SETTINGS, &tries, size(2, 6));
}
