//! Goal: on a host that cannot run the hub, the hub prints one sentence that names the change
//! needed, and exits with status 1. Method: the binary under limits of the shell, under a system
//! call filter like a container's, and with a file in place of the kernel's.
//! `tests/it/end_to_end.rs` tests a port in use, `tests/it/history.rs` a history in use.

#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

use crate::common;
use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Allows all system calls except io_uring_setup, which fails with EPERM.
const WITHOUT_IO_URING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/without_io_uring.py");

/// A hub that is started through a program that executes it.
fn hub_through(program: &str, arguments: &[&str], io: &str) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).arg(env!("CARGO_BIN_EXE_petasos"));
    command
        .env("ADDR", "127.0.0.1:0")
        .env("JWT_KEY", common::KEY)
        .env("DB_PATH", ":memory:")
        .env("IO", io)
        .env("SHARDS", "1");
    command
}

/// Starts a hub through a program that executes it; returns its output.
fn start(program: &str, arguments: &[&str], io: &str) -> (Output, String) {
    let output = hub_through(program, arguments, io).output().expect("the program is there");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

/// Why a hub has no io_uring: as expected, or because the host's own switch comes first.
fn reason(expected: &str) -> &str {
    match std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled") {
        Ok(switch) if switch.trim() == "2" => "io_uring is switched off",
        _ => expected,
    }
}

/// Checks that it prints one line, an error, and exits with status 1.
fn refuses(program: &str, arguments: &[&str], io: &str, expected: &str) {
    let (output, said) = start(program, arguments, io);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(expected), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// Only glommio registers memory.
#[cfg(feature = "glommio")]
#[test]
fn too_little_locked_memory_is_told_with_the_limit_to_raise() {
    refuses("sh", &["-c", "ulimit -l 64 && exec \"$0\""], "uring", reason("LimitMEMLOCK="));
}

#[test]
fn too_few_descriptors_are_told_with_the_limit_to_raise() {
    refuses(
        "sh",
        &["-c", "ulimit -n 60 && exec \"$0\""],
        "epoll",
        "the limit of open files is 60: raise it (LimitNOFILE=",
    );
}

#[test]
fn a_filter_that_refuses_io_uring_is_told_as_such() {
    refuses("python3", &[WITHOUT_IO_URING], "uring", reason("allows io_uring_setup"));
}

/// Starts a hub through a program that executes it, on a host without io_uring: it serves, and its
/// first line says why it uses epoll.
fn serves_with_epoll(program: &str, arguments: &[&str], reason: &str) {
    let mut command = hub_through(program, arguments, "auto");
    let mut hub = command.stderr(Stdio::piped()).spawn().expect("the program is there");
    let lines = BufReader::new(hub.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let mut said = Vec::new();
    for line in lines {
        let is_last = line.contains("petasos serves");
        said.push(line);
        if is_last {
            break;
        }
    }
    let all = said.join("\n");
    let serves = said.last().is_some_and(|line| responds(line));
    hub.kill().expect("it runs");
    hub.wait().expect("a child");
    assert!(serves, "{all}");
    let reason = self::reason(reason);
    let of_epoll: Vec<_> = said.iter().filter(|line| line.contains("epoll is used")).collect();
    assert!(matches!(&of_epoll[..], [line] if line.contains("INFO") && line.contains(reason)), "{all}");
}

#[test]
fn without_io_uring_the_hub_serves_with_epoll_and_says_why() {
    serves_with_epoll("python3", &[WITHOUT_IO_URING], "allows io_uring_setup");
    if cfg!(feature = "glommio") {
        serves_with_epoll("sh", &["-c", "ulimit -l 64 && exec \"$0\""], "LimitMEMLOCK=");
    }
}

/// Whether the hub whose first line this is responds to a request.
fn responds(line: &str) -> bool {
    let address = line.split("address=").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
    let Ok(mut socket) = TcpStream::connect(address) else { return false };
    socket.set_read_timeout(Some(common::DEADLINE)).expect("a socket");
    let mut response = [0; 12];
    let request = b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n";
    socket.write_all(request).and_then(|()| socket.read_exact(&mut response)).is_ok()
        && response == *b"HTTP/1.1 200"
}

/// The limit counts all threads of the user, so the hub runs as a user who has no other.
#[test]
fn too_few_threads_are_told_with_the_limit_to_raise() {
    const USER: &str = "64815";
    // That user may not be able to reach the folder of the build.
    let folder = std::env::temp_dir().join(format!("petasos-threads-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("ours");
    let binary = folder.join("petasos");
    std::fs::copy(env!("CARGO_BIN_EXE_petasos"), &binary).expect("copied");
    let run = |threads: usize| {
        let script = format!("ulimit -u {threads}; exec \"$0\"");
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", USER, "--regid", USER, "--clear-groups", "bash", "-c", &script])
            .arg(&binary);
        command.env("ADDR", "127.0.0.1:0").env("JWT_KEY", common::KEY).env("DB_PATH", ":memory:");
        command.env("SHARDS", "1").env("RUST_BACKTRACE", "1").env("METRICS_ADDR", "127.0.0.1:0");
        command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
    };
    let may = Command::new("setpriv").args(["--reuid", USER, "--clear-groups", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("SKIPPED: too_few_threads…: this process may not become another user");
        return;
    }
    let mut said = Vec::new();
    for threads in 1..40 {
        let mut hub = run(threads).expect("the program is there");
        let lines = BufReader::new(hub.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let (mut text, mut serves) = (String::new(), false);
        for line in lines {
            text += &format!("{threads} threads: {line}\n");
            // A shard may still lack a thread then.
            if line.contains("petasos serves") && responds(&line) {
                serves = true;
                hub.kill().expect("it runs");
            }
        }
        let status = hub.wait().expect("a child");
        assert!(!text.contains("panic") && !text.contains("backtrace"), "{text}");
        said.push(text);
        if serves {
            break;
        }
        assert_eq!(status.code(), Some(1), "{said:?}");
    }
    std::fs::remove_dir_all(&folder).expect("removed");
    let all = said.concat();
    assert!(said.len() > 4, "{all}");
    let parts =
        ["writes the log cannot be started", "cannot start the thread signals: ", "TasksMax=", "serves"];
    for part in parts {
        assert!(all.contains(part), "{part:?} is not in {all}");
    }
    println!("{all}");
}

#[test]
fn io_uring_that_is_switched_off_is_told_with_the_setting() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("io_uring_disabled");
    std::fs::write(&file, "2\n").expect("written");
    let place = format!("mount --bind {} /proc/sys/kernel/io_uring_disabled", file.display());
    let may = Command::new("unshare").args(["-m", "sh", "-c", &place]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!(
            "SKIPPED: io_uring_that_is_switched_off…: this process may not mount in a namespace, or the kernel has no switch"
        );
        return;
    }
    let script = format!("{place} && exec \"$0\"");
    let (arguments, reason) =
        (["-m", "sh", "-c", &script], "io_uring is switched off (kernel.io_uring_disabled = 2)");
    refuses("unshare", &arguments, "uring", reason);
    serves_with_epoll("unshare", &arguments, reason);
}
