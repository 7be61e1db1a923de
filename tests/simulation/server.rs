//! Goal: the loop of a shard loses nothing, repeats nothing and waits for nothing in vain, whatever
//! its sockets, its clock and the threads beside it do.
//!
//! Method: a whole hub runs in this thread, with simulated sockets
//! ([`SimulatedHub`](petasos::server::simulated::SimulatedHub)). A seed chooses the order of all
//! steps, what each socket takes and when, and which events are late. Clients publish, subscribe,
//! list, read slowly, leave, and come back with `Last-Event-ID`. At rest every byte that they
//! received is checked against what the history holds.

mod check;
mod client;
mod requests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use petasos::history::memory::MemoryHistory;
use petasos::history::{History as _, HistoryReader, Position, Retention};
use petasos::hub::shard::ShardSettings;
use petasos::hub::tail::TailBounds;
use petasos::limits::SUBSCRIBER_BUFFER_DEFAULT;
use petasos::server::permits::PerClient;
use petasos::server::simulated::{SimClientState, SimulatedHub, SimulatedLoad, SimulatedSettings};
use petasos::server::timeouts::Timeouts;
use petasos::sse::frame::Frame;

use self::client::{Client, Departure, Purpose};
use super::Flaky;

/// How often a hub comes to rest, and the steps between.
const PARTS: usize = 3;
const STEPS: usize = 120;
const CLIENTS_MAX: usize = 14;
const CROWD_MAX: usize = 50;
const HEARTBEAT_MS: u64 = 15_000;
const HEADER_MS: u64 = 10_000;
const STALL_MS: u64 = 20_000;
/// Steps without which a hub at rest has gone astray.
const ROUNDS_MAX: usize = 20_000;

