//! The loop of one shard: sockets, ring and timers around the pure
//! [`Shard`](crate::hub::shard::Shard).
//!
//! One thread does all of it, in rounds ([`ShardLoop::round`] lists the work), and sleeps when a
//! round finds nothing to do. The simulation makes the same steps ([`ShardLoop::step`]).
//! - All work of a round is bounded, so nothing waits long. Leftover work waits in its own queue;
//!   while one holds something the loop does not sleep: the edge-triggered events are past.
//! - Entries are taken from the ring only after every subscriber that the last ones concerned has
//!   been written to, so each send carries all updates that arrived meanwhile.

mod accept;
mod action;
mod budget;
mod connected;
mod connections;
mod exchange;
mod h1;
mod h2;
mod h2_writes;
mod inbox;
mod listings;
#[cfg(feature = "internals")]
pub(crate) mod load;
mod log;
mod match_costs;
mod memory;
mod publications;
mod ready_queue;
mod request_id;
mod shared;
mod shutdown;
mod streams;
mod subscription_events;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{debug, info, warn};

use crate::api::handler::RequestHandler;
use crate::hub::sequencer::RingEntry;
use crate::hub::shard::Shard;
use crate::io::clock::Clock;
use crate::io::driver::{Driver, Event};
use crate::io::listener::Listener;
use crate::io::random::Random;
use crate::io::tls::Acceptor;
use crate::io::waker::ShardWaker;
use crate::limits::{EVENTS_MAX, READ_BYTES_MAX};
use crate::ops::access_log::Rules;
use crate::ops::metrics::Recorder;
use crate::ops::older_clients::OlderClients;
use crate::ops::sampler::Samplers;
use crate::ring::Consumer;
use crate::server::history_worker::HistoryClient;
use crate::server::mailbox::Mailbox;
use crate::server::memory::ShardMemory;
use crate::server::permits::Quotas;
use crate::server::queue::Queue;
use crate::server::timeouts::Timeouts;
use accept::{Accept, LISTENER_KEY, WAKER_KEY};
use budget::Budget;
use connections::Connections;
use inbox::TakenEntries;
use listings::Listings;
use log::ShardLog;
use memory::MemoryUpkeep;
use publications::Publications;
use shared::{DateCache, Serials, Shared};
use shutdown::{Shutdown, Stop};
use streams::Streams;
use subscription_events::SubscriptionEvents;

/// The parts of a shard's thread.
pub(crate) struct ShardDeps {
    pub(crate) number: u16,
    pub(crate) listener: Listener,
    /// Makes TLS sessions; `None` without TLS.
    pub(crate) tls: Option<Acceptor>,
    pub(crate) shard: Shard,
    pub(crate) handler: RequestHandler,
    pub(crate) ring: Consumer<RingEntry>,
    pub(crate) queue: Queue,
    pub(crate) history_client: HistoryClient,
    pub(crate) mailbox: Mailbox,
    pub(crate) waker: Arc<ShardWaker>,
    pub(crate) stopping: Arc<AtomicBool>,
    pub(crate) clock: Clock,
    pub(crate) timeouts: Timeouts,
    pub(crate) drain_ms: u64,
    pub(crate) log_updates: bool,
    pub(crate) access: Rules,
    pub(crate) quotas: Quotas,
    pub(crate) memory: ShardMemory,
    pub(crate) recorder: Recorder,
    /// Bytes of updates to take from the ring at once.
    pub(crate) batch_bytes_max: usize,
    pub(crate) driver: Box<dyn Driver>,
    pub(crate) random: Random,
}

/// The loop and what it owns: how connections come in, the connections, and what they share.
pub(crate) struct ShardLoop {
    clock: Clock,
    waker: Arc<ShardWaker>,
    stopping: Arc<AtomicBool>,
    batch_bytes_max: usize,
    events: Vec<Event>,
    accept: Accept,
    connections: Connections,
    memory: MemoryUpkeep,
    shared: Shared,
}

/// What a shard does after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoopStep {
    /// There may be more work.
    GoesOn,
    /// It sleeps, for this long at most.
    Sleeps { left_ms: Option<u64> },
    /// Nothing is left to do.
    Stopped,
}

