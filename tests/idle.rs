//! The cost of an idle subscriber for the process: at most 600 bytes of memory with its selector,
//! 12 KiB with TLS, and no CPU between heartbeats. Measured over thousands of connections on the
//! debug or release binary, from `/proc`.

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use common::tls::{Files, Pair, trusting};
use common::{Hub, Stream, eventually};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::version::{TLS12, TLS13};

/// One hub is measured at a time: on a busy machine, the memory used for accepting is freed later.
static ALONE: Mutex<()> = Mutex::new(());

const SUBSCRIBERS: usize = 10_000;
const GROUP: usize = 100;
const BYTES_EACH_MAX: u64 = 600;
const TLS_SUBSCRIBERS: usize = 1_000;
const TLS_BYTES_EACH_MAX: u64 = 12 << 10;

/// The private memory of the process: the amount that its end would free.
fn memory_bytes(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the hub runs");
    let kib = |name: &str| -> u64 {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    (kib("Private_Clean:") + kib("Private_Dirty:")) << 10
}

/// CPU time of all threads, in nanoseconds.
fn cpu_ns(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the hub runs");
    let times = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
    times.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum()
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the hub runs").count()
}

#[test]
fn an_idle_subscriber_costs_600_bytes_at_most_and_no_cpu() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the soft limit may be raised");
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        allowed > SUBSCRIBERS as u64 + 500,
        "the limit of open files is {allowed}: raise it with ulimit -n"
    );
    let hub = Hub::start(&[("HEARTBEAT_INTERVAL", "0s")]);
    let connect = |number: usize| {
        let mut socket = TcpStream::connect::<SocketAddr>(hub.address).expect("the hub accepts");
        let topic = format!("topic=https://example.com/users/{number:06}");
        socket.write_all(common::get(&topic, "").as_bytes()).expect("the hub reads");
        socket
    };
    // The first ones include costs that occur once: threads, rings, allocator pages.
    let _warm: Vec<_> = (0..200).map(connect).collect();
    let warm = descriptors(hub.pid());
    std::thread::sleep(Duration::from_millis(300));
    let before = memory_bytes(hub.pid());
    // In small groups, each served before the next one comes. Otherwise a busy machine accepts a
    // crowd at once, and the buffers of the crowd are measured.
    let mut sockets = Vec::new();
    while sockets.len() < SUBSCRIBERS {
        let first = 200 + sockets.len();
        let mut group: Vec<_> = (first..first + GROUP).map(connect).collect();
        for socket in &mut group {
            socket.set_read_timeout(Some(common::DEADLINE)).expect("a socket");
            let bytes = socket.read(&mut [0; 512]).expect("a response");
            assert!(bytes > 0, "the hub responds");
        }
        sockets.append(&mut group);
    }
    eventually("not every subscriber was accepted", || descriptors(hub.pid()) >= warm + SUBSCRIBERS);
    // What was used for accepting, and the former blocks of tables that grew, are given back soon.
    let each = || memory_bytes(hub.pid()).saturating_sub(before) / SUBSCRIBERS as u64;
    eventually("an idle subscriber costs more than 600 bytes", || each() <= BYTES_EACH_MAX);
    let each = each();
    let cpu_before = cpu_ns(hub.pid());
    std::thread::sleep(Duration::from_secs(3));
    let cpu = Duration::from_nanos(cpu_ns(hub.pid()) - cpu_before);
    drop(sockets);
    // Shown with --nocapture.
    writeln!(std::io::stderr(), "an idle subscriber costs {each} bytes; CPU in 3 s: {cpu:?}")
        .expect("written");
    assert!(cpu < Duration::from_millis(30), "the hub used {cpu:?} of CPU in 3 s of idling");
}

#[test]
fn an_idle_subscriber_over_tls_costs_twelve_kibibytes_at_most() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pair = Pair::new();
    for version in [&TLS13, &TLS12] {
        let clients = trusting(&[&pair], &[version], &["http/1.1"]);
        let hub = Files::new("idle", &pair).start(&[("HEARTBEAT_INTERVAL", "0s")], &clients);
        let connect = |number: usize| {
            let mut client = hub.connect();
            client.send(&common::get(&format!("topic=https://example.com/users/{number:06}"), ""));
            let stream = Stream::open(client);
            assert_eq!(stream.status, 200);
            stream.client.socket
        };
        let _warm: Vec<_> = (0..200).map(connect).collect();
        let before = memory_bytes(hub.pid());
        let _sockets: Vec<_> = (200..200 + TLS_SUBSCRIBERS).map(connect).collect();
        let each = memory_bytes(hub.pid()).saturating_sub(before) / TLS_SUBSCRIBERS as u64;
        writeln!(std::io::stderr(), "an idle subscriber over {:?} costs {each} bytes", version.version)
            .expect("written");
        assert!(each <= TLS_BYTES_EACH_MAX, "an idle subscriber costs {each} bytes over {version:?}");
    }
}
