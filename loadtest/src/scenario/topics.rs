//! Many topics: the cost of finding the few subscribers of an update among many.

use clap::Args;
use serde::Serialize;

use super::context::{DATA_BYTES, REST_NS, RoundContext, RoundError, subscription};
use super::outcome::Outcome;
use crate::engine::{Engine, SECOND_NS};

/// Connections that publish, at most.
const PUBLISHERS_MAX: u32 = 64;
/// The maximum number of topics: as many as a stamp can distinguish.
const TOPICS_MAX: u32 = 99_999;

/// Arguments of `topics`.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Topics {
    /// Subscribers, spread over the topics.
    #[arg(long, default_value_t = 5_000)]
    pub(crate) subscribers: usize,
    /// Topics, published on in turn.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=i64::from(TOPICS_MAX)))]
    pub(crate) topics: u32,
    /// Subscribe with a URI Template for each topic instead of the topic itself.
    #[arg(long)]
    pub(crate) templates: bool,
    /// Updates.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) updates: u64,
    /// Bytes of data of one update.
    #[arg(long, default_value_t = DATA_BYTES)]
    pub(crate) data_bytes: usize,
}

pub(super) fn run(args: &Topics, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
    let topics = args.topics;
    let mut engine = context.engine(topics)?;
    engine.subscribe((0..args.subscribers).map(|number| {
        let topic = u32::try_from(number).unwrap_or(u32::MAX) % topics;
        let last = if args.templates { "{id}" } else { "1" };
        let selector = format!("https://example.com/rooms/{topic}/messages/{last}");
        subscription(&selector, topic..topic + 1)
    }))?;
    let token = context.token()?;
    for topic in 0..topics {
        let name = format!("https://example.com/rooms/{topic}/messages/1");
        engine.add_stream(&name, false, &token, args.data_bytes);
    }
    let mut turns = Turns::new(topics);
    for _ in 0..turns.publishers {
        engine.add_publisher()?;
    }
    engine.poll_until(engine.now_ns() + REST_NS)?;
    turns.publish(&mut engine, u64::from(topics.min(1_000)))?;
    engine.book.forget_times(engine.now_ns());
    let before = engine.book.tally().received;
    let meter = context.meter();
    turns.publish(&mut engine, args.updates)?;
    let usage = meter.stop();
    let tally = engine.book.tally();
    let mut outcome = Outcome::of(&engine);
    outcome.push_usage(&usage, tally.received - before, args.updates);
    outcome.push_times(&engine.book.times);
    Ok(outcome)
}

/// The topic order: publisher `p` of `n` alone has the topics `p`, `p + n`, `p + 2n`…, so that the
/// order within a topic is certain.
struct Turns {
    topics: u32,
    publishers: u32,
    next: Vec<u32>,
}

impl Turns {
    fn new(topics: u32) -> Self {
        let publishers = topics.min(PUBLISHERS_MAX);
        Self { topics, publishers, next: (0..publishers).collect() }
    }

    /// The next topic of `publisher`.
    fn take(&mut self, publisher: usize) -> u32 {
        let topic = self.next[publisher];
        let following = topic + self.publishers;
        self.next[publisher] = if following < self.topics { following } else { topic % self.publishers };
        topic
    }

    /// Publishes `updates` through any idle publisher, and waits for their deliveries.
    fn publish(&mut self, engine: &mut Engine, updates: u64) -> Result<(), RoundError> {
        engine.progress().begin("publishing", updates, "updates");
        let mut published = 0;
        while published < updates {
            while published < updates
                && let Some(publisher) = engine.take_idle()
            {
                let now = engine.now_ns();
                engine.publish(publisher, self.take(publisher), now)?;
                published += 1;
            }
            engine.progress().set(published);
            engine.poll(engine.now_ns() + SECOND_NS)?;
        }
        Ok(engine.settle()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_its_turn_and_one_publisher() {
        for topics in [1, 2, 63, 64, 65, 200] {
            let mut turns = Turns::new(topics);
            let mut taken = vec![Vec::new(); topics as usize];
            for publisher in 0..turns.publishers as usize {
                for _ in 0..topics {
                    taken[turns.take(publisher) as usize].push(publisher);
                }
            }
            for publishers in taken {
                let first = publishers.first();
                assert!(first.is_some() && publishers.iter().all(|publisher| Some(publisher) == first));
            }
        }
    }
}
