//! The loop of one shard: sockets, ring and timers around the pure [`Shard`].
//!
//! One task does all of it, in rounds: socket events, ring entries, history replies, replay, a
//! slice of sends, timers. When a round finds nothing to do, the task sleeps until a socket, the
//! waker or a deadline wakes it, all through one epoll set.
//! - All work of a round is bounded, so nothing waits long. Leftover work waits in its own queue.
//! - While such a queue holds something the task does not sleep: the edge-triggered events are
//!   past.
//! - Entries are taken from the ring only after every subscriber has been written to, so each send
//!   carries all updates that arrived meanwhile.

mod accept;
mod common;
mod exchange;
mod log;
mod multiplex;
mod serve;
mod sockets;
mod subscriptions;

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

use super::history_worker::{HistoryClient, HistoryReply, HistoryRequest};
use super::http2::Http2Conn;
use super::mailbox::Mailbox;
use crate::api::handler::Gate;
use crate::http::headers::date::HttpDate;
use crate::hub::sequencer::{ReplyTo, RingEntry};
use crate::hub::shard::Shard;
use crate::hub::timer_wheel::Wheel;
use crate::io::clock::Clock;
use crate::io::listener::{Listener, leave_to_dispatch_timeout};
use crate::io::poller::Poller;
use crate::io::tls::Acceptor;
use crate::io::transport::{Flushed, Gone, Transport};
use crate::io::waker::ShardWaker;
use crate::limits::{
    EPOLL_WAIT_MS_MAX, EVENTS_MAX, FLUSH_BATCH_MAX, HISTORY_REPLIES_MAX, MATCHING_WORK_MAX, READ_BYTES_MAX,
    RING_BATCH_MAX, TIMERS_MAX,
};
use crate::ops::access_log;
use crate::ops::metrics::Recorder;
use crate::ops::sampler::Samplers;
use crate::ring::Consumer;
use crate::server::http1::Http1Conn;
use crate::server::permits::{ConnectionPermit, Quotas};
use crate::server::queue::Queue;
use crate::server::timeouts::Timeouts;
use crate::time::Now;
use sockets::{Socket, Sockets, StreamTransport};
use subscriptions::Listings;
pub(crate) use subscriptions::MemoryPermit;

/// The parts of a shard's thread.
pub(crate) struct ShardDeps {
    pub(crate) number: u16,
    pub(crate) listener: Listener,
    /// Makes TLS sessions; `None` without TLS.
    pub(crate) tls: Option<Acceptor>,
    pub(crate) shard: Shard,
    pub(crate) gate: Gate,
    pub(crate) ring: Consumer<RingEntry>,
    /// `None` after this shard's last publication is acknowledged.
    pub(crate) queue: Option<Queue>,
    pub(crate) history_client: HistoryClient,
    pub(crate) mailbox: Mailbox,
    pub(crate) waker: Arc<ShardWaker>,
    pub(crate) stopping: Arc<AtomicBool>,
    pub(crate) clock: Clock,
    pub(crate) timeouts: Timeouts,
    pub(crate) drain_ms: u64,
    pub(crate) log_updates: bool,
    pub(crate) access: access_log::Rules,
    pub(crate) quotas: Quotas,
    pub(crate) recorder: Recorder,
    /// Bytes of updates to take from the ring at once.
    pub(crate) batch_bytes_max: usize,
}

enum ConnState {
    Http1(Box<Http1Conn>),
    /// It speaks HTTP/2: its requests and subscribers are HTTP/2 streams.
    Http2(Box<Http2Conn>),
    /// It is an event stream: the subscriber of this slot.
    Streaming(u32),
    /// Moved out while it is worked on.
    Taken,
}

struct Connected {
    state: ConnState,
    /// Distinguishes connections that had the same number.
    serial: u32,
    /// The socket was full once: the epoll set now also reports when it is writable.
    awaits_writable: bool,
    /// It has work left and is in `ready_queue`.
    is_queued: bool,
    /// Counts the connection while it is open.
    _permit: ConnectionPermit,
}

/// The key of a connection in the epoll set.
fn key_of(number: u32, serial: u32) -> u64 {
    u64::from(number) | u64::from(serial) << 32
}

