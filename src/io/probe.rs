//! Checks the host for glommio's needs before it starts: glommio would panic, or end the process,
//! without naming the setting to change.

use std::io;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::error_text::caught;
use crate::limits::{DESCRIPTORS_RESERVED_MAX, MEMLOCK_BYTES_PER_SHARD, RESERVED_FDS};

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
    /// The system starts too few threads.
    #[error(
        "the system starts {started} of the {needed} threads that are needed: raise the limit of processes \
         (TasksMax= and LimitNPROC= of the systemd unit, ulimit -u, or the pids limit of the container), or start \
         fewer SHARDS"
    )]
    Threads {
        /// Threads that could be started.
        started: usize,
        /// Threads that are needed beside those that run.
        needed: usize,
        /// The error of the system.
        source: io::Error,
    },
    /// Too few file descriptors.
    #[error("the limit of open files is {0}: raise it (LimitNOFILE= of the systemd unit, or ulimit -n)")]
    Descriptors(u64),
}

/// Checks everything that the shards need.
///
/// # Errors
/// [`HostError`] names what is missing.
pub(crate) fn check_host(shards: usize) -> Result<(), HostError> {
    check_io_uring_switch()?;
    check_threads(THREADS_PER_SHARD * shards + 1)?;
    let needed = MEMLOCK_BYTES_PER_SHARD * shards as u64;
    if let Some(allowed) = getrlimit(Resource::Memlock).current.filter(|allowed| *allowed < needed) {
        return Err(HostError::Memlock { allowed, needed });
    }
    check_ring()
}

/// Starts as many threads as the hub needs at least, and ends them again.
///
/// # Errors
/// [`HostError::Threads`]
fn check_threads(needed: usize) -> Result<(), HostError> {
    let mut threads = Vec::with_capacity(needed);
    // Each waits until it is dropped.
    let (sender, receiver) = crossbeam_channel::bounded::<()>(0);
    let started = loop {
        if threads.len() == needed {
            break Ok(());
        }
        let receiver = receiver.clone();
        let spawned = std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
            // The error is the sign to end.
            let _ = receiver.recv();
        });
        match spawned {
            Ok(thread) => threads.push(thread),
            Err(source) => break Err(HostError::Threads { started: threads.len(), needed, source }),
        }
    };
    drop(sender);
    for thread in threads {
        // It cannot panic.
        let _ = thread.join();
    }
    started
}

/// 0: all users; 1: a group and the administrator; 2: no user. Kernels before 6.6 have no such
/// switch and no such file.
fn check_io_uring_switch() -> Result<(), HostError> {
    match std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled") {
        Ok(text) if text.trim() == "2" => Err(HostError::IoUringDisabled(text.trim().to_owned())),
        _ => Ok(()),
    }
}

/// Starts an idle executor on a thread of its own.
///
/// # Errors
/// [`HostError::IoUring`] with the cause.
pub(crate) fn check_ring() -> Result<(), HostError> {
    let tried = std::thread::Builder::new().name("probe".to_owned()).spawn(|| {
        let builder = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound);
        make_executor(builder.io_memory(IO_MEMORY_BYTES)).map(|_| ())
    });
    let ended = || Err(io::Error::other("the thread that tries it ended"));
    tried.and_then(|thread| thread.join().unwrap_or_else(|_| ended())).map_err(HostError::IoUring)
}

/// Makes an executor for this thread. glommio panics where the kernel refuses a ring, and where the
/// thread of its pool cannot be started; here that is an error.
///
/// # Errors
/// The executor cannot be made.
pub(crate) fn make_executor(builder: glommio::LocalExecutorBuilder) -> io::Result<glommio::LocalExecutor> {
    match caught(|| builder.make()) {
        Ok(made) => made.map_err(io::Error::from),
        Err(panic) => Err(io::Error::other(format!("its set-up failed: {panic}"))),
    }
}

/// The threads of a shard: its loop, the pool of its executor, and its history worker. One more is
/// the sequencer's.
const THREADS_PER_SHARD: usize = 3;

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

/// Has the kernel make its table of descriptors large enough for this many connections. When the
/// table grows later, the `accept` that needs it waits 10 to 20 ms, and its shard with it.
pub(crate) fn reserve_descriptors(connections: usize) {
    let highest = connections.saturating_add(RESERVED_FDS as usize).min(DESCRIPTORS_RESERVED_MAX) - 1;
    let (flags, highest) = (EventfdFlags::CLOEXEC, i32::try_from(highest).unwrap_or(i32::MAX));
    // The table keeps its size. If this fails, it grows step by step.
    let _ = eventfd(0, flags).and_then(|any| fcntl_dupfd_cloexec(any, highest));
}
