//! Goal: no HTTP/2 client can starve the others, fill the hub's memory, or bring the hub down.
//!
//! Method: the binary on one shard, so that all clients share one loop. Frames are written by hand,
//! since no library would write them; each test names the known attack. During an attack, ordinary
//! publications must reach an ordinary subscriber and the memory of the hub must not grow. The
//! attack must be ended or bounded as its test says.

use std::fs;
use std::io::Write as _;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::frames::{
    ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frame, GOAWAY, HEADERS,
    PING, PRIORITY, PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, Raw, SETTINGS, SETTINGS_HEADER_TABLE_SIZE,
    SETTINGS_INITIAL_WINDOW_SIZE, frame, get, literal, post, remembered, request, reset, settings,
    window_update,
};
use crate::common::{DEADLINE, Hub};
use petasos::limits::{HEAD_BYTES_MAX, HTTP2_CREDIT_REFILLED_MAX, HTTP2_ERRORS_MAX, HTTP2_STREAMS_MAX};
use rustix::net::sockopt::set_socket_recv_buffer_size;

/// The maximum growth of the hub's peak resident memory.
const GROWTH_KIB_MAX: u64 = 16 << 10;
/// A subscription.
const STREAM: &str = "/hub?topic=a";
/// The HPACK index of the field most recently added to the dynamic table (RFC 7541, section 6.1).
const LAST_REMEMBERED: u8 = 0x80 | 62;

/// The hub's response to a flood.
#[derive(Debug, Default)]
struct Told {
    goaway: Option<u32>,
    /// Error codes of the streams that were reset.
    resets: Vec<u32>,
    /// The number of response heads.
    heads: usize,
}

impl Told {
    fn take(&mut self, frame: &Frame) {
        match frame.kind {
            GOAWAY => self.goaway = Some(frame.code()),
            RST_STREAM => self.resets.push(frame.code()),
            HEADERS => self.heads += 1,
            _ => {}
        }
    }
}

/// A value from `/proc/<pid>/status`, in KiB.
fn status_kib(hub: &Hub, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", hub.pid())).expect("the hub runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.trim_matches([':', ' ', '\t']).split(' ').next().and_then(|kib| kib.parse().ok()).expect("a number")
}

/// A publication reaches a subscriber, several times.
fn others_are_served(hub: &Hub) {
    let mut stream = hub.subscribe("topic=others");
    let ids: Vec<_> = (0..5).map(|_| hub.publish("topic=others")).collect();
    assert_eq!(stream.ids(5), ids);
}

/// Runs an attack on a hub while other clients go on, and returns its result.
fn endure<T: Send>(settings: &[(&str, &str)], attack: impl FnOnce(&Hub) -> T + Send) -> T {
    let hub = Hub::start(&[&[("SHARDS", "1")], settings].concat());
    others_are_served(&hub);
    let before_kib = status_kib(&hub, "VmRSS");
    // Resets the high-water mark (proc(5)).
    fs::write(format!("/proc/{}/clear_refs", hub.pid()), "5").expect("the hub runs");
    let came = std::thread::scope(|scope| {
        let attack = scope.spawn(|| attack(&hub));
        others_are_served(&hub);
        while !attack.is_finished() {
            others_are_served(&hub);
            std::thread::sleep(Duration::from_millis(20));
        }
        attack.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let grown_kib = status_kib(&hub, "VmHWM").saturating_sub(before_kib);
    assert!(grown_kib < GROWTH_KIB_MAX, "the hub grew by {grown_kib} KiB");
    others_are_served(&hub);
    came
}

/// Sends `opening` and then the output of `next`, at most `times_max` times, until the hub sends a
/// GOAWAY or closes.
fn flood(
    hub: &Hub,
    values: &[(u16, u32)],
    opening: &[u8],
    times_max: u32,
    mut next: impl FnMut(u32) -> Vec<u8>,
) -> Told {
    let mut raw = Raw::open(hub, values);
    let mut reader = raw.reader();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut told = Told::default();
            while let Some(frame) = reader.next() {
                told.take(&frame);
                is_over.fetch_or(told.goaway.is_some(), Ordering::Relaxed);
            }
            is_over.store(true, Ordering::Relaxed);
            told
        });
        let mut goes_on = raw.send(opening);
        for number in 0..times_max {
            goes_on = goes_on && !is_over.load(Ordering::Relaxed) && raw.send(&next(number));
        }
        // The hub may have closed already.
        let _ = raw.socket.shutdown(Shutdown::Write);
        reading.join().expect("the hub closes")
    })
}

