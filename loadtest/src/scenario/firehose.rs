//! Publishers at full speed: the throughput of the hub when there is always more to send.

use clap::Args;
use serde::Serialize;

use super::context::{DATA_BYTES, REST_NS, RoundContext, RoundError, stream_of, subscription};
use super::outcome::Outcome;
use crate::engine::{Engine, SECOND_NS};

const TOPIC: &str = "https://example.com/firehose";
const MILLISECOND_NS: u64 = SECOND_NS / 1_000;

/// Arguments of `firehose`.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Firehose {
    /// Subscribers.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) subscribers: usize,
    /// Publishers; each publishes when its last publication is answered.
    #[arg(long, default_value_t = 32)]
    pub(crate) publishers: usize,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Bytes of data of one update.
    #[arg(long, default_value_t = DATA_BYTES)]
    pub(crate) data_bytes: usize,
}

impl Firehose {
    /// The run of the bars.
    pub(crate) fn of(subscribers: usize, publishers: usize, seconds: f64) -> Self {
        Self { subscribers, publishers, seconds, data_bytes: DATA_BYTES }
    }
}

pub(super) fn run(args: &Firehose, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    let streams = u32::try_from(args.publishers).map_err(|_| RoundError::Publishers)?;
    let mut engine = context.engine(streams)?;
    engine.subscribe((0..args.subscribers).map(|_| subscription(TOPIC, 0..streams)))?;
    context.add_publishers(&mut engine, streams, TOPIC, args.data_bytes)?;
    engine.poll_until(engine.now_ns() + REST_NS)?;
    flood(&mut engine, SECOND_NS / 2)?;
    engine.book.forget_times(engine.now_ns());

    let before = engine.book.tally();
    let meter = context.meter();
    flood(&mut engine, (args.seconds * SECOND_NS as f64) as u64)?;
    let usage = meter.stop();
    let after = engine.book.tally();
    let times = engine.book.times.clone();
    engine.settle()?;

    let mut outcome = Outcome::of(&engine);
    outcome.push_usage(&usage, after.received - before.received, after.published - before.published);
    let published = (after.published - before.published) as f64;
    outcome.push("publications_per_s", "publications/s", published / usage.elapsed.as_secs_f64());
    outcome.push_times(&times);
    Ok(outcome)
}

/// Publishes through every publisher whenever it is idle, for `nanoseconds`.
pub(super) fn flood(engine: &mut Engine, nanoseconds: u64) -> Result<(), RoundError> {
    flood_through(engine, usize::MAX, nanoseconds)
}

/// As [`flood`], with at most `publishers` unanswered publications at any time.
pub(super) fn flood_through(
    engine: &mut Engine,
    publishers: usize,
    nanoseconds: u64,
) -> Result<(), RoundError> {
    let start = engine.now_ns();
    let end = start + nanoseconds;
    engine.progress().begin("publishing", nanoseconds / MILLISECOND_NS, "ms");
    while engine.now_ns() < end {
        publish_while(engine, |engine| engine.unanswered() < publishers)?;
        engine.poll(end)?;
        engine.progress().set((engine.now_ns() - start).min(nanoseconds) / MILLISECOND_NS);
    }
    Ok(())
}

/// Publishes through every publisher whenever it is idle, until `updates` are answered.
pub(super) fn publish_all(engine: &mut Engine, updates: u64) -> Result<(), RoundError> {
    engine.progress().begin("publishing", updates, "updates");
    loop {
        publish_while(engine, |engine| engine.book.tally().published < updates)?;
        engine.progress().set(engine.book.tally().published.saturating_sub(engine.unanswered() as u64));
        if engine.book.tally().published >= updates {
            engine.await_answers()?;
            // Refused publications are repeated.
            if engine.book.tally().published >= updates {
                engine.progress().set(updates);
                return Ok(());
            }
        }
        let deadline = engine.now_ns() + SECOND_NS;
        engine.poll(deadline)?;
    }
}

fn publish_while(engine: &mut Engine, goes_on: impl Fn(&Engine) -> bool) -> Result<(), RoundError> {
    while goes_on(engine) {
        let Some(publisher) = engine.take_idle() else { return Ok(()) };
        let now = engine.now_ns();
        engine.publish(publisher, stream_of(publisher), now)?;
    }
    Ok(())
}
