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

/// Allows all system calls except io_uring_setup (425 on x86-64 and arm64), which fails with EPERM
/// (prctl(2), seccomp(2)).
const WITHOUT_IO_URING: &str = r#"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = Program(len(steps), ctypes.addressof(code))
zero = ctypes.c_ulong(0)
if libc.prctl(38, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(program), zero, zero):
    sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
"#;

/// Starts a hub through a program that executes it; returns its output.
fn start(program: &str, arguments: &[&str]) -> (Output, String) {
    let mut command = Command::new(program);
    command.args(arguments).arg(env!("CARGO_BIN_EXE_petasos"));
    command
        .env("ADDR", "127.0.0.1:0")
        .env("JWT_KEY", common::KEY)
        .env("DB_PATH", ":memory:")
        .env("SHARDS", "1");
    let output = command.output().expect("the program is there");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

/// Checks that it prints one line, an error, and exits with status 1.
fn refuses(program: &str, arguments: &[&str], expected: &str) {
    let (output, said) = start(program, arguments);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(expected), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn too_little_locked_memory_is_told_with_the_limit_to_raise() {
    refuses("sh", &["-c", "ulimit -l 64 && exec \"$0\""], "LimitMEMLOCK=");
}

#[test]
fn too_few_descriptors_are_told_with_the_limit_to_raise() {
    refuses(
        "sh",
        &["-c", "ulimit -n 60 && exec \"$0\""],
        "the limit of open files is 60: raise it (LimitNOFILE=",
    );
}

#[test]
fn a_filter_that_refuses_io_uring_is_told_as_such() {
    refuses("python3", &["-c", WITHOUT_IO_URING], "allows io_uring_setup");
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
    refuses(
        "unshare",
        &["-m", "sh", "-c", &script],
        "io_uring is switched off (kernel.io_uring_disabled = 2)",
    );
}
