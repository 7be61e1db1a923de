//! Strangers attack the hub: what ordinary clients notice, and what the attack costs.
//!
//! Both halves of a round run against the same hub, with the same subscribers and publishers; the
//! second also has the strangers, which are one more thread of the generator. The strangers'
//! selectors select nothing, so that the difference in processor time is the price of comparing.

mod strangers;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::context::{DATA_BYTES, REST_NS, RoundContext, RoundError, publish_at_rate, subscription};
use super::outcome::Outcome;
use crate::engine::{Engine, SECOND_NS};
use crate::meter::{disk_bytes, memory_bytes};
use crate::settings::HubNeeds;
pub(crate) use strangers::Attack;
use strangers::{Plan, Strangers};

const PUBLISHERS: u32 = 16;
const WARM_UP_SECONDS: f64 = 0.5;
const HEAD: &str = "https://example.com/";
/// How long the hub may take to give memory back.
const AFTERWARDS_NS: u64 = 5 * SECOND_NS;
/// Time limit of reading the hub's metrics.
const METRICS_PATIENCE: Duration = Duration::from_secs(5);
/// The constant part of the promise: the p99 beside strangers is at most twice that without them
/// and this.
const EXCESS_US: f64 = 5_000.0;

/// Arguments of `hostile`.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Hostile {
    /// What the strangers do.
    #[arg(long, value_enum, default_value_t = Attack::Templates)]
    pub(crate) attack: Attack,
    /// Strangers: subscriptions or bodies that are held at the same time; with `presence`, threads
    /// that come and go.
    #[arg(long, default_value_t = 64)]
    pub(crate) strangers: usize,
    /// Selectors of one stranger; fewer if the hub refuses that number.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) selectors: usize,
    /// Streams of strangers that share an HTTP/2 connection.
    #[arg(long, default_value_t = 128)]
    pub(crate) strangers_per_connection: usize,
    /// Length of the topic.
    #[arg(long, default_value_t = 1_020, value_parser = clap::value_parser!(u64).range(21..=4_096))]
    pub(crate) topic_bytes: u64,
    /// Ordinary subscribers; half of them select the topic, the others a template.
    #[arg(long, default_value_t = 100)]
    pub(crate) subscribers: usize,
    /// Updates a second.
    #[arg(long, default_value_t = 50.0)]
    pub(crate) rate: f64,
    /// Seconds of each half.
    #[arg(long, default_value_t = 6.0)]
    pub(crate) seconds: f64,
    /// Bytes of data of one update.
    #[arg(long, default_value_t = DATA_BYTES)]
    pub(crate) data_bytes: usize,
}

impl Hostile {
    /// The run of the bars, with the topic of the promise.
    pub(crate) fn of(attack: Attack, strangers: usize) -> Self {
        Self {
            attack,
            strangers,
            selectors: 1_000,
            strangers_per_connection: 128,
            topic_bytes: 1_020,
            subscribers: 100,
            rate: 50.0,
            seconds: 6.0,
            data_bytes: DATA_BYTES,
        }
    }

    /// The connections of both sides.
    pub(super) fn connections(&self) -> usize {
        self.subscribers + self.strangers + PUBLISHERS as usize
    }

    pub(super) fn needs(&self) -> HubNeeds {
        let presence = self.attack == Attack::Presence;
        HubNeeds {
            history_sync: presence.then_some("interval"),
            settings: if presence { &[("SUBSCRIPTIONS", "1")] } else { &[] },
            metrics: true,
            ..HubNeeds::default()
        }
    }

    fn plan(&self) -> Plan {
        Plan {
            attack: self.attack,
            strangers: self.strangers,
            per_connection: self.strangers_per_connection.max(1),
            selectors: self.selectors.max(1),
        }
    }

    fn topic(&self) -> String {
        format!("{HEAD}{}", "a".repeat(self.topic_bytes as usize - HEAD.len()))
    }
}

/// The results of one half.
struct Half {
    outcome: Outcome,
    updates: u64,
    cpu_ns: Option<u64>,
    disk_bytes_per_s: Option<f64>,
}