/// A flood of one frame, many times the credit of a connection: the hub ends it.
fn is_too_much(opening: &[u8], bytes: &[u8]) {
    let batch = bytes.repeat(100);
    let times = 20 * HTTP2_CREDIT_REFILLED_MAX as u32 / 100;
    let told = endure(&[], |hub| flood(hub, &[], opening, times, |_| batch.clone()));
    assert_eq!(told.goaway, Some(ENHANCE_YOUR_CALM), "{told:?}");
}

/// The stream number of request `number`, counted from 0.
fn nth(number: u32) -> u32 {
    2 * number + 1
}

/// CVE-2023-44487.
#[test]
fn rapid_reset_is_ended() {
    let pairs = |batch: u32| {
        let numbers = batch * 50..(batch + 1) * 50;
        numbers.flat_map(|number| [get(nth(number), STREAM), reset(nth(number))].concat()).collect()
    };
    let told = endure(&[], |hub| flood(hub, &[], &[], 1_000, pairs));
    assert_eq!(told.goaway, Some(ENHANCE_YOUR_CALM), "{told:?}");
}

/// The same, but the client waits until each stream has begun. This is allowed and leaves nothing
/// allocated.
#[test]
fn streams_that_are_begun_and_reset_leave_nothing() {
    endure(&[], |hub| {
        let mut raw = Raw::open(hub, &[]);
        for number in 0..1_500 {
            assert!(raw.send(&get(nth(number), STREAM)), "the hub has closed");
            raw.next_of(DATA);
            assert!(raw.send(&reset(nth(number))), "the hub has closed");
        }
    });
}

/// CVE-2025-8671: the client sends frames that make the hub reset its streams.
#[test]
fn made_you_reset_is_ended() {
    let overflow = |number| [get(nth(number), STREAM), window_update(nth(number), 0x7fff_ffff)].concat();
    let told = endure(&[], |hub| flood(hub, &[], &[], 20_000, overflow));
    assert_eq!(told.goaway, Some(ENHANCE_YOUR_CALM), "{told:?}");
    assert!(told.resets.len() <= HTTP2_ERRORS_MAX, "{} streams were reset", told.resets.len());
}

/// CVE-2024-27316 and others.
#[test]
fn a_head_that_never_ends_is_ended() {
    let begun = frame(HEADERS, END_STREAM, 1, &request("GET", STREAM));
    for more in [Vec::new(), literal("x", "y"), literal("x", &"y".repeat(16_000))] {
        let piece = frame(CONTINUATION, 0, 1, &more);
        let told = endure(&[], |hub| flood(hub, &[], &begun, 20_000, |_| piece.clone()));
        let code = told.goaway.expect("a GOAWAY");
        assert!([ENHANCE_YOUR_CALM, PROTOCOL_ERROR].contains(&code), "{told:?}");
    }
}

/// CVE-2019-9515.
#[test]
fn a_flood_of_settings_is_ended() {
    is_too_much(&[], &settings(&[]));
}

/// CVE-2019-9512.
#[test]
fn a_flood_of_pings_is_ended() {
    is_too_much(&[], &frame(PING, 0, 0, &[0; 8]));
    is_too_much(&[], &frame(PING, ACK, 0, &[0; 8]));
}

/// CVE-2019-9518.
#[test]
fn a_flood_of_empty_data_is_ended() {
    is_too_much(&post(1), &frame(DATA, 0, 1, &[]));
}

/// CVE-2019-9513.
#[test]
fn a_flood_of_priorities_is_ended() {
    is_too_much(&[], &frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 16]));
}

#[test]
fn a_flood_of_window_updates_is_ended() {
    is_too_much(&[], &window_update(0, 1));
    is_too_much(&get(1, STREAM), &window_update(1, 1));
}

/// RFC 9113, section 4.1: a frame of unknown type is ignored, but not for ever.
#[test]
fn a_flood_of_frames_of_no_known_type_is_ended() {
    is_too_much(&[], &frame(0x42, 0xff, 0, &[7; 100]));
    is_too_much(&[], &frame(0xff, 0, 0x7fff_ffff, &[]));
}

/// A client may change the size of the header table as often as it likes, within the bound of all
/// frames.
#[test]
fn table_sizes_that_change_all_the_time_are_ended_and_cost_no_memory() {
    let sizes: Vec<_> = [0, u32::MAX, 1, 1 << 31, 4_096, 0, u32::MAX]
        .iter()
        .cycle()
        .take(2_000)
        .map(|size| (SETTINGS_HEADER_TABLE_SIZE, *size))
        .collect();
    let changes = settings(&sizes);
    // Each answer holds another id, and so adds another field to the table.
    let asks = |number: u32| {
        let head =
            [request("HEAD", "/hub?topic=a&lastEventID=x"), literal("x", &number.to_string())].concat();
        [changes.clone(), frame(HEADERS, END_HEADERS | END_STREAM, nth(number), &head)].concat()
    };
    let told = endure(&[], |hub| flood(hub, &[], &[], 20_000, asks));
    assert_eq!(told.goaway, Some(ENHANCE_YOUR_CALM), "{told:?}");
    assert!(told.heads > 100, "{} answers came", told.heads);
}

