//! The cost of an idle subscriber: each has one exact selector, and nothing is published.

use clap::Args;
use serde::Serialize;

use super::context::{REST_NS, RoundContext, RoundError, subscription};
use super::outcome::Outcome;
use crate::engine::SECOND_NS;
use crate::meter::memory_bytes;

/// Subscribers before the first reading, so that one-off allocations are not counted.
const WARM_UP: usize = 16;

/// Arguments of `idle`.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Idle {
    /// Subscribers.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) subscribers: usize,
    /// Seconds of idling that are measured.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
}

pub(super) fn run(args: &Idle, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    let process = context.server.process().ok_or(RoundError::NoProcess("idle"))?;
    let memory = || memory_bytes(process).ok_or(RoundError::Memory(process));
    let mut engine = context.engine(0)?;
    let own = |number: usize| subscription(&format!("https://example.com/users/{number}/inbox"), 0..0);
    engine.subscribe((0..WARM_UP).map(own))?;
    engine.poll_until(engine.now_ns() + REST_NS)?;
    let before = memory()?;
    engine.subscribe((WARM_UP..WARM_UP + args.subscribers).map(own))?;
    engine.poll_until(engine.now_ns() + 3 * REST_NS)?;
    let after = memory()?;
    let meter = context.meter();
    engine.progress().begin("watching", args.seconds.ceil() as u64, "s");
    let start = engine.now_ns();
    let end = start + (args.seconds * SECOND_NS as f64) as u64;
    while engine.now_ns() < end {
        engine.poll_until(end.min(engine.now_ns() + SECOND_NS))?;
        engine.progress().set((engine.now_ns() - start).min(end - start) / SECOND_NS);
    }
    engine.progress().set(args.seconds.ceil() as u64);
    let usage = meter.stop();

    let mut outcome = Outcome::of(&engine);
    let per_connection = (after as f64 - before as f64) / args.subscribers as f64;
    outcome.push("memory_per_connection_b", "bytes (user space)", per_connection);
    outcome.push("memory_empty_kib", "KiB before", before as f64 / 1024.0);
    outcome.push("memory_full_kib", "KiB after", after as f64 / 1024.0);
    if let Some(share) = usage.server_share() {
        outcome.push("idle_cpu_percent", "% of one CPU", share * 100.0);
    }
    if outcome.tally.disconnected > 0 {
        outcome.invalid = Some(format!("{} idle streams were ended", outcome.tally.disconnected));
    }
    Ok(outcome)
}
