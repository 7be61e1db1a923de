//! Publications that wait for the disk, in turn: one publisher, then many, and what bounds them: a
//! bare loop of appends on the same disk, and one publisher on a hub with its history in memory.

use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::context::{DATA_BYTES, RoundContext, RoundError};
use super::disk_loop::DiskLoop;
use super::firehose::flood_through;
use super::outcome::{Outcome, micros};
use crate::book::histogram;
use crate::engine::{Engine, SECOND_NS};
use crate::meter::Meter;
use crate::server::{self, Server};

const TOPIC: &str = "https://example.com/commit";

/// How many times the answer of a hub without a disk the hub may add to the disk's own time.
const MEMORY_WEIGHT: f64 = 1.2;

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

impl Commit {
    /// The run of the bars: many short turns, because other users of a disk come and go.
    pub(crate) fn of_bars() -> Self {
        Self { publishers: 64, seconds: 0.5, turns: 8, data_bytes: DATA_BYTES }
    }

    fn turn(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }
}

pub(super) fn run(args: &Commit, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    let mut durable = Publishers::new(args, context, context.server)?;
    let in_memory_hub = context.in_memory_hub()?;
    let mut in_memory = in_memory_hub.as_ref().map(|hub| Publishers::new(args, context, hub)).transpose()?;
    let mut disk = context.server.history_folder().map(DiskLoop::new).transpose()?;
    let (mut one, mut all, mut memory) = (Turns::new(), Turns::new(), Turns::new());
    let meter = context.meter();
    for _ in 0..args.turns.max(1) {
        if let Some(disk) = &mut disk {
            // Where the hub's writer runs, as far as it can be said.
            server::pin_to(context.common.server_cpu)?;
            let ran = disk.run(args.turn());
            server::pin_to(context.common.client_cpu)?;
            ran?;
        }
        durable.take_turn(1, args.turn(), &mut one)?;
        if let Some(publishers) = &mut in_memory {
            publishers.take_turn(1, args.turn(), &mut memory)?;
        }
        durable.take_turn(args.publishers as usize, args.turn(), &mut all)?;
    }
    let usage = meter.stop();
    for publishers in [Some(&durable), in_memory.as_ref()].into_iter().flatten() {
        publishers.check()?;
    }
    let mut outcome = Outcome::of(&durable.engine);
    outcome.judge_machine(&usage);
    push(&mut outcome, disk.as_ref(), &one, &all, &memory);
    Ok(outcome)
}

fn push(outcome: &mut Outcome, disk: Option<&DiskLoop>, one: &Turns, all: &Turns, memory: &Turns) {
    outcome.push("one_per_s", "updates/s of one publisher", one.per_s());
    outcome.push("all_per_s", "updates/s of all publishers", all.per_s());
    outcome.push("group_commit_ratio", "all publishers / one", all.per_s() / one.per_s());
    outcome.push("one_p50_us", "µs, one publisher: publish → answer", one.p50_us());
    outcome.push("all_p50_us", "µs, all publishers: publish → answer", all.p50_us());
    for (name, unit, turns) in [
        ("one_cpu_us", "µs of server CPU per update of one publisher", one),
        ("all_cpu_us", "µs of server CPU per update of all publishers", all),
    ] {
        if let Some(each) = turns.cpu_us() {
            outcome.push(name, unit, each);
        }
    }
    if let Some(disk) = disk {
        outcome.push("loop_per_s", "appends/s of the bare loop", disk.per_s());
        outcome.push("loop_p50_us", "µs of an append and its fdatasync", micros(&disk.times, 0.5));
        outcome.push("loop_rate_ratio", "one publisher / bare loop", one.per_s() / disk.per_s());
    }
    if memory.published > 0 {
        outcome.push("memory_p50_us", "µs, one publisher, history in memory", memory.p50_us());
        if let Some(disk) = disk {
            let bound = micros(&disk.times, 0.5) + MEMORY_WEIGHT * memory.p50_us();
            outcome.push("one_p50_share", "one_p50 / (loop_p50 + 1.2 × memory_p50)", one.p50_us() / bound);
        }
    }
}

/// The publishers of one hub.
struct Publishers {
    engine: Engine,
    process: Option<u32>,
}

