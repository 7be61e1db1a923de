//! Goal: every subscriber gets exactly the updates that it selected and may read, in the one order,
//! without gap or duplicate, whatever happens around it.
//!
//! Method: the pure core (sequencer, ring, shards, history) runs under a seeded scheduler in
//! virtual time. Publications, joins, leaves, partial socket writes (also as TLS buffers them),
//! expiring tokens, full queues, refused commits and late history reads are interleaved at random.
//! At rest, each stream is decoded from its bytes and compared with the plain definition.
//!
//! `SIMULATION_SEED=n cargo test --test simulation` replays one seed;
//! `SIMULATION_SEEDS=n` runs that many.

mod core;
mod seeds;
mod server;
mod subscriptions;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use self::core::{Core, Session, Sockets};
use self::seeds::for_each_seed;
use fastrand::Rng;
use petasos::history::memory::MemoryHistory;
use petasos::history::{
    Appended, HeldCounts, History, HistoryError, HistoryReader, HistorySlice, Position, ResumePoint,
    Retention, resolve,
};
use petasos::hub::client::ClientKey;
use petasos::hub::sequencer::{Publication, ReplyTo, RingEntry, Sequencer};
use petasos::hub::shard::{EndReason, Joining, Shard, ShardSettings};
use petasos::hub::tail::TailBounds;
use petasos::mercure::audience::Authorization;
use petasos::mercure::grant::Grant;
use petasos::mercure::resume::Resume;
use petasos::mercure::selector::Selector;
use petasos::mercure::subscription::{SubscriberId, Subscription, WrittenAs};
use petasos::mercure::token::{LegacyClaims, MercureClaim};
use petasos::mercure::update::Update;
use petasos::ring::{Producer, ring};
use petasos::sse::coding::Coding;
use petasos::sse::frame::Frame;
use petasos::sse::framing::{Framing, Transfer};
use petasos::time::Now;
use petasos_fuzz_properties::stream::Socket;
use petasos_fuzz_properties::stream_oracle;

const STEPS: usize = 400;
const TOPICS: [&str; 5] = ["a", "b", "/x/1", "/x/2", "/y/1"];
const SELECTORS: [&str; 9] =
    ["a", "b", "*", "/x/{id}", "/{k}/1", "/x/2", "nothing", "{+p:9,q:3}", "/x{/i,j}"];
const GRANTS: [&[&str]; 4] = [&[], &["a"], &["/x/{id}"], &["*"]];
const HEARTBEAT_MS: u64 = 15_000;
const STALL_MS: u64 = 30_000;
const QUEUE_MAX: usize = 8;
/// The head of a response.
const HEAD: &[u8] = b"HEAD\n";
const RING_ENTRIES: usize = 16;

/// A history that refuses commits while its switch is on.
struct Flaky {
    inner: MemoryHistory,
    refuses: Arc<AtomicBool>,
}

impl History for Flaky {
    fn append(&mut self, batch: &[Arc<Frame>], unix_ms: u64) -> Result<Appended, HistoryError> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(HistoryError::other("simulated"));
        }
        self.inner.append(batch, unix_ms)
    }

    fn needs_upkeep(&self) -> bool {
        self.inner.needs_upkeep()
    }

    fn maintain(&mut self, unix_ms: u64) -> Result<Position, HistoryError> {
        self.inner.maintain(unix_ms)
    }

    fn held(&self) -> HeldCounts {
        self.inner.held()
    }

    fn reader(&self) -> Arc<dyn HistoryReader> {
        self.inner.reader()
    }
}

