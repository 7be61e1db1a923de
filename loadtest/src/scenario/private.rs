//! Private updates: half of the subscribers may receive them, the other half has the same selector and must not.

use std::rc::Rc;

use clap::Args;

use super::fanout::one_at_a_time;
use super::{Bench, DATA_BYTES, Outcome, REST_NS, subscription, with_token};
use crate::token;

const TOPIC: &str = "https://example.com/private";
const WARM_UP: u64 = 20;

/// Arguments of `private`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Private {
    /// Subscribers; every other one may receive the updates.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) subscribers: usize,
    /// Updates, one at a time.
    #[arg(long, default_value_t = 500)]
    pub(crate) updates: u64,
    /// Bytes of data of one update.
    #[arg(long, default_value_t = DATA_BYTES)]
    pub(crate) data_bytes: usize,
}

pub(super) fn run(args: &Private, bench: &Bench<'_>) -> Result<Outcome, String> {
    let mut engine = bench.engine(1)?;
    let may: Rc<str> = token::sign(&bench.common.key, &[], &[TOPIC])?.into();
    let may_other: Rc<str> =
        token::sign(&bench.common.key, &[], &["https://example.com/private/{id}"])?.into();
    engine.subscribe((0..args.subscribers).map(|number| match number % 4 {
        0 | 2 => with_token(subscription(TOPIC, 0..1), &may),
        1 => with_token(subscription(TOPIC, 0..0), &may_other),
        _ => subscription(TOPIC, 0..0),
    }))?;
    let prefix = engine.publication(TOPIC, true, &bench.token()?, args.data_bytes);
    engine.add_publisher(prefix, args.data_bytes)?;
    engine.poll_until(engine.now_ns() + REST_NS)?;
    one_at_a_time(&mut engine, WARM_UP)?;
    engine.book.forget_times();
    let before = engine.book.tally().received;
    let meter = bench.meter();
    let updates = one_at_a_time(&mut engine, args.updates)?;
    engine.settle()?;
    let usage = meter.stop();
    // Whoever must receive nothing gets the time to receive it wrongly.
    engine.poll_until(engine.now_ns() + REST_NS)?;
    let tally = engine.book.tally();
    let mut outcome = Outcome { tally, ..Outcome::default() };
    outcome.push_usage(&usage, tally.received - before, updates);
    outcome.push_times(&engine.book.times);
    Ok(outcome)
}
