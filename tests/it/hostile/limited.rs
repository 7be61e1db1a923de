//! Goal: a hub with 96 MB serves on under each attack.
//!
//! Method: the hub runs in a group of the kernel (cgroup) with 96 MB and without `MEMORY_MAX`, so
//! it has to find the limit by itself; the kernel ends it when it takes more. `HOSTILE_CGROUP` is a
//! folder of the memory controller in which this process may make a group, of either version.
//! Without it, these tests are skipped. The others set `MEMORY_MAX` and need no group.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::mixed::ISSUER_SETTINGS;
use crate::common::{Client, Hub, eventually};
use crate::hostile::bodies::{one_byte_each, unfinished};
use crate::hostile::costly::Costly;
use crate::hostile::patterns;
use crate::hostile::templates;
use crate::hostile::witness::{AttackedHub, WITNESS_CONNECTIONS, Witness, connect, size};

/// The limit: 96 MB.
const LIMIT_BYTES: u64 = 96_000_000;

/// A group with the limit; removed when dropped, which needs that its processes have ended.
struct Group(PathBuf);

impl Group {
    /// `None`, with the reason on the screen, where no group can be made.
    fn new(test: &str) -> Option<Self> {
        let skip = |reason: String| {
            println!("SKIPPED: {test} in a cgroup of 96 MB: {reason}");
            None
        };
        let Some(parent) = std::env::var_os("HOSTILE_CGROUP") else {
            return skip("HOSTILE_CGROUP names no folder of a cgroup".to_owned());
        };
        let folder = Path::new(&parent).join(format!("petasos-{test}-{}", std::process::id()));
        if let Err(error) = fs::create_dir(&folder) {
            return skip(format!("{}: {error}", folder.display()));
        }
        let group = Self(folder);
        let files = ["memory.max", "memory.limit_in_bytes"];
        let Some(file) = files.iter().map(|name| group.0.join(name)).find(|path| path.exists()) else {
            return skip(format!("{} has no memory controller", Path::new(&parent).display()));
        };
        if let Err(error) = fs::write(&file, LIMIT_BYTES.to_string()) {
            return skip(format!("{}: {error}", file.display()));
        }
        // Where there is swap, it is part of the limit; the older version has no such file then.
        let _ = fs::write(group.0.join("memory.swap.max"), "0");
        Some(group)
    }

    /// Starts a hub that is in the group from its first moment.
    fn start(&self, name: &str) -> AttackedHub {
        AttackedHub::with(name, &ISSUER_SETTINGS, |command| {
            let processes = self.0.join("cgroup.procs");
            let mut inside = Command::new("sh");
            inside.args(["-c", "echo $$ > \"$0\" && exec \"$1\""]).arg(processes).arg(command.get_program());
            inside.env_clear();
            let settings = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
            inside.envs(settings).env("PATH", std::env::var_os("PATH").unwrap_or_default());
            Hub::run(inside)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel removes the process from the group a moment after its end.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Whether a new connection is served.
fn is_served(attacked: &AttackedHub) -> bool {
    let mut client = attacked.hub().connect();
    client.send("GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n");
    client.answer_if_any().is_some_and(|answer| answer.status == 200)
}

/// Runs an attack; the witness is served during it and afterwards.
fn attack<T>(name: &str, attacked: AttackedHub, strangers: impl FnOnce(&AttackedHub) -> T) {
    let mut witness = Witness::new(attacked.hub());
    witness.measure("before", 27, 5);
    let held = strangers(&attacked);
    // While they come, every new connection may be refused.
    eventually("no new connection is served", || is_served(&attacked));
    witness.measure_all(name, 5);
    drop(held);
    attacked.wait_for_connections(WITNESS_CONNECTIONS);
    witness.measure("afterwards", 27, 5);
    let peak = attacked.memory_bytes("VmHWM");
    println!("{name}: at most {peak} bytes of memory");
    assert!(peak <= LIMIT_BYTES, "{peak} bytes of memory, {LIMIT_BYTES} are the limit");
    attacked.finish();
}

/// Runs an attack on a hub in a group of 96 MB.
fn survives<T>(name: &str, strangers: impl FnOnce(&AttackedHub) -> T) {
    let Some(group) = Group::new(name) else { return };
    attack(name, group.start(name), strangers);
}

/// Runs an attack on a hub with `MEMORY_MAX`, which needs no group.
fn keeps_within<T>(name: &str, strangers: impl FnOnce(&AttackedHub) -> T) {
    let limit = LIMIT_BYTES.to_string();
    attack(
        name,
        AttackedHub::start(name, &[&[("MEMORY_MAX", &*limit)], &ISSUER_SETTINGS[..]].concat()),
        strangers,
    );
}

fn costly_selectors(attacked: &AttackedHub) -> impl Sized + use<> {
    of_kind(attacked, templates::SHAPES[0])
}

fn costly_patterns(attacked: &AttackedHub) -> impl Sized + use<> {
    of_kind(attacked, patterns::SHAPES[3])
}

fn of_kind(attacked: &AttackedHub, kind: Costly) -> impl Sized + use<> {
    kind.subscribe(attacked.hub(), kind.largest(attacked), size(128, 512))
}

fn unfinished_bodies(attacked: &AttackedHub) -> Vec<Client> {
    let mut crowd = unfinished(attacked, size(150, 1_500));
    one_byte_each(&mut crowd);
    crowd
}

/// Each holds the beginning of a request.
fn many_connections(attacked: &AttackedHub) -> Vec<Client> {
    let mut crowd: Vec<_> = (0..size(1_000, 8_000)).map(|number| connect(attacked.hub(), number)).collect();
    crowd.iter_mut().for_each(|client| client.send("GET /.well-known/mercure?topic=a HTTP/1.1\r\nHost:"));
    crowd
}

#[test]
fn costly_selectors_do_not_end_a_hub_with_96_mb() {
    survives("limited-templates", costly_selectors);
}

#[test]
fn costly_patterns_do_not_end_a_hub_with_96_mb() {
    survives("limited-patterns", costly_patterns);
}

#[test]
fn unfinished_bodies_do_not_end_a_hub_with_96_mb() {
    survives("limited-bodies", unfinished_bodies);
}

#[test]
fn many_connections_do_not_end_a_hub_with_96_mb() {
    survives("limited-connections", many_connections);
}

#[test]
fn costly_selectors_keep_within_memory_max() {
    keeps_within("within-templates", costly_selectors);
}

#[test]
fn costly_patterns_keep_within_memory_max() {
    keeps_within("within-patterns", costly_patterns);
}

#[test]
fn unfinished_bodies_keep_within_memory_max() {
    keeps_within("within-bodies", unfinished_bodies);
}

#[test]
fn many_connections_keep_within_memory_max() {
    keeps_within("within-connections", many_connections);
}
