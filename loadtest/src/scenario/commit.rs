//! Publications that wait for the disk: one publisher, then many, in turn. Many are faster if the
//! hub commits waiting publications together.

use clap::Args;
use serde::Serialize;

use super::context::{DATA_BYTES, RoundContext, RoundError};
use super::firehose::flood_through;
use super::outcome::Outcome;
use crate::engine::{Engine, SECOND_NS};

const TOPIC: &str = "https://example.com/commit";

/// Arguments of `commit`.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Commit {
    /// Publishers; each publishes when its last publication is answered.
    #[arg(long, default_value_t = 64)]
    pub(crate) publishers: u32,
    /// Seconds of each turn.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
    /// Turns of one publisher and of all of them.
    #[arg(long, default_value_t = 3)]
    pub(crate) turns: u32,
    /// Bytes of data of one update.
    #[arg(long, default_value_t = DATA_BYTES)]
    pub(crate) data_bytes: usize,
}

impl Default for Commit {
    fn default() -> Self {
        Self { publishers: 64, seconds: 2.0, turns: 3, data_bytes: DATA_BYTES }
    }
}

pub(super) fn run(args: &Commit, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    let mut engine = context.engine(args.publishers)?;
    context.add_publishers(&mut engine, args.publishers, TOPIC, args.data_bytes)?;
    flood_through(&mut engine, args.publishers as usize, SECOND_NS / 2)?;
    engine.await_answers()?;
    let nanoseconds = (args.seconds * SECOND_NS as f64) as u64;
    let (mut one, mut all) = (0.0, 0.0);
    for _ in 0..args.turns.max(1) {
        one += per_s(&mut engine, 1, nanoseconds)?;
        all += per_s(&mut engine, args.publishers as usize, nanoseconds)?;
    }
    let turns = f64::from(args.turns.max(1));
    let mut outcome = Outcome::of(&engine);
    outcome.push("one_per_s", "updates/s of one publisher", one / turns);
    outcome.push("all_per_s", "updates/s of all publishers", all / turns);
    outcome.push("group_commit_ratio", "all publishers / one", all / one);
    outcome.push_times(&engine.book.times);
    Ok(outcome)
}

/// Updates per second of `publishers` publishers at full speed.
fn per_s(engine: &mut Engine, publishers: usize, nanoseconds: u64) -> Result<f64, RoundError> {
    let (before, began_ns) = (engine.book.tally().published, engine.now_ns());
    flood_through(engine, publishers, nanoseconds)?;
    engine.await_answers()?;
    let published = engine.book.tally().published - before;
    Ok(published as f64 * SECOND_NS as f64 / (engine.now_ns() - began_ns) as f64)
}
