//! The machine, its kernel and its limits, read from `/proc` and `/sys`.

use std::collections::HashSet;
use std::fs;

use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use crate::net;

/// In place of an unknown value.
pub(crate) const UNKNOWN: &str = "unknown";

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Machine {
    /// The model of its processor.
    processor: String,
    /// Cores; `None` if the kernel does not say which processors share a core.
    cores: Option<usize>,
    /// Processors as the kernel counts them: threads of cores.
    logical_processors: usize,
    memory_bytes: Option<u64>,
}

impl Machine {
    /// This machine.
    pub(super) fn read() -> Self {
        Self::parse(&text("/proc/cpuinfo"), &text("/proc/meminfo"))
    }

    fn parse(cpuinfo: &str, meminfo: &str) -> Self {
        let fields = || {
            let pair = |line: &'_ str| {
                line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            };
            cpuinfo.lines().filter_map(pair)
        };
        let first = |name: &str| {
            fields().find(|(own, value)| own == name && !value.is_empty()).map(|(_, value)| value)
        };
        let arm =
            || Some(format!("ARM implementer {} part {}", first("CPU implementer")?, first("CPU part")?));
        let processor =
            first("model name").or_else(|| first("Model")).or_else(|| first("cpu model")).or_else(arm);
        let mut cores = HashSet::new();
        let mut package = String::new();
        for (name, value) in fields() {
            match name.as_str() {
                "physical id" => package = value,
                "core id" => {
                    cores.insert((package.clone(), value));
                }
                _ => {}
            }
        }
        let memory = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let memory = memory.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        Self {
            processor: processor.map_or_else(|| UNKNOWN.to_owned(), words),
            cores: Some(cores.len()).filter(|count| *count > 0),
            logical_processors: fields().filter(|(name, _)| name == "processor").count(),
            memory_bytes: memory.map(|kib| kib * 1024),
        }
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        let Self { processor, cores, logical_processors, memory_bytes } = self;
        let mut out = processor.clone();
        if let Some(cores) = cores {
            out.push_str(&format!("; {}", count(*cores, "core")));
        }
        out.push_str(&format!("; {}", count(*logical_processors, "logical processor")));
        if let Some(bytes) = memory_bytes {
            out.push_str(&format!("; {:.1} GiB of memory", *bytes as f64 / f64::from(1 << 30)));
        }
        out
    }
}

/// A number and its noun.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The limits on connections.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Limits {
    /// Files that the generator may open, after it raised its soft limit; `None`: unlimited.
    generator_open_files: Option<u64>,
    /// `net.core.somaxconn`: the maximum number of connections that wait to be accepted.
    somaxconn: Option<u64>,
    /// `net.ipv4.ip_local_port_range`: the ports of one source address.
    local_ports: Option<[u16; 2]>,
}

impl Limits {
    /// The limits of this process and machine.
    pub(super) fn read() -> Self {
        net::raise_descriptor_limit();
        let ports = text("/proc/sys/net/ipv4/ip_local_port_range");
        let mut ports = ports.split_whitespace().filter_map(|port| port.parse().ok());
        Self {
            generator_open_files: getrlimit(Resource::Nofile).current,
            somaxconn: text("/proc/sys/net/core/somaxconn").trim().parse().ok(),
            local_ports: ports.next().zip(ports.next()).map(<[u16; 2]>::from),
        }
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        let or_unknown = |value: Option<String>| value.unwrap_or_else(|| UNKNOWN.to_owned());
        let files =
            self.generator_open_files.map_or_else(|| "unlimited".to_owned(), |files| files.to_string());
        let somaxconn = or_unknown(self.somaxconn.map(|backlog| backlog.to_string()));
        let ports = or_unknown(self.local_ports.map(|[first, last]| format!("{first}-{last}")));
        format!(
            "open files of the generator (nofile) {files}; net.core.somaxconn {somaxconn}; local ports {ports}"
        )
    }
}

/// The processors that were used.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Processors {
    /// The processor of a server that the generator starts.
    server: usize,
    /// The processor of the generator.
    generator: usize,
    /// Whether the two are threads of one core; `None` if unknown.
    share_a_core: Option<bool>,
}

impl Processors {
    /// The processors of the command line.
    pub(super) fn of(server: usize, generator: usize) -> Self {
        let path = format!("/sys/devices/system/cpu/cpu{server}/topology/thread_siblings_list");
        let share_a_core = fs::read_to_string(path).ok().map(|list| lists(list.trim(), generator));
        Self { server, generator, share_a_core }
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        let Self { server, generator, share_a_core } = self;
        let relation = match share_a_core {
            _ if server == generator => "; they compete for one processor",
            Some(true) => "; both are threads of one core",
            Some(false) => "; on different cores",
            None => "",
        };
        format!("server {server}, generator {generator}{relation}")
    }
}

/// Whether a list such as `0,2-3` contains this number.
fn lists(list: &str, number: usize) -> bool {
    list.split(',').any(|piece| {
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        matches!((first.parse::<usize>(), last.parse::<usize>()), (Ok(first), Ok(last)) if (first..=last).contains(&number))
    })
}

/// The kernel, and the architecture that it was built for.
pub(super) fn kernel() -> String {
    let name = rustix::system::uname();
    [name.sysname(), name.release(), name.machine()].map(|part| part.to_string_lossy().into_owned()).join(" ")
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_told_from_their_threads() {
        let thread = |number, core| {
            format!(
                "processor\t: {number}\nmodel name\t: A  B(R) @ 2 GHz\nphysical id\t: 0\ncore id\t\t: {core}\n\n"
            )
        };
        let cpuinfo: String =
            [(0, 0), (1, 0), (2, 1), (3, 1)].map(|(number, core)| thread(number, core)).concat();
        let machine = Machine::parse(&cpuinfo, "MemFree: 1 kB\nMemTotal:        8388608 kB\n");
        assert_eq!(machine.text(), "A B(R) @ 2 GHz; 2 cores; 4 logical processors; 8.0 GiB of memory");
    }

    #[test]
    fn an_arm_processor_has_numbers_in_place_of_a_name() {
        let machine = Machine::parse("processor : 0\nCPU implementer : 0x41\nCPU part : 0xd0c\n", "");
        assert_eq!(machine.text(), "ARM implementer 0x41 part 0xd0c; 1 logical processor");
        assert_eq!(Machine::parse("", "").processor, UNKNOWN);
    }

    #[test]
    fn this_machine_has_processors_a_kernel_and_limits() {
        let machine = Machine::read();
        assert!(machine.logical_processors > 0 && machine.memory_bytes > Some(1 << 20), "{machine:?}");
        assert!(kernel().starts_with("Linux "), "{}", kernel());
        assert!(!Limits::read().text().contains(UNKNOWN), "{}", Limits::read().text());
    }

    #[test]
    fn a_list_of_processors_has_ranges() {
        assert!(lists("0,2-3", 3) && lists("7", 7) && !lists("0,2-3", 1) && !lists("", 0));
        assert!(Processors::of(0, 0).text().contains("compete"));
    }
}
