//! The loop of one shard: sockets, ring, timers, and the pure [`Shard`] between them.
//!
//! One task does all of it, in rounds: socket events, what the ring brought, reads that came back, catching up, a slice of
//! sends, timers. A round is short, so nothing waits long for anything else; when a round finds nothing to do, the task
//! sleeps until a socket, the bell or a deadline wakes it, all of them in one epoll set. Entries are taken from the ring only when everybody has been
//! written to, so each send carries all that came meanwhile.
//!
//! A round is short because all of its work is bounded, whoever asks for it: what is left over waits in a queue of its own,
//! and while one of these holds something the task does not sleep, since the sockets' edges are past.

mod accept;
mod common;
mod exchange;
mod multiplex;
mod serve;
mod sockets;
mod subscriptions;
mod telling;

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::os::fd::AsFd as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use glommio::timer::Timer;
use rustix::event::epoll;
use slab::Slab;
use tracing::debug;

use super::access;
use super::clock::Clock;
use super::connection::{Requesting, Timeouts};
use super::http2::Multiplexed;
use super::librarian::{Answer, Librarian, Question};
use super::listener::{Entrance, leave_to_dispatch_timeout};
use super::metrics::Meters;
use super::post::Post;
use super::quota::{Quotas, Seat};
use super::readiness::Readiness;
use super::sample::Samplers;
use super::sequencer::Queue;
use super::tls::Acceptor;
use super::transport::{Flushed, Gone, Transport};
use super::wake::Bell;
use crate::http::date::HttpDate;
use crate::hub::Now;
use crate::hub::gate::Gate;
use crate::hub::sequencer::{Entry, Ticket};
use crate::hub::shard::Shard;
use crate::hub::wheel::Wheel;
use crate::limits::{
    DOZE_MS_MAX, EVENTS_MAX, FLUSH_BATCH_MAX, HISTORY_ANSWERS_MAX, MATCHING_WORK_MAX, READ_BYTES_MAX,
    RING_BATCH_MAX, TIMERS_MAX,
};
use crate::ring::Consumer;
use sockets::{Carrier, Socket, Sockets};
use subscriptions::Desk;
pub(super) use subscriptions::Lease;

/// What a shard's thread is made of.
pub(super) struct Parts {
    pub(super) number: u16,
    pub(super) entrance: Entrance,
    /// What a connection is accepted with, when the listener's are TLS.
    pub(super) tls: Option<Acceptor>,
    pub(super) shard: Shard,
    pub(super) gate: Gate,
    pub(super) ring: Consumer<Entry>,
    /// Until this shard's last publication is acknowledged.
    pub(super) queue: Option<Queue>,
    pub(super) librarian: Librarian,
    pub(super) post: Post,
    pub(super) bell: Arc<Bell>,
    pub(super) stopping: Arc<AtomicBool>,
    pub(super) clock: Clock,
    pub(super) timeouts: Timeouts,
    pub(super) drain_ms: u64,
    pub(super) log_updates: bool,
    pub(super) access: access::Rules,
    pub(super) quotas: Quotas,
    pub(super) meters: Meters,
    /// Bytes of updates taken from the ring in one go.
    pub(super) batch_bytes_max: usize,
}

enum Stage {
    Requesting(Box<Requesting>),
    /// It speaks HTTP/2: requests and subscribers on streams of their own.
    Multiplexed(Box<Multiplexed>),
    /// It is a stream: the subscriber of this slot.
    Streaming(u32),
    /// Being worked on.
    Taken,
}

struct Connected {
    stage: Stage,
    /// Tells apart connections that had the same number.
    serial: u32,
    /// Events tell when its socket can be written: it was full once.
    awaits_writable: bool,
    /// It has steps left to do and stands in the queue of those that do.
    has_turn: bool,
    /// It is counted for as long as it is here.
    _seat: Seat,
}

/// The key of a connection in the epoll set.
fn key_of(number: u32, serial: u32) -> u64 {
    u64::from(number) | u64::from(serial) << 32
}

