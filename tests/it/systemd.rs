//! Goal: the hub's messages to a service manager are true: ready when it serves, heartbeats only
//! while every shard makes progress, and the beginning of the stop (sd_notify(3),
//! systemd.service(5), `WatchdogSec=`). Method: the built binary, a socket in place of the
//! manager's, and a debugger's stop (ptrace) of a single shard's thread.

use crate::common;
use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::{DEADLINE, Hub, post, publisher};
use rustix::process::Signal;

/// The time limit for heartbeats, long compared with a thread's pause on a busy machine.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(2);

/// Stops one thread, reports it, and resumes the thread when its standard input is closed. The
/// numbers are PTRACE_SEIZE and PTRACE_INTERRUPT of linux/ptrace.h; the thread resumes when the
/// process ends.
const STOP_THREAD: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
thread = int(sys.argv[1])
for request in (0x4206, 0x4207):
    if libc.ptrace(request, thread, None, None) != 0:
        sys.exit("ptrace: " + os.strerror(ctypes.get_errno()) + " (kernel.yama.ptrace_scope)")
os.waitpid(thread, 0x40000000)
print("stopped", flush=True)
sys.stdin.read()
"#;

/// The socket of a service manager; dropping it removes its file.
pub(crate) struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("petasos-notify-{}-{name}", std::process::id()));
        let socket = UnixDatagram::bind(&path).expect("a socket in the folder for temporary files");
        Self { socket, path }
    }

    fn start_hub(&self, shards: &str) -> Hub {
        self.start_hub_with(&[("SHARDS", shards)], Hub::run)
    }

    /// Starts a hub with further settings; `run` runs the command.
    pub(crate) fn start_hub_with(&self, settings: &[(&str, &str)], run: impl FnOnce(Command) -> Hub) -> Hub {
        let mut command = Hub::command(settings);
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        run(command)
    }

    /// The next message, if one comes in time.
    pub(crate) fn hears(&self, within: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(within)).expect("a socket");
        let mut buffer = [0; 256];
        let count = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..count].to_vec()).expect("UTF-8"))
    }

    fn expect(&self, message: &str, within: Duration) {
        assert_eq!(self.hears(within).as_deref(), Some(message));
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // A file that stays does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

const READY: &str = "READY=1\n";
const HEARTBEAT: &str = "WATCHDOG=1\n";

#[test]
fn a_hub_says_that_it_serves_that_it_lives_and_that_it_stops() {
    let manager = Manager::new("life");
    let mut hub = manager.start_hub("");
    manager.expect(READY, DEADLINE);
    for _ in 0..3 {
        manager.expect(HEARTBEAT, WATCHDOG);
    }
    hub.signal(Signal::TERM);
    let until = Instant::now() + DEADLINE;
    while manager.hears(until - Instant::now()).expect("it tells that it stops") != "STOPPING=1\n" {}
    assert!(hub.wait().success());
}

#[test]
fn a_hub_at_work_does_not_miss_a_heartbeat() {
    let manager = Manager::new("work");
    let hub = manager.start_hub("1");
    manager.expect(READY, DEADLINE);
    let (hub, done, token) = (&hub, &AtomicBool::new(false), publisher());
    let request = &post("topic=https://example.com/books/1&data=x", Some(&token));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                let mut client = hub.connect();
                while !done.load(Ordering::Relaxed) {
                    client.send(request);
                    assert_eq!(client.answer().status, 200);
                }
            });
        }
        for _ in 0..6 {
            manager.expect(HEARTBEAT, WATCHDOG);
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// A manager that does not read: its socket fills up, and the hub runs and stops as usual.
#[test]
fn a_manager_that_does_not_listen_holds_up_nothing() {
    let manager = Manager::new("deaf");
    let mut hub = manager.start_hub("1");
    let probe = UnixDatagram::unbound().expect("a socket");
    probe.set_nonblocking(true).expect("a socket");
    let is_full =
        || probe.send_to(b"", &manager.path).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    common::eventually("the socket is full", is_full);
    let mut stream = hub.subscribe("topic=a");
    let id = hub.publish("topic=a");
    assert_eq!(stream.ids(1), [id]);
    hub.signal(Signal::TERM);
    assert!(hub.wait().success());
}

/// The thread of the first shard. A helper thread has the same name, but was started later.
fn shard_thread(pid: u32) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the hub runs");
    let is_it =
        |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with("shard-0"));
    let threads = tasks.map(|task| task.expect("a thread").path()).filter(is_it);
    let number = |path: PathBuf| path.file_name()?.to_str()?.parse().ok();
    threads.filter_map(number).min().expect("the thread of a shard")
}

fn stop_thread(thread: u32) -> Child {
    let mut command = Command::new("python3");
    command.args(["-c", STOP_THREAD]).arg(thread.to_string());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is there: tests/run installs it");
    let mut line = String::new();
    let out = child.stdout.as_mut().expect("a pipe");
    BufReader::new(out).read_line(&mut line).expect("a line");
    assert_eq!(line, "stopped\n", "the thread could not be stopped");
    child
}

#[test]
fn one_stalled_shard_ends_the_heartbeats_of_the_whole_hub() {
    let manager = Manager::new("stall");
    let mut hub = manager.start_hub("");
    manager.expect(READY, DEADLINE);
    manager.expect(HEARTBEAT, WATCHDOG);
    let mut debugger = stop_thread(shard_thread(hub.pid()));
    let line = hub.wait_for_log("makes no progress");
    assert!(line.contains("\"shard\":0"), "{line}");
    // Earlier messages may still arrive; then no more may come.
    let until = Instant::now() + DEADLINE;
    while manager.hears(WATCHDOG).is_some() {
        assert!(Instant::now() < until, "the heartbeats of a hub with a stalled shard go on");
    }
    drop(debugger.stdin.take());
    debugger.wait().expect("it ends");
    manager.expect(HEARTBEAT, DEADLINE);
}
