//! Checks the host for what the shards need, before they start, and whether it allows them a ring.
//! glommio would panic, or end the process, without naming the setting to change.

use std::io;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::io::driver::IoMode;
use crate::io::driver_kind::DriverKind;
#[cfg(feature = "glommio")]
use crate::io::executor;
use crate::limits::{DESCRIPTORS_RESERVED_MAX, MEMLOCK_BYTES_PER_SHARD, RESERVED_FDS};

/// Why this host cannot run the hub. The text names the setting to change.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// `RLIMIT_MEMLOCK` is too low for the io_uring of every shard.
    #[error(
        "the limit of locked memory is {allowed} bytes, io_uring needs {needed}: raise it (LimitMEMLOCK= of the \
         systemd unit, or ulimit -l), start fewer SHARDS, or set IO=epoll"
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
         kernel.io_uring_group, or set IO=epoll"
    )]
    IoUringDisabled(String),
    /// The kernel refuses a ring.
    #[error(
        "the kernel refuses an io_uring: it takes Linux 6.1 or later, and a container whose seccomp profile \
         allows io_uring_setup; without it, set IO=epoll"
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

/// Checks everything that the shards need, and chooses their driver. With [`IoMode::Auto`], returns
/// also why it is not the ring.
///
/// # Errors
/// [`HostError`] names what is missing.
pub(crate) fn check_host(shards: usize, mode: IoMode) -> Result<(DriverKind, Option<HostError>), HostError> {
    let chosen = match mode {
        IoMode::Epoll => (DriverKind::Epoll, None),
        IoMode::Uring => check_io_uring(shards).map(|()| (DriverKind::Uring, None))?,
        IoMode::Auto => match check_io_uring(shards) {
            Ok(()) => (DriverKind::Uring, None),
            Err(missing) => (DriverKind::Epoll, Some(missing)),
        },
    };
    check_threads(threads_per_shard(chosen.0) * shards + 1)?;
    Ok(chosen)
}

/// Checks what an io_uring for each shard needs.
fn check_io_uring(shards: usize) -> Result<(), HostError> {
    check_io_uring_switch()?;
    let needed = MEMLOCK_BYTES_PER_SHARD * shards as u64;
    // Only glommio registers memory.
    let needed = if cfg!(feature = "glommio") { needed } else { 0 };
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

/// Makes a ring as a shard does, and starts an idle executor, on a thread of its own.
///
/// # Errors
/// [`HostError::IoUring`] with the cause.
pub(crate) fn check_ring() -> Result<(), HostError> {
    let tried = std::thread::Builder::new().name("probe".to_owned()).spawn(|| {
        DriverKind::Uring.open()?;
        #[cfg(feature = "glommio")]
        executor::make(executor::Placement::Unbound)?;
        Ok(())
    });
    let ended = || Err(io::Error::other("the thread that tries it ended"));
    tried.and_then(|thread| thread.join().unwrap_or_else(|_| ended())).map_err(HostError::IoUring)
}

/// The threads of a shard: its loop, its history worker, and the pool of its executor. One more is
/// the sequencer's.
fn threads_per_shard(kind: DriverKind) -> usize {
    let has_executor = cfg!(feature = "glommio") && kind == DriverKind::Uring;
    2 + usize::from(has_executor)
}

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
