//! The scenarios: each drives an engine against one server and answers figures.

mod churn;
mod connect;
mod fanout;
mod firehose;
mod idle;
mod private;
mod reconnect;
mod slow;
mod topics;

use std::rc::Rc;

use clap::Subcommand;
use hdrhistogram::Histogram;

pub(crate) use churn::Churn;
pub(crate) use connect::Connect;
pub(crate) use fanout::Fanout;
pub(crate) use firehose::Firehose;
pub(crate) use idle::Idle;
pub(crate) use private::Private;
pub(crate) use reconnect::Reconnect;
pub(crate) use slow::Slow;
pub(crate) use topics::Topics;

use crate::args::Common;
use crate::book::Times;
use crate::engine::{Engine, Subscription};
use crate::ledger::Tally;
use crate::meter::{Meter, Usage};
use crate::server::Server;
use crate::token;

/// One second of the run's clock.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// How long a fresh set of subscribers is left alone before it is measured.
const REST_NS: u64 = SECOND_NS / 5;
/// Data of an update that makes an event of 200 bytes with an id of the form `urn:uuid:…`.
pub(crate) const DATA_BYTES: usize = 142;
/// The share of its processor beyond which the generator may be what limits.
const OWN_SHARE_MAX: f64 = 0.95;
/// The share of its processor below which the server is surely not what limits.
const SERVER_SHARE_MIN: f64 = 0.90;
/// Room for publishers and the like among the connections.
const OTHER_CONNECTIONS: usize = 128;

/// What to do to the hub.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Scenario {
    /// One topic, many subscribers: one update at a time, or at a fixed rate.
    Fanout(Fanout),
    /// Publishers at full speed on one topic.
    Firehose(Firehose),
    /// What an idle subscriber costs: memory, and processor time.
    Idle(Idle),
    /// What it costs to accept and subscribe a connection.
    Connect(Connect),
    /// Whether stalled readers delay the others, and get everything in the end.
    Slow(Slow),
    /// Many topics with a few subscribers each.
    Topics(Topics),
    /// Private updates: who may, receives; who may not, must not.
    Private(Private),
    /// Everyone reconnects with a last event id while updates are published.
    Reconnect(Reconnect),
    /// Subscribers come and go while others are measured.
    Churn(Churn),
}

impl Scenario {
    /// The run without arguments: a closed fan-out to 1,000 subscribers.
    pub(crate) fn canonical() -> Self {
        Self::Fanout(Fanout::closed(1_000, 500))
    }

    /// Its name on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Fanout(_) => "fanout",
            Self::Firehose(_) => "firehose",
            Self::Idle(_) => "idle",
            Self::Connect(_) => "connect",
            Self::Slow(_) => "slow",
            Self::Topics(_) => "topics",
            Self::Private(_) => "private",
            Self::Reconnect(_) => "reconnect",
            Self::Churn(_) => "churn",
        }
    }

    /// How many connections it opens at most.
    pub(crate) fn connections(&self) -> usize {
        let subscribers = match self {
            Self::Fanout(args) => args.subscribers,
            Self::Firehose(args) => args.subscribers + args.publishers,
            Self::Idle(args) => args.subscribers,
            Self::Connect(args) => args.subscribers,
            Self::Slow(args) => args.subscribers,
            Self::Topics(args) => args.subscribers,
            Self::Private(args) => args.subscribers,
            Self::Reconnect(args) => args.subscribers,
            Self::Churn(args) => args.subscribers + args.churners,
        };
        subscribers + OTHER_CONNECTIONS
    }

    /// Runs it once.
    pub(crate) fn run(&self, bench: &Bench<'_>) -> Result<Outcome, String> {
        match self {
            Self::Fanout(args) => fanout::run(args, bench),
            Self::Firehose(args) => firehose::run(args, bench),
            Self::Idle(args) => idle::run(args, bench),
            Self::Connect(args) => connect::run(args, bench),
            Self::Slow(args) => slow::run(args, bench),
            Self::Topics(args) => topics::run(args, bench),
            Self::Private(args) => private::run(args, bench),
            Self::Reconnect(args) => reconnect::run(args, bench),
            Self::Churn(args) => churn::run(args, bench),
        }
    }
}

/// What one round works with.
pub(crate) struct Bench<'a> {
    /// The command line.
    pub(crate) common: &'a Common,
    /// The server.
    pub(crate) server: &'a Server,
}

impl Bench<'_> {
    /// A generator against the server, with a book of `streams` streams.
    fn engine(&self, streams: u32) -> Result<Engine, String> {
        Engine::new(self.server.target().clone(), streams)
    }

    /// Starts measuring.
    fn meter(&self) -> Meter {
        Meter::start(self.server.process())
    }

    /// A token that may publish and receive everything.
    fn token(&self) -> Result<String, String> {
        token::sign(&self.common.key, &["*"], &["*"])
    }

    /// Adds a publisher on `topic`.
    fn add_publisher(&self, engine: &mut Engine, topic: &str, data_bytes: usize) -> Result<usize, String> {
        let prefix = engine.publication(topic, false, &self.token()?, data_bytes);
        engine.add_publisher(prefix, data_bytes)
    }
}