/// The stages of a shard's stop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Serving.
    No,
    /// Accepts no connection, since another process holds the socket. Open connections are served
    /// until this moment, and each ends with its next response.
    HandingOver { until_ms: u64 },
    /// Nothing new begins; publications in progress are finished. Until this moment at the latest.
    Finishing { until_ms: u64 },
    /// No further updates arrive; streams end. Until this moment at the latest.
    Draining { until_ms: u64 },
}

pub(crate) struct ShardLoop {
    deps: ShardDeps,
    poller: Poller,
    events: Vec<epoll::Event>,
    connections: Slab<Connected>,
    sockets: Sockets,
    wheel: Wheel<(u32, u32)>,
    /// Timers that have fired and are not handled yet.
    due: VecDeque<(u32, u32)>,
    /// Connections with work left, by number and serial; each at most once. No event will report
    /// them.
    ready_queue: VecDeque<(u32, u32)>,
    /// Slices of work left in this round.
    budget_left: usize,
    commits_under_way: usize,
    next_serial: u32,
    accept: accept::Accept,
    listings: Listings,
    read_buffer: Box<[u8]>,
    now: Now,
    date: (u64, HttpDate),
    samplers: Samplers,
    stop: Stop,
}

impl ShardLoop {
    /// Prepares the loop. Call it on the shard's own thread.
    ///
    /// # Errors
    /// No descriptor is left for the epoll set.
    pub(crate) fn new(deps: ShardDeps) -> std::io::Result<Self> {
        let now = deps.clock.now();
        let mut this = Self {
            deps,
            poller: Poller::new()?,
            events: Vec::with_capacity(EVENTS_MAX),
            connections: Slab::new(),
            sockets: Sockets::default(),
            wheel: Wheel::new(now.ms),
            due: VecDeque::new(),
            ready_queue: VecDeque::new(),
            budget_left: 0,
            commits_under_way: 0,
            next_serial: 0,
            accept: accept::Accept::default(),
            listings: Listings::default(),
            read_buffer: vec![0; READ_BYTES_MAX].into(),
            now,
            date: (0, HttpDate::from_unix_s(0)),
            samplers: Samplers::default(),
            stop: Stop::No,
        };
        this.accept.keep_reserve(&this.deps.waker)?;
        this.listen()?;
        Ok(this)
    }

    /// Runs until the hub stops.
    pub(crate) async fn run(mut self) {
        loop {
            self.now = self.deps.clock.now();
            // Serve queued connections before those that have just sent something.
            let mut busy = self.drive_queued();
            busy |= self.take_events();
            busy |= self.accept_some();
            busy |= self.take_replies();
            busy |= self.take_entries();
            self.write_some();
            self.advance_timers();
            self.watch_full();
            self.close_ended();
            busy |= self.offer_subscription_events();
            busy |= self.advance_listings();
            busy |= self.poll_written();
            self.deps.recorder.round(&self.deps.shard, self.connections.len(), self.accept.pauses());
            if self.advance_stop() {
                debug!(shard = self.deps.number, "the shard has stopped");
                return;
            }
            // Timers and the stop can add bytes to write; everything above can queue a connection.
            if busy || self.deps.shard.has_work() || !self.ready_queue.is_empty() || !self.due.is_empty() {
                glommio::yield_if_needed().await;
            } else {
                self.sleep().await;
            }
        }
    }

    fn take_events(&mut self) -> bool {
        let mut events = std::mem::take(&mut self.events);
        // The events that ended a short sleep are in `events` already.
        if events.is_empty() {
            self.poller.take(&mut events, 0);
        }
        let count = events.len();
        for event in events.drain(..) {
            // The struct is packed: copy its fields, since they cannot be borrowed.
            let (data, flags) = (event.data, event.flags);
            self.socket_event(data.u64(), flags);
        }
        self.events = events;
        count > 0
    }

