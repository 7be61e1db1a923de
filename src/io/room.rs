//! Whether a file system has room.

use std::path::Path;

use rustix::fs::{CWD, FallocateFlags, Mode, OFlags, fallocate, openat};
use rustix::io::Errno;

/// Whether this many bytes can be reserved in the folder of this file, in a file without a name
/// that is gone afterwards. Nothing is written. Where the file system cannot tell, there is room.
pub(crate) fn has_room(beside: &Path, bytes: u64) -> bool {
    let folder = beside.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let reserved = openat(CWD, folder, flags, Mode::RUSR | Mode::WUSR)
        .and_then(|file| fallocate(file, FallocateFlags::empty(), 0, bytes));
    !matches!(reserved, Err(Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_has_room_and_nothing_of_it_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let beside = folder.path().join("updates.db");
        assert!(has_room(&beside, 1 << 10));
        assert_eq!(folder.path().read_dir().expect("a folder").count(), 0);
        assert!(has_room(Path::new("/nowhere/updates.db"), 1), "it is not for the lack of room");
    }
}
