//! A running hub: how it is put together, and the thread that waits for its end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_channel::Sender;
use signal_hook::consts::SIGHUP;
use tracing::{info, warn};

use super::control::{Control, Happened};
use super::history_worker;
use super::mailbox::Mailbox;
use super::sequencer::SequencerThread;
use crate::api::history_health::HistoryHealth;
use crate::error_text::chain;
use crate::history::redb::OpenError;
use crate::history::{History, HistoryReader, HistorySlice, WithoutReservedType};
use crate::hub::sequencer::Sequencer;
use crate::hub::shard::ShardSettings;
use crate::hub::tail::TailBounds;
use crate::io::ProcessRole;
use crate::io::clock::{self, Clock};
use crate::io::driver_kind::DriverKind;
use crate::io::listener::{self, ListenError};
use crate::io::probe::{self};
use crate::io::waker::ShardWaker;
use crate::limits::{PUBLISH_QUEUE_BYTES_MAX, RING_ENTRIES};
use crate::ops::metrics::{Exporter, HubFacts, MetricsHandler, MetricsSettings, Recorder, ShardMetrics};
use crate::ops::systemd::{Manager, Next};
use crate::ring::ring;
use crate::server::error::RunError;
use crate::server::memory::MemoryAccount;
use crate::server::permits::Quotas;
use crate::server::queue::Queue;
use crate::server::receipt::EmbeddedPublisher;
use crate::server::settings::Settings;
use crate::server::spawn::{ShardSpawn, ShardThread, start_shard, start_thread};
use crate::server::stop::HubShutdown;
use crate::services::certificates::Certificates;
use crate::services::reload::Reloads;
use crate::services::side_server::SideServer;

/// Reported once connections are accepted.
pub(crate) struct Begun {
    pub(crate) address: SocketAddr,
    pub(crate) publisher: EmbeddedPublisher,
    pub(crate) shard_metrics: Vec<Arc<ShardMetrics>>,
}

/// Runs a hub until SIGTERM or SIGINT, and then until its streams have ended. `open` opens the
/// history, which may take long if it needs repair. `started` is called with the address once
/// connections are accepted.
///
/// The hub owns the process: SIGHUP reads keys and certificates again, and a service manager can
/// hand it sockets (`LISTEN_FDS`) and is notified (`NOTIFY_SOCKET`). To run a hub inside another
/// program, use [`Embedded`](crate::server::embedded::Embedded).
///
/// # Errors
/// [`RunError`]: the hub did not start, or one of its threads failed.
pub fn run(
    settings: &Settings,
    open: impl FnOnce() -> Result<Box<dyn History>, OpenError>,
    started: impl FnOnce(SocketAddr),
) -> Result<(), RunError> {
    let control = Control::new();
    control.watch_signals()?;
    let history = open()?;
    run_as(settings, history, &control, ProcessRole::Service, |begun| started(begun.address))
}

/// Runs a hub until it is told to stop, and then until its streams have ended.
pub(crate) fn run_as(
    settings: &Settings,
    history: Box<dyn History>,
    control: &Control,
    role: ProcessRole,
    started: impl FnOnce(Begun),
) -> Result<(), RunError> {
    let (kind, missing) = probe::check_host(settings.cpus.len(), settings.io)?;
    if let Some(missing) = missing {
        info!(reason = %chain(&missing), "epoll is used instead of io_uring (IO=auto)");
    }
    let mut certificates = settings.tls.as_ref().map(Certificates::open).transpose()?;
    let reports = &control.reports;
    let mut hub = RunningHub::start(settings, kind, certificates.as_ref(), history, role, reports)?;
    let mut manager = match role {
        ProcessRole::Service => Manager::new(&hub.shutdown.wakers),
        ProcessRole::Program => Manager::none(),
    };
    control.serves();
    started(Begun {
        address: hub.address,
        publisher: hub.shutdown.publisher.clone(),
        shard_metrics: hub.shard_metrics.clone(),
    });
    certificates.iter_mut().for_each(Certificates::warn);
    if let Some(mut renewer) = certificates.as_mut().and_then(Certificates::take_renewer) {
        if let Some((side_server, handler)) = renewer.listen() {
            hub.shutdown.help("acme-http", reports, move |ended| handler.serve(side_server, &ended))?;
        }
        start_thread("acme", reports, move || renewer.run())?;
        hub.threads += 1;
    }
    let (key_files, key_sets) = (settings.key_files.clone(), settings.key_sets.clone());
    let issuers = settings.issuers_file.clone();
    manager.serves();
    hub.wait(control, &mut manager, &mut Reloads { certificates, key_files, key_sets, issuers })
}

/// A hub that runs.
struct RunningHub {
    address: SocketAddr,
    executors: Vec<ShardThread>,
    /// The number of threads that report their end.
    threads: usize,
    shard_metrics: Vec<Arc<ShardMetrics>>,
    shutdown: HubShutdown,
}

