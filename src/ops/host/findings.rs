//! Judges the facts for a hub of a given size. Pure: facts in, findings out.
//!
//! `fail` means that the hub cannot run as it is configured; everything else that could be better
//! is `warn`.

use std::fmt;

use super::facts::HostFacts;
use super::tuned;
use crate::io::IoMode;
use crate::limits::{LISTEN_BACKLOG, MEMLOCK_BYTES_PER_SHARD, RESERVED_FDS, TCP_BYTES_PER_CONNECTION};

/// The hub that is to run on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostNeeds {
    /// Shards, each with an io_uring unless `io` says otherwise.
    pub shards: u64,
    /// Connections at once.
    pub connections: u64,
    /// Whether the number was configured: then a host that cannot hold it is a failure.
    pub is_asked_for: bool,
    /// `IO`.
    pub io: IoMode,
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The hub runs, and could run better.
    Warn,
    /// The hub cannot run as it is configured.
    Fail,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The checked item: the name of a sysctl, or words.
    pub name: &'static str,
    /// The severity.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What is expected.
    pub expected: String,
    /// The exact change to make; `None` if none is needed.
    pub change: Option<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, verdict, found, expected, change } = self;
        write!(f, "{verdict:<4}  {name}: {found}; expected: {expected}")?;
        change.as_ref().map_or(Ok(()), |change| write!(f, "; change: {change}"))
    }
}

impl Finding {
    fn new(name: &'static str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), expected: expected.into(), change: None }
    }

    /// Unless it `holds`, sets the verdict and the change.
    fn unless(mut self, holds: bool, verdict: Verdict, change: impl FnOnce() -> String) -> Self {
        if !holds {
            self.verdict = verdict;
            self.change = Some(change());
        }
        self
    }
}

/// All findings for this hub. Limits that can stop it come first.
pub fn judge(facts: &HostFacts, wanted: HostNeeds) -> Vec<Finding> {
    let mut findings = vec![
        descriptors(facts, wanted),
        memlock(facts, wanted),
        io_uring(facts, wanted),
        epoll_watches(facts, wanted),
        at_least(facts, "net.core.somaxconn", LISTEN_BACKLOG as u64),
    ];
    for name in ["net.ipv4.tcp_max_syn_backlog", "net.core.netdev_max_backlog"] {
        let tuned = tuned::sysctl(name);
        findings.extend(tuned.first().map(|tuned| at_least(facts, name, *tuned)));
    }
    for name in ["net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_retries2"] {
        let tuned = tuned::sysctl(name);
        findings.extend(tuned.first().map(|tuned| at_most(facts, name, *tuned)));
    }
    findings.extend([
        port_range(facts, wanted),
        tcp_memory(facts, wanted),
        conntrack(facts, wanted),
        huge_pages(facts),
        governor(facts),
    ]);
    findings
}

impl HostNeeds {
    /// The verdict if the host cannot hold the connections.
    fn too_few(self) -> Verdict {
        if self.is_asked_for { Verdict::Fail } else { Verdict::Warn }
    }

    /// The verdict if the host does not allow a ring.
    fn no_ring(self) -> Verdict {
        match self.io {
            IoMode::Uring => Verdict::Fail,
            IoMode::Auto => Verdict::Warn,
            IoMode::Epoll => Verdict::Ok,
        }
    }
}

fn descriptors(facts: &HostFacts, wanted: HostNeeds) -> Finding {
    let needed = wanted.connections.saturating_add(RESERVED_FDS);
    let (soft, hard) = (number(facts.descriptors.soft), number(facts.descriptors.hard));
    let found = format!("{hard} (the hub raises its soft limit of {soft} to it)");
    let expected = format!("{needed} or more: {} connections and {RESERVED_FDS} others", wanted.connections);
    let hard = facts.descriptors.hard.unwrap_or(u64::MAX);
    // With no connection left, the hub does not start.
    let verdict = if hard <= RESERVED_FDS { Verdict::Fail } else { wanted.too_few() };
    Finding::new("open files", found, expected).unless(hard >= needed, verdict, || {
        let line = tuned::unit_line("LimitNOFILE", needed);
        let bound = facts.sysctl("fs.nr_open").unwrap_or(u64::MAX);
        let first = needed.max(tuned::unit_limit("LimitNOFILE"));
        if bound < first {
            format!(
                "{line} (ulimit -Hn in a shell), and before it {}",
                tuned::sysctl_line("fs.nr_open", first)
            )
        } else {
            format!("{line} (ulimit -Hn in a shell)")
        }
    })
}

