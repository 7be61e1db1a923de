//! The glommio executor of a shard, which pins its thread and runs its loop as a task. The task
//! waits in the shard's own driver and never yields, so nothing depends on glommio's sockets,
//! timers and preemption. The only module that knows glommio.

use std::io;

pub(crate) use glommio::Placement;
use glommio::{LocalExecutor, LocalExecutorBuilder, PoolPlacement};

use crate::panics::caught;

/// Memory that an executor registers for buffers, in bytes; nothing uses it.
const IO_MEMORY_BYTES: usize = 64 << 10;

/// Makes an executor for this thread. glommio panics where the kernel refuses a ring, and where the
/// thread of its pool cannot be started; here that is an error.
///
/// # Errors
/// The executor cannot be made.
pub(crate) fn make(placement: Placement) -> io::Result<LocalExecutor> {
    let builder = LocalExecutorBuilder::new(placement)
        .io_memory(IO_MEMORY_BYTES)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1));
    match caught(|| builder.make()) {
        Ok(made) => made.map_err(io::Error::from),
        Err(panic) => Err(io::Error::other(format!("its set-up failed: {panic}"))),
    }
}
