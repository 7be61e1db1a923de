//! Invented hosts: for each check, one host that passes it and one that fails it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::ops::host::facts::Limit;

const WANTED: HostNeeds =
    HostNeeds { shards: 4, connections: 100_000, is_asked_for: true, io: IoMode::Uring };

/// A host without faults.
fn good() -> HostFacts {
    let sysctls: [(&str, &[u64]); 12] = [
        ("fs.epoll.max_user_watches", &[4_194_304]),
        ("fs.nr_open", &[1_048_576]),
        ("kernel.io_uring_disabled", &[0]),
        ("net.core.netdev_max_backlog", &[16_384]),
        ("net.core.somaxconn", &[4_096]),
        ("net.ipv4.ip_local_port_range", &[10_240, 65_535]),
        ("net.ipv4.tcp_max_syn_backlog", &[16_384]),
        ("net.ipv4.tcp_mem", &[150_000, 200_000, 300_000]),
        ("net.ipv4.tcp_retries2", &[8]),
        ("net.ipv4.tcp_slow_start_after_idle", &[0]),
        ("net.netfilter.nf_conntrack_count", &[12]),
        ("net.netfilter.nf_conntrack_max", &[2_097_152]),
    ];
    HostFacts {
        descriptors: Limit { soft: Some(1_024), hard: Some(1_048_576) },
        memlock: Limit { soft: Some(64 << 20), hard: Some(64 << 20) },
        ring: Some(Ok(())),
        sysctls: sysctls.iter().map(|(name, numbers)| ((*name).to_owned(), numbers.to_vec())).collect(),
        page_bytes: 4_096,
        huge_pages: Some("always".to_owned()),
        huge_pages_refusable: true,
        governors: BTreeSet::from(["performance".to_owned()]),
    }
}

fn with(name: &str, numbers: &[u64]) -> HostFacts {
    let mut facts = good();
    facts.sysctls.insert(name.to_owned(), numbers.to_vec());
    facts
}

fn named(findings: &[Finding], name: &str) -> Finding {
    findings.iter().find(|finding| finding.name == name).cloned().unwrap_or_else(|| panic!("no {name}"))
}

/// The one finding that is not ok.
fn only_bad(facts: &HostFacts, wanted: HostNeeds) -> Finding {
    let bad: Vec<_> = judge(facts, wanted).into_iter().filter(|it| it.verdict != Verdict::Ok).collect();
    match <[Finding; 1]>::try_from(bad) {
        Ok([finding]) => finding,
        Err(bad) => panic!("not one: {bad:#?}"),
    }
}

fn expect_bad(facts: &HostFacts, name: &str, verdict: Verdict, change: &str) {
    let finding = only_bad(facts, WANTED);
    assert_eq!((finding.name, finding.verdict), (name, verdict));
    let text = finding.to_string();
    assert!(text.contains(&format!("change: {change}")), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn a_host_that_follows_tuning_is_ok_and_told_nothing_to_change() {
    for finding in judge(&good(), WANTED) {
        assert_eq!((finding.verdict, &finding.change), (Verdict::Ok, &None), "{finding}");
        assert!(finding.to_string().starts_with("ok    "), "{finding}");
    }
}

#[test]
fn what_a_host_does_not_show_is_no_error() {
    let facts =
        HostFacts { sysctls: BTreeMap::new(), huge_pages: None, governors: BTreeSet::new(), ..good() };
    let findings = judge(&facts, WANTED);
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Ok), "{findings:#?}");
    assert_eq!(named(&findings, "net.netfilter.nf_conntrack_max").found, "not loaded");
    assert_eq!(named(&findings, "net.core.somaxconn").found, "not visible here");
}

#[test]
fn open_files_fail_when_the_connections_were_asked_for_and_warn_when_not() {
    let facts = HostFacts { descriptors: Limit { soft: Some(1_024), hard: Some(100_095) }, ..good() };
    expect_bad(&facts, "open files", Verdict::Fail, "LimitNOFILE=1048576 in tuning/petasos.service");
    let by_itself = HostNeeds { is_asked_for: false, ..WANTED };
    assert_eq!(only_bad(&facts, by_itself).verdict, Verdict::Warn);
    let enough = HostFacts { descriptors: Limit { soft: Some(1_024), hard: Some(100_096) }, ..good() };
    assert!(judge(&enough, WANTED).iter().all(|finding| finding.verdict == Verdict::Ok));
    let none_left = HostFacts { descriptors: Limit { soft: Some(96), hard: Some(96) }, ..good() };
    assert_eq!(only_bad(&none_left, by_itself).verdict, Verdict::Fail, "the hub does not start");
    let unlimited = HostFacts { descriptors: Limit::default(), ..good() };
    assert_eq!(named(&judge(&unlimited, WANTED), "open files").verdict, Verdict::Ok);
}