fn memlock(facts: &HostFacts, wanted: HostNeeds) -> Finding {
    let needed = wanted.shards.saturating_mul(MEMLOCK_BYTES_PER_SHARD);
    let found = format!("{} bytes", number(facts.memlock.soft));
    let expected =
        format!("{needed} bytes or more: {MEMLOCK_BYTES_PER_SHARD} for each of {} shards", wanted.shards);
    if wanted.io == IoMode::Epoll {
        return Finding::new("locked memory", found, "any: IO=epoll needs none");
    }
    Finding::new("locked memory", found, expected).unless(
        facts.memlock.allows(needed),
        wanted.no_ring(),
        || format!("{} (ulimit -l in a shell), or fewer SHARDS", tuned::unit_line("LimitMEMLOCK", needed)),
    )
}

fn io_uring(facts: &HostFacts, wanted: HostNeeds) -> Finding {
    if wanted.io == IoMode::Epoll {
        return Finding::new("io_uring", "not used", "any: IO=epoll needs none");
    }
    let switch = facts.sysctl("kernel.io_uring_disabled").unwrap_or(0);
    let found = match &facts.ring {
        _ if facts.io_uring_is_off() => "switched off (kernel.io_uring_disabled = 2)".to_owned(),
        Some(Ok(())) => "a ring could be made".to_owned(),
        Some(Err(error)) => error.clone(),
        None => "not tried: locked memory does not suffice".to_owned(),
    };
    let needed = wanted.shards.saturating_mul(MEMLOCK_BYTES_PER_SHARD);
    let is_possible = facts.ring == Some(Ok(())) && facts.memlock.allows(needed);
    let expected = match (wanted.io, is_possible) {
        (IoMode::Auto, true) => "a ring for each shard; IO=auto uses io_uring",
        (IoMode::Auto, false) => "a ring for each shard; without it IO=auto uses epoll",
        (IoMode::Uring | IoMode::Epoll, _) => "a ring for each shard",
    };
    Finding::new("io_uring", found, expected).unless(facts.ring == Some(Ok(())), wanted.no_ring(), || match (
        switch,
        &facts.ring,
    ) {
        (0, None) => "the limit of locked memory".to_owned(),
        (0, Some(_)) => "Linux 6.1 or later; in a container, a seccomp profile that allows io_uring_setup, \
                             io_uring_enter and io_uring_register"
            .to_owned(),
        (1, _) => format!(
            "{}, or a group of this user in kernel.io_uring_group",
            tuned::sysctl_line("kernel.io_uring_disabled", 0)
        ),
        _ => tuned::sysctl_line("kernel.io_uring_disabled", 0),
    })
}

fn epoll_watches(facts: &HostFacts, wanted: HostNeeds) -> Finding {
    const NAME: &str = "fs.epoll.max_user_watches";
    let needed = wanted.connections.saturating_add(wanted.shards);
    let watches = facts.sysctl(NAME);
    Finding::new(NAME, shown(watches), format!("{needed} or more: one for each connection and listener"))
        .unless(watches.is_none_or(|watches| watches >= needed), wanted.too_few(), || {
            tuned::sysctl_line(NAME, needed)
        })
}

fn at_least(facts: &HostFacts, name: &'static str, least: u64) -> Finding {
    let found = facts.sysctl(name);
    Finding::new(name, shown(found), format!("{least} or more")).unless(
        found.is_none_or(|found| found >= least),
        Verdict::Warn,
        || tuned::sysctl_line(name, least),
    )
}

fn at_most(facts: &HostFacts, name: &'static str, most: u64) -> Finding {
    let found = facts.sysctl(name);
    let expected = if most == 0 { "0".to_owned() } else { format!("{most} or less") };
    Finding::new(name, shown(found), expected).unless(
        found.is_none_or(|found| found <= most),
        Verdict::Warn,
        || tuned::sysctl_line(name, most),
    )
}

