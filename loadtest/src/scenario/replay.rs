//! Clients that missed everything: each asks for the whole history at once. The same clients are
//! also measured live.

use clap::Args;
use serde::Serialize;

use super::context::{DATA_BYTES, RoundContext, RoundError, subscription};
use super::fanout::{TOPIC, one_at_a_time};
use super::firehose::{flood, publish_all};
use super::outcome::Outcome;
use crate::engine::{Engine, SECOND_NS, Start, Subscription};
use crate::meter;

/// Publishers that fill the history: the hub commits waiting publications together.
const PUBLISHERS: u32 = 64;
/// The interval between readings of the server's memory, in nanoseconds.
const LOOK_EVERY_NS: u64 = SECOND_NS / 50;
/// Missing deliveries are given up after this time without progress, in nanoseconds.
const PATIENCE_NS: u64 = 5 * SECOND_NS;
/// Updates of the live fan-out, one at a time.
const LIVE_UPDATES: u64 = 300;
/// The duration of the live fan-out at full speed, in nanoseconds.
const FLOOD_NS: u64 = 2 * SECOND_NS;

/// Arguments of `replay`.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Replay {
    /// Clients that come back at once.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) clients: usize,
    /// Updates that each of them missed.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) updates: u64,
    /// Bytes of data of one update.
    #[arg(long, default_value_t = DATA_BYTES)]
    pub(crate) data_bytes: usize,
}

impl Replay {
    /// The run of the bars.
    pub(crate) fn of(clients: usize, updates: u64) -> Self {
        Self { clients, updates, data_bytes: DATA_BYTES }
    }
}

pub(super) fn run(args: &Replay, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    let mut engine = context.engine(PUBLISHERS)?;
    context.add_publishers(&mut engine, PUBLISHERS, TOPIC, args.data_bytes)?;
    publish_all(&mut engine, args.updates)?;
    if engine.book.tally().refused > 0 {
        return Err(RoundError::Refused);
    }
    engine.book.give_up();
    engine.book.forget_times(engine.now_ns());

    let meter = context.meter();
    let before = memory(context);
    let began_ns = engine.now_ns();
    engine.subscribe(
        (0..args.clients)
            .map(|_| Subscription { start: Start::Earliest, ..subscription(TOPIC, 0..PUBLISHERS) }),
    )?;
    let most = replay(&mut engine, context)?;
    let usage = meter.stop();
    let received = engine.book.tally().received;
    let replayed_per_s = received as f64 * SECOND_NS as f64 / (engine.now_ns() - began_ns) as f64;
    engine.settle()?;
    let mut outcome = Outcome::default();
    outcome.push_usage(&usage, received, args.updates);
    if let (Some(before), Some(most)) = (before, most) {
        let growth = most.saturating_sub(before) as f64 / f64::from(1 << 20);
        outcome.push("memory_growth_mib", "MiB that the server grew by during the replay", growth);
    }

    let live_per_s = rate(&mut engine, |engine| one_at_a_time(engine, LIVE_UPDATES).map(|_| ()))?;
    let flood_per_s = rate(&mut engine, |engine| flood(engine, FLOOD_NS))?;
    outcome.push("live_deliveries_per_s", "deliveries/s, live, one update at a time", live_per_s);
    outcome.push("flood_deliveries_per_s", "deliveries/s, live, publishers at full speed", flood_per_s);
    outcome.push("replay_to_live", "replayed / live, one update at a time", replayed_per_s / live_per_s);
    outcome.push("replay_to_flood", "replayed / live, at full speed", replayed_per_s / flood_per_s);
    outcome.count(&engine);
    Ok(outcome)
}

/// Waits until all clients have everything; returns the server's highest memory meanwhile.
fn replay(engine: &mut Engine, context: &RoundContext<'_>) -> Result<Option<u64>, RoundError> {
    let expected = engine.book.tally().expected;
    engine.progress().begin("replaying", expected, "deliveries");
    let mut most = memory(context);
    let mut progress = (0, engine.now_ns());
    loop {
        let deadline = engine.now_ns() + LOOK_EVERY_NS;
        while engine.book.tally().lost > 0 && engine.now_ns() < deadline {
            engine.poll(deadline)?;
        }
        most = most.max(memory(context));
        let tally = engine.book.tally();
        engine.progress().set(tally.received);
        if tally.received > progress.0 {
            progress = (tally.received, engine.now_ns());
        }
        if tally.lost == 0 || engine.now_ns() - progress.1 > PATIENCE_NS {
            return Ok(most);
        }
    }
}

/// Deliveries per second of the updates that `publish` publishes, until all clients have them.
fn rate(
    engine: &mut Engine,
    publish: impl FnOnce(&mut Engine) -> Result<(), RoundError>,
) -> Result<f64, RoundError> {
    let (before, began_ns) = (engine.book.tally().received, engine.now_ns());
    publish(engine)?;
    engine.settle()?;
    let deliveries = engine.book.tally().received - before;
    Ok(deliveries as f64 * SECOND_NS as f64 / (engine.now_ns() - began_ns) as f64)
}

fn memory(context: &RoundContext<'_>) -> Option<u64> {
    context.server.process().and_then(meter::memory_bytes)
}
