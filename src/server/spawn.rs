//! The threads of a hub: one for each shard, pinned to its core, and the others. Each reports its
//! end, even by a panic.
//!
//! With an io_uring, a shard is the task of a glommio executor; without, or without the feature
//! `glommio`, the same loop runs on a plain thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use crossbeam_channel::Sender;
use rustix::thread::{CpuSet, sched_setaffinity};
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
use crate::io::driver::Driver;
use crate::io::driver_kind::DriverKind;
use crate::io::listener::Listener;
use crate::io::random::Random;
use crate::io::tls::Acceptor;
use crate::io::waker::ShardWaker;
use crate::ops::access_log;
use crate::ops::metrics::Recorder;
use crate::server::error::RunError;
use crate::server::memory::{MemoryAccount, ShardMemory};
use crate::server::permits::Quotas;
use crate::server::queue::Queue;
use crate::server::timeouts::Timeouts;

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
}

impl ShardSpawn {
    /// Makes the rest, on the shard's own thread.
    pub(super) fn build(
        self,
        api: ApiSettings,
        shard: ShardSettings,
        newest: &HistorySlice,
        driver: Box<dyn Driver>,
    ) -> ShardDeps {
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
            // Half a buffer: a subscriber that reads its stream then never falls behind by a single
            // batch.
            batch_bytes_max: (shard.subscriber_buffer_bytes / 2).max(1),
            driver,
            random: Random::Host,
        }
    }
}

/// Starts the thread of a shard, pinned to a core.
pub(super) fn start_shard(
    number: usize,
    cpu: usize,
    kind: DriverKind,
    make: impl FnOnce(Box<dyn Driver>) -> ShardDeps + Send + 'static,
    reports: &Sender<Happened>,
) -> Result<ShardThread, RunError> {
    let name = format!("shard-{number}");
    let report = EndReport { name: name.clone(), reports: reports.clone() };
    let run_loop = move || {
        ShardLoop::new(make(kind.open()?))?.run();
        Ok(())
    };
    let run = move || {
        let _report = report;
        let ended = run_on(cpu, kind, run_loop);
        // Another thread may report its end first: the cause must not depend on that.
        ended.inspect_err(|error| error!(%error, "a shard cannot start"))
    };
    let spawned = std::thread::Builder::new().name(name.clone()).spawn(run);
    let thread = spawned.map_err(RunError::start(&name))?;
    Ok(ShardThread { name, thread })
}

/// Runs the loop of a shard on this thread, pinned to a core.
fn run_on(cpu: usize, kind: DriverKind, run_loop: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    #[cfg(feature = "glommio")]
    if kind == DriverKind::Uring {
        use crate::io::executor;
        return executor::make(executor::Placement::Fixed(cpu))?.run(async { run_loop() });
    }
    #[cfg(not(feature = "glommio"))]
    let _ = kind;
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus)?;
    run_loop()
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