impl ShardLoop {
    /// Prepares the loop. Call it on the shard's own thread.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn new(mut deps: ShardDeps) -> std::io::Result<Self> {
        let accept = Accept::new(deps.listener, deps.tls, Arc::clone(&deps.waker), &mut *deps.driver)?;
        let log = ShardLog {
            shard: deps.number,
            log_updates: deps.log_updates,
            rules: deps.access,
            recorder: deps.recorder,
            samplers: Samplers::default(),
            older_clients: OlderClients::default(),
        };
        let shared = Shared {
            number: deps.number,
            now: deps.clock.now(),
            budget: Budget::new(deps.clock.clone()),
            timeouts: deps.timeouts,
            handler: deps.handler,
            streams: Streams::new(deps.shard, deps.memory.clone()),
            publications: Publications::new(deps.queue),
            history: deps.history_client,
            ring: deps.ring,
            mailbox: deps.mailbox,
            listings: Listings::new(deps.memory.clone()),
            events: SubscriptionEvents::new(deps.quotas.event_budgets()),
            quotas: deps.quotas,
            memory: deps.memory,
            shutdown: Shutdown::new(deps.drain_ms),
            log,
            driver: deps.driver,
            read_buffer: vec![0; READ_BYTES_MAX].into(),
            date: DateCache::default(),
            serials: Serials::default(),
            random: deps.random,
        };
        Ok(Self {
            clock: deps.clock,
            waker: deps.waker,
            stopping: deps.stopping,
            batch_bytes_max: deps.batch_bytes_max,
            events: Vec::with_capacity(EVENTS_MAX),
            accept,
            connections: Connections::default(),
            memory: MemoryUpkeep::default(),
            shared,
        })
    }

    /// Runs until the hub stops.
    pub(crate) fn run(mut self) {
        loop {
            match self.step() {
                LoopStep::GoesOn => {}
                LoopStep::Sleeps { left_ms } => self.sleep(left_ms),
                LoopStep::Stopped => return,
            }
        }
    }

    /// One round, and what follows from it. After [`LoopStep::Sleeps`], call [`Self::sleep`].
    pub(crate) fn step(&mut self) -> LoopStep {
        let (began, now) = self.clock.read();
        self.shared.now = now;
        self.shared.budget.renew();
        let busy = self.round();
        let ended = self.clock.instant();
        self.shared.log.recorder.round_took(ended - began);
        if self.advance_stop() {
            debug!(shard = self.shared.number, "the shard has stopped");
            return LoopStep::Stopped;
        }
        // Timers and the stop can add bytes to write; everything above can queue a connection.
        if busy || self.shared.streams.shard.has_work() || self.connections.has_work() {
            return LoopStep::GoesOn;
        }
        self.fall_asleep(self.clock.ms_at(ended))
    }

    /// Adds what this shard holds.
    #[cfg(feature = "internals")]
    pub(crate) fn add_load(&self, load: &mut load::SimulatedLoad) {
        let Shared { streams, publications, memory, .. } = &self.shared;
        load.connections += self.connections.len();
        load.subscribers += streams.shard.len();
        load.memory_bytes += memory.counted_for_clients();
        load.publications += publications.under_way();
    }

    /// One round of work; returns whether another one is to follow before the shard sleeps.
    fn round(&mut self) -> bool {
        // Serve queued connections before those that have just sent something.
        let mut busy = self.connections.drive_queued(&mut self.shared);
        let mut has_input = self.take_events();
        has_input |= self.accept.accept_some(&mut self.connections, &mut self.shared);
        let Self { shared, connections, accept, memory, batch_bytes_max, .. } = self;
        busy |= inbox::take_replies(connections, shared);
        let TakenEntries { count, is_last } = inbox::take_entries(connections, shared, *batch_bytes_max);
        busy |= count > 0;
        if is_last {
            begin_drain(shared);
        }
        if shared.handler.has_newer_keys() {
            let withdrawn = shared.handler.renew_keys();
            shared.streams.shard.withdraw(withdrawn);
        }
        shared.streams.shard.end_withdrawn();
        shared.streams.write(&mut *shared.driver, &shared.history, shared.now);
        shared.streams.advance(&mut *shared.driver, shared.now);
        connections.advance_timers(shared);
        connections.watch_full(shared);
        connections.close_ended(shared);
        busy |= offer_subscription_events(shared);
        busy |= inbox::take_messages(connections, shared);
        busy |= connections.poll_written(shared);
        busy |= connections.drive_bulk(shared);
        memory.round(busy || has_input, accept.is_tls(), connections, shared);
        let [publishers, subscribers] = shared.handler.accepted_tokens();
        let tokens = publishers.plus(subscribers);
        shared.log.recorder.round(&shared.streams.shard, tokens, connections.len(), accept.pauses());
        shared.log.recorder.subscribers(shared.streams.by_dialect());
        shared.log.recorder.requests(shared.handler.request_counts());
        shared.log.recorder.ring(shared.driver.ring_counts());
        // Input alone needs no second look at the sockets: a sleep ends at once if there is more of
        // it. A publication may be round the ring in a moment, before the shard would sleep.
        let has_rest = !self.events.is_empty() || self.accept.has_rest();
        busy || has_rest || (has_input && !self.shared.publications.are_settled())
    }

    fn take_events(&mut self) -> bool {
        let Self { events, connections, accept, shared, .. } = self;
        // The events that ended a sleep are in `events` already.
        if events.is_empty() {
            shared.driver.wait(events, Some(0));
        }
        let count = events.len();
        // The others are first in the next round.
        let mut handled = 0;
        for event in &*events {
            if shared.budget.is_spent() && handled > 0 {
                break;
            }
            handled += 1;
            match event.key {
                LISTENER_KEY => accept.is_ready(),
                WAKER_KEY => {}
                _ => connections.on_event(*event, shared),
            }
        }
        events.drain(..handled);
        count > 0
    }

    /// Announces that the shard sleeps, unless there is work by now.
    fn fall_asleep(&mut self, now_ms: u64) -> LoopStep {
        let shared = &mut self.shared;
        let can_publish = shared.publications.queue().is_some();
        let events = shared.events.paused_until_ms(shared.streams.shard.subscriptions());
        let deadlines = [
            shared.streams.shard.next_deadline_ms(),
            self.accept.paused_until_ms(),
            shared.shutdown.until_ms(),
            events.filter(|_| can_publish),
            self.memory.next_deadline_ms(),
        ];
        let left_ms = deadlines.into_iter().flatten().min().map(|at_ms| at_ms.saturating_sub(now_ms));
        self.waker.announce();
        if self.is_called() {
            self.waker.awake();
            return LoopStep::GoesOn;
        }
        LoopStep::Sleeps { left_ms }
    }

    /// Sleeps until a socket, the waker or a deadline.
    pub(crate) fn sleep(&mut self, left_ms: Option<u64>) {
        self.shared.driver.wait(&mut self.events, left_ms);
        self.waker.awake();
    }

    /// Whether another thread has work for this one.
    fn is_called(&self) -> bool {
        let Shared { ring, history, mailbox, shutdown, handler, .. } = &self.shared;
        let stop_is_new = shutdown.is_serving() && self.stopping.load(Ordering::SeqCst);
        !ring.is_empty()
            || stop_is_new
            || history.has_reply()
            || self.accept.has_handed_off()
            || mailbox.has_message()
            || handler.has_newer_keys()
    }

    /// Advances the stop; true when the shard has nothing left to do.
    fn advance_stop(&mut self) -> bool {
        let now_ms = self.shared.now.ms;
        match self.shared.shutdown.stop() {
            Stop::No => {
                if self.stopping.load(Ordering::SeqCst) {
                    self.begin_stop();
                }
            }
            Stop::HandingOver { until_ms } => {
                if now_ms >= until_ms {
                    self.begin_finishing();
                }
            }
            Stop::Finishing { until_ms } => {
                if now_ms >= until_ms {
                    warn!(shard = self.shared.number, "the stop takes too long; closing what is open");
                    return true;
                }
            }
            Stop::Draining { until_ms } => {
                if now_ms >= until_ms {
                    self.shared.streams.shard.close_all();
                    self.connections.close_ended(&mut self.shared);
                    return true;
                }
                if self.shared.streams.shard.is_empty() {
                    self.accept.close();
                    // At the end, do not wait for late connections that have sent nothing.
                    self.connections.close_idle();
                    return self.connections.is_empty();
                }
            }
        }
        if self.shared.shutdown.dismisses() && self.is_finished() {
            self.shared.publications.close();
        }
        false
    }

    /// Whether the publications that began before the stop are published, and the end events of all
    /// subscriptions are, too, or their time is over.
    fn is_finished(&mut self) -> bool {
        let Self { shared, connections, .. } = self;
        let is_patient = shared.shutdown.is_patient(shared.now.ms);
        shared.publications.are_settled()
            && !(is_patient && connections.awaits_bodies())
            && subscription_events::are_settled(
                shared.streams.shard.subscriptions(),
                !is_patient,
                shared.number,
            )
    }

    /// Begins to stop. Our own socket stays open to the end of the drain, so that new clients get a
    /// refusal and can go elsewhere. A held socket is left at once: new connections wait there for
    /// the next hub.
    fn begin_stop(&mut self) {
        if !self.accept.is_held() {
            return self.begin_finishing();
        }
        self.accept.close();
        self.shared.handler.begin_leave();
        self.shared.shutdown.hand_over(self.shared.now.ms);
        self.connections.dismiss_http2(&mut self.shared);
    }

    fn begin_finishing(&mut self) {
        let shared = &mut self.shared;
        shared.handler.refuse_new_work();
        if let Some(all) = shared.streams.shard.subscriptions() {
            all.end_all();
        }
        shared.shutdown.finish(shared.now.ms);
        self.connections.dismiss_idle();
        self.connections.dismiss_http2(shared);
    }
}

/// The ring has ended: every acknowledged update is in the outboxes.
fn begin_drain(shared: &mut Shared) {
    let Shared { streams, shutdown, now, number, .. } = shared;
    let count = streams.shard.len();
    if count > 0 {
        info!(shard = *number, streams = count, "ending streams");
    }
    streams.shard.begin_drain(shutdown.drain_ms(), *now);
    shutdown.drain(now.ms);
}

/// Hands events of subscriptions to the sequencer; returns whether more could follow.
fn offer_subscription_events(shared: &mut Shared) -> bool {
    let Shared { streams, publications, events, budget, random, log, now, .. } = shared;
    match (streams.shard.subscriptions(), publications.queue()) {
        (Some(all), Some(queue)) => events.offer(all, queue, budget, random, log, now.ms),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