/// Connections that a proxy or load generator on this host can open to one address of the hub.
fn port_range(facts: &HostFacts, wanted: HostNeeds) -> Finding {
    const NAME: &str = "net.ipv4.ip_local_port_range";
    let size = |range: &[u64]| match range {
        [first, last] => Some(last.saturating_sub(*first).saturating_add(1)),
        _ => None,
    };
    let tuned = tuned::sysctl(NAME);
    let range = facts.sysctls.get(NAME);
    let ports = range.and_then(|range| size(range));
    let found = ports.map_or_else(|| shown(None), |ports| format!("{ports} ports"));
    // No range has more ports than the tuned one: more connections need more addresses.
    let needed = wanted.connections.min(size(&tuned).unwrap_or(u64::MAX));
    let expected = format!("{needed} or more: a proxy on this host takes one for each connection to the hub");
    Finding::new(NAME, found, expected).unless(
        ports.is_none_or(|ports| ports >= needed),
        Verdict::Warn,
        || {
            let [first, last] = tuned.as_slice() else { return NAME.to_owned() };
            format!("{NAME} = {first} {last} in tuning/petasos.sysctl.conf")
        },
    )
}

/// One update to every connection must fit into TCP memory below the kernel's pressure threshold.
fn tcp_memory(facts: &HostFacts, wanted: HostNeeds) -> Finding {
    const NAME: &str = "net.ipv4.tcp_mem";
    let bytes = wanted.connections.saturating_mul(TCP_BYTES_PER_CONNECTION);
    let needed = bytes.div_ceil(facts.page_bytes);
    let pressure = facts.sysctls.get(NAME).and_then(|numbers| numbers.get(1)).copied();
    let found =
        pressure.map_or_else(|| shown(None), |pages| format!("{pages} pages (its pressure threshold)"));
    let expected = format!("{needed} pages or more: {TCP_BYTES_PER_CONNECTION} bytes for each connection");
    Finding::new(NAME, found, expected).unless(
        pressure.is_none_or(|pages| pages >= needed),
        Verdict::Warn,
        || {
            // The kernel's own proportions of the three values (tcp_init_mem).
            let (least, most) = (needed / 4 * 3, needed.saturating_add(needed / 2));
            format!("{NAME} = {least} {needed} {most} (tuning/README.md, \"Memory of TCP\")")
        },
    )
}

fn conntrack(facts: &HostFacts, wanted: HostNeeds) -> Finding {
    const NAME: &str = "net.netfilter.nf_conntrack_max";
    let Some(most) = facts.sysctl(NAME) else {
        return Finding::new(NAME, "not loaded", "not loaded, or room for every connection");
    };
    let tracked = facts.sysctl("net.netfilter.nf_conntrack_count").unwrap_or(0);
    let needed = tracked.saturating_add(wanted.connections);
    let expected = format!("{needed} or more: {} connections beside those tracked now", wanted.connections);
    Finding::new(NAME, format!("{most}, of which {tracked} are used"), expected).unless(
        most >= needed,
        Verdict::Warn,
        || tuned::sysctl_line(NAME, needed),
    )
}

fn huge_pages(facts: &HostFacts) -> Finding {
    let mode = facts.huge_pages.as_deref().unwrap_or("not there");
    let found = if facts.huge_pages_refusable {
        format!("{mode}, and the hub does without")
    } else {
        mode.to_owned()
    };
    let holds = facts.huge_pages_refusable || matches!(facts.huge_pages.as_deref(), None | Some("never"));
    Finding::new("transparent huge pages", found, "none for the hub: a few connections would take megabytes")
        .unless(holds, Verdict::Warn, || {
            "echo never > /sys/kernel/mm/transparent_hugepage/enabled (tuning/README.md, \"Huge pages\")"
                .to_owned()
        })
}

fn governor(facts: &HostFacts) -> Finding {
    let governors: Vec<&str> = facts.governors.iter().map(String::as_str).collect();
    let found = if governors.is_empty() { "none to choose here".to_owned() } else { governors.join(", ") };
    let holds = governors.iter().all(|governor| *governor == "performance");
    Finding::new("cpu governor", found, "performance: a core that slept would wake slowly").unless(
        holds,
        Verdict::Warn,
        || "cpupower frequency-set -g performance (tuning/README.md, \"Frequency of the cores\")".to_owned(),
    )
}

fn number(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

/// A network namespace hides some sysctls, and older kernels lack some.
fn shown(value: Option<u64>) -> String {
    value.map_or_else(|| "not visible here".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests;
