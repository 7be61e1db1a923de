//! The shell: the only room that touches sockets, clocks and threads, and the only one that knows glommio.
//!
//! [`run`] starts one executor for each shard, pinned to its core, and the sequencer's thread; the calling thread then
//! waits for signals and for the end of either. Invariant: half a hub is worse than none. When a shard or the sequencer
//! panics, [`run`] returns at once, and the process ends.

mod access;
mod acme;
mod aside;
mod certificates;
mod clock;
mod connection;
pub mod host;
mod http2;
mod https;
mod keys;
mod librarian;
mod listener;
mod metrics;
mod post;
mod probe;
mod pulse;
mod quota;
mod readiness;
mod reload;
mod sample;
mod sequencer;
mod shard;
mod systemd;
mod tls;
mod transport;
mod wake;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement, PoolPlacement};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tracing::info;

pub use access::ACCESS_TARGET;
pub use acme::{AcmeError, AcmeSettings, StoreError, TrustError};
pub use certificates::CertificateSource;
pub use connection::Timeouts;
pub use keys::KeySetSource;
pub use listener::ListenError;
pub use metrics::MetricsSettings;
pub use probe::HostError;
pub use quota::PerClient;
pub use reload::KeyFile;
pub use tls::certificate::{CertificateError, Files};

use crate::history::{History, HistoryError, Stretch};
use crate::hub::gate::{Gate, GateSettings};
use crate::hub::sequencer::Sequencer;
use crate::hub::shard::{Shard, ShardSettings};
use crate::hub::tail::TailBounds;
use crate::limits::RING_ENTRIES;
use crate::ring::ring;
use certificates::Certificates;
use clock::Clock;
use keys::Fetcher;
use listener::Entrance;
use metrics::{Exporter, Facts, Meters, ShardBoard};
use post::Post;
use probe::IO_MEMORY_BYTES;
use quota::Quotas;
use reload::Reloads;
use sequencer::SequencerThread;
use shard::{Parts, ShardLoop};
use systemd::{Manager, Next};
use tls::Acceptor;
use wake::Bell;

/// glommio's preemption is kept out of the way. A shard looks at its sockets, its ring and its bell in every round, so it
/// needs none; and glommio 0.9.0 forgets tasks that are ready when the timer has fired before it ran any of them: the
/// executor then sleeps for ever. With 1 ms that took a thread that was off its core for so long.
const PREEMPT_TIMER: Duration = Duration::from_secs(3_600);
/// A task that does nothing wakes each executor this often: should a wake-up get lost all the same, it is found.
const SAFETY_WAKE: Duration = Duration::from_millis(500);

/// Everything that [`run`] needs to know.
pub struct Settings {
    /// Where to listen.
    pub address: SocketAddr,
    /// The certificate, with which every connection is TLS; `None` for none.
    pub tls: Option<CertificateSource>,
    /// The core of each shard; not empty.
    pub cpus: Vec<usize>,
    /// Who may do what.
    pub gate: GateSettings,
    /// Key sets that the gate's keys are fetched from, by a thread each.
    pub key_sets: Vec<KeySetSource>,
    /// Files that the gate's keys are in, which SIGHUP reads again.
    pub key_files: Vec<KeyFile>,
    /// How subscribers are served.
    pub shard: ShardSettings,
    /// How long requests may take.
    pub timeouts: Timeouts,
    /// `DRAIN_TIMEOUT`, in milliseconds.
    pub drain_ms: u64,
    /// `DEBUG`: the contents of updates are logged.
    pub log_updates: bool,
    /// `USE_FORWARDED_HEADERS`: a proxy in front says who the clients are.
    pub trusts_proxy: bool,
    /// `ACCESS_LOG`: a line for each request.
    pub access_log: bool,
    /// `MAX_CONNECTIONS`; `None` leaves it to the limit of open files.
    pub connections_max: Option<usize>,
    /// What each client may have of them.
    pub per_client: PerClient,
    /// Where metrics are served, if they are.
    pub metrics: Option<MetricsSettings>,
}