pub(super) fn run(args: &Hostile, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    let memory = || context.server.process().and_then(memory_bytes).map(mebibytes);
    let mut engine = context.engine(PUBLISHERS)?;
    let (topic, selected) = (args.topic(), format!("{HEAD}{{id}}"));
    engine.subscribe((0..args.subscribers).map(|number| {
        let selector = if number.is_multiple_of(2) { &topic } else { &selected };
        subscription(selector, 0..PUBLISHERS)
    }))?;
    context.add_publishers(&mut engine, PUBLISHERS, &topic, args.data_bytes)?;
    engine.poll_until(engine.now_ns() + REST_NS)?;
    publish_at_rate(&mut engine, args.rate, WARM_UP_SECONDS, |_, _| Ok(()))?;

    let mut alone = half(args, context, &mut engine)?;
    let (alone_rounds, alone_memory) = (Rounds::read(context), memory());
    let token = context.token()?;
    let strangers = Strangers::start(args.plan(), context.server.wire().subscribers(), token);
    // Events of the ordinary clients go on while the strangers come.
    while !strangers.are_there() {
        engine.poll(engine.now_ns() + REST_NS)?;
    }
    engine.poll_until(engine.now_ns() + REST_NS)?;
    let beside = half(args, context, &mut engine)?;
    let (rounds, beside_memory) = (Rounds::read(context), memory());
    let answers = strangers.leave();
    engine.settle()?;
    engine.poll_until(engine.now_ns() + AFTERWARDS_NS)?;

    let mut outcome = Outcome {
        invalid: alone.outcome.invalid.take().or(beside.outcome.invalid.clone()),
        disturbed: alone.outcome.disturbed.take().or(beside.outcome.disturbed.clone()),
        times: beside.outcome.times.clone(),
        ..Outcome::default()
    };
    outcome.count(&engine);
    push_promises(&mut outcome, &alone, &beside);
    let disk = beside.disk_bytes_per_s.zip(alone.disk_bytes_per_s);
    let excess_disk = disk.map(|(with, without)| with - without);
    for (name, unit, value) in [
        ("longest_round_ms", "ms of a shard, with strangers", rounds.as_ref().map(|it| it.longest_ms)),
        ("alone_longest_round_ms", "ms, without", alone_rounds.map(|it| it.longest_ms)),
        ("long_rounds", "rounds of more than 20 ms", rounds.map(|it| it.long)),
        ("memory_alone_mib", "MiB of the server, without strangers", alone_memory),
        ("memory_beside_mib", "MiB, with them", beside_memory),
        ("memory_after_mib", "MiB, after they have left", memory()),
        ("alone_disk_bytes_per_s", "bytes to the disk, without strangers", alone.disk_bytes_per_s),
        ("disk_bytes_per_s", "bytes to the disk, with them", beside.disk_bytes_per_s),
        ("strangers_disk_bytes_per_s", "bytes to the disk, with them - without", excess_disk),
    ] {
        if let Some(value) = value {
            outcome.push(name, unit, value);
        }
    }
    outcome.push("strangers_accepted", "requests of strangers", answers.accepted as f64);
    outcome.push("strangers_refused", "requests of strangers", answers.refused as f64);
    outcome.push("strangers_selectors", "selectors of each", answers.selectors as f64);
    outcome.figures.extend(beside.outcome.figures);
    Ok(outcome)
}

/// The figures that the hub promises.
fn push_promises(outcome: &mut Outcome, alone: &Half, beside: &Half) {
    let figure = |half: &Half, name| half.outcome.get(name).unwrap_or(f64::NAN);
    let [without, with] = [alone, beside].map(|half| figure(half, "receive_p99_us"));
    outcome.push(
        "p99_bar_share",
        "p99 with strangers / (2 x without + 5 ms)",
        with / (2.0 * without + EXCESS_US),
    );
    outcome.push("alone_p50_us", "µs, without strangers", figure(alone, "receive_p50_us"));
    outcome.push("alone_p99_us", "µs", without);
    if let (Some(without), Some(with)) = (alone.cpu_ns, beside.cpu_ns) {
        let per_update = |cpu_ns: u64, half: &Half| cpu_ns as f64 / 1e6 / half.updates as f64;
        let excess = per_update(with, beside) - per_update(without, alone);
        outcome.push("strangers_cpu_per_update_ms", "ms of server CPU, with strangers - without", excess);
    }
}

fn half(args: &Hostile, context: &RoundContext<'_>, engine: &mut Engine) -> Result<Half, RoundError> {
    engine.book.forget_times(engine.now_ns());
    let disk = || context.server.process().and_then(disk_bytes);
    let (before, disk_before) = (engine.book.tally().received, disk());
    let meter = context.meter();
    let updates = publish_at_rate(engine, args.rate, args.seconds, |_, _| Ok(()))?;
    engine.settle()?;
    let usage = meter.stop();
    let written = disk().zip(disk_before).map(|(after, before)| after.saturating_sub(before));
    let mut outcome = Outcome::default();
    outcome.push_usage(&usage, engine.book.tally().received - before, updates);
    outcome.push_times(&engine.book.times);
    outcome.judge_schedule(&engine.book.times, args.rate);
    Ok(Half {
        outcome,
        updates,
        cpu_ns: usage.server_cpu_ns,
        disk_bytes_per_s: written.map(|bytes| bytes as f64 / usage.elapsed.as_secs_f64()),
    })
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What the hub's metrics say of the rounds of its shards.
struct Rounds {
    longest_ms: f64,
    long: f64,
}

impl Rounds {
    /// Reads the metrics; `None` if the server has none.
    fn read(context: &RoundContext<'_>) -> Option<Self> {
        let page = metrics_page(context.server.metrics()?)?;
        let values = |name: &'static str| {
            let lines = page.lines().filter(move |line| line.starts_with(name));
            lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        };
        let longest = values("petasos_shard_round_max_seconds{").max_by(f64::total_cmp)?;
        Some(Self { longest_ms: longest * 1e3, long: values("petasos_long_rounds_total ").sum() })
    }
}

/// The page of metrics; `None` if it does not come.
fn metrics_page(address: SocketAddr) -> Option<String> {
    let mut socket = TcpStream::connect_timeout(&address, METRICS_PATIENCE).ok()?;
    socket.set_read_timeout(Some(METRICS_PATIENCE)).ok()?;
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").ok()?;
    let mut page = String::new();
    socket.read_to_string(&mut page).ok()?;
    Some(page)
}
