//! All subscribers lose their connection and reconnect with a last event id while updates are
//! published.

use clap::Args;
use serde::Serialize;

use super::context::{DATA_BYTES, REST_NS, RoundContext, RoundError, publish_at_rate, subscription};
use super::fanout::{TOPIC, one_at_a_time};
use super::outcome::Outcome;
use crate::engine::{Engine, Subscription};

const PUBLISHERS: u32 = 16;

/// Arguments of `reconnect`.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Reconnect {
    /// Subscribers; half of them reconnect, each several times, the others are measured.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) subscribers: usize,
    /// Updates a second.
    #[arg(long, default_value_t = 50.0)]
    pub(crate) rate: f64,
    /// Seconds.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Reconnections between two updates.
    #[arg(long, default_value_t = 20)]
    pub(crate) burst: usize,
    /// Bytes of data of one update.
    #[arg(long, default_value_t = DATA_BYTES)]
    pub(crate) data_bytes: usize,
}

pub(super) fn run(args: &Reconnect, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    let restless = (args.subscribers / 2).max(1);
    let mut engine = context.engine(PUBLISHERS)?;
    engine.subscribe((0..args.subscribers).map(|number| Subscription {
        background: number < restless,
        ..subscription(TOPIC, 0..PUBLISHERS)
    }))?;
    context.add_publishers(&mut engine, PUBLISHERS, TOPIC, args.data_bytes)?;
    engine.poll_until(engine.now_ns() + REST_NS)?;
    // A subscriber needs a last event id before it loses its connection.
    one_at_a_time(&mut engine, 1)?;
    engine.settle()?;
    engine.book.forget_times(engine.now_ns());

    let before = engine.book.tally().received;
    let mut turn = 0;
    let mut reconnections = 0_u64;
    let meter = context.meter();
    let updates = publish_at_rate(&mut engine, args.rate, args.seconds, |engine: &mut Engine, _| {
        for _ in 0..args.burst {
            engine.reconnect(turn)?;
            turn = (turn + 1) % restless;
            reconnections += 1;
        }
        Ok(())
    })?;
    engine.await_open()?;
    engine.settle()?;
    let usage = meter.stop();
    let tally = engine.book.tally();
    let mut outcome = Outcome::of(&engine);
    outcome.push("reconnections", "streams resumed", reconnections as f64);
    outcome.push_usage(&usage, tally.received - before, updates);
    outcome.push_times(&engine.book.times);
    Ok(outcome)
}
