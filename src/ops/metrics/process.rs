//! Process metrics from the kernel, under the names of the standard Prometheus client libraries.

use std::fs;
use std::io;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// One reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) start_unix_seconds: f64,
    pub(super) threads: u64,
    pub(super) open_fds: u64,
    /// `None` if there is no limit.
    pub(super) max_fds: Option<u64>,
}

impl Process {
    /// Reads `/proc/self`.
    ///
    /// # Errors
    /// It is not mounted, or not what proc(5) says.
    pub(super) fn read() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let boot = fs::read_to_string("/proc/stat")?;
        let unreadable = || io::Error::from(io::ErrorKind::InvalidData);
        let process = parse(&stat, &boot, clock_ticks_per_second(), page_size() as u64);
        Ok(Self {
            open_fds: open_fds()?,
            max_fds: getrlimit(Resource::Nofile).current,
            ..process.ok_or_else(unreadable)?
        })
    }
}

/// Since Linux 6.2 the size of the folder is the number of descriptors; before, count the entries.
fn open_fds() -> io::Result<u64> {
    match fs::metadata("/proc/self/fd")?.len() {
        0 => Ok(fs::read_dir("/proc/self/fd")?.count() as u64),
        count => Ok(count),
    }
}

/// The needed fields of `/proc/self/stat` (proc_pid_stat(5)), and the boot time from `/proc/stat`.
fn parse(stat: &str, boot: &str, ticks_per_s: u64, page_bytes: u64) -> Option<Process> {
    // The second field is the name in parentheses and may hold any character; the third follows it.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let boot_unix_s =
        boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<u64>().ok()?;
    let seconds = |ticks: u64| ticks as f64 / ticks_per_s as f64;
    Some(Process {
        cpu_seconds: seconds(field(14)? + field(15)?),
        threads: field(20)?,
        start_unix_seconds: boot_unix_s as f64 + seconds(field(22)?),
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * page_bytes,
        open_fds: 0,
        max_fds: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_whatever_the_name_of_the_process() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 2000 4096000 250 18446744073709551615";
        let process = parse(stat, "cpu 1 2\nbtime 1700000000\n", 100, 4_096).expect("read");
        let expected = Process {
            cpu_seconds: 2.0,
            resident_bytes: 250 * 4_096,
            virtual_bytes: 4_096_000,
            start_unix_seconds: 1_700_000_020.0,
            threads: 9,
            ..Process::default()
        };
        assert_eq!(process, expected);
        assert_eq!(parse("7 (a) S 1", "btime 1\n", 100, 4_096), None);
    }

    #[test]
    fn this_process_has_files_and_memory() {
        let before = Process::read().expect("Linux");
        assert!(before.resident_bytes > 0 && before.threads > 0 && before.open_fds >= 3, "{before:?}");
        let _held: Vec<_> = (0..64).map(|_| fs::File::open("/dev/null").expect("opened")).collect();
        assert!(Process::read().expect("Linux").open_fds >= before.open_fds + 32, "files are counted");
    }
}
