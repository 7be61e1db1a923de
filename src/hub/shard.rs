//! One core's part of the hub: its subscribers, their selectors, and their pending updates.
//!
//! ```text
//!     join, nothing to resume               pending past the bound
//!   ──────────────────────────▶ Live ───────────────────────────────▶ CatchingUp ◀── tail, else a
//!                                ▲                                      │    ▲       history read
//!                                └── cursor meets the shard's position ─┘    │
//!   ─────────────────────────────────────────────────────────────────────────┘
//!     join, from a resume point
//!   either: expired, drained, or the history has a gap ──▶ Ending ── all sent ──▶ closed
//! ```
//!
//! The caller owns sockets and time. It feeds ring entries ([`Shard::take`]), calls the methods
//! that write ([`Shard::flush`], [`Shard::catch_up`], [`Shard::advance`]) through a [`Wire`], runs
//! the requested reads ([`Shard::next_read`]) and closes the ended subscriptions
//! ([`Shard::next_closed`]).
//!
//! Invariants:
//! - a live subscriber has been offered every update up to the shard's position; one that catches
//!   up has been offered every update up to its cursor, and live updates are never queued for it;
//! - the end of the tail is the shard's position, so a subscriber that has read the tail to its end
//!   is live, in the same call;
//! - the pending bytes of one subscriber never exceed the bound by more than one frame.
//!
//! It does not know connections, HTTP or tokens: the gate made the grants.

mod catching_up;
mod ending;
mod timing;
mod writing;

use std::collections::VecDeque;
use std::rc::Rc;

use slab::Slab;

use crate::history::{HistorySlice, Position, ResumePoint, SequencedUpdate};
use crate::hub::outbox::{Outboxes, Pending};
use crate::hub::presence::Subscriptions;
use crate::hub::tail::{Tail, TailBounds};
use crate::hub::timer_wheel::Wheel;
use crate::mercure::audience::Audience;
use crate::mercure::grant::Grant;
use crate::mercure::index::TopicIndex;
use crate::mercure::resume::Resume;
use crate::mercure::selector::Selector;
use crate::mercure::subscription::SubscriberId;
use crate::sse::crc::CrcSum;
use crate::sse::framing::Framing;
use crate::sse::wire::Wire;
use crate::time::Now;

pub use catching_up::HistoryRead;
use ending::Drain;
use writing::{Ahead, Written};

/// The settings of a shard.
#[derive(Clone, Copy, Debug)]
pub struct ShardSettings {
    /// `HEARTBEAT_INTERVAL`; 0 sends none.
    pub heartbeat_ms: u64,
    /// `DISPATCH_TIMEOUT`: a socket with pending bytes that takes none for this long is closed; 0
    /// waits forever.
    pub dispatch_timeout_ms: u64,
    /// `SUBSCRIBER_BUFFER`: bytes that may be pending for one subscriber before it is served from
    /// the history.
    pub subscriber_buffer_bytes: usize,
    /// The bounds of the updates kept in memory for subscribers that resume.
    pub tail: TailBounds,
    /// `SUBSCRIPTIONS`: whether active subscriptions are tracked.
    pub tracks_subscriptions: bool,
}

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The client left.
    Gone,
    /// Its token expired, or the time limit of a response (`WRITE_TIMEOUT`) was reached.
    Expired,
    /// It took no byte for `DISPATCH_TIMEOUT`.
    Stalled,
    /// The history no longer holds its next update. When the client reconnects with its last event
    /// id, the response shows the gap.
    HistoryGap,
    /// The history could not be read.
    HistoryUnreadable,
    /// The hub stops.
    Drained,
}

impl Closed {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Gone, Self::Expired, Self::Stalled, Self::HistoryGap, Self::HistoryUnreadable, Self::Drained];
}

