//! A million selectors: the cost of a publication for one subscriber while many others are held,
//! compared with a handful.
//!
//! Both halves of a round run against the same hub and differ only in the selectors held. Each half
//! publishes repeatedly on one topic, and then on different topics. Each of these is selected once,
//! so the hub's lookups do not hit a cache. Both halves send to the same number of sockets: the
//! receivers hold the selectors that are published to, the crowd holds the others.

use clap::Args;
use serde::Serialize;

use super::context::{DATA_BYTES, REST_NS, RoundContext, RoundError, subscription};
use super::outcome::Outcome;
use crate::engine::{Engine, SECOND_NS, Subscription};
use crate::meter::{Usage, memory_bytes};

/// Subscribers whose selectors are published to.
const RECEIVERS: usize = 10;
/// The topic of repeated publications; one subscriber, besides the receivers and the crowd, selects
/// it.
const HOT: &str = "https://example.com/measured";
/// The distance between two published selectors of a receiver; prime, so that each is reached.
const STRIDE: usize = 7_919;

/// Arguments of `selectors`.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Selectors {
    /// Connections that hold selectors.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) connections: usize,
    /// Selectors of each; the request target of a thousand is nearly as long as a hub takes.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) selectors: usize,
    /// The share of them that are URI Templates, in percent.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=100))]
    pub(crate) templates_percent: u64,
    /// Publishers; each publishes when its last publication is answered. With one, the hub falls
    /// asleep in between.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=RECEIVERS as i64))]
    pub(crate) publishers: u32,
    /// Updates of each measurement.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) updates: u64,
    /// Bytes of data of one update.
    #[arg(long, default_value_t = DATA_BYTES)]
    pub(crate) data_bytes: usize,
}

impl Selectors {
    /// The run of the bars.
    pub(crate) fn million(publishers: u32) -> Self {
        Self {
            connections: 1_000,
            selectors: 1_000,
            templates_percent: 20,
            publishers,
            updates: 10_000,
            data_bytes: DATA_BYTES,
        }
    }
}

/// The results of one half, per publication.
struct Half {
    hot_us: f64,
    varied_us: f64,
    memory_b: f64,
    subscribe_us: f64,
    outcome: Outcome,
}

pub(super) fn run(args: &Selectors, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    if context.server.wire().wraps_data {
        return Err(RoundError::Templates);
    }
    if args.connections < RECEIVERS || args.selectors == 0 {
        return Err(RoundError::Receivers(RECEIVERS));
    }
    let mut few = half(args, context, RECEIVERS, 1)?;
    let mut many = half(args, context, args.connections, args.selectors)?;
    let mut outcome = Outcome {
        tally: few.outcome.tally.plus(many.outcome.tally),
        disturbed: few.outcome.disturbed.take().or(many.outcome.disturbed.take()),
        load: many.outcome.load.clone(),
        ..Outcome::default()
    };
    let us = "µs of server CPU per publication";
    outcome.push("hot_ratio", "one topic: with many selectors / with few", many.hot_us / few.hot_us);
    outcome.push("varied_ratio", "topics that differ: the same", many.varied_us / few.varied_us);
    outcome.push("hot_few_us", us, few.hot_us);
    outcome.push("hot_many_us", us, many.hot_us);
    outcome.push("varied_few_us", us, few.varied_us);
    outcome.push("varied_many_us", us, many.varied_us);
    outcome.push("memory_per_selector_b", "bytes (user space)", many.memory_b);
    outcome.push("cpu_per_selector_us", "µs of server CPU to subscribe", many.subscribe_us);
    outcome.figures.extend(many.outcome.figures);
    Ok(outcome)
}

