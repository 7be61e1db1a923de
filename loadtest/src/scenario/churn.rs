//! Subscribers come and go while others are measured.

use clap::Args;
use serde::Serialize;

use super::context::{DATA_BYTES, REST_NS, RoundContext, RoundError, publish_at_rate, subscription};
use super::fanout::TOPIC;
use super::outcome::Outcome;
use crate::engine::Engine;

const PUBLISHERS: u32 = 16;
const WARM_UP_SECONDS: f64 = 0.5;

/// Arguments of `churn`.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Churn {
    /// Subscribers that stay and are measured.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) subscribers: usize,
    /// Subscribers that leave and come back, each on a separate topic.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) churners: usize,
    /// How many of them do so between two updates.
    #[arg(long, default_value_t = 20)]
    pub(crate) burst: usize,
    /// Updates a second.
    #[arg(long, default_value_t = 50.0)]
    pub(crate) rate: f64,
    /// Seconds.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Bytes of data of one update.
    #[arg(long, default_value_t = DATA_BYTES)]
    pub(crate) data_bytes: usize,
}

pub(super) fn run(args: &Churn, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    let churners = args.churners.max(1);
    let mut engine = context.engine(PUBLISHERS)?;
    engine.subscribe((0..churners + args.subscribers).map(|number| {
        if number < churners {
            subscription(&format!("https://example.com/users/{number}/inbox"), 0..0)
        } else {
            subscription(TOPIC, 0..PUBLISHERS)
        }
    }))?;
    context.add_publishers(&mut engine, PUBLISHERS, TOPIC, args.data_bytes)?;
    engine.poll_until(engine.now_ns() + REST_NS)?;
    publish_at_rate(&mut engine, args.rate, WARM_UP_SECONDS, |_, _| Ok(()))?;
    engine.book.forget_times(engine.now_ns());
    let before = engine.book.tally().received;
    let mut turn = 0;
    let meter = context.meter();
    let updates = publish_at_rate(&mut engine, args.rate, args.seconds, |engine: &mut Engine, _| {
        for _ in 0..args.burst {
            engine.reconnect(turn)?;
            turn = (turn + 1) % churners;
        }
        Ok(())
    })?;
    engine.await_open()?;
    engine.settle()?;
    let usage = meter.stop();
    let tally = engine.book.tally();
    let mut outcome = Outcome::of(&engine);
    outcome.push_usage(&usage, tally.received - before, updates);
    outcome.push_times(&engine.book.times);
    outcome.judge_schedule(&engine.book.times, args.rate);
    Ok(outcome)
}
