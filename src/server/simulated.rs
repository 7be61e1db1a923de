//! A hub in one thread, for the simulation: its shards, its sequencer and its history workers are
//! those of a running hub, and each makes a step when the test says so. Their sockets, their clock
//! and their random bytes are simulated ([`crate::io::sim`]).
//!
//! Whatever could happen in more than one way is a choice of the function that the test gives.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::history_worker::{self, HistoryClient, HistoryWorker};
use super::mailbox::Mailbox;
use super::sequencer::{SequencerStep, SequencerThread};
pub use super::shard::load::SimulatedLoad;
use super::shard::{LoopStep, ShardDeps, ShardLoop};
use crate::api::handler::{ApiSettings, RequestHandler};
use crate::api::history_health::HistoryHealth;
use crate::history::{History, HistorySlice};
use crate::hub::sequencer::{RingEntry, Sequencer};
use crate::hub::shard::{Shard, ShardSettings};
use crate::io::clock::Clock;
use crate::io::listener::Listener;
use crate::io::random::Random;
pub use crate::io::sim::SimClientState;
use crate::io::sim::{SimBetween, SimChoices, SimDriver, SimNetwork, SimTime};
use crate::io::socket::Socket;
use crate::io::waker::ShardWaker;
use crate::limits::PUBLISH_QUEUE_BYTES_MAX;
use crate::ops::access_log::Rules;
use crate::ops::metrics::Recorder;
use crate::ring::{Consumer, ring};
use crate::server::memory::{MemoryAccount, ShardMemory};
use crate::server::permits::{PerClient, Quotas};
use crate::server::queue::Queue;
use crate::server::timeouts::Timeouts;

/// In one of this many calls to a socket or a clock, another thread makes a step meanwhile.
const BETWEEN_IN: usize = 4;
/// One of this many looks at a sleeping shard interrupts its sleep.
const INTERRUPTED_IN: usize = 64;

/// The settings of a simulated hub.
pub struct SimulatedSettings {
    /// The number of shards.
    pub shards: usize,
    /// Entries of the ring; a power of two.
    pub ring_entries: usize,
    /// How many sends a shard makes in one call; 0 for one after the other.
    pub sends_at_once: usize,
    /// Measured work takes time in one of this many cases; 0 for never.
    pub work_in: usize,
    /// Bytes of updates that a shard takes from the ring at once.
    pub batch_bytes_max: usize,
    /// `MAX_CONNECTIONS`.
    pub connections_max: usize,
    /// Limits for each client.
    pub per_client: PerClient,
    /// How subscribers are served.
    pub shard: ShardSettings,
    /// How long requests may take.
    pub timeouts: Timeouts,
    /// `DRAIN_TIMEOUT`, in milliseconds.
    pub drain_ms: u64,
    /// Authentication and authorization.
    pub api: ApiSettings,
}

/// A hub in one thread.
pub struct SimulatedHub {
    network: Arc<SimNetwork>,
    time: SimTime,
    choices: SimChoices,
    quotas: Quotas,
    shards: Vec<SteppedShard>,
    others: Arc<Mutex<OtherThreads>>,
    stopping: Arc<AtomicBool>,
    between: SimBetween,
}

impl Drop for SimulatedHub {
    fn drop(&mut self) {
        // It holds the other threads, whose clocks hold it.
        self.between.clear();
    }
}

struct SteppedShard {
    /// `None` once it has stopped.
    shard: Option<ShardLoop>,
    waker: Arc<ShardWaker>,
    /// It sleeps until this moment at the latest.
    sleeps_until_us: Option<u64>,
}

/// The threads of a hub beside its shards.
struct OtherThreads {
    sequencer: SequencerThread,
    /// The history worker of each shard.
    workers: Vec<HistoryWorker>,
    choices: SimChoices,
}

impl OtherThreads {
    /// One of them that has work makes a step; false if none has.
    fn step(&mut self) -> bool {
        let count = 1 + self.workers.len();
        let first = self.choices.below(count);
        (first..first + count).any(|number| match number % count {
            0 => self.sequencer.step(1 + self.choices.below(8)) == SequencerStep::Worked,
            worker => self.workers[worker - 1].step(),
        })
    }
}

