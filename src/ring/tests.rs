//! The guarantees of the ring: with `std` on real threads, and as loom models (`RUSTFLAGS="--cfg
//! loom"`) over every interleaving that the memory model allows, within loom's default bounds.

use super::*;

#[cfg(not(loom))]
mod threads {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn a_full_ring_refuses_instead_of_overwriting() {
        let (mut producer, mut consumers) = ring(4, 2);
        for n in 0..4 {
            producer.push(n).expect("room");
        }
        assert_eq!(producer.push(4), Err(4));
        assert_eq!(consumers[0].drain(usize::MAX, |_| DrainStep::GoOn), 4);
        assert_eq!(producer.push(4), Err(4), "the other consumer has read nothing");
        let mut seen = Vec::new();
        let mut take = |n: &u64| {
            seen.push(*n);
            if seen.len() < 2 { DrainStep::GoOn } else { DrainStep::Stop }
        };
        assert_eq!(consumers[1].drain(usize::MAX, &mut take), 2, "the reader may stop");
        assert_eq!(consumers[1].drain(usize::MAX, |_| DrainStep::StopBefore), 0, "it comes again");
        producer.push(4).expect("two slots are free");
        producer.push(5).expect("two slots are free");
        assert_eq!(producer.push(6), Err(6));
        consumers[1].drain(usize::MAX, |n| {
            seen.push(*n);
            DrainStep::GoOn
        });
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_consumer_that_is_gone_gates_nobody() {
        let (mut producer, mut consumers) = ring(2, 2);
        drop(consumers.pop());
        for n in 0..10 {
            producer.push(n).expect("room");
            let is_it = |seen: &u64| if *seen == n { DrainStep::Stop } else { DrainStep::StopBefore };
            assert_eq!(consumers[0].drain(1, is_it), 1);
        }
        drop(consumers);
        for n in 0..10 {
            producer.push(n).expect("nobody is left to wait for");
        }
    }

    #[test]
    fn every_entry_is_dropped_once() {
        struct Counted(Arc<AtomicUsize>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let drops = Arc::new(AtomicUsize::new(0));
        let (mut producer, mut consumers) = ring(4, 1);
        for _ in 0..3 {
            producer.push(Counted(Arc::clone(&drops))).ok().expect("room");
        }
        consumers[0].drain(2, |_| DrainStep::GoOn);
        assert_eq!((producer.reclaim(), drops.load(Ordering::Relaxed), producer.held()), (2, 2, 1));
        drop(producer);
        drop(consumers);
        assert_eq!(drops.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn all_consumers_see_all_entries_in_order_across_threads() {
        const ENTRIES: u64 = 200_000;
        let (mut producer, consumers) = ring(64, 3);
        let readers: Vec<_> = consumers
            .into_iter()
            .map(|mut consumer| {
                std::thread::spawn(move || {
                    let mut next = 0;
                    while next < ENTRIES {
                        consumer.drain(17, |entry: &Arc<u64>| {
                            assert_eq!(**entry, next);
                            next += 1;
                            DrainStep::GoOn
                        });
                        std::thread::yield_now();
                    }
                })
            })
            .collect();
        for n in 0..ENTRIES {
            let mut entry = Arc::new(n);
            while let Err(back) = producer.push(entry) {
                entry = back;
                std::thread::yield_now();
            }
        }
        for reader in readers {
            reader.join().expect("a reader saw an entry out of order");
        }
    }
}

#[cfg(loom)]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::sleep_flag::SleepFlag;
    use super::*;

    #[test]
    fn entries_arrive_whole_and_in_order_while_slots_are_reused() {
        loom::model(|| {
            let (mut producer, consumers) = ring::<Box<u64>>(2, 1);
            let mut consumer = consumers.into_iter().next().expect("one consumer");
            let reader = thread::spawn(move || {
                let mut seen = 0;
                while seen < 3 {
                    consumer.drain(2, |entry| {
                        assert_eq!(**entry, seen);
                        seen += 1;
                        DrainStep::GoOn
                    });
                    thread::yield_now();
                }
            });
            for n in 0..3 {
                let mut entry = Box::new(n);
                while let Err(back) = producer.push(entry) {
                    entry = back;
                    thread::yield_now();
                }
            }
            reader.join().expect("the reader saw every entry");
        });
    }

    #[test]
    fn the_slowest_of_two_consumers_gates_the_producer() {
        loom::model(|| {
            let (mut producer, consumers) = ring::<u64>(1, 2);
            let readers: Vec<_> = consumers
                .into_iter()
                .map(|mut consumer| {
                    thread::spawn(move || {
                        let mut sum = 0;
                        consumer.drain(1, |entry| {
                            sum += *entry;
                            DrainStep::GoOn
                        });
                        sum
                    })
                })
                .collect();
            producer.push(1).expect("an empty ring has room");
            // Whether the push was refused or not, a consumer that reads the second entry has read
            // the first.
            let second = producer.push(2);
            for reader in readers {
                assert!(reader.join().expect("a reader") <= 2);
            }
            drop(second);
        });
    }

    #[test]
    fn a_sleeper_is_never_left_with_an_entry() {
        loom::model(|| {
            let (mut producer, consumers) = ring::<u64>(2, 1);
            let mut consumer = consumers.into_iter().next().expect("one consumer");
            let sleep_flag = Arc::new(SleepFlag::new());
            let theirs = Arc::clone(&sleep_flag);
            let sleeper = thread::spawn(move || {
                theirs.announce();
                // It sleeps only if the ring is empty after the announcement.
                let sleeps = consumer.is_empty();
                if !sleeps {
                    theirs.end();
                    consumer.drain(1, |_| DrainStep::GoOn);
                }
                sleeps
            });
            producer.push(1).expect("room");
            let woken = sleep_flag.must_wake();
            let slept = sleeper.join().expect("the sleeper");
            assert!(!slept || woken || sleep_flag.must_wake(), "asleep, with an entry, and nobody wakes it");
        });
    }
}