impl RunningHub {
    fn start(
        settings: &Settings,
        kind: DriverKind,
        certificates: Option<&Certificates>,
        mut history: Box<dyn History>,
        role: ProcessRole,
        reports: &Sender<Happened>,
    ) -> Result<Self, RunError> {
        let shards = settings.cpus.len();
        let limits = HubLimits::new(settings)?;
        let metrics = settings.metrics.as_ref().map(listen_for_scrapes).transpose()?;
        let shard_metrics: Vec<Arc<ShardMetrics>> = (0..shards).map(|_| Arc::default()).collect();
        let (producer, consumers) = ring(RING_ENTRIES, shards);
        let wakers = make_wakers(shards)?;
        let (address, listeners) =
            listener::open(settings.address, &wakers, settings.shard.heartbeat_ms, role)?;
        let clock = Clock::new(Instant::now(), Arc::default());
        let shard_settings = fitted(settings.shard, &limits.memory);
        let reader = reader_of(&*history, settings.api.dialects.has_draft08());
        let newest = end_of(&mut *history, &*reader, shard_settings.tail)?;
        let sequencer = Sequencer::new(history, newest.range.before_oldest);
        let queue = Queue::new(limits.memory.part_of(PUBLISH_QUEUE_BYTES_MAX));
        let history_file = settings.history_file.clone();
        let (sequencer, queue) =
            SequencerThread::new(sequencer, producer, wakers.clone(), queue, history_file, clock.clone());
        let history_health = sequencer.health();
        let mut shutdown = HubShutdown::new(role, wakers.clone(), sequencer.publisher());
        if let Some((side_server, history_file)) = metrics {
            let facts = limits.facts(settings, &history_health, queue.bytes(), history_file);
            let (shards, sequencer) = (shard_metrics.clone(), sequencer.metrics());
            let exporter = Exporter { shards, sequencer, facts };
            shutdown.help("metrics", reports, move |ended| serve_scrapes(side_server, exporter, &ended))?;
        }
        let mut executors = Vec::with_capacity(shards);
        let ends = listeners.into_iter().zip(Mailbox::open(&wakers)).zip(consumers);
        for (number, ((listener, mailbox), ring)) in ends.enumerate() {
            let (history_client, worker) =
                history_worker::open(Arc::clone(&reader), Arc::clone(&wakers[number]));
            start_thread(&format!("history-{number}"), reports, move || worker.run())?;
            let spawn = ShardSpawn {
                number: number as u16,
                listener,
                tls: certificates.map(Certificates::config),
                ring,
                queue: queue.clone(),
                history_client,
                history_health: history_health.clone(),
                mailbox,
                waker: Arc::clone(&wakers[number]),
                stopping: Arc::clone(&shutdown.stopping),
                clock: clock.for_thread(wakers[number].liveness()),
                timeouts: settings.timeouts,
                drain_ms: settings.drain_ms,
                log_updates: settings.log_updates,
                access: settings.access_rules(),
                quotas: limits.quotas.clone(),
                memory: Arc::clone(&limits.memory),
                recorder: Recorder::new(Arc::clone(&shard_metrics[number])),
            };
            let (api, newest) = (settings.api.clone().at_port(address.port()), Arc::clone(&newest));
            let make = move |driver| spawn.build(api, shard_settings, &newest, driver);
            executors.push(start_shard(number, settings.cpus[number], kind, make, reports)?);
        }
        shutdown.fetch(&settings.key_sets, reports)?;
        drop(queue);
        start_thread("sequencer", reports, move || sequencer.run())?;
        // Each shard has a history worker; there is one sequencer. Key fetchers end later.
        Ok(Self { address, threads: 2 * executors.len() + 1, executors, shard_metrics, shutdown })
    }

    /// Tells every thread to stop; false if that happened before.
    fn begin_stop(&self, manager: &mut Manager, reloads: &Reloads) -> bool {
        if self.shutdown.stopping.load(Ordering::SeqCst) {
            return false;
        }
        manager.stops();
        reloads.stop();
        self.shutdown.begin();
        true
    }