/// Why the hub did not start, or ended before it was told to.
#[derive(Debug)]
pub enum RunError {
    /// The host lacks something.
    Host(HostError),
    /// The certificate cannot be served with.
    Certificate(CertificateError),
    /// Certificates cannot be kept.
    Acme(AcmeError),
    /// There is nothing to listen on.
    Listen(ListenError),
    /// The history cannot be used.
    History(HistoryError),
    /// A thread could not be started; its name.
    Start(String, String),
    /// A thread ended while the hub was running; its name. The panic is in the log.
    Ended(String),
    /// A second signal came while the hub was stopping.
    Interrupted,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(error) => error.fmt(f),
            Self::Certificate(error) => error.fmt(f),
            Self::Acme(error) => error.fmt(f),
            Self::Listen(error) => error.fmt(f),
            Self::History(error) => write!(f, "the history cannot be used: {error}"),
            Self::Start(name, error) => write!(f, "cannot start the thread {name}: {error}"),
            Self::Ended(name) => write!(f, "the thread {name} ended unexpectedly; the hub stops"),
            Self::Interrupted => f.write_str("stopped at once by a second signal"),
        }
    }
}

impl std::error::Error for RunError {}

/// What the waiting thread hears of.
enum Happened {
    Signal(i32),
    Ended { name: String, panicked: bool },
}

/// Reports the end of a thread, also when it ends by a panic.
struct EndReport {
    name: String,
    reports: Sender<Happened>,
}

impl Drop for EndReport {
    fn drop(&mut self) {
        let happened =
            Happened::Ended { name: std::mem::take(&mut self.name), panicked: std::thread::panicking() };
        // Nobody listens any more when the hub ends at once.
        let _ = self.reports.send(happened);
    }
}

/// Runs a hub until SIGTERM or SIGINT, and then until its streams have ended. `started` is called with the address once
/// connections are accepted.
///
/// # Errors
/// [`RunError`]: the hub did not start, or one of its threads failed.
pub fn run(
    settings: &Settings,
    history: Box<dyn History>,
    started: impl FnOnce(SocketAddr),
) -> Result<(), RunError> {
    probe::check_host(settings.cpus.len()).map_err(RunError::Host)?;
    let (reports, happened) = unbounded();
    let mut certificates = settings.tls.as_ref().map(Certificates::open).transpose()?;
    watch_signals(reports.clone())?;
    let mut hub = Hub::start(settings, certificates.as_ref(), history, &reports)?;
    let mut manager = Manager::new(&hub.bells);
    started(hub.address);
    certificates.iter_mut().for_each(Certificates::warn);
    if let Some(mut desk) = certificates.as_mut().and_then(Certificates::take_desk) {
        if let Some((aside, site)) = desk.listen() {
            start_thread("acme-http", &reports, move || site.serve(aside))?;
        }
        start_thread("acme", &reports, move || desk.run())?;
        hub.threads += 1;
    }
    let (key_files, key_sets) = (settings.key_files.clone(), settings.key_sets.clone());
    manager.serves();
    hub.wait(&happened, &mut manager, &mut Reloads { certificates, key_files, key_sets })
}

