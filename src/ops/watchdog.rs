//! The watchdog: whether every shard makes progress.
//!
//! A shard increments its [`Liveness`](crate::io::liveness::Liveness) counter when a round begins,
//! as it reads the clock, and before it sleeps, as it announces that to its waker. A sleeping shard
//! does not count, so [`Watch`] wakes it and checks the counter later. That also shows that
//! wake-ups reach it.
//!
//! It deliberately does not watch the sequencer: a slow disk must not end every stream.

use std::sync::Arc;

use crate::io::waker::ShardWaker;

/// Checks the counters of all shards.
pub(crate) struct Watch {
    shards: Vec<Watched>,
}

struct Watched {
    waker: Arc<ShardWaker>,
    seen: u64,
}

impl Watch {
    /// Watches the shards of these wakers, and wakes them for the first time.
    pub(crate) fn new(wakers: &[Arc<ShardWaker>]) -> Self {
        let watched = |waker: &Arc<ShardWaker>| Watched { waker: Arc::clone(waker), seen: 0 };
        let mut this = Self { shards: wakers.iter().map(watched).collect() };
        this.stalled();
        this
    }

    /// The first shard without progress since the last call. Then wakes all shards again.
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
    use std::thread::JoinHandle;
    use std::time::{Duration, Instant};

    use crossbeam_channel::{Receiver, bounded};

    use super::*;
    use crate::io::driver_kind::DriverKind;

    const DEADLINE: Duration = Duration::from_secs(20);

    /// Simulates a shard's thread: it checks for work, sleeps until it is woken, and may get stuck.
    fn shard(waker: Arc<ShardWaker>, work: Receiver<Receiver<()>>) -> JoinHandle<()> {
        std::thread::spawn(move || {
            let mut driver = DriverKind::Epoll.open().expect("an epoll set");
            driver.add_waker(&waker, 0).expect("added");
            let mut events = Vec::with_capacity(1);
            loop {
                waker.announce();
                if work.is_empty() {
                    driver.wait(&mut events, Some(DEADLINE.as_millis() as u64));
                }
                waker.awake();
                waker.liveness().mark_alive();
                let Ok(stuck) = work.try_recv() else { continue };
                // A dropped sender ends the thread.
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

    /// Checks until the result is `expected`.
    fn look_until(watch: &mut Watch, expected: Option<usize>) {
        eventually(&format!("the watch does not return {expected:?}"), || {
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
        // An idle shard is checked from the beginning, and counts as alive.
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