/// The stop of a shard, step by step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// It serves.
    No,
    /// No connection is accepted, since somebody else holds the socket; those that are open are served until this moment, and each
    /// ends with its next answer.
    HandingOver { until_ms: u64 },
    /// Nothing new begins; publications under way are finished. Until this moment at the latest.
    Finishing { until_ms: u64 },
    /// No update comes any more; streams end. Until this moment at the latest.
    Draining { until_ms: u64 },
}

pub(super) struct ShardLoop {
    parts: Parts,
    readiness: Readiness,
    events: Vec<epoll::Event>,
    connections: Slab<Connected>,
    sockets: Sockets,
    wheel: Wheel<(u32, u32)>,
    /// What the wheel has fired and nobody has attended to.
    due: VecDeque<(u32, u32)>,
    /// Connections that ran out of steps, by number and serial; each is in here once. No event will tell of them.
    turns: VecDeque<(u32, u32)>,
    /// Turns that this round has left.
    turns_left: usize,
    commits_under_way: usize,
    next_serial: u32,
    accept: accept::Accept,
    desk: Desk,
    read_buffer: Box<[u8]>,
    now: Now,
    date: (u64, HttpDate),
    samplers: Samplers,
    stop: Stop,
}

impl ShardLoop {
    /// Prepares the loop. To be called on the shard's own thread.
    ///
    /// # Errors
    /// No descriptor is left for the epoll set.
    pub(super) fn new(parts: Parts) -> std::io::Result<Self> {
        let now = parts.clock.now();
        let mut this = Self {
            parts,
            readiness: Readiness::new()?,
            events: Vec::with_capacity(EVENTS_MAX),
            connections: Slab::new(),
            sockets: Sockets::default(),
            wheel: Wheel::new(now.ms),
            due: VecDeque::new(),
            turns: VecDeque::new(),
            turns_left: 0,
            commits_under_way: 0,
            next_serial: 0,
            accept: accept::Accept::default(),
            desk: Desk::default(),
            read_buffer: vec![0; READ_BYTES_MAX].into(),
            now,
            date: (0, HttpDate::from_unix_s(0)),
            samplers: Samplers::default(),
            stop: Stop::No,
        };
        this.accept.keep_reserve(&this.parts.bell)?;
        this.listen()?;
        Ok(this)
    }

    /// Runs until the hub stops.
    pub(super) async fn run(mut self) {
        loop {
            self.now = self.parts.clock.now();
            // Who waits for a turn goes before who has just sent something.
            let mut busy = self.take_turns();
            busy |= self.take_events();
            busy |= self.accept_some();
            busy |= self.take_answers();
            busy |= self.take_entries();
            self.write_some();
            self.advance_timers();
            self.watch_full();
            self.close_ended();
            busy |= self.tell_subscriptions();
            busy |= self.attend_listings();
            busy |= self.drive_touched();
            self.parts.meters.round(&self.parts.shard, self.connections.len(), self.accept.pauses());
            if self.advance_stop() {
                debug!(shard = self.parts.number, "the shard has stopped");
                return;
            }
            // Timers and the stop leave bytes to write, too, and everything above may leave a connection with a turn.
            if busy || self.parts.shard.has_work() || !self.turns.is_empty() || !self.due.is_empty() {
                glommio::yield_if_needed().await;
            } else {
                self.sleep().await;
            }
        }
    }

    fn take_events(&mut self) -> bool {
        let mut events = std::mem::take(&mut self.events);
        // What ended a doze is there already.
        if events.is_empty() {
            self.readiness.take(&mut events, 0);
        }
        let count = events.len();
        for event in events.drain(..) {
            // The event is packed: its fields are copied, not borrowed.
            let (data, flags) = (event.data, event.flags);
            self.socket_event(data.u64(), flags);
        }
        self.events = events;
        count > 0
    }

