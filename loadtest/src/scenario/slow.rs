//! Stalled readers: the others must not be affected, and the stalled ones get everything once they
//! read again.
//!
//! Both halves of a round have the same number of reading subscribers; the second also has the
//! stalled ones.

use clap::Args;
use serde::Serialize;

use super::context::{REST_NS, RoundContext, RoundError, publish_at_rate, subscription};
use super::fanout::TOPIC;
use super::outcome::Outcome;
use crate::engine::{Engine, Subscription};

const PUBLISHERS: u32 = 16;
/// `SO_RCVBUF` of a stalled reader: small, so that the hub soon notices.
const STALLED_RECEIVE_BYTES: usize = 4_096;
/// The duration of the warm-up.
const WARM_UP_SECONDS: f64 = 0.5;

/// Arguments of `slow`.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Slow {
    /// Subscribers, the stalled ones included.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) subscribers: usize,
    /// The share of them that stalls, in percent.
    #[arg(long, default_value_t = 20)]
    pub(crate) stalled_percent: usize,
    /// Updates a second.
    #[arg(long, default_value_t = 50.0)]
    pub(crate) rate: f64,
    /// Seconds of each half.
    #[arg(long, default_value_t = 6.0)]
    pub(crate) seconds: f64,
    /// Bytes of data of one update: enough that the sockets of the stalled ones fill up.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) data_bytes: usize,
    /// Leave the stalled ones stalled, for hubs that drop them.
    #[arg(long)]
    pub(crate) no_resume: bool,
}

impl Default for Slow {
    fn default() -> Self {
        Self {
            subscribers: 1_000,
            stalled_percent: 20,
            rate: 50.0,
            seconds: 6.0,
            data_bytes: 2_000,
            no_resume: false,
        }
    }
}

pub(super) fn run(args: &Slow, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    let stalled = args.subscribers * args.stalled_percent.min(100) / 100;
    let readers = args.subscribers - stalled;
    let mut alone = half(args, context, readers, 0)?;
    let beside = half(args, context, readers, stalled)?;
    let p99 = |outcome: &Outcome, name| outcome.get(name).unwrap_or(f64::NAN);
    let mut outcome = Outcome {
        tally: alone.tally.plus(beside.tally),
        invalid: alone.invalid.take().or(beside.invalid.clone()),
        disturbed: alone.disturbed.take().or(beside.disturbed.clone()),
        times: beside.times.clone(),
        load: beside.load.clone(),
        ..Outcome::default()
    };
    for (name, figure, unit) in [
        ("p99_ratio", "receive_p99_us", "others' p99, with stalled readers / without"),
        ("last_p99_ratio", "last_p99_us", "last"),
    ] {
        outcome.push(name, unit, p99(&beside, figure) / p99(&alone, figure));
    }
    outcome.push("alone_p99_us", "µs, nobody stalled", p99(&alone, "receive_p99_us"));
    outcome.push("alone_cpu_per_delivery_ns", "ns of server CPU", p99(&alone, "cpu_per_delivery_ns"));
    outcome.figures.extend(beside.figures);
    Ok(outcome)
}

fn half(
    args: &Slow,
    context: &RoundContext<'_>,
    readers: usize,
    stalled: usize,
) -> Result<Outcome, RoundError> {
    let mut engine = context.engine(PUBLISHERS)?;
    let sluggish = || Subscription {
        background: true,
        receive_bytes: Some(STALLED_RECEIVE_BYTES),
        ..subscription(TOPIC, 0..PUBLISHERS)
    };
    // In both halves, so that they differ only in the stalled ones.
    engine.use_short_windows();
    // The stalled ones come first: they are also first in any list of the hub.
    engine.subscribe(
        (0..stalled + readers)
            .map(|number| if number < stalled { sluggish() } else { subscription(TOPIC, 0..PUBLISHERS) }),
    )?;
    context.add_publishers(&mut engine, PUBLISHERS, TOPIC, args.data_bytes)?;
    engine.poll_until(engine.now_ns() + REST_NS)?;
    for number in 0..stalled {
        engine.stall(number)?;
    }
    publish_at_rate(&mut engine, args.rate, WARM_UP_SECONDS, |_, _| Ok(()))?;
    engine.book.forget_times(engine.now_ns());
    let mut outcome = measure(args, context, &mut engine)?;
    if !args.no_resume {
        for number in 0..stalled {
            engine.resume(number)?;
        }
        engine.settle()?;
    }
    outcome.count(&engine);
    Ok(outcome)
}

fn measure(args: &Slow, context: &RoundContext<'_>, engine: &mut Engine) -> Result<Outcome, RoundError> {
    let before = engine.book.tally().received;
    let meter = context.meter();
    let updates = publish_at_rate(engine, args.rate, args.seconds, |_, _| Ok(()))?;
    let usage = meter.stop();
    let mut outcome = Outcome::default();
    outcome.push_usage(&usage, engine.book.tally().received - before, updates);
    outcome.push_times(&engine.book.times);
    outcome.judge_schedule(&engine.book.times, args.rate);
    Ok(outcome)
}