/// A granted subscription.
pub struct Joining {
    /// The selectors; not empty.
    pub selectors: Vec<Selector>,
    /// The updates it may receive.
    pub grant: Rc<Grant>,
    /// When its token expires or its time limit is reached, in the milliseconds of [`Now::ms`];
    /// `u64::MAX` for never.
    pub expires_ms: u64,
    /// The framing of its stream.
    pub framing: Framing,
    /// Its id among the active subscriptions.
    pub id: SubscriberId,
    /// Where it resumes; `None` starts live.
    pub resume_point: Option<ResumePoint>,
    /// The head of the response and [`Framing::opening`].
    pub opening: Box<[u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SubscriberState {
    Live,
    CatchingUp {
        /// The last update that it was offered.
        cursor: Position,
        /// Whether it was promised everything that is held and has received nothing yet. Updates
        /// discarded before it reads them are then no loss.
        from_oldest: bool,
        /// Whether it waits for a read of the history.
        reading: Reading,
    },
    Ending(Closed),
    /// Gone. The slot stays in use until the caller has taken the notice, so that no other
    /// subscriber is closed in its place.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    No,
    /// It waits in the queue for a read.
    Wanted,
    UnderWay,
}

/// One subscriber. The fields used for every delivery come first.
struct Subscriber {
    pending: Pending,
    state: SubscriberState,
    framing: Framing,
    /// Whether it is in the queue of subscribers to write to.
    dirty: bool,
    /// Whether the socket is full. [`Shard::writable`] reports when it takes bytes again.
    blocked: bool,
    /// Sent bytes of the pending path.
    sent: usize,
    /// Bytes to send before the pending path: the opening, the rest of a comment, the last chunk.
    ahead: Option<Box<Ahead>>,
    /// When the socket last took a byte.
    wrote_ms: u64,
    grant: Rc<Grant>,
    /// The cost of comparing a topic with its selectors.
    match_cost: u32,
    expires_ms: u64,
    /// When the wheel fires for it.
    armed_ms: u64,
    generation: u32,
    /// The checksum of the stream so far, if its end needs one.
    carried: CrcSum,
}

/// Counters of one shard, for the log and the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Updates queued for a subscriber.
    pub deliveries: u64,
    /// Bytes that sockets took.
    pub bytes: u64,
    /// How often a subscriber exceeded its buffer.
    pub fell_behind: u64,
    /// Subscriptions that began.
    pub joined: u64,
    /// How many of them resumed.
    pub resumed: u64,
    /// Work on subscribers, in the unit of [`MATCHING_WORK_MAX`](crate::limits::MATCHING_WORK_MAX).
    pub work: u64,
}

/// The subscribers of one core.
pub struct Shard {
    settings: ShardSettings,
    /// The last update that was taken from the ring.
    position: Position,
    subscribers: Slab<Subscriber>,
    index: TopicIndex,
    outboxes: Outboxes,
    tail: Tail,
    wheel: Wheel<(u32, u32)>,
    /// Timers that the wheel has fired but that are not handled yet.
    due: VecDeque<(u32, u32)>,
    /// Subscribers to write to.
    dirty: VecDeque<u32>,
    /// How many of these were in the queue when entries were last taken; they come first.
    dirty_since_take: usize,
    /// Subscribers that catch up and have nothing pending now.
    catching_up: VecDeque<u32>,
    /// Subscribers that have read further than this shard.
    ahead_of_shard: Vec<u32>,
    reads_wanted: VecDeque<u32>,
    reads_under_way: usize,
    closed: VecDeque<(u32, Closed)>,
    drain: Option<Drain>,
    next_generation: u32,
    counters: Counters,
    /// The active subscriptions, if they are tracked.
    subscriptions: Option<Box<Subscriptions>>,
}

impl Shard {
    /// A shard without subscribers, which begins after the newest update of the history. `newest`
    /// is the end of the history that its tail should hold.
    pub fn new(settings: ShardSettings, newest: &HistorySlice, now: Now) -> Self {
        Self {
            settings,
            position: newest.range.newest,
            subscribers: Slab::new(),
            index: TopicIndex::new(),
            outboxes: Outboxes::default(),
            tail: Tail::new(settings.tail, &newest.updates),
            wheel: Wheel::new(now.ms),
            due: VecDeque::new(),
            dirty: VecDeque::new(),
            dirty_since_take: 0,
            catching_up: VecDeque::new(),
            ahead_of_shard: Vec::new(),
            reads_wanted: VecDeque::new(),
            reads_under_way: 0,
            closed: VecDeque::new(),
            drain: None,
            next_generation: 0,
            counters: Counters::default(),
            subscriptions: settings.tracks_subscriptions.then(|| {
                let last = newest.updates.iter().rfind(|update| update.first_of_id);
                Box::new(Subscriptions::new(last, newest.range.before_oldest > Position::START))
            }),
        }
    }

