//! Goal: the files of `tuning/` do what they say. systemd accepts the unit and the kernel the
//! sysctl file, the script writes only where it should, and the exit status of `petasos check` is
//! as documented. Method: the files themselves, systemd-analyze and shellcheck (tests/run installs
//! both), and a folder in place of the script's `/`.

use crate::common;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const UNIT: &str = include_str!("../../tuning/petasos.service");
const SOCKET: &str = include_str!("../../tuning/petasos.socket");
const SYSCTLS: &str = include_str!("../../tuning/petasos.sysctl.conf");
/// The beginning of the unit's commands: systemd looks in /usr/local/bin and in /usr/bin.
const COMMANDS: [&str; 2] = ["ExecStart=", "ExecStartPre=-"];

/// Sysctls that a host may lack: without their module, on older kernels, or in a network namespace.
const NOT_EVERYWHERE: [&str; 4] = [
    "kernel.io_uring_disabled",
    "net.core.netdev_max_backlog",
    "net.core.rps_sock_flow_entries",
    "net.netfilter.nf_conntrack_max",
];

fn tuning(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning").join(file)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// A folder for one test; dropping it removes it with everything in it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("petasos-tuning-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for temporary files");
        Self(path)
    }

    fn put(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn get(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).expect("it is there").trim_end().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every line that sets a value.
fn settings(file: &str) -> impl Iterator<Item = &str> {
    file.lines().filter(|line| line.contains('=') && !line.starts_with('#'))
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs what it needs"))
}

/// Every directive is known and has a valid value. systemd only warns about an unknown one; this
/// test fails.
#[test]
fn systemd_takes_the_unit_without_a_word() {
    let folder = Folder::new("unit");
    let mut unit = UNIT.to_owned();
    for command in COMMANDS {
        let (installed, built) = (format!("\n{command}petasos "), env!("CARGO_BIN_EXE_petasos"));
        assert!(unit.contains(&installed), "{command}");
        unit = unit.replace(&installed, &format!("\n{command}{built} "));
    }
    folder.put("petasos.service", &unit);
    folder.put("petasos.socket", SOCKET);
    let path = folder.0.join("petasos.service");
    let socket = folder.0.join("petasos.socket");
    let output = run(Command::new("systemd-analyze").arg("verify").arg(&path).arg(socket));
    // systemd also verifies units of the host, which may have other errors.
    let ours: Vec<_> = text(&output.stderr).lines().filter(|line| line.contains("petasos")).collect();
    assert!(output.status.success() && ours.is_empty(), "{}", text(&output.stderr));
    let score = ["security", "--offline=yes", "--threshold=20"];
    let output = run(Command::new("systemd-analyze").args(score).arg(&path));
    assert!(output.status.success(), "more exposed than 2.0 of 10: {}", text(&output.stdout));
}

/// The filter allows every system call that the hub was seen to make at start, publication, replay,
/// automatic certificate and stop (strace -fc).
#[test]
fn the_filter_of_system_calls_lets_the_hub_live() {
    let calls = [
        "accept4",
        "bind",
        "chmod",
        "clone3",
        "connect",
        "epoll_create1",
        "epoll_ctl",
        "epoll_pwait",
        "epoll_wait",
        "eventfd2",
        "execve",
        "fchmod",
        "fcntl",
        "fdatasync",
        "flock",
        "fsync",
        "ftruncate",
        "futex",
        "getpeername",
        "getrandom",
        "getsockname",
        "getsockopt",
        "ioctl",
        "io_uring_enter",
        "io_uring_register",
        "io_uring_setup",
        "listen",
        "madvise",
        "membarrier",
        "mkdir",
        "mmap",
        "mprotect",
        "munmap",
        "openat",
        "poll",
        "prctl",
        "ppoll",
        "pread64",
        "prlimit64",
        "pwrite64",
        "recvfrom",
        "rename",
        "rseq",
        "sched_getaffinity",
        "sched_setaffinity",
        "sendto",
        "setsockopt",
        "shutdown",
        "sigaltstack",
        "socket",
        "socketpair",
        "statx",
        "sysinfo",
        "unlink",
        "writev",
    ];
    let mut allowed = std::collections::BTreeSet::new();
    for line in settings(UNIT) {
        let Some(filter) = line.strip_prefix("SystemCallFilter=") else { continue };
        let (denies, words) = filter.strip_prefix('~').map_or((false, filter), |words| (true, words));
        for call in words.split(' ').flat_map(system_calls) {
            if denies {
                allowed.remove(&call)
            } else {
                allowed.insert(call)
            };
        }
    }
    let refused: Vec<_> = calls.into_iter().filter(|call| !allowed.contains(*call)).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(!allowed.contains("mount") && !allowed.contains("ptrace") && !allowed.contains("setuid"));
}

/// The calls that a word of a filter stands for; a group contains calls and groups.
fn system_calls(word: &str) -> Vec<String> {
    if !word.starts_with('@') {
        return vec![word.to_owned()];
    }
    let output = run(Command::new("systemd-analyze").args(["--no-pager", "syscall-filter", word]));
    let members = text(&output.stdout).lines().filter_map(|line| line.strip_prefix("    "));
    members.filter(|member| !member.starts_with('#')).flat_map(system_calls).collect()
}

#[test]
fn sysctls_exist_and_take_their_values() {
    let folder = Path::new("/proc/sys");
    for line in settings(SYSCTLS) {
        let (name, value) = line.split_once(" = ").unwrap_or_else(|| panic!("{line:?} is not name = value"));
        assert!(value.split(' ').all(|word| word.parse::<u64>().is_ok()), "{line}");
        let optional = name.strip_prefix('-');
        let name = optional.unwrap_or(name);
        match fs::read_to_string(folder.join(name.replace('.', "/"))) {
            Ok(now) => {
                assert_eq!(now.split_whitespace().count(), value.split(' ').count(), "{line}; is {now}");
            }
            Err(_) => assert!(NOT_EVERYWHERE.contains(&name), "{name} is no sysctl"),
        }
        // A host without the module, or with an older kernel, still loads the file.
        let may_be_missing = ["kernel.io_uring_disabled", "net.netfilter.nf_conntrack_max"].contains(&name);
        assert_eq!(optional.is_some(), may_be_missing, "{line}");
    }
}

/// A host with four cores: a card with two queues, a card with a single queue and nothing else, and
/// a loopback.
fn fake_host(name: &str) -> Folder {
    let root = Folder::new(name);
    root.put("sys/devices/system/cpu/online", "0-3\n");
    root.put("proc/sys/net/core/rps_sock_flow_entries", "0\n");
    let interrupts = "           CPU0  CPU1  CPU2  CPU3\n\
         30:  0  0  0  0  PCI-MSIX-0000:00:03.0  0-edge  virtio9-config\n\
         31:  0  9  0  0  PCI-MSIX-0000:00:03.0  1-edge  virtio9-input.0\n\
         32:  0  9  0  0  PCI-MSIX-0000:00:03.0  2-edge  virtio9-output.0\n\
         33:  0  9  0  0  PCI-MSIX-0000:00:03.0  3-edge  virtio9-input.1\n\
         34:  0  9  0  0  PCI-MSIX-0000:00:04.0  0-edge  ahci\n";
    root.put("proc/interrupts", interrupts);
    for number in 30..=34 {
        root.put(&format!("proc/irq/{number}/smp_affinity_list"), "0-3\n");
    }
    for number in 30..=33 {
        root.put(&format!("sys/devices/pci/msi_irqs/{number}"), "msix\n");
    }
    for queue in 0..2 {
        root.put(&format!("sys/class/net/eth0/queues/rx-{queue}/rps_cpus"), "0\n");
        root.put(&format!("sys/class/net/eth0/queues/rx-{queue}/rps_flow_cnt"), "0\n");
        root.put(&format!("sys/class/net/eth0/queues/tx-{queue}/xps_cpus"), "f\n");
    }
    root.put("sys/devices/pci/virtio9/vendor", "0x1af4\n");
    symlink("../../../devices/pci/virtio9", root.0.join("sys/class/net/eth0/device")).expect("a link");
    root.put("sys/class/net/eth1/queues/rx-0/rps_cpus", "f\n");
    root.put("sys/class/net/eth1/queues/tx-0/xps_cpus", "0\n");
    root.put("sys/class/net/eth1/device/vendor", "0x8086\n");
    root.put("sys/class/net/lo/queues/rx-0/rps_cpus", "0\n");
    root
}

fn affinity(root: &Folder, arguments: &[&str]) -> Output {
    run(Command::new("bash").arg(tuning("affinity.sh")).arg("--root").arg(&root.0).args(arguments))
}

/// The writes that the script would make, or made, below the root: `file = value`.
fn writes<'o>(output: &'o Output, root: &Folder, verb: &str) -> Vec<&'o str> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let root = root.0.to_str().expect("UTF-8");
    let lines = text(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix(verb)?.trim_start().strip_prefix(root));
    lines.map(|line| line.split(" (").next().expect("a part")).collect()
}

