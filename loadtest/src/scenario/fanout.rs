//! One topic, many subscribers.

use clap::Args;
use serde::Serialize;

use super::context::{
    DATA_BYTES, REST_NS, RoundContext, RoundError, publish_at_rate, stream_of, subscription,
};
use super::outcome::Outcome;
use crate::engine::{Engine, SECOND_NS};

/// The topic of the fan-out.
pub(super) const TOPIC: &str = "https://example.com/fanout";
/// Updates before the measurement.
const WARM_UP: u64 = 20;
/// Publications that may await an answer at a fixed rate, each on a separate connection.
const PUBLISHERS_AT_RATE: u32 = 16;
/// The time to wait for an update's missing deliveries, at first.
const PATIENCE_NS: u64 = 2 * SECOND_NS;
/// The shortest such wait: a hub that loses updates must not delay the run for long.
const PATIENCE_MIN_NS: u64 = SECOND_NS / 50;

/// Arguments of `fanout`.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Fanout {
    /// Subscribers.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) subscribers: usize,
    /// Updates of a closed run: each is published when all subscribers have the one before.
    #[arg(long, default_value_t = 500)]
    pub(crate) updates: u64,
    /// Closed: one update at a time. The default without --rate.
    #[arg(long, conflicts_with = "rate")]
    pub(crate) closed: bool,
    /// Open: updates a second; latencies count from the time each is due.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Seconds of an open run.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Bytes of data of one update.
    #[arg(long, default_value_t = DATA_BYTES)]
    pub(crate) data_bytes: usize,
}

impl Fanout {
    /// A closed run.
    pub(crate) fn closed(subscribers: usize, updates: u64) -> Self {
        Self { subscribers, updates, closed: true, rate: None, seconds: 0.0, data_bytes: DATA_BYTES }
    }

    /// A run at a fixed rate.
    pub(crate) fn at_rate(subscribers: usize, rate: f64, seconds: f64) -> Self {
        Self { subscribers, updates: 0, closed: false, rate: Some(rate), seconds, data_bytes: DATA_BYTES }
    }
}

pub(super) fn run(args: &Fanout, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    let publishers = if args.rate.is_some() { PUBLISHERS_AT_RATE } else { 1 };
    let mut engine = context.engine(publishers)?;
    engine.subscribe((0..args.subscribers).map(|_| subscription(TOPIC, 0..publishers)))?;
    context.add_publishers(&mut engine, publishers, TOPIC, args.data_bytes)?;
    engine.poll_until(engine.now_ns() + REST_NS)?;
    one_at_a_time(&mut engine, WARM_UP)?;
    engine.poll_until(engine.now_ns() + REST_NS / 4)?;
    engine.book.forget_times(engine.now_ns());

    let (before, wire_bytes) = (engine.book.tally().received, engine.wire_bytes());
    let meter = context.meter();
    let updates = match args.rate {
        Some(rate) => publish_at_rate(&mut engine, rate, args.seconds, |_, _| Ok(()))?,
        None => one_at_a_time(&mut engine, args.updates)?,
    };
    engine.settle()?;
    let usage = meter.stop();
    let tally = engine.book.tally();
    let mut outcome = Outcome::of(&engine);
    outcome.push_usage(&usage, tally.received - before, updates);
    let each = (engine.wire_bytes() - wire_bytes) as f64 / (tally.received - before) as f64;
    outcome.push("wire_bytes_per_delivery", "bytes of the stream per delivery", each);
    outcome.push_times(&engine.book.times);
    if let Some(rate) = args.rate {
        outcome.judge_schedule(&engine.book.times, rate);
    }
    Ok(outcome)
}

/// Publishes `updates`, each when all measured readers have the one before.
pub(super) fn one_at_a_time(engine: &mut Engine, updates: u64) -> Result<u64, RoundError> {
    let mut patience_ns = PATIENCE_NS;
    engine.progress().begin("publishing", updates, "updates");
    for number in 0..updates {
        let now = engine.now_ns();
        let publisher = engine.await_idle()?;
        engine.publish(publisher, stream_of(publisher), now)?;
        let deadline = now + patience_ns;
        while engine.book.open() > 0 && engine.now_ns() < deadline {
            engine.poll(deadline)?;
        }
        // Missing deliveries are lost, unless they come before the end. The run goes on to count
        // further losses.
        if engine.book.open() > 0 {
            engine.book.give_up();
            patience_ns = (patience_ns / 2).max(PATIENCE_MIN_NS);
        }
        engine.await_answers()?;
        engine.progress().set(number + 1);
    }
    Ok(updates)
}