    fn socket_event(&mut self, key: u64, flags: epoll::EventFlags) {
        match key {
            accept::LISTENER_KEY => return self.accept.is_ready(),
            accept::WAKER_KEY => return,
            _ => {}
        }
        let (number, serial) = (key as u32, (key >> 32) as u32);
        let Some(connected) = self.connections.get_mut(number as usize).filter(|it| it.serial == serial)
        else {
            return;
        };
        let ended = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        let has_ended = flags.intersects(ended);
        match &mut connected.state {
            ConnState::Streaming(slot) => {
                let slot = *slot;
                if has_ended {
                    self.deps.shard.leave(slot);
                } else {
                    self.stream_event(slot, flags);
                }
            }
            ConnState::Http1(conn) => {
                conn.has_ended |= has_ended;
                conn.is_drained = false;
                // A queued connection sees the change in its next slice.
                if !connected.is_queued {
                    self.drive(number);
                }
            }
            ConnState::Http2(conn) => {
                conn.event(has_ended, self.now.ms);
                if !connected.is_queued {
                    self.drive(number);
                }
            }
            ConnState::Taken => {}
        }
    }

    fn stream_event(&mut self, slot: u32, flags: epoll::EventFlags) {
        if flags.contains(epoll::EventFlags::IN) {
            self.read_stream_input(slot);
        }
        if flags.contains(epoll::EventFlags::OUT) {
            match self.sockets.transport(slot).map(Transport::flush) {
                Some(Ok(Flushed::All)) => self.deps.shard.writable(slot),
                Some(Ok(Flushed::Some)) => self.deps.shard.progressed(slot, self.now),
                Some(Err(Gone)) => self.deps.shard.leave(slot),
                Some(Ok(Flushed::Nothing)) | None => {}
            }
        }
    }

    /// Reads input that a client sends on its stream.
    fn read_stream_input(&mut self, slot: u32) {
        let Self { sockets, read_buffer, .. } = self;
        if sockets.transport(slot).is_some_and(|transport| !transport.read_stream_input(read_buffer)) {
            self.deps.shard.leave(slot);
        }
    }

    /// Takes entries from the ring once every subscriber has been written to: responds to this
    /// shard's publishers, queues the updates.
    fn take_entries(&mut self) -> bool {
        if self.deps.shard.has_unflushed() {
            return false;
        }
        let ShardDeps { ring, shard, number, batch_bytes_max, recorder, .. } = &mut self.deps;
        let mut ours: Vec<(ReplyTo, bool)> = Vec::new();
        let mut bytes = 0;
        let mut is_last = false;
        let until = shard.counters().work + MATCHING_WORK_MAX;
        let count = ring.drain(RING_BATCH_MAX, |entry| {
            match entry {
                RingEntry::Published { update, reply_to } => {
                    shard.take(update);
                    bytes += update.frame.chunk().len();
                    ours.extend((reply_to.shard() == Some(*number)).then_some((*reply_to, true)));
                }
                RingEntry::Rejected { reply_to } => {
                    ours.extend((reply_to.shard() == Some(*number)).then_some((*reply_to, false)));
                }
                RingEntry::Discarded { before_oldest } => shard.forget_until(*before_oldest),
                RingEntry::End => is_last = true,
            }
            bytes < *batch_bytes_max && shard.counters().work < until
        });
        recorder.took(count);
        if count > 0 {
            shard.moved();
            self.listings_took(count);
        }
        for (reply_to, is_stored) in ours {
            self.committed(reply_to, is_stored);
        }
        if is_last {
            self.begin_drain();
        }
        count > 0
    }

    fn write_some(&mut self) {
        let Self { deps: ShardDeps { shard, .. }, sockets, now, .. } = self;
        shard.catch_up(FLUSH_BATCH_MAX);
        shard.flush(FLUSH_BATCH_MAX, *now, sockets);
        while let Some(read) = self.deps.shard.next_read() {
            if let Err(error) = self.deps.history_client.ask(HistoryRequest::Read(read)) {
                self.deps.shard.history_read(read, Err(error));
            }
        }
    }