/// One figure of one round.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// What it is, with its unit last.
    pub(crate) name: &'static str,
    /// The unit, for people.
    pub(crate) unit: &'static str,
    /// The value.
    pub(crate) value: f64,
}

/// What one round found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The figures, in the order in which they are printed.
    pub(crate) figures: Vec<Figure>,
    /// Who got what.
    pub(crate) tally: Tally,
    /// Why the figures cannot be trusted, if so.
    pub(crate) invalid: Option<String>,
}

impl Outcome {
    /// Adds a figure.
    pub(crate) fn push(&mut self, name: &'static str, unit: &'static str, value: f64) {
        self.figures.push(Figure { name, unit, value });
    }

    /// The value of a figure.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    /// Adds what the deliveries cost.
    fn push_usage(&mut self, usage: &Usage, deliveries: u64, updates: u64) {
        if let (Some(cpu_ns), true) = (usage.server_cpu_ns, deliveries > 0) {
            self.push(
                "cpu_per_delivery_ns",
                "ns of server CPU per delivery",
                cpu_ns as f64 / deliveries as f64,
            );
        }
        self.push("deliveries_per_s", "deliveries/s", deliveries as f64 / usage.elapsed.as_secs_f64());
        if let (Some(switches), true) = (usage.server_switches, updates > 0) {
            self.push("switches_per_update", "server context switches", switches as f64 / updates as f64);
        }
        if let Some(share) = usage.server_share() {
            self.push("server_cpu_percent", "% of one CPU", share * 100.0);
        }
        self.push("generator_cpu_percent", "% of one CPU", usage.own_share() * 100.0);
    }

    /// Adds the latencies.
    fn push_times(&mut self, times: &Times) {
        let micro =
            |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        self.push("receive_p50_us", "µs, publish → any subscriber", micro(&times.receive, 0.5));
        self.push("receive_p99_us", "µs", micro(&times.receive, 0.99));
        self.push("receive_p999_us", "µs", micro(&times.receive, 0.999));
        self.push("receive_max_us", "µs", micro(&times.receive, 1.0));
        self.push("first_p50_us", "µs, publish → first subscriber", micro(&times.first, 0.5));
        self.push("first_p99_us", "µs", micro(&times.first, 0.99));
        self.push("last_p50_us", "µs, publish → last subscriber", micro(&times.last, 0.5));
        self.push("last_p99_us", "µs", micro(&times.last, 0.99));
        self.push("answer_p50_us", "µs, publish → answer", micro(&times.answer, 0.5));
        self.push("answer_p99_us", "µs", micro(&times.answer, 0.99));
        self.push("lag_p99_us", "µs the generator was late", micro(&times.lag, 0.99));
    }

    /// Declares the round invalid when the generator, not the server, was what limited.
    fn judge_generator(&mut self, usage: &Usage) {
        let server = usage.server_share().unwrap_or(1.0);
        if usage.own_share() > OWN_SHARE_MAX && server < SERVER_SHARE_MIN {
            self.invalid = Some(format!(
                "the generator was the bottleneck (it used {:.0} % of its processor, the server {:.0} %)",
                usage.own_share() * 100.0,
                server * 100.0
            ));
        }
    }

    /// Declares the round invalid when the generator could not keep its schedule of one update each `interval_ns`.
    fn judge_schedule(&mut self, times: &Times, interval_ns: u64) {
        let lag_ns = times.lag.value_at_quantile(0.99);
        if lag_ns > (interval_ns / 10).max(SECOND_NS / 100) {
            self.invalid =
                Some(format!("the generator was late: its lag has a p99 of {} µs", lag_ns / 1_000));
        }
    }
}

/// A subscription of an anonymous client to one topic.
fn subscription(topic: &str, streams: std::ops::Range<u32>) -> Subscription {
    Subscription {
        selectors: vec![topic.to_owned()],
        token: None,
        streams,
        background: false,
        receive_bytes: None,
    }
}

/// The same with a token.
fn with_token(subscription: Subscription, token: &Rc<str>) -> Subscription {
    Subscription { token: Some(Rc::clone(token)), ..subscription }
}

/// Publishes on stream 0 at `rate` a second from now on for `seconds`, and answers how many. Latencies count from when an
/// update was due, so a hub (or a generator) that is late is measured, not waited for. After each, `meanwhile` is called.
fn publish_at_rate(
    engine: &mut Engine,
    rate: f64,
    seconds: f64,
    mut meanwhile: impl FnMut(&mut Engine, u64) -> Result<(), String>,
) -> Result<u64, String> {
    let start = engine.now_ns();
    let interval = SECOND_NS as f64 / rate;
    let count = (rate * seconds).ceil().max(1.0) as u64;
    for number in 0..count {
        let due = start + (interval * number as f64) as u64;
        engine.poll_until(due)?;
        let publisher = engine.await_idle()?;
        engine.publish(publisher, 0, due)?;
        meanwhile(engine, number)?;
    }
    engine.poll_until(start + (interval * count as f64) as u64)?;
    Ok(count)
}
