//! The sequencer's thread: the one producer of the ring.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustix::thread::set_current_timer_slack;
use tracing::{debug, warn};

use crate::api::history_health::HistoryHealth;
use crate::error_text::chain;
use crate::history::HistoryError;
use crate::hub::sequencer::{Publication, RingEntry, Sequencer};
use crate::io::allocator;
use crate::io::clock;
use crate::io::waker::ShardWaker;
use crate::limits::COMMIT_BATCH_MAX;
use crate::ops::metrics::SequencerMetrics;
use crate::ring::Producer;
use crate::server::queue::Queue;
use crate::server::receipt::EmbeddedPublisher;
use crate::server::store_watch::StoreWatch;

/// How often to retry a push to a full ring; the shards are reading it meanwhile.
const FULL_RING_PAUSE: Duration = Duration::from_micros(200);
/// How long entries that every shard has read may keep their memory when nothing follows.
const RECLAIM_AFTER: Duration = Duration::from_millis(50);
/// Interval of history maintenance while it is needed: it makes acknowledged updates durable (where
/// a commit does not wait for the disk) and discards old ones.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);
/// After a commit, the next one waits up to 1/`GATHER_SHARE` of its duration, at most
/// [`GATHER_MAX`], for publications that are likely on their way; it checks at every
/// [`GATHER_STEP`].
const GATHER_SHARE: u32 = 4;
const GATHER_MAX: Duration = Duration::from_millis(2);
const GATHER_STEP: Duration = Duration::from_micros(50);
/// Timer slack of the thread, in nanoseconds. It sleeps for a few steps at most; with the default
/// of 50 us, half of that time would be lateness.
const TIMER_SLACK_NS: NonZeroU64 = NonZeroU64::MIN;
/// After a failed commit, updates are refused for `PATIENCE_SHARE` times the duration of the
/// failure, at most [`PATIENCE_MAX`]: the store was reopened, which takes long for a large history.
const PATIENCE_SHARE: u32 = 4;
const PATIENCE_MAX: Duration = Duration::from_secs(30);
/// Minimum time between warnings about a failing store.
const WARN_EVERY: Duration = Duration::from_secs(1);

/// The state of the sequencer's thread.
pub(crate) struct SequencerThread {
    sequencer: Sequencer,
    ring: Producer<RingEntry>,
    wakers: Vec<Arc<ShardWaker>>,
    receiver: Receiver<Publication>,
    queue_bytes: Arc<AtomicUsize>,
    /// Bytes of the entries that the ring holds, oldest first.
    held: VecDeque<usize>,
    warned: Option<Instant>,
    maintained: Instant,
    /// Set after a failure of the store: updates are refused until then.
    left_alone_until: Option<Instant>,
    watch: StoreWatch,
    /// Number of publications in the last commit; its duration is `commit_took`.
    last_batch: usize,
    commit_took: Duration,
    metrics: Arc<SequencerMetrics>,
    publisher: EmbeddedPublisher,
}

impl SequencerThread {
    /// Returns the thread's state, and the queue to it.
    pub(crate) fn new(
        sequencer: Sequencer,
        ring: Producer<RingEntry>,
        wakers: Vec<Arc<ShardWaker>>,
        (queue, receiver): (Queue, Receiver<Publication>),
        history_file: Option<PathBuf>,
    ) -> (Self, Queue) {
        let publisher = EmbeddedPublisher::new(queue.clone());
        let thread = Self {
            sequencer,
            ring,
            wakers,
            receiver,
            queue_bytes: queue.bytes(),
            held: VecDeque::new(),
            warned: None,
            maintained: Instant::now(),
            left_alone_until: None,
            watch: StoreWatch::new(history_file, Instant::now()),
            last_batch: 0,
            commit_took: Duration::ZERO,
            metrics: Arc::default(),
            publisher,
        };
        (thread, queue)
    }

    /// The thread's counters.
    pub(crate) fn metrics(&self) -> Arc<SequencerMetrics> {
        self.metrics.holds(self.sequencer.held());
        Arc::clone(&self.metrics)
    }

    /// Whether the history takes updates.
    pub(crate) fn health(&self) -> HistoryHealth {
        self.watch.health()
    }

    /// The publisher for the embedding program. It must be closed before the thread can end.
    pub(crate) fn publisher(&self) -> EmbeddedPublisher {
        self.publisher.clone()
    }

    /// Runs until every [`Queue`] is dropped and all their publications are on the ring.
    pub(crate) fn run(mut self) {
        if let Err(error) = set_current_timer_slack(Some(TIMER_SLACK_NS)) {
            debug!(%error, "the sequencer sleeps a little longer than it has to");
        }
        let mut batch = Vec::new();
        while let Some(first) = self.wait() {
            batch.push(first);
            self.gather(&mut batch);
            self.commit(&batch);
            batch.clear();
            self.reclaim();
        }
        if self.sequencer.needs_upkeep() {
            self.maintain();
        }
        self.push(RingEntry::End, 0);
        self.wake_all();
    }

