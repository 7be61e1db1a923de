//! The host, held against what the hub needs of it and against `tuning/`.
//!
//! [`Facts::read`] looks at the running system, [`judge`] tells what the facts mean: the one touches the world and judges
//! nothing, the other is pure. What is expected is taken from the files of `tuning/` themselves, so that advice and files
//! cannot differ.

mod facts;
mod findings;
mod tuned;

pub use facts::{Facts, Limit};
pub use findings::{Finding, Verdict, Wanted, judge};

/// The cores that this process may run on (its affinity mask).
///
/// # Errors
/// What the kernel says.
pub fn own_cpus() -> std::io::Result<Vec<usize>> {
    let mask = rustix::thread::sched_getaffinity(None)?;
    Ok((0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| mask.is_set(*cpu)).collect())
}
