//! The cost of processes, read from `/proc`: processor time, waiting for a processor, context
//! switches, memory.

use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The counters of one process at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    cpu_ns: u64,
    /// Time during which it was ready to run, but another thread ran.
    wait_ns: u64,
    switches: u64,
}

/// The use of resources between two moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// The time between them.
    pub(crate) elapsed: Duration,
    /// Processor time of the server, in nanoseconds; `None` if its process is not known.
    pub(crate) server_cpu_ns: Option<u64>,
    /// Context switches of the server.
    pub(crate) server_switches: Option<u64>,
    /// Time that the server's threads waited for a processor, in nanoseconds.
    pub(crate) server_wait_ns: Option<u64>,
    /// Processor time of the generator, in nanoseconds.
    pub(crate) own_cpu_ns: u64,
    /// Time that the generator waited for its processor, which ran something else, in nanoseconds.
    pub(crate) own_wait_ns: u64,
}

impl Usage {
    /// The share of one processor that the generator used, 0 to 1.
    pub(crate) fn own_share(&self) -> f64 {
        self.own_cpu_ns as f64 / self.elapsed.as_nanos() as f64
    }

    /// The share of the time that the generator waited for its processor, 0 to 1.
    pub(crate) fn own_wait_share(&self) -> f64 {
        self.own_wait_ns as f64 / self.elapsed.as_nanos() as f64
    }

    /// The share of the time that the server's threads waited for a processor; may exceed 1 with
    /// several threads.
    pub(crate) fn server_wait_share(&self) -> Option<f64> {
        self.server_wait_ns.map(|wait_ns| wait_ns as f64 / self.elapsed.as_nanos() as f64)
    }

    /// The share of one processor that the server used; may exceed 1 with several threads.
    pub(crate) fn server_share(&self) -> Option<f64> {
        self.server_cpu_ns.map(|cpu_ns| cpu_ns as f64 / self.elapsed.as_nanos() as f64)
    }
}

/// A measurement in progress.
#[derive(Debug)]
pub(crate) struct Meter {
    server: Option<u32>,
    started: Instant,
    server_before: Option<Counters>,
    own_wait_before_ns: u64,
    own_cpu_before_ns: u64,
}

impl Meter {
    /// Starts measuring the generator and, if its process is known, the server.
    pub(crate) fn start(server: Option<u32>) -> Self {
        Self {
            server,
            server_before: server.and_then(counters),
            own_wait_before_ns: own_wait_ns(),
            own_cpu_before_ns: own_cpu_ns(),
            started: Instant::now(),
        }
    }

    /// The use since the start.
    pub(crate) fn stop(&self) -> Usage {
        // Time and own processor time first: reading `/proc` takes time too.
        let elapsed = self.started.elapsed();
        let own_cpu_ns = own_cpu_ns().saturating_sub(self.own_cpu_before_ns);
        let server = self.server.and_then(counters).zip(self.server_before);
        Usage {
            elapsed,
            server_cpu_ns: server.map(|(after, before)| after.cpu_ns.saturating_sub(before.cpu_ns)),
            server_switches: server.map(|(after, before)| after.switches.saturating_sub(before.switches)),
            server_wait_ns: server.map(|(after, before)| after.wait_ns.saturating_sub(before.wait_ns)),
            own_cpu_ns,
            own_wait_ns: own_wait_ns().saturating_sub(self.own_wait_before_ns),
        }
    }
}

fn own_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0)
}

fn own_wait_ns() -> u64 {
    counters(std::process::id()).map_or(0, |counters| counters.wait_ns)
}

/// The sum over the live threads; the times of ended threads are not included.
fn counters(process: u32) -> Option<Counters> {
    let mut sum = Counters::default();
    for task in fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten() {
        let path = task.path();
        let schedstat = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        let mut numbers = schedstat.split_ascii_whitespace().map_while(|word| word.parse::<u64>().ok());
        sum.cpu_ns += numbers.next().unwrap_or(0);
        sum.wait_ns += numbers.next().unwrap_or(0);
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        sum.switches += status
            .lines()
            .filter(|line| line.contains("ctxt_switches"))
            .filter_map(|line| line.rsplit('\t').next()?.parse::<u64>().ok())
            .sum::<u64>();
    }
    Some(sum)
}

/// The memory of a process in bytes: its proportional set size, which excludes socket buffers in
/// the kernel.
pub(crate) fn memory_bytes(process: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib = line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?;
    Some(kib * 1024)
}

/// The bytes that a process has caused to be written to a disk; `None` if the kernel does not say.
pub(crate) fn disk_bytes(process: u32) -> Option<u64> {
    let io = fs::read_to_string(format!("/proc/{process}/io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.trim().parse().ok()
}

/// The number of descriptors that a process may open; `None` if unknown or unlimited.
pub(crate) fn descriptors_max(process: u32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The name of a process.
pub(crate) fn name(process: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    let plain: String = name.chars().filter(|letter| !letter.is_control()).collect();
    Some(plain).filter(|name| !name.is_empty())
}

/// The processors that a process may run on, as a list: `0,2-3`.
pub(crate) fn processors(process: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(list.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_uses_time() {
        let meter = Meter::start(Some(std::process::id()));
        let mut sum = 0_u64;
        while meter.started.elapsed() < Duration::from_millis(50) {
            sum = std::hint::black_box(sum + 1);
        }
        let usage = meter.stop();
        assert!(usage.own_cpu_ns > 0 && usage.server_cpu_ns > Some(0));
        assert!(memory_bytes(std::process::id()).is_some_and(|bytes| bytes > 4_096));
        assert_eq!(memory_bytes(u32::MAX), None);
        assert!(descriptors_max(std::process::id()).is_some_and(|files| files > 3));
        assert!(name(std::process::id()).is_some() && name(u32::MAX).is_none());
        assert!(
            processors(std::process::id())
                .is_some_and(|list| list.starts_with(|digit: char| digit.is_ascii_digit()))
        );
        // Other tests run in threads of this process and wait too: no share has a bound here.
        assert!(usage.server_wait_share().is_some());
    }
}
