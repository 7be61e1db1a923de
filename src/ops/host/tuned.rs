//! The values that the files of `tuning/` set, as the advice quotes them.

const SYSCTLS: &str = include_str!("../../../tuning/petasos.sysctl.conf");
const UNIT: &str = include_str!("../../../tuning/petasos.service");

/// The sysctls that are checked.
pub(super) const SYSCTLS_READ: [&str; 12] = [
    "fs.epoll.max_user_watches",
    "fs.nr_open",
    "kernel.io_uring_disabled",
    "net.core.netdev_max_backlog",
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_retries2",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
];

/// The value of `name` in a file of lines `name = value` or `name=value`.
fn value<'f>(file: &'f str, name: &str) -> Option<&'f str> {
    file.lines().find_map(|line| {
        let (found, value) = line.trim_start_matches('-').split_once('=')?;
        (found.trim_end() == name).then_some(value.trim())
    })
}

/// The numbers for this name in the sysctl file; empty if it is absent.
pub(super) fn sysctl(name: &str) -> Vec<u64> {
    let words = value(SYSCTLS, name).unwrap_or_default().split_ascii_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

/// The value of this limit in the unit, in units of 1.
pub(super) fn unit_limit(name: &str) -> u64 {
    let text = value(UNIT, name).unwrap_or_default();
    let (digits, scale) = match text.strip_suffix('M') {
        Some(digits) => (digits, 1 << 20),
        None => (text, 1),
    };
    digits.parse::<u64>().unwrap_or(0) * scale
}

/// The line of the unit for a limit: its own, if that is enough, otherwise one with the needed
/// value.
pub(super) fn unit_line(name: &str, needed: u64) -> String {
    match value(UNIT, name).filter(|_| unit_limit(name) >= needed) {
        Some(value) => format!("{name}={value} in tuning/petasos.service"),
        None => format!("{name}={needed} in place of that in tuning/petasos.service"),
    }
}

/// The line of the sysctl file for a number: its own, if that is enough, otherwise one with the
/// needed value.
pub(super) fn sysctl_line(name: &str, needed: u64) -> String {
    match sysctl(name).as_slice() {
        [own] if *own >= needed => format!("{name} = {own} in tuning/petasos.sysctl.conf"),
        _ => format!("{name} = {needed} in place of that in tuning/petasos.sysctl.conf"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LISTEN_BACKLOG;

    #[test]
    fn the_files_set_what_the_advice_names() {
        assert_eq!(unit_limit("LimitMEMLOCK"), 64 << 20);
        assert_eq!(unit_line("LimitNOFILE", 1), "LimitNOFILE=1048576 in tuning/petasos.service");
        assert_eq!(
            unit_line("LimitNOFILE", 5_000_000),
            "LimitNOFILE=5000000 in place of that in tuning/petasos.service"
        );
        assert_eq!(sysctl("net.ipv4.ip_local_port_range").len(), 2);
        assert_eq!(sysctl("net.core.somaxconn"), [LISTEN_BACKLOG as u64]);
        assert_eq!(sysctl("kernel.io_uring_disabled"), [0]);
        assert!(sysctl("fs.nr_open")[0] >= unit_limit("LimitNOFILE"));
        assert!(sysctl_line("fs.nr_open", u64::MAX).contains("in place of"));
    }
}