fn watch_signals(reports: Sender<Happened>) -> Result<(), RunError> {
    let failed = |error: std::io::Error| RunError::Start("signals".to_owned(), error.to_string());
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(failed)?;
    let watch = move || {
        for signal in &mut signals {
            if reports.send(Happened::Signal(signal)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(watch).map(|_| ()).map_err(failed)
}

/// A hub that runs.
struct Hub {
    address: SocketAddr,
    executors: Vec<ExecutorJoinHandle<()>>,
    /// How many threads report their end.
    threads: usize,
    bells: Vec<Arc<Bell>>,
    stopping: Arc<AtomicBool>,
}

impl Hub {
    fn start(
        settings: &Settings,
        certificates: Option<&Certificates>,
        mut history: Box<dyn History>,
        reports: &Sender<Happened>,
    ) -> Result<Self, RunError> {
        let shards = settings.cpus.len();
        let allowed = probe::connections_allowed().map_err(RunError::Host)?;
        let connections_max = settings.connections_max.unwrap_or(allowed).min(allowed);
        let quotas = Quotas::new(connections_max, settings.per_client, settings.trusts_proxy);
        let metrics =
            settings.metrics.as_ref().map(|metrics| metrics::listen(metrics.address)).transpose()?;
        let boards: Vec<Arc<ShardBoard>> = (0..shards).map(|_| Arc::default()).collect();
        let (producer, consumers) = ring(RING_ENTRIES, shards);
        let bells: std::io::Result<Vec<_>> = (0..shards).map(|_| Bell::new().map(Arc::new)).collect();
        let bells = bells.map_err(|error| RunError::Start("bells".to_owned(), error.to_string()))?;
        let heartbeat_ms = settings.shard.heartbeat_ms;
        let (address, entrances) =
            listener::open(settings.address, &bells, heartbeat_ms).map_err(RunError::Listen)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let started = Instant::now();
        let newest = end_of(&mut *history, settings.shard.tail)?;
        let reader = history.reader();
        let sequencer = Sequencer::new(history, newest.extent.before_oldest);
        let (sequencer, queue) = SequencerThread::new(sequencer, producer, bells.clone());
        if let Some(metrics) = metrics {
            let facts = Facts::new(settings, connections_max, queue.bytes());
            let exporter =
                Exporter { shards: boards.clone(), sequencer: sequencer.board(newest.extent), facts };
            start_thread("metrics", reports, move || metrics::serve(metrics, exporter))?;
        }
        let mut executors = Vec::with_capacity(shards);
        let ends = entrances.into_iter().zip(Post::open(&bells)).zip(consumers);
        for (number, ((entrance, post), ring)) in ends.enumerate() {
            let gate = settings.gate.clone();
            let (librarian, desk) = librarian::open(Arc::clone(&reader), Arc::clone(&bells[number]));
            start_thread(&format!("librarian-{number}"), reports, move || desk.run())?;
            let shard_settings = settings.shard;
            let parts = PartsSeed {
                number: number as u16,
                entrance,
                tls: certificates.map(Certificates::config),
                ring,
                queue: queue.clone(),
                librarian,
                post,
                bell: Arc::clone(&bells[number]),
                stopping: Arc::clone(&stopping),
                clock: Clock::new(started, Arc::clone(bells[number].pulse())),
                timeouts: settings.timeouts,
                drain_ms: settings.drain_ms,
                log_updates: settings.log_updates,
                access: access::Rules { is_logged: settings.access_log, trusts_proxy: settings.trusts_proxy },
                quotas: quotas.clone(),
                meters: Meters::new(Arc::clone(&boards[number])),
            };
            let newest = Arc::clone(&newest);
            let make = move || parts.grow(gate, shard_settings, &newest);
            executors.push(start_shard(number, settings.cpus[number], make, reports)?);
        }
        for (number, source) in settings.key_sets.iter().enumerate() {
            let fetcher = Fetcher::new(source.clone());
            start_thread(&format!("keys-{number}"), reports, move || fetcher.run())?;
        }
        drop(queue);
        start_thread("sequencer", reports, move || sequencer.run())?;
        // Each shard has its librarian; the sequencer is alone. Who fetches key sets does not end.
        let threads = 2 * executors.len() + 1;
        Ok(Self { address, executors, threads, bells, stopping })
    }

    fn wait(
        self,
        happened: &Receiver<Happened>,
        manager: &mut Manager,
        reloads: &mut Reloads,
    ) -> Result<(), RunError> {
        let mut running = self.threads;
        while running > 0 {
            match manager.next(happened, reloads.next_look()) {
                Next::Due => reloads.look(),
                Next::Event(Happened::Signal(SIGHUP)) => reloads.reload(),
                Next::Event(Happened::Signal(signal)) => {
                    if self.stopping.swap(true, Ordering::SeqCst) {
                        return Err(RunError::Interrupted);
                    }
                    info!(signal, "stopping");
                    manager.stops();
                    reloads.stop();
                    self.bells.iter().for_each(|bell| bell.ring());
                }
                Next::Event(Happened::Ended { name, panicked }) => {
                    if panicked || !self.stopping.load(Ordering::SeqCst) {
                        return Err(RunError::Ended(name));
                    }
                    running -= 1;
                }
                Next::End => return Err(RunError::Ended("signals".to_owned())),
            }
        }
        for executor in self.executors {
            let name = executor.thread().name().unwrap_or("shard").to_owned();
            executor.join().map_err(|error| RunError::Start(name, error.to_string()))?;
        }
        info!("stopped");
        Ok(())
    }
}

/// What every shard begins with: what is too old is discarded, and the end of the history is in memory, so that those who
/// come back after a restart do not all go to the disk.
fn end_of(history: &mut dyn History, tail: TailBounds) -> Result<Arc<Stretch>, RunError> {
    if history.needs_upkeep() {
        history.maintain(clock::unix_ms()).map_err(RunError::History)?;
    }
    let newest = history.reader().newest(tail.updates_max, tail.bytes_max);
    newest.map(Arc::new).map_err(RunError::History)
}

/// What crosses to a shard's thread; the rest is made there, since grants and outboxes never leave it.
struct PartsSeed {
    number: u16,
    entrance: Entrance,
    tls: Option<Arc<rustls::ServerConfig>>,
    ring: crate::ring::Consumer<crate::hub::sequencer::Entry>,
    queue: sequencer::Queue,
    librarian: librarian::Librarian,
    post: Post,
    bell: Arc<Bell>,
    stopping: Arc<AtomicBool>,
    clock: Clock,
    timeouts: Timeouts,
    drain_ms: u64,
    log_updates: bool,
    access: access::Rules,
    quotas: Quotas,
    meters: Meters,
}

impl PartsSeed {
    fn grow(self, gate: GateSettings, shard: ShardSettings, newest: &Stretch) -> Parts {
        Parts {
            number: self.number,
            entrance: self.entrance,
            tls: self.tls.map(Acceptor::new),
            shard: Shard::new(shard, newest, self.clock.now()),
            gate: Gate::new(gate),
            ring: self.ring,
            queue: Some(self.queue),
            librarian: self.librarian,
            post: self.post,
            bell: self.bell,
            stopping: self.stopping,
            clock: self.clock,
            timeouts: self.timeouts,
            drain_ms: self.drain_ms,
            log_updates: self.log_updates,
            access: self.access,
            quotas: self.quotas,
            meters: self.meters,
            // Half a buffer: then a subscriber that reads what it is sent never falls behind by one batch.
            batch_bytes_max: (shard.subscriber_buffer_bytes / 2).max(1),
        }
    }
}

fn start_shard(
    number: usize,
    cpu: usize,
    make: impl FnOnce() -> Parts + Send + 'static,
    reports: &Sender<Happened>,
) -> Result<ExecutorJoinHandle<()>, RunError> {
    let name = format!("shard-{number}");
    let report = EndReport { name: name.clone(), reports: reports.clone() };
    LocalExecutorBuilder::new(Placement::Fixed(cpu))
        .name(&name)
        .preempt_timer(PREEMPT_TIMER)
        .io_memory(IO_MEMORY_BYTES)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .spawn(move || async move {
            let _report = report;
            glommio::spawn_local(async {
                loop {
                    glommio::timer::sleep(SAFETY_WAKE).await;
                }
            })
            .detach();
            match ShardLoop::new(make()) {
                Ok(shard) => shard.run().await,
                Err(error) => panic!("a shard cannot start: {error}"),
            }
        })
        .map_err(|error| RunError::Start(name, error.to_string()))
}

fn start_thread(
    name: &str,
    reports: &Sender<Happened>,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), RunError> {
    let report = EndReport { name: name.to_owned(), reports: reports.clone() };
    let run = move || {
        let _report = report;
        run();
    };
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map(|_| ()).map_err(|error| RunError::Start(name.to_owned(), error.to_string()))
}
