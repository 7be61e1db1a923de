//! Streams: whatever a socket takes and when, a subscriber's bytes decode to exactly the updates
//! that were published, in order.

use std::rc::Rc;
use std::sync::Arc;

use petasos::history::memory::MemoryHistory;
use petasos::history::{History as _, HistorySlice, Retention};
use petasos::hub::client::ClientKey;
use petasos::hub::shard::{Joining, Shard, ShardSettings};
use petasos::hub::tail::TailBounds;
use petasos::limits::WHEEL_TICK_MS;
use petasos::mercure::audience::Authorization;
use petasos::mercure::grant::Grant;
use petasos::mercure::selector::Selector;
use petasos::mercure::subscription::SubscriberId;
use petasos::mercure::update::{Draft, Update};
use petasos::sse::coding::Coding;
use petasos::sse::frame::Frame;
use petasos::sse::framing::{Framing, Transfer};
use petasos::sse::wire::{Sent, Wire};
use petasos::time::Now;

use crate::Choices;
use crate::stream_oracle::{self, Event};
use crate::update::event_of;

const HEARTBEAT_MS: u64 = 15_000;

/// A socket that takes as many bytes as it has room for, and with TLS holds some more.
#[derive(Clone, Debug, Default)]
pub struct Socket {
    /// What the peer has got.
    pub received: Vec<u8>,
    /// Bytes that it takes before it is full.
    pub room: usize,
    /// It was found full: the shard has to be told when it takes bytes again.
    pub full: bool,
    /// With TLS: the maximum of encrypted bytes that wait for it.
    pub held_max: usize,
    /// The bytes that wait for it.
    pub held: Vec<u8>,
    /// The peer is gone.
    pub gone: bool,
    /// Sends to it are collected.
    pub collects: bool,
}

impl Socket {
    /// What a send to it does.
    pub fn send(&mut self, bytes: &[u8]) -> Sent {
        if self.gone {
            return Sent::Gone;
        }
        self.flush();
        if !self.held.is_empty() {
            self.full = true;
            return Sent::Full;
        }
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.received.extend_from_slice(&bytes[..taken]);
        self.full = taken < bytes.len();
        let held = (bytes.len() - taken).min(self.held_max);
        self.held.extend_from_slice(&bytes[taken..taken + held]);
        match (taken, held) {
            (0, 0) => Sent::Full,
            (_, 0) => Sent::Bytes(taken),
            _ => Sent::Held(taken + held),
        }
    }

    /// Takes what is held, as far as there is room.
    pub fn flush(&mut self) {
        let taken = self.held.len().min(self.room);
        self.room -= taken;
        self.received.extend(self.held.drain(..taken));
    }
}

impl Wire for Socket {
    fn send(&mut self, _slot: u32, bytes: &[u8]) -> Sent {
        Self::send(self, bytes)
    }

    fn collects(&mut self, _slot: u32) -> bool {
        self.collects
    }
}

/// A shard with one subscriber, and what was published.
struct Stream {
    shard: Shard,
    slot: u32,
    framing: Framing,
    socket: Socket,
    history: MemoryHistory,
    now: Now,
    published: Vec<Event>,
}

/// The property, for any choices.
///
/// # Panics
/// It does not hold.
pub fn check(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut stream = Stream::new(&mut choices);
    let mut steps = 0;
    while !choices.is_empty() {
        stream.step(&mut choices);
        steps += 1;
        // Rarely: it decodes the stream from its beginning.
        if steps % 32 == 0 {
            assert!(stream.received_is_right(), "a prefix of what was published");
        }
    }
    stream.take_everything();
    assert_eq!(stream.events(), stream.published);
    stream.shard.begin_drain(0, stream.now);
    stream.pass_time(1);
    stream.take_everything();
    assert!(stream.shard.next_closed().is_some(), "the stream has ended");
    assert_eq!(stream.events(), stream.published, "the end adds nothing");
}

