//! Checks the host for glommio's needs before it starts: glommio would panic, or end the process,
//! without naming the setting to change.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::error_text::panic_message;
use crate::io::ProcessRole;
use crate::limits::{MEMLOCK_BYTES_PER_SHARD, RESERVED_FDS};

/// Why this host cannot run the hub. The text names the setting to change.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// `RLIMIT_MEMLOCK` is too low for the io_uring of every shard.
    #[error(
        "the limit of locked memory is {allowed} bytes, io_uring needs {needed}: raise it (LimitMEMLOCK= of the \
         systemd unit, or ulimit -l), or start fewer SHARDS"
    )]
    Memlock {
        /// Bytes that are allowed.
        allowed: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// `kernel.io_uring_disabled` forbids io_uring.
    #[error(
        "io_uring is switched off (kernel.io_uring_disabled = {0}): set it to 0, or to 1 with this user's group in \
         kernel.io_uring_group"
    )]
    IoUringDisabled(String),
    /// The kernel refuses a ring.
    #[error(
        "the kernel refuses an io_uring: it takes Linux 5.8 or later, and a container whose seccomp profile \
         allows io_uring_setup"
    )]
    IoUring(#[source] io::Error),
    /// Too few file descriptors.
    #[error("the limit of open files is {0}: raise it (LimitNOFILE= of the systemd unit, or ulimit -n)")]
    Descriptors(u64),
}

/// Checks everything that the shards need.
///
/// # Errors
/// [`HostError`] names what is missing.
pub(crate) fn check_host(shards: usize, role: ProcessRole) -> Result<(), HostError> {
    check_io_uring_switch()?;
    let needed = MEMLOCK_BYTES_PER_SHARD * shards as u64;
    if let Some(allowed) = getrlimit(Resource::Memlock).current.filter(|allowed| *allowed < needed) {
        return Err(HostError::Memlock { allowed, needed });
    }
    if role == ProcessRole::Program {
        // The panic hook belongs to the embedding program.
        return check_ring();
    }
    // glommio may panic here; the trace would hide the message that says what to do.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let checked = check_ring();
    std::panic::set_hook(hook);
    checked
}

/// 0: all users; 1: a group and the administrator; 2: no user. Kernels before 6.6 have no such
/// switch and no such file.
fn check_io_uring_switch() -> Result<(), HostError> {
    match std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled") {
        Ok(text) if text.trim() == "2" => Err(HostError::IoUringDisabled(text.trim().to_owned())),
        _ => Ok(()),
    }
}

/// Starts an idle executor on its own thread, where a panic can be caught.
///
/// # Errors
/// [`HostError::IoUring`] with the cause.
pub(crate) fn check_ring() -> Result<(), HostError> {
    let tried = std::thread::Builder::new().name("probe".to_owned()).spawn(|| {
        let made =
            glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound).io_memory(IO_MEMORY_BYTES).make();
        made.map(|_| ()).map_err(io::Error::from)
    });
    let made = tried.and_then(|thread| {
        thread.join().unwrap_or_else(|panic| {
            Err(io::Error::other(format!("its set-up panicked: {}", panic_message(&*panic))))
        })
    });
    made.map_err(HostError::IoUring)
}

/// Memory that each executor registers for buffers, in bytes; the hub's sockets do not use it.
pub(crate) const IO_MEMORY_BYTES: usize = 64 << 10;

/// Raises the limit of open files to its maximum; returns how many connections that leaves.
///
/// # Errors
/// The limit leaves no connection.
pub(crate) fn connections_allowed() -> Result<usize, HostError> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // If this fails, the old limit stays in force.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    match allowed.checked_sub(RESERVED_FDS) {
        Some(left) if left > 0 => Ok(usize::try_from(left).unwrap_or(usize::MAX)),
        _ => Err(HostError::Descriptors(allowed)),
    }
}
