//! Goal: on a host that cannot run the hub, the hub prints one sentence that names the change
//! needed, and exits with status 1. Method: the binary under limits of the shell, under a system
//! call filter like a container's, and with a file in place of the kernel's.
//! `tests/it/end_to_end.rs` tests a port in use, `tests/it/history.rs` a history in use.

#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

use crate::common;
use std::path::PathBuf;
use std::process::{Command, Output};

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