#[test]
fn more_open_files_than_the_kernel_allows_take_two_changes() {
    let facts = HostFacts {
        descriptors: Limit { soft: Some(1_024), hard: Some(4_096) },
        ..with("net.ipv4.tcp_mem", &[1, 9_000_000, 9_000_000])
    };
    let wanted = HostNeeds { connections: 3_000_000, ..WANTED };
    let finding = named(&judge(&facts, wanted), "open files");
    let change = finding.change.expect("a change");
    assert!(change.contains("LimitNOFILE=3000096 in place of"), "{change}");
    assert!(change.contains("fs.nr_open = 3000096 in place of"), "{change}");
}

#[test]
fn locked_memory_is_counted_for_each_shard() {
    let needed = 4 * MEMLOCK_BYTES_PER_SHARD;
    let lacks = HostFacts { memlock: Limit { soft: Some(needed - 1), hard: None }, ..good() };
    expect_bad(&lacks, "locked memory", Verdict::Fail, "LimitMEMLOCK=64M in tuning/petasos.service");
    let has = HostFacts { memlock: Limit { soft: Some(needed), hard: None }, ..good() };
    assert!(judge(&has, WANTED).iter().all(|finding| finding.verdict == Verdict::Ok));
    let many = HostNeeds { shards: 200, ..WANTED };
    let change = only_bad(&good(), many).change.expect("a change");
    assert!(change.starts_with("LimitMEMLOCK=104857600 in place of"), "{change}");
}

#[test]
fn an_io_uring_that_cannot_be_made_names_its_cause() {
    let off = HostFacts { ring: None, ..with("kernel.io_uring_disabled", &[2]) };
    expect_bad(&off, "io_uring", Verdict::Fail, "kernel.io_uring_disabled = 0 in tuning/petasos.sysctl.conf");
    let group = HostFacts { ring: Some(Err("EPERM".to_owned())), ..with("kernel.io_uring_disabled", &[1]) };
    expect_bad(
        &group,
        "io_uring",
        Verdict::Fail,
        "kernel.io_uring_disabled = 0 in tuning/petasos.sysctl.conf, or",
    );
    // For a member of the group the same switch is no obstacle.
    let member = with("kernel.io_uring_disabled", &[1]);
    assert!(judge(&member, WANTED).iter().all(|finding| finding.verdict == Verdict::Ok));
    let old = HostFacts { ring: Some(Err("ENOSYS".to_owned())), ..good() };
    expect_bad(&old, "io_uring", Verdict::Fail, "Linux 6.1 or later");
    let not_tried = HostFacts { ring: None, memlock: Limit { soft: Some(0), hard: None }, ..good() };
    let finding = named(&judge(&not_tried, WANTED), "io_uring");
    assert_eq!(
        (finding.verdict, finding.change.as_deref()),
        (Verdict::Fail, Some("the limit of locked memory"))
    );
}

#[test]
fn numbers_of_the_kernel_are_held_against_the_sysctl_file() {
    for (name, numbers, change) in [
        ("net.core.somaxconn", &[128][..], "net.core.somaxconn = 4096 in"),
        ("net.ipv4.tcp_max_syn_backlog", &[512], "net.ipv4.tcp_max_syn_backlog = 16384 in"),
        ("net.core.netdev_max_backlog", &[1_000], "net.core.netdev_max_backlog = 16384 in"),
        ("net.ipv4.tcp_slow_start_after_idle", &[1], "net.ipv4.tcp_slow_start_after_idle = 0 in"),
        ("net.ipv4.tcp_retries2", &[15], "net.ipv4.tcp_retries2 = 8 in"),
        ("net.ipv4.ip_local_port_range", &[32_768, 60_999], "net.ipv4.ip_local_port_range = 10240 65535 in"),
        ("net.netfilter.nf_conntrack_max", &[65_536], "net.netfilter.nf_conntrack_max = 2097152 in"),
        ("net.ipv4.tcp_mem", &[1, 99_999, 3], "net.ipv4.tcp_mem = 75000 100000 150000 (tuning/README.md"),
    ] {
        expect_bad(&with(name, numbers), name, Verdict::Warn, change);
    }
    let watches = "fs.epoll.max_user_watches";
    expect_bad(&with(watches, &[100_003]), watches, Verdict::Fail, "fs.epoll.max_user_watches = 4194304 in");
}

#[test]
fn few_ports_are_enough_for_few_connections() {
    let few = HostNeeds { connections: 28_232, ..WANTED };
    let range = with("net.ipv4.ip_local_port_range", &[32_768, 60_999]);
    assert!(judge(&range, few).iter().all(|finding| finding.verdict == Verdict::Ok));
}

#[test]
fn huge_pages_and_governors_that_cost_are_told() {
    let kept = HostFacts { huge_pages_refusable: false, ..good() };
    expect_bad(&kept, "transparent huge pages", Verdict::Warn, "echo never > /sys");
    let never = HostFacts { huge_pages_refusable: false, huge_pages: Some("never".to_owned()), ..good() };
    assert!(judge(&never, WANTED).iter().all(|finding| finding.verdict == Verdict::Ok));
    let mixed = ["performance", "powersave"].map(str::to_owned);
    let slow = HostFacts { governors: BTreeSet::from(mixed), ..good() };
    expect_bad(&slow, "cpu governor", Verdict::Warn, "cpupower frequency-set -g performance");
}
