//! Many topics: what it costs to find the few subscribers of an update among many.

use clap::Args;

use super::{Bench, DATA_BYTES, Outcome, REST_NS, SECOND_NS, subscription};
use crate::engine::Engine;

/// Arguments of `topics`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Topics {
    /// Subscribers, spread over the topics.
    #[arg(long, default_value_t = 5_000)]
    pub(crate) subscribers: usize,
    /// Topics; each has a publisher of its own among at most 100 connections.
    #[arg(long, default_value_t = 100)]
    pub(crate) topics: u32,
    /// Subscribe with a URI Template for each topic instead of the topic itself.
    #[arg(long)]
    pub(crate) templates: bool,
    /// Updates.
    #[arg(long, default_value_t = 5_000)]
    pub(crate) updates: u64,
    /// Bytes of data of one update.
    #[arg(long, default_value_t = DATA_BYTES)]
    pub(crate) data_bytes: usize,
}

pub(super) fn run(args: &Topics, bench: &Bench<'_>) -> Result<Outcome, String> {
    let topics = args.topics.clamp(1, 100);
    let mut engine = bench.engine(topics)?;
    engine.subscribe((0..args.subscribers).map(|number| {
        let topic = u32::try_from(number).unwrap_or(u32::MAX) % topics;
        let selector = if args.templates {
            format!("https://example.com/rooms/{topic}/messages/{{id}}")
        } else {
            format!("https://example.com/rooms/{topic}/messages/1")
        };
        subscription(&selector, topic..topic + 1)
    }))?;
    for topic in 0..topics {
        bench.add_publisher(
            &mut engine,
            &format!("https://example.com/rooms/{topic}/messages/1"),
            args.data_bytes,
        )?;
    }
    engine.poll_until(engine.now_ns() + REST_NS)?;
    publish(&mut engine, u64::from(topics))?;
    engine.book.forget_times();
    let before = engine.book.tally().received;
    let meter = bench.meter();
    publish(&mut engine, args.updates)?;
    let usage = meter.stop();
    let tally = engine.book.tally();
    let mut outcome = Outcome { tally, ..Outcome::default() };
    outcome.push_usage(&usage, tally.received - before, args.updates);
    outcome.push_times(&engine.book.times);
    outcome.judge_generator(&usage);
    Ok(outcome)
}

/// Publishes `updates` through whichever publisher is idle, and waits for their deliveries.
fn publish(engine: &mut Engine, updates: u64) -> Result<(), String> {
    let mut left = updates;
    while left > 0 {
        while left > 0
            && let Some(publisher) = engine.take_idle()
        {
            let now = engine.now_ns();
            engine.publish(publisher, u32::try_from(publisher).map_err(|_| "too many publishers")?, now)?;
            left -= 1;
        }
        engine.poll(engine.now_ns() + SECOND_NS)?;
    }
    engine.settle()
}