    fn wait(&mut self) -> Option<Publication> {
        loop {
            let needs_upkeep = self.sequencer.needs_upkeep();
            let upkeep_in = needs_upkeep.then(|| UPKEEP_EVERY.saturating_sub(self.maintained.elapsed()));
            if upkeep_in == Some(Duration::ZERO) {
                self.maintain();
                continue;
            }
            let trial_in = self.trial_in();
            if trial_in == Some(Duration::ZERO) {
                self.try_store();
                continue;
            }
            let reclaim_in = (self.ring.held() > 0).then_some(RECLAIM_AFTER);
            let Some(timeout) = upkeep_in.into_iter().chain(trial_in).chain(reclaim_in).min() else {
                return self.receiver.recv().ok();
            };
            match self.receiver.recv_timeout(timeout) {
                Ok(publication) => return Some(publication),
                Err(RecvTimeoutError::Timeout) => {
                    self.reclaim();
                    allocator::give_back();
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Takes the waiting publications. If the last batch was larger, the others are likely on their
    /// way, since publishers that got their responses together publish again together: wait for
    /// them, for a small share of a commit's duration.
    fn gather(&mut self, batch: &mut Vec<Publication>) {
        let patience = (self.commit_took / GATHER_SHARE).min(GATHER_MAX);
        let until = Instant::now() + patience;
        loop {
            batch.extend(self.receiver.try_iter().take(COMMIT_BATCH_MAX - batch.len()));
            if batch.len() >= self.last_batch || patience < GATHER_STEP || Instant::now() >= until {
                break;
            }
            std::thread::sleep(GATHER_STEP);
        }
        self.last_batch = batch.len();
    }

    fn maintain(&mut self) {
        self.maintained = Instant::now();
        let maintained = self.sequencer.maintain(clock::unix_ms());
        self.metrics.holds(self.sequencer.held());
        self.watch.maintained(maintained.is_ok());
        match maintained {
            Ok(None) => {}
            Ok(Some(discarded)) => {
                self.watch.made_room();
                self.push(discarded, 0);
                self.wake_all();
            }
            // Maintenance is retried; acknowledged updates are kept for it.
            Err(error) => {
                self.warn(&error, "the history could not be written to the disk; it is tried again");
            }
        }
    }

    fn warn(&mut self, error: &HistoryError, what: &'static str) {
        if self.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            warn!(error = %chain(error), "{what}");
        }
    }

    /// The time until a store that failed is tried without an update.
    fn trial_in(&self) -> Option<Duration> {
        let now = Instant::now();
        let patience = self.left_alone_until.map(|until| until.saturating_duration_since(now));
        self.watch.trial_in(now).map(|trial_in| trial_in.max(patience.unwrap_or_default()))
    }

    /// Tries whether a store that failed works again.
    fn try_store(&mut self) {
        if !self.watch.has_room() {
            self.watch.tried(false, Instant::now());
            return;
        }
        let entries = self.append(&[], "the history still fails");
        self.watch.tried(self.left_alone_until.is_none(), Instant::now());
        let is_news = !entries.is_empty();
        entries.into_iter().for_each(|entry| self.push(entry, 0));
        if is_news {
            self.wake_all();
        }
    }

    /// Appends a batch. After a failure, the store is left alone for a moment.
    fn append(&mut self, batch: &[Publication], failure: &'static str) -> Vec<RingEntry> {
        let began = Instant::now();
        let (entries, error) = self.sequencer.commit(batch, clock::unix_ms());
        self.metrics.holds(self.sequencer.held());
        self.commit_took = began.elapsed();
        self.left_alone_until = error.map(|error| {
            self.warn(&error, failure);
            Instant::now() + (self.commit_took * PATIENCE_SHARE).min(PATIENCE_MAX)
        });
        entries
    }

    fn commit(&mut self, batch: &[Publication]) {
        let entries = if self.left_alone_until.is_some_and(|until| Instant::now() < until) {
            Sequencer::reject(batch)
        } else {
            let entries = self.append(batch, "the history refused updates; their publishers get 503");
            let is_stored = self.left_alone_until.is_none();
            if is_stored {
                self.metrics.commit.observe(self.commit_took);
            }
            let bytes = batch.iter().map(|publication| publication.frame.bytes_held()).sum();
            self.watch.appended(is_stored, bytes, Instant::now());
            entries
        };
        // Discard entries come last, and hold no bytes.
        let bytes =
            batch.iter().map(|publication| publication.frame.bytes_held()).chain(std::iter::repeat(0));
        let is_stored = self.left_alone_until.is_none();
        for (entry, bytes) in entries.into_iter().zip(bytes) {
            self.push(entry, bytes);
        }
        self.wake_all();
        for publication in batch {
            self.publisher.settled(publication.reply_to, is_stored);
        }
    }

    fn push(&mut self, entry: RingEntry, bytes: usize) {
        self.metrics.count(&entry);
        let mut waiting = entry;
        while let Err(back) = self.ring.push(waiting) {
            waiting = back;
            self.wake_all();
            std::thread::sleep(FULL_RING_PAUSE);
            self.reclaim();
        }
        self.metrics.entries.add(1);
        self.held.push_back(bytes);
    }

    /// Frees the entries that every shard has read. A push may have freed some already, so the
    /// ring's own count is used.
    fn reclaim(&mut self) {
        self.ring.reclaim();
        while self.held.len() as u64 > self.ring.held() {
            let bytes = self.held.pop_front().unwrap_or(0);
            self.queue_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn wake_all(&self) {
        self.wakers.iter().for_each(|waker| waker.wake());
    }
}