impl SimulatedHub {
    /// A hub that serves. `choose` returns a number below its argument.
    ///
    /// # Panics
    /// No descriptor is left.
    pub fn new(
        settings: &SimulatedSettings,
        history: Box<dyn History>,
        choose: impl FnMut(u64) -> u64 + Send + 'static,
    ) -> Self {
        let choices = SimChoices::new(choose);
        let between = SimBetween::default();
        let time = SimTime::new(choices.clone(), between.clone(), settings.work_in);
        let network = SimNetwork::new(settings.shards, choices.clone(), between.clone());
        let waker = |_| Arc::new(ShardWaker::new().expect("a descriptor"));
        let wakers: Vec<_> = (0..settings.shards).map(waker).collect();
        let (producer, consumers) = ring(settings.ring_entries, settings.shards);
        let reader = history.reader();
        let sequencer = Sequencer::new(history, HistorySlice::empty().range.before_oldest);
        let clock = Clock::simulated(time.clone(), Arc::default());
        let queue = Queue::new(PUBLISH_QUEUE_BYTES_MAX);
        let (sequencer, queue) =
            SequencerThread::new(sequencer, producer, wakers.clone(), queue, None, clock);
        let quotas = Quotas::new(settings.connections_max, settings.per_client, false);
        let common = Common {
            settings,
            network: Arc::clone(&network),
            time: time.clone(),
            choices: choices.clone(),
            quotas: quotas.clone(),
            queue,
            history_health: sequencer.health(),
            // The memory of this process is that of many hubs.
            memory: MemoryAccount::measured_by(u64::MAX, || Ok(0)),
            stopping: Arc::default(),
        };
        let (mut shards, mut workers) = (Vec::new(), Vec::new());
        for ((number, mailbox), ring) in Mailbox::open(&wakers).into_iter().enumerate().zip(consumers) {
            let waker = Arc::clone(&wakers[number]);
            let (history, worker) = history_worker::open(Arc::clone(&reader), Arc::clone(&waker));
            let deps = common.deps(number, ring, history, mailbox, Arc::clone(&waker));
            let shard = Some(ShardLoop::new(deps).expect("a descriptor"));
            shards.push(SteppedShard { shard, waker, sleeps_until_us: None });
            workers.push(worker);
        }
        let stopping = common.stopping;
        let others = OtherThreads { sequencer, workers, choices: choices.clone() };
        let others = Arc::new(Mutex::new(others));
        let (stepped, chosen) = (Arc::clone(&others), choices.clone());
        between.set(move || {
            // If it is locked, it is one of them that reads its clock.
            if chosen.one_in(BETWEEN_IN)
                && let Ok(mut others) = stepped.try_lock()
            {
                others.step();
            }
        });
        Self { network, time, choices, quotas, shards, others, stopping, between }
    }

    /// A shard makes a step: a round, or the end of its sleep. Returns false if it sleeps on, or
    /// has stopped.
    pub fn step_shard(&mut self, number: usize) -> bool {
        let stepped = &mut self.shards[number];
        let Some(shard) = &mut stepped.shard else { return false };
        if let Some(until_us) = stepped.sleeps_until_us {
            let is_woken = self.network.has_event(number)
                || is_woken(&stepped.waker)
                || self.time.us() >= until_us
                || self.choices.one_in(INTERRUPTED_IN);
            if !is_woken {
                return false;
            }
            stepped.sleeps_until_us = None;
            shard.sleep(None);
        }
        match shard.step() {
            LoopStep::GoesOn => {}
            LoopStep::Sleeps { left_ms } => {
                let until_us = left_ms.map(|left_ms| self.time.us() + 1_000 * left_ms);
                stepped.sleeps_until_us = Some(until_us.unwrap_or(u64::MAX));
            }
            LoopStep::Stopped => stepped.shard = None,
        }
        true
    }

    /// The sequencer or a history worker makes a step; returns whether it had work.
    pub fn step_others(&mut self) -> bool {
        lock(&self.others).step()
    }

    /// Time passes.
    pub fn pass_ms(&mut self, ms: u64) {
        self.time.pass_us(1_000 * ms);
    }

    /// Milliseconds since the hub has started.
    pub fn now_ms(&self) -> u64 {
        self.time.now().ms
    }