/// Publishes while `connections` hold `selectors` each.
fn half(
    args: &Selectors,
    context: &RoundContext<'_>,
    connections: usize,
    selectors: usize,
) -> Result<Half, RoundError> {
    let process = context.server.process().ok_or(RoundError::NoProcess("selectors"))?;
    let memory = || memory_bytes(process).map_or(f64::NAN, |bytes| bytes as f64);
    let held = Held { args, connections, selectors };
    let mut engine = context.engine(held.streams())?;
    let hot = || subscription(HOT, 0..args.publishers);
    engine.subscribe([hot()].into_iter())?;
    engine.poll_until(engine.now_ns() + REST_NS)?;
    let (before, meter) = (memory(), context.meter());
    engine.subscribe((0..connections).map(|connection| held.subscription(connection)))?;
    engine.poll_until(engine.now_ns() + 3 * REST_NS)?;
    let subscribed = meter.stop();
    let count = (connections * selectors) as f64;
    let memory_b = (memory() - before) / count;

    let token = context.token()?;
    for stream in 0..held.streams() {
        engine.add_stream(&held.topic(stream), false, &token, args.data_bytes);
    }
    for _ in 0..args.publishers {
        engine.add_publisher()?;
    }
    let mut outcome = Outcome::default();
    let hot = |publisher: usize, _| u32::try_from(publisher).unwrap_or(u32::MAX);
    let (hot_us, _) = measure(args, context, &mut engine, hot)?;
    let (varied_us, usage) =
        measure(args, context, &mut engine, |publisher, turn| held.stream(publisher, turn))?;
    outcome.push_shares(&usage);
    outcome.push_times(&engine.book.times);
    outcome.count(&engine);
    let subscribe_us = per(&subscribed, count);
    Ok(Half { hot_us, varied_us, memory_b, subscribe_us, outcome })
}

/// Server CPU per publication, in microseconds. `stream` gives the stream of a publisher's turn.
fn measure(
    args: &Selectors,
    context: &RoundContext<'_>,
    engine: &mut Engine,
    stream: impl Fn(usize, usize) -> u32,
) -> Result<(f64, Usage), RoundError> {
    let mut turns = vec![0; args.publishers as usize];
    publish(engine, args.updates / 5, &mut turns, &stream)?;
    engine.book.forget_times(engine.now_ns());
    let meter = context.meter();
    publish(engine, args.updates, &mut turns, &stream)?;
    let usage = meter.stop();
    Ok((per(&usage, args.updates as f64), usage))
}

fn per(usage: &Usage, count: f64) -> f64 {
    usage.server_cpu_ns.map_or(f64::NAN, |cpu_ns| cpu_ns as f64 / 1_000.0 / count)
}

/// Every publisher publishes as soon as its last publication is answered.
fn publish(
    engine: &mut Engine,
    updates: u64,
    turns: &mut [usize],
    stream: impl Fn(usize, usize) -> u32,
) -> Result<(), RoundError> {
    engine.progress().begin("publishing", updates, "updates");
    for number in 0..updates {
        let publisher = engine.await_idle()?;
        let now = engine.now_ns();
        engine.publish(publisher, stream(publisher, turns[publisher]), now)?;
        turns[publisher] += 1;
        if number % 1_024 == 0 {
            engine.progress().set(number);
        }
    }
    engine.progress().set(updates);
    engine.poll(engine.now_ns() + SECOND_NS)?;
    Ok(engine.settle()?)
}

/// The selectors held in one half. The publishers' streams on the hot topic come first. After them,
/// each receiver has one stream for each of its selectors.
struct Held<'a> {
    args: &'a Selectors,
    connections: usize,
    selectors: usize,
}

