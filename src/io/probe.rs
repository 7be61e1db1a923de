//! Checks the host for glommio's needs before it starts: glommio would panic, or end the process,
//! without naming the setting to change.

use crate::io::ProcessRole;
use std::fmt;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::limits::{MEMLOCK_BYTES_PER_SHARD, RESERVED_FDS};

/// Why this host cannot run the hub. The text names the setting to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostError {
    /// `RLIMIT_MEMLOCK` is too low for the io_uring of every shard.
    Memlock {
        /// Bytes that are allowed.
        allowed: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// `kernel.io_uring_disabled` forbids io_uring.
    IoUringDisabled(String),
    /// The kernel refuses a ring.
    IoUring(String),
    /// Too few file descriptors.
    Descriptors(u64),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memlock { allowed, needed } => write!(
                f,
                "the limit of locked memory is {allowed} bytes, io_uring needs {needed}: raise it (LimitMEMLOCK= of the \
                 systemd unit, or ulimit -l), or start fewer SHARDS"
            ),
            Self::IoUringDisabled(value) => write!(
                f,
                "io_uring is switched off (kernel.io_uring_disabled = {value}): set it to 0, or to 1 with this user's group in \
                 kernel.io_uring_group"
            ),
            Self::IoUring(error) => write!(
                f,
                "the kernel refuses an io_uring ({error}): it takes Linux 5.8 or later, and a container whose seccomp profile \
                 allows io_uring_setup"
            ),
            Self::Descriptors(limit) => {
                write!(
                    f,
                    "the limit of open files is {limit}: raise it (LimitNOFILE= of the systemd unit, or ulimit -n)"
                )
            }
        }
    }
}

impl std::error::Error for HostError {}

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
        made.map(|_| ()).map_err(|error| error.to_string())
    });
    match tried.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => Err(HostError::IoUring(error)),
        Ok(Err(_)) => Err(HostError::IoUring("its set-up failed".to_owned())),
        Err(error) => Err(HostError::IoUring(error.to_string())),
    }
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