const EXPECTED: [&str; 10] = [
    "/proc/irq/31/smp_affinity_list = 0",
    "/proc/irq/33/smp_affinity_list = 1",
    "/proc/sys/net/core/rps_sock_flow_entries = 32768",
    "/sys/class/net/eth0/queues/rx-0/rps_cpus = 0000000f",
    "/sys/class/net/eth0/queues/rx-0/rps_flow_cnt = 16384",
    "/sys/class/net/eth0/queues/rx-1/rps_cpus = 0000000f",
    "/sys/class/net/eth0/queues/rx-1/rps_flow_cnt = 16384",
    "/sys/class/net/eth0/queues/tx-0/xps_cpus = 00000005",
    "/sys/class/net/eth0/queues/tx-1/xps_cpus = 0000000a",
    "/proc/sys/net/core/rps_sock_flow_entries = 32768",
];

#[test]
fn a_dry_run_prints_every_write_with_its_reason_and_makes_none() {
    let root = fake_host("dry");
    let output = affinity(&root, &["--dry-run"]);
    // The second card also needs the flow table. The script reports it again, since nothing was
    // written.
    assert_eq!(writes(&output, &root, "would write"), EXPECTED);
    let printed = text(&output.stdout);
    for line in printed.lines().filter(|line| line.starts_with("would write")) {
        assert!(line.contains("(is ") && line.contains("  # "), "{line}");
    }
    assert!(printed.contains("eth1: 1 receive and 1 transmit queues, 0 interrupts"), "{printed}");
    assert!(!printed.contains("/lo/"), "{printed}");
    assert_eq!(root.get("proc/irq/31/smp_affinity_list"), "0-3");
    assert_eq!(root.get("sys/class/net/eth0/queues/rx-0/rps_cpus"), "0");
}

