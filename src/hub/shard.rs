//! One core's part of the hub: its subscribers, their selectors, and their pending updates.
//!
//! ```text
//!     join, nothing to resume               pending past the bound
//!   ──────────────────────────▶ Live ───────────────────────────────▶ CatchingUp
//!                                ▲                                      │    ▲
//!                                └── cursor meets the shard's position ─┘    │
//!   ─────────────────────────────────────────────────────────────────────────┘
//!     join, from a resume point
//!   either: expired, drained, the history has a gap or fails ──▶ Ending ── all sent ──▶ Closed
//!   any: the client is gone, or stalled ──▶ Closed
//! ```
//!
//! A subscriber that catches up reads from the tail, or else from the history.
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
//! - the pending bytes of one subscriber never exceed the bound by more than one frame; while it
//!   catches up, the bound is `CATCH_UP_BYTES`.
//!
//! It does not know connections, HTTP or tokens: `api` made the grants.

mod catch_up;
mod drain;
mod key_withdrawal;
mod shed;
mod subscriber;
mod subscribers;
mod timers;
mod values;
mod withdrawals;
mod write_queue;
mod writes;

use std::collections::VecDeque;
use std::rc::Rc;

use crate::history::{HistoryError, HistorySlice, Position, ResumePoint, SequencedUpdate};
use crate::hub::presence::Subscriptions;
use crate::hub::tail::Tail;
use crate::hub::timer_wheel::TimerKey;
use crate::limits::TIMERS_MAX;
use crate::mercure::index::Price;
use crate::mercure::resume::Resume;
use crate::mercure::selector::Selector;
use crate::sse::framing::Framing;
use crate::sse::wire::Wire;
use crate::time::Now;

pub use catch_up::HistoryRead;
pub use values::{Counters, EndReason, Joining, ShardSettings};

use catch_up::{CatchUp, LivePoint};
use drain::Drain;
use subscriber::{Ahead, Reading, Subscriber, SubscriberState};
use subscribers::Subscribers;
use timers::Timers;
use withdrawals::Withdrawals;

