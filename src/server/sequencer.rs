//! The sequencer's thread: the one producer of the ring.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[cfg(feature = "internals")]
use crossbeam_channel::TryRecvError;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustix::thread::set_current_timer_slack;
use tracing::{debug, warn};

use crate::api::history_health::HistoryHealth;
use crate::error_text::chain;
use crate::history::HistoryError;
use crate::hub::sequencer::{Publication, RingEntry, Sequencer};
use crate::io::allocator;
use crate::io::clock::Clock;
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
    clock: Clock,
    /// Entries that wait for room in the ring, with the bytes that each holds: those of one batch
    /// at most, and of what was discarded with it.
    unpushed: VecDeque<(RingEntry, usize)>,
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
    #[cfg(feature = "internals")]
    has_ended: bool,
}

/// What a step of the sequencer has done.
#[cfg(feature = "internals")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SequencerStep {
    /// It may have more to do.
    Worked,
    /// Nothing waits.
    Idle,
    /// The last entry is on the ring.
    Ended,
}

impl SequencerThread {
    /// Returns the thread's state, and the queue to it.
    pub(crate) fn new(
        sequencer: Sequencer,
        ring: Producer<RingEntry>,
        wakers: Vec<Arc<ShardWaker>>,
        (queue, receiver): (Queue, Receiver<Publication>),
        history_file: Option<PathBuf>,
        clock: Clock,
    ) -> (Self, Queue) {
        let now = clock.instant();
        let publisher = EmbeddedPublisher::new(queue.clone());
        let thread = Self {
            sequencer,
            ring,
            wakers,
            receiver,
            queue_bytes: queue.bytes(),
            clock,
            unpushed: VecDeque::new(),
            held: VecDeque::new(),
            warned: None,
            maintained: now,
            left_alone_until: None,
            watch: StoreWatch::new(history_file, now),
            last_batch: 0,
            commit_took: Duration::ZERO,
            metrics: Arc::default(),
            publisher,
            #[cfg(feature = "internals")]
            has_ended: false,
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
        self.end();
        self.push_all();
    }

    /// Makes the last entries.
    fn end(&mut self) {
        if self.sequencer.needs_upkeep() {
            self.maintain();
        }
        self.offer(RingEntry::End, 0);
    }

    fn wait(&mut self) -> Option<Publication> {
        loop {
            let due_in = self.do_due_work();
            self.push_all();
            let reclaim_in = (self.ring.held() > 0).then_some(RECLAIM_AFTER);
            let Some(timeout) = due_in.into_iter().chain(reclaim_in).min() else {
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

    /// Maintains the history and tries a store that failed, if it is time; returns the time until
    /// it is.
    fn do_due_work(&mut self) -> Option<Duration> {
        loop {
            let since = self.clock.instant().saturating_duration_since(self.maintained);
            let upkeep_in = self.sequencer.needs_upkeep().then(|| UPKEEP_EVERY.saturating_sub(since));
            if upkeep_in == Some(Duration::ZERO) {
                self.maintain();
                continue;
            }
            let trial_in = self.trial_in();
            if trial_in == Some(Duration::ZERO) {
                self.try_store();
                continue;
            }
            return upkeep_in.into_iter().chain(trial_in).min();
        }
    }

    /// Takes the waiting publications. If the last batch was larger, the others are likely on their
    /// way, since publishers that got their responses together publish again together: wait for
    /// them, for a small share of a commit's duration.
    fn gather(&mut self, batch: &mut Vec<Publication>) {
        let patience = (self.commit_took / GATHER_SHARE).min(GATHER_MAX);
        let until = self.clock.instant() + patience;
        loop {
            batch.extend(self.receiver.try_iter().take(COMMIT_BATCH_MAX - batch.len()));
            if batch.len() >= self.last_batch || patience < GATHER_STEP || self.clock.instant() >= until {
                break;
            }
            std::thread::sleep(GATHER_STEP);
        }
        self.last_batch = batch.len();
    }

    fn maintain(&mut self) {
        self.maintained = self.clock.instant();
        let maintained = self.sequencer.maintain(self.clock.now().unix_ms);
        self.metrics.holds(self.sequencer.held());
        self.watch.maintained(maintained.is_ok());
        match maintained {
            Ok(None) => {}
            Ok(Some(discarded)) => {
                self.watch.made_room();
                self.offer(discarded, 0);
            }
            // Maintenance is retried; acknowledged updates are kept for it.
            Err(error) => {
                self.warn(&error, "the history could not be written to the disk; it is tried again");
            }
        }
    }

    fn warn(&mut self, error: &HistoryError, what: &'static str) {
        let now = self.clock.instant();
        if self.warned.is_none_or(|at| now.saturating_duration_since(at) >= WARN_EVERY) {
            self.warned = Some(now);
            warn!(error = %chain(error), "{what}");
        }
    }

    /// The time until a store that failed is tried without an update.
    fn trial_in(&self) -> Option<Duration> {
        let now = self.clock.instant();
        let patience = self.left_alone_until.map(|until| until.saturating_duration_since(now));
        self.watch.trial_in(now).map(|trial_in| trial_in.max(patience.unwrap_or_default()))
    }

    /// Tries whether a store that failed works again.
    fn try_store(&mut self) {
        if !self.watch.has_room() {
            self.watch.tried(false, self.clock.instant());
            return;
        }
        let entries = self.append(&[], "the history still fails");
        self.watch.tried(self.left_alone_until.is_none(), self.clock.instant());
        entries.into_iter().for_each(|entry| self.offer(entry, 0));
    }

    /// Appends a batch. After a failure, the store is left alone for a moment.
    fn append(&mut self, batch: &[Publication], failure: &'static str) -> Vec<RingEntry> {
        let began = self.clock.instant();
        let (entries, error) = self.sequencer.commit(batch, self.clock.now().unix_ms);
        self.metrics.holds(self.sequencer.held());
        self.commit_took = self.clock.instant().saturating_duration_since(began);
        self.left_alone_until = error.map(|error| {
            self.warn(&error, failure);
            self.clock.instant() + (self.commit_took * PATIENCE_SHARE).min(PATIENCE_MAX)
        });
        entries
    }

    fn commit(&mut self, batch: &[Publication]) {
        let is_stored = self.store(batch);
        self.push_all();
        for publication in batch {
            self.publisher.settled(publication.reply_to, is_stored);
        }
    }

    /// Stores a batch, or refuses it, and makes its entries; returns whether it is stored.
    fn store(&mut self, batch: &[Publication]) -> bool {
        let now = self.clock.instant();
        let entries = if self.left_alone_until.is_some_and(|until| now < until) {
            Sequencer::reject(batch)
        } else {
            let entries = self.append(batch, "the history refused updates; their publishers get 503");
            let is_stored = self.left_alone_until.is_none();
            if is_stored {
                self.metrics.commit.observe(self.commit_took);
            }
            let bytes = batch.iter().map(|publication| publication.frame.bytes_held()).sum();
            self.watch.appended(is_stored, bytes, self.clock.instant());
            entries
        };
        // Discard entries come last, and hold no bytes.
        let bytes =
            batch.iter().map(|publication| publication.frame.bytes_held()).chain(std::iter::repeat(0));
        for (entry, bytes) in entries.into_iter().zip(bytes) {
            self.offer(entry, bytes);
        }
        self.left_alone_until.is_none()
    }

    /// Makes an entry; it goes to the ring with the next push.
    fn offer(&mut self, entry: RingEntry, bytes: usize) {
        self.metrics.count(&entry);
        self.unpushed.push_back((entry, bytes));
    }

    /// Pushes the entries, and waits for room if it has to.
    fn push_all(&mut self) {
        while !self.push_some() {
            std::thread::sleep(FULL_RING_PAUSE);
            self.reclaim();
        }
    }

    /// Pushes entries as far as the ring has room, and wakes the shards; returns whether none is
    /// left.
    fn push_some(&mut self) -> bool {
        if self.unpushed.is_empty() {
            return true;
        }
        while let Some((entry, bytes)) = self.unpushed.pop_front() {
            if let Err(back) = self.ring.push(entry) {
                self.unpushed.push_front((back, bytes));
                break;
            }
            self.metrics.entries.add(1);
            self.held.push_back(bytes);
        }
        self.wake_all();
        self.unpushed.is_empty()
    }

    /// One step of [`Self::run`] that waits for nothing; `batch_max` publications are committed
    /// together.
    #[cfg(feature = "internals")]
    pub(crate) fn step(&mut self, batch_max: usize) -> SequencerStep {
        self.reclaim();
        if !self.unpushed.is_empty() {
            self.push_some();
            return SequencerStep::Worked;
        }
        match self.receiver.try_recv() {
            Ok(first) => {
                let batch: Vec<_> =
                    std::iter::once(first).chain(self.receiver.try_iter().take(batch_max - 1)).collect();
                self.store(&batch);
            }
            Err(TryRecvError::Empty) => {
                self.do_due_work();
                if self.unpushed.is_empty() {
                    return SequencerStep::Idle;
                }
            }
            Err(TryRecvError::Disconnected) if self.has_ended => return SequencerStep::Ended,
            Err(TryRecvError::Disconnected) => {
                self.has_ended = true;
                self.end();
            }
        }
        self.push_some();
        SequencerStep::Worked
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
