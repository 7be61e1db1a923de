//! One subscriber: its state, what is pending for it, and how that is written.

use std::rc::Rc;

use super::values::{Counters, EndReason, ShardSettings};
use crate::history::{Position, ResumePoint, SequencedUpdate};
use crate::hub::outbox::{Gathered, Outboxes, Pending, Rest};
use crate::limits::{
    CATCH_UP_BYTES, MATCH_COST_COMPARISON, MATCH_COST_PER_WORK, MATCH_COST_RUN, MATCH_COST_URL,
};
use crate::mercure::audience::Audience;
use crate::mercure::grant::Grant;
use crate::mercure::index::TopicIndex;
use crate::mercure::selector::{ComparedTopic, ReadTopic, Selector};
use crate::mercure::token::KeyNumber;
use crate::sse::crc::{CrcPart, CrcSum};
use crate::sse::frame::Frame;
use crate::sse::framing::Framing;
use crate::sse::wire::{Sent, Wire};
use crate::time::Now;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubscriberState {
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
    Ending(EndReason),
    /// Gone. The slot stays in use until the caller has taken the notice, so that no other
    /// subscriber is closed in its place.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    No,
    /// It waits in the queue for a read.
    Wanted,
    UnderWay,
}

/// One subscriber. The fields used for every delivery come first.
pub(super) struct Subscriber {
    pub(super) pending: Pending,
    pub(super) state: SubscriberState,
    pub(super) framing: Framing,
    /// Whether it is in the queue of subscribers to write to.
    pub(super) dirty: bool,
    /// Whether the socket is full. [`Shard::writable`] reports when it takes bytes again.
    pub(super) blocked: bool,
    /// The number of its socket, if it shares it with other subscribers.
    pub(super) shared_socket: Option<u32>,
    /// Sent bytes of the pending path.
    pub(super) sent: usize,
    /// Bytes to send before the pending path: the opening, the rest of a comment, the last chunk.
    pub(super) ahead: Option<Box<Ahead>>,
    /// When the socket last took a byte, or was last offered a heartbeat.
    pub(super) wrote_ms: u64,
    pub(super) grant: Rc<Grant>,
    /// What comparing a topic with its selectors costs.
    comparison: Comparison,
    /// The update after the cursor, if it is begun.
    paused: Option<Box<PausedOffer>>,
    pub(super) expires_ms: u64,
    /// The key that verified its token.
    pub(super) key: Option<KeyNumber>,
    /// When the wheel fires for it.
    pub(super) armed_ms: u64,
    pub(super) generation: u32,
    /// The checksum of the stream so far, if its end needs one.
    pub(super) carried: CrcSum,
}

/// The cost of comparing a topic with the selectors of one subscriber, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Comparison {
    /// Whatever the length of the topic.
    fixed: u32,
    /// For each KiB.
    per_kib: u32,
}

impl Comparison {
    /// The cost of these selectors.
    pub(super) fn new(selectors: &[Selector]) -> Self {
        let count = selectors.len() as u32;
        let is_scan = |it: &&Selector| matches!(it, Selector::Template(_) | Selector::Pattern(_));
        let plain = selectors.iter().filter(|it| is_scan(it) && !it.has_choice());
        let url =
            if selectors.iter().any(|it| matches!(it, Selector::Pattern(_))) { MATCH_COST_URL } else { 0 };
        let scans = MATCH_COST_RUN.saturating_mul(plain.count() as u32).saturating_add(url);
        let choices = TopicIndex::price_alone(selectors);
        let fixed = count.saturating_mul(MATCH_COST_COMPARISON).saturating_add(choices / 4);
        Self { fixed, per_kib: scans.saturating_add(choices) }
    }

    /// The work for a topic of this length, see
    /// [`MATCHING_WORK_MAX`](crate::limits::MATCHING_WORK_MAX).
    pub(super) fn work(self, topic_bytes: usize) -> u64 {
        let scans = u64::from(self.per_kib) * topic_bytes as u64 / 1024;
        1 + (u64::from(self.fixed) + scans) / MATCH_COST_PER_WORK
    }
}