/// The subscribers of one core.
pub struct Shard {
    settings: ShardSettings,
    /// The last update that was taken from the ring.
    position: Position,
    /// Whether the update after it is begun, and paused.
    is_taking: bool,
    subscribers: Subscribers,
    next_generation: u32,
    catch_up: CatchUp,
    tail: Tail,
    timers: Timers,
    drain: Option<Drain>,
    closed: VecDeque<(u32, EndReason)>,
    withdrawals: Withdrawals,
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
            is_taking: false,
            subscribers: Subscribers::new(),
            next_generation: 0,
            catch_up: CatchUp::default(),
            tail: Tail::new(settings.tail, &newest.updates),
            timers: Timers::new(now.ms),
            drain: None,
            closed: VecDeque::new(),
            withdrawals: Withdrawals::default(),
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
        self.len() == 0
    }

    /// The last update that was taken from the ring.
    #[cfg(any(test, feature = "internals"))]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The counters so far.
    pub fn counters(&self) -> Counters {
        self.subscribers.counters
    }

    /// The events of subscriptions that wait.
    pub fn waiting_events(&self) -> usize {
        self.subscriptions.as_ref().map_or(0, |all| all.waiting())
    }

    /// The active subscriptions; `None` if they are not tracked.
    pub fn subscriptions(&mut self) -> Option<&mut Subscriptions> {
        self.subscriptions.as_deref_mut()
    }

    /// Where a subscriber resumes, if the tail knows; `None` means: ask the history.
    pub fn resolve(&self, resume: &Resume) -> Option<ResumePoint> {
        match resume {
            Resume::Earliest => None,
            Resume::After(id) => {
                let cursor = self.tail.locate(id.as_str())?;
                Some(ResumePoint { cursor, known: Some(id.clone()) })
            }
            Resume::Newest => {
                Some(ResumePoint { cursor: self.position, known: self.tail.newest_id().cloned() })
            }
        }
    }

    /// What these selectors would add to the price of matching.
    pub fn price_of(&mut self, selectors: &[Selector]) -> Price {
        self.subscribers.price_of(selectors)
    }

    /// The price of matching: the most that a topic of 1 KiB can cost, see
    /// [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE).
    pub fn price(&self) -> u32 {
        self.subscribers.price()
    }

    /// Adds a subscriber; returns its slot. The caller attaches the socket to the slot before it
    /// lets the shard write.
    pub fn join(&mut self, joining: Joining, now: Now) -> u32 {
        let Joining { selectors, announcements, grant, expires_ms, framing, .. } = joining;
        let Joining { id, client, key, resume_point, opening, .. } = joining;
        let counters = &mut self.subscribers.counters;
        counters.joined += 1;
        counters.resumed += u64::from(resume_point.is_some());
        self.next_generation = self.next_generation.wrapping_add(1);
        let mut subscriber = Subscriber::new(&selectors, grant, framing, resume_point, opening, now);
        (subscriber.expires_ms, subscriber.key) = (expires_ms, key);
        subscriber.generation = self.next_generation;
        if self.is_taking && subscriber.state == SubscriberState::Live {
            // It gets that update, too.
            let (cursor, reading) = (self.position, Reading::No);
            subscriber.state = SubscriberState::CatchingUp { cursor, from_oldest: false, reading };
        }
        // A subscription of draft 04 has no announcements, also where draft 08 has them.
        let is_announced = self.subscriptions.is_some() && !announcements.is_empty();
        let begun = is_announced.then(|| Rc::clone(&subscriber.grant));
        let slot = self.subscribers.insert(subscriber, &selectors);
        if let (Some(subscriptions), Some(grant)) = (&mut self.subscriptions, begun) {
            subscriptions.begin(slot, (id, client), (&selectors, &announcements), &grant);
        }
        self.arm(slot);
        if self.drain.is_some() {
            self.end(slot, EndReason::Drained);
        }
        slot
    }

    /// Handles that the client of this slot has left.
    pub fn leave(&mut self, slot: u32) {
        self.close(slot, EndReason::Gone);
    }

    /// Handles that the socket of this slot takes bytes again.
    pub fn writable(&mut self, slot: u32) {
        if let Some(subscriber) = self.subscribers.get_mut(slot)
            && std::mem::take(&mut subscriber.blocked)
        {
            self.subscribers.mark_dirty(slot);
            // While it was full, its timer was that of a stalled socket, or none.
            self.arm(slot);
        }
    }

    /// Notes that the socket of this slot took some of the held bytes: it is slow, not stalled.
    pub fn progressed(&mut self, slot: u32, now: Now) {
        if let Some(subscriber) = self.subscribers.get_mut(slot) {
            subscriber.wrote_ms = now.ms;
        }
    }

    /// Takes the next update from the ring: queues it for every live subscriber that selected it
    /// and may receive it.
    #[cfg(any(test, feature = "internals"))]
    pub fn take(&mut self, update: &SequencedUpdate) {
        let is_taken = self.take_some(update, u64::MAX);
        debug_assert!(is_taken);
    }

    /// The same, but pauses once [`Counters::work`] exceeds `work_until`, and then returns false:
    /// take the same update again after other work. Meanwhile no subscriber becomes live that
    /// catches up: it reads the update from the tail.
    pub fn take_some(&mut self, update: &SequencedUpdate, work_until: u64) -> bool {
        let Self { subscribers, settings, catch_up, is_taking, .. } = self;
        if !std::mem::replace(is_taking, true) {
            subscribers.begin_take();
        }
        if !subscribers.take(update, settings, work_until, |slot| catch_up.push(slot)) {
            return false;
        }
        self.is_taking = false;
        self.position = update.position;
        self.tail.push(update.clone());
        if let Some(subscriptions) = &mut self.subscriptions {
            subscriptions.took(update);
        }
        true
    }

    /// Call this after entries were taken. It queues the subscribers that were ahead of the shard,
    /// and records which must be written to before more are taken.
    pub fn moved(&mut self) {
        self.subscribers.moved();
        self.catch_up.moved();
    }

    /// Forgets updates up to this position: the history no longer holds them.
    pub fn forget_until(&mut self, before_oldest: Position) {
        self.tail.forget_until(before_oldest);
        if let Some(subscriptions) = &mut self.subscriptions {
            subscriptions.forgot();
        }
    }

    /// Whether [`Shard::flush`], [`Shard::catch_up`], [`Shard::advance`] or
    /// [`Shard::end_withdrawn`] has work; the caller must then not sleep.
    pub fn has_work(&self) -> bool {
        self.subscribers.has_dirty()
            || self.catch_up.has_work()
            || self.timers.has_due()
            || self.withdrawals.has_work()
    }

    /// Continues up to `subscribers_max` subscribers that catch up. Stops early once the work is
    /// enough.
    pub fn catch_up(&mut self, subscribers_max: usize) {
        let live = self.live();
        let Self { catch_up, subscribers, tail, .. } = self;
        catch_up.advance(subscribers_max, subscribers, tail, live);
    }

    /// The next read to run; pass the result to [`Shard::history_read`].
    pub fn next_read(&mut self) -> Option<HistoryRead> {
        self.catch_up.next_read(&mut self.subscribers)
    }

    /// Takes the result of a read. It is not an error if the subscriber has left meanwhile.
    pub fn history_read(&mut self, read: HistoryRead, result: Result<HistorySlice, HistoryError>) {
        let live = self.live();
        let ends = self.catch_up.history_read(read, result, &mut self.subscribers, live);
        if let Some(reason) = ends {
            self.end(read.slot, reason);
        }
    }

    /// Handles due timers: heartbeats, expiries, stalled sockets, the drain. If many fire at once,
    /// as heartbeats after a broadcast do, it handles up to [`TIMERS_MAX`] per call.
    ///
    /// A subscriber has one entry in the wheel, at the earliest of its deadlines. A delivery does
    /// not touch the wheel: when the entry fires, the deadline is computed again from the time the
    /// socket last took a byte.
    pub fn advance(&mut self, now: Now, wire: &mut impl Wire) {
        self.timers.advance(now.ms);
        for _ in 0..TIMERS_MAX {
            let Some((slot, generation)) = self.timers.due.pop_front() else { break };
            let is_it = |it: &&mut Subscriber| it.generation == generation && it.armed_ms <= now.ms;
            if let Some(subscriber) = self.subscribers.get_mut(slot).filter(is_it) {
                subscriber.armed_ms = u64::MAX;
                self.on_deadline(slot, now, wire);
            }
        }
        self.advance_drain(now);
    }

    /// When [`Shard::advance`] must be called next, in [`Now::ms`].
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let drain = self.drain.as_ref().and_then(Drain::next_deadline_ms);
        match (self.timers.wheel.next_deadline_ms(), drain) {
            (Some(timer), Some(drain)) => Some(timer.min(drain)),
            (timer, drain) => timer.or(drain),
        }
    }

    /// Sets a timer of the caller, whose key [`Shard::next_caller_timer`] returns when it has
    /// fired; the first number is below 2^31. See
    /// [`Wheel::arm`](crate::hub::timer_wheel::Wheel::arm) for the rest.
    pub fn arm_caller_timer(&mut self, deadline_ms: u64, armed_ms: u64, (number, serial): (u32, u32)) -> u64 {
        self.timers.wheel.arm(deadline_ms, armed_ms, TimerKey::caller(number, serial))
    }

    /// The next timer of the caller that has fired.
    pub fn next_caller_timer(&mut self) -> Option<(u32, u32)> {
        self.timers.caller_due.pop_front()
    }

    /// Ends every stream, evenly over `duration_ms`, each after its pending updates are sent.
    pub fn begin_drain(&mut self, duration_ms: u64, now: Now) {
        self.drain = Some(Drain::new(self.subscribers.slots(), duration_ms, now.ms));
        self.advance_drain(now);
    }

    /// Closes every stream at once, even with pending updates: the time for the stop is over.
    pub fn close_all(&mut self) {
        for slot in self.subscribers.slots() {
            self.close(slot, EndReason::Drained);
        }
    }

    /// The next subscription that ended; the caller closes its socket. This frees the slot.
    pub fn next_closed(&mut self) -> Option<(u32, EndReason)> {
        let (slot, reason) = self.closed.pop_front()?;
        self.subscribers.remove(slot);
        Some((slot, reason))
    }

    fn live(&self) -> LivePoint {
        LivePoint { position: self.position, is_open: !self.is_taking }
    }

    fn on_deadline(&mut self, slot: u32, now: Now, wire: &mut impl Wire) {
        let Some(subscriber) = self.subscribers.get_mut(slot) else { return };
        if subscriber.state == SubscriberState::Closed {
            return;
        }
        if subscriber.expires_ms <= now.ms {
            return self.revoke(slot, EndReason::Expired);
        }
        if subscriber.deadline_ms(&self.settings) <= now.ms {
            if subscriber.blocked {
                return self.close(slot, EndReason::Stalled);
            }
            if subscriber.is_idle() && !subscriber.send_heartbeat(slot, now, wire) {
                return self.close(slot, EndReason::Gone);
            }
        }
        self.arm(slot);
    }

    fn arm(&mut self, slot: u32) {
        let Some(subscriber) = self.subscribers.get_mut(slot) else { return };
        let deadline_ms = subscriber.deadline_ms(&self.settings);
        let key = TimerKey::subscriber(slot, subscriber.generation);
        subscriber.armed_ms = self.timers.wheel.arm(deadline_ms, subscriber.armed_ms, key);
    }

    fn advance_drain(&mut self, now: Now) {
        let Some(drain) = &mut self.drain else { return };
        for slot in drain.next(now.ms) {
            self.end(slot, EndReason::Drained);
        }
    }

    /// Ends a subscription: queues nothing more, and closes it when its pending bytes are sent.
    fn end(&mut self, slot: u32, reason: EndReason) {
        let Some(subscriber) = self.subscribers.get_mut(slot) else { return };
        if subscriber.state == SubscriberState::Closed {
            return;
        }
        subscriber.state = SubscriberState::Ending(reason);
        // A blocked subscriber with nothing pending still has bytes before the socket: they go
        // first.
        if subscriber.pending.is_none() && subscriber.ahead.is_none() && !subscriber.blocked {
            self.finish(slot, reason);
        }
    }

    /// Ends a subscription whose token is no longer valid: only the update already begun is sent,
    /// and a full socket is closed at once.
    fn revoke(&mut self, slot: u32, reason: EndReason) {
        if self.subscribers.get_mut(slot).is_some_and(|subscriber| subscriber.blocked) {
            return self.close(slot, reason);
        }
        self.subscribers.cut(slot);
        self.end(slot, reason);
    }

    /// Everything is sent: sends the end of the coding and the last chunk, or closes.
    fn finish(&mut self, slot: u32, reason: EndReason) {
        let Some(subscriber) = self.subscribers.get_mut(slot) else { return };
        let ending = subscriber.framing.ending(subscriber.carried);
        if ending.is_empty() {
            return self.close(slot, reason);
        }
        // The ending has no end of its own: the socket closes after it.
        subscriber.framing = Framing::PLAIN;
        subscriber.ahead = Some(Ahead::new(ending));
        self.subscribers.mark_dirty(slot);
    }

    fn close(&mut self, slot: u32, reason: EndReason) {
        if !self.subscribers.close(slot) {
            return;
        }
        if let Some(subscriptions) = &mut self.subscriptions {
            subscriptions.end(slot);
        }
        self.closed.push_back((slot, reason));
    }
}

#[cfg(test)]
mod tests;
