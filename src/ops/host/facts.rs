//! Facts about the running system: limits of this process, a test ring, and files of `/proc` and
//! `/sys`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::thread::disable_transparent_huge_pages;

use super::tuned;
use crate::error_text::chain;
use crate::io::probe;
use crate::limits::MEMLOCK_BYTES_PER_SHARD;

/// The facts. Anything that this host does not have, or does not show, is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// Open files.
    pub descriptors: Limit,
    /// Bytes of locked memory.
    pub memlock: Limit,
    /// Whether an io_uring could be created, or why not; `None` if it was not tried.
    pub ring: Option<Result<(), String>>,
    /// Numbers of `/proc/sys`, by name.
    pub sysctls: BTreeMap<String, Vec<u64>>,
    /// Bytes of a memory page, the unit of `tcp_mem`.
    pub page_bytes: u64,
    /// When the kernel uses huge pages: `always`, `madvise` or `never`.
    pub huge_pages: Option<String>,
    /// Whether a process may disable huge pages, as the hub does.
    pub huge_pages_refusable: bool,
    /// The frequency governors of the cores, without duplicates.
    pub governors: BTreeSet<String>,
}

/// A limit of this process; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// The limit in force.
    pub soft: Option<u64>,
    /// The bound up to which the process may raise it.
    pub hard: Option<u64>,
}

impl Limit {
    fn of(resource: Resource) -> Self {
        let limit = getrlimit(resource);
        Self { soft: limit.current, hard: limit.maximum }
    }

    /// Whether `needed` fits into the soft limit.
    pub fn allows(self, needed: u64) -> bool {
        self.soft.is_none_or(|soft| soft >= needed)
    }
}

impl HostFacts {
    /// Reads the facts of this host, with the limits of this process. Starts an io_uring and closes
    /// it again.
    pub fn read() -> Self {
        let mut facts = Self::read_files(Path::new("/"));
        facts.descriptors = Limit::of(Resource::Nofile);
        facts.memlock = Limit::of(Resource::Memlock);
        // This process needs no huge pages either, so nothing has to be restored.
        facts.huge_pages_refusable = disable_transparent_huge_pages(true).is_ok();
        let may_try = facts.memlock.allows(MEMLOCK_BYTES_PER_SHARD) && !facts.io_uring_is_off();
        facts.ring = may_try.then(|| probe::check_ring().map_err(|error| chain(&error).to_string()));
        facts
    }

    /// Reads the files below `root`.
    fn read_files(root: &Path) -> Self {
        let numbers = |name: &str| {
            let path = root.join("proc/sys").join(name.replace('.', "/"));
            let text = fs::read_to_string(path).ok()?;
            text.split_ascii_whitespace().map(|word| word.parse().ok()).collect::<Option<Vec<u64>>>()
        };
        let names = tuned::SYSCTLS_READ.iter();
        Self {
            descriptors: Limit::default(),
            memlock: Limit::default(),
            ring: None,
            sysctls: names.filter_map(|name| Some(((*name).to_owned(), numbers(name)?))).collect(),
            page_bytes: page_size() as u64,
            huge_pages: huge_pages(root),
            huge_pages_refusable: false,
            governors: governors(root),
        }
    }

    /// The first number of a sysctl.
    pub(super) fn sysctl(&self, name: &str) -> Option<u64> {
        self.sysctls.get(name)?.first().copied()
    }

    /// Whether io_uring is disabled for all users.
    pub(super) fn io_uring_is_off(&self) -> bool {
        self.sysctl("kernel.io_uring_disabled") == Some(2)
    }
}

/// The word in brackets of `always [madvise] never`.
fn huge_pages(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join("sys/kernel/mm/transparent_hugepage/enabled")).ok()?;
    Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
}

fn governors(root: &Path) -> BTreeSet<String> {
    let Ok(cores) = fs::read_dir(root.join("sys/devices/system/cpu")) else { return BTreeSet::new() };
    let governor = |core: fs::DirEntry| fs::read_to_string(core.path().join("cpufreq/scaling_governor")).ok();
    cores.flatten().filter_map(governor).map(|text| text.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_read_and_a_ring_is_tried() {
        let facts = HostFacts::read();
        assert!(facts.page_bytes >= 4_096);
        assert_eq!(facts.sysctls.get("net.ipv4.ip_local_port_range").map(Vec::len), Some(2));
        // The suites also run on hosts that refuse a ring.
        match (probe::check_ring(), facts.ring) {
            (Ok(()), ring) => assert_eq!(ring, Some(Ok(()))),
            (Err(_), ring) => assert!(!matches!(ring, Some(Ok(()))), "{ring:?}"),
        }
    }

    #[test]
    fn files_are_read_as_the_kernel_writes_them() {
        let root = std::env::temp_dir().join(format!("petasos-facts-{}", std::process::id()));
        for (file, text) in [
            ("proc/sys/net/ipv4/tcp_mem", "1\t2\t3\n"),
            ("proc/sys/net/core/somaxconn", "128\n"),
            ("proc/sys/fs/nr_open", "none\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/online", "0-1\n"),
        ] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        let facts = HostFacts::read_files(&root);
        fs::remove_dir_all(&root).expect("removed");
        assert_eq!(facts.sysctls.get("net.ipv4.tcp_mem"), Some(&vec![1, 2, 3]));
        assert_eq!(facts.sysctl("net.core.somaxconn"), Some(128));
        assert_eq!(facts.sysctl("fs.nr_open"), None, "what is no number is not there");
        assert_eq!(facts.huge_pages.as_deref(), Some("always"));
        assert_eq!(facts.governors, BTreeSet::from(["powersave".to_owned()]));
    }
}
