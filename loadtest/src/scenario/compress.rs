//! The cost and the savings of compression: the same updates to the same number of subscribers,
//! plain and in a coding, in turn within one run.

use clap::Args;
use serde::Serialize;

use super::context::{REST_NS, RoundContext, RoundError, subscription};
use super::fanout::one_at_a_time;
use super::outcome::Outcome;
use crate::engine::Engine;
use crate::wire::coding::Coding;

/// Blocks of updates, plain and compressed in turn, so that both see the same machine conditions.
const BLOCKS: u64 = 8;
/// Updates before the measurement, of each kind.
const WARM_UP: u64 = 20;

/// Arguments of `compress`.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Compress {
    /// Subscribers of each kind.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) subscribers: usize,
    /// Updates of each kind: each is published when all subscribers have the one before.
    #[arg(long, default_value_t = 400)]
    pub(crate) updates: u64,
    /// Bytes of data of one update, in JSON.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) data_bytes: usize,
    /// The coding.
    #[arg(long, value_enum, default_value_t = Coding::Zstd)]
    pub(crate) coding: Coding,
}

impl Compress {
    /// The run of the bars: 2 KB of JSON to 1,000 subscribers.
    pub(crate) fn to(coding: Coding) -> Self {
        Self { subscribers: 1_000, updates: 400, data_bytes: 2_000, coding }
    }
}

/// One kind of subscribers, and its cost so far.
struct Kind {
    engine: Engine,
    cpu_ns: u64,
    deliveries: u64,
    wire_bytes: u64,
}

pub(super) fn run(args: &Compress, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    let mut plain = Kind::new(args, context, None)?;
    let mut coded = Kind::new(args, context, Some(args.coding))?;
    for _ in 0..BLOCKS {
        for kind in [&mut plain, &mut coded] {
            kind.measure(args.updates / BLOCKS, context)?;
        }
    }
    let mut outcome = Outcome {
        tally: plain.engine.book.tally().plus(coded.engine.book.tally()),
        load: plain.engine.load().beside(coded.engine.load()),
        ..Outcome::default()
    };
    let ratio = |of: fn(&Kind) -> f64| of(&coded) / of(&plain);
    outcome.push("compressed_cpu_ratio", "server CPU per delivery, compressed / plain", ratio(Kind::cpu_ns));
    outcome.push("compressed_bytes_ratio", "bytes on the wire, compressed / plain", ratio(Kind::wire_bytes));
    outcome.push("plain_cpu_per_delivery_ns", "ns of server CPU", plain.cpu_ns());
    outcome.push("cpu_per_delivery_ns", "ns of server CPU, compressed", coded.cpu_ns());
    outcome.push("plain_wire_bytes_per_delivery", "bytes", plain.wire_bytes());
    outcome.push("wire_bytes_per_delivery", "bytes, compressed", coded.wire_bytes());
    Ok(outcome)
}

impl Kind {
    fn new(args: &Compress, context: &RoundContext<'_>, coding: Option<Coding>) -> Result<Self, RoundError> {
        let topic = format!("https://example.com/{}", coding.map_or("plain", Coding::name));
        let mut engine = context.engine_accepting(1, coding)?;
        engine.book.publish_json();
        engine.subscribe((0..args.subscribers).map(|_| subscription(&topic, 0..1)))?;
        context.add_publishers(&mut engine, 1, &topic, args.data_bytes)?;
        one_at_a_time(&mut engine, WARM_UP)?;
        Ok(Self { engine, cpu_ns: 0, deliveries: 0, wire_bytes: 0 })
    }

    fn measure(&mut self, updates: u64, context: &RoundContext<'_>) -> Result<(), RoundError> {
        let engine = &mut self.engine;
        engine.poll_until(engine.now_ns() + REST_NS / 4)?;
        let (received, wire_bytes) = (engine.book.tally().received, engine.wire_bytes());
        let meter = context.meter();
        one_at_a_time(engine, updates)?;
        engine.settle()?;
        self.cpu_ns += meter.stop().server_cpu_ns.unwrap_or(0);
        self.deliveries += engine.book.tally().received - received;
        self.wire_bytes += engine.wire_bytes() - wire_bytes;
        Ok(())
    }

    fn cpu_ns(&self) -> f64 {
        self.cpu_ns as f64 / self.deliveries as f64
    }

    fn wire_bytes(&self) -> f64 {
        self.wire_bytes as f64 / self.deliveries as f64
    }
}