/// An update of which some topics were compared with the selectors.
struct PausedOffer {
    update: Position,
    compared: usize,
}

/// Bytes to send before everything else that is pending.
pub(super) struct Ahead {
    bytes: Box<[u8]>,
    sent: usize,
}

impl Ahead {
    pub(super) fn new(bytes: impl Into<Box<[u8]>>) -> Box<Self> {
        Box::new(Self { bytes: bytes.into(), sent: 0 })
    }
}

/// The next bytes to send to a subscriber.
#[derive(Clone, Copy)]
pub(super) enum NextBytes {
    /// This many bytes of what goes ahead.
    Ahead(usize),
    /// What is pending.
    Pending(Gathered),
}

impl NextBytes {
    /// How many they are.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Ahead(bytes) => bytes,
            Self::Pending(gathered) => gathered.bytes,
        }
    }
}

/// The result of a write, with the bytes that were taken.
pub(super) enum Written {
    /// Nothing more is pending.
    All(usize),
    /// More is pending, and the socket takes more.
    More(usize),
    /// The socket is full.
    Some(usize),
    /// The peer is gone.
    Gone,
}

impl Written {
    /// The bytes that were taken.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::All(bytes) | Self::More(bytes) | Self::Some(bytes) => *bytes,
            Self::Gone => 0,
        }
    }
}

impl Subscriber {
    /// A subscriber that is sent this opening first. Its generation, its key and the end of its
    /// time follow.
    pub(super) fn new(
        selectors: &[Selector],
        grant: Rc<Grant>,
        framing: Framing,
        resume_point: Option<ResumePoint>,
        opening: Box<[u8]>,
        now: Now,
    ) -> Self {
        let state = match resume_point {
            None => SubscriberState::Live,
            Some(ResumePoint { cursor, known }) => {
                SubscriberState::CatchingUp { cursor, from_oldest: known.is_none(), reading: Reading::No }
            }
        };
        let mut this = Self {
            pending: Pending::NONE,
            state,
            framing,
            dirty: false,
            blocked: false,
            shared_socket: None,
            sent: 0,
            ahead: (!opening.is_empty()).then(|| Ahead::new(opening)),
            wrote_ms: now.ms,
            grant,
            comparison: Comparison::new(selectors),
            paused: None,
            expires_ms: u64::MAX,
            key: None,
            armed_ms: u64::MAX,
            generation: 0,
            carried: CrcSum::default(),
        };
        this.carry(framing.comment_crc());
        this
    }

    /// Writes the pending bytes, as far as the socket takes them.
    pub(super) fn write(
        &mut self,
        slot: u32,
        outboxes: &mut Outboxes,
        now: Now,
        wire: &mut impl Wire,
    ) -> Written {
        let mut bytes_taken = 0;
        while self.is_owed() {
            if !wire.has_room(slot) {
                self.blocked = true;
                return Written::Some(bytes_taken);
            }
            let gathered = self.gather(outboxes);
            let sent = wire.send(slot, self.bytes_of(outboxes, gathered));
            if let NextBytes::Pending(gathered) = gathered {
                // What is collected for others stays.
                outboxes.forget(gathered);
            }
            match self.took(sent, gathered.bytes(), outboxes, now) {
                Written::All(taken) => return Written::All(bytes_taken + taken),
                Written::More(taken) => bytes_taken += taken,
                Written::Some(taken) => return Written::Some(bytes_taken + taken),
                Written::Gone => return Written::Gone,
            }
        }
        Written::All(bytes_taken)
    }

    /// Whether bytes are pending.
    pub(super) fn is_owed(&self) -> bool {
        self.ahead.is_some() || !self.pending.is_none()
    }

    /// Prepares the next bytes to send, see [`Self::bytes_of`].
    pub(super) fn gather(&self, outboxes: &mut Outboxes) -> NextBytes {
        match &self.ahead {
            Some(ahead) => NextBytes::Ahead(ahead.bytes.len() - ahead.sent),
            None => NextBytes::Pending(outboxes.gather(&self.pending, self.sent)),
        }
    }