    /// The earliest moment at which a sleeping shard wakes by itself.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let until_us = self.shards.iter().filter_map(|stepped| stepped.sleeps_until_us).min()?;
        (until_us < u64::MAX).then(|| until_us.div_ceil(1_000))
    }

    /// The hub is told to stop.
    pub fn stop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        lock(&self.others).sequencer.publisher().close();
        self.shards.iter().for_each(|stepped| stepped.waker.wake());
    }

    /// Whether every shard has stopped.
    pub fn has_stopped(&self) -> bool {
        self.shards.iter().all(|stepped| stepped.shard.is_none())
    }

    /// What the shards hold.
    pub fn load(&self) -> SimulatedLoad {
        let mut load = SimulatedLoad::default();
        self.shards.iter().filter_map(|stepped| stepped.shard.as_ref()).for_each(|it| it.add_load(&mut load));
        load
    }

    /// Whether no connection and no subscription is counted.
    pub fn has_no_permit(&self) -> bool {
        self.quotas.are_unused()
    }

    /// A client connects to a shard; its number, or `None` if the shard does not listen.
    pub fn connect(&mut self, shard: usize, peer: SocketAddr, capacity: usize) -> Option<usize> {
        self.network.connect(shard, peer, capacity)
    }

    /// Bytes of a client arrive; returns how many there was room for.
    pub fn arrive(&mut self, client: usize, bytes: &[u8]) -> usize {
        self.network.arrive(client, bytes)
    }

    /// A client sends nothing more.
    pub fn end(&mut self, client: usize) {
        self.network.end(client);
    }

    /// A client resets its connection.
    pub fn reset(&mut self, client: usize) {
        self.network.reset(client);
    }

    /// A client takes up to this many bytes.
    pub fn take(&mut self, client: usize, bytes_max: usize) -> Vec<u8> {
        self.network.take(client, bytes_max)
    }

    /// The socket of a client gets this much room on the hub's side.
    pub fn set_capacity(&mut self, client: usize, capacity: usize) {
        self.network.set_capacity(client, capacity);
    }

    /// What a client sees of its connection.
    pub fn client_state(&self, client: usize) -> SimClientState {
        self.network.client_state(client)
    }

    /// Whether the hub has closed a connection.
    pub fn is_closed(&self, client: usize) -> bool {
        self.network.is_closed(client)
    }
}

/// What the shards have in common.
struct Common<'s> {
    settings: &'s SimulatedSettings,
    network: Arc<SimNetwork>,
    time: SimTime,
    choices: SimChoices,
    quotas: Quotas,
    queue: Queue,
    history_health: HistoryHealth,
    memory: Arc<MemoryAccount>,
    stopping: Arc<AtomicBool>,
}

impl Common<'_> {
    fn deps(
        &self,
        number: usize,
        ring: Consumer<RingEntry>,
        history_client: HistoryClient,
        mailbox: Mailbox,
        waker: Arc<ShardWaker>,
    ) -> ShardDeps {
        let settings = self.settings;
        let clock = Clock::simulated(self.time.clone(), Arc::clone(waker.liveness()));
        let driver = SimDriver::new(Arc::clone(&self.network), number, settings.sends_at_once);
        let handler = RequestHandler::new(settings.api.clone());
        ShardDeps {
            number: number as u16,
            listener: Listener::of_socket(Socket::Simulated(self.network.listener(number)), 0),
            tls: None,
            shard: Shard::new(settings.shard, &HistorySlice::empty(), clock.now()),
            handler: handler.with_history(self.history_health.clone()),
            ring,
            queue: self.queue.clone(),
            history_client,
            mailbox,
            waker,
            stopping: Arc::clone(&self.stopping),
            clock,
            timeouts: settings.timeouts,
            drain_ms: settings.drain_ms,
            log_updates: false,
            access: Rules { is_logged: false, trusts_proxy: false },
            quotas: self.quotas.clone(),
            memory: ShardMemory::new(Arc::clone(&self.memory)),
            recorder: Recorder::new(Arc::default()),
            batch_bytes_max: settings.batch_bytes_max,
            driver: Box::new(driver),
            random: Random::Simulated(self.choices.clone()),
        }
    }
}

fn lock(others: &Mutex<OtherThreads>) -> MutexGuard<'_, OtherThreads> {
    others.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the counter of a waker was written to.
fn is_woken(waker: &ShardWaker) -> bool {
    let mut polled = [PollFd::new(waker, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|count| count > 0)
}