    /// The number of subscribers.
    pub fn len(&self) -> usize {
        self.subscribers.len()
    }

    /// Whether there are no subscribers.
    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// The last update that was taken from the ring.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The counters so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The active subscriptions; `None` if they are not tracked.
    pub fn subscriptions(&mut self) -> Option<&mut Subscriptions> {
        self.subscriptions.as_deref_mut()
    }

    /// Where a subscriber resumes, if the tail knows; `None` means: ask the history.
    pub fn resolve(&self, resume: &Resume) -> Option<ResumePoint> {
        let Resume::After(id) = resume else { return None };
        self.tail.locate(id.as_str()).map(|cursor| ResumePoint { cursor, known: Some(id.clone()) })
    }

    /// Adds a subscriber; returns its slot. The caller attaches the socket to the slot before it
    /// lets the shard write.
    pub fn join(&mut self, joining: Joining, now: Now) -> u32 {
        let Joining { selectors, grant, expires_ms, framing, id, resume_point, opening } = joining;
        self.counters.resumed += u64::from(resume_point.is_some());
        let state = match resume_point {
            None => SubscriberState::Live,
            Some(ResumePoint { cursor, known }) => {
                SubscriberState::CatchingUp { cursor, from_oldest: known.is_none(), reading: Reading::No }
            }
        };
        self.next_generation = self.next_generation.wrapping_add(1);
        let mut subscriber = Subscriber {
            pending: Pending::NONE,
            state,
            framing,
            dirty: false,
            blocked: false,
            sent: 0,
            ahead: Some(Ahead::new(opening)),
            wrote_ms: now.ms,
            grant,
            match_cost: selectors.iter().map(Selector::match_cost).fold(0, u32::saturating_add),
            expires_ms,
            armed_ms: u64::MAX,
            generation: self.next_generation,
            carried: CrcSum::default(),
        };
        subscriber.carry(framing.comment_crc());
        let slot = u32::try_from(self.subscribers.insert(subscriber)).expect("fewer subscribers than fds");
        self.index.insert(slot, &selectors);
        self.counters.joined += 1;
        if let Some(subscriptions) = &mut self.subscriptions {
            let grant = &self.subscribers[slot as usize].grant;
            subscriptions.begin(slot, id, &selectors, grant);
        }
        self.mark_dirty(slot);
        self.arm(slot);
        if self.drain.is_some() {
            self.end(slot, Closed::Drained);
        }
        slot
    }

    /// Handles that the client of this slot has left.
    pub fn leave(&mut self, slot: u32) {
        self.close(slot, Closed::Gone);
    }

    /// Handles that the socket of this slot takes bytes again.
    pub fn writable(&mut self, slot: u32) {
        if let Some(subscriber) = self.subscribers.get_mut(slot as usize)
            && std::mem::take(&mut subscriber.blocked)
        {
            self.mark_dirty(slot);
        }
    }

    /// Takes the next update from the ring: queues it for every live subscriber that selected it
    /// and may receive it.
    pub fn take(&mut self, update: &SequencedUpdate) {
        let Self { subscribers, index, outboxes, dirty, catching_up, settings, counters, .. } = self;
        let frame = &*update.frame;
        let is_public = *frame.audience() == Audience::Public;
        index.for_each_match(frame.topic_texts(), |slot| {
            counters.work += 1;
            let subscriber = &mut subscribers[slot as usize];
            if subscriber.state != SubscriberState::Live
                || !(is_public || subscriber.grant.may_receive(frame.topic_texts(), frame.audience()))
            {
                return;
            }
            let waiting = outboxes.bytes(&subscriber.pending) - subscriber.sent;
            counters.work += subscriber.framing.work(frame);
            let frame_bytes = subscriber.framing.bytes(frame).len();
            if waiting > 0 && waiting + frame_bytes > settings.subscriber_buffer_bytes {
                subscriber.fall_behind(outboxes);
                counters.fell_behind += 1;
                if subscriber.pending.is_none() {
                    catching_up.push_back(slot);
                }
                return;
            }
            outboxes.append(&mut subscriber.pending, subscriber.framing, update);
            counters.deliveries += 1;
            if !subscriber.blocked && !subscriber.dirty {
                subscriber.dirty = true;
                dirty.push_back(slot);
            }
        });
        self.position = update.position;
        self.tail.push(update.clone());
        if let Some(subscriptions) = &mut self.subscriptions {
            subscriptions.took(update);
        }
    }