    /// The next bytes to send. Nothing has changed since they were gathered.
    pub(super) fn bytes_of<'b>(&'b self, outboxes: &'b Outboxes, next: NextBytes) -> &'b [u8] {
        match (next, &self.ahead) {
            (NextBytes::Ahead(_), Some(ahead)) => &ahead.bytes[ahead.sent..],
            (NextBytes::Ahead(_), None) => &[],
            (NextBytes::Pending(gathered), _) => outboxes.bytes_of(&self.pending, gathered),
        }
    }

    /// Handles the result of a send of the next bytes.
    pub(super) fn took(&mut self, sent: Sent, offered: usize, outboxes: &mut Outboxes, now: Now) -> Written {
        let (taken, is_full) = match sent {
            Sent::Bytes(taken) => (taken, taken < offered),
            Sent::Held(taken) => (taken, true),
            Sent::Full => (0, true),
            Sent::Gone => return Written::Gone,
        };
        if taken > 0 {
            self.wrote_ms = now.ms;
        }
        self.advance(taken, taken == offered, outboxes);
        self.blocked |= is_full;
        match (is_full, self.is_owed()) {
            (true, _) => Written::Some(taken),
            (false, true) => Written::More(taken),
            (false, false) => Written::All(taken),
        }
    }

    fn advance(&mut self, taken: usize, all: bool, outboxes: &mut Outboxes) {
        if let Some(ahead) = &mut self.ahead {
            ahead.sent += taken;
            if all {
                self.ahead = None;
            }
        } else if all {
            self.carry(outboxes.crc_part(&self.pending));
            outboxes.release(&mut self.pending);
            self.sent = 0;
        } else {
            self.sent += taken;
            if self.sent > outboxes.bytes(&self.pending) / 2 {
                let rest = outboxes.rebase(&mut self.pending, self.sent);
                self.begin_at(rest);
            }
        }
    }

    /// Drops the updates not begun, to be read from the history later.
    pub(super) fn fall_behind(&mut self, outboxes: &mut Outboxes) {
        let Some(first) = outboxes.first(&self.pending) else { return };
        let begun = self.cut(outboxes);
        let cursor = begun.unwrap_or(first.previous());
        self.state = SubscriberState::CatchingUp { cursor, from_oldest: false, reading: Reading::No };
    }

    /// Drops the updates not begun; returns the position of the last one that was begun or sent.
    pub(super) fn cut(&mut self, outboxes: &mut Outboxes) -> Option<Position> {
        let (rest, begun) = outboxes.cut(&mut self.pending, self.sent);
        self.begin_at(rest);
        begun
    }

    /// Continues with a path that begins anew.
    fn begin_at(&mut self, rest: Rest) {
        self.sent = rest.sent;
        self.carry(rest.gone);
    }

    /// Adds to the checksum of the stream.
    pub(super) fn carry(&mut self, crc_part: CrcPart) {
        if self.framing.is_summed() {
            self.carried.add(crc_part);
        }
    }