impl Stream {
    fn new(choices: &mut Choices<'_>) -> Self {
        let settings = ShardSettings {
            heartbeat_ms: HEARTBEAT_MS,
            dispatch_timeout_ms: 0,
            subscriber_buffer_bytes: choices.of(&[1, 200, 2_000]),
            tail: TailBounds { updates_max: choices.of(&[1, 4, 1_000]), bytes_max: usize::MAX },
            tracks_subscriptions: false,
        };
        let framing = Framing {
            transfer: choices.of(&[Transfer::Chunked, Transfer::Plain]),
            coding: choices.of(&[None, Some(Coding::Gzip), Some(Coding::Zstd)]),
        };
        let now = Now { ms: 0, unix_ms: 1_700_000_000_000 };
        let mut shard = Shard::new(settings, &HistorySlice::empty(), now);
        let joining = Joining {
            key: None,
            selectors: vec![Selector::Any],
            announcements: Box::default(),
            grant: Rc::new(Grant::anonymous()),
            expires_ms: u64::MAX,
            framing,
            id: SubscriberId::from_random_bytes([0; 16]),
            client: ClientKey::Unknown,
            resume_point: None,
            opening: framing.opening().into(),
        };
        let slot = shard.join(joining, now);
        let (held_max, collects) = (choices.of(&[0, 0, 7, 200]), choices.of(&[false, true]));
        let socket = Socket { held_max, collects, ..Socket::default() };
        let history = MemoryHistory::new(Retention::default());
        Self { shard, slot, framing, socket, history, now, published: Vec::new() }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.next() % 8 {
            0..3 => self.publish(choices),
            3 => self.shard.flush(1 + choices.next(), self.now, &mut self.socket),
            4 => self.give_room(choices.next()),
            5 => self.give_room(16 * choices.next()),
            6 => self.catch_up(),
            _ => self.pass_time(200 * choices.next() as u64),
        }
    }

    /// Publishes the next bytes, or many of one of them.
    fn publish(&mut self, choices: &mut Choices<'_>) {
        let count = choices.next();
        let text = match count % 4 {
            0 => "x".repeat(20 * count),
            _ => String::from_utf8_lossy(choices.take(count / 4)).into_owned(),
        };
        let id = format!("i{}", self.published.len());
        let draft = Draft { topics: &["a"], data: &text, id: Some(&id), ..Draft::default() };
        let update = Update::build(&draft, Authorization::Selectors, [0; 16]).expect("a valid update");
        self.published.push(event_of(&update));
        let frame = Arc::new(Frame::encode(update));
        let appended = self.history.append(&[frame], self.now.unix_ms).expect("memory takes it");
        for update in &appended.updates {
            self.shard.take(update);
        }
        self.shard.moved();
    }

    fn give_room(&mut self, bytes: usize) {
        self.socket.room = self.socket.room.saturating_add(bytes);
        self.socket.flush();
        if self.socket.room > 0 && std::mem::take(&mut self.socket.full) {
            self.shard.writable(self.slot);
        }
    }

    fn catch_up(&mut self) {
        self.shard.catch_up(1);
        if let Some(read) = self.shard.next_read() {
            let slice = self.history.reader().read(read.after, 5, 300);
            self.shard.history_read(read, slice);
        }
    }

    fn pass_time(&mut self, passed_ms: u64) {
        self.now.ms += passed_ms + WHEEL_TICK_MS;
        self.now.unix_ms += passed_ms + WHEEL_TICK_MS;
        self.shard.advance(self.now, &mut self.socket);
    }

    fn take_everything(&mut self) {
        self.give_room(usize::MAX);
        let mut rounds = 0;
        while self.shard.has_work() {
            rounds += 1;
            assert!(rounds < 10_000, "the shard comes to rest");
            self.catch_up();
            self.shard.flush(1, self.now, &mut self.socket);
        }
    }

    fn events(&self) -> Vec<Event> {
        stream_oracle::events(&self.socket.received, self.framing)
    }

    fn received_is_right(&self) -> bool {
        self.published.starts_with(&self.events())
    }
}