    /// Asks for writable events of the sockets that were found full. If a socket has room again by
    /// now, the event fires at once.
    fn watch_full(&mut self) {
        while let Some(number) = self.sockets.full.pop() {
            let Some(Connected { state: ConnState::Streaming(slot), serial, awaits_writable, .. }) =
                self.connections.get_mut(number as usize)
            else {
                continue;
            };
            let Some(transport) = self.sockets.transport(*slot) else { continue };
            if std::mem::replace(awaits_writable, true) {
                continue;
            }
            leave_to_dispatch_timeout(transport.as_fd(), self.deps.timeouts.write_ms);
            if let Err(error) = self.poller.await_writable(transport.as_fd(), key_of(number, *serial)) {
                self.deps.shard.leave(*slot);
                self.log_unwatched(&error);
            }
        }
    }

    fn advance_timers(&mut self) {
        let Self { deps: ShardDeps { shard, .. }, sockets, now, wheel, due, .. } = self;
        shard.advance(*now, sockets);
        wheel.advance(now.ms, |key| due.push_back(key));
        for _ in 0..TIMERS_MAX {
            let Some((number, serial)) = self.due.pop_front() else { return };
            self.on_deadline(number, serial);
        }
    }

    fn close_ended(&mut self) {
        while let Some((slot, reason)) = self.deps.shard.next_closed() {
            let Some(socket) = self.sockets.by_slot.get_mut(slot as usize).and_then(Option::take) else {
                continue;
            };
            self.log_end(slot, reason, socket.access.as_deref());
            match socket.transport {
                StreamTransport::Own(mut transport) => {
                    transport.part();
                    self.connections.try_remove(socket.connection as usize);
                }
                StreamTransport::Shared(stream) => self.end_shared(slot, socket.connection, *stream, reason),
            }
        }
    }

    fn take_replies(&mut self) -> bool {
        let mut any = false;
        let until = self.deps.shard.counters().work + MATCHING_WORK_MAX;
        for _ in 0..HISTORY_REPLIES_MAX {
            if self.deps.shard.counters().work >= until {
                break;
            }
            let Some(reply) = self.deps.history_client.reply() else { break };
            any = true;
            match reply {
                HistoryReply::Read(read, slice) => {
                    if let Err(error) = &slice {
                        self.log_history_error(error);
                    }
                    self.deps.shard.history_read(read, slice);
                }
                HistoryReply::Resolved { connection, serial, resume_point } => {
                    self.resolved(connection, serial, resume_point);
                }
            }
        }
        any
    }

    /// Sleeps until a socket, the waker or a deadline. At first it waits in the epoll set, which
    /// takes one system call where glommio takes a dozen; after a while, as a task of the executor.
    async fn sleep(&mut self) {
        let deadlines = [
            self.deps.shard.next_deadline_ms(),
            self.wheel.next_deadline_ms(),
            self.accept.paused_until_ms(),
            self.stop.until_ms(),
            self.events_paused_until_ms(),
        ];
        let now_ms = self.deps.clock.now().ms;
        let left_ms = deadlines.into_iter().flatten().min().map(|at_ms| at_ms.saturating_sub(now_ms));
        self.deps.waker.announce();
        if !self.is_called() {
            let wait_ms = left_ms.unwrap_or(EPOLL_WAIT_MS_MAX).min(EPOLL_WAIT_MS_MAX);
            self.poller.take(&mut self.events, wait_ms);
            if self.events.is_empty() && left_ms.is_none_or(|left_ms| left_ms > wait_ms) {
                self.park(left_ms.map(|left_ms| left_ms - wait_ms)).await;
            }
        }
        self.deps.waker.awake();
    }

    /// Yields the thread to the executor until the epoll set has an event or the time is over.
    async fn park(&mut self, left_ms: Option<u64>) {
        let mut timeout = pin!(left_ms.map(|left_ms| Timer::new(Duration::from_millis(left_ms))));
        poll_fn(|context| {
            if self.is_called()
                || self.poller.poll_ready(context).is_ready()
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
        let ShardDeps { ring, stopping, history_client, listener, mailbox, .. } = &self.deps;
        let stop_is_new = self.stop == Stop::No && stopping.load(Ordering::SeqCst);
        !ring.is_empty()
            || stop_is_new
            || history_client.has_reply()
            || listener.has_handed_off()
            || mailbox.has_message()
    }
}