    fn socket_event(&mut self, key: u64, flags: epoll::EventFlags) {
        match key {
            accept::LISTENER_KEY => return self.accept.is_ready(),
            accept::BELL_KEY => return,
            _ => {}
        }
        let (number, serial) = (key as u32, (key >> 32) as u32);
        let Some(connected) = self.connections.get_mut(number as usize).filter(|it| it.serial == serial)
        else {
            return;
        };
        let ended = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        let has_ended = flags.intersects(ended);
        match &mut connected.stage {
            Stage::Streaming(slot) => {
                let slot = *slot;
                if has_ended {
                    self.parts.shard.leave(slot);
                } else {
                    self.stream_event(slot, flags);
                }
            }
            Stage::Requesting(requesting) => {
                requesting.has_ended |= has_ended;
                requesting.is_drained = false;
                // Who has a turn will see in it what happened.
                if !connected.has_turn {
                    self.drive(number);
                }
            }
            Stage::Multiplexed(multiplexed) => {
                multiplexed.event(has_ended, self.now.ms);
                if !connected.has_turn {
                    self.drive(number);
                }
            }
            Stage::Taken => {}
        }
    }

    fn stream_event(&mut self, slot: u32, flags: epoll::EventFlags) {
        if flags.contains(epoll::EventFlags::IN) {
            self.attend(slot);
        }
        if flags.contains(epoll::EventFlags::OUT) {
            match self.sockets.transport(slot).map(Transport::flush) {
                Some(Ok(Flushed::All)) => self.parts.shard.writable(slot),
                Some(Ok(Flushed::Some)) => self.parts.shard.progressed(slot, self.now),
                Some(Err(Gone)) => self.parts.shard.leave(slot),
                Some(Ok(Flushed::Nothing)) | None => {}
            }
        }
    }

    /// Reads what a client sends on its stream.
    fn attend(&mut self, slot: u32) {
        let Self { sockets, read_buffer, .. } = self;
        if sockets.transport(slot).is_some_and(|transport| !transport.attend(read_buffer)) {
            self.parts.shard.leave(slot);
        }
    }

    /// Takes entries from the ring when everybody has been written to: answers our publishers, queues the updates.
    fn take_entries(&mut self) -> bool {
        if self.parts.shard.has_unflushed() {
            return false;
        }
        let Parts { ring, shard, number, batch_bytes_max, meters, .. } = &mut self.parts;
        let mut ours: Vec<(Ticket, bool)> = Vec::new();
        let mut bytes = 0;
        let mut is_last = false;
        let until = shard.counters().work + MATCHING_WORK_MAX;
        let count = ring.drain(RING_BATCH_MAX, |entry| {
            match entry {
                Entry::Published { placed, ticket } => {
                    shard.take(placed);
                    bytes += placed.frame.chunk().len();
                    ours.extend((ticket.shard() == Some(*number)).then_some((*ticket, true)));
                }
                Entry::Rejected { ticket } => {
                    ours.extend((ticket.shard() == Some(*number)).then_some((*ticket, false)));
                }
                Entry::Discarded { before_oldest } => shard.forget_until(*before_oldest),
                Entry::End => is_last = true,
            }
            bytes < *batch_bytes_max && shard.counters().work < until
        });
        meters.took(count);
        if count > 0 {
            shard.moved();
            self.listings_took(count);
        }
        for (ticket, is_stored) in ours {
            self.committed(ticket, is_stored);
        }
        if is_last {
            self.begin_drain();
        }
        count > 0
    }

    fn write_some(&mut self) {
        let Self { parts: Parts { shard, .. }, sockets, now, .. } = self;
        shard.catch_up(FLUSH_BATCH_MAX);
        shard.flush(FLUSH_BATCH_MAX, *now, sockets);
        while let Some(read) = self.parts.shard.next_read() {
            if let Err(error) = self.parts.librarian.ask(Question::Read(read)) {
                self.parts.shard.history_read(read, Err(error));
            }
        }
    }