struct World {
    rng: Rng,
    now: Now,
    retention: Retention,
    sequencer: Sequencer,
    refuses: Arc<AtomicBool>,
    reader: Arc<dyn HistoryReader>,
    producer: Producer<RingEntry>,
    queue: VecDeque<Publication>,
    /// Committed, waiting for space in the ring.
    unpushed: VecDeque<RingEntry>,
    cores: Vec<Core>,
    /// All committed updates, in order.
    committed: Vec<Arc<Frame>>,
    ids: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let retention = Retention {
            updates_max: [0, 0, 3, 20][rng.usize(..4)],
            bytes_max: 0,
            age_max_ms: [0, 0, 0, 30_000][rng.usize(..4)],
            events_max: [0, 1, 3, 20][rng.usize(..4)],
            event_bytes_max: 0,
        };
        let refuses = Arc::new(AtomicBool::new(false));
        let history = Flaky { inner: MemoryHistory::new(retention), refuses: Arc::clone(&refuses) };
        let reader = history.reader();
        let settings = ShardSettings {
            heartbeat_ms: HEARTBEAT_MS,
            dispatch_timeout_ms: STALL_MS,
            subscriber_buffer_bytes: [1, 200, 2_000][rng.usize(..3)],
            tail: TailBounds { updates_max: [1, 4, 1_000][rng.usize(..3)], bytes_max: usize::MAX },
            tracks_subscriptions: false,
        };
        let count = rng.usize(1..=3);
        let (producer, consumers) = ring(RING_ENTRIES, count);
        let now = Now { ms: 0, unix_ms: 1_700_000_000_000 };
        let core = |ring| Core {
            shard: Shard::new(settings, &HistorySlice::empty(), now),
            ring,
            sockets: Sockets::default(),
            reads: VecDeque::new(),
        };
        Self {
            rng,
            now,
            retention,
            sequencer: Sequencer::new(Box::new(history), Position::START),
            refuses,
            reader,
            producer,
            queue: VecDeque::new(),
            unpushed: VecDeque::new(),
            cores: consumers.into_iter().map(core).collect(),
            committed: Vec::new(),
            ids: 0,
        }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            match self.rng.u32(..100) {
                0..25 => self.publish(),
                25..37 => self.commit(),
                37..47 => self.join(),
                47..54 => self.leave(),
                54..60 => self.change_socket(),
                60..64 => self.pass_time(),
                64..66 => self.refuses.store(self.rng.u32(..3) == 0, Ordering::Relaxed),
                _ => self.step_shard(),
            }
        }
        self.come_to_rest();
    }

    fn publish(&mut self) {
        let frame = if self.rng.u32(..3) == 0 { self.subscription_event() } else { self.update() };
        if self.queue.len() < QUEUE_MAX {
            let reply_to = ReplyTo::Request { shard: 0, connection: 0, serial: 0 };
            self.queue.push_back(Publication { frame: Arc::new(frame), reply_to });
        }
    }

    fn subscription_event(&mut self) -> Frame {
        let subscriber = SubscriberId::from_random_bytes([0; 16]);
        let subscription = Subscription {
            written_as: WrittenAs::Topic,
            selector: "a",
            subscriber,
            active: true,
            payload: None,
        };
        Frame::encode(Update::of_subscription(&subscription, self.rng.u128(..).to_ne_bytes()))
    }

    fn update(&mut self) -> Frame {
        let topics: Vec<&str> = (0..self.rng.usize(1..=2)).map(|_| TOPICS[self.rng.usize(..5)]).collect();
        // Ids repeat now and then: the first occurrence counts.
        let id = if self.rng.u32(..10) == 0 { self.rng.u64(..=self.ids) } else { self.ids + 1 };
        self.ids = self.ids.max(id);
        let mut body = format!("id=i{id}&data={}", "d".repeat(self.rng.usize(..300)));
        topics.iter().for_each(|topic| body.push_str(&format!("&topic={topic}")));
        if self.rng.u32(..3) == 0 {
            body.push_str("&private=on");
        }
        Frame::encode(
            Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("a valid body"),
        )
    }

    fn commit(&mut self) {
        self.push();
        if !self.unpushed.is_empty() {
            return;
        }
        let batch: Vec<_> = self.queue.drain(..self.rng.usize(..=self.queue.len())).collect();
        if batch.is_empty() {
            return;
        }
        let (entries, error) = self.sequencer.commit(&batch, self.now.unix_ms);
        let discarded = entries.iter().filter(|entry| matches!(entry, RingEntry::Discarded { .. })).count();
        assert_eq!(entries.len() - discarded, batch.len());
        assert_eq!(error.is_some(), self.refuses.load(Ordering::Relaxed));
        for entry in &entries {
            if let RingEntry::Published { update, .. } = entry {
                self.committed.push(Arc::clone(&update.frame));
                assert_eq!(update.position.get(), self.committed.len() as u64);
            }
        }
        self.unpushed.extend(entries);
        self.push();
    }

    fn push(&mut self) {
        while let Some(entry) = self.unpushed.pop_front() {
            if let Err(back) = self.producer.push(entry) {
                self.unpushed.push_front(back);
                return;
            }
        }
    }

    fn join(&mut self) {
        let selectors = (0..self.rng.usize(1..=3)).map(|_| SELECTORS[self.rng.usize(..SELECTORS.len())]);
        let selectors: Vec<_> =
            selectors.map(|text| Selector::parse(text).expect("a valid selector")).collect();
        let granted = GRANTS[self.rng.usize(..GRANTS.len())];
        let subscribe = Some(granted.iter().map(ToString::to_string).collect());
        let mercure = MercureClaim { publish: None, subscribe, payload: None };
        let claims = LegacyClaims { mercure, exp_ms: None }.into();
        let grant = Rc::new(Grant::from_claims(&claims, Authorization::Selectors).expect("valid claims"));
        let expires_ms =
            if self.rng.u32(..4) == 0 { self.now.ms + self.rng.u64(1..40_000) } else { u64::MAX };
        let framing = Framing {
            transfer: if self.rng.u32(..4) == 0 { Transfer::Plain } else { Transfer::Chunked },
            coding: [None, Some(Coding::Gzip), Some(Coding::Zstd)][self.rng.usize(..3)],
        };
        let resume = match self.rng.u32(..5) {
            0 => Some(Resume::Earliest),
            1 | 2 if self.ids > 0 => Some(Resume::parse(&format!("i{}", self.rng.u64(1..=self.ids)))),
            3 => Some(Resume::parse("never-seen")),
            _ => None,
        };
        let which = self.rng.usize(..self.cores.len());
        let core = &mut self.cores[which];
        let resume_point: Option<ResumePoint> = resume.map(|resume| {
            let known = core.shard.resolve(&resume);
            known.unwrap_or_else(|| resolve(&*self.reader, &resume).expect("memory can be read"))
        });
        if let Some(ResumePoint { cursor, known: Some(id) }) = &resume_point {
            let before_oldest = self.reader.range().expect("memory can be read").before_oldest.get() as usize;
            let first = self.committed[before_oldest..].iter().position(|frame| frame.id() == id);
            let first = first.map_or(0, |first| before_oldest + first + 1);
            let is_held = cursor.get() as usize > before_oldest;
            assert!(!is_held || first == cursor.get() as usize, "not the first occurrence");
        }
        let after = resume_point.as_ref().map_or(core.shard.position(), |resume_point| resume_point.cursor);
        let from_oldest = resume_point.as_ref().is_some_and(|resume_point| resume_point.known.is_none());
        let joining = Joining {
            key: None,
            selectors: selectors.clone(),
            announcements: Box::default(),
            grant: Rc::clone(&grant),
            expires_ms,
            framing,
            id: SubscriberId::from_random_bytes([0; 16]),
            client: ClientKey::Unknown,
            resume_point,
            opening: [HEAD, framing.opening()].concat().into(),
        };
        let slot = core.shard.join(joining, self.now);
        if self.rng.usize(..3) == 0 {
            core.shard.share_socket(slot, self.rng.usize(..4) as u32);
        }
        core.sockets.by_slot.insert(slot, core.sockets.sessions.len());
        core.sockets.sessions.push(Session {
            selectors,
            grant,
            framing,
            expires_ms,
            after,
            from_oldest,
            socket: Socket {
                room: if self.rng.bool() { usize::MAX } else { self.rng.usize(..300) },
                held_max: if self.rng.bool() { 0 } else { self.rng.usize(1..200) },
                collects: self.rng.bool(),
                ..Socket::default()
            },
            received_at_expiry: None,
            closed: None,
        });
    }

    fn leave(&mut self) {
        let which = self.rng.usize(..self.cores.len());
        let core = &mut self.cores[which];
        if core.sockets.by_slot.is_empty() {
            return;
        }
        let nth = self.rng.usize(..core.sockets.by_slot.len());
        let (slot, session) =
            core.sockets.by_slot.iter().nth(nth).map(|(a, b)| (*a, *b)).expect("one of them");
        if self.rng.bool() {
            core.shard.leave(slot);
        } else {
            core.sockets.sessions[session].socket.gone = true;
        }
    }

    fn change_socket(&mut self) {
        let which = self.rng.usize(..self.cores.len());
        let core = &mut self.cores[which];
        for (slot, session) in core.sockets.by_slot.clone() {
            let socket = &mut core.sockets.sessions[session].socket;
            socket.room = match self.rng.u32(..4) {
                0 => usize::MAX,
                1 => socket.room,
                _ => self.rng.usize(..400),
            };
            socket.flush();
            if socket.room > 0 && std::mem::take(&mut socket.full) {
                core.shard.writable(slot);
            }
        }
    }

    fn pass_time(&mut self) {
        let passed_ms = self.rng.u64(1..20_000);
        self.now.ms += passed_ms;
        self.now.unix_ms += passed_ms;
        if self.sequencer.needs_upkeep() && self.unpushed.is_empty() {
            let discarded = self.sequencer.maintain(self.now.unix_ms).expect("memory can be maintained");
            self.unpushed.extend(discarded);
            self.push();
        }
        for core in &mut self.cores {
            core.advance(self.now);
        }
    }

    fn step_shard(&mut self) {
        let which = self.rng.usize(..self.cores.len());
        let core = &mut self.cores[which];
        match self.rng.u32(..4) {
            0 => {
                core.take(self.rng.usize(1..6), if self.rng.bool() { 0 } else { u64::MAX });
            }
            1 => {
                core.shard.flush(self.rng.usize(1..5), self.now, &mut core.sockets);
            }
            2 => {
                core.shard.catch_up(self.rng.usize(1..5));
                core.reads.extend(core.shard.next_read());
            }
            _ => {
                let nth = self.rng.usize(..=core.reads.len());
                core.reads.rotate_left(nth);
                core.answer_read(&*self.reader);
            }
        }
        // The runtime handles ended streams once a round: much can happen before.
        if self.rng.bool() {
            core.settle();
        }
    }

    /// Delivers everything that can be delivered: every socket takes everything, and no commit is
    /// refused.
    fn come_to_rest(&mut self) {
        self.refuses.store(false, Ordering::Relaxed);
        for core in &mut self.cores {
            for (slot, session) in core.sockets.by_slot.clone() {
                let socket = &mut core.sockets.sessions[session].socket;
                socket.room = usize::MAX;
                socket.full = false;
                socket.flush();
                core.shard.writable(slot);
            }
        }
        let mut quiet = 0;
        while quiet < 3 {
            self.commit();
            let mut moved = !self.queue.is_empty() || !self.unpushed.is_empty();
            for core in &mut self.cores {
                moved |= core.take(usize::MAX, u64::MAX) > 0;
                moved |= core.shard.has_work();
                core.shard.catch_up(100);
                while let Some(read) = core.shard.next_read() {
                    core.reads.push_back(read);
                }
                moved |= !core.reads.is_empty();
                core.answer_read(&*self.reader);
                core.shard.flush(100, self.now, &mut core.sockets);
                core.settle();
            }
            quiet = if moved { 0 } else { quiet + 1 };
        }
    }

    fn check(&self) {
        for core in &self.cores {
            for session in &core.sockets.sessions {
                self.check_session(session);
            }
        }
    }

    fn check_session(&self, session: &Session) {
        let all_received = decode(session);
        let wanted = |frame: &&Arc<Frame>| {
            let selected = frame.topic_texts().any(|t| session.selectors.iter().any(|s| s.matches(t)));
            selected && session.grant.may_receive(frame.topic_texts(), frame.audience())
        };
        // Events of subscriptions that are discarded may be missing; the others come in order.
        let mut later = self.committed.iter().skip(session.after.get() as usize).filter(wanted);
        let is_in_order = |id: &String| later.any(|frame| frame.id().as_str() == id);
        assert!(all_received.iter().all(is_in_order), "in order and once: {all_received:?}");
        let is_event = |id: &String| {
            let of_id = self.committed.iter().find(|frame| frame.id().as_str() == id);
            of_id.is_some_and(|frame| frame.is_subscription_event())
        };
        let received: Vec<_> = all_received.iter().filter(|id| !is_event(id)).cloned().collect();
        let expected = |after: Position| -> Vec<&str> {
            let later = self.committed.iter().skip(after.get() as usize).filter(wanted);
            let updates = later.filter(|frame| !frame.is_subscription_event());
            updates.map(|frame| frame.id().as_str()).collect()
        };
        if self.retention.is_unbounded() && self.retention.events_max == 0 && session.closed.is_none() {
            let wanted = self.committed.iter().skip(session.after.get() as usize).filter(wanted).count();
            assert_eq!(all_received.len(), wanted, "no event was discarded");
        }
        let all = expected(session.after);
        // A client that asked for everything held may find less: some may be discarded before it is
        // read.
        let starts = if session.from_oldest { self.committed.len() as u64 } else { session.after.get() };
        let is_one = |wanted: &Vec<&str>| match session.closed {
            None => received == *wanted,
            Some(_) => received.len() <= wanted.len() && received == wanted[..received.len()],
        };
        let explained = (session.after.get()..=starts).any(|after| is_one(&expected(Position::new(after))));
        assert!(
            explained,
            "received {received:?}\nexpected {all:?}\nclosed {:?} from oldest {}",
            session.closed, session.from_oldest
        );
        if self.retention.is_unbounded() {
            assert_ne!(session.closed, Some(EndReason::HistoryGap), "nothing was discarded");
        }
        if let Some(bytes) = session.received_at_expiry {
            let late = ids(&session.socket.received, session.framing).len();
            let on_time = ids(&session.socket.received[..bytes], session.framing).len();
            assert!(
                late <= on_time + 1,
                "more than the event that was begun came after the token had expired"
            );
            assert!(session.closed.is_some(), "a stream outlived its token");
        }
    }
}

/// The ids of the events that arrived completely.
fn decode(session: &Session) -> Vec<String> {
    ids(&session.socket.received, session.framing)
}

fn ids(received: &[u8], framing: Framing) -> Vec<String> {
    let Some(body) = received.strip_prefix(HEAD) else { return Vec::new() };
    stream_oracle::events(body, framing).into_iter().map(|event| event.id).collect()
}

#[test]
fn every_stream_is_exactly_what_its_subscriber_selected_and_may_read() {
    for_each_seed(|seed| {
        let mut world = World::new(seed);
        world.run();
        world.check();
    });
}