impl Publishers {
    /// Connects them, and lets them publish for a moment, which is not measured.
    fn new(args: &Commit, context: &RoundContext<'_>, hub: &Server) -> Result<Self, RoundError> {
        let mut engine = context.engine_for(hub, args.publishers)?;
        context.add_publishers(&mut engine, args.publishers, TOPIC, args.data_bytes)?;
        flood_through(&mut engine, args.publishers as usize, SECOND_NS / 2)?;
        engine.await_answers()?;
        Ok(Self { engine, process: hub.process() })
    }

    /// Publishes at full speed through this many publishers.
    fn take_turn(&mut self, publishers: usize, turn: Duration, turns: &mut Turns) -> Result<(), RoundError> {
        let engine = &mut self.engine;
        let (before, began_ns) = (engine.book.tally().published, engine.now_ns());
        engine.book.forget_times(began_ns);
        let meter = Meter::start(self.process);
        let nanoseconds = u64::try_from(turn.as_nanos()).unwrap_or(u64::MAX);
        flood_through(engine, publishers, nanoseconds)?;
        engine.await_answers()?;
        let usage = meter.stop();
        turns.published += engine.book.tally().published - before;
        turns.nanoseconds += engine.now_ns() - began_ns;
        turns.cpu_ns = turns.cpu_ns.zip(usage.server_cpu_ns).map(|(sum, more)| sum + more);
        turns.answer.add(&engine.book.times.answer).expect("histograms of the same bounds");
        Ok(())
    }

    /// Fails if the hub refused publications: its figures are then those of another load.
    fn check(&self) -> Result<(), RoundError> {
        if self.engine.book.tally().refused > 0 { Err(RoundError::Refused) } else { Ok(()) }
    }
}

/// The sum of some turns.
struct Turns {
    published: u64,
    nanoseconds: u64,
    /// Processor time of the server; `None` if it is unknown.
    cpu_ns: Option<u64>,
    answer: Histogram<u64>,
}

impl Turns {
    fn new() -> Self {
        Self { published: 0, nanoseconds: 0, cpu_ns: Some(0), answer: histogram() }
    }

    fn per_s(&self) -> f64 {
        self.published as f64 * SECOND_NS as f64 / self.nanoseconds as f64
    }

    fn p50_us(&self) -> f64 {
        micros(&self.answer, 0.5)
    }

    fn cpu_us(&self) -> Option<f64> {
        Some(self.cpu_ns? as f64 / 1_000.0 / self.published as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(published: u64, answer_ns: u64) -> Turns {
        let mut turns = Turns { published, nanoseconds: 2 * SECOND_NS, ..Turns::new() };
        turns.answer.record_n(answer_ns, published).expect("within the bounds");
        turns.cpu_ns = Some(published * 50_000);
        turns
    }

    #[test]
    fn the_figures_are_what_their_units_say() {
        let mut disk = DiskLoop::new(&std::env::temp_dir()).expect("room");
        disk.times.record_n(100_000, 16_000).expect("within the bounds");
        disk.elapsed = Duration::from_secs(2);
        let (one, all, memory) = (turns(12_000, 180_000), turns(120_000, 900_000), turns(40_000, 50_000));
        let mut outcome = Outcome::default();
        push(&mut outcome, Some(&disk), &one, &all, &memory);
        let near = |name: &str, expected: f64| {
            let value = outcome.get(name).expect("a figure");
            assert!((value / expected - 1.0).abs() < 0.01, "{name}: {value}, not {expected}");
        };
        near("one_per_s", 6_000.0);
        near("all_per_s", 60_000.0);
        near("loop_per_s", 8_000.0);
        near("loop_rate_ratio", 0.75);
        near("one_cpu_us", 50.0);
        near("one_p50_share", 180.0 / (100.0 + 1.2 * 50.0));
    }

    #[test]
    fn without_a_disk_or_a_second_hub_their_figures_are_absent() {
        let mut outcome = Outcome::default();
        let unknown = Turns { cpu_ns: None, ..turns(10, 1_000) };
        push(&mut outcome, None, &unknown, &unknown, &Turns::new());
        let names: Vec<&str> = outcome.figures.iter().map(|figure| figure.name).collect();
        assert_eq!(names, ["one_per_s", "all_per_s", "group_commit_ratio", "one_p50_us", "all_p50_us"]);
    }
}
