//! The threads of a hub: a glommio executor for each shard, pinned to its core, and plain threads.
//! Each reports its end, even by a panic.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Sender;
use glommio::{LocalExecutorBuilder, Placement, PoolPlacement};
use tracing::error;

use super::control::{EndReport, Happened};
use super::history_worker;
use super::mailbox::Mailbox;
use super::shard::{ShardDeps, ShardLoop};
use crate::api::handler::{ApiSettings, RequestHandler};
use crate::api::history_health::HistoryHealth;
use crate::history::HistorySlice;
use crate::hub::shard::{Shard, ShardSettings};
use crate::io::clock::Clock;
use crate::io::listener::Listener;
use crate::io::probe::{IO_MEMORY_BYTES, make_executor};
use crate::io::tls::Acceptor;
use crate::io::waker::ShardWaker;
use crate::ops::access_log;
use crate::ops::metrics::Recorder;
use crate::ops::sampler::SharedSampler;
use crate::server::error::RunError;
use crate::server::memory::{MemoryAccount, ShardMemory};
use crate::server::permits::Quotas;
use crate::server::queue::Queue;
use crate::server::timeouts::Timeouts;

/// Keeps glommio's preemption from firing. A shard checks its sockets, its ring and its waker in
/// every round, so it needs no preemption. And glommio 0.9.0 forgets ready tasks if the timer fires
/// before it ran any of them: the executor then sleeps forever. With 1 ms this happened when a
/// thread was off its core that long.
const PREEMPT_TIMER: Duration = Duration::from_secs(3_600);
/// An idle task wakes each executor this often, in case a wake-up is lost anyway.
const SAFETY_WAKE: Duration = Duration::from_millis(500);

/// A shard's thread. Its result is the error by which the executor or the shard could not start.
pub(super) struct ShardThread {
    pub(super) name: String,
    thread: JoinHandle<io::Result<()>>,
}

impl ShardThread {
    /// Waits for its end.
    ///
    /// # Errors
    /// [`RunError::Start`]: the executor or the shard could not start. [`RunError::Ended`]: it
    /// panicked.
    pub(super) fn join(self) -> Result<(), RunError> {
        let Self { name, thread } = self;
        match thread.join() {
            Ok(started) => started.map_err(RunError::start(&name)),
            // The panic is in the log.
            Err(_) => Err(RunError::Ended(name)),
        }
    }
}

/// What is moved to a shard's thread. The rest is created there, since grants and outboxes never
/// leave it.
pub(super) struct ShardSpawn {
    pub(super) number: u16,
    pub(super) listener: Listener,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) ring: crate::ring::Consumer<crate::hub::sequencer::RingEntry>,
    pub(super) queue: Queue,
    pub(super) history_client: history_worker::HistoryClient,
    pub(super) history_health: HistoryHealth,
    pub(super) mailbox: Mailbox,
    pub(super) waker: Arc<ShardWaker>,
    pub(super) stopping: Arc<AtomicBool>,
    pub(super) clock: Clock,
    pub(super) timeouts: Timeouts,
    pub(super) drain_ms: u64,
    pub(super) log_updates: bool,
    pub(super) access: access_log::Rules,
    pub(super) quotas: Quotas,
    pub(super) memory: Arc<MemoryAccount>,
    pub(super) recorder: Recorder,
    pub(super) legacy_line: Arc<SharedSampler>,
}

impl ShardSpawn {
    /// Makes the rest, on the shard's own thread.
    pub(super) fn build(self, api: ApiSettings, shard: ShardSettings, newest: &HistorySlice) -> ShardDeps {
        ShardDeps {
            number: self.number,
            listener: self.listener,
            tls: self.tls.map(Acceptor::new),
            shard: Shard::new(shard, newest, self.clock.now()),
            handler: RequestHandler::new(api).with_history(self.history_health),
            ring: self.ring,
            queue: self.queue,
            history_client: self.history_client,
            mailbox: self.mailbox,
            waker: self.waker,
            stopping: self.stopping,
            clock: self.clock,
            timeouts: self.timeouts,
            drain_ms: self.drain_ms,
            log_updates: self.log_updates,
            access: self.access,
            quotas: self.quotas,
            memory: ShardMemory::new(self.memory),
            recorder: self.recorder,
            legacy_line: self.legacy_line,
            // Half a buffer: a subscriber that reads its stream then never falls behind by a single
            // batch.
            batch_bytes_max: (shard.subscriber_buffer_bytes / 2).max(1),
        }
    }
}

/// Starts the thread of a shard, pinned to a core.
pub(super) fn start_shard(
    number: usize,
    cpu: usize,
    make: impl FnOnce() -> ShardDeps + Send + 'static,
    reports: &Sender<Happened>,
) -> Result<ShardThread, RunError> {
    let name = format!("shard-{number}");
    let report = EndReport { name: name.clone(), reports: reports.clone() };
    // glommio's own `spawn` would panic where there is no thread for its pool.
    let run = move || {
        let _report = report;
        let builder = LocalExecutorBuilder::new(Placement::Fixed(cpu))
            .preempt_timer(PREEMPT_TIMER)
            .io_memory(IO_MEMORY_BYTES)
            .blocking_thread_pool_placement(PoolPlacement::Unbound(1));
        // Another thread may report its end first: the cause must not depend on that.
        let log = |error: &io::Error| error!(%error, "a shard cannot start");
        let executor = make_executor(builder).inspect_err(log)?;
        executor.run(async move {
            glommio::spawn_local(async {
                loop {
                    glommio::timer::sleep(SAFETY_WAKE).await;
                }
            })
            .detach();
            ShardLoop::new(make()).inspect_err(log)?.run().await;
            Ok(())
        })
    };
    let spawned = std::thread::Builder::new().name(name.clone()).spawn(run);
    let thread = spawned.map_err(RunError::start(&name))?;
    Ok(ShardThread { name, thread })
}

/// Starts a thread that reports its end.
pub(super) fn start_thread(
    name: &str,
    reports: &Sender<Happened>,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, RunError> {
    let report = EndReport { name: name.to_owned(), reports: reports.clone() };
    let run = move || {
        let _report = report;
        run();
    };
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(RunError::start(name))
}
