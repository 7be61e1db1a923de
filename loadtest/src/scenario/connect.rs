//! The cost of accepting a connection and subscribing it.

use clap::Args;
use serde::Serialize;

use super::context::{REST_NS, RoundContext, RoundError, subscription};
use super::outcome::Outcome;

/// Connections before the measurement.
const WARM_UP: usize = 200;

/// Arguments of `connect`.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Connect {
    /// Connections.
    #[arg(long, default_value_t = 5_000)]
    pub(crate) subscribers: usize,
}

pub(super) fn run(args: &Connect, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    let mut engine = context.engine(0)?;
    let own = |number: usize| subscription(&format!("https://example.com/users/{number}/inbox"), 0..0);
    engine.subscribe((0..WARM_UP).map(own))?;
    engine.poll_until(engine.now_ns() + REST_NS)?;
    let meter = context.meter();
    engine.subscribe((WARM_UP..WARM_UP + args.subscribers).map(own))?;
    let elapsed = meter.stop().elapsed;
    engine.poll_until(engine.now_ns() + REST_NS)?;
    let usage = meter.stop();

    let mut outcome = Outcome::of(&engine);
    if let Some(cpu_ns) = usage.server_cpu_ns {
        outcome.push(
            "cpu_per_connection_us",
            "µs of server CPU",
            cpu_ns as f64 / 1_000.0 / args.subscribers as f64,
        );
    }
    outcome.push("connections_per_s", "connections/s", args.subscribers as f64 / elapsed.as_secs_f64());
    outcome.push_shares(&usage);
    Ok(outcome)
}