#[test]
fn a_second_run_finds_everything_in_its_place() {
    let root = fake_host("wet");
    assert_eq!(writes(&affinity(&root, &[]), &root, "wrote"), EXPECTED[..9]);
    assert_eq!(root.get("proc/irq/33/smp_affinity_list"), "1");
    assert_eq!(root.get("proc/irq/32/smp_affinity_list"), "0-3", "completions of sends stay");
    assert_eq!(root.get("proc/irq/34/smp_affinity_list"), "0-3", "the disk's interrupt is not the card's");
    assert_eq!(root.get("sys/class/net/eth0/queues/tx-1/xps_cpus"), "0000000a");
    let again = affinity(&root, &[]);
    assert_eq!(writes(&again, &root, "wrote"), [""; 0]);
    assert!(writes(&again, &root, "keep").len() > EXPECTED.len());
}

#[test]
fn cards_and_cores_can_be_chosen() {
    let root = fake_host("chosen");
    let output = affinity(&root, &["--dry-run", "--cpus", "1,33", "eth0"]);
    let writes = writes(&output, &root, "would write");
    assert!(writes.contains(&"/proc/irq/33/smp_affinity_list = 33"), "{writes:?}");
    // As many queues as cores: packets stay on the core that receives them, as they do already.
    assert!(!writes.iter().any(|line| line.contains("rps_")), "{writes:?}");
    assert!(writes.contains(&"/sys/class/net/eth0/queues/tx-0/xps_cpus = 00000002"), "{writes:?}");
    assert!(writes.contains(&"/sys/class/net/eth0/queues/tx-1/xps_cpus = 00000002,00000000"), "{writes:?}");
    for (arguments, status) in [(&["--cpus", "all"][..], 2), (&["--wet"], 2), (&["eth7"], 1)] {
        assert_eq!(affinity(&root, arguments).status.code(), Some(status), "{arguments:?}");
    }
}

#[test]
fn a_host_without_cards_has_nothing_to_spread() {
    let root = Folder::new("bare");
    root.put("sys/devices/system/cpu/online", "0\n");
    root.put("sys/class/net/lo/mtu", "65536\n");
    let output = affinity(&root, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("nothing to do"));
}

#[test]
fn shellcheck_finds_nothing() {
    let output = run(Command::new("shellcheck").arg(tuning("affinity.sh")));
    assert!(output.status.success(), "{}", text(&output.stdout));
}

fn check(arguments: &[&str]) -> Output {
    run(common::command().arg("check").args(arguments))
}

#[test]
fn check_prints_a_line_for_each_thing_and_needs_no_key() {
    let output = check(&["--connections", "1"]);
    // The tests run hubs on this host, so it must allow at least one connection.
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{}", text(&output.stdout));
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    for name in [
        "open files",
        "locked memory",
        "io_uring",
        "net.core.somaxconn",
        "transparent huge pages",
        "cpu governor",
    ] {
        assert!(lines.iter().any(|line| line[6..].starts_with(&format!("{name}: "))), "{name}: {lines:#?}");
    }
    for line in lines {
        let is_ok = line.starts_with("ok    ");
        assert!(is_ok || line.starts_with("warn  "), "{line}");
        assert_eq!(line.contains("; change: "), !is_ok, "{line}");
    }
}

#[test]
fn check_fails_when_the_host_cannot_hold_what_is_configured() {
    let many = "1000000000000";
    for arguments in [&["--json", "--connections", many][..], &["--json", "--max-connections", many]] {
        let output = check(arguments);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), ""), "{arguments:?}");
        let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(document["connections"], 1_000_000_000_000_u64);
        assert_eq!(document["allows_the_hub"], false);
        let findings = document["findings"].as_array().expect("a list");
        let watches = findings.iter().find(|finding| finding["name"] == "fs.epoll.max_user_watches");
        let watches = watches.expect("a finding");
        assert_eq!(watches["verdict"], "fail");
        let change = watches["change"].as_str().expect("a change");
        assert!(change.starts_with("fs.epoll.max_user_watches = 10000000000"), "{change}");
    }
}

#[test]
fn check_refuses_a_wrong_size_as_the_hub_does() {
    for arguments in [&["--shards", "many"][..], &["--max-connections", "0"], &["--connections", "0"]] {
        let output = check(arguments);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