    /// Queues the updates that it selected and may receive now, and moves its cursor to the last
    /// one that it was offered. Stops when it has enough for a while, or when the work is `until`;
    /// an update with many topics is then continued with the next call.
    pub(super) fn offer<'u>(
        &mut self,
        slot: u32,
        index: &TopicIndex,
        outboxes: &mut Outboxes,
        updates: impl Iterator<Item = &'u SequencedUpdate>,
        counters: &mut Counters,
        until: u64,
    ) {
        self.state = self.state.reading(Reading::No);
        // What the selectors have read of the topics of a private update, for the grant.
        let mut read = Vec::new();
        for update in updates {
            let frame = &*update.frame;
            let is_public = *frame.audience() == Audience::Public;
            read.clear();
            let Some(is_selected) = self.selects(slot, index, update, &mut read, counters, until) else {
                return;
            };
            self.state = SubscriberState::CatchingUp {
                cursor: update.position,
                from_oldest: false,
                reading: Reading::No,
            };
            let (is_granted, cost) = match is_selected {
                true if is_public => (true, 0),
                true => {
                    let topics = compared_topics(frame, std::mem::take(&mut read));
                    self.grant.receives(&topics, frame.audience())
                }
                false => (false, 0),
            };
            counters.work += cost / MATCH_COST_PER_WORK;
            if is_granted {
                counters.work += self.framing.work(frame);
                outboxes.append(&mut self.pending, self.framing, update);
                counters.deliveries += 1;
                if outboxes.bytes(&self.pending) >= CATCH_UP_BYTES {
                    return;
                }
            }
            if counters.work >= until {
                return;
            }
        }
    }

    /// Whether it selected an update; `None` if the work is `until` before all topics are compared.
    /// `read` gets what was read of its topics if it is selected and the grant needs them, too.
    fn selects(
        &mut self,
        slot: u32,
        index: &TopicIndex,
        update: &SequencedUpdate,
        read: &mut Vec<ReadTopic>,
        counters: &mut Counters,
        until: u64,
    ) -> Option<bool> {
        let paused = self.paused.take().filter(|paused| paused.update == update.position);
        let done = paused.map_or(0, |paused| paused.compared);
        let topics = update.frame.topics().len();
        let is_public = *update.frame.audience() == Audience::Public;
        for (number, text) in update.frame.topic_texts().enumerate().skip(done) {
            counters.work += self.comparison.work(text.len());
            let topic = ComparedTopic::new(text);
            let is_selected = index.slot_matches(slot, &topic);
            if !is_public {
                read.push(topic.into_read());
            }
            if is_selected {
                if !is_public {
                    // Before a pause, others were compared.
                    read.splice(0..0, std::iter::repeat_with(ReadTopic::default).take(done));
                }
                return Some(true);
            }
            let compared = number + 1;
            if counters.work >= until && compared < topics {
                self.paused = Some(Box::new(PausedOffer { update: update.position, compared }));
                return None;
            }
        }
        Some(false)
    }

    /// Whether nothing is pending, so that a comment may be sent.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_none() && self.ahead.is_none() && !matches!(self.state, SubscriberState::Ending(_))
    }

    /// Sends a heartbeat; false if the peer is gone.
    pub(super) fn send_heartbeat(&mut self, slot: u32, now: Now, wire: &mut impl Wire) -> bool {
        let comment = self.framing.comment();
        let (taken, is_held) = match wire.send(slot, comment) {
            Sent::Bytes(taken) => (taken, false),
            Sent::Held(taken) => (taken, true),
            Sent::Full => (0, true),
            Sent::Gone => return false,
        };
        self.wrote_ms = now.ms;
        self.carry(self.framing.comment_crc());
        if taken < comment.len() {
            self.ahead = Some(Ahead::new(&comment[taken..]));
        }
        self.blocked = is_held || taken < comment.len();
        true
    }

    /// The earliest deadline; `u64::MAX` if there is none.
    pub(super) fn deadline_ms(&self, settings: &ShardSettings) -> u64 {
        let period_ms = if self.blocked { settings.dispatch_timeout_ms } else { settings.heartbeat_ms };
        let deadline_ms = if period_ms == 0 { u64::MAX } else { self.wrote_ms.saturating_add(period_ms) };
        deadline_ms.min(self.expires_ms)
    }
}

impl SubscriberState {
    pub(super) fn reading(self, reading: Reading) -> Self {
        match self {
            Self::CatchingUp { cursor, from_oldest, .. } => Self::CatchingUp { cursor, from_oldest, reading },
            other => other,
        }
    }
}

/// The topics of an update, of which the first ones may be read already.
pub(super) fn compared_topics(frame: &Frame, read: Vec<ReadTopic>) -> Vec<ComparedTopic<'_>> {
    let mut read = read.into_iter();
    let resumed = |text| ComparedTopic::resumed(text, read.next().unwrap_or_default());
    frame.topic_texts().map(resumed).collect()
}
