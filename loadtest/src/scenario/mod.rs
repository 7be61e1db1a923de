//! The scenarios: each drives an engine against one server and returns figures.

mod churn;
mod commit;
mod compress;
mod connect;
mod context;
mod disk_loop;
mod fanout;
mod firehose;
mod hostile;
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

use crate::settings::HubNeeds;

pub(crate) use churn::Churn;
pub(crate) use commit::Commit;
pub(crate) use compress::Compress;
pub(crate) use connect::Connect;
pub(crate) use context::{RoundContext, RoundError};
pub(crate) use fanout::Fanout;
pub(crate) use firehose::Firehose;
pub(crate) use hostile::{Attack, Hostile};
pub(crate) use idle::Idle;
pub(crate) use outcome::{Outcome, micros};
pub(crate) use private::Private;
pub(crate) use reconnect::Reconnect;
pub(crate) use replay::Replay;
pub(crate) use selectors::Selectors;
pub(crate) use slow::Slow;
pub(crate) use topics::Topics;

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
    /// Strangers attack the hub while others are measured.
    Hostile(Hostile),
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
            Self::Hostile(_) => "hostile",
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
            Self::Hostile(args) => args.connections(),
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
            | Self::Hostile(_)
            | Self::Commit(_) => false,
        }
    }

    /// What a hub that is started needs for it.
    pub(crate) fn needs(&self) -> HubNeeds {
        let history = |sync| HubNeeds { history_sync: Some(sync), ..HubNeeds::default() };
        match self {
            // Filled fast: only reading is measured.
            Self::Replay(_) => history("never"),
            Self::Commit(_) => history("always"),
            Self::Hostile(args) => args.needs(),
            _ => HubNeeds::default(),
        }
    }

    /// Runs it once.
    pub(crate) fn run(&self, context: &RoundContext<'_>) -> Result<Outcome, RoundError> {
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
            Self::Hostile(args) => hostile::run(args, context),
        }
    }
}
