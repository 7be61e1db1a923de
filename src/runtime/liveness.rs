//! Signs of life: whether every shard makes progress.
//!
//! A shard counts up its [`Liveness`] when a round begins, as it reads the clock, and before it sleeps, as it announces
//! that to its waker. So a busy shard counts by itself, and a sleeping one counts when it is woken: [`Watch`] wakes it
//! and checks the counter later, which also shows that a wake-up still reaches it.
//!
//! It deliberately does not watch the sequencer: a disk that is slow is no reason to end every stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::wake::ShardWaker;

/// The counter of one shard, which alone writes it. Off the cache lines of its neighbours: it is written in every round.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Liveness(AtomicU64);

impl Liveness {
    /// The shard makes progress.
    pub(crate) fn mark_alive(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Checks the counters of all shards.
pub(crate) struct Watch {
    shards: Vec<Watched>,
}

struct Watched {
    waker: Arc<ShardWaker>,
    seen: u64,
}

impl Watch {
    /// Watches the shards of these wakers, and wakes them a first time.
    pub(crate) fn new(wakers: &[Arc<ShardWaker>]) -> Self {
        let watched = |waker: &Arc<ShardWaker>| Watched { waker: Arc::clone(waker), seen: 0 };
        let mut this = Self { shards: wakers.iter().map(watched).collect() };
        this.stalled();
        this
    }

    /// The first shard that has made no progress since the last call; then wakes all of them again.
    pub(crate) fn stalled(&mut self) -> Option<usize> {
        let mut stalled = None;
        for (number, shard) in self.shards.iter_mut().enumerate() {
            let count = shard.waker.liveness().count();
            if count == shard.seen {
                stalled = stalled.or(Some(number));
            }
            shard.seen = count;
            shard.waker.wake();
        }
        stalled
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::thread::JoinHandle;
    use std::time::{Duration, Instant};

    use crossbeam_channel::{Receiver, bounded};

    use super::*;
    use crate::runtime::poller::Poller;

    const DEADLINE: Duration = Duration::from_secs(20);

    /// A thread as that of a shard: it looks for work, sleeps until it is woken, and may get stuck in its work.
    fn shard(waker: Arc<ShardWaker>, work: Receiver<Receiver<()>>) -> JoinHandle<()> {
        std::thread::spawn(move || {
            let set = Poller::new().expect("an epoll set");
            set.add(waker.as_fd(), 0).expect("added");
            let mut events = Vec::with_capacity(1);
            loop {
                waker.announce();
                if work.is_empty() {
                    set.take(&mut events, DEADLINE.as_millis() as u64);
                }
                waker.awake();
                waker.liveness().mark_alive();
                let Ok(stuck) = work.try_recv() else { continue };
                // A sender that is gone without a word ends the thread.
                if stuck.recv().is_err() {
                    return;
                }
            }
        })
    }

    fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
        let until = Instant::now() + DEADLINE;
        while !holds() {
            assert!(Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Checks until every shard has counted between two checks, or the one of this number has not.
    fn look_until(watch: &mut Watch, expected: Option<usize>) {
        eventually(&format!("the watch does not answer {expected:?}"), || {
            std::thread::sleep(Duration::from_millis(50));
            watch.stalled() == expected
        });
    }

    #[test]
    fn a_shard_that_sleeps_lives_and_one_that_is_stuck_is_named() {
        let wakers: Vec<Arc<ShardWaker>> =
            (0..2).map(|_| Arc::new(ShardWaker::new().expect("a waker"))).collect();
        let (works, shards): (Vec<_>, Vec<_>) = wakers
            .iter()
            .map(|waker| {
                let (send, work) = bounded(1);
                (send, shard(Arc::clone(waker), work))
            })
            .unzip();
        let mut watch = Watch::new(&wakers);
        eventually("the shards do not begin", || wakers.iter().all(|waker| waker.liveness().count() > 0));
        // One that does nothing is asked, from the first moment on, and answers.
        look_until(&mut watch, None);
        look_until(&mut watch, None);

        let (free, stuck) = bounded(1);
        works[1].send(stuck).expect("it takes work");
        wakers[1].wake();
        look_until(&mut watch, Some(1));
        look_until(&mut watch, Some(1));
        free.send(()).expect("it waits");
        look_until(&mut watch, None);

        for (work, waker) in works.iter().zip(&wakers) {
            let (end, stuck) = bounded(1);
            drop(end);
            work.send(stuck).expect("it takes work");
            waker.wake();
        }
        for shard in shards {
            shard.join().expect("it ends");
        }
    }
}