    fn wait(
        mut self,
        control: &Control,
        manager: &mut Manager,
        reloads: &mut Reloads,
    ) -> Result<(), RunError> {
        let mut running = self.threads;
        while running > 0 {
            match manager.next(&control.happened, reloads.next_look()) {
                Next::Due => reloads.look(),
                Next::Event(Happened::Signal(SIGHUP)) => {
                    let new_sets = reloads.reload();
                    self.shutdown.fetch(&new_sets, &control.reports)?;
                    self.shutdown.wake_shards();
                }
                Next::Event(Happened::Signal(signal)) => {
                    if !self.begin_stop(manager, reloads) {
                        return Err(RunError::Interrupted);
                    }
                    info!(signal, "stopping");
                }
                Next::Event(Happened::Stop) => {
                    if self.begin_stop(manager, reloads) {
                        info!("stopping");
                    }
                }
                Next::Event(Happened::Ended { name, panicked: false })
                    if self.shutdown.forget_retired(&name) => {}
                Next::Event(Happened::Ended { name, panicked }) => {
                    if panicked || !self.shutdown.stopping.load(Ordering::SeqCst) {
                        return Err(self.why_ended(name, panicked));
                    }
                    running -= 1;
                }
                Next::End => return Err(RunError::Ended("signals".to_owned())),
            }
        }
        for executor in std::mem::take(&mut self.executors) {
            executor.join()?;
        }
        info!("stopped");
        Ok(())
    }

    /// Why this thread ended. A shard that did not panic could not start; its executor has
    /// the error.
    fn why_ended(&mut self, name: String, panicked: bool) -> RunError {
        let shard = self.executors.iter().position(|shard| shard.name == name).filter(|_| !panicked);
        let started = shard.map_or(Ok(()), |at| self.executors.swap_remove(at).join());
        started.err().unwrap_or(RunError::Ended(name))
    }
}

/// The limits of the whole hub.
struct HubLimits {
    connections_max: usize,
    quotas: Quotas,
    memory: Arc<MemoryAccount>,
}

impl HubLimits {
    fn new(settings: &Settings) -> Result<Self, RunError> {
        let connections_max = connections_max(settings, probe::connections_allowed()?);
        probe::reserve_descriptors(connections_max);
        let quotas = Quotas::new(connections_max, settings.per_client, settings.trusts_proxy);
        Ok(Self { connections_max, quotas, memory: MemoryAccount::new(settings.memory_max) })
    }

    /// The facts for the metrics.
    fn facts(
        &self,
        settings: &Settings,
        history_health: &HistoryHealth,
        queue_bytes: Arc<AtomicUsize>,
        history_file: Option<PathBuf>,
    ) -> HubFacts {
        HubFacts {
            is_tls: settings.tls.is_some(),
            connections_max: self.connections_max,
            queue_bytes,
            history_file,
            history_health: history_health.clone(),
            memory: self.memory.totals(),
        }
    }
}

/// The settings of the shards, with tails that fit into the memory.
fn fitted(settings: ShardSettings, memory: &MemoryAccount) -> ShardSettings {
    let bytes_max = memory.part_of(settings.tail.bytes_max);
    ShardSettings { tail: TailBounds { bytes_max, ..settings.tail }, ..settings }
}

/// Listens on the metrics address; returns also the file whose size is reported.
fn listen_for_scrapes(metrics: &MetricsSettings) -> Result<(SideServer, Option<PathBuf>), RunError> {
    let failed = |error| ListenError::Metrics(metrics.address, error);
    let (address, side_server) = SideServer::open(metrics.address).map_err(failed)?;
    info!(%address, "metrics are served");
    Ok((side_server, metrics.history_file.clone()))
}

/// Serves metrics until the hub has ended.
fn serve_scrapes(side_server: SideServer, exporter: Exporter, ended: &AtomicBool) {
    let handler = MetricsHandler::new(exporter);
    side_server.run(ended, |request| handler.respond(request));
}

/// The reading end for every shard.
fn reader_of(history: &dyn History, has_draft08: bool) -> Arc<dyn HistoryReader> {
    let reader = history.reader();
    if has_draft08 { Arc::new(WithoutReservedType(reader)) } else { reader }
}

/// The tail that every shard begins with. First discards old updates; then loads the end of the
/// history into memory, so that clients that reconnect after a restart do not all read the disk.
fn end_of(
    history: &mut dyn History,
    reader: &dyn HistoryReader,
    tail: TailBounds,
) -> Result<Arc<HistorySlice>, RunError> {
    if history.needs_upkeep() {
        history.maintain(clock::unix_ms()).map_err(RunError::History)?;
    }
    let newest = reader.newest(tail.updates_max, tail.bytes_max);
    newest.map(Arc::new).map_err(RunError::History)
}

/// The maximum number of connections: the configured one, bounded by the limit of open files.
fn connections_max(settings: &Settings, allowed: usize) -> usize {
    match settings.connections_max {
        Some(wanted) if wanted > allowed => {
            warn!(
                wanted,
                allowed,
                "the limit of open files leaves fewer connections than MAX_CONNECTIONS: raise LimitNOFILE= (ulimit -n)"
            );
            allowed
        }
        wanted => wanted.unwrap_or(allowed),
    }
}

fn make_wakers(count: usize) -> Result<Vec<Arc<ShardWaker>>, RunError> {
    let wakers: io::Result<Vec<_>> = (0..count).map(|_| ShardWaker::new().map(Arc::new)).collect();
    wakers.map_err(RunError::Wakers)
}