/// CVE-2016-6581: a few bytes that expand to many fields, or to megabytes of fields.
#[test]
fn a_bomb_of_remembered_fields_is_refused() {
    const REQUESTS: u32 = 300;
    let bomb = |number, references| {
        let field = if number == 0 { remembered("x", &"y".repeat(4_000)) } else { Vec::new() };
        let fields = [request("GET", STREAM), field, vec![LAST_REMEMBERED; references]].concat();
        frame(HEADERS, END_HEADERS | END_STREAM, nth(number), &fields)
    };
    endure(&[], |hub| {
        let mut raw = Raw::open(hub, &[]);
        for number in 0..REQUESTS {
            assert!(raw.send(&bomb(number, HEAD_BYTES_MAX / 4_000 + 1)), "the hub has closed");
            let answer = raw.next_of(HEADERS);
            assert_eq!(
                (answer.stream, answer.flags & END_STREAM),
                (nth(number), END_STREAM),
                "431 without a body"
            );
        }
        assert!(raw.send(&bomb(REQUESTS, 10_000)), "the hub has closed");
        assert_eq!(raw.next_of(GOAWAY).code(), ENHANCE_YOUR_CALM);
    });
}

/// Heads within every bound, from many clients at once. A few bytes of each expand to 60 KB. The
/// client that sends them bears the cost.
#[test]
fn remembered_fields_of_many_clients_leave_others_their_turn() {
    let head = |number| {
        let field = if number == 0 { remembered("cookie", &"y".repeat(4_000)) } else { Vec::new() };
        let fields = [request("HEAD", STREAM), field, vec![LAST_REMEMBERED; 14]].concat();
        frame(HEADERS, END_HEADERS | END_STREAM, nth(number), &fields)
    };
    endure(&[], |hub| {
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let told = flood(hub, &[], &[], 2_000, head);
                    assert!(
                        told.heads > 0 && told.goaway.is_none(),
                        "they are requests like others: {told:?}"
                    );
                });
            }
        });
    });
}

#[test]
fn heads_that_are_too_large_cost_no_memory() {
    let field = literal("x", &"y".repeat(16_000));
    let head = |number| {
        let first = frame(HEADERS, END_STREAM, nth(number), &request("GET", STREAM));
        let last = frame(CONTINUATION, END_HEADERS, nth(number), &[]);
        [first, frame(CONTINUATION, 0, nth(number), &field).repeat(5), last].concat()
    };
    let told = endure(&[], |hub| flood(hub, &[], &[], 2_000, head));
    assert!(told.heads > 0 || told.goaway.is_some(), "{told:?}");
}

