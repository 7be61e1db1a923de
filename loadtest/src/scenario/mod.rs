//! The scenarios: each drives an engine against one server and returns figures.

mod churn;
mod commit;
mod compress;
mod connect;
mod fanout;
mod firehose;
mod idle;
mod outcome;
mod private;
mod reconnect;
mod replay;
mod selectors;
mod slow;
mod topics;

use clap::Subcommand;
use serde::Serialize;

pub(crate) use churn::Churn;
pub(crate) use commit::Commit;
pub(crate) use compress::Compress;
pub(crate) use connect::Connect;
pub(crate) use fanout::Fanout;
pub(crate) use firehose::Firehose;
pub(crate) use idle::Idle;
pub(crate) use outcome::{Outcome, micros};
pub(crate) use private::Private;
pub(crate) use reconnect::Reconnect;
pub(crate) use replay::Replay;
pub(crate) use selectors::Selectors;
pub(crate) use slow::Slow;
pub(crate) use topics::Topics;

use crate::args::Common;
use crate::engine::{Engine, Start, Subscription};
use crate::meter::Meter;
use crate::progress::Progress;
use crate::server::Server;
use crate::token;
use crate::wire::coding::Coding;

/// One second of the run's clock.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// The rest of a new set of subscribers before it is measured.
const REST_NS: u64 = SECOND_NS / 5;
/// Data of an update that makes an event of 200 bytes with an id of the form `urn:uuid:…`.
pub(crate) const DATA_BYTES: usize = 142;
/// Connections for publishers and the like.
const OTHER_CONNECTIONS: usize = 128;

/// The scenario to run.
#[derive(Debug, Clone, Subcommand, Serialize)]
#[serde(untagged)]
pub(crate) enum Scenario {
    /// One topic, many subscribers: one update at a time, or at a fixed rate.
    Fanout(Fanout),
    /// Publishers at full speed on one topic.
    Firehose(Firehose),
    /// The cost of an idle subscriber: memory and processor time.
    Idle(Idle),
    /// The cost of accepting and subscribing a connection.
    Connect(Connect),
    /// Whether stalled readers delay the others, and get everything in the end.
    Slow(Slow),
    /// Many topics with a few subscribers each.
    Topics(Topics),
    /// A million selectors: the cost of a publication, compared with ten selectors.
    Selectors(Selectors),
    /// Private updates: only authorized subscribers may receive them.
    Private(Private),
    /// Everyone reconnects with a last event id while updates are published.
    Reconnect(Reconnect),
    /// Clients that ask for the whole history at once.
    Replay(Replay),
    /// Publications that wait for the disk: one publisher beside many.
    Commit(Commit),
    /// The cost and the savings of compression: the same updates plain and compressed, in turn.
    Compress(Compress),
    /// Subscribers come and go while others are measured.
    Churn(Churn),
}

impl Scenario {
    /// The run without a scenario: a closed fan-out to 1,000 subscribers.
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
            Self::Selectors(_) => "selectors",
            Self::Private(_) => "private",
            Self::Reconnect(_) => "reconnect",
            Self::Replay(_) => "replay",
            Self::Commit(_) => "commit",
            Self::Compress(_) => "compress",
            Self::Churn(_) => "churn",
        }
    }

    /// Its arguments, including defaults.
    pub(crate) fn arguments(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The most connections that it opens, when `streams_per_connection` streams share one.
    pub(crate) fn connections(&self, streams_per_connection: Option<usize>) -> usize {
        let subscribers = match self {
            Self::Fanout(args) => args.subscribers,
            Self::Firehose(args) => args.subscribers + args.publishers,
            Self::Idle(args) => args.subscribers,
            Self::Connect(args) => args.subscribers,
            Self::Slow(args) => args.subscribers,
            Self::Topics(args) => args.subscribers,
            Self::Selectors(args) => args.connections,
            Self::Private(args) => args.subscribers,
            Self::Reconnect(args) => args.subscribers,
            Self::Replay(args) => args.clients,
            Self::Commit(args) => args.publishers as usize,
            Self::Compress(args) => 2 * args.subscribers,
            Self::Churn(args) => args.subscribers + args.churners,
        };
        subscribers.div_ceil(streams_per_connection.unwrap_or(1)) + OTHER_CONNECTIONS
    }

    /// Whether the limit server can run it: that server has no templates, no authorization, no
    /// history and no patience with slow readers.
    pub(crate) fn has_limit(&self) -> bool {
        match self {
            Self::Fanout(_) | Self::Firehose(_) | Self::Idle(_) | Self::Connect(_) | Self::Churn(_) => true,
            Self::Topics(args) => !args.templates,
            Self::Slow(_)
            | Self::Selectors(_)
            | Self::Private(_)
            | Self::Reconnect(_)
            | Self::Replay(_)
            | Self::Compress(_)
            | Self::Commit(_) => false,
        }
    }

    /// The `HISTORY_SYNC` of a started hub whose history is in a file; `None`: the history is in
    /// memory.
    pub(crate) fn history_sync(&self) -> Option<&'static str> {
        match self {
            // Filled fast: only reading is measured.
            Self::Replay(_) => Some("never"),
            Self::Commit(_) => Some("always"),
            _ => None,
        }
    }

    /// Runs it once.
    pub(crate) fn run(&self, context: &RoundContext<'_>) -> Result<Outcome, String> {
        match self {
            Self::Fanout(args) => fanout::run(args, context),
            Self::Firehose(args) => firehose::run(args, context),
            Self::Idle(args) => idle::run(args, context),
            Self::Connect(args) => connect::run(args, context),
            Self::Slow(args) => slow::run(args, context),
            Self::Topics(args) => topics::run(args, context),
            Self::Selectors(args) => selectors::run(args, context),
            Self::Private(args) => private::run(args, context),
            Self::Reconnect(args) => reconnect::run(args, context),
            Self::Replay(args) => replay::run(args, context),
            Self::Commit(args) => commit::run(args, context),
            Self::Compress(args) => compress::run(args, context),
            Self::Churn(args) => churn::run(args, context),
        }
    }
}