    /// Forgets updates up to this position: the history no longer holds them.
    pub fn forget_until(&mut self, before_oldest: Position) {
        self.tail.forget_until(before_oldest);
        if let Some(subscriptions) = &mut self.subscriptions {
            subscriptions.forgot();
        }
    }

    /// Whether a subscriber that was in the write queue when entries were last taken still waits.
    /// Take entries only when none does: each round of sends then carries everything that came
    /// since the last. Subscribers queued later do not count: those that catch up are always
    /// queued, and live updates and responses never wait for them.
    pub fn has_unflushed(&self) -> bool {
        self.dirty_since_take > 0
    }

    /// Whether [`Shard::flush`], [`Shard::catch_up`] or [`Shard::advance`] has work; the caller
    /// must then not sleep.
    pub fn has_work(&self) -> bool {
        !self.dirty.is_empty() || !self.catching_up.is_empty() || !self.due.is_empty()
    }

    /// Writes to up to `sockets_max` subscribers.
    pub fn flush(&mut self, sockets_max: usize, now: Now, wire: &mut impl Wire) {
        for _ in 0..sockets_max {
            let Some(slot) = self.dirty.pop_front() else { return };
            self.dirty_since_take = self.dirty_since_take.saturating_sub(1);
            self.flush_one(slot, now, wire);
        }
    }

    /// The next subscription that ended; the caller closes its socket. This frees the slot.
    pub fn next_closed(&mut self) -> Option<(u32, Closed)> {
        let (slot, reason) = self.closed.pop_front()?;
        self.subscribers.remove(slot as usize);
        Some((slot, reason))
    }

    fn flush_one(&mut self, slot: u32, now: Now, wire: &mut impl Wire) {
        let Some(subscriber) = self.subscribers.get_mut(slot as usize) else { return };
        // A reused slot can be in the queue twice; the flag shows which entry counts.
        if !std::mem::take(&mut subscriber.dirty) || subscriber.blocked {
            return;
        }
        match subscriber.write(slot, &mut self.outboxes, now, wire) {
            Written::All(bytes) => {
                self.counters.bytes += bytes as u64;
                self.all_sent(slot);
            }
            Written::Some(bytes) => {
                self.counters.bytes += bytes as u64;
                self.arm(slot);
            }
            Written::Gone => self.close(slot, Closed::Gone),
        }
    }

    /// Continues a subscriber that has nothing pending now.
    fn all_sent(&mut self, slot: u32) {
        match self.subscribers[slot as usize].state {
            SubscriberState::Live | SubscriberState::Closed => {}
            SubscriberState::CatchingUp { .. } => self.catching_up.push_back(slot),
            SubscriberState::Ending(reason) => self.finish(slot, reason),
        }
    }

    fn mark_dirty(&mut self, slot: u32) {
        if let Some(subscriber) = self.subscribers.get_mut(slot as usize)
            && !subscriber.blocked
            && subscriber.state != SubscriberState::Closed
            && !std::mem::replace(&mut subscriber.dirty, true)
        {
            self.dirty.push_back(slot);
        }
    }

    fn close(&mut self, slot: u32, reason: Closed) {
        let Some(subscriber) = self.subscribers.get_mut(slot as usize) else { return };
        if std::mem::replace(&mut subscriber.state, SubscriberState::Closed) == SubscriberState::Closed {
            return;
        }
        subscriber.dirty = false;
        subscriber.ahead = None;
        subscriber.expires_ms = u64::MAX;
        self.outboxes.release(&mut subscriber.pending);
        self.index.remove(slot);
        if let Some(subscriptions) = &mut self.subscriptions {
            subscriptions.end(slot);
        }
        self.closed.push_back((slot, reason));
    }
}

#[cfg(test)]
mod tests;
