//! A history file that was damaged, from outside.
//!
//! Goal: a hub serves what was stored, or nothing, and says what is wrong. Method: the file of a
//! hub that was stopped or killed is altered at one place, and a hub is started on it.
//! `tests/faults` has the random alterations.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::Arc;

use petasos::history::redb::{HistorySync, RedbHistory};
use petasos::history::{History as _, Position, Retention};
use petasos::limits::TAIL_BYTES_MAX;
use petasos::mercure::audience::{Audience, Authorization};
use petasos::mercure::update::Update;
use petasos::sse::frame::Frame;
use rustix::process::Signal;
use serde_json::Value;

use crate::common::{self, Client, KEY, id};
use crate::history::{start, stop};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// The private update of a file that was closed cleanly becomes public by one bit: the record's
/// kind is the byte after two numbers of eight bytes.
#[test]
fn a_flipped_bit_makes_no_private_update_public() {
    let directory = tempfile::tempdir().expect("a folder");
    let file = directory.path().join("updates.db");
    let mut hub = start(&file, &[]);
    hub.publish("topic=t&private=on&id=secret&data=plainly");
    hub.signal(Signal::TERM);
    assert_eq!(hub.wait().code(), Some(0));
    let sound = fs::read(&file).expect("readable");
    let (mut started, mut refused) = (0, 0);
    // Every bit of the bytes before the data of each copy of the record.
    let places = (0..sound.len()).filter(|at| sound[*at..].starts_with(b"data: plainly")).collect::<Vec<_>>();
    for place in places {
        for at in place - 60..place {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            fs::write(&file, &bytes).expect("writable");
            match RedbHistory::open(&file, Retention::default(), HistorySync::Never) {
                Err(_) => refused += 1,
                Ok(history) => {
                    started += 1;
                    let slice = history.reader().read(Position::START, 9, usize::MAX).expect("verified");
                    assert_eq!(*slice.updates[0].frame.audience(), Audience::Private, "byte {at}");
                    assert_eq!(slice.updates[0].frame.id().as_str(), "secret", "byte {at}");
                }
            }
        }
    }
    assert!(refused > 20, "{refused} refused, {started} started");
}

/// More updates than a start reads, so that it does not meet the damaged one.
#[test]
fn a_stream_that_meets_a_damaged_update_ends_and_the_log_and_the_metrics_name_it() {
    const DATA_BYTES: usize = 60_000;
    let directory = tempfile::tempdir().expect("a folder");
    let file = directory.path().join("updates.db");
    let frame = |number: usize| {
        let body = format!("topic=t&id=u{number}&data=number{number}{}", "x".repeat(DATA_BYTES));
        let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("a valid body");
        Arc::new(Frame::encode(update))
    };
    let mut history = RedbHistory::open(&file, Retention::default(), HistorySync::Never).expect("a new file");
    let count = 2 * TAIL_BYTES_MAX / DATA_BYTES;
    history.append(&(1..=count).map(frame).collect::<Vec<_>>(), 1).expect("room");
    drop(history);
    let mut bytes = fs::read(&file).expect("readable");
    let at = bytes.windows(9).position(|window| window == b"number3xx").expect("the data");
    bytes[at + 500] ^= 1;
    fs::write(&file, &bytes).expect("writable");

    let mut hub = start(&file, &[("METRICS_ADDR", "127.0.0.1:0")]);
    let mut stream = hub.subscribe("topic=t&lastEventID=earliest");
    let seen: Vec<_> = std::iter::from_fn(|| stream.next()).map(|event| id(&event)).collect();
    assert!(seen.len() < 3 && seen.iter().all(|id| ["u1", "u2"].contains(&&**id)), "{seen:?}");
    hub.wait_for_log("update 3 of the history was altered");
    assert_eq!(hub.subscribe(&format!("topic=t&lastEventID=u{}", count - 1)).ids(1), [format!("u{count}")]);
    let served =
        hub.logged().iter().find(|line| line.contains("metrics are served")).expect("a line").clone();
    let served: Value = serde_json::from_str(&served).expect("JSON");
    let address: SocketAddr = served["address"].as_str().expect("text").parse().expect("an address");
    let mut client = Client::new(TcpStream::connect(address).expect("the hub accepts"));
    client.send("GET /metrics HTTP/1.1\r\nHost: hub\r\n\r\n");
    let page = client.answer().body;
    assert!(page.contains("petasos_history_unreadable_position 3\n"), "{page}");
    assert!(!page.contains("petasos_history_unreadable_total 0\n"), "{page}");
    stop(hub);
    let mut verify = common::command();
    let verify = verify.args(["history", "verify"]).env("DB_PATH", &file).output().expect("the binary runs");
    assert_eq!(verify.status.code(), Some(1));
}

/// What `kill -9` leaves, with the slot of the last commit damaged: the number of the slot is the
/// first bit of byte 9, and each slot has 128 bytes, from byte 64.
#[test]
fn a_start_without_an_acknowledged_update_is_refused_until_the_loss_is_accepted() {
    let directory = tempfile::tempdir().expect("a folder");
    let file = directory.path().join("updates.db");
    let mut hub = start(&file, &[]);
    hub.publish("topic=t&id=1");
    hub.publish("topic=t&id=2");
    hub.signal(Signal::KILL);
    hub.wait();
    let mut bytes = fs::read(&file).expect("readable");
    let slot = usize::from(bytes[9] & 1);
    bytes[64 + 128 * slot + 20] ^= 1;
    fs::write(&file, &bytes).expect("writable");

    let path = file.to_str().expect("UTF-8");
    let mut command = common::command();
    let command = command.env("DB_PATH", path).env("JWT_KEY", KEY);
    let command = command.env("ADDR", "127.0.0.1:0");
    let refused = command.stdin(Stdio::null()).output().expect("the binary runs");
    assert_eq!(refused.status.code(), Some(1));
    let said = [text(&refused.stdout), text(&refused.stderr)].concat();
    assert!(said.contains("updates 2 to 2 are lost") && said.contains("HISTORY_ACCEPT_LOSS=1"), "{said}");
    assert!(bytes == fs::read(&file).expect("readable"), "the file was changed");

    let mut hub = start(&file, &[("HISTORY_ACCEPT_LOSS", "1")]);
    let lost = |line: &&String| line.contains("acknowledged updates are lost");
    let line = hub.logged().iter().find(lost).expect("a line that names them").clone();
    assert!(line.contains("\"first\":2") && line.contains("\"last\":2"), "{line}");
    assert_eq!(hub.subscribe("topic=t&lastEventID=earliest").ids(1), ["1"]);
    hub.publish("topic=t&id=3");
    stop(hub);
    assert_eq!(start(&file, &[]).subscribe("topic=t&lastEventID=earliest").ids(2), ["1", "3"]);
}
