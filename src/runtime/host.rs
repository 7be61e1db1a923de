//! The host, held against what the hub needs of it and against `tuning/`.
//!
//! [`HostFacts::read`] looks at the running system, [`judge`] tells what the facts mean: the one touches the world and judges
//! nothing, the other is pure. What is expected is taken from the files of `tuning/` themselves, so that advice and files
//! cannot differ.

mod facts;
mod findings;
mod tuned;

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::OFlags;

pub use facts::{HostFacts, Limit};
pub use findings::{Finding, HostNeeds, Verdict, judge};

use crate::limits::KEY_FILE_BYTES_MAX;

/// Reads a file with a key: a regular one, of at most [`KEY_FILE_BYTES_MAX`]. Anything else could keep the hub waiting, or never end.
///
/// # Errors
/// What the kernel says, or which of these it is not.
pub fn read_key_file(path: &str) -> io::Result<String> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    let bytes = file.take(KEY_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    match bytes as u64 <= KEY_FILE_BYTES_MAX {
        true => Ok(text),
        false => Err(io::Error::other(format!("it is longer than {KEY_FILE_BYTES_MAX} bytes"))),
    }
}

/// The cores that this process may run on (its affinity mask).
///
/// # Errors
/// What the kernel says.
pub fn own_cpus() -> io::Result<Vec<usize>> {
    let mask = rustix::thread::sched_getaffinity(None)?;
    Ok((0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| mask.is_set(*cpu)).collect())
}