/// The context of one round.
pub(crate) struct RoundContext<'a> {
    /// The command line.
    pub(crate) common: &'a Common,
    /// The server.
    pub(crate) server: &'a Server,
    /// Shows the progress of the round.
    pub(crate) progress: Progress,
}

impl RoundContext<'_> {
    /// A generator for the server, with a book of `streams` streams.
    fn engine(&self, streams: u32) -> Result<Engine, String> {
        self.engine_accepting(streams, self.common.compress)
    }

    /// The same, whose subscribers ask for a coding.
    fn engine_accepting(&self, streams: u32, coding: Option<Coding>) -> Result<Engine, String> {
        let wire = self.server.wire().clone().accepting(coding)?;
        Engine::new(wire, streams, self.progress.clone())
    }

    /// Starts measuring.
    fn meter(&self) -> Meter {
        Meter::start(self.server.process())
    }

    /// A token that may publish and receive everything.
    fn token(&self) -> Result<String, String> {
        token::sign(&self.common.key, &["*"], &["*"])
    }

    /// Adds `count` publishers on `topic`, each with a separate stream and connection.
    fn add_publishers(
        &self,
        engine: &mut Engine,
        count: u32,
        topic: &str,
        data_bytes: usize,
    ) -> Result<(), String> {
        let token = self.token()?;
        for _ in 0..count {
            engine.add_stream(topic, false, &token, data_bytes);
            engine.add_publisher()?;
        }
        Ok(())
    }
}

/// A subscription of an anonymous client to one topic.
fn subscription(topic: &str, streams: std::ops::Range<u32>) -> Subscription {
    Subscription {
        selector: topic.to_owned(),
        further: Vec::new(),
        token: None,
        streams,
        background: false,
        start: Start::Live,
        receive_bytes: None,
    }
}

/// The stream of a publisher, if each has a separate one.
fn stream_of(publisher: usize) -> u32 {
    u32::try_from(publisher).unwrap_or(u32::MAX)
}

/// Publishes at `rate` a second for `seconds` from now on, and returns the number of updates.
/// Latencies count from the time an update is due: the delay of a hub or generator that is late is
/// included. Calls `meanwhile` after each update.
fn publish_at_rate(
    engine: &mut Engine,
    rate: f64,
    seconds: f64,
    mut meanwhile: impl FnMut(&mut Engine, u64) -> Result<(), String>,
) -> Result<u64, String> {
    let start = engine.now_ns();
    let interval = SECOND_NS as f64 / rate;
    let count = (rate * seconds).ceil().max(1.0) as u64;
    // If all publishers await an answer, the delay is the hub's, not the generator's.
    let mut hub_late_until = start;
    engine.progress().begin("publishing", count, "updates");
    for number in 0..count {
        let due = start + (interval * number as f64) as u64;
        engine.poll_until(due)?;
        let lag = engine.now_ns().saturating_sub(due.max(hub_late_until));
        engine.book.times.lag.saturating_record(lag);
        let publisher = match engine.take_idle() {
            Some(publisher) => publisher,
            None => {
                let publisher = engine.await_idle()?;
                hub_late_until = engine.now_ns();
                publisher
            }
        };
        engine.publish(publisher, stream_of(publisher), due)?;
        meanwhile(engine, number)?;
        engine.progress().set(number + 1);
    }
    engine.poll_until(start + (interval * count as f64) as u64)?;
    Ok(count)
}
