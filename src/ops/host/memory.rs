//! The memory that this process may use: the limits of its cgroups, or the memory of the host.
//!
//! The files are those of proc(5) and of the kernel's cgroup v1 and v2. A limit of any group above
//! the process's own holds for it, too, so the lowest counts. What cannot be read is no limit.

use std::fmt;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// A limit of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Its size.
    pub bytes: u64,
    /// Who sets it.
    pub source: MemoryLimitSource,
}

/// Who sets a limit of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryLimitSource {
    /// A cgroup of this process, in this file.
    Cgroup(PathBuf),
    /// The memory of the host.
    Host,
}

impl fmt::Display for MemoryLimitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cgroup(file) => write!(f, "the cgroup ({})", file.display()),
            Self::Host => f.write_str("the host"),
        }
    }
}

impl MemoryLimit {
    /// The lowest limit of this process; `None` if none can be read.
    pub fn read() -> Option<Self> {
        Self::read_below(Path::new("/"))
    }

    /// The same, from the files below `root`.
    fn read_below(root: &Path) -> Option<Self> {
        let text = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_default();
        let files = limit_files(&text("proc/self/cgroup"), &text("proc/self/mountinfo"));
        let cgroups = files.into_iter().filter_map(|file| {
            let below = file.strip_prefix("/").unwrap_or(&file);
            // `max`, without a limit, is no number.
            let bytes = fs::read_to_string(root.join(below)).ok()?.trim().parse().ok()?;
            Some(Self { bytes, source: MemoryLimitSource::Cgroup(file) })
        });
        let host = host_bytes(&text("proc/meminfo"));
        let host = host.map(|bytes| Self { bytes, source: MemoryLimitSource::Host });
        // Without a limit, cgroup v1 has a number that is larger than any host.
        host.into_iter().chain(cgroups).min_by_key(|limit| limit.bytes)
    }
}

/// The resident memory of this process that no file backs: what the allocator and the stacks hold.
///
/// # Errors
/// `/proc` is not mounted, or not what proc(5) says.
pub fn anonymous_bytes() -> std::io::Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let unreadable = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let pages = anonymous_pages(&statm).ok_or_else(unreadable)?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Resident pages less those of files, from `/proc/self/statm`.
fn anonymous_pages(statm: &str) -> Option<u64> {
    let mut fields = statm.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let resident = fields.next()?.ok()?;
    Some(resident.saturating_sub(fields.next()?.ok()?))
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn host_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1_024)
}

/// The files with the limits of the process's group and of each group above it, as far as they are
/// mounted.
fn limit_files(cgroup: &str, mountinfo: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for mount in mountinfo.lines().filter_map(Mount::parse) {
        let (file, controller) = match mount.kind {
            MountKind::V1 => ("memory.limit_in_bytes", "memory"),
            MountKind::V2 => ("memory.max", ""),
        };
        let Some(group) = cgroup.lines().find_map(|line| group_of(line, controller)) else { continue };
        let mut folder = mount.folder(group);
        while folder.starts_with(mount.point) {
            files.push(folder.join(file));
            if !folder.pop() {
                break;
            }
        }
    }
    files
}

/// The path in a line of `/proc/self/cgroup`, `id:controllers:path`, if it is of this controller;
/// without a name, of cgroup v2.
fn group_of<'l>(line: &'l str, controller: &str) -> Option<&'l str> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    controllers.split(',').any(|other| other == controller).then_some(path)
}

/// A mounted hierarchy of cgroups that can limit memory.
struct Mount<'m> {
    kind: MountKind,
    /// The group that is mounted.
    root: &'m str,
    /// Where it is mounted.
    point: &'m str,
}

#[derive(Clone, Copy)]
enum MountKind {
    V1,
    V2,
}

impl<'m> Mount<'m> {
    /// Reads a line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
    fn parse(line: &'m str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let mut fields = after.split(' ');
        let kind = match fields.next()? {
            "cgroup2" => MountKind::V2,
            "cgroup" if fields.nth(1)?.split(',').any(|option| option == "memory") => MountKind::V1,
            _ => return None,
        };
        Some(Self { kind, root, point })
    }

    /// The folder of a group. A group outside the mounted one, as in a container that shares the
    /// host's names of groups, has the limits of the mounted one.
    fn folder(&self, group: &str) -> PathBuf {
        let below = Path::new(group).strip_prefix(self.root).unwrap_or(Path::new(""));
        let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
        Path::new(self.point).join(if is_plain { below } else { Path::new("") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "25 30 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n";

    fn paths(cgroup: &str, mountinfo: &str) -> Vec<String> {
        limit_files(cgroup, mountinfo).into_iter().map(|file| file.display().to_string()).collect()
    }

    #[test]
    fn the_own_group_and_every_group_above_it_are_read() {
        assert_eq!(
            paths("0::/system.slice/petasos.service\n", V2),
            [
                "/sys/fs/cgroup/system.slice/petasos.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            paths("5:cpu,cpuacct:/a\n4:memory:/b:c\n0::/\n", V1),
            [
                "/sys/fs/cgroup/memory/b:c/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
    }

    #[test]
    fn in_a_container_the_mounted_group_is_the_own_one() {
        let mounted = "35 31 0:32 /docker/f00 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        for cgroup in ["4:memory:/docker/f00\n", "4:memory:/elsewhere\n", "4:memory:/\n"] {
            assert_eq!(paths(cgroup, mounted), ["/sys/fs/cgroup/memory/memory.limit_in_bytes"], "{cgroup}");
        }
        assert_eq!(paths("0::/../outside\n", V2), ["/sys/fs/cgroup/memory.max"]);
        assert!(paths("", V2).is_empty() && paths("0::/a\n", "").is_empty());
        assert!(paths("broken", "broken - cgroup2").is_empty());
    }

    #[test]
    fn the_lowest_limit_counts_and_max_is_none() {
        let root = std::env::temp_dir().join(format!("petasos-memory-{}", std::process::id()));
        let write = |file: &str, text: &str| {
            let path = root.join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        write("proc/self/cgroup", "0::/a/b\n");
        write("proc/self/mountinfo", V2);
        write("proc/meminfo", "MemTotal:       1024 kB\nMemFree: 7 kB\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        let host = MemoryLimit { bytes: 1 << 20, source: MemoryLimitSource::Host };
        assert_eq!(MemoryLimit::read_below(&root), Some(host));
        write("sys/fs/cgroup/a/memory.max", "98304\n");
        let limit = MemoryLimit::read_below(&root).expect("read");
        fs::remove_dir_all(&root).expect("removed");
        assert_eq!(limit.bytes, 98_304);
        assert_eq!(limit.source.to_string(), "the cgroup (/sys/fs/cgroup/a/memory.max)");
        assert_eq!(MemoryLimit::read_below(&root), None);
    }

    #[test]
    fn this_process_has_memory_and_a_limit() {
        assert!(MemoryLimit::read().is_some_and(|limit| limit.bytes > 16 << 20));
        assert!(anonymous_bytes().expect("Linux") > 4_096);
        assert_eq!(anonymous_pages("900 300 100 1 0 2 0\n"), Some(200));
        assert_eq!((anonymous_pages("900 x"), host_bytes("MemTotal: x kB")), (None, None));
    }
}