/// CVE-2019-9517 and others: responses that the client does not take, on as many streams as
/// allowed, each for as long as it may wait.
#[test]
fn answers_behind_shut_windows_are_bounded_and_given_up() {
    endure(&[("DISPATCH_TIMEOUT", "500ms")], |hub| {
        let mut raw = Raw::open(hub, &[(SETTINGS_INITIAL_WINDOW_SIZE, 0)]);
        raw.next_of(SETTINGS);
        let streams = HTTP2_STREAMS_MAX + 100;
        let asked: Vec<_> = (0..streams).flat_map(|number| get(nth(number), "/hub")).collect();
        assert!(raw.send(&asked), "the hub has closed");
        let began = Instant::now();
        let mut told = Told::default();
        while told.resets.len() < streams as usize {
            let frame = raw.next().unwrap_or_else(|| panic!("the hub has closed: {told:?}"));
            assert_ne!(frame.kind, DATA, "there is no window");
            told.take(&frame);
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        let count = |code| told.resets.iter().filter(|reset| **reset == code).count();
        assert_eq!((count(CANCEL), count(REFUSED_STREAM)), (HTTP2_STREAMS_MAX as usize, 100), "{told:?}");
        // The streams are free again.
        let next = nth(streams);
        assert!(raw.send(&[get(next, "/healthz"), window_update(next, 100)].concat()), "the hub has closed");
        assert_eq!(raw.next_of(DATA).payload, b"ok");
    });
}

/// Subscribers that open their windows byte by byte get each byte. They delay no one else, not even
/// the other streams of their connection.
#[test]
fn windows_of_one_byte_drip_and_hold_up_nobody() {
    const BYTES: u32 = 3_000;
    endure(&[("DISPATCH_TIMEOUT", "5s")], |hub| {
        let mut raw = Raw::open(hub, &[(SETTINGS_INITIAL_WINDOW_SIZE, 0)]);
        raw.next_of(SETTINGS);
        let other = [get(3, "/hub?topic=b"), window_update(3, 60_000)].concat();
        assert!(raw.send(&[get(1, STREAM), other].concat()), "the hub has closed");
        assert_eq!(raw.next_of(DATA).stream, 3, "its first comment");
        hub.publish(&format!("topic=a&data={}", "x".repeat(100_000)));
        for number in 0..BYTES {
            assert!(raw.send(&window_update(1, 1)), "the hub has closed");
            let dripped = raw.next_of(DATA);
            assert_eq!((dripped.stream, dripped.payload.len()), (1, 1));
            if number % 1_000 == 0 {
                let id = hub.publish("topic=b");
                let update = raw.next_of(DATA);
                assert_eq!(update.stream, 3);
                assert!(String::from_utf8_lossy(&update.payload).contains(&id));
            }
        }
    });
}

/// CVE-2019-9517: the client does not read the socket, and always sends one more request.
#[test]
fn who_asks_endlessly_and_reads_nothing_is_closed() {
    endure(&[("DISPATCH_TIMEOUT", "500ms")], |hub| {
        for target in ["/healthz", STREAM, "/hub"] {
            let mut raw = Raw::open(hub, &[]);
            set_socket_recv_buffer_size(&raw.socket, 8 << 10).expect("a socket");
            raw.socket.set_write_timeout(Some(Duration::from_secs(3))).expect("a socket");
            let batch = |number| (number..number + 100).flat_map(|number| get(nth(number), target));
            let mut number = 0;
            let began = Instant::now();
            while raw.socket.write_all(&batch(number).collect::<Vec<_>>()).is_ok() {
                number += 100;
                assert!(began.elapsed() < DEADLINE, "{target}: the hub reads on after {number} requests");
            }
            // The close does not reach a peer whose receive buffer is full: it must first read the
            // earlier bytes.
            while raw.next().is_some() {}
        }
    });
}

/// A client that reads nothing is closed in time, even if it keeps sending.
#[test]
fn who_reads_nothing_cannot_stay_by_sending() {
    endure(&[("DISPATCH_TIMEOUT", "500ms"), ("HEARTBEAT_INTERVAL", "0s")], |hub| {
        let mut raw = Raw::open(hub, &[(SETTINGS_INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
        set_socket_recv_buffer_size(&raw.socket, 8 << 10).expect("a socket");
        assert!(raw.send(&[window_update(0, 1 << 30), get(1, STREAM)].concat()), "the hub has closed");
        // The stream has begun; the client reads nothing from here on.
        raw.next_of(DATA);
        let data = "x".repeat(200_000);
        for _ in 0..30 {
            hub.publish(&format!("topic=a&data={data}"));
        }
        let began = Instant::now();
        while raw.send(&frame(PING, 0, 0, &[0; 8])) {
            assert!(began.elapsed() < Duration::from_secs(5), "it is still there");
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

/// Invalid frames: the connection ends, with the reason if it can still be sent.
#[test]
fn broken_frames_end_their_connection_alone() {
    let endless: [(&str, Vec<u8>); 9] = [
        ("a frame longer than allowed", frame(DATA, 0, 1, &[0; 16_385])),
        ("data on an idle stream", frame(DATA, 0, 1, b"x")),
        ("a stream of the server's", get(2, STREAM)),
        ("a stream number that was passed", [get(5, "/healthz"), get(3, "/healthz")].concat()),
        ("a ping of nine bytes", frame(PING, 0, 0, &[0; 9])),
        ("settings of five bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &[])),
        ("fields that cannot be decoded", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 20])),
        ("a window of the connection that overflows", window_update(0, 0x7fff_ffff)),
    ];
    endure(&[], |hub| {
        for (what, bytes) in &endless {
            let told = flood(hub, &[], bytes, 0, |_| Vec::new());
            assert!(told.goaway.is_some_and(|code| code != 0), "{what}: {told:?}");
        }
    });
}

/// Random frames of every type: each connection ends, and the hub goes on.
#[test]
fn random_frames_harm_nobody() {
    let seed = fastrand::u64(..);
    writeln!(std::io::stderr(), "seed {seed}").expect("written");
    let mut random = fastrand::Rng::with_seed(seed);
    endure(&[], |hub| {
        for _ in 0..150 {
            let mut bytes = if random.bool() { get(1, STREAM) } else { post(1) };
            for _ in 0..random.usize(1..20) {
                let payload: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
                bytes.extend(frame(random.u8(..11), random.u8(..), random.u32(..6), &payload));
            }
            if random.u8(..4) == 0 {
                bytes.truncate(random.usize(..bytes.len()));
            }
            flood(hub, &[], &bytes, 0, |_| Vec::new());
        }
    });
}