pub(super) struct World {
    rng: Rng,
    hub: SimulatedHub,
    shards: usize,
    reader: Arc<dyn HistoryReader>,
    refuses: Arc<AtomicBool>,
    clients: Vec<Client>,
    /// Number of updates that clients have made.
    published: usize,
    connections_max: usize,
    /// Each address and each token has a limit.
    has_limits: bool,
    /// `WRITE_TIMEOUT`; 0 for none.
    response_ms: u64,
    /// Many come and go, and the one shard has little time.
    is_crowd: bool,
    tracks_subscriptions: bool,
    has_stopped: bool,
    /// When each client began to take all that it can.
    rested_ms: u64,
    /// No subscriber falls behind.
    buffers_all: bool,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let refuses = Arc::new(AtomicBool::new(false));
        let retention =
            Retention { updates_max: 0, bytes_max: 0, age_max_ms: 0, events_max: 0, event_bytes_max: 0 };
        let history = Flaky { inner: MemoryHistory::new(retention), refuses: Arc::clone(&refuses) };
        let reader = history.reader();
        let is_crowd = rng.u32(..4) == 0;
        let shards = if is_crowd { 1 } else { rng.usize(1..=3) };
        let connections_max = if rng.u32(..4) == 0 { rng.usize(3..8) } else { 1_000 };
        let has_limits = rng.u32(..6) == 0;
        let per_client = match has_limits {
            true => PerClient { connections_per_address: 3, subscriptions_per_token: 2 },
            false => PerClient::default(),
        };
        let response_ms = if rng.u32(..4) == 0 { 60_000 } else { 0 };
        let tracks_subscriptions = rng.u32(..3) == 0;
        let settings = SimulatedSettings {
            shards,
            ring_entries: [2, 8, 64][rng.usize(..3)],
            sends_at_once: [0, 1, 3, 1_000][rng.usize(..4)],
            work_in: if is_crowd { 1 } else { [0, 0, 2, 16][rng.usize(..4)] },
            batch_bytes_max: [1, 300, 10_000][rng.usize(..3)],
            connections_max,
            per_client,
            shard: ShardSettings {
                heartbeat_ms: HEARTBEAT_MS,
                dispatch_timeout_ms: STALL_MS,
                subscriber_buffer_bytes: [1, 300, 2_000, SUBSCRIBER_BUFFER_DEFAULT][rng.usize(..4)],
                tail: TailBounds { updates_max: [1, 4, 1_000][rng.usize(..3)], bytes_max: usize::MAX },
                tracks_subscriptions,
            },
            timeouts: Timeouts { header_ms: HEADER_MS, read_ms: 0, write_ms: STALL_MS, response_ms },
            drain_ms: [0, 1_000][rng.usize(..2)],
            api: requests::api(tracks_subscriptions, rng.bool()),
        };
        let mut choices = Rng::with_seed(!seed);
        let hub = SimulatedHub::new(&settings, Box::new(history), move |end| choices.u64(..end));
        Self {
            rng,
            hub,
            shards,
            reader,
            refuses,
            clients: Vec::new(),
            published: 0,
            connections_max,
            has_limits,
            response_ms,
            is_crowd,
            tracks_subscriptions,
            has_stopped: false,
            rested_ms: 0,
            buffers_all: settings.shard.subscriber_buffer_bytes == SUBSCRIBER_BUFFER_DEFAULT,
        }
    }

    /// The updates that the history holds, in order.
    fn committed(&self) -> Vec<Arc<Frame>> {
        let slice = self.reader.read(Position::START, usize::MAX, usize::MAX).expect("memory can be read");
        slice.updates.into_iter().map(|update| update.frame).collect()
    }

    fn committed_count(&self) -> usize {
        self.reader.range().expect("memory can be read").newest.get() as usize
    }

    fn step(&mut self) {
        let kinds = if self.is_crowd { 45..115 } else { 0..100 };
        match self.rng.u32(kinds) {
            100..105 => self.come(),
            105..115 => self.leave(),
            0..50 => {
                self.hub.step_shard(self.rng.usize(..self.shards));
            }
            50..60 => {
                self.hub.step_others();
            }
            60..88 => self.step_client(),
            88..96 => self.come(),
            96..98 => self.pass_time(),
            98 => self.refuses.store(self.rng.u32(..3) == 0, Ordering::Relaxed),
            _ => self.leave(),
        }
    }

    fn leave(&mut self) {
        let stays = |client: &&mut Client| client.departure == Departure::Stays;
        let mut staying: Vec<_> = self.clients.iter_mut().filter(stays).collect();
        if !staying.is_empty() {
            let departure = [Departure::Ended, Departure::Reset][self.rng.usize(..2)];
            let which = self.rng.usize(..staying.len());
            staying[which].leave(&mut self.hub, departure);
        }
    }

    fn step_client(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let (which, committed) = (self.rng.usize(..self.clients.len()), self.committed_count());
        let Self { clients, hub, rng, .. } = self;
        let client = &mut clients[which];
        match rng.u32(..8) {
            0..4 => {
                let bytes_max = if rng.bool() { usize::MAX } else { rng.usize(1..200) };
                client.send(hub, bytes_max);
            }
            4..7 => {
                let bytes_max = client.takes;
                client.take(hub, bytes_max, committed);
            }
            _ => hub.set_capacity(client.number, [0, 10, 300, 64 << 10][rng.usize(..4)]),
        }
    }

    /// A client comes, or comes back.
    fn come(&mut self) {
        if self.clients.len() >= if self.is_crowd { CROWD_MAX } else { CLIENTS_MAX } {
            return;
        }
        let (purpose, requests) = match self.rng.u32(..8) {
            0..4 => self.publisher(),
            7 if self.tracks_subscriptions => (Purpose::List, vec![requests::list()]),
            _ => self.subscriber(),
        };
        let shard = self.rng.usize(..self.shards);
        let client = Client::connect(&mut self.hub, &mut self.rng, shard, purpose, &requests);
        self.clients.extend(client);
    }

    fn publisher(&mut self) -> (Purpose, Vec<Vec<u8>>) {
        let first = self.published;
        self.published += self.rng.usize(1..=3);
        let numbers: Vec<_> = (first..self.published).collect();
        let requests = numbers.iter().map(|number| requests::publication(&mut self.rng, *number)).collect();
        (Purpose::Publish(numbers), requests)
    }

    fn subscriber(&mut self) -> (Purpose, Vec<Vec<u8>>) {
        // Some come back after what another subscription has received last.
        let before = self.rng.usize(..=self.clients.len());
        let resumes_after = match self.rng.u32(..10) {
            0 => Some("never-seen".to_owned()),
            1..7 => self.clients.get(before).and_then(check::last_id),
            _ => None,
        };
        let (subscription, request) = requests::subscription(&mut self.rng, self.hub.now_ms(), resumes_after);
        (Purpose::Subscribe(subscription.into()), vec![request])
    }

    fn pass_time(&mut self) {
        let ms = match self.rng.u32(..8) {
            0 => self.rng.u64(..8_000),
            1 => self.hub.next_deadline_ms().map_or(0, |at_ms| at_ms.saturating_sub(self.hub.now_ms())),
            _ => self.rng.u64(..200),
        };
        if ms >= 200 {
            // No thread of a hub waits that long for its core.
            self.let_hub_work();
        }
        self.hub.pass_ms(ms);
    }

    /// Lets the hub do what it can do without its clients.
    fn let_hub_work(&mut self) {
        self.rest(|_| false);
    }

    /// Lets everything happen that can happen now: each client sends and takes what it can.
    fn come_to_rest(&mut self) {
        self.rest(|world| {
            let (mut moved, committed) = (false, world.committed_count());
            for client in &mut world.clients {
                moved |= client.send(&mut world.hub, usize::MAX);
                moved |= client.take(&mut world.hub, usize::MAX, committed);
            }
            moved
        });
    }

    /// Makes steps of the hub, and of what is beside it, until nothing moves.
    fn rest(&mut self, mut beside: impl FnMut(&mut Self) -> bool) {
        let mut quiet = 0;
        for _ in 0..ROUNDS_MAX {
            let mut moved = beside(self);
            for shard in 0..self.shards {
                moved |= self.hub.step_shard(shard);
            }
            moved |= self.hub.step_others();
            quiet = if moved { 0 } else { quiet + 1 };
            if quiet == 2 {
                return;
            }
        }
        panic!("the hub does not come to rest");
    }

    /// Lets time pass in small parts.
    fn let_pass(&mut self, ms: u64) {
        let until_ms = self.hub.now_ms() + ms;
        while self.hub.now_ms() < until_ms {
            let next_ms = self.hub.next_deadline_ms().unwrap_or(until_ms);
            let now_ms = self.hub.now_ms();
            self.hub.pass_ms(next_ms.clamp(now_ms + 1, until_ms) - now_ms);
            self.come_to_rest();
        }
    }

    fn run(&mut self) {
        for _ in 0..PARTS {
            for _ in 0..STEPS {
                self.step();
            }
            self.refuses.store(false, Ordering::Relaxed);
            for client in &self.clients {
                self.hub.set_capacity(client.number, 1 << 20);
            }
            self.rested_ms = self.hub.now_ms();
            self.come_to_rest();
            self.check();
        }
        // What the history refused is offered again after a pause.
        self.let_pass(1_500);
        self.check();
        self.check_heartbeats();
        self.check_stalls();
        match self.rng.bool() {
            true => self.stop(),
            false => self.all_leave(),
        }
    }

    /// Every client leaves: nothing is left of any of them.
    fn all_leave(&mut self) {
        for client in &mut self.clients {
            let departure = [Departure::Ended, Departure::Reset][self.rng.usize(..2)];
            client.leave(&mut self.hub, departure);
        }
        self.come_to_rest();
        self.let_pass(3_000);
        let load = self.hub.load();
        assert_eq!(load, SimulatedLoad::default(), "everyone has left");
        assert!(self.hub.has_no_permit(), "everyone has left");
    }

    /// The hub stops: every stream ends with all that was committed, and every shard stops.
    fn stop(&mut self) {
        for client in &mut self.clients {
            let is_stream = client.responses().first().is_some_and(client::Response::is_stream);
            // A stream that catches up at the stop ends where it is.
            client.must_have_all = is_stream && self.buffers_all && client.is_open(&self.hub);
        }
        self.hub.stop();
        self.has_stopped = true;
        self.come_to_rest();
        self.let_pass(12_000);
        assert!(self.hub.has_stopped(), "the hub does not stop: {:?}", self.hub.load());
        assert!(self.hub.has_no_permit(), "the hub has stopped");
        for client in &self.clients {
            let state = self.hub.client_state(client.number);
            assert_ne!(state, SimClientState::Open, "the hub has stopped");
        }
        self.check();
    }
}

#[test]
fn a_seed_replays_to_the_byte() {
    for seed in 0..20 {
        let received = || {
            let mut world = World::new(seed);
            world.run();
            (world.hub.now_ms(), world.clients.into_iter().map(|client| client.received).collect::<Vec<_>>())
        };
        assert!(received() == received(), "seed {seed}");
    }
}

#[test]
fn the_loop_of_a_shard_loses_and_repeats_nothing_and_never_waits_in_vain() {
    super::for_each_seed(|seed| World::new(seed).run());
}