impl Held<'_> {
    fn streams(&self) -> u32 {
        self.args.publishers + u32::try_from(RECEIVERS * self.selectors).unwrap_or(u32::MAX)
    }

    /// Receivers are spread over the crowd.
    fn receiver(&self, connection: usize) -> Option<usize> {
        let apart = self.connections / RECEIVERS;
        let receiver = connection / apart;
        (connection.is_multiple_of(apart) && receiver < RECEIVERS).then_some(receiver)
    }

    fn first_stream(&self, receiver: usize) -> u32 {
        self.args.publishers + u32::try_from(receiver * self.selectors).unwrap_or(u32::MAX)
    }

    fn subscription(&self, connection: usize) -> Subscription {
        let streams = match self.receiver(connection) {
            Some(receiver) => self.first_stream(receiver)..self.first_stream(receiver + 1),
            None => 0..0,
        };
        let name = |at: usize| Name::of(connection * self.selectors + at, self.args.templates_percent);
        let further = (1..self.selectors).map(|at| name(at).selector).collect();
        Subscription { further, ..subscription(&name(0).selector, streams) }
    }

    /// The topic of a stream.
    fn topic(&self, stream: u32) -> String {
        let Some(at) = stream.checked_sub(self.args.publishers) else { return HOT.to_owned() };
        let (receiver, at) = (at as usize / self.selectors, at as usize % self.selectors);
        let connection = receiver * (self.connections / RECEIVERS);
        Name::of(connection * self.selectors + at, self.args.templates_percent).topic
    }

    /// The stream of a publisher's turn. Each publisher has separate receivers, so that the order
    /// within a stream is certain. It takes them in turn, each time with another selector.
    fn stream(&self, publisher: usize, turn: usize) -> u32 {
        let publishers = self.args.publishers as usize;
        let own = (RECEIVERS - publisher).div_ceil(publishers);
        let receiver = publisher + turn % own * publishers;
        let at = turn / own * STRIDE % self.selectors;
        self.first_stream(receiver) + u32::try_from(at).unwrap_or(u32::MAX)
    }
}

/// A selector, and a topic that only this selector selects.
struct Name {
    selector: String,
    topic: String,
}

impl Name {
    /// Name `number`, in forms typical for applications: the distinct part is in the literal before
    /// the first expression.
    fn of(number: usize, templates_percent: u64) -> Self {
        let is_template = number as u64 * 37 % 100 < templates_percent;
        let (selector, topic) = match (is_template, number % 4) {
            (false, 0) => (format!("https://example.com/books/{number}"), String::new()),
            (false, 1) => (format!("https://example.com/users/{number}/inbox"), String::new()),
            (false, 2) => (format!("https://example.org/rooms/{number}"), String::new()),
            (false, _) => (format!("/items/{number}"), String::new()),
            (true, 0) => {
                let head = format!("https://example.com/users/{number}/orders/");
                (format!("{head}{{id}}"), format!("{head}17"))
            }
            (true, 1) => {
                let head = format!("https://example.com/shops/{number}/books/");
                (format!("{head}{{id}}"), format!("{head}a-book"))
            }
            (true, 2) => {
                let head = format!("https://t{number}.example.com/books/");
                (format!("{head}{{id}}"), format!("{head}42"))
            }
            (true, _) => {
                let head = format!("https://example.com/{number}/users/");
                (format!("{head}{{id}}/orders/{{n}}"), format!("{head}7/orders/1"))
            }
        };
        let topic = if is_template { topic } else { selector.clone() };
        Self { selector, topic }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_million_are_distinct_and_a_fifth_are_templates() {
        let names: Vec<Name> = (0..1_000_000).map(|number| Name::of(number, 20)).collect();
        let selectors: HashSet<&str> = names.iter().map(|name| name.selector.as_str()).collect();
        assert_eq!(selectors.len(), names.len());
        assert_eq!(selectors.iter().filter(|selector| selector.contains('{')).count(), 200_000);
        assert_eq!((0..10).filter(|&number| Name::of(number, 20).selector.contains('{')).count(), 2);
        let topics: HashSet<&str> = names.iter().map(|name| name.topic.as_str()).collect();
        assert_eq!(topics.len(), names.len());
    }

    #[test]
    fn every_selector_of_the_receivers_has_its_turn_and_one_publisher() {
        for publishers in [1, 3, 10] {
            let args = Selectors { publishers, ..Selectors::million(1) };
            let held = Held { args: &args, connections: 100, selectors: 20 };
            let mut owners = vec![None; held.streams() as usize];
            for publisher in 0..publishers as usize {
                for turn in 0..RECEIVERS * 20 {
                    let owner = owners[held.stream(publisher, turn) as usize].get_or_insert(publisher);
                    assert_eq!(*owner, publisher);
                }
            }
            assert!(owners[publishers as usize..].iter().all(Option::is_some));
            let receivers = (0..100).filter_map(|connection| held.receiver(connection));
            assert!(receivers.eq(0..RECEIVERS));
            let last = held.streams() - 1;
            assert_eq!(held.topic(last), Name::of(90 * 20 + 19, 20).topic);
        }
    }
}
