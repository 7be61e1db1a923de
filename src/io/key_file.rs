//! Files that hold a key.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::OFlags;

use crate::limits::KEY_FILE_BYTES_MAX;

/// Reads a key file: a regular file of at most [`KEY_FILE_BYTES_MAX`]. Anything else could block
/// the hub, or never end.
///
/// # Errors
/// The kernel's error, or the condition that is violated.
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