    /// Asks for the events of the sockets that were found full. A socket that takes bytes again by now is told at once.
    fn watch_full(&mut self) {
        while let Some(number) = self.sockets.full.pop() {
            let Some(Connected { stage: Stage::Streaming(slot), serial, awaits_writable, .. }) =
                self.connections.get_mut(number as usize)
            else {
                continue;
            };
            let Some(transport) = self.sockets.transport(*slot) else { continue };
            if std::mem::replace(awaits_writable, true) {
                continue;
            }
            leave_to_dispatch_timeout(transport.as_fd(), self.parts.timeouts.write_ms);
            if let Err(error) = self.readiness.await_writable(transport.as_fd(), key_of(number, *serial)) {
                self.parts.shard.leave(*slot);
                self.tell_unwatched(&error);
            }
        }
    }

    fn advance_timers(&mut self) {
        let Self { parts: Parts { shard, .. }, sockets, now, wheel, due, .. } = self;
        shard.advance(*now, sockets);
        wheel.advance(now.ms, |key| due.push_back(key));
        for _ in 0..TIMERS_MAX {
            let Some((number, serial)) = self.due.pop_front() else { return };
            self.look_at(number, serial);
        }
    }

    fn close_ended(&mut self) {
        while let Some((slot, reason)) = self.parts.shard.next_closed() {
            let Some(socket) = self.sockets.by_slot.get_mut(slot as usize).and_then(Option::take) else {
                continue;
            };
            self.tell_end(slot, reason, socket.access.as_deref());
            match socket.carrier {
                Carrier::Own(mut transport) => {
                    transport.part();
                    self.connections.try_remove(socket.connection as usize);
                }
                Carrier::Shared(stream) => self.end_shared(slot, socket.connection, *stream, reason),
            }
        }
    }

    fn take_answers(&mut self) -> bool {
        let mut any = false;
        let until = self.parts.shard.counters().work + MATCHING_WORK_MAX;
        for _ in 0..HISTORY_ANSWERS_MAX {
            if self.parts.shard.counters().work >= until {
                break;
            }
            let Some(answer) = self.parts.librarian.answer() else { break };
            any = true;
            match answer {
                Answer::Read(read, stretch) => {
                    if let Err(error) = &stretch {
                        self.tell_history(error);
                    }
                    self.parts.shard.history_read(read, stretch);
                }
                Answer::Resolved { connection, serial, origin } => self.resolved(connection, serial, origin),
            }
        }
        any
    }

    /// Sleeps until a socket, the bell or a deadline: first in the epoll set itself, which takes one system call where
    /// glommio takes a dozen; when that has lasted for a while, as a task of the executor.
    async fn sleep(&mut self) {
        let deadlines = [
            self.parts.shard.next_deadline_ms(),
            self.wheel.next_deadline_ms(),
            self.accept.paused_until_ms(),
            self.stop.until_ms(),
            self.events_paused_until_ms(),
        ];
        let now_ms = self.parts.clock.now().ms;
        let left_ms = deadlines.into_iter().flatten().min().map(|at_ms| at_ms.saturating_sub(now_ms));
        self.parts.bell.announce();
        if !self.is_called() {
            let doze_ms = left_ms.unwrap_or(DOZE_MS_MAX).min(DOZE_MS_MAX);
            self.readiness.take(&mut self.events, doze_ms);
            if self.events.is_empty() && left_ms.is_none_or(|left_ms| left_ms > doze_ms) {
                self.park(left_ms.map(|left_ms| left_ms - doze_ms)).await;
            }
        }
        self.parts.bell.awake();
    }

    /// Gives the thread back to the executor until the epoll set has an event or the time is over.
    async fn park(&mut self, left_ms: Option<u64>) {
        let mut timeout = pin!(left_ms.map(|left_ms| Timer::new(Duration::from_millis(left_ms))));
        poll_fn(|context| {
            if self.is_called()
                || self.readiness.poll_ready(context).is_ready()
                || timeout.as_mut().as_pin_mut().is_some_and(|timer| timer.poll(context).is_ready())
            {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Whether another thread has work for this one.
    fn is_called(&self) -> bool {
        let Parts { ring, stopping, librarian, entrance, post, .. } = &self.parts;
        let stop_is_new = self.stop == Stop::No && stopping.load(Ordering::SeqCst);
        !ring.is_empty() || stop_is_new || librarian.has_answer() || entrance.has_dealt() || post.has_letter()
    }
}
