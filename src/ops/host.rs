//! The host check: compares the host with the needs of the hub and with `tuning/`.
//!
//! [`HostFacts::read`] reads the running system and does not judge; [`judge`] is pure. Expected
//! values come from the files of `tuning/`, so that advice and files cannot differ.

mod facts;
mod findings;
mod memory;
mod tuned;

use std::io;

pub use crate::io::key_file::read_key_file;
pub use facts::HostFacts;
pub use findings::{Finding, HostNeeds, Verdict, judge};
pub use memory::{MemoryLimit, anonymous_bytes};

/// The cores that this process may run on (its affinity mask).
///
/// # Errors
/// The kernel's error.
pub fn own_cpus() -> io::Result<Vec<usize>> {
    let mask = rustix::thread::sched_getaffinity(None)?;
    Ok((0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| mask.is_set(*cpu)).collect())
}
