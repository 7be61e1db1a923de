//! Signs of life: whether every shard makes progress.
//!
//! A shard's pulse beats when a round begins, with the clock that it reads, and when it looks for work before it sleeps, with
//! its bell. So one that is busy beats by itself, and one that sleeps beats when its bell is rung: [`Watch`] rings it
//! and looks later whether it beat, which shows on the way that a wake-up still reaches it.
//!
//! It deliberately does not watch the sequencer: a disk that is slow is no reason to end every stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::wake::Bell;

/// The pulse of one shard, which alone beats it. Off the cache lines of its neighbours: it is written in every round.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Pulse(AtomicU64);

impl Pulse {
    /// The shard makes progress.
    pub(crate) fn beat(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Who looks at the pulses of all shards.
pub(crate) struct Watch {
    shards: Vec<Watched>,
}

struct Watched {
    bell: Arc<Bell>,
    seen: u64,
}

impl Watch {
    /// Watches the shards of these bells, and asks them a first time.
    pub(crate) fn new(bells: &[Arc<Bell>]) -> Self {
        let watched = |bell: &Arc<Bell>| Watched { bell: Arc::clone(bell), seen: 0 };
        let mut this = Self { shards: bells.iter().map(watched).collect() };
        this.stalled();
        this
    }

    /// The first shard that has not beaten since the last call; then asks all of them anew.
    pub(crate) fn stalled(&mut self) -> Option<usize> {
        let mut stalled = None;
        for (number, shard) in self.shards.iter_mut().enumerate() {
            let count = shard.bell.pulse().count();
            if count == shard.seen {
                stalled = stalled.or(Some(number));
            }
            shard.seen = count;
            shard.bell.ring();
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
    use crate::runtime::readiness::Readiness;

    const DEADLINE: Duration = Duration::from_secs(20);

    /// A thread as that of a shard: it looks for work, sleeps until its bell rings, and may get stuck in its work.
    fn shard(bell: Arc<Bell>, work: Receiver<Receiver<()>>) -> JoinHandle<()> {
        std::thread::spawn(move || {
            let set = Readiness::new().expect("an epoll set");
            set.add(bell.as_fd(), 0).expect("added");
            let mut events = Vec::with_capacity(1);
            loop {
                bell.announce();
                if work.is_empty() {
                    set.take(&mut events, DEADLINE.as_millis() as u64);
                }
                bell.awake();
                bell.pulse().beat();
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

    /// Looks until every shard has beaten between two looks, or the one of this number has not.
    fn look_until(watch: &mut Watch, expected: Option<usize>) {
        eventually(&format!("the watch does not answer {expected:?}"), || {
            std::thread::sleep(Duration::from_millis(50));
            watch.stalled() == expected
        });
    }

    #[test]
    fn a_shard_that_sleeps_lives_and_one_that_is_stuck_is_named() {
        let bells: Vec<Arc<Bell>> = (0..2).map(|_| Arc::new(Bell::new().expect("a bell"))).collect();
        let (works, shards): (Vec<_>, Vec<_>) = bells
            .iter()
            .map(|bell| {
                let (send, work) = bounded(1);
                (send, shard(Arc::clone(bell), work))
            })
            .unzip();
        let mut watch = Watch::new(&bells);
        eventually("the shards do not begin", || bells.iter().all(|bell| bell.pulse().count() > 0));
        // One that does nothing is asked, from the first moment on, and answers.
        look_until(&mut watch, None);
        look_until(&mut watch, None);

        let (free, stuck) = bounded(1);
        works[1].send(stuck).expect("it takes work");
        bells[1].ring();
        look_until(&mut watch, Some(1));
        look_until(&mut watch, Some(1));
        free.send(()).expect("it waits");
        look_until(&mut watch, None);

        for (work, bell) in works.iter().zip(&bells) {
            let (end, stuck) = bounded(1);
            drop(end);
            work.send(stuck).expect("it takes work");
            bell.ring();
        }
        for shard in shards {
            shard.join().expect("it ends");
        }
    }
}
