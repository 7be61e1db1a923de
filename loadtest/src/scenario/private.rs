//! Private updates: half of the subscribers may receive them; the other half has the same selector
//! and must not.
//!
//! Every subscriber has a separate token, as real ones do, so that a cache of tokens or grants does
//! not serve them all.

use clap::Args;
use serde::Serialize;

use super::context::{DATA_BYTES, REST_NS, RoundContext, RoundError, subscription};
use super::fanout::one_at_a_time;
use super::outcome::Outcome;
use crate::engine::Subscription;
use crate::token;

const TOPIC: &str = "https://example.com/private";
const WARM_UP: u64 = 20;

/// Arguments of `private`.
#[derive(Debug, Clone, Args, Serialize)]
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

pub(super) fn run(args: &Private, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    let mut engine = context.engine(1)?;
    let subscriptions = (0..args.subscribers).map(|number| subscriber(context, number));
    let subscriptions = subscriptions.collect::<Result<Vec<_>, _>>()?;
    engine.subscribe(subscriptions.into_iter())?;
    engine.add_stream(TOPIC, true, &context.token()?, args.data_bytes);
    engine.add_publisher()?;
    engine.poll_until(engine.now_ns() + REST_NS)?;
    one_at_a_time(&mut engine, WARM_UP)?;
    engine.book.forget_times(engine.now_ns());
    let before = engine.book.tally().received;
    let meter = context.meter();
    let updates = one_at_a_time(&mut engine, args.updates)?;
    engine.settle()?;
    let usage = meter.stop();
    // Wait, so that a wrong delivery can still arrive.
    engine.poll_until(engine.now_ns() + REST_NS)?;
    let tally = engine.book.tally();
    let mut outcome = Outcome::of(&engine);
    outcome.push_usage(&usage, tally.received - before, updates);
    outcome.push_times(&engine.book.times);
    Ok(outcome)
}

/// Two of four may receive; one may receive something else, one has no token.
fn subscriber(context: &RoundContext<'_>, number: usize) -> Result<Subscription, RoundError> {
    let own = format!("https://example.com/users/{number}/{{any}}");
    let grant = match number % 4 {
        0 | 2 => Some(TOPIC),
        1 => Some("https://example.com/private/{id}"),
        _ => None,
    };
    let streams = if number.is_multiple_of(2) { 0..1 } else { 0..0 };
    let token = grant.map(|grant| token::sign(&context.common.key, &[], &[grant, &own])).transpose()?;
    Ok(Subscription { token, ..subscription(TOPIC, streams) })
}
